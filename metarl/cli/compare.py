"""`metarl compare`: paired comparisons of evaluated runs."""

from pathlib import Path

from tyro.conf import Positional


def compare(
    runs: Positional[tuple[Path, ...]],
    measure: str = "return",
    against: str | None = None,
    splits: str = "",
    csv: bool = False,
) -> None:
    """Compare evaluated runs of one family in pairs, on the same tasks.

    Shows the mean difference with its 95 % interval, how often the first is better, and
    a p-value that is corrected for all comparisons (Holm).

    Args:
        runs: their folders; runs that differ in the seed only are taken together.
        measure: return, success or a metric of the family; larger is better.
        against: compare all others with the agent of this name only.
        splits: names separated by commas; default: all that were evaluated.
        csv: print CSV.
    """
    from metarl.reports import compare as of_runs
    from metarl.runs.pretrained import fetch

    names = [name.strip() for name in splits.split(",") if name.strip()]
    folders = [fetch(run) for run in runs]
    rows = of_runs.compare(folders, measure, against=against, splits=names)
    if csv:
        of_runs.write_csv(rows)
    else:
        of_runs.print_comparisons(rows, measure)
