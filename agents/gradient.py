"""What agents share that adapt by gradient steps on rounds of episodes.

A learnt start, steps from it on a task's own episodes, and the losses of both: `maml`,
`meta-sgd`, `promp`, `reptile`, `lstm-optimizer` and `metanet` say what a step is and
how the start is learnt.

Every task has its own parameters along a leading axis, so all tasks adapt in the same
few matrix products. The losses of tasks are summed before an inner gradient is taken:
they share nothing, so each gets its own gradient.
"""

import abc
import copy
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from metarl.family import TaskFamily
from metarl.learning import estimators
from metarl.learning.agent import Agent, Metrics, Sampler
from metarl.learning.policies import (
    GaussianPolicy,
    Parameters,
    gaussian,
    gaussian_parameters,
    leaves,
    log_probability,
    policy_part,
    stack,
)
from metarl.randomness import torch_generator
from metarl.world.environment import sizes
from metarl.world.rollout import Episodes, Percept, Policy, concatenate


@dataclass(frozen=True)
class GradientConfig:
    """What all agents share that adapt by gradient steps. Defaults: half-cheetah."""

    inner_lr: float = 0.1
    """Step size of the policy gradient step that adapts."""
    inner_steps: int = 1
    """Adaptation steps in training."""
    later_step: float = 1.0
    """Share of a step that is taken after as many as in training."""
    tasks: int = 10
    """Tasks a meta-iteration."""
    episodes: int = 20
    """Episodes a task in each round: before, between and after adaptation steps."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the policy's hidden layers."""
    initial_std: float = 1.0
    """Standard deviation of the first policy's exploration."""
    discount: float = 0.99
    """Discount factor."""
    gae_lambda: float = 0.95
    """Lambda of the generalised advantage estimates; MAML's paper has 1.

    With 1, an action is credited with the noise of all that follows. On half-cheetah,
    first-order MAML then hardly learnt in 8M steps.
    """
    deploy: Literal["sample", "mean"] = "mean"
    """Whether the shipped policy explores, as in MAML's paper, or acts by its mean."""


@dataclass
class Batch:
    """What the losses read: one round of episodes, (task, step, ...) flattened."""

    observation: Tensor
    action: Tensor
    advantage: Tensor
    mask: Tensor
    old_log_probability: Tensor

    def thinned(self, stride: int, horizon: int) -> "Batch":
        """Every ``stride``-th time step of each episode."""
        parts = {
            name: value.unflatten(1, (-1, horizon))[:, :, ::stride].flatten(1, 2)
            for name, value in vars(self).items()
        }
        return Batch(**parts)


def make_batch(
    episodes: Episodes, parameters: Parameters, discount: float, gae_lambda: float
) -> Batch:
    """Advantages and old log-probabilities of one round of episodes.

    Args:
        episodes: of every task.
        parameters: of the policies that collected them, stacked.
        discount: discount factor.
        gae_lambda: lambda of the advantage estimates.
    """
    returns = estimators.discounted_returns(episodes.reward, discount)
    value = estimators.linear_baseline(episodes.observation, returns, episodes.mask)
    advantage = estimators.generalised_advantages(
        episodes.reward, value, episodes.mask, discount, gae_lambda
    )
    observation = episodes.observation.flatten(1, 2)
    action = episodes.action.flatten(1, 2)
    with torch.no_grad():
        old = log_probability(*gaussian(parameters, observation), action)
    return Batch(
        observation,
        action,
        estimators.normalised(advantage, episodes.mask).flatten(1),
        episodes.mask.flatten(1),
        old,
    )


def surrogate(parameters: Parameters, batch: Batch) -> Tensor:
    """Negative likelihood-ratio objective of every task, (task,).

    Where the parameters collected the batch, its gradient is the policy gradient.
    """
    mean, log_std = gaussian(parameters, batch.observation)
    log_ratio = log_probability(mean, log_std, batch.action) - batch.old_log_probability
    # After an episode's end a ratio may overflow, and 0 times infinity is NaN.
    log_ratio = torch.where(batch.mask > 0, log_ratio, 0.0)
    return -estimators.masked_mean(torch.exp(log_ratio) * batch.advantage, batch.mask)


def policy_gradient(
    parameters: Parameters, batch: Batch, create_graph: bool = False
) -> Parameters:
    """Gradient of every task's `surrogate` by its own parameters.

    Args:
        parameters: stacked, part of a graph.
        batch: of episodes.
        create_graph: keep the gradient differentiable (second order).
    """
    # Tasks are summed: a mean would divide everybody's gradient by their number.
    loss = surrogate(parameters, batch).sum()
    gradients = torch.autograd.grad(
        loss, list(parameters.values()), create_graph=create_graph
    )
    return dict(zip(parameters, gradients, strict=True))


