"""`metarl paper`: a row of the MAML paper beside its own numbers."""

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

RowName = Literal["point-goal", "cheetah-direction"]


def paper(
    row: Positional[RowName],
    steps: int | None = None,
    seeds: tuple[int, ...] = (0, 1, 2),
    test_tasks: int = 40,
    out: Path | None = None,
    results: Path | None = None,
    quick: bool = False,
) -> None:
    """Meta-train MAML as its paper did, evaluate, and compare with its numbers.

    Args:
        row: of the paper's figures: 2D navigation, or half-cheetah forward/backward.
        steps: control steps of meta-training a seed; default: 40M and 16M.
        seeds: a run for each.
        test_tasks: test tasks.
        out: folder of the runs; default: runs/maml_ROW. A second call goes on where
            the first one stopped.
        results: folder of table, plot and numbers; default: results/maml_ROW.
        quick: a small size that shows the way, not the result.
    """
    from metarl.studies.paper import Arguments, reproduce
    from metarl.studies.paper_rows import ROWS, STEPS

    folder = f"maml_{row.replace('-', '_')}"
    reproduce(
        ROWS[row],
        Arguments(
            steps=STEPS[row] if steps is None else steps,
            out=out or Path("runs") / folder,
            results=results or Path("results") / folder,
            seeds=seeds,
            test_tasks=test_tasks,
            quick=quick,
        ),
    )
