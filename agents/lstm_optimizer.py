"""An LSTM that has learnt to be the optimiser of a policy.

Ravi and Larochelle, "Optimization as a model for few-shot learning", 2017. An update
``theta <- theta - rate * gradient`` is what the cell of an LSTM does if the cell is
the parameters, so let its gates be learnt:

    theta  <-  forget * theta - input * gradient               for every coordinate

The gates of a coordinate follow from its gradient and the task's loss, as a first LSTM
layer of a few units remembers them, and from the parameter and its last gates. All
coordinates of all tasks share the same weights. The first cell state, which is the
start of the policy, is learnt along with them.

The paper opens the input gate by 0.01 to 0.02 at first, for a classifier. Policy
gradients of normalised advantages are smaller, and want a step size near 0.1.

The loss is the surrogate's: 0 at the first update of a round, as advantages are
centred, and then what the updates on these episodes have gained.

Gradients and losses are inputs, and held constant: the outer gradient runs through the
cells alone (first order). The outer objective is ProMP's: the policies that come out
are judged on query episodes by the clipped objective, through all updates.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from metarl.agents.gradient import Batch, surrogate
from metarl.agents.promp import ProMP, ProMPConfig
from metarl.family import TaskFamily
from metarl.learning.policies import Parameters, leaves, policy_part
from metarl.randomness import torch_generator

SMALLEST = 10.0
"""Gradients are told apart down to exp(-10), the paper's p."""


@dataclass(frozen=True)
class LSTMOptimizerConfig(ProMPConfig):
    """Hyper-parameters of the LSTM optimiser."""

    later_step: float = 1.0
    """Share of a step that is taken after as many as in training: its gates decide."""
    inner_steps: int = 2
    """Rounds of episodes that it updates on in training."""
    tasks: int = 14
    """Tasks a meta-iteration."""
    episodes: int = 10
    """Episodes a task in each round: before, between and after adaptation steps."""
    updates: int = 3
    """Updates on each round of episodes."""
    max_inner_gradient: float = 10.0
    """A task's gradient longer than this is shortened: probability ratios of later
    updates on the same episodes have no bound."""
    units: int = 8
    """Units of the layer that remembers gradients and losses."""
    forget_bias: float = 6.0
    """First bias of the forget gate: at 6, 0.25 % of a parameter decays an update."""
    input_bias: float = -2.0
    """First bias of the input gate: at -2, the first step size is 0.12."""
    max_gradient: float = 1.0
    """An outer gradient longer than this is shortened."""


def preprocessed(values: Tensor) -> Tensor:
    """Size and sign of numbers of any magnitude, (..., 2), the paper's equation 6.

    ``(log|x| / 10, sign x)`` down to ``|x| = exp(-10)`` and ``(-1, exp(10) x)`` below.
    """
    size = values.abs()
    large = size >= math.exp(-SMALLEST)
    # The floor keeps log(0) out of the branch that is not taken.
    logarithm = torch.log(size.clamp(min=math.exp(-SMALLEST))) / SMALLEST
    small = math.exp(SMALLEST) * values
    return torch.stack([logarithm, torch.where(large, values.sign(), small)], -1)


class LSTMOptimizer(ProMP):
    """Learns a start and the LSTM that updates it."""

    Config: ClassVar[type] = LSTMOptimizerConfig

    def __init__(
        self, family: TaskFamily, config: LSTMOptimizerConfig, seed: int
    ) -> None:
        super().__init__(family, config, seed)
        generator = torch_generator(seed, "initial optimiser")

        def small(*shape: int) -> Tensor:
            return 0.02 * torch.rand(shape, generator=generator) - 0.01

        units = config.units
        self.parameters |= {
            "lstm/input": small(4, 4 * units),
            "lstm/recurrent": small(units, 4 * units),
            "lstm/bias": torch.zeros(4 * units),
            # Two gates each: forget, input.
            "gate/hidden": small(units, 2),
            "gate/parameter": small(2),
            "gate/previous": small(2),
            "gate/bias": torch.tensor([config.forget_bias, config.input_bias]),
        }
        self.optimizer = self._adam()

    def inner_step(
        self, learnt: Parameters, start: Parameters, batch: Batch, create_graph: bool
    ) -> Parameters:
        """Several updates of every task; gradients are constants in any case."""
        state = start
        for _ in range(self.config.updates):
            state = self.update(learnt, state, batch)
        return state

    def update(self, learnt: Parameters, state: Parameters, batch: Batch) -> Parameters:
        """One update of every coordinate of every task.

        Args:
            learnt: as ``parameters``.
            state: policies, (task, ...), and what the LSTM remembers of each
                coordinate under ``memory/``; nothing before the first update.
            batch: what the policies learn from.
        """
        policy = policy_part(state)
        loss, gradient = self.told(policy, batch)
        theta = torch.cat([p.flatten(1) for p in policy.values()], 1)
        inputs = torch.cat(
            [
                preprocessed(gradient),
                preprocessed(loss)[:, None].expand(*gradient.shape, 2),
            ],
            -1,
        )
        nothing = torch.zeros(*gradient.shape, self.config.units, dtype=theta.dtype)
        hidden = state.get("memory/hidden", nothing)
        cell = state.get("memory/cell", nothing)
        gates = state.get("memory/gates", nothing[..., :1].expand(*gradient.shape, 2))

        mixed = inputs @ learnt["lstm/input"] + hidden @ learnt["lstm/recurrent"]
        keep, write, show, new = (mixed + learnt["lstm/bias"]).chunk(4, -1)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(new)
        hidden = torch.sigmoid(show) * torch.tanh(cell)

        gates = torch.sigmoid(
            hidden @ learnt["gate/hidden"]
            + theta.unsqueeze(-1) * learnt["gate/parameter"]
            + gates * learnt["gate/previous"]
            + learnt["gate/bias"]
        )
        theta = gates[..., 0] * theta - gates[..., 1] * gradient
        parts = theta.split([p[0].numel() for p in policy.values()], 1)
        return {
            **{
                name: part.reshape(p.shape)
                for part, (name, p) in zip(parts, policy.items(), strict=True)
            },
            "memory/hidden": hidden,
            "memory/cell": cell,
            "memory/gates": gates,
        }

    def told(self, policy: Parameters, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss, (task,), and gradient, (task, coordinate), shortened and constant."""
        point = leaves(policy)
        with torch.enable_grad():
            loss = surrogate(point, batch)
            gradients = torch.autograd.grad(loss.sum(), list(point.values()))
        gradient = torch.cat([g.flatten(1) for g in gradients], 1)
        length = gradient.norm(dim=1, keepdim=True)
        share = (self.config.max_inner_gradient / length).clamp(max=1)
        return loss.detach(), gradient * share
