"""PPO in simulations that run on: the training that several agents share.

    learner = PPOLearner(model, family, config, observe_task=True)
    rollout = learner.collect(act, sampler, pool)
    metrics = learner.update(rollout, actor_inputs, critic_inputs, sampler)

It holds all that training goes on from: model, Adam, simulations, reward scale.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarl.environment.episodes import TimeStep
from metarl.environment.family import TaskFamily
from metarl.errors import InputError, RunError
from metarl.learning.adam import Adam
from metarl.learning.agent import Metrics
from metarl.learning.optimization import adam_tensors, load_adam
from metarl.learning.ppo import ActorCritic, Batch, PPOConfig, followed, ppo_update
from metarl.learning.rollouts import (
    RewardScale,
    Rollout,
    Rollouts,
    advantages,
    is_of_rollouts,
)
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import key, torch_generator
from metarl.tasks.task import Task


class PPOLearner:
    """A model, the simulations that it learns in, and PPO's state.

    Args:
        model: policy and value network.
        family: the task family.
        config: hyper-parameters.
        observe_task: whether observations of the simulations end with the task.
    """

    def __init__(
        self,
        model: ActorCritic,
        family: TaskFamily,
        config: PPOConfig,
        observe_task: bool,
    ) -> None:
        self.family, self.config, self.observe_task = family, config, observe_task
        self.take_over(model)
        self.scale = RewardScale(config.simulations, config.discount)
        self.rollouts: Rollouts | None = None
        self.mean_return = float("nan")
        """Of the episodes that ended last."""
        self._awaiting: tuple[dict[str, Tensor], dict[str, Any]] | None = None

    def take_over(self, model: ActorCritic) -> None:
        """Go on with another model in the same simulations, by a fresh optimizer."""
        self.model = model
        self.learning_rate = self.config.learning_rate
        # Stable-Baselines3's epsilon.
        self.optimizer = Adam(model.parameters(), lr=0.0, eps=1e-5)

    def start(
        self, sampler: Sampler, pool: Callable[[Sampler], list[Task]] | None = None
    ) -> Rollouts:
        """The simulations; made when training begins, or goes on in another process.

        Args:
            sampler: gives their seed.
            pool: draws the tasks that they take; default: the first of `train`.

        Raises:
            InputError: if the sampler is to have workers.
        """
        if sampler.shard:
            raise InputError(
                "Simulations that run on from one iteration to the next stay in one "
                "process. Leave out --workers."
            )
        if self.rollouts is None:
            self.rollouts = Rollouts(
                self.family,
                pool(sampler) if pool else sampler.tasks_from(0, self.config.pool),
                self.config.simulations,
                sampler.seed,
                self.observe_task,
            )
            if self._awaiting is not None:
                self.rollouts.load_state(*self._awaiting)
                self._awaiting = None
        return self.rollouts

    def collect(self, act: Callable[[TimeStep], Tensor], sampler: Sampler) -> Rollout:
        """One rollout of every simulation, counted by the sampler."""
        assert self.rollouts is not None, "start comes first"
        began = time.perf_counter()
        seed = key(sampler.seed, sampler.iteration, "rollout")
        rollout = self.rollouts.collect(act, self.config.rollout, seed)
        seconds = time.perf_counter() - began
        sampler.count(
            rollout.reward.numel(), seconds, rollout.diverged, rollout.warnings
        )
        if rollout.returns:
            self.mean_return = float(np.mean(rollout.returns))
        return rollout

    def update(
        self,
        rollout: Rollout,
        actor_inputs: Tensor,
        critic_inputs: Callable[[Tensor], Tensor],
        sampler: Sampler,
    ) -> Metrics:
        """PPO's update on a rollout.

        Args:
            rollout: the steps.
            actor_inputs: what the actor read, (time, n, ...).
            critic_inputs: what the critic reads of observations.
            sampler: gives the order of minibatches.

        Raises:
            RunError: if the policy becomes NaN.
        """
        config, model = self.config, self.model
        with torch.no_grad():
            advantage, target = advantages(
                rollout,
                self.scale(rollout),
                lambda observation: model.value(critic_inputs(observation)),
                config.discount,
                config.gae_lambda,
            )
            log_prob = model.actions(actor_inputs).log_prob(rollout.action)
        columns = (
            actor_inputs,
            critic_inputs(rollout.observation),
            rollout.action,
            log_prob,
            advantage,
            target,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        kl = ppo_update(
            model,
            self.optimizer,
            Batch(*(column.flatten(0, 1) for column in columns)),
            config,
            torch_generator(sampler.seed, sampler.iteration, "minibatches"),
        )
        if not np.isfinite(kl):
            raise RunError("The policy is NaN. A smaller step size may help.")
        metrics = {
            "return": self.mean_return,
            "kl": kl,
            "learning_rate": self.learning_rate,
            "std": float(model.log_std.detach().exp().mean()),
            "explained_variance": 1 - float(advantage.var() / target.var()),
        }
        self.learning_rate = followed(self.learning_rate, kl, config.target_kl)
        return metrics

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What training goes on from but the model's weights: tensors, JSON values."""
        tensors = adam_tensors(self.optimizer)
        plain: dict[str, Any] = {"learning_rate": self.learning_rate}
        simulated = self.rollouts.state() if self.rollouts else self._awaiting
        if simulated is None:
            return tensors, plain
        world, plain["robots"] = simulated
        tensors |= self.scale.returns.tensors("statistics/return")
        tensors["discounted_return"] = self.scale.running.clone()
        return tensors | world, plain | {"return": self.mean_return}

    def load_state(self, tensors: Mapping[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned; simulations are made when it goes on."""
        self.learning_rate = plain["learning_rate"]
        self.rollouts, self._awaiting = None, None
        load_adam(self.optimizer, tensors)
        if "robots" in plain:
            self.scale.returns.load(tensors, "statistics/return")
            self.scale.running = tensors["discounted_return"].clone()
            world = {n: t for n, t in tensors.items() if is_of_rollouts(n)}
            self._awaiting = world, plain["robots"]
            known = plain["return"]
            self.mean_return = float("nan") if known is None else known
