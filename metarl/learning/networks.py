"""Policies as functions of their parameters.

Parameters are a dictionary of tensors. With a leading task axis on every tensor, the
same functions run one policy per task as batched matrix products:

    parameters = gaussian_parameters(17, 6, (64, 64), generator)   # one policy
    stacked = stack(parameters, tasks=20)                          # twenty
    mean, log_std = gaussian(stacked, observation)                 # (20, n, 6), (20, 6)
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

Parameters = dict[str, Tensor]


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


def network(
    parameters: Parameters,
    x: Tensor,
    activation: Callable[[Tensor], Tensor] = torch.tanh,
) -> Tensor:
    """The network's output with an activation between layers, (..., n, units)."""
    layers = sum(name.startswith("weight") for name in parameters)
    for layer in range(layers):
        bias = parameters[f"bias{layer}"].unsqueeze(-2)
        x = x @ parameters[f"weight{layer}"] + bias
        if layer < layers - 1:
            x = activation(x)
    return x


def stack(parameters: Parameters, tasks: int) -> Parameters:
    """The same parameters for every task, with a leading task axis (no copy)."""
    return {name: p.expand(tasks, *p.shape) for name, p in parameters.items()}


def leaves(parameters: Parameters) -> Parameters:
    """The same values, cut from any graph, to be differentiated by."""
    return {name: p.detach().requires_grad_() for name, p in parameters.items()}


def detached(parameters: Parameters) -> Parameters:
    """The same values, cut from any graph."""
    return {name: p.detach() for name, p in parameters.items()}


Learnt = dict[str, Parameters]
"""All that an agent learns, in groups: ``start`` is the start of its policy."""


def named(learnt: Mapping[str, Parameters]) -> Parameters:
    """Copies of all that is learnt, for a checkpoint.

    The start's names stand alone; others are ``group/name``.
    """
    return {
        name if group == "start" else f"{group}/{name}": p.detach().clone()
        for group, parameters in learnt.items()
        for name, p in parameters.items()
    }


def learnt_from(tensors: Mapping[str, Tensor], like: Learnt) -> Learnt:
    """What `named` returned, among others, in the groups of ``like``."""
    return {
        group: {
            name: tensors[name if group == "start" else f"{group}/{name}"].clone()
            for name in parameters
        }
        for group, parameters in like.items()
    }
