"""Teacher and student: a policy on history learns to act as an oracle does.

Lee et al., "Learning quadrupedal locomotion over challenging terrain", 2020, by dataset
aggregation (Ross et al., 2011). Three phases:

    1. PPO:         teacher ~ policy(observation, task)
    2. imitation:   minimise  |student(observation, last steps) - teacher|^2
                    on the student's own rollouts
    3. PPO:         the student, from there, with the teacher's critic

An oracle acts before anything can be known; a student that only imitates it never
explores. So the third phase rewards what gains with the history alone. What is deployed
reads the last steps and never the task.
"""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from metarl.agents.history import HistoryConfig, history_actor
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
from metarl.learning.ppo import ActorCritic, layers, minibatches
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import key, torch_generator


@dataclass(frozen=True)
class StudentConfig(HistoryConfig):
    """Hyper-parameters of teacher and student."""

    teacher_share: float = 0.5
    """Share of the training's control steps that the teacher learns for."""
    imitation_share: float = 0.15
    """Share in which the student imitates; the rest is the third phase's."""
    imitation_lr: float = 1e-3
    """Step size of the student's Adam in imitation."""
    imitation_epochs: int = 2
    """Passes over a rollout in imitation."""


class Student(Agent):
    """A policy on history that starts from what an oracle of the train ranges does."""

    Config: ClassVar[type] = StudentConfig
    kind: ClassVar[str] = "history"
    continues = True
    normalizes = True

    def __init__(self, family: TaskFamily, config: StudentConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        self.size, action_size, task_size = family.spec
        both = self.size + task_size

        def critic() -> torch.nn.Module:
            return layers((both, *config.hidden, 1), last_gain=1.0)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(seed, "initial policy") % 2**63)
            teacher = layers((both, *config.hidden, action_size), last_gain=0.01)
            std = config.initial_std
            self.teacher = ActorCritic(teacher, critic(), action_size, std)
            student = history_actor(config, self.size, action_size)
            self.student = ActorCritic(student, critic(), action_size, std)
        self.observed = Normalizer(self.size, floor=0.0, epsilon=1e-8)
        self.learner = PPOLearner(self.teacher, family, config, observe_task=True)
        sizes = (config.window, self.size, action_size)
        self.history = History(config.simulations, *sizes)
        self.imitation = Adam(student.parameters(), lr=config.imitation_lr)
        self.phase = 1

    def train_step(self, sampler: Sampler) -> Metrics:
        """A rollout, and the update of its phase."""
        rollouts = self.learner.start(sampler)
        self.observed.begin(rollouts.observation[:, : self.size])
        config, progress = self.config, sampler.progress
        if self.phase == 1 and progress >= config.teacher_share:
            self.phase = 2
        if (
            self.phase == 2
            and progress >= config.teacher_share + config.imitation_share
        ):
            self._end_imitation()
        if self.phase == 1:
            return self._teach(sampler)
        return self._imitate(sampler) if self.phase == 2 else self._improve(sampler)

    def _teach(self, sampler: Sampler) -> Metrics:
        """Phase 1: PPO of the policy that observes the task."""

        def act(time_step: TimeStep) -> Tensor:
            inputs = self.privileged(time_step.observation)
            return self.teacher.actions(inputs).sample(time_step.noise)

        rollout = self.learner.collect(act, sampler)
        inputs = self.privileged(rollout.observation)
        metrics = self.learner.update(rollout, inputs, self.privileged, sampler)
        seen = rollout.observation[..., : self.size]
        self.observed.update(seen, torch.ones_like(rollout.reward))
        return metrics

    def _imitate(self, sampler: Sampler) -> Metrics:
        """Phase 2: regression of the teacher's actions where the student comes.

        At first the teacher acts in most simulations, and later in none.
        """
        config = self.config
        passed = (sampler.progress - config.teacher_share) / config.imitation_share
        taught = round(max(0.0, 1 - 3 * passed) * config.simulations)
        inputs: list[Tensor] = []

        def act(time_step: TimeStep) -> Tensor:
            observation = time_step.observation[:, 0]
            mean = self.student.actor(self._read(time_step, inputs))
            mean[:taught] = self.teacher.actor(self.privileged(observation[:taught]))
            action = mean + self.teacher.log_std.exp() * time_step.noise[:, 0]
            self.history.note(inputs[-1][:, : self.size], action)
            return action[:, None]

        rollout = self.learner.collect(act, sampler)
        with torch.no_grad():
            target = self.teacher.actor(self.privileged(rollout.observation))
        pairs = torch.stack(inputs).flatten(0, 1), target.flatten(0, 1)
        shuffle = torch_generator(sampler.seed, sampler.iteration, "minibatches")
        epochs, losses = config.imitation_epochs, []
        for some in minibatches(len(pairs[0]), config.minibatches, epochs, shuffle):
            mean = self.student.actor(pairs[0][some])
            loss = (mean - pairs[1][some]).square().mean()
            self.imitation.zero_grad()
            loss.backward()
            self.imitation.step()
            losses.append(float(loss.detach()))
        error = sum(losses[-config.minibatches :]) / config.minibatches
        return {"return": self.learner.mean_return, "imitation_error": error}

    def _end_imitation(self) -> None:
        """The student goes on by PPO, with the teacher's critic and exploration."""
        self.phase = 3
        self.student.critic = copy.deepcopy(self.teacher.critic)
        self.student.log_std = copy.deepcopy(self.teacher.log_std)
        self.learner.take_over(self.student)

    def _improve(self, sampler: Sampler) -> Metrics:
        """Phase 3: PPO of the student, whose critic observes the task."""
        inputs: list[Tensor] = []

        def act(time_step: TimeStep) -> Tensor:
            actions = self.student.actions(self._read(time_step, inputs))
            action = actions.sample(time_step.noise[:, 0])
            self.history.note(inputs[-1][:, : self.size], action)
            return action[:, None]

        rollout = self.learner.collect(act, sampler)
        return self.learner.update(
            rollout, torch.stack(inputs), self.privileged, sampler
        )

    def _read(self, time_step: TimeStep, inputs: list[Tensor]) -> Tensor:
        """What the student reads in simulations of a copy each, also kept."""
        observation = self.observed(time_step.observation[:, 0, : self.size])
        inputs.append(self.history.inputs(observation, time_step.first[:, 0]))
        return inputs[-1]

    def privileged(self, observation: Tensor) -> Tensor:
        """Normalized observations with the task, as teacher and critics read them."""
        seen = self.observed(observation[..., : self.size])
        return torch.cat([seen, observation[..., self.size :]], -1)

    def adaptation(self, tasks: int) -> Adaptation:
        """It adapts within each episode, at any budget in the same way."""
        twin = self.snapshot()
        return NoAdaptation(
            HistoryPolicy(twin.student.actor, twin.observed, self.config.window)
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Networks, statistics, phase, and what training goes on from."""
        tensors, plain = self.learner.state()
        tensors |= self.observed.tensors("statistics/observation")
        tensors |= module_tensors(self.teacher, "teacher")
        tensors |= module_tensors(self.student, "student")
        tensors |= adam_tensors(self.imitation, "imitation_adam")
        tensors["history"] = self.history.steps.clone()
        return tensors, plain | {"phase": self.phase}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.phase = plain["phase"]
        self.learner.take_over(self.student if self.phase == 3 else self.teacher)
        self.observed.load(tensors, "statistics/observation")
        self.learner.load_state(tensors, plain)
        load_module(self.teacher, tensors, "teacher")
        load_module(self.student, tensors, "student")
        load_adam(self.imitation, tensors, "imitation_adam")
        self.history.steps = tensors["history"].clone()
