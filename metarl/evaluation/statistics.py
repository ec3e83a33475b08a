"""Robust summaries over seeds and tasks, and measures of adaptation speed.

Scores are arrays of shape (seeds, tasks), or (tasks,) for a single seed. NaN stands for
"not defined" (a family without a success measure, a task without headroom) and is left
out of every summary.

Sources: interquartile mean and stratified bootstrap after Agarwal et al., "Deep
Reinforcement Learning at the Edge of the Statistical Precipice" (NeurIPS 2021).
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metarl.errors import InputError

Statistic = Literal["iqm", "mean"]


class Estimate(NamedTuple):
    """A value and its confidence interval."""

    value: float
    low: float
    high: float


def interquartile_mean(values: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Mean of the middle half of the values.

    Exactly a quarter of the mass is cut at each end: where a quarter of n is no whole
    number, the values at the cuts count in part. NaNs are left out.

    Args:
        values: any shape.
        axis: the axis to summarise.

    Returns:
        The values' shape without ``axis``; NaN where nothing is left to average.
    """
    ordered = np.sort(np.moveaxis(np.asarray(values, float), axis, -1), axis=-1)
    valid = ~np.isnan(ordered)  # sort puts NaNs last
    count = valid.sum(-1, keepdims=True)
    rank = np.arange(ordered.shape[-1])
    # Value i covers the mass from i to i + 1; the middle half is n/4 to 3n/4.
    inside = np.minimum(rank + 1, 0.75 * count) - np.maximum(rank, 0.25 * count)
    weights = np.where(valid, np.clip(inside, 0, None), 0.0)
    return _weighted(ordered, weights)


def interval(
    scores: ArrayLike,
    statistic: Statistic = "iqm",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    same_tasks: bool = True,
) -> Estimate:
    """A summary of all scores with its percentile bootstrap interval.

    Each resample draws seeds with replacement, and then tasks with replacement: the
    same ones for all seeds, as all of them are evaluated on the same tasks. Tasks drawn
    anew for each seed would take their luck for independent, and the interval would be
    too narrow. With one seed, only the tasks are resampled: the interval then says
    nothing about how another training run would fare.

    Args:
        scores: (seeds, tasks) or (tasks,).
        statistic: "iqm" or "mean", over all seeds and tasks together.
        level: coverage of the interval, in (0, 1).
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.
        same_tasks: whether a column is one task; False if every seed has its own.

    Returns:
        The estimate; all NaN where no score is defined.

    Raises:
        InputError: for another statistic, level or shape.
    """
    table = np.asarray(scores, float)
    table = table[None] if table.ndim == 1 else table
    if table.ndim != 2:
        raise InputError(f"scores: shape {table.shape} is not (seeds, tasks).")
    if statistic not in ("iqm", "mean"):
        raise InputError(f"statistic={statistic!r} is not 'iqm' or 'mean'.")
    if not 0 < level < 1:
        raise InputError(f"level={level} is not between 0 and 1.")
    if np.isnan(table).all():
        return Estimate(np.nan, np.nan, np.nan)
    seeds, tasks = table.shape
    rng = np.random.default_rng(seed)
    drawn = rng.integers(seeds, size=(resamples, seeds, 1))
    within = rng.integers(tasks, size=(resamples, 1 if same_tasks else seeds, tasks))
    resampled = _summary(table[drawn, within].reshape(resamples, -1), statistic)
    tail = 100 * (1 - level) / 2
    # Between two infinite times there is nothing to interpolate.
    infinite = np.isinf(resampled).any()
    low, high = np.nanpercentile(
        resampled, [tail, 100 - tail], method="inverted_cdf" if infinite else "linear"
    )
    value = _summary(table.reshape(1, -1), statistic)[0]
    return Estimate(float(value), float(low), float(high))


def normalized_score(
    returns: ArrayLike, randomized: ArrayLike, oracle: ArrayLike
) -> NDArray[np.float64]:
    """Place returns between the randomized policy (0) and the oracle (1), per task.

    Args:
        returns: (..., tasks) returns to score.
        randomized: (tasks,) returns of the domain-randomized policy, not adapted.
        oracle: (tasks,) returns of the policy that sees the task.

    Returns:
        The unclipped score, of the shape of ``returns``; NaN for the tasks where the
        oracle is no better than the randomized policy: nothing is to be gained there.
    """
    base = np.asarray(randomized, float)
    headroom = np.asarray(oracle, float) - base
    headroom = np.where(headroom > 0, headroom, np.nan)
    return (np.asarray(returns, float) - base) / headroom


def area_under_curve(budgets: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Mean score over the logarithmic budget axis: early gains count most.

    The trapezoid rule over log(1 + budget), divided by the length of that axis.

    Args:
        budgets: (points,) adaptation episodes, strictly increasing.
        scores: (..., points).

    Returns:
        (...) areas, in the unit of the scores.

    Raises:
        InputError: for fewer than two budgets, or budgets out of order.
    """
    axis = np.log1p(np.asarray(budgets, float))
    if axis.ndim != 1 or len(axis) < 2 or not (np.diff(axis) > 0).all():
        raise InputError(f"budgets={budgets!r} must be two or more, increasing.")
    return np.trapezoid(np.asarray(scores, float), axis) / (axis[-1] - axis[0])


def time_to_threshold(
    seconds: ArrayLike, scores: ArrayLike, threshold: float = 0.8
) -> NDArray[np.float64]:
    """Robot time until the score first reaches a threshold.

    Args:
        seconds: (points,) or (..., points) simulated seconds spent so far.
        scores: (..., points).
        threshold: the score to reach.

    Returns:
        (...) seconds; infinity where the threshold is not reached within the budget
        (right-censored), NaN where no score is defined.
    """
    values = np.asarray(scores, float)
    reached = values >= threshold  # NaN never reaches
    times = np.broadcast_to(np.asarray(seconds, float), values.shape)
    first = np.take_along_axis(times, reached.argmax(-1)[..., None], -1)[..., 0]
    undefined = np.where(np.isnan(values).all(-1), np.nan, np.inf)
    return np.where(reached.any(-1), first, undefined)


def share_made_worse(before: ArrayLike, after: ArrayLike) -> float:
    """Share of tasks whose return fell through adaptation; NaN if none is defined."""
    change = np.asarray(after, float) - np.asarray(before, float)
    change = change[~np.isnan(change)]
    return float((change < 0).mean()) if change.size else float("nan")


def worst_mean(values: ArrayLike, share: float = 0.05) -> float:
    """Mean of the worst share of the values (the tail that a robot must survive).

    Where the share is no whole number of values, the last one counts in part; a share
    of less than one value is the worst value.

    Raises:
        InputError: for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise InputError(f"share={share} is not in (0, 1].")
    ordered = np.sort(np.asarray(values, float), axis=None)
    ordered = ordered[~np.isnan(ordered)]
    weights = np.clip(share * ordered.size - np.arange(ordered.size), 0, 1)
    return float(_weighted(ordered, weights))


def _summary(values: NDArray[np.float64], statistic: Statistic) -> NDArray[np.float64]:
    """Summarise the last axis, leaving out NaNs."""
    if statistic == "iqm":
        return interquartile_mean(values)
    return _weighted(values, (~np.isnan(values)).astype(float))


def _weighted(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted mean over the last axis; NaN where all weights are 0."""
    total = weights.sum(-1)
    kept = np.where(weights > 0, values, 0.0)  # 0 * NaN would be NaN
    return np.divide(
        (weights * kept).sum(-1),
        total,
        out=np.full(total.shape, np.nan),
        where=total > 0,
    )
