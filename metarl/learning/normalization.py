"""Normalizing observations: running statistics inside the policies that use them.

A joint's velocity is tens of times larger than its angle, and a network that is given
both as they are follows the velocity alone. On half-cheetah, MAML then learns four
times more slowly.

    agent.normalizer(observation)                        # in a policy, in a loss
    agent.normalizer.update(episodes.observation, episodes.mask)

Agents update it at the end of a meta-iteration, so that all episodes of an iteration
are normalized in the same way. It is part of what is learnt: adaptation and evaluation
do not change it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_PARTS = ("count", "mean", "square")


class Normalizer(nn.Module):
    """Observations in standard deviations from their running mean, clipped to +-10.

    Args:
        size: numbers in an observation.
        enabled: False passes observations on as they are.
        floor: least standard deviation that anything is divided by.
        epsilon: added to the variance.
    """

    count: Tensor
    """Observations seen, () float64."""
    mean: Tensor
    """(size,) float64."""
    square: Tensor
    """Sum of squared distances from the mean, (size,) float64."""

    def __init__(
        self,
        size: int,
        *,
        enabled: bool = True,
        floor: float = 1e-2,
        epsilon: float = 0.0,
    ) -> None:
        super().__init__()
        self.enabled, self.floor, self.epsilon = enabled, floor, epsilon
        zeros = torch.zeros(size, dtype=torch.float64)
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", zeros)
        self.register_buffer("square", zeros.clone())

    @classmethod
    def of(cls, mean: Tensor, variance: Tensor, epsilon: float = 1e-8) -> "Normalizer":
        """One that is given its statistics, as VecNormalize applies them.

        Args:
            mean: (size,), or whatever broadcasts with observations.
            variance: of the same shape.
            epsilon: added to the variance.
        """
        made = cls(0, floor=0.0, epsilon=epsilon)
        # Twice the variance of two observations: powers of two do not round.
        made.count = torch.full_like(mean.flatten()[0], 2.0)
        made.mean, made.square = mean, 2 * variance
        return made

    def begin(self, observation: Tensor) -> None:
        """Take the first observations into account, (n, size); later ones are not."""
        if not self.count:
            self.update(observation, torch.ones_like(observation[:, 0]))

    @property
    def variance(self) -> Tensor:
        """Of the observations so far, (size,)."""
        return self.square / self.count

    @torch.no_grad()
    def update(self, observation: Tensor, mask: Tensor) -> None:
        """Take more observations into account.

        Args:
            observation: (..., size), as the robot gave them.
            mask: above 0 where one counts, (...).
        """
        seen = observation[mask > 0].double()
        if not self.enabled or not len(seen):
            return
        count = self.count + len(seen)
        mean, square = seen.mean(0), (seen - seen.mean(0)).square().sum(0)
        apart = mean - self.mean
        between = apart.square() * self.count * len(seen) / count
        self.square = self.square + square + between
        self.mean = self.mean + apart * len(seen) / count
        self.count = count

    def forward(self, observation: Tensor) -> Tensor:
        """Normalized observations, (..., size) float32; as they are before any."""
        if not self.enabled or self.count < 2:
            return observation
        scale = (self.variance + self.epsilon).sqrt().clamp(min=self.floor)
        return ((observation - self.mean) / scale).clamp(-10, 10).float()

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """For a checkpoint: ``prefix/mean``, ... Nothing if it is not enabled."""
        if not self.enabled:
            return {}
        return {f"{prefix}/{name}": getattr(self, name).clone() for name in _PARTS}

    def load(self, tensors: Mapping[str, Tensor], prefix: str) -> None:
        """Take over what `tensors` returned."""
        for name in _PARTS if self.enabled else ():
            setattr(self, name, tensors[f"{prefix}/{name}"].clone())
