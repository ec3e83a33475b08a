"""`metarl report`: a page about runs."""

from pathlib import Path

from tyro.conf import Positional


def report(runs: Positional[tuple[Path, ...]], out: Path | None = None) -> None:
    """One self-contained HTML page about one or more runs.

    Args:
        runs: their folders.
        out: the file; default: report.html in the first run's folder.
    """
    from metarl.reports.report import report as make_report
    from metarl.runs.pretrained import fetch

    print(f"Written: {make_report([fetch(run) for run in runs], out)}")
