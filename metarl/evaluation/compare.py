"""Paired comparisons: all agents meet the same tasks, so they are compared on each.

    rows = compare({"maml": maml_evaluations, "rl2": rl2_evaluations}, "return")
    rows[0].difference        # mean of first minus second, with its interval

An interval for each agent says little about their difference: most of its width is how
tasks differ, which both share. Here a task is drawn for both at once.

Source of the probability of improvement: Agarwal et al., "Deep Reinforcement Learning
at the Edge of the Statistical Precipice" (NeurIPS 2021). Of the correction for many
comparisons: Holm, "A simple sequentially rejective multiple test procedure" (1979).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t

from metarl.errors import InputError, unknown
from metarl.evaluation.results import Evaluation
from metarl.evaluation.statistics import Estimate


@dataclass(frozen=True)
class Comparison:
    """Two agents on one split after one budget, or several that change neither."""

    first: str
    second: str
    split: str
    episodes: float
    """Of adaptation, of each task."""
    until: float
    """The largest budget at which both agents still have the same values."""
    tasks: int
    """On which both have the measure."""
    difference: Estimate
    """Mean of the first minus the second on the same tasks."""
    improvement: float
    """Probability that the first is better on a task; ties count half."""
    p_value: float
    """Of no difference, two-sided, corrected for all comparisons."""

    @property
    def apart(self) -> bool:
        """Whether they differ, with the correction, at the 5 % level."""
        return self.p_value < 0.05


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Estimate, float]:
    """The mean paired difference with its percentile interval, and its p-value.

    The p-value is Student's, of the difference in standard errors of the bootstrap.

    Each resample draws seeds of either agent, and then tasks, the same for both. With
    one seed each, only tasks are resampled: the interval then says nothing about how
    other training runs would fare.

    Args:
        first: (seeds, tasks).
        second: (other seeds, tasks), of the same tasks in the same order.
        level: coverage of the interval, in (0, 1).
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.

    Raises:
        InputError: if the numbers of tasks differ, or none has both values.
    """
    one, other = _defined(first, second)
    rng = np.random.default_rng(seed)
    tasks = rng.integers(one.shape[1], size=(resamples, one.shape[1]))
    means = []
    for table in (one, other):
        seeds = rng.integers(len(table), size=(resamples, len(table), 1))
        means.append(table[seeds, tasks[:, None]].mean((1, 2)))
    drawn = means[0] - means[1]
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    value, error = float(one.mean() - other.mean()), float(drawn.std())
    # Counting resamples beyond 0 would find no p-value below one in their number, and
    # many comparisons need smaller ones.
    if error > 1e-12 * abs(value):
        p_value = float(2 * student_t.sf(abs(value) / error, max(one.shape[1] - 1, 1)))
    else:
        p_value = float(value == 0)
    return Estimate(value, float(low), float(high)), p_value


def probability_of_improvement(first: ArrayLike, second: ArrayLike) -> float:
    """Probability that a run of the first is better than one of the second on a task.

    Args:
        first: (seeds, tasks).
        second: (other seeds, tasks).
    """
    one, other = _defined(first, second)
    pairs = one[:, None] - other[None]
    return float(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in the order given."""
    corrected, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = running
    return corrected


def compare(
    groups: Mapping[str, Sequence[Evaluation]],
    measure: str = "return",
    *,
    against: str | None = None,
    splits: Sequence[str] = (),
) -> list[Comparison]:
    """Every pair of agents on every split and budget that both have.

    Budgets at which neither changes are one comparison: an agent that does not adapt
    between episodes would else be corrected for the same number several times.

    Args:
        groups: evaluations of each agent, one per seed, by its name.
        measure: "return", "success" or a metric of the family; larger is better.
        against: compare all others with this one only.
        splits: which; default: all that two agents share.

    Returns:
        Rows in the order of splits and budgets.

    Raises:
        InputError: for fewer than two agents, an unknown name, other families, or
            evaluations on other tasks.
    """
    if len(groups) < 2:
        raise InputError(f"A comparison needs two agents, got {', '.join(groups)}.")
    if against is not None and against not in groups:
        raise unknown("agent to compare with:", against, groups)
    every = [e for group in groups.values() for e in group]
    _check_same(every)
    names = list(dict.fromkeys(name for e in every for name in e.splits))
    for name in splits:
        if name not in names:
            raise unknown("evaluated split", name, names)
    pairs = [
        (a, b) if against is None else (b if a == against else a, against)
        for a, b in combinations(groups, 2)
        if against is None or against in (a, b)
    ]
    rows = [
        row
        for split in splits or names
        for pair in pairs
        for row in _rows(groups, pair, split, measure)
    ]
    corrected = holm([row.p_value for row in rows])
    return [replace(r, p_value=p) for r, p in zip(rows, corrected, strict=True)]


def _rows(
    groups: Mapping[str, Sequence[Evaluation]],
    pair: tuple[str, str],
    split: str,
    measure: str,
) -> Iterator[Comparison]:
    tables = []
    for name in pair:
        parts = [e.splits[split] for e in groups[name] if split in e.splits]
        if not parts:
            return
        budgets = [point.episodes for point in parts[0].points]
        tables.append((budgets, np.stack([part.scores(measure) for part in parts])))
    (budgets, one), (others, other) = tables
    shared = [b for b in budgets if b in others]
    columns = [
        (one[:, :, budgets.index(b)], other[:, :, others.index(b)]) for b in shared
    ]
    for place, (first, second) in enumerate(columns):
        if place and _same(columns[place - 1], columns[place]):
            continue
        both = ~(np.isnan(first).any(0) | np.isnan(second).any(0))
        if both.any():
            until = place
            while until + 1 < len(shared) and _same(columns[until + 1], columns[place]):
                until += 1
            difference, p_value = paired_difference(first, second)
            improvement = probability_of_improvement(first, second)
            yield Comparison(
                *(*pair, split, shared[place], shared[until], int(both.sum())),
                *(difference, improvement, p_value),
            )


def _same(
    one: tuple[NDArray[np.float64], ...], other: tuple[NDArray[np.float64], ...]
) -> bool:
    return all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True)
    )


def _defined(
    first: ArrayLike, second: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both tables, (seeds, tasks), on the tasks where all their values are defined."""
    one, other = (np.atleast_2d(np.asarray(t, float)) for t in (first, second))
    if one.shape[1] != other.shape[1]:
        raise InputError(
            f"{one.shape[1]} tasks cannot be paired with {other.shape[1]}."
        )
    both = ~(np.isnan(one).any(0) | np.isnan(other).any(0))
    if not both.any():
        raise InputError("No task has a value of both.")
    return one[:, both], other[:, both]


def _check_same(evaluations: Sequence[Evaluation]) -> None:
    """Raise InputError unless all were evaluated on the same tasks of one family."""
    first, *others = evaluations
    for other in others:
        if other.run.family != first.run.family:
            raise InputError(
                f"{first.name} is of {first.run.family}, but {other.name} of "
                f"{other.run.family}: only agents of one family can be compared."
            )
        for split in first.splits.keys() & other.splits.keys():
            if first.splits[split].tasks != other.splits[split].tasks:
                raise InputError(
                    f"{first.name} and {other.name} were evaluated on other tasks of "
                    f"{split!r}: evaluate both with the same --tasks and --seed."
                )
