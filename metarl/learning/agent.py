"""The contract that every way of learning to learn fulfils.

agent = MAML(family, MAML.Config(), seed=0)
agent.train_step(sampler)                     # one meta-iteration
adaptation = agent.adaptation(tasks=64)       # facing 64 unknown tasks
adaptation.absorb(episodes)                   # learn from a round of episodes
policy = adaptation.deployed()                # what it would ship now
"""

import abc
import dataclasses
import time
from typing import Any, ClassVar, Protocol, Self

from torch import Tensor

from metarl.errors import InputError
from metarl.family import TaskFamily
from metarl.randomness import key
from metarl.tasks import Task
from metarl.world.environment import Environment
from metarl.world.rollout import Episodes, Percept, Policy, collect

Metrics = dict[str, float]


class Adaptation(Protocol):
    """One agent facing several unknown tasks, learning from its own episodes."""

    @property
    def round(self) -> int:
        """Episodes a task that it would collect before it learns again, at least 1."""
        ...

    def act(self, percept: Percept) -> Tensor:
        """Explore; learn within the episode if it can. (task, copy, action_size)."""
        ...

    def absorb(self, episodes: Episodes) -> None:
        """Learn from a round of episodes, or from a part of one."""
        ...

    def deployed(self) -> Policy:
        """The policy that it would ship now."""
        ...


class Sampler:
    """Gives an agent training tasks and episodes, and counts what they cost.

    All randomness follows from the seed and the iteration, so there is nothing to
    restore in a resumed run but the counts.

    Args:
        family: the task family.
        seed: of tasks, initial states and exploration.
        visible: whether the agent sees the task.
        train_tasks: train on so many distinct tasks; 0 draws new ones for ever.
    """

    def __init__(
        self,
        family: TaskFamily,
        seed: int,
        visible: bool = False,
        train_tasks: int = 0,
    ) -> None:
        self.family = family
        self.seed = seed
        self.visible = visible
        self.train_tasks = train_tasks
        self.iteration = 0
        self.drawn = 0
        self.control_steps = 0
        self.diverged = 0
        self.seconds = 0.0
        self._environments: dict[tuple[int, int], Environment] = {}

    def tasks(self, n: int) -> list[Task]:
        """The next n tasks of the `train` split."""
        start, self.drawn = self.drawn, self.drawn + n
        return self.tasks_from(start, n)

    def tasks_from(self, start: int, n: int) -> list[Task]:
        """The n tasks of the `train` split from some place on; none counts as drawn."""
        if not self.train_tasks:
            return self.family.tasks("train", n, self.seed, start)
        indices = [i % self.train_tasks for i in range(start, start + n)]
        return [self.family.tasks("train", 1, self.seed, i)[0] for i in indices]

    def collect(
        self,
        tasks: list[Task],
        copies: int,
        policy: Policy,
        purpose: str,
        alike: Tensor | None = None,
    ) -> Episodes:
        """``copies`` episodes of each task.

        Args:
            tasks: the tasks.
            copies: episodes of each.
            policy: acts in all of them.
            purpose: names this round of the iteration; another name, other noise.
            alike: a number for each task; those of the same number see the same noise.
        """
        began = time.perf_counter()
        shape = (len(tasks), copies)
        if shape not in self._environments:
            self._environments[shape] = Environment(
                self.family, tasks, copies, visible=self.visible
            )
        environment = self._environments[shape]
        environment.set_tasks(tasks)
        environment.share_noise(alike)
        seed = key(self.seed, self.iteration, purpose)
        episodes = collect(environment, policy, seed)
        self.count(
            episodes.control_steps,
            time.perf_counter() - began,
            int(episodes.diverged.sum()),
        )
        return episodes

    def count(self, control_steps: int, seconds: float, diverged: int = 0) -> None:
        """Add to the account of an iteration."""
        self.control_steps += control_steps
        self.seconds += seconds
        self.diverged += diverged

    def state(self) -> dict[str, int]:
        """The counts, for a checkpoint."""
        names = ("iteration", "drawn", "control_steps", "diverged")
        return {name: getattr(self, name) for name in names}

    def load_state(self, plain: dict[str, int]) -> None:
        """Take over what `state` returned."""
        for name, value in plain.items():
            setattr(self, name, value)


class Agent(abc.ABC):
    """A way of learning to learn, or a baseline.

    Args:
        family: what it learns on.
        config: an instance of its ``Config``, a frozen dataclass.
        seed: of its initial parameters.

    Raises:
        InputError: for a count below 1.
    """

    Config: ClassVar[type]
    """Its hyper-parameters: a frozen dataclass with a default for each."""
    sees_task: bool = False
    """Whether it observes the task (the oracle)."""
    trains: bool = True
    """Whether there is anything to meta-train before it meets a robot."""
    normalises: bool = False
    """Whether it normalises observations by itself."""

    def __init__(self, family: TaskFamily, config: Any, seed: int) -> None:
        known = dataclasses.is_dataclass(config)  # one of a plug-in may be anything
        for field in dataclasses.fields(config) if known else ():
            value = getattr(config, field.name)
            if type(field.default) is int and value < min(field.default, 1):
                raise InputError(f"{field.name}={value} must be 1 or more.")
        self.family = family
        self.config = config
        self.seed = seed

    @property
    def name(self) -> str:
        """What a checkpoint calls it."""
        return type(self).__name__

    @abc.abstractmethod
    def train_step(self, sampler: Sampler) -> Metrics:
        """One meta-iteration: collect, adapt, collect, update."""

    @abc.abstractmethod
    def adaptation(self, tasks: int) -> Adaptation:
        """A fresh adaptation to ``tasks`` unknown tasks at a time."""

    @abc.abstractmethod
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that it has learnt, and what training needs to go on: tensors, JSON."""

    @abc.abstractmethod
    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""

    def copied(self) -> Self:
        """An agent that stays as this one is now, so that training may go on."""
        twin = type(self)(self.family, self.config, self.seed)
        twin.load_state(*self.state())
        return twin
