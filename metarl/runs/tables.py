"""A run's numbers as a file for other programs, read from its files alone.

path = write_table(Run("runs/..."), "evaluation", "csv")      # RUN/evaluation.csv
"""

import csv
import math
from pathlib import Path
from typing import Any, Literal

from metarl.errors import InputError
from metarl.runs.files import replacing
from metarl.runs.folder import Run, Table


def write_table(
    run: Run,
    table: Table,
    kind: Literal["csv", "parquet"],
    out: Path | str | None = None,
) -> Path:
    """Write `Run.rows` as a file. What is not known is an empty cell.

    Args:
        run: the run.
        table: "evaluation" or "metrics".
        kind: of the file.
        out: the file; default: one in the run's folder.

    Raises:
        InputError: if there are no such rows, the file has another ending, or pyarrow,
            which parquet needs, is not installed.
    """
    path = Path(out) if out is not None else run.path / f"{table}.{kind}"
    if path.suffix != f".{kind}":
        raise InputError(f"{path} must end in .{kind}, as its format is {kind}.")
    rows = run.rows(table)
    columns = {name: None for row in rows for name in row}
    data = {name: [_known(row.get(name)) for row in rows] for name in columns}
    if kind == "parquet":
        _write_parquet(path, data)
        return path
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(data)
        writer.writerows(zip(*data.values(), strict=True))
    return path


def _write_parquet(path: Path, data: dict[str, list[Any]]) -> None:
    try:
        import pyarrow  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(
            "--format parquet needs pyarrow: pip install pyarrow"
        ) from error

    def column(values: list[Any]) -> Any:
        try:
            return pyarrow.array(values)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):  # numbers and words
            return pyarrow.array([None if v is None else str(v) for v in values])

    columns = {name: column(values) for name, values in data.items()}
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.table(columns), temporary)


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
