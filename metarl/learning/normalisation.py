"""Running statistics of what a robot observes. Evaluation never updates them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Statistics:
    """Running mean and variance of observations; a value, never changed in place."""

    count: Tensor
    """Observations seen, () float64."""
    mean: Tensor
    """(observation_size,) float64."""
    square: Tensor
    """Sum of squared distances from the mean, (observation_size,) float64."""

    @classmethod
    def nothing(cls, size: int) -> "Statistics":
        """Of no observation."""
        zeros = torch.zeros(size, dtype=torch.float64)
        return cls(torch.zeros((), dtype=torch.float64), zeros, zeros.clone())

    def extended(self, observation: Tensor, mask: Tensor) -> "Statistics":
        """With the observations that ``mask`` counts, (..., observation_size)."""
        seen = observation[mask > 0].double()
        if not len(seen):
            return self
        count = self.count + len(seen)
        mean, square = seen.mean(0), (seen - seen.mean(0)).square().sum(0)
        apart = mean - self.mean
        between = apart.square() * self.count * len(seen) / count
        return Statistics(
            count, self.mean + apart * len(seen) / count, self.square + square + between
        )

    def normalised(self, observation: Tensor) -> Tensor:
        """Observations with mean 0 and deviation 1, clipped to +-10."""
        if self.count < 2:
            return observation
        scale = (self.square / self.count).sqrt().clamp(min=1e-2)
        return ((observation - self.mean) / scale).clamp(-10, 10).float()

    def tensors(self, prefix: str = "statistics") -> dict[str, Tensor]:
        """For a checkpoint: ``statistics/mean``, ..."""
        return {f"{prefix}/{name}": value for name, value in vars(self).items()}

    @classmethod
    def of_tensors(
        cls, tensors: Mapping[str, Tensor], prefix: str = "statistics"
    ) -> "Statistics":
        """What `tensors` returned, among others."""
        return cls(*(tensors[f"{prefix}/{n}"] for n in ("count", "mean", "square")))


@dataclass(frozen=True)
class Moments:
    """Mean and variance of observations, as VecNormalize applies them."""

    mean: Tensor
    """(observation_size,), or (task, 1, observation_size)."""
    variance: Tensor
    """Of the same shape."""

    def normalised(self, observation: Tensor) -> Tensor:
        """Observations with mean 0 and deviation 1, clipped to +-10."""
        scaled = (observation - self.mean) / torch.sqrt(self.variance + 1e-8)
        return scaled.clamp(-10, 10)
