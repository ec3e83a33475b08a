"""What random actions reach: the floor that every trained policy is judged against."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarl.evaluation.statistics import interval
from metarl.family import TaskFamily
from metarl.world.environment import Environment
from metarl.world.rollout import Percept, collect


class Random:
    """Uniform actions."""

    def act(self, percept: Percept) -> Tensor:
        """In [-1, 1], (task, copy, action_size)."""
        return torch.erf(percept.noise / 2**0.5)


def judge_random(
    family: TaskFamily, split: str, tasks: int, episodes: int
) -> dict[str, Any]:
    """Returns and successes of random actions, one number for each task.

    Args:
        family: the family.
        split: of its tasks.
        tasks: how many of them.
        episodes: episodes of each.
    """
    environment = Environment(family, family.tasks(split, tasks), episodes)
    seen = collect(environment, Random(), seed=0)
    return {
        "return": seen.returns.double().mean(1).tolist(),
        "success": seen.success.double().mean(1).tolist(),
    }


def summary(returns: list[float], success: Any) -> dict[str, Any]:
    """Interquartile mean of the return with its interval, and mean success."""
    mean = float(np.mean(success)) if success is not None else float("nan")
    return {
        "return": list(interval(returns)),
        "success": None if mean != mean else mean,
    }
