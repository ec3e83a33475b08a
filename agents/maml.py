"""MAML for reinforcement learning, and its first-order kin.

Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast adaptation of deep
networks", 2017. The policy's initial parameters are learnt such that one policy
gradient step on a few episodes of a new task makes it good at that task:

    theta'_i = theta - inner_lr * grad loss_i(theta; support_i)        for every task
    theta    = TRPO step on  mean_i loss_i(theta'_i; query_i)          through theta'

Every task has its own parameters along a leading axis, so all tasks adapt in the same
few matrix products. The losses of tasks are summed before the inner gradient is taken
(they share nothing, so each gets its own gradient) and averaged only in the outer one.
`fomaml` treats the inner gradient as a constant.
"""

import abc
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from metarl.family import TaskFamily
from metarl.learning import estimators
from metarl.learning.agent import Agent, Metrics, Sampler
from metarl.learning.optimization import (
    backtrack,
    conjugate_gradient,
    fisher_product,
    flatten,
    unflatten,
)
from metarl.learning.policies import (
    GaussianPolicy,
    Parameters,
    gaussian,
    gaussian_parameters,
    kl_divergence,
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
    gae_lambda: float = 1.0
    """Lambda of the generalised advantage estimates."""
    deploy: Literal["sample", "mean"] = "sample"
    """Whether the shipped policy explores, as in the paper, or acts by its mean."""


@dataclass(frozen=True)
class MAMLConfig(GradientConfig):
    """Hyper-parameters of MAML."""

    max_kl: float = 0.01
    """KL limit of the outer step, at the adapted policies."""
    cg_iterations: int = 10
    """Conjugate gradient steps for the natural gradient."""
    cg_damping: float = 1e-3
    """Added to the diagonal of the Fisher matrix."""
    fisher_stride: int = 8
    """Fisher products use one time step of so many."""
    second_order: bool = True
    """Differentiate through the inner gradient."""


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
            episodes = sampler.collect(
                tasks, config.episodes, self.policy(parameters), f"round {round_}"
            )
            batches.append(self.batch(episodes, parameters))
            returns.append(float(episodes.returns.mean()))
            if round_ < config.inner_steps:
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
        # A copy, so that training may go on beside it.
        start = {n: p.clone() for n, p in policy_part(self.parameters).items()}
        return GradientAdaptation(self, stack(start, tasks))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The learnt start, and how to adapt it."""
        return self.parameters, {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.parameters = {name: tensors[name].clone() for name in self.parameters}


class MAML(GradientAgent):
    """Learns initial parameters from which one gradient step goes far."""

    Config: ClassVar[type] = MAMLConfig

    def inner_step(
        self, learnt: Parameters, start: Parameters, batch: Batch, create_graph: bool
    ) -> Parameters:
        """One policy gradient step of every task."""
        gradient = policy_gradient(start, batch, create_graph)
        return {n: p - self.config.inner_lr * gradient[n] for n, p in start.items()}

    def through_adaptation(self, theta: Tensor, supports: list[Batch]) -> Parameters:
        """Adapted parameters of every task as a function of the learnt ``theta``."""
        learnt = unflatten(theta, self.parameters)
        parameters = stack(policy_part(learnt), len(supports[0].observation))
        second_order = self.config.second_order
        for support in supports:
            if torch.is_grad_enabled():
                parameters = self.inner_step(learnt, parameters, support, second_order)
            else:
                parameters = self.adapted(parameters, support, learnt)
        return parameters

    def outer_step(self, batches: list[Batch], adapted: Parameters) -> Metrics:
        """TRPO through the adaptation: the KL limit holds at the adapted policies."""
        config = self.config
        *supports, query = batches
        theta = flatten(self.parameters).requires_grad_()
        parameters = self.through_adaptation(theta, supports)
        loss = surrogate(parameters, query).mean()
        (gradient,) = torch.autograd.grad(loss, theta)
        before = float(loss.detach())
        with torch.no_grad():
            old = gaussian(parameters, query.observation)
        del parameters

        product = self._fisher(theta, batches)
        direction = conjugate_gradient(product, -gradient, config.cg_iterations)
        curvature = float(direction @ product(direction))
        if not (curvature > 0 and torch.isfinite(direction).all()):
            return {"loss": before, "kl": 0.0, "skipped": 1.0}
        step = direction * (2 * config.max_kl / curvature) ** 0.5

        @torch.no_grad()
        def evaluate(point: Tensor) -> tuple[float, float]:
            parameters = self.through_adaptation(point, supports)
            new = gaussian(parameters, query.observation)
            kl = kl_divergence(*old, *new)
            return (
                float(surrogate(parameters, query).mean()),
                float(estimators.masked_mean(kl, query.mask).mean()),
            )

        point, new_loss, kl = backtrack(
            evaluate, theta.detach(), step, before, config.max_kl
        )
        self.parameters = {
            name: p.clone() for name, p in unflatten(point, self.parameters).items()
        }
        return {"loss": before, "improvement": before - new_loss, "kl": kl}

    def _fisher(self, theta: Tensor, batches: list[Batch]) -> Any:
        """Products with the Fisher matrix at the adapted policies, on fewer steps."""
        config = self.config
        *supports, query = [
            batch.thinned(config.fisher_stride, self.family.horizon)
            for batch in batches
        ]
        adapted = self.through_adaptation(theta, supports)
        mean, log_std = gaussian(adapted, query.observation)
        # Mean over tasks of the masked mean over steps, as in the KL limit. The
        # Fisher matrix of a diagonal Gaussian: 1 / std^2 for the mean, 2 for log std.
        tasks = len(mean)
        counted = query.mask.sum(-1, keepdim=True).clamp(min=1) * tasks
        share = (query.mask / counted).unsqueeze(-1)
        metric = torch.cat(
            [
                (share * torch.exp(-2 * log_std).unsqueeze(-2)).reshape(-1),
                torch.full_like(log_std, 2 / tasks).reshape(-1),
            ]
        ).detach()
        outputs = torch.cat([mean.reshape(-1), log_std.reshape(-1)])
        return fisher_product(outputs, theta, metric, config.cg_damping)


@dataclass
class GradientAdaptation:
    """A gradient step whenever a full round of episodes is in.

    What it would ship in the middle of a round is a step on the episodes so far, from
    the same parameters: `deployed` never loses what it has seen.
    """

    agent: GradientAgent
    parameters: Parameters
    waiting: list[Episodes] = field(default_factory=list)

    @property
    def round(self) -> int:
        """Episodes missing until the next gradient step."""
        seen = sum(part.reward.shape[1] for part in self.waiting)
        return max(1, int(self.agent.config.episodes) - seen)

    def act(self, percept: Percept) -> Tensor:
        """Sample from the current policies."""
        return self.agent.policy(self.parameters).act(percept)

    def absorb(self, episodes: Episodes) -> None:
        """Keep the episodes; step once the round is full."""
        full = episodes.reward.shape[1] >= self.round
        self.waiting.append(episodes)
        if full:
            self.parameters = self._stepped()
            self.waiting = []

    def deployed(self) -> Policy:
        """The policies after a step on whatever episodes wait."""
        parameters = self._stepped() if self.waiting else self.parameters
        return self.agent.policy(parameters, self.agent.config.deploy == "sample")

    def _stepped(self) -> Parameters:
        batch = self.agent.batch(concatenate(self.waiting), self.parameters)
        return self.agent.adapted(self.parameters, batch)


@dataclass(frozen=True)
class FOMAMLConfig(MAMLConfig):
    """Hyper-parameters of first-order MAML."""

    second_order: bool = False
    """Differentiate through the inner gradient."""


class FOMAML(MAML):
    """MAML with the inner gradient held constant: cheaper, and often as good."""

    Config: ClassVar[type] = FOMAMLConfig
