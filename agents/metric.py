"""Metric-based agents: siamese, matching, relation and prototypical networks.

No gradient adapts these agents. The episodes of a new task are compared with those of a
bank of training tasks, and the mean of the bank's prototypes, weighed by the
comparison, is the task embedding on which one policy is conditioned:

    w_k = softmax of score(support, task k of the bank)         see `comparators`
    z   = sum_k w_k c_k                           c_k = mean embedding of task k,
                                                  standardized over the bank
    a   ~ policy(o, z, 1)                         and policy(o, 0, 0) without support

Without support the policy explores with noise that does not shrink. As the policy
became deterministic, its episodes would grow similar, whatever the task.

The encoder learns from the comparison alone, the policy by PPO. The four agents differ
in their comparator, and in nothing else.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from metarl.agents.comparators import (
    MATCHING,
    PROTOTYPICAL,
    RELATION,
    SIAMESE,
    Comparator,
    Support,
    TaskEncoder,
    transitions,
)
from metarl.environment.episodes import Episodes, TimeStep
from metarl.environment.family import TaskFamily
from metarl.errors import InputError
from metarl.learning import estimators
from metarl.learning.adam import Adam
from metarl.learning.agent import Agent, Metrics
from metarl.learning.distributions import Gaussian, gaussian, gaussian_parameters
from metarl.learning.networks import Parameters, leaves
from metarl.learning.optimization import adam_tensors, descend, load_adam
from metarl.learning.policies import ConditionedPolicy
from metarl.learning.ppo import clipped_surrogate, minibatches
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import torch_generator


@dataclass(frozen=True)
class MetricConfig:
    """Hyper-parameters of the metric-based agents."""

    tasks: int = 20
    """Tasks a meta-iteration."""
    support: int = 4
    """Support episodes of each, half of which are the classes of the comparison."""
    queries: int = 8
    """Episodes of each with the task embedding."""
    explore_std: float = 1.0
    """Standard deviation of actions in support episodes, which does not shrink."""
    bank: int = 300
    """Training tasks that a new task is compared with: the latest ones."""
    embedding: int = 8
    """Numbers in an embedding."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the hidden layers of encoder and policy."""
    steps: int = 40
    """Steps of an episode that the encoder reads, evenly spaced."""
    encoder_lr: float = 3e-3
    """First step size of the encoder's Adam."""
    encoder_settles: int = 10
    """Meta-iterations after which that has halved; it goes on falling, so that
    embeddings come to rest and the policy can learn what they mean."""
    encoder_updates: int = 60
    """Steps of the encoder a meta-iteration."""
    ways: int = 40
    """Tasks of the bank that each of them tells apart."""
    initial_std: float = 1.0
    """Standard deviation of the first policy's exploration."""
    discount: float = 0.99
    """Discount factor."""
    gae_lambda: float = 0.95
    """Lambda of the generalized advantage estimates."""
    lr: float = 3e-3
    """Step size of the policy's Adam."""
    epochs: int = 5
    """Passes over the steps of an iteration."""
    minibatches: int = 8
    """Minibatches a pass."""
    clip: float = 0.2
    """Clip range of the probability ratio."""
    entropy: float = 0.005
    """Weight of the entropy bonus."""
    max_gradient: float = 1.0
    """A policy gradient longer than this is shortened."""
    deploy: Literal["sample", "mean"] = "mean"
    """Whether the deployed policy explores, as in training, or acts by its mean."""


class Steps(NamedTuple):
    """What PPO needs of n steps, each (n, ...)."""

    inputs: Tensor
    action: Tensor
    advantage: Tensor
    log_prob: Tensor
    """Of the actions when they were taken."""


def likelihood(
    parameters: Parameters, inputs: Tensor, action: Tensor, explore_std: float
) -> tuple[Tensor, Gaussian]:
    """Log density of actions, (n,), and the distribution that is learnt.

    Args:
        parameters: of the policy.
        inputs: as `ConditionedPolicy.inputs`, (n, size).
        action: (n, action_size).
        explore_std: standard deviation where there was no support.
    """
    learnt = gaussian(parameters, inputs)
    known = inputs[:, -1:] > 0
    log_std = torch.where(known, learnt.log_std, math.log(explore_std))
    return Gaussian(learnt.mean, log_std).log_prob(action), learnt


