"""What evaluations show, as the data of sentences and tables for a report."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metarl.evaluation.results import Evaluation, Point, Split
from metarl.evaluation.statistics import (
    interquartile_mean,
    interval,
    share_made_worse,
    worst_mean,
)
from metarl.reports.curves import curve, split_names
from metarl.reports.numbers import DASH, bracketed, many, mean, number, percent
from metarl.reports.page import Cell, Table

Named = tuple[str, Evaluation]
"""A run's name and its evaluation."""


class Headline(NamedTuple):
    """What adaptation gained, for a sentence that claims no more than was measured."""

    kind: str
    """"undefined" return, "unadapted", "constant" return, or "changed"."""
    agent: str
    split: str
    start: Cell = Cell("")
    end: Cell = Cell("")
    gain: Cell = Cell("")
    budget: str = ""
    verb: str = ""
    """What adapting does to the return: "raises", say."""
    verdict: str = ""
    """What to call the gain."""
    success: tuple[str, ...] = ()
    """Before and after, where it is defined."""


class Tile(NamedTuple):
    """A number, large."""

    value: str
    text: str
    tone: str = ""
    """"good", "bad" or neither."""


class Budgets(NamedTuple):
    """All budgets of one split."""

    split: str
    tasks: str
    table: Table


def headline(agent: str, evaluations: Sequence[Evaluation]) -> Headline:
    """What adaptation gained.

    Args:
        agent: its name.
        evaluations: its evaluations, one per seed.
    """
    split = main_split(evaluations)
    data = curve(evaluations, split, "return")
    before, after = data.scores[..., 0], data.scores[..., -1]
    start, end, gain = interval(before), interval(after), interval(after - before)
    if math.isnan(gain.value):
        return Headline("undefined", agent, split)
    if not data.episodes[-1]:
        return Headline("unadapted", agent, split, bracketed(start))
    if gain.low == gain.high == 0:
        return Headline("constant", agent, split, bracketed(start))
    if gain.low > 0:
        verb, verdict = "raises", "gain"
    elif gain.high < 0:
        verb, verdict = "lowers", "loss"
    else:
        verb, verdict = "hardly changes", "difference, which may be chance,"
    success = curve(evaluations, split, "success").scores
    known = not np.isnan(success).all()
    return Headline(
        "changed",
        agent,
        split,
        bracketed(start),
        bracketed(end),
        bracketed(gain, sign=True),
        f"{many(data.episodes[-1], 'episode')} ({number(data.seconds[-1])} s)",
        verb,
        verdict,
        tuple(percent(mean(success[..., i])) for i in (0, -1)) if known else (),
    )


def tiles(evaluation: Evaluation) -> list[Tile]:
    """The headline's numbers, large."""
    split = main_split([evaluation])
    data = curve([evaluation], split, "return")
    before, after = data.scores[0, :, 0], data.scores[0, :, -1]
    gain, worse = interval(after - before), share_made_worse(before, after)
    tone = "good" if gain.low > 0 else "bad" if gain.high < 0 else ""
    return [
        Tile(number(interval(before).value), f"return before, on {split} tasks"),
        Tile(number(interval(after).value), f"return after, on {split} tasks"),
        Tile(number(gain.value, sign=True), "gain per task", tone),
        Tile(percent(worse), "of the tasks made worse", "bad" if worse > 0.25 else ""),
        Tile(f"{number(data.seconds[-1])} s", "of robot time to adapt"),
    ]


def summary(runs: Sequence[Named]) -> Table:
    """A row per split, and per run where there are several."""
    rows: list[Sequence[object]] = []
    for name in split_names([evaluation for _, evaluation in runs]):
        if len(runs) > 1:
            rows.append([name])
        for run, evaluation in runs:
            if name in evaluation.splits:
                first = run if len(runs) > 1 else name
                rows.append([first, *_summary_cells(evaluation.splits[name])])
    header = [
        "run" if len(runs) > 1 else "split",
        "return before",
        "return after",
        "gain",
        "success",
        "made worse",
        "worst 5 % after",
        "robot time",
    ]
    return Table(header, rows)


def _summary_cells(split: Split) -> list[object]:
    returns, success = split.scores("return"), split.scores("success")
    before, after = returns[:, 0], returns[:, -1]
    ends = [percent(mean(success[:, point])) for point in (0, -1)]
    return [
        bracketed(interval(before)),
        bracketed(interval(after)),
        bracketed(interval(after - before), sign=True),
        " → ".join(ends) if not np.isnan(success).all() else DASH,
        percent(share_made_worse(before, after)),
        number(worst_mean(after)),
        f"{number(mean(split.points[-1].seconds))} s",
    ]


def budgets(runs: Sequence[Named]) -> list[Budgets]:
    """A table for each split, with a row for each budget of each run."""
    found = []
    for name in split_names([evaluation for _, evaluation in runs]):
        parts = [(run, e.splits[name]) for run, e in runs if name in e.splits]
        metrics = dict.fromkeys(m for _, part in parts for m in part.points[0].metrics)
        rows: list[Sequence[object]] = []
        for run, part in parts:
            rows += [[run]] if len(runs) > 1 else []
            rows += _budget_rows(part, list(metrics))
        header = ["episodes", "robot time", "return", "gain", "success", "made worse"]
        header += ["online return", "diverged"]
        header += [metric.replace("_", " ") for metric in metrics]
        tasks = many(len(parts[0][1].tasks), "task")
        found.append(Budgets(name, tasks, Table(header, rows)))
    return found


def _budget_rows(split: Split, metrics: Sequence[str]) -> list[list[Any]]:
    measures = ("return", "success", "online_return", *metrics)
    returns, success, online, *others = map(split.scores, measures)
    rows: list[list[Any]] = []
    for i, point in enumerate(split.points):
        change = returns[:, i] - returns[:, 0]
        worse = share_made_worse(returns[:, 0], returns[:, i])
        rows.append(
            [
                *_spent(point),
                bracketed(interval(returns[:, i])),
                bracketed(interval(change), sign=True) if i else "",
                bracketed(interval(success[:, i], "mean"), show=percent),
                percent(worse) if i else "",
                number(float(interquartile_mean(online[:, i]))),
                point.diverged,
                *(bracketed(interval(values[:, i])) for values in others),
            ]
        )
    return rows


def _spent(point: Point) -> list[str]:
    return [f"{point.episodes:g}", f"{number(mean(point.seconds))} s"]


def main_split(evaluations: Sequence[Evaluation]) -> str:
    """The split for the headline: the furthest shell that was evaluated."""
    names = split_names(evaluations)
    return next((name for name in ("far", "near") if name in names), names[0])
