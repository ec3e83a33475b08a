"""Any agent, told what it observes in standard deviations from the mean.

A joint's velocity is tens of times larger than its angle, and a network that is told
both as they are listens to the velocity alone. On half-cheetah, MAML then learns four
times more slowly. Agents do not know of this. Between them and the robots stand running
statistics of all episodes of training:

    agent = Normalised(MAML(family, MAML.Config(), seed=0))

They change between meta-iterations only, so that all episodes of an iteration are seen
alike, and they belong to what is learnt: adaptation and evaluation do not change them.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

from torch import Tensor

from metarl.learning.agent import Adaptation, Agent, Metrics, Sampler
from metarl.learning.normalisation import Statistics
from metarl.tasks import Task
from metarl.world.environment import sizes
from metarl.world.rollout import Episodes, Percept, Policy

PREFIX = "observed"
"""Begins the names of the statistics in a checkpoint."""


class Normalised(Agent):
    """An agent that is told normalised observations.

    Args:
        agent: knows nothing of it.
    """

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent.family, agent.config, agent.seed)
        self.agent = agent
        self.sees_task, self.trains = agent.sees_task, agent.trains
        self.statistics = Statistics.nothing(sizes(agent.family, agent.sees_task)[0])

    @property
    def name(self) -> str:
        """Of the agent within."""
        return self.agent.name

    def train_step(self, sampler: Sampler) -> Metrics:
        """One meta-iteration; then its observations count, too."""
        through = NormalisedSampler(sampler, self.statistics)
        metrics = self.agent.train_step(through)
        self.statistics = through.extended
        return metrics

    def adaptation(self, tasks: int) -> "NormalisedAdaptation":
        """A fresh adaptation that sees through the statistics as they are now."""
        return NormalisedAdaptation(self.agent.adaptation(tasks), self.statistics)

    def copied(self) -> Self:
        """An agent that stays as this one is now, and sees as it does now."""
        twin = type(self)(self.agent.copied())
        twin.statistics = self.statistics
        return twin

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The agent's, and the statistics."""
        tensors, plain = self.agent.state()
        return {**tensors, **self.statistics.tensors(PREFIX)}, plain

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        within = {n: t for n, t in tensors.items() if not n.startswith(f"{PREFIX}/")}
        self.agent.load_state(within, plain)
        self.statistics = Statistics.of_tensors(tensors, PREFIX)


class NormalisedSampler(Sampler):
    """What a sampler collects, seen through statistics.

    Args:
        source: collects, and keeps the account.
        statistics: as before the iteration.
    """

    def __init__(self, source: Sampler, statistics: Statistics) -> None:
        super().__init__(source.family, source.seed, source.visible, source.train_tasks)
        self.source = source
        self.statistics = statistics
        self.extended = statistics
        """With the observations of the iteration so far."""
        self.load_state(source.state())

    def tasks(self, n: int) -> list[Task]:
        """The source's."""
        return self.source.tasks(n)

    def collect(
        self,
        tasks: list[Task],
        copies: int,
        policy: Policy,
        purpose: str,
        alike: Tensor | None = None,
    ) -> Episodes:
        """The source's episodes, of a policy that is told normalised observations."""
        through = NormalisedPolicy(policy, self.statistics)
        episodes = self.source.collect(tasks, copies, through, purpose, alike)
        self.load_state(self.source.state())
        self.extended = self.extended.extended(episodes.observation, episodes.mask)
        return normalised(episodes, self.statistics)

    def count(self, control_steps: int, seconds: float, diverged: int = 0) -> None:
        """Add to the source's account."""
        self.source.count(control_steps, seconds, diverged)
        self.load_state(self.source.state())


@dataclass
class NormalisedPolicy:
    """A policy that is told normalised observations."""

    policy: Policy
    statistics: Statistics

    def act(self, percept: Percept) -> Tensor:
        """Actions, (task, copy, action_size)."""
        told = self.statistics.normalised(percept.observation)
        return self.policy.act(percept._replace(observation=told))


@dataclass
class NormalisedAdaptation:
    """An adaptation that is told normalised observations."""

    adaptation: Adaptation
    statistics: Statistics

    @property
    def round(self) -> int:
        """Episodes a task that it would collect before it learns again."""
        return self.adaptation.round

    def act(self, percept: Percept) -> Tensor:
        """Actions, (task, copy, action_size)."""
        return NormalisedPolicy(self.adaptation, self.statistics).act(percept)

    def absorb(self, episodes: Episodes) -> None:
        """Learn from episodes."""
        self.adaptation.absorb(normalised(episodes, self.statistics))

    def deployed(self) -> NormalisedPolicy:
        """The policy that it would ship now."""
        return NormalisedPolicy(self.adaptation.deployed(), self.statistics)


def normalised(episodes: Episodes, statistics: Statistics) -> Episodes:
    """Episodes as an agent is told them."""
    final = episodes.final_observation
    return replace(
        episodes,
        observation=statistics.normalised(episodes.observation),
        final_observation=None if final is None else statistics.normalised(final),
    )
