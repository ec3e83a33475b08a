"""Evaluations of several runs as arrays, for plots and reports."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarl.environment.registry import label
from metarl.evaluation.results import Evaluation


class Curve(NamedTuple):
    """One measure over tasks and budgets."""

    episodes: NDArray[np.float64]
    """(points,) budgets in adaptation episodes, increasing."""
    seconds: NDArray[np.float64]
    """(points,) mean simulated seconds spent at each budget."""
    scores: NDArray[np.float64]
    """(seeds, tasks, points), NaN where undefined."""


def curve(evaluations: Sequence[Evaluation], split: str, measure: str) -> Curve:
    """A measure of one agent on one split, over its seeds.

    Args:
        evaluations: the agent's evaluations, one per seed; those without the split, or
            with another number of tasks or other budgets than the first, are left out.
        split: name of the split; at least one evaluation has it.
        measure: "return", "success", "online_return" or the name of a metric.

    Returns:
        The curve; all scores NaN where the measure was not taken.
    """
    parts = [e.splits[split] for e in evaluations if split in e.splits]
    episodes = [[point.episodes for point in part.points] for part in parts]
    same = [
        part
        for part, budgets in zip(parts, episodes, strict=True)
        if budgets == episodes[0] and len(part.tasks) == len(parts[0].tasks)
    ]
    return Curve(
        np.array(episodes[0], float),
        np.mean([part.mean_seconds for part in same], axis=0),
        np.stack([part.scores(measure) for part in same]),
    )


def split_names(evaluations: Sequence[Evaluation]) -> list[str]:
    """The names of all splits, in the order in which they first appear."""
    return list(dict.fromkeys(name for e in evaluations for name in e.splits))


def by_agent(evaluations: Sequence[Evaluation]) -> dict[str, list[Evaluation]]:
    """Evaluations grouped by agent, and by family where there are several."""
    families = {e.run.family for e in evaluations}
    groups: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        family = f"{label(evaluation.run.family)} " if len(families) > 1 else ""
        groups.setdefault(family + evaluation.name, []).append(evaluation)
    return groups
