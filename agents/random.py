"""Random actions: the floor that every agent is compared with."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from metarl.environment.episodes import TimeStep
from metarl.learning.agent import Adaptation, Agent, Metrics, NoAdaptation
from metarl.learning.sampler import Sampler


@dataclass(frozen=True)
class RandomConfig:
    """Random actions have no hyper-parameters."""


class Random(Agent):
    """Uniform actions; it neither trains nor adapts."""

    Config: ClassVar[type] = RandomConfig
    kind: ClassVar[str] = "baseline"
    trains = False
    normalizes = True

    def train_step(self, sampler: Sampler) -> Metrics:
        """Nothing."""
        return {}

    def adaptation(self, tasks: int) -> Adaptation:
        """No adaptation."""
        return NoAdaptation(UniformPolicy())

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Nothing."""
        return {}, {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Nothing."""


class UniformPolicy:
    """Uniform actions in [-1, 1]."""

    def act(self, time_step: TimeStep) -> Tensor:
        """Actions, (task, copy, action_size)."""
        # The distribution function of the normal turns normal noise into uniform.
        return torch.erf(time_step.noise / 2**0.5)
