"""Adapting by one step on every full round of episodes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch import Tensor

from metarl.environment.episodes import Episodes, Policy, TimeStep, concatenate

State = TypeVar("State")


@dataclass
class StepAdaptation(Generic[State]):
    """An adaptation that makes a step whenever a full round of episodes is in.

    What it would deploy in the middle of a round is a step on the episodes so far, from
    the same state: nothing that it has seen is lost.
    """

    state: State
    """What is adapted, of all tasks."""
    episodes: int
    """Episodes of a full round."""
    explore: Callable[[State], Policy]
    """What collects the next round in a state."""
    deploy: Callable[[State], Policy]
    """What it would deploy in a state."""
    step: Callable[[State, Episodes, int], State]
    """The state after a step on the episodes of a round, and so many steps before."""
    waiting: list[Episodes] = field(default_factory=list)
    """Of the present round."""
    steps: int = 0
    """Full steps so far."""

    @property
    def episodes_per_update(self) -> int:
        """Episodes missing until the next step."""
        seen = sum(part.reward.shape[1] for part in self.waiting)
        return max(1, self.episodes - seen)

    def act(self, time_step: TimeStep) -> Tensor:
        """Explore with the current state."""
        return self.explore(self.state).act(time_step)

    def update(self, episodes: Episodes) -> None:
        """Keep the episodes; step once the round is full."""
        full = episodes.reward.shape[1] >= self.episodes_per_update
        self.waiting.append(episodes)
        if full:
            self.state = self._stepped()
            self.waiting = []
            self.steps += 1

    def policy(self) -> Policy:
        """The policies after a step on whatever episodes wait."""
        return self.deploy(self._stepped() if self.waiting else self.state)

    def _stepped(self) -> State:
        return self.step(self.state, concatenate(self.waiting), self.steps)
