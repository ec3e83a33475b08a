"""Paired comparisons of runs, read from their folders: no agent or family is loaded."""

import csv
import sys
import warnings
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metarl.errors import InputError
from metarl.evaluation import compare as pairs
from metarl.evaluation.compare import Comparison
from metarl.evaluation.results import Evaluation
from metarl.reports.records import read_record, variants
from metarl.runs.folder import Run, as_run

COLUMNS = (
    *("first", "second", "split", "episodes", "until", "tasks"),
    *("difference", "low", "high"),
    *("probability_of_improvement", "p_value"),
)


def compare(
    runs: Sequence[Run | Path | str],
    measure: str = "return",
    *,
    against: str | None = None,
    splits: Sequence[str] = (),
) -> list[Comparison]:
    """Paired comparisons of the agents of several runs of one family.

    Runs of one agent that differ in the seed only are taken together.

    Args:
        runs: runs or their folders, evaluated on the same tasks.
        measure: "return", "success" or a metric of the family; larger is better.
        against: compare all others with the agent of this name only.
        splits: which; default: all that were evaluated.

    Raises:
        InputError: for a run that was not evaluated, and what
            `metarl.evaluation.compare.compare` raises.
    """
    records = [read_record(as_run(run).path) for run in runs]
    groups: dict[str, list[Evaluation]] = {}
    for name, record in zip(variants(records), records, strict=True):
        if record.evaluation is None:
            raise InputError(
                f"{record.folder} was not evaluated. Run {record.command('evaluate')}"
            )
        if record.stale:
            warnings.warn(
                f"{record.folder} {record.stale} Run {record.command('evaluate')}",
                RuntimeWarning,
                stacklevel=2,
            )
        groups.setdefault(name, []).append(record.evaluation)
    return pairs.compare(groups, measure, against=against, splits=splits)


def print_comparisons(rows: Sequence[Comparison], measure: str) -> None:
    """Print comparisons in the terminal, a table for each split."""
    console = Console()
    for split, its_rows in groupby(rows, lambda row: row.split):
        table = Table(title=split, title_justify="left", box=SIMPLE_HEAD, padding=0)
        names = ("episodes", "first", "second", f"{measure}: first - second")
        for name in (*names, "better", "p"):
            table.add_column(escape(name) + " ", no_wrap=True)
        for row in its_rows:
            value, low, high = row.difference
            more = f" to {row.until:g}" if row.until > row.episodes else ""
            table.add_row(
                f"{row.episodes:g}{more}",
                *map(escape, (row.first, row.second)),
                escape(f"{value:.3g} [{low:.3g}, {high:.3g}]"),
                f"{row.improvement:.0%}",
                f"{row.p_value:.2g}" + (" *" if row.apart else ""),
            )
        console.print(table)
    console.print("better: on how many tasks the first is. *: apart, at the 5 % level.")


def write_csv(rows: Sequence[Comparison]) -> None:
    """Print comparisons as CSV, a header first."""
    writer = csv.writer(sys.stdout)
    writer.writerow(COLUMNS)
    for row in rows:
        about = (row.first, row.second, row.split, row.episodes, row.until, row.tasks)
        writer.writerow([*about, *row.difference, row.improvement, row.p_value])