class MetricAgent(Agent):
    """What the four agents share: all but their comparator."""

    Config: ClassVar[type] = MetricConfig
    kind: ClassVar[str] = "metric"
    comparator: ClassVar[Comparator]

    def __init__(self, family: TaskFamily, config: MetricConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        if config.support < 2:  # a query, and what it is compared with
            raise InputError(f"support={config.support} must be 2 or more.")
        observation_size, action_size, _ = family.spec
        size = 2 * observation_size + action_size + 1
        self.parameters = gaussian_parameters(
            observation_size + config.embedding + 1,
            action_size,
            config.hidden,
            torch_generator(seed, "initial policy"),
            config.initial_std,
        )
        self.encoder = TaskEncoder(
            self.comparator,
            (size, (config.bank, config.support, min(config.steps, family.horizon))),
            config,
            torch_generator(seed, "encoder"),
        )
        self.optimizer = self._adam()

    # -- embedding a task ------------------------------------------------------------

    def conditioned(self, support: Support | None, tasks: int) -> ConditionedPolicy:
        """The policy with the embedding of its support, or without any."""
        if support is None or not self.encoder.bank.mask.any():
            empty = torch.zeros(tasks, self.config.embedding)
            return ConditionedPolicy(
                self.parameters, self.normalizer, empty, torch.zeros(tasks)
            )
        known = support.mask.flatten(1).any(1).float()  # not if all episodes diverged
        embedding = self.encoder.task_embedding(support) * known[:, None]
        return ConditionedPolicy(self.parameters, self.normalizer, embedding, known)

    def exploring(self, tasks: int) -> ConditionedPolicy:
        """The policy without support, with noise enough to tell tasks apart."""
        std = torch.tensor(self.config.explore_std)
        return replace(self.conditioned(None, tasks), std=std)

    # -- training --------------------------------------------------------------------

    def train_step(self, sampler: Sampler) -> Metrics:
        """Collect without and with the embedding, then learn to compare and to act."""
        config = self.config
        tasks = sampler.tasks(config.tasks)
        without = self.exploring(len(tasks))
        before = sampler.collect(tasks, config.support, without, "support")
        support = transitions(before, self.normalizer, config.steps)
        # In the first iteration there is nothing to compare with.
        known = bool(self.encoder.bank.mask.any())
        conditioned = self.conditioned(support, len(tasks)) if known else without
        conditioned.std = without.std
        after = sampler.collect(tasks, config.queries, conditioned, "query")
        self.encoder.extend_bank(support, sampler.train_tasks)
        generator = torch_generator(self.seed, sampler.iteration, "learning")
        metrics = self.encoder.learn(generator, sampler.iteration)
        with torch.no_grad():
            parts = [self.steps(without, before), self.steps(conditioned, after)]
        steps = Steps(*(torch.cat(column) for column in zip(*parts, strict=True)))
        metrics |= self.learn_to_act(steps, generator)
        for episodes in (before, after):
            self.normalizer.update(episodes.observation, episodes.mask)
        return {
            "return_before": float(before.returns.mean()),
            "return_after": float(after.returns.mean()),
            "std": float(self.parameters["log_std"].detach().exp().mean()),
            **metrics,
        }

    def steps(self, policy: ConditionedPolicy, episodes: Episodes) -> Steps:
        """The steps that were made, with advantages over a baseline for each task."""
        config = self.config
        advantage = estimators.advantages(
            self.normalizer(episodes.observation),
            episodes.reward,
            episodes.mask,
            config.discount,
            config.gae_lambda,
        )
        made = episodes.mask > 0
        inputs, action = (
            policy.inputs(episodes.observation)[made],
            episodes.action[made],
        )
        old, _ = likelihood(policy.parameters, inputs, action, config.explore_std)
        return Steps(inputs, action, advantage[made], old)

    def learn_to_act(self, steps: Steps, generator: torch.Generator) -> Metrics:
        """PPO on all steps, with the embeddings that they were made with."""
        config = self.config
        divergence = torch.zeros(())
        for some in minibatches(
            len(steps.inputs), config.minibatches, config.epochs, generator
        ):
            inputs, action, advantage, old = (column[some] for column in steps)
            learnt = leaves(self.parameters)
            new, actions = likelihood(learnt, inputs, action, config.explore_std)
            log_ratio = new - old
            ones = torch.ones_like(log_ratio)
            gain = clipped_surrogate(log_ratio, advantage, ones, config.clip)
            loss = -gain.mean() - config.entropy * actions.entropy().mean()
            gradients = torch.autograd.grad(loss, list(learnt.values()))
            descend(self.optimizer, gradients, config.max_gradient)
            divergence = (torch.expm1(log_ratio) - log_ratio).mean().detach()
        return {"kl": float(divergence)}

    # -- the contract ------------------------------------------------------------------

    def adaptation(self, tasks: int) -> "MetricAdaptation":
        """No support yet."""
        return MetricAdaptation(self.snapshot(), tasks)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Policy, encoder, bank, and both optimizers."""
        return {
            **{f"policy/{n}": p.clone() for n, p in self.parameters.items()},
            **adam_tensors(self.optimizer),
            **self.encoder.tensors(),
        }, {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.parameters = {n: tensors[f"policy/{n}"].clone() for n in self.parameters}
        self.optimizer = self._adam()
        load_adam(self.optimizer, tensors)
        self.encoder.load(tensors)

    def _adam(self) -> Adam:
        return Adam(list(self.parameters.values()), self.config.lr)


class Siamese(MetricAgent):
    """Compares pairs of episodes."""

    comparator = SIAMESE


class Matching(MetricAgent):
    """Attends to every known episode."""

    comparator = MATCHING


class Relation(MetricAgent):
    """Learns the comparison itself."""

    comparator = RELATION


class Prototypical(MetricAgent):
    """Compares with the mean of each known task."""

    comparator = PROTOTYPICAL


@dataclass
class MetricAdaptation:
    """Adapts by comparing its support episodes with those of the bank."""

    agent: MetricAgent
    tasks: int
    support: Support | None = None
    episodes_per_update: int = 10**9
    """It explores without the embedding, as in training: all at once if need be."""

    def act(self, time_step: TimeStep) -> Tensor:
        """Explore, as the support episodes of the bank were made."""
        return self.agent.exploring(self.tasks).act(time_step)

    def update(self, episodes: Episodes) -> None:
        """More support."""
        new = transitions(episodes, self.agent.normalizer, self.agent.config.steps)
        self.support = new if self.support is None else self.support.joined(new, 1)

    def policy(self) -> ConditionedPolicy:
        """The policy with the embedding of what was seen so far."""
        policy = self.agent.conditioned(self.support, self.tasks)
        policy.explore = self.agent.config.deploy == "sample"
        return policy
