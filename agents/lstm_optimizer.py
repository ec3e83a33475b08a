"""An LSTM that is trained to be the optimizer of a policy.

Ravi and Larochelle, "Optimization as a model for few-shot learning", 2017. An update
``theta <- theta - rate * gradient`` is what the cell of an LSTM does if the cell is
the parameters, so let its gates be learnt:

    theta  <-  forget * theta - input * gradient               for every coordinate

The gates of a coordinate depend on the hidden state of a first LSTM layer, which reads
the coordinate's gradient and the task's loss, on the parameter and on its last gates.
All coordinates of all tasks share the same weights. The first cell state, which is the
start of the policy, is learnt along with them.

The paper opens the input gate by 0.01 to 0.02 at first, for a classifier. Policy
gradients of normalized advantages are smaller, and need a step size near 0.1.

The loss is the surrogate's: 0 at the first update of a round, as advantages are
centred, and then what the updates on these episodes have gained.

Gradients and losses are inputs, and held constant: the outer gradient runs through the
cells alone (first order). The outer objective is ProMP's, through all updates:
`metarl.learning.proximal`.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from metarl.environment.episodes import Episodes
from metarl.environment.family import TaskFamily
from metarl.learning.adam import Adam
from metarl.learning.agent import Agent, Metrics
from metarl.learning.distributions import Gaussian, gaussian, gaussian_parameters
from metarl.learning.networks import (
    Learnt,
    Parameters,
    learnt_from,
    leaves,
    named,
    stack,
)
from metarl.learning.optimization import adam_tensors, load_adam, tensors_of
from metarl.learning.policies import GaussianPolicy
from metarl.learning.policy_gradient import Batch, make_batch, surrogate
from metarl.learning.proximal import proximal_steps
from metarl.learning.sampler import Sampler
from metarl.learning.step_adaptation import StepAdaptation
from metarl.learning.warm_start import take_policy
from metarl.tasks.randomness import torch_generator

SMALLEST = 10.0
"""Gradients are distinguished down to exp(-10), the paper's p."""


@dataclass(frozen=True)
class LSTMOptimizerConfig:
    """Hyper-parameters of the LSTM optimizer. Defaults: half-cheetah."""

    inner_lr: float = 0.1
    """Has no effect, as the gates are the step sizes; run folders hold it."""
    inner_steps: int = 2
    """Rounds of episodes that it updates on in training."""
    tasks: int = 14
    """Tasks a meta-iteration."""
    episodes: int = 10
    """Episodes a task in each round: before, between and after adaptation steps."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the policy's hidden layers."""
    initial_std: float = 1.0
    """Standard deviation of the first policy's exploration."""
    discount: float = 0.99
    """Discount factor."""
    gae_lambda: float = 0.95
    """Lambda of the generalized advantage estimates."""
    deploy: Literal["sample", "mean"] = "mean"
    """Whether the deployed policy explores or acts by its mean."""
    outer_lr: float = 1e-3
    """Step size of the outer Adam."""
    outer_steps: int = 5
    """Adam steps on the episodes of one iteration."""
    clip: float = 0.3
    """Clip range of the probability ratio at the adapted policies."""
    kl_penalty: float = 5e-4
    """Weight of the divergence from the policies before each inner step."""
    max_gradient: float = 1.0
    """An outer gradient longer than this is shortened."""
    updates: int = 3
    """Updates on each round of episodes."""
    max_inner_gradient: float = 10.0
    """A task's gradient longer than this is shortened: probability ratios of later
    updates on the same episodes have no bound."""
    units: int = 8
    """Units of the layer that reads gradients and losses."""
    forget_bias: float = 6.0
    """First bias of the forget gate: at 6, 0.25 % of a parameter decays an update."""
    input_bias: float = -2.0
    """First bias of the input gate: at -2, the first step size is 0.12."""


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


@dataclass
class Learner:
    """What an adaptation changes: policies, and the LSTM's state of each coordinate."""

    policy: Parameters
    """Of a Gaussian policy, each (task, ...)."""
    hidden: Tensor
    """Of the first layer, (task, coordinate, units)."""
    cell: Tensor
    """Of the first layer, (task, coordinate, units)."""
    gates: Tensor
    """Last forget and input gate, (task, coordinate, 2)."""


