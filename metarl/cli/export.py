"""`metarl export`: a run's policy as ONNX, or its numbers as a table."""

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from metarl.errors import InputError


def export(
    run: Positional[Path],
    format: Literal["onnx", "csv", "parquet"] = "onnx",
    out: Path | None = None,
    after: int = 0,
    split: str = "far",
    task: int = 0,
    seed: int = 0,
    adapter: Path | None = None,
    table: Literal["evaluation", "metrics"] = "evaluation",
    family: str = "",
    trust: bool = False,
) -> None:
    """Write a run's policy as an ONNX file with a JSON card, or a table of its numbers.

    Args:
        run: the run's folder.
        format: onnx writes the policy; csv and parquet write a table.
        out: the file; default: one in the run's folder.
        after: onnx: episodes of adaptation in simulation before; 0: as trained.
        split: the split of the task that it adapts to.
        task: which task of the split.
        seed: freezes the split and the noise.
        adapter: onnx: folder in which an adapter saved what it learnt on a robot.
        table: csv, parquet: results by task and budget, or training by iteration.
        family: what the run's family is now, if that moved.
        trust: run code that the run names without asking.
    """
    from metarl.runs.pretrained import fetch

    chosen = {"split": (split, "far"), "task": (task, 0), "seed": (seed, 0)}
    given = [name for name, (value, usual) in chosen.items() if value != usual]
    if format == "onnx":
        if table != "evaluation":
            raise InputError(f"--table {table} goes with --format csv or parquet.")
        if given and not after:
            raise InputError(f"--{given[0]} is of a task to adapt to: add --after N.")
        import metarl

        path = metarl.export(
            fetch(run),
            out,
            after=after,
            split=split,
            index=task,
            seed=seed,
            adapter=adapter,
            family=family,
            trust=trust,
        )
        print(f"Written: {path}")
        print(f"Written: {path.with_suffix('.json')}")
        return
    policy = {"after": after, "adapter": adapter, "family": family, "trust": trust}
    given += [name for name, value in policy.items() if value]
    if given:
        raise InputError(
            f"--{given[0]} goes with --format onnx: a table is data alone."
        )
    from metarl.runs.folder import Run
    from metarl.runs.tables import write_table

    print(f"Written: {write_table(Run(fetch(run)), table, format, out)}")
