"""Policies made of stacked parameters: one for each task, all in one batch."""

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from metarl.environment.episodes import TimeStep
from metarl.learning.distributions import gaussian
from metarl.learning.networks import Parameters
from metarl.learning.normalization import Normalizer


def parts(*names: str) -> Callable[[Any, slice], Any]:
    """The method `part` of a policy that is a dataclass: the policy of some tasks.

    Args:
        names: fields with a leading task axis: tensors, or dictionaries or dataclasses
            of such.
    """

    def part(self: Any, tasks: slice) -> Any:
        fields = {name: _rows(getattr(self, name), tasks) for name in names}
        return replace(self, **fields)

    return part


def _rows(value: Any, tasks: slice) -> Any:
    if isinstance(value, dict):
        return {name: _rows(item, tasks) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **_rows(vars(value), tasks))
    return value[tasks]


@dataclass
class GaussianPolicy:
    """Acts with a Gaussian policy for each task."""

    parameters: Parameters
    """Each (task, ...)."""
    normalizer: Normalizer
    explore: bool = True
    """Sample actions; False acts by the mean."""
    part = parts("parameters")

    def act(self, time_step: TimeStep) -> Tensor:
        """Actions, (task, copy, action_size)."""
        actions = gaussian(self.parameters, self.normalizer(time_step.observation))
        return actions.sample(time_step.noise) if self.explore else actions.mean


@dataclass
class ConditionedPolicy:
    """A policy that reads a task embedding beside the observation."""

    parameters: Parameters
    normalizer: Normalizer
    embedding: Tensor
    """(task, embedding)."""
    known: Tensor
    """1 where there was support, else 0, (task,)."""
    explore: bool = True
    std: Tensor | None = None
    """Of its actions without support, in place of what was learnt."""
    part = parts("embedding", "known")

    def inputs(self, observation: Tensor) -> Tensor:
        """Normalized observations with embedding and flag, (task, ..., size)."""
        observation = self.normalizer(observation)
        extra = torch.cat([self.embedding, self.known[:, None]], -1)
        shape = (len(extra), *[1] * (observation.ndim - 2), extra.shape[-1])
        return torch.cat(
            [observation, extra.view(shape).expand(*observation.shape[:-1], -1)], -1
        )

    def act(self, time_step: TimeStep) -> Tensor:
        """Actions, (task, copy, action_size)."""
        actions = gaussian(self.parameters, self.inputs(time_step.observation))
        if not self.explore:
            return actions.mean
        std = actions.log_std.exp()
        if self.std is not None:
            std = torch.where(self.known[:, None, None] > 0, std, self.std)
        return actions.mean + std * time_step.noise
