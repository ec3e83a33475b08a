"""Reptile: move the start towards what ordinary learning makes of it.

Nichol, Achiam and Schulman, "On first-order meta-learning algorithms", 2018, with PPO
(Schulman et al., 2017) as the ordinary learner. Every task learns for a few rounds of
episodes, several Adam steps a round; then the start moves towards the mean of the ends:

    theta'_i = Adam steps on the clipped objective of task i, from theta
    theta    = theta + outer_lr * mean_i (theta'_i - theta)

No second derivative, and no query episodes: the last round is learnt from as well.

Each task has an inner Adam of its own, fresh when adaptation begins and kept from round
to round. None of it is carried to other tasks, so that adaptation begins exactly as in
training. Its epsilon is large. With the usual 1e-8 every parameter moves equally far,
however small its gradient, and the noise of a few episodes moves most of them: the mean
of the ends then goes astray.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from metarl.environment.episodes import Episodes
from metarl.environment.family import TaskFamily
from metarl.learning.adam import Adam
from metarl.learning.agent import Agent, Metrics
from metarl.learning.distributions import Gaussian, gaussian, gaussian_parameters
from metarl.learning.estimators import masked_mean
from metarl.learning.networks import (
    Learnt,
    Parameters,
    detached,
    learnt_from,
    leaves,
    named,
    stack,
)
from metarl.learning.optimization import adam_tensors, descend, flatten, load_adam
from metarl.learning.policies import GaussianPolicy
from metarl.learning.policy_gradient import Batch, make_batch
from metarl.learning.ppo import clipped_surrogate
from metarl.learning.sampler import Sampler
from metarl.learning.step_adaptation import StepAdaptation
from metarl.learning.warm_start import take_policy
from metarl.tasks.randomness import torch_generator


@dataclass(frozen=True)
class ReptileConfig:
    """Hyper-parameters of Reptile. Defaults: half-cheetah."""

    inner_lr: float = 0.01
    """Step size of the inner Adam."""
    epsilon: float = 1e-3
    """Of the inner Adam: gradients far below it move parameters in proportion."""
    inner_steps: int = 3
    """Rounds of episodes that a task learns from before the last one, in training."""
    tasks: int = 20
    """Tasks a meta-iteration."""
    episodes: int = 5
    """Episodes a task in each round."""
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
    updates: int = 10
    """Adam steps on each round."""
    clip: float = 0.2
    """Clip range of the probability ratio within a round."""
    outer_lr: float = 0.1
    """How far the start moves towards the mean of the ends, in (0, 1].

    The mean of a few noisy ends is noisy, too. Whole moves (1) let weights grow without
    aim: after 8M steps of half-cheetah they had nearly doubled.
    """


@dataclass
class Learner:
    """The ordinary learner of every task: what an adaptation changes."""

    policy: Parameters
    """Of a Gaussian policy, each (task, ...)."""
    adam: dict[str, Tensor] = field(default_factory=dict)
    """State of the inner Adam, as `adam_tensors` returns it; empty before a step."""


class Reptile(Agent):
    """Learns a start that is near to where every task's learning ends."""

    Config: ClassVar[type] = ReptileConfig
    kind: ClassVar[str] = "gradient"
    retired_settings: ClassVar = {"later_step": 1.0}

    def __init__(self, family: TaskFamily, config: ReptileConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        start = gaussian_parameters(
            *family.spec[:2],
            config.hidden,
            torch_generator(seed, "initial policy"),
            config.initial_std,
        )
        self.learnt: Learnt = {"start": start}

    def warm_start(self, source: Agent) -> None:
        """Begin from the policy of `randomized`."""
        take_policy(self, source, self.learnt["start"], self.normalizer)

    def train_step(self, sampler: Sampler) -> Metrics:
        """Learn a batch of tasks from the start, then move it towards the ends."""
        config = self.config
        tasks = sampler.tasks(config.tasks)
        learner = Learner(stack(self.learnt["start"], len(tasks)))
        rounds = []
        for step in range(config.inner_steps + 1):
            policy = GaussianPolicy(learner.policy, self.normalizer)
            episodes = sampler.collect(tasks, config.episodes, policy, f"round {step}")
            rounds.append(episodes)
            learner = self.inner_step(learner, self.batch(episodes, learner.policy))
        metrics = self.outer_step(learner.policy)
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

    # -- inside: learning a task -----------------------------------------------------

    def inner_loss(self, policy: Parameters, batch: Batch) -> Tensor:
        """Negative clipped objective of every task, (task,)."""
        actions = gaussian(policy, batch.observation)
        log_ratio = actions.log_prob(batch.action) - batch.old_log_prob
        gain = clipped_surrogate(
            log_ratio, batch.advantage, batch.mask, self.config.clip
        )
        return -masked_mean(gain, batch.mask)

    def inner_step(self, learner: Learner, batch: Batch) -> Learner:
        """Several Adam steps of every task on a round of its episodes."""
        config = self.config
        # A copy, for Adam works in place.
        policy = leaves({n: p.clone() for n, p in learner.policy.items()})
        # Adam is element-wise, so that one of stacked parameters is one for each task.
        optimizer = Adam(policy.values(), lr=config.inner_lr, eps=config.epsilon)
        load_adam(optimizer, learner.adam)
        for _ in range(config.updates):
            with torch.enable_grad():
                loss = self.inner_loss(policy, batch).sum()
                gradients = torch.autograd.grad(loss, list(policy.values()))
            descend(optimizer, gradients)
        return Learner(detached(policy), adam_tensors(optimizer))

    # -- outside: learning where to begin ----------------------------------------------

    def outer_step(self, ends: Parameters) -> Metrics:
        """Move the start towards the mean of the ends of all tasks."""
        start = self.learnt["start"]
        moves = {n: ends[n].mean(0) - p for n, p in start.items()}
        self.learnt = {
            "start": {n: p + self.config.outer_lr * moves[n] for n, p in start.items()}
        }
        return {"move": float(flatten(moves).norm())}

    # -- the contract ------------------------------------------------------------------

    def adaptation(self, tasks: int) -> StepAdaptation[Learner]:
        """Every task begins with the learnt start and a fresh Adam."""
        twin, config = self.snapshot(), self.config
        samples = config.deploy == "sample"

        def step(learner: Learner, episodes: Episodes, before: int) -> Learner:
            return twin.inner_step(learner, twin.batch(episodes, learner.policy))

        return StepAdaptation(
            Learner(stack(twin.learnt["start"], tasks)),
            config.episodes,
            explore=lambda at: GaussianPolicy(at.policy, twin.normalizer),
            deploy=lambda at: GaussianPolicy(at.policy, twin.normalizer, samples),
            step=step,
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that is learnt."""
        return named(self.learnt), {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.learnt = learnt_from(tensors, self.learnt)
