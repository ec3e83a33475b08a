"""ProMP: proximal meta-policy search.

Rothfuss, Lee, Clavera, Asfour and Abbeel, "ProMP: proximal meta-policy search", 2019.
MAML's adaptation, with two changes. Inside, the likelihood-ratio objective keeps the
term by which the start shapes the episodes it is adapted on (`surrogate` does, in MAML
too). Outside, a batch of episodes serves several Adam steps, kept near the policies
that collected them, before and after adaptation:

    theta'_i = theta - inner_lr * grad loss_i(theta; support_i)        for every task
    minimise  mean_i  -clipped_i(theta'_i; query_i)
                      + kl_penalty * KL(policy that collected support_i || theta)

The outer objective and its steps are `metarl.learning.proximal`.
"""

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
    detached,
    learnt_from,
    leaves,
    named,
    stack,
)
from metarl.learning.optimization import adam_tensors, load_adam, tensors_of
from metarl.learning.policies import GaussianPolicy
from metarl.learning.policy_gradient import Batch, make_batch, policy_gradient
from metarl.learning.proximal import proximal_steps
from metarl.learning.sampler import Sampler
from metarl.learning.step_adaptation import StepAdaptation
from metarl.learning.warm_start import take_policy
from metarl.tasks.randomness import torch_generator


@dataclass(frozen=True)
class ProMPConfig:
    """Hyper-parameters of ProMP. Defaults: half-cheetah."""

    inner_lr: float = 0.1
    """Step size of the policy gradient step that adapts."""
    inner_steps: int = 1
    """Adaptation steps in training."""
    later_step: float = 0.25
    """Share of a step that is taken after as many as in training, as in MAML."""
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
    max_gradient: float = 10.0
    """An outer gradient longer than this is shortened."""


class ProMP(Agent):
    """Learns MAML's start with a clipped objective and several steps a batch."""

    Config: ClassVar[type] = ProMPConfig
    kind: ClassVar[str] = "gradient"

    def __init__(self, family: TaskFamily, config: ProMPConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        start = gaussian_parameters(
            *family.spec[:2],
            config.hidden,
            torch_generator(seed, "initial policy"),
            config.initial_std,
        )
        self.learnt: Learnt = {"start": start}
        self.optimizer = self.adam()

    def warm_start(self, source: Agent) -> None:
        """Begin from the policy of `randomized`."""
        take_policy(self, source, self.learnt["start"], self.normalizer)

    def train_step(self, sampler: Sampler) -> Metrics:
        """Collect and adapt on a batch of tasks, then several outer steps."""
        config = self.config
        tasks = sampler.tasks(config.tasks)
        parameters = stack(self.learnt["start"], len(tasks))
        rounds, batches = [], []
        for step in range(config.inner_steps + 1):
            policy = GaussianPolicy(parameters, self.normalizer)
            episodes = sampler.collect(tasks, config.episodes, policy, f"round {step}")
            rounds.append(episodes)
            batches.append(self.batch(episodes, parameters))
            if step < config.inner_steps:
                parameters = self.stepped(parameters, batches[-1])
        metrics = self.outer_step(batches)
        for episodes in rounds:
            self.normalizer.update(episodes.observation, episodes.mask)
        return {
            "return_before": float(rounds[0].returns.mean()),
            "return_after": float(rounds[-1].returns.mean()),
            "std": float(self.learnt["start"]["log_std"].exp().mean()),
            **metrics,
        }

    def batch(self, episodes: Episodes, parameters: Parameters) -> Batch:
        """A round of episodes of the policies with these parameters, for the losses."""

        def acted(observation: Tensor) -> Gaussian:
            return gaussian(parameters, observation)

        config = self.config
        return make_batch(
            episodes, self.normalizer, acted, config.discount, config.gae_lambda
        )

    # -- inside: adapting to a task --------------------------------------------------

    def inner_step(
        self, parameters: Parameters, batch: Batch, second_order: bool = False
    ) -> Parameters:
        """One policy gradient step of every task.

        Args:
            parameters: of each task, part of a graph.
            batch: collected with them.
            second_order: keep the gradient differentiable.
        """
        gradient = policy_gradient(parameters, batch, second_order)
        return {
            n: p - self.config.inner_lr * gradient[n] for n, p in parameters.items()
        }

    def stepped(self, parameters: Parameters, batch: Batch) -> Parameters:
        """`inner_step` without a graph, for collecting and deploying."""
        with torch.enable_grad():
            return detached(self.inner_step(leaves(parameters), batch))

    # -- outside: learning how to adapt ------------------------------------------------

    def through_adaptation(
        self, learnt: Learnt, batches: list[Batch]
    ) -> list[Gaussian]:
        """Actions of the policies of each round, differentiable by what is learnt."""
        parameters = stack(learnt["start"], len(batches[0].observation))
        actions = [gaussian(parameters, batches[0].observation)]
        for support, following in pairwise(batches):
            parameters = self.inner_step(parameters, support, second_order=True)
            actions.append(gaussian(parameters, following.observation))
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

    def adaptation(self, tasks: int) -> StepAdaptation[Parameters]:
        """Every task starts from the learnt parameters."""
        twin, config = self.snapshot(), self.config
        samples = config.deploy == "sample"

        def step(parameters: Parameters, episodes: Episodes, before: int) -> Parameters:
            stepped = twin.stepped(parameters, twin.batch(episodes, parameters))
            if before < config.inner_steps or config.later_step == 1:
                return stepped
            return {
                n: p.lerp(stepped[n], config.later_step) for n, p in parameters.items()
            }

        return StepAdaptation(
            stack(twin.learnt["start"], tasks),
            config.episodes,
            explore=lambda p: GaussianPolicy(p, twin.normalizer),
            deploy=lambda p: GaussianPolicy(p, twin.normalizer, explore=samples),
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
