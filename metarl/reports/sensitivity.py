"""What decides the return: parameter by parameter, and the worst tasks."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarl.evaluation.results import Evaluation, ParameterInfo, components
from metarl.reports.numbers import (
    named_with_unit,
    number,
    percent,
    short,
    train_range,
    with_unit,
)
from metarl.reports.page import Cell, Table, video_uri
from metarl.runs.folder import video_name
from metarl.tasks.space import CHANGING
from metarl.tasks.task import Task

GROUPS = 5
"""Groups of about as many tasks each, by the value of a parameter."""
WORST = 5
"""Tasks that are shown."""


class Effect(NamedTuple):
    """How a measure depends on one parameter."""

    name: str
    """Of the parameter; a vector's components are numbered from 1."""
    share: float
    """Share of the variance between tasks that the groups explain beyond chance."""
    groups: list[tuple[str, float]]
    """Values of each group, in words, and the mean over its tasks."""


class Value(NamedTuple):
    """A parameter's value in one task."""

    name: str
    text: str
    """With its unit, where it is known."""
    train_range: str = ""
    """Where the value lies outside of it: the train range."""


class WorstTask(NamedTuple):
    """One of the tasks with the lowest return after adaptation."""

    title: str
    before: str
    after: str
    values: list[Value]
    video: str
    """Held in the page; empty where there is none."""
    command: str
    """Makes the video."""


def effects(evaluations: Sequence[Evaluation]) -> list[Effect]:
    """The effect of each parameter on the return after adaptation, largest first.

    Tasks of all splits but `switch` and `drift` are taken together and put into groups
    by one parameter at a time. Its share is epsilon squared (Kelley, 1935): the
    correlation ratio, less what as many random groups would explain.

    Args:
        evaluations: of one agent, one for each seed.
    """
    columns: dict[str, list[Any]] = {}
    after: list[float] = []
    for evaluation in evaluations:
        for name, split in evaluation.splits.items():
            if name in CHANGING:  # their values are those of the first phase alone
                continue
            after += split.scores("return")[:, -1].tolist()
            for task in split.tasks:
                for parameter, value in components(task).items():
                    columns.setdefault(parameter, []).append(value)
    returns = np.array(after)
    known = ~np.isnan(returns)
    found = []
    for name, values in columns.items():
        if len(values) == len(returns) and len(set(values)) > 1:
            kept = [v for v, k in zip(values, known, strict=True) if k]
            found.append(_effect(name, kept, returns[known]))
    return sorted(found, key=lambda effect: -effect.share)


def sensitivity(evaluations: Sequence[Evaluation]) -> Table:
    """A row for each parameter: what it explains, and returns from low to high."""
    rows: list[Sequence[object]] = []
    for effect in effects(evaluations):
        info = _info(evaluations[0], effect.name)
        cells = [Cell(number(mean), words) for words, mean in effect.groups]
        name = named_with_unit(effect.name, info)
        rows.append([name, percent(effect.share), cells])
    return Table(["parameter", "explains", "return after, by its value"], rows, "text")


def worst(
    folder: Path, evaluation: Evaluation, videos: Sequence[Path]
) -> list[WorstTask]:
    """The tasks with the lowest return after adaptation, each with its video if any.

    Args:
        folder: of the run.
        evaluation: of the run.
        videos: of the run.
    """
    ranked, seed = [], evaluation.protocol.seed
    for name, split in evaluation.splits.items():
        returns = split.scores("return")
        for index, (before, after) in enumerate(returns[:, [0, -1]]):
            if not np.isnan(after):
                ranked.append((after, before, name, index))
    found = []
    for after, before, name, index in sorted(ranked)[:WORST]:
        known = [v for v in videos if v.stem == video_name(name, index, seed)]
        command = f"metarl video {shlex.quote(str(folder))} --split {name}"
        command += f" --task {index}" + (f" --seed {seed}" if seed else "")
        found.append(
            WorstTask(
                f"{name} {index}",
                number(before),
                number(after),
                values(evaluation, evaluation.splits[name].tasks[index]),
                video_uri(known[0]) if known else "",
                command,
            )
        )
    return found


def values(evaluation: Evaluation, task: Task) -> list[Value]:
    """A task's values, with units, and the train range where one lies outside."""
    found = []
    for name, value in task.values:
        info = evaluation.parameter(name)
        outside = info is not None and not info.in_train_range(value)
        bounds = train_range(info) if info is not None and outside else ""
        found.append(Value(name, with_unit(short(value), info), bounds))
    return found


def _info(evaluation: Evaluation, component: str) -> ParameterInfo | None:
    """Of a parameter, or of the vector that a component is of."""
    vector = component.rpartition(" ")[0]
    return evaluation.parameter(component) or evaluation.parameter(vector)


def _effect(name: str, values: Sequence[Any], returns: NDArray[np.float64]) -> Effect:
    groups = []
    for words, members in _grouped(values):
        groups.append((words, returns[members]))
    total = float(((returns - returns.mean()) ** 2).sum())
    within = float(sum(((group - group.mean()) ** 2).sum() for _, group in groups))
    free = len(returns) - len(groups)
    share = 0.0
    if total > 0 and free > 0:
        share = max(0.0, 1 - within / total * (len(returns) - 1) / free)
    return Effect(name, share, [(w, float(group.mean())) for w, group in groups])


def _grouped(values: Sequence[Any]) -> list[tuple[str, NDArray[np.int64]]]:
    """Groups of indices: by a choice, or from the smallest to the largest number."""
    distinct = list(dict.fromkeys(values))
    numbers = all(isinstance(v, int | float) for v in distinct)
    if not numbers or len(distinct) <= GROUPS:
        ordered = sorted(distinct) if numbers else sorted(distinct, key=str)
        return [
            (short(value), np.array([i for i, v in enumerate(values) if v == value]))
            for value in ordered
        ]
    column = np.array(values, float)
    # Tasks of one value share its mean rank, and so a group.
    below, equal = (op(column, column[:, None]).sum(1) for op in (np.less, np.equal))
    group = ((below + (equal - 1) / 2) * GROUPS / len(column)).astype(int)
    found = []
    for place in np.unique(group):
        members = np.flatnonzero(group == place)
        low, high = column[members].min(), column[members].max()
        found.append((f"{short(low)} to {short(high)}", members))
    return found