def learner_at(policy: Parameters, units: int) -> Learner:
    """A learner before its first update.

    Args:
        policy: of a Gaussian policy, each (task, ...).
        units: of the first layer.
    """
    theta = torch.cat([p.flatten(1) for p in policy.values()], 1)
    nothing = theta.new_zeros(*theta.shape, units)
    return Learner(policy, nothing, nothing, theta.new_zeros(*theta.shape, 2))


class LSTMOptimizer(Agent):
    """Learns a start and the LSTM that updates it."""

    Config: ClassVar[type] = LSTMOptimizerConfig
    kind: ClassVar[str] = "gradient"
    retired_settings: ClassVar = {"later_step": 1.0}

    def __init__(
        self, family: TaskFamily, config: LSTMOptimizerConfig, seed: int
    ) -> None:
        super().__init__(family, config, seed)
        start = gaussian_parameters(
            *family.spec[:2],
            config.hidden,
            torch_generator(seed, "initial policy"),
            config.initial_std,
        )
        # The purpose is a key: another spelling would draw other numbers.
        generator = torch_generator(seed, "initial optimiser")

        def small(*shape: int) -> Tensor:
            return 0.02 * torch.rand(shape, generator=generator) - 0.01

        units = config.units
        self.learnt: Learnt = {
            "start": start,
            "lstm": {
                "input": small(4, 4 * units),
                "recurrent": small(units, 4 * units),
                "bias": torch.zeros(4 * units),
            },
            # Two gates each: forget, input.
            "gate": {
                "hidden": small(units, 2),
                "parameter": small(2),
                "previous": small(2),
                "bias": torch.tensor([config.forget_bias, config.input_bias]),
            },
        }
        self.optimizer = self.adam()

    def warm_start(self, source: Agent) -> None:
        """Begin from the policy of `randomized`."""
        take_policy(self, source, self.learnt["start"], self.normalizer)

    def train_step(self, sampler: Sampler) -> Metrics:
        """Collect and adapt on a batch of tasks, then several outer steps."""
        config = self.config
        tasks = sampler.tasks(config.tasks)
        learner = learner_at(stack(self.learnt["start"], len(tasks)), config.units)
        rounds, batches = [], []
        for step in range(config.inner_steps + 1):
            policy = GaussianPolicy(learner.policy, self.normalizer)
            episodes = sampler.collect(tasks, config.episodes, policy, f"round {step}")
            rounds.append(episodes)
            batches.append(self.batch(episodes, learner.policy))
            if step < config.inner_steps:
                learner = self.stepped(learner, batches[-1])
        metrics = self.outer_step(batches)
        for episodes in rounds:
            self.normalizer.update(episodes.observation, episodes.mask)
        return {
            "return_before": float(rounds[0].returns.mean()),
            "return_after": float(rounds[-1].returns.mean()),
            "std": float(self.learnt["start"]["log_std"].exp().mean()),
            **metrics,
        }

    def batch(self, episodes: Episodes, policy: Parameters) -> Batch:
        """A round of episodes of these policies, for the losses."""

        def acted(observation: Tensor) -> Gaussian:
            return gaussian(policy, observation)

        config = self.config
        return make_batch(
            episodes, self.normalizer, acted, config.discount, config.gae_lambda
        )

    # -- inside: adapting to a task --------------------------------------------------

    def gradients(self, policy: Parameters, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss, (task,), and gradient, (task, coordinate), shortened and constant."""
        point = leaves(policy)
        with torch.enable_grad():
            loss = surrogate(gaussian(point, batch.observation), batch)
            gradients = torch.autograd.grad(loss.sum(), list(point.values()))
        gradient = torch.cat([g.flatten(1) for g in gradients], 1)
        length = gradient.norm(dim=1, keepdim=True)
        share = (self.config.max_inner_gradient / length).clamp(max=1)
        return loss.detach(), gradient * share

    def update(self, learnt: Learnt, learner: Learner, batch: Batch) -> Learner:
        """One update of every coordinate of every task.

        Args:
            learnt: all that is learnt.
            learner: before the update.
            batch: a round of episodes of its policies before the inner step.
        """
        lstm, gate = learnt["lstm"], learnt["gate"]
        loss, gradient = self.gradients(learner.policy, batch)
        theta = torch.cat([p.flatten(1) for p in learner.policy.values()], 1)
        inputs = torch.cat(
            [
                preprocessed(gradient),
                preprocessed(loss)[:, None].expand(*gradient.shape, 2),
            ],
            -1,
        )
        mixed = inputs @ lstm["input"] + learner.hidden @ lstm["recurrent"]
        keep, write, show, new = (mixed + lstm["bias"]).chunk(4, -1)
        cell = torch.sigmoid(keep) * learner.cell
        cell = cell + torch.sigmoid(write) * torch.tanh(new)
        hidden = torch.sigmoid(show) * torch.tanh(cell)

        gates = torch.sigmoid(
            hidden @ gate["hidden"]
            + theta.unsqueeze(-1) * gate["parameter"]
            + learner.gates * gate["previous"]
            + gate["bias"]
        )
        theta = gates[..., 0] * theta - gates[..., 1] * gradient
        parts = theta.split([p[0].numel() for p in learner.policy.values()], 1)
        policy = {
            name: part.reshape(p.shape)
            for part, (name, p) in zip(parts, learner.policy.items(), strict=True)
        }
        return Learner(policy, hidden, cell, gates)

    def inner_step(self, learnt: Learnt, learner: Learner, batch: Batch) -> Learner:
        """Several updates of every task on a round of its episodes."""
        for _ in range(self.config.updates):
            learner = self.update(learnt, learner, batch)
        return learner

    @torch.no_grad()
    def stepped(self, learner: Learner, batch: Batch) -> Learner:
        """`inner_step` without a graph, for collecting and deploying."""
        return self.inner_step(self.learnt, learner, batch)

    # -- outside: learning how to adapt ------------------------------------------------

    def through_adaptation(
        self, learnt: Learnt, batches: list[Batch]
    ) -> list[Gaussian]:
        """Actions of the policies of each round, differentiable by what is learnt."""
        policy = stack(learnt["start"], len(batches[0].observation))
        learner = learner_at(policy, self.config.units)
        actions = [gaussian(policy, batches[0].observation)]
        for support, following in pairwise(batches):
            learner = self.inner_step(learnt, learner, support)
            actions.append(gaussian(learner.policy, following.observation))
        return actions

    def outer_step(self, batches: list[Batch]) -> Metrics:
        """Several Adam steps through the adaptation.

        Args:
            batches: a round before each inner step, and one after the last.
        """
        return proximal_steps(
            self.learnt,
            self.optimizer,
            lambda learnt: self.through_adaptation(learnt, batches),
            batches,
            self.config,
        )

    def adam(self) -> Adam:
        """A fresh optimizer of all that is learnt."""
        return Adam(list(tensors_of(self.learnt)), lr=self.config.outer_lr)

    # -- the contract ------------------------------------------------------------------

    def adaptation(self, tasks: int) -> StepAdaptation[Learner]:
        """Every task begins with the learnt start and an empty LSTM state."""
        twin, config = self.snapshot(), self.config
        samples = config.deploy == "sample"

        def step(learner: Learner, episodes: Episodes, before: int) -> Learner:
            return twin.stepped(learner, twin.batch(episodes, learner.policy))

        return StepAdaptation(
            learner_at(stack(twin.learnt["start"], tasks), config.units),
            config.episodes,
            explore=lambda at: GaussianPolicy(at.policy, twin.normalizer),
            deploy=lambda at: GaussianPolicy(at.policy, twin.normalizer, samples),
            step=step,
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that is learnt, and Adam."""
        return named(self.learnt) | adam_tensors(self.optimizer), {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.learnt = learnt_from(tensors, self.learnt)
        self.optimizer = self.adam()
        load_adam(self.optimizer, tensors)
