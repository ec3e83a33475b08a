"""Families and evaluations as tables in a terminal; tables in Markdown."""

from collections.abc import Iterable, Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from metarl.environment.family import TaskFamily
from metarl.evaluation.results import Evaluation
from metarl.evaluation.statistics import interval
from metarl.tasks.parameter import Choice, Parameter


def describe(family: TaskFamily) -> None:
    """Print what a family varies, its splits and its timing."""
    console = Console()
    title, *_ = (type(family).__doc__ or "").strip().partition("\n")
    observation_size, action_size, _ = family.spec
    console.print(f"[bold]{escape(family.name)}[/bold]: {escape(title)}")
    console.print(
        f"{observation_size} observations, {action_size} actions, horizon "
        f"{family.horizon} steps of {family.control_period:g} s "
        f"({family.horizon * family.control_period:g} s)"
    )
    console.print(f"splits: {', '.join(family.splits)}")
    if family.success_measure:
        console.print(f"success: {escape(family.success_measure)}")
    table = Table()
    table.add_column("parameter", no_wrap=True)
    for column in ("unit", "nominal", "train", "near", "far / unseen", "about"):
        table.add_column(column)
    for name, parameter in family.parameters.items():
        row = (name, parameter.unit, *ranges(parameter), parameter.about)
        table.add_row(*map(escape, row))
    console.print(table)


def ranges(parameter: Parameter | Choice) -> list[str]:
    """Nominal value, train range, near shell, and far shell or unseen values."""
    if isinstance(parameter, Choice):
        train, unseen = (
            ", ".join(map(str, values))
            for values in (parameter.train, parameter.unseen)
        )
        return [str(parameter.nominal), train, "", unseen]
    size = f" x{parameter.size}" if parameter.size > 1 else ""
    train = f"{parameter.train[0]:.4g} … {parameter.train[1]:.4g}{size}"
    shells = [
        ", ".join(f"{low:.4g} … {high:.4g}" for low, high in parameter.shell(split))
        for split in ("near", "far")
    ]
    nominal = parameter.nominal
    items = nominal if isinstance(nominal, tuple) else (nominal,)
    return [", ".join(f"{item:.4g}" for item in items), train, *shells]


def print_evaluation(results: Evaluation) -> None:
    """Print the return at every budget: interquartile mean and 95 % interval.

    Also prints success and the family's metrics, as means over tasks: as many as the
    terminal is wide enough for.
    """
    first = next(iter(results.splits.values())).points[0]
    metrics, console = list(first.metrics), Console()
    table = _evaluation_table(results, metrics)
    unbound = console.options.update(max_width=10_000)
    while metrics and Measurement.get(console, unbound, table).maximum > console.width:
        metrics.pop()
        table = _evaluation_table(results, metrics)
    console.print(table)
    if results.protocol.success:
        console.print(f"success: {escape(results.protocol.success)}")
    if left := list(first.metrics)[len(metrics) :]:
        console.print(f"In evaluation.json and the report, too: {', '.join(left)}")


def _evaluation_table(results: Evaluation, metrics: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    names = [metric.replace("_", " ") for metric in metrics]
    for column in ("split", "episodes", "robot time [s]", "return (IQM)", "success"):
        table.add_column(escape(column), no_wrap=True)
    for name in names:
        table.add_column(escape(name), no_wrap=True)
    for name, split in results.splits.items():
        for point in split.points:
            value = interval(point.returns)
            table.add_row(
                escape(name) if point is split.points[0] else "",
                f"{point.episodes:g}",
                f"{sum(point.seconds) / len(point.seconds):.4g}",
                escape(f"{value.value:.1f} [{value.low:.1f}, {value.high:.1f}]"),
                _mean(point.measure("success"), ".0%"),
                *(_mean(point.measure(metric), ".3g") for metric in metrics),
            )
    return table


def markdown_table(
    header: Sequence[object], rows: Iterable[Sequence[object]]
) -> list[str]:
    """The lines of a table in Markdown.

    Args:
        header: names of the columns.
        rows: cells, as many in each.
    """
    names = "|".join(f" {name} " if name else " " for name in header)
    lines = [f"|{names}|", "|---" * len(header) + "|"]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


def _mean(values: Sequence[float], form: str) -> str:
    known = np.array(values, float)
    known = known[~np.isnan(known)]
    return f"{known.mean():{form}}" if known.size else ""
