"""Hill climbing: adapt by keeping what works, however noisy its returns.

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
    lr: float = 0.02
    """Step size of the outer Adam."""


class HillClimb(ESMAML):
    """Learns a start from which hill climbing adapts fast."""

    Config: ClassVar[type] = HillClimbConfig

    def directions(self, generator: torch.Generator, rows: int) -> Tensor:
        """Perturbations of one step, the first of them none, (rows, round, ...)."""
        return perturbations(rows, self.episodes_per_update, len(self.start), generator)

    def moved(self, pivot: Tensor, directions: Tensor, returns: Tensor) -> Tensor:
        """The best policy of those that were tried; the pivot where it is the best."""
        return climbed(pivot, directions, returns, self.config.inner_sigma)


def perturbations(
    rows: int, trials: int, size: int, generator: torch.Generator
) -> Tensor:
    """Standard normal directions, the first of each row zero, (rows, trials, size)."""
    g = torch.randn(rows, trials, size, generator=generator)
    g[:, 0] = 0
    return g


def climbed(pivot: Tensor, directions: Tensor, returns: Tensor, sigma: float) -> Tensor:
    """The best of ``pivot + sigma * directions``, (rows, size).

    Args:
        pivot: (rows, size).
        directions: what was tried, the first of them none, (rows, k, size).
        returns: of the trials, (rows, k).
        sigma: standard deviation of the perturbations.
    """
    best = returns.argmax(1)  # the first of equals, which is the pivot
    return pivot + sigma * directions[torch.arange(len(pivot)), best]
