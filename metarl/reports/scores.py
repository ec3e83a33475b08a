"""Runs placed between the randomized policy (0) and an oracle (1)."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metarl.evaluation.results import Evaluation, Split
from metarl.evaluation.statistics import (
    area_under_curve,
    interval,
    normalized_score,
    time_to_threshold,
    worst_mean,
)
from metarl.reports.curves import split_names
from metarl.reports.findings import Named
from metarl.reports.numbers import DASH, bracketed, number, percent
from metarl.reports.page import Table
from metarl.tasks.space import IN_RANGE

THRESHOLD = 0.8
"""Normalized score from which a task counts as adapted to."""


def normalized(runs: Sequence[Named]) -> Table | None:
    """A row per run and split: the score between "randomized" (0) and an oracle (1).

    In the train ranges that is "oracle-in-range" if it is there, elsewhere "oracle".
    Only tasks on which the oracle beats the randomized policy count. None where either
    baseline is not among the runs, or no split has the same tasks for all three.
    """
    rows: list[Sequence[object]] = []
    for split in split_names([evaluation for _, evaluation in runs]):
        group: list[Sequence[object]] = []
        for name, evaluation in runs:
            part = evaluation.splits.get(split)
            if part is None or evaluation.run.agent in ("randomized", "oracle"):
                continue
            low = baseline(runs, "randomized", split, evaluation)
            oracle, high = upper(runs, split, evaluation)
            if low is not None and high is not None:
                scores = normalized_score(part.scores("return").T, low, high)
                group.append([name, *_cells(scores.T, part), oracle])
        if group:
            rows += [[split], *group]
    header = [
        "run",
        "score before",
        "score after",
        "area under the curve",
        f"robot time to {THRESHOLD:g}",
        f"share that reaches {THRESHOLD:g}",
        "worst 5 % after",
        "tasks that count",
        "1 is",
    ]
    return Table(header, rows) if rows else None


def upper(
    runs: Sequence[Named], split: str, other: Evaluation
) -> tuple[str, NDArray[np.float64] | None]:
    """The oracle that has score 1 on a split, and its returns: see `baseline`."""
    if split in IN_RANGE:
        found = baseline(runs, "oracle-in-range", split, other)
        if found is not None:
            return "oracle-in-range", found
    return "oracle", baseline(runs, "oracle", split, other)


def baseline(
    runs: Sequence[Named], agent: str, split: str, other: Evaluation
) -> NDArray[np.float64] | None:
    """Returns of a baseline without adaptation, (tasks,), the mean over its seeds.

    None where it was not run on the very tasks, and as long, as in ``other``.
    """

    def setting(evaluation: Evaluation) -> tuple[object, ...]:
        protocol = evaluation.protocol
        tasks = evaluation.splits[split].tasks
        return tasks, protocol.horizon, protocol.control_period

    found = [
        evaluation.splits[split].scores("return")[:, 0]
        for _, evaluation in runs
        if evaluation.run.agent == agent
        and split in evaluation.splits
        and setting(evaluation) == setting(other)
    ]
    return np.mean(found, axis=0) if found else None


def _cells(scores: NDArray[np.float64], split: Split) -> list[object]:
    """Cells of a row of `normalized` from scores, (tasks, points)."""
    counting = ~np.isnan(scores[:, 0])
    total, scores = len(scores), scores[counting]
    if not counting.any():
        return [*[DASH] * 6, f"0 of {total}"]
    episodes = [point.episodes for point in split.points]
    spent = np.array([point.seconds for point in split.points], float).T[counting]
    times = time_to_threshold(spent, scores, THRESHOLD)
    middle = float(np.median(times))
    areas = np.full(len(scores), np.nan)
    if len(episodes) > 1:
        areas = area_under_curve(episodes, scores)
    return [
        bracketed(interval(scores[:, 0])),
        bracketed(interval(scores[:, -1])),
        bracketed(interval(areas)),
        f"{number(middle)} s" if math.isfinite(middle) else "not reached",
        percent(float(np.isfinite(times).mean())),
        number(worst_mean(scores[:, -1])),
        f"{counting.sum()} of {total}",
    ]
