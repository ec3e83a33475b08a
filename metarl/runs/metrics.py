"""Reading metrics.jsonl: a line per meta-iteration, the last perhaps cut by a crash."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metarl.errors import InputError
from metarl.runs.files import read_text
from metarl.tasks.parsing import parse_json


def read_metrics(
    path: Path, *, counts: Sequence[str] = ("iteration",)
) -> list[dict[str, Any]]:
    """The rows; none where there is no file. A last line that is cut is left out.

    Args:
        path: of metrics.jsonl.
        counts: what each row must have, whole numbers of 0 or more.

    Raises:
        InputError: naming the file and the line, for another that is damaged.
    """
    if not path.exists():
        return []
    rows = []
    lines = read_text(path, root=path.parent).splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        place = f"{path}, line {number}"
        try:
            row = parse_json(line, place)
        except InputError:
            if number == len(lines) and not line.endswith("\n"):
                break
            raise
        if not isinstance(row, dict):
            raise InputError(f"{place} is no JSON object.")
        for name in counts:
            if type(row.get(name)) is not int or row[name] < 0:
                raise InputError(
                    f"{place}: {name} is {row.get(name)!r:.60}, not a count."
                )
        for name, value in row.items():
            if not isinstance(value, int | float | None):
                raise InputError(f"{place}: {name} is {value!r:.60}, not a number.")
        rows.append(row)
    return rows
