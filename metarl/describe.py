"""Families and evaluations as tables in a terminal."""

from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metarl.evaluation.statistics import interval
from metarl.family import TaskFamily
from metarl.parameters import Choice, Parameter
from metarl.world.environment import sizes


def describe(family: TaskFamily) -> None:
    """Print what a family varies, its splits and its timing."""
    console = Console()
    title, *_ = (type(family).__doc__ or "").strip().partition("\n")
    observation_size, action_size = sizes(family)
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


def print_evaluation(results: dict[str, Any]) -> None:
    """Print the return at every budget: interquartile mean and 95 % interval."""
    table = Table("split", "episodes", "robot seconds", "return (IQM)", "success")
    for split, result in results["splits"].items():
        for point in result["points"]:
            value = interval(point["return"])
            success = point["success"]
            table.add_row(
                split if point is result["points"][0] else "",
                str(point["episodes"]),
                f"{sum(point['seconds']) / len(point['seconds']):.4g}",
                escape(f"{value.value:.1f} [{value.low:.1f}, {value.high:.1f}]"),
                f"{np.nanmean(np.array(success, float)):.0%}" if success else "",
            )
    Console().print(table)
