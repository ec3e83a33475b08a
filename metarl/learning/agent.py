"""The contract that every way of learning to learn fulfils.

agent = MAML(family, MAML.Config(), seed=0)
agent.train_step(sampler)                     # one meta-iteration
adaptation = agent.adaptation(tasks=64)       # facing 64 unknown tasks
adaptation.update(episodes)                   # learn from a round of episodes
policy = adaptation.policy()                # what it would ship now
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

from torch import Tensor

from metarl.environment.episodes import Episodes, Policy, TimeStep
from metarl.environment.family import TaskFamily
from metarl.environment.registry import find
from metarl.errors import InputError
from metarl.learning.networks import Parameters
from metarl.learning.normalization import Normalizer
from metarl.learning.ranges import check_ranges
from metarl.learning.sampler import Sampler
from metarl.tasks.defaults import own_process

Metrics = dict[str, float]

_NORMALIZER = "observed"
"""Begins the names of the normalizer's tensors in a checkpoint."""


class Adaptation(Protocol):
    """One agent facing several unknown tasks, learning from its own episodes."""

    @property
    def episodes_per_update(self) -> int:
        """Episodes a task that it would collect before it learns again, at least 1."""
        ...

    def act(self, time_step: TimeStep) -> Tensor:
        """Explore; learn within the episode if it can. (task, copy, action_size)."""
        ...

    def update(self, episodes: Episodes) -> None:
        """Learn from a round of episodes, or from a part of one."""
        ...

    def policy(self) -> Policy:
        """The policy that it would ship now."""
        ...


@dataclasses.dataclass
class NoAdaptation:
    """The adaptation of an agent that does not adapt: one policy at any budget."""

    fixed: Policy
    episodes_per_update: int = 10**9

    def act(self, time_step: TimeStep) -> Tensor:
        """The policy's actions."""
        return self.fixed.act(time_step)

    def update(self, episodes: Episodes) -> None:
        """Learn nothing."""

    def policy(self) -> Policy:
        """The policy as it was trained."""
        return self.fixed


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
    kind: ClassVar[str] = ""
    """How it adapts: "gradient", "fast-weights", "memory", "history", "metric",
    "inference", "evolutionary", or "baseline"."""
    observes_task: bool = False
    """Whether it observes the task (the oracle)."""
    trains: bool = True
    """Whether there is anything to meta-train before it meets a robot."""
    continues: bool = False
    """Whether its simulations run on from one iteration to the next, in its process."""
    normalizes: bool = False
    """Whether it normalizes observations in a way of its own, and not by
    ``normalizer``."""
    retired_settings: ClassVar[Mapping[str, Any]] = {}
    """Fields that its config had in earlier versions, with the only value that still
    holds: a run of then is read if it has that value."""
    earlier_settings: ClassVar[Mapping[str, Any]] = {}
    """Fields that its config did not have in earlier versions, with the values of a run
    of then, whose config has all other fields."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in ("__init__", "train_step", "adaptation"):
            if name in cls.__dict__:
                setattr(cls, name, own_process()(cls.__dict__[name]))

    def __init__(self, family: TaskFamily, config: Any, seed: int) -> None:
        if dataclasses.is_dataclass(config):  # one of a plug-in may be anything
            check_ranges(config)
        self.family = family
        self.config = config
        self.seed = seed
        self.normalizer = Normalizer(
            family.spec.input_size(self.observes_task), enabled=False
        )
        """Of observations: policies and losses pass them through it, and `train_step`
        updates it at its end. Whoever makes the agent enables it."""

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

    def warm_start(self, source: "Agent") -> None:
        """Begin from the policy of a trained agent, in place of a random one.

        Raises:
            InputError: if it cannot.
        """
        raise InputError(f"{self.name} cannot start from the run of another agent.")

    def policy_parameters(self) -> tuple[Parameters, Normalizer]:
        """Its policy for others to start from, and what normalizes observations.

        Raises:
            InputError: if it has none that they could.
        """
        raise InputError(f"No other agent can start from a run of {self.name}.")

    @abc.abstractmethod
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that it has learnt, and what training needs to go on: tensors, JSON."""

    @abc.abstractmethod
    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""

    def from_earlier(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint's tensors by today's names, whichever version wrote it."""
        return tensors

    def save(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All of it, for a checkpoint: its state and its normalizer."""
        tensors, plain = self.state()
        return {**tensors, **self.normalizer.tensors(_NORMALIZER)}, plain

    def load(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `save` returned."""
        own = {n: t for n, t in tensors.items() if not n.startswith(f"{_NORMALIZER}/")}
        self.load_state(own, plain)
        self.normalizer.load(tensors, _NORMALIZER)

    def snapshot(self) -> Self:
        """An agent that stays as this one is now, so that training may go on."""
        twin = type(self)(self.family, self.config, self.seed)
        twin.normalizer.enabled = self.normalizer.enabled
        twin.load(*self.save())
        return twin


def find_agent(reference: str) -> type[Agent]:
    """The class of an agent: a registered name, ``module:Class``, ``file.py:Class``.

    Raises:
        InputError: if there is none.
    """
    agent: type[Agent] = find("agents", reference, Agent)
    return agent
