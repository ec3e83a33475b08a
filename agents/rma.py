"""RMA: rapid motor adaptation, which infers an encoding of the task from history.

Kumar et al., "RMA: rapid motor adaptation for legged robots", 2021. Two phases:

    1. PPO:         action ~ policy(observation, z)   with  z = encoder(task)
    2. regression:  minimise  |estimator(observation, last steps) - z|^2

In the second phase the policy stands still and acts on what is estimated, so that the
estimator learns from the episodes that it will meet. What is deployed reads the last
steps and never the task. `sysid` is the same without an encoder: z is the task itself,
as in explicit system identification (Yu et al., 2017).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metarl.environment.episodes import TimeStep
from metarl.environment.family import TaskFamily
from metarl.learning.adam import Adam
from metarl.learning.agent import Adaptation, Agent, Metrics, NoAdaptation
from metarl.learning.history import History, HistoryPolicy
from metarl.learning.normalization import Normalizer
from metarl.learning.on_policy import PPOLearner
from metarl.learning.optimization import (
    adam_tensors,
    load_adam,
    load_module,
    module_tensors,
)
from metarl.learning.ppo import ActorCritic, PPOConfig, layers, minibatches
from metarl.learning.rollouts import Rollout
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import key, torch_generator


@dataclass(frozen=True)
class RMAConfig(PPOConfig):
    """Hyper-parameters of rapid motor adaptation."""

    latent: int = 8
    """Numbers in the encoding of a task."""
    encoder_units: int = 64
    """Units of the hidden layer of the task's encoder."""
    window: int = 30
    """Control steps that the estimator reads."""
    estimator_hidden: tuple[int, ...] = (256, 128)
    """Units of the hidden layers of the estimator."""
    estimator_lr: float = 5e-4
    """Step size of the estimator's Adam."""
    estimator_epochs: int = 2
    """Passes over a rollout in the second phase."""
    policy_share: float = 0.8
    """Share of the training's control steps that the first phase takes."""


class ConditionedActor(nn.Module):
    """The policy's network, on an observation and the encoding of its task."""

    def __init__(self, encoder: nn.Module, trunk: nn.Module, size: int) -> None:
        super().__init__()
        self.encoder, self.trunk, self.size = encoder, trunk, size

    def forward(self, inputs: Tensor) -> Tensor:
        """Mean actions of observations with their task, (..., size + task_size)."""
        observation, task = inputs[..., : self.size], inputs[..., self.size :]
        mean: Tensor = self.trunk(torch.cat([observation, self.encoder(task)], -1))
        return mean


