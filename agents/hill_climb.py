"""Hill climbing: adapt to a robot by keeping what works, however noisy its returns.

Song et al., "Rapidly adaptable legged robots via evolutionary meta-learning", 2020. The
start is learnt as in ES-MAML; the operator that adapts is batch hill climbing:

    try the pivot and P perturbations of it, an episode each
    the best perturbation becomes the pivot if it beat the pivot

A pivot won as the maximum of noisy returns, so its old return is too good. It is tried
again in every step, and that episode counts as robot time like any other: a lucky
winner is found out, and a real one stays.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from metarl.agents.es_maml import ESMAML, ESMAMLConfig


@dataclass(frozen=True)
class HillClimbConfig(ESMAMLConfig):
    """Hyper-parameters of evolutionary hill climbing."""

    inner_steps: int = 2
    """Adaptation steps in training."""
    trials: int = 5
    """Episodes of an adaptation step: the pivot's, and one of each perturbation."""


class HillClimb(ESMAML):
    """Learns a start from which hill climbing adapts fast."""

    Config: ClassVar[type] = HillClimbConfig

    def directions(self, generator: torch.Generator, rows: int) -> Tensor:
        """Perturbations of one step, the first of them none, (rows, round, ...)."""
        g = torch.randn(rows, self.round, len(self.start), generator=generator)
        g[:, 0] = 0
        return g

    def moved(self, pivot: Tensor, directions: Tensor, returns: Tensor) -> Tensor:
        """The best policy of those that were tried; the pivot where it is the best."""
        best = returns.argmax(1)  # the first of equals, which is the pivot
        rows = torch.arange(len(pivot))
        return pivot + self.config.inner_sigma * directions[rows, best]
