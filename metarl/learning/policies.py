"""Policies as functions of their parameters.

Parameters are a dictionary of tensors. With a leading task axis on every tensor, the
same functions run one policy per task as batched matrix products:

    parameters = gaussian_parameters(17, 6, (64, 64), generator)   # one policy
    stacked = stack(parameters, tasks=20)                          # twenty
    mean, log_std = gaussian(stacked, observation)                 # (20, n, 6), (20, 6)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from metarl.world.rollout import Percept

Parameters = dict[str, Tensor]

MIN_LOG_STD = math.log(1e-6)
"""Floor of the exploration noise, as in rllab."""


def network_parameters(
    sizes: Sequence[int], generator: torch.Generator, last_scale: float = 1.0
) -> Parameters:
    """Weights of a fully connected network, Glorot-uniform, and zero biases.

    Args:
        sizes: units of each layer, the input first.
        generator: draws the weights.
        last_scale: factor on the last layer's weights.
    """
    parameters: Parameters = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        bound = math.sqrt(6 / (fan_in + fan_out))
        unit = torch.rand(fan_in, fan_out, generator=generator)
        weight = bound * (2 * unit - 1)
        if layer == len(sizes) - 2:
            weight *= last_scale
        parameters[f"weight{layer}"] = weight
        parameters[f"bias{layer}"] = torch.zeros(fan_out)
    return parameters


def network(parameters: Parameters, x: Tensor) -> Tensor:
    """The network's output with tanh between layers, (..., n, units)."""
    layers = sum(name.startswith("weight") for name in parameters)
    for layer in range(layers):
        bias = parameters[f"bias{layer}"].unsqueeze(-2)
        x = x @ parameters[f"weight{layer}"] + bias
        if layer < layers - 1:
            x = torch.tanh(x)
    return x


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


def gaussian(parameters: Parameters, observation: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, (..., n, action_size), and log standard deviation, (..., action_size)."""
    return (
        network(parameters, observation),
        parameters["log_std"].clamp(min=MIN_LOG_STD),
    )


def log_probability(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """Log density of actions, summed over action components, (..., n)."""
    log_std = log_std.unsqueeze(-2)
    z = (action - mean) * torch.exp(-log_std)
    return (-0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)


def kl_divergence(
    old_mean: Tensor, old_log_std: Tensor, mean: Tensor, log_std: Tensor
) -> Tensor:
    """KL(old || new) of diagonal Gaussians, summed over components, (..., n)."""
    old_log_std, log_std = old_log_std.unsqueeze(-2), log_std.unsqueeze(-2)
    difference = (old_mean - mean).square() + torch.exp(2 * old_log_std)
    ratio = difference / (2 * torch.exp(2 * log_std))
    return (ratio + log_std - old_log_std - 0.5).sum(-1)


def stack(parameters: Parameters, tasks: int) -> Parameters:
    """The same parameters for every task, with a leading task axis (no copy)."""
    return {name: p.expand(tasks, *p.shape) for name, p in parameters.items()}


def policy_part(parameters: Parameters) -> Parameters:
    """The entries that a policy is made of: those without a slash in their name.

    What an agent learns beside a policy is kept in the same dictionary, under names
    such as ``rate/weight0``.
    """
    return {name: p for name, p in parameters.items() if "/" not in name}


def leaves(parameters: Parameters) -> Parameters:
    """The same values, cut from any graph, to be differentiated by."""
    return {name: p.detach().requires_grad_() for name, p in parameters.items()}


@dataclass
class GaussianPolicy:
    """Acts with stacked parameters, one policy per task."""

    parameters: Parameters
    """Each (task, ...)."""
    explore: bool = True
    """Sample actions; False acts by the mean."""

    def act(self, percept: Percept) -> Tensor:
        """Actions, (task, copy, action_size)."""
        mean, log_std = gaussian(self.parameters, percept.observation)
        if not self.explore:
            return mean
        return mean + torch.exp(log_std).unsqueeze(-2) * percept.noise