class RMA(Agent):
    """A policy on an encoding of the task, which is estimated from history."""

    Config: ClassVar[type] = RMAConfig
    kind: ClassVar[str] = "history"
    continues = True
    normalizes = True

    def __init__(self, family: TaskFamily, config: RMAConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        self.size, action_size, task_size = family.spec
        inputs = self.size + config.window * (self.size + action_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(seed, "initial policy") % 2**63)
            encoder, latent = self.encoder(task_size)
            sizes = (self.size + latent, *config.hidden, action_size)
            trunk = layers(sizes, last_gain=0.01)
            self.actor = ConditionedActor(encoder, trunk, self.size)
            self.model = ActorCritic(
                self.actor,
                layers((self.size + task_size, *config.hidden, 1), last_gain=1.0),
                action_size,
                config.initial_std,
            )
            self.estimator = layers((inputs, *config.estimator_hidden, latent), 0.1)
        self.observed = Normalizer(self.size, floor=0.0, epsilon=1e-8)
        self.learner = PPOLearner(self.model, family, config, observe_task=True)
        self.history = History(
            config.simulations, config.window, self.size, action_size
        )
        self.optimizer = Adam(self.estimator.parameters(), lr=config.estimator_lr)
        self.phase = 1

    def encoder(self, task_size: int) -> tuple[nn.Module, int]:
        """The encoder of tasks, and how many numbers it gives."""
        config = self.config
        sizes = (task_size, config.encoder_units, config.latent)
        return nn.Sequential(layers(sizes), nn.Tanh()), config.latent

    def train_step(self, sampler: Sampler) -> Metrics:
        """A rollout, and PPO's update or the estimator's, by the phase."""
        rollouts = self.learner.start(sampler)
        self.observed.begin(rollouts.observation[:, : self.size])
        if sampler.progress >= self.config.policy_share:
            self.phase = 2
        return self._learn(sampler) if self.phase == 1 else self._estimate(sampler)

    def _learn(self, sampler: Sampler) -> Metrics:
        """Phase 1: PPO with the task's encoding."""

        def act(time_step: TimeStep) -> Tensor:
            inputs = self.privileged(time_step.observation)
            return self.model.actions(inputs).sample(time_step.noise)

        rollout = self.learner.collect(act, sampler)
        metrics = self.learner.update(
            rollout, self.privileged(rollout.observation), self.privileged, sampler
        )
        seen = rollout.observation[..., : self.size]
        self.observed.update(seen, torch.ones_like(rollout.reward))
        return metrics

    def _estimate(self, sampler: Sampler) -> Metrics:
        """Phase 2: regression of the encoding on the estimator's own rollouts."""
        inputs: list[Tensor] = []

        def act(time_step: TimeStep) -> Tensor:
            observation = self.observed(time_step.observation[:, 0, : self.size])
            inputs.append(self.history.inputs(observation, time_step.first[:, 0]))
            # It explores a little, as in the first phase.
            noise = self.model.log_std.exp() * time_step.noise[:, 0]
            action = self.deployed(inputs[-1]) + noise
            self.history.note(observation, action)
            return action[:, None]

        rollout = self.learner.collect(act, sampler)
        loss = self._regress(torch.stack(inputs), rollout, sampler)
        return {"return": self.learner.mean_return, "estimation_error": loss}

    def _regress(self, inputs: Tensor, rollout: Rollout, sampler: Sampler) -> float:
        """Several passes over a rollout; returns the last one's mean squared error."""
        with torch.no_grad():
            task = rollout.observation[..., self.size :].flatten(0, 1)
            target = self.actor.encoder(task)
        inputs, config = inputs.flatten(0, 1), self.config
        shuffle = torch_generator(sampler.seed, sampler.iteration, "minibatches")
        losses = []
        for some in minibatches(
            len(inputs), config.minibatches, config.estimator_epochs, shuffle
        ):
            loss = (self.estimator(inputs[some]) - target[some]).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(float(loss.detach()))
        return sum(losses[-config.minibatches :]) / config.minibatches

    def privileged(self, observation: Tensor) -> Tensor:
        """Normalized observations with the task, as policy and critic read them."""
        seen = self.observed(observation[..., : self.size])
        return torch.cat([seen, observation[..., self.size :]], -1)

    def deployed(self, inputs: Tensor) -> Tensor:
        """Mean actions by the estimated encoding, (n, action_size).

        Args:
            inputs: of `History`, (n, inputs).
        """
        latent = self.estimator(inputs)
        mean: Tensor = self.actor.trunk(torch.cat([inputs[:, : self.size], latent], -1))
        return mean

    def adaptation(self, tasks: int) -> Adaptation:
        """It adapts within each episode, at any budget in the same way."""
        twin = self.snapshot()
        return NoAdaptation(
            HistoryPolicy(twin.deployed, twin.observed, self.config.window)
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Networks, statistics, phase, and what training goes on from."""
        tensors, plain = self.learner.state()
        tensors |= self.observed.tensors("statistics/observation")
        tensors |= module_tensors(self.model, "policy")
        tensors |= module_tensors(self.estimator, "estimator")
        tensors |= adam_tensors(self.optimizer, "estimator_adam")
        tensors["history"] = self.history.steps.clone()
        return tensors, plain | {"phase": self.phase}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.observed.load(tensors, "statistics/observation")
        self.learner.load_state(tensors, plain)
        load_module(self.model, tensors, "policy")
        load_module(self.estimator, tensors, "estimator")
        load_adam(self.optimizer, tensors, "estimator_adam")
        self.history.steps = tensors["history"].clone()
        self.phase = plain["phase"]


class SystemIdentification(RMA):
    """A policy on the task's parameters, which are estimated from history."""

    def encoder(self, task_size: int) -> tuple[nn.Module, int]:
        """None: the parameters as an oracle observes them."""
        return nn.Identity(), task_size
