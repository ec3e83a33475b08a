"""Domain randomization with history: the policy reads the last steps of its episode.

Peng et al., "Sim-to-real transfer of robotic control with dynamics randomization",
2018; the critic that observes the task is of Pinto et al., "Asymmetric actor critic for
image-based robot learning", 2018. It is today's honest baseline on real robots:

    action ~ policy(observation, encoder(last steps))
    value  = critic(observation, task)                    in training alone

Nothing says what to infer from the history: the policy gradient finds out. Adapting is
nothing but acting, within the first second of an episode and without a reward. With
``window=0`` and ``privileged_critic=False`` this is `randomized`, to the bit.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from metarl.environment.episodes import TimeStep
from metarl.environment.family import TaskFamily
from metarl.learning.agent import Adaptation, Agent, Metrics, NoAdaptation
from metarl.learning.history import (
    History,
    HistoryNetwork,
    HistoryPolicy,
    step_encoder,
)
from metarl.learning.normalization import Normalizer
from metarl.learning.on_policy import PPOLearner
from metarl.learning.optimization import load_module, module_tensors
from metarl.learning.ppo import ActorCritic, PPOConfig, layers
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import key


@dataclass(frozen=True)
class HistoryConfig(PPOConfig):
    """Hyper-parameters of domain randomization with history."""

    window: int = field(default=16, metadata={"least": 0})
    """Control steps that the policy reads."""
    encoder_units: int = 128
    """Units of the encoder's hidden layer."""
    latent: int = 16
    """Numbers that the encoder makes of the steps."""
    privileged_critic: bool = True
    """Whether the value network observes the task, which the policy never does."""


class HistoryAgent(Agent):
    """PPO over the train ranges with the last steps in the policy's input."""

    Config: ClassVar[type] = HistoryConfig
    kind: ClassVar[str] = "history"
    continues = True
    normalizes = True

    def __init__(self, family: TaskFamily, config: HistoryConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        self.size, action_size, task_size = family.spec
        privileged = task_size if config.privileged_critic else 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(seed, "initial policy") % 2**63)
            self.model = ActorCritic(
                history_actor(config, self.size, action_size),
                layers((self.size + privileged, *config.hidden, 1), last_gain=1.0),
                action_size,
                config.initial_std,
            )
        self.observed = Normalizer(self.size, floor=0.0, epsilon=1e-8)
        self.learner = PPOLearner(self.model, family, config, observe_task=True)
        self.history = self._no_history()

    def train_step(self, sampler: Sampler) -> Metrics:
        """One rollout of every simulation and one PPO update."""
        rollouts = self.learner.start(sampler)
        self.observed.begin(rollouts.observation[:, : self.size])
        inputs = []

        def act(time_step: TimeStep) -> Tensor:
            observation = self.observed(time_step.observation[:, 0, : self.size])
            inputs.append(self.history.inputs(observation, time_step.first[:, 0]))
            action = self.model.actions(inputs[-1]).sample(time_step.noise[:, 0])
            self.history.note(observation, action)
            return action[:, None]

        rollout = self.learner.collect(act, sampler)
        metrics = self.learner.update(
            rollout, torch.stack(inputs), self.critic_inputs, sampler
        )
        seen = rollout.observation[..., : self.size]
        self.observed.update(seen, torch.ones_like(rollout.reward))
        return metrics

    def critic_inputs(self, observation: Tensor) -> Tensor:
        """Normalized observations, with the task where the critic may observe it."""
        seen = self.observed(observation[..., : self.size])
        if not self.config.privileged_critic:
            return seen
        return torch.cat([seen, observation[..., self.size :]], -1)

    def adaptation(self, tasks: int) -> Adaptation:
        """It adapts within each episode, at any budget in the same way."""
        twin = self.snapshot()
        return NoAdaptation(
            HistoryPolicy(twin.model.actor, twin.observed, self.config.window)
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Networks, statistics, and what training goes on from."""
        tensors, plain = self.learner.state()
        tensors |= module_tensors(self.model, "policy")
        tensors |= self.observed.tensors("statistics/observation")
        return tensors | {"history": self.history.steps.clone()}, plain

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        load_module(self.model, tensors, "policy")
        self.observed.load(tensors, "statistics/observation")
        self.learner.load_state(tensors, plain)
        self.history.steps = tensors["history"].clone()

    def _no_history(self) -> History:
        sizes = self.size, self.family.spec.action_size
        return History(self.config.simulations, self.config.window, *sizes)


def history_actor(config: HistoryConfig, size: int, action_size: int) -> HistoryNetwork:
    """The policy's network: an encoder of the steps, and layers on what it gives."""
    if not config.window:
        trunk = layers((size, *config.hidden, action_size), last_gain=0.01)
        return HistoryNetwork(None, trunk, size)
    return HistoryNetwork(
        step_encoder(
            config.window, size + action_size, config.encoder_units, config.latent
        ),
        layers((size + config.latent, *config.hidden, action_size), last_gain=0.01),
        size,
    )
