"""What reads the features of a memory: heads of recurrent policies, and a critic.

    linear         mean = W h + b                       h: features
    skip           mean = network(h, x)                 x: what the memory reads
    hypernetwork   mean = network(o; weights B + D h)   o: the observation in it

A linear head knows the observation only as the memory passes it on. The others read it
themselves, and the memory is left with what differs from task to task (Ni et al.,
"Recurrent model-free RL can be a strong baseline for many POMDPs", 2022). D is zero at
first, so that all tasks begin with one policy (Beck et al., "Recurrent hypernetworks
are surprisingly strong in meta-RL", 2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from metarl.errors import InputError
from metarl.learning.normalization import Normalizer
from metarl.learning.ppo import layers

FIRST = 0.01
"""Scale of the last layer's weights, so that the first policy prefers nothing."""

HeadName = Literal["skip", "linear", "hypernetwork"]


@dataclass(frozen=True)
class Sizes:
    """How many numbers there are of what a head reads and gives."""

    features: int
    inputs: int
    """Of the memory; the observation comes first."""
    observation: int
    action: int


def make_head(
    name: HeadName, sizes: Sizes, hidden: Sequence[int], generated: int
) -> nn.Module:
    """A module from features and inputs, each (..., size), to mean actions.

    Args:
        name: of the head.
        sizes: of what it reads and gives.
        hidden: units of the hidden layers of a skip head.
        generated: units of the hidden layer of a hypernetwork's policy.

    Raises:
        InputError: if there is no such head.
    """
    if name == "linear":
        return LinearHead(sizes)
    if name == "skip":
        return SkipHead(sizes, hidden)
    if name == "hypernetwork":
        return Hypernetwork(sizes, generated)
    raise InputError(f"head={name!r} must be 'skip', 'linear' or 'hypernetwork'.")


class LinearHead(nn.Module):
    """Reads the features alone."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        linear = nn.Linear(sizes.features, sizes.action)
        # Weights of its own, for runs of earlier versions have them by these names.
        self.weight = nn.Parameter(FIRST * linear.weight.detach())
        self.bias = nn.Parameter(torch.zeros(sizes.action))

    def forward(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Mean actions, (..., action_size)."""
        return nn.functional.linear(features, self.weight, self.bias)


class SkipHead(nn.Module):
    """Reads the features, and the present inputs beside them."""

    def __init__(self, sizes: Sizes, hidden: Sequence[int]) -> None:
        super().__init__()
        units = (sizes.features + sizes.inputs, *hidden, sizes.action)
        self.network = layers(units, FIRST)

    def forward(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Mean actions, (..., action_size)."""
        mean: Tensor = self.network(torch.cat([features, inputs], -1))
        return mean


class Hypernetwork(nn.Module):
    """Turns the features into the weights of a policy, which reads the observation.

    The policy has one hidden layer. The weights that all tasks share are the bias of
    the layer that makes them.
    """

    def __init__(self, sizes: Sizes, units: int) -> None:
        super().__init__()
        self.observation_size = sizes.observation
        # Each layer's weights and biases: (outputs, inputs) and (outputs, 1).
        self.shapes = [
            *((units, sizes.observation), (units, 1)),
            *((sizes.action, units), (sizes.action, 1)),
        ]
        self.weights = nn.Linear(sizes.features, sum(a * b for a, b in self.shapes))
        nn.init.zeros_(self.weights.weight)
        first, first_bias, last, last_bias = self.parts(self.weights.bias.detach())
        nn.init.xavier_uniform_(first)
        nn.init.zeros_(first_bias)
        nn.init.xavier_uniform_(last, FIRST)
        nn.init.zeros_(last_bias)

    def forward(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Mean actions, (..., action_size)."""
        first, first_bias, last, last_bias = self.parts(self.weights(features))
        observation = inputs[..., : self.observation_size]
        hidden = torch.tanh(_times(first, observation) + first_bias[..., 0])
        return _times(last, hidden) + last_bias[..., 0]

    def parts(self, weights: Tensor) -> list[Tensor]:
        """Weights and biases, each (..., rows, columns), from all of them in a row."""
        flat = weights.split([a * b for a, b in self.shapes], -1)
        return [p.unflatten(-1, s) for p, s in zip(flat, self.shapes, strict=True)]


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """A matrix for each vector; on a CPU faster than batched products of small ones."""
    return (matrix * vector[..., None, :]).sum(-1)


class Critic(nn.Module):
    """Values of steps, in deviations of the discounted returns so far.

    Args:
        sizes: of what it reads.
        hidden: units of its hidden layers.
    """

    def __init__(self, sizes: Sizes, hidden: Sequence[int]) -> None:
        super().__init__()
        self.network = layers((sizes.features + sizes.inputs, *hidden, 1), FIRST)
        self.returns = Normalizer(1)

    def forward(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Values, (...)."""
        value: Tensor = self.network(torch.cat([features, inputs], -1)).squeeze(-1)
        return value

    @property
    def scale(self) -> float:
        """Standard deviation of the returns so far; 1 before any."""
        if self.returns.count < 2:
            return 1.0
        return float(self.returns.variance.sqrt().clamp(min=self.returns.floor))