class GradientAgent(Agent):
    """What adapts a learnt start by steps on rounds of episodes.

    ``parameters`` holds all that the outer step learns. Entries without a slash in
    their name are the start of the policy; others say how to adapt it. The state of an
    adaptation is a dictionary of the same kind: each task's policy and, with a slash,
    what its steps remember.
    """

    def __init__(self, family: TaskFamily, config: Any, seed: int) -> None:
        super().__init__(family, config, seed)
        self.parameters = gaussian_parameters(
            *sizes(family),
            config.hidden,
            torch_generator(seed, "initial policy"),
            config.initial_std,
        )

    @abc.abstractmethod
    def inner_step(
        self, learnt: Parameters, start: Parameters, batch: Batch, create_graph: bool
    ) -> Parameters:
        """One step of every task, differentiable by what is learnt.

        Args:
            learnt: as ``parameters``.
            start: state of the adaptation, part of a graph.
            batch: collected with it.
            create_graph: keep gradients differentiable (second order).
        """

    @abc.abstractmethod
    def outer_step(self, batches: list[Batch], adapted: Parameters) -> Metrics:
        """Learn from the rounds of one iteration.

        Args:
            batches: a round before each inner step, and one after the last.
            adapted: state of the adaptation that collected the last one.
        """

    def train_step(self, sampler: Sampler) -> Metrics:
        """Collect and adapt on a batch of tasks, then one outer step."""
        config = self.config
        tasks = sampler.tasks(config.tasks)
        parameters = stack(policy_part(self.parameters), len(tasks))
        batches, returns = [], []
        for round_ in range(config.inner_steps + 1):
            last = round_ == config.inner_steps
            acting = parameters if last else self.exploring(parameters)
            episodes = sampler.collect(
                tasks, config.episodes, self.policy(acting), f"round {round_}"
            )
            batches.append(self.batch(episodes, acting))
            returns.append(float(episodes.returns.mean()))
            if not last:
                parameters = self.adapted(parameters, batches[-1])
        metrics = self.outer_step(batches, parameters)
        return {
            "return_before": returns[0],
            "return_after": returns[-1],
            "std": float(self.parameters["log_std"].exp().mean()),
            **metrics,
        }

    def distribution(
        self, state: Parameters, observation: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of actions, as `gaussian` gives them."""
        return gaussian(state, observation)

    def exploring(self, state: Parameters) -> Parameters:
        """What collects the next round of support in a state of the adaptation."""
        return state

    def policy(self, state: Parameters, explore: bool = True) -> Policy:
        """What acts in a state of the adaptation."""
        return GaussianPolicy(state, explore)

    def batch(self, episodes: Episodes, parameters: Parameters) -> Batch:
        """Episodes made ready for the losses."""
        return make_batch(
            episodes, parameters, self.config.discount, self.config.gae_lambda
        )

    def adapted(
        self, parameters: Parameters, batch: Batch, learnt: Parameters | None = None
    ) -> Parameters:
        """One inner step without a graph, for collecting and deploying."""
        learnt, start = learnt or self.parameters, leaves(parameters)
        with torch.enable_grad():
            stepped = self.inner_step(learnt, start, batch, create_graph=False)
        return {name: p.detach() for name, p in stepped.items()}

    def adaptation(self, tasks: int) -> "GradientAdaptation":
        """A fresh adaptation: every task starts from the learnt parameters."""
        # What is learnt is copied, so that training may go on beside it.
        twin = copy.copy(self)
        twin.parameters = {n: p.detach().clone() for n, p in self.parameters.items()}
        return GradientAdaptation(twin, stack(policy_part(twin.parameters), tasks))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The learnt start, and how to adapt it."""
        return {name: p.detach().clone() for name, p in self.parameters.items()}, {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.parameters = {name: tensors[name].clone() for name in self.parameters}


@dataclass
class GradientAdaptation:
    """A gradient step whenever a full round of episodes is in.

    What it would ship in the middle of a round is a step on the episodes so far, from
    the same parameters: `deployed` never loses what it has seen.
    """

    agent: GradientAgent
    parameters: Parameters
    waiting: list[Episodes] = field(default_factory=list)
    steps: int = 0
    """Full steps so far."""

    @property
    def round(self) -> int:
        """Episodes missing until the next gradient step."""
        seen = sum(part.reward.shape[1] for part in self.waiting)
        return max(1, int(self.agent.config.episodes) - seen)

    def act(self, percept: Percept) -> Tensor:
        """Sample from the current policies."""
        exploring = self.agent.exploring(self.parameters)
        return self.agent.policy(exploring).act(percept)

    def absorb(self, episodes: Episodes) -> None:
        """Keep the episodes; step once the round is full."""
        full = episodes.reward.shape[1] >= self.round
        self.waiting.append(episodes)
        if full:
            self.parameters = self._stepped()
            self.waiting = []
            self.steps += 1

    def deployed(self) -> Policy:
        """The policies after a step on whatever episodes wait."""
        parameters = self._stepped() if self.waiting else self.parameters
        return self.agent.policy(parameters, self.agent.config.deploy == "sample")

    def _stepped(self) -> Parameters:
        acted = self.agent.exploring(self.parameters)
        batch = self.agent.batch(concatenate(self.waiting), acted)
        stepped = self.agent.adapted(self.parameters, batch)
        share = self.agent.config.later_step
        if self.steps < self.agent.config.inner_steps or share == 1:
            return stepped
        return {n: p.lerp(stepped[n], share) for n, p in self.parameters.items()}
