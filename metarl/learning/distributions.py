"""The distribution of actions: one class, whichever agent it belongs to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metarl.learning.networks import Parameters, network, network_parameters

MIN_LOG_STD = math.log(1e-6)
"""Floor of the exploration noise, as in rllab."""


@dataclass
class Gaussian:
    """Independent normal distributions of the components of actions."""

    mean: Tensor
    """(..., n, action_size)."""
    log_std: Tensor
    """Logarithm of the standard deviation; broadcasts with the mean."""

    def sample(self, noise: Tensor) -> Tensor:
        """Actions from standard normal numbers of the mean's shape."""
        return self.mean + torch.exp(self.log_std) * noise

    def log_prob(self, action: Tensor) -> Tensor:
        """Log density of actions, summed over their components, (..., n)."""
        # A node of its own, so that gradients of density and entropy round as ever.
        log_std = self.log_std.view_as(self.log_std)
        z = (action - self.mean) * torch.exp(-log_std)
        return (-0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self) -> Tensor:
        """Entropy in nats, summed over the components: the shape of log_std less one.

        It does not depend on the mean.
        """
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def kl(self, new: "Gaussian") -> Tensor:
        """KL(self || new), summed over the components, (..., n)."""
        difference = (self.mean - new.mean).square() + torch.exp(2 * self.log_std)
        ratio = difference / (2 * torch.exp(2 * new.log_std))
        return (ratio + new.log_std - self.log_std - 0.5).sum(-1)


def gaussian_parameters(
    observation_size: int,
    action_size: int,
    hidden: Sequence[int],
    generator: torch.Generator,
    initial_std: float = 1.0,
) -> Parameters:
    """A Gaussian policy: a network for the mean, a free logarithm of the deviation."""
    sizes = (observation_size, *hidden, action_size)
    parameters = network_parameters(sizes, generator)
    parameters["log_std"] = torch.full((action_size,), math.log(initial_std))
    return parameters


def gaussian(parameters: Parameters, observation: Tensor) -> Gaussian:
    """What a policy does.

    Args:
        parameters: as `gaussian_parameters`, each (..., shape) where there are several
            policies.
        observation: (..., n, observation_size).
    """
    log_std = parameters["log_std"].clamp(min=MIN_LOG_STD).unsqueeze(-2)
    return Gaussian(network(parameters, observation), log_std)
