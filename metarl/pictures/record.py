"""Recording an agent while it adapts, and the policies that it would ship.

recording = Recording(agent, family, [task])
(before,) = recording.deployed()
recording.adapt(20)
(after,) = recording.deployed()
"""

from collections.abc import Collection, Sequence

import numpy as np

from metarl.errors import InputError
from metarl.family import TaskFamily
from metarl.learning.agent import Agent
from metarl.pictures.growing import Curve, shown
from metarl.pictures.video import Take
from metarl.randomness import key
from metarl.tasks import Task
from metarl.world.environment import Environment
from metarl.world.rollout import Episodes, collect

LONGEST_ROUND = 50
"""Most episodes that are filmed after, for an agent that never learns again."""


class Recording:
    """An agent that adapts to tasks, with a camera beside it.

    All deployed policies start from the same state and see the same noise.

    Args:
        agent: trained.
        family: its family.
        tasks: the tasks to adapt to.
        seed: of initial states and exploration.
    """

    def __init__(
        self, agent: Agent, family: TaskFamily, tasks: Sequence[Task], seed: int = 0
    ) -> None:
        self.family, self.tasks, self.seed = family, tasks, seed
        self.sees_task = agent.sees_task
        self.adaptation = agent.adaptation(len(tasks))
        self.rounds = [0]
        """Numbers of episodes after which it learnt, from 0 on."""
        self.returns: list[float] = []
        """Of each adaptation episode, as the mean over the tasks."""
        self.seconds: list[float] = []
        """Robot time of each adaptation episode, as the mean over the tasks."""
        self._worlds: dict[int, Environment] = {}

    @property
    def done(self) -> int:
        """Episodes of adaptation so far."""
        return self.rounds[-1]

    @property
    def round(self) -> int:
        """Episodes until it learns next, at most `LONGEST_ROUND`."""
        return min(self.adaptation.round, LONGEST_ROUND)

    def adapt(self, episodes: int, kept: Collection[int] = ()) -> list[Take]:
        """Let it adapt for so many more episodes.

        Args:
            episodes: how many.
            kept: the numbers of those to record, counted from 1.

        Returns:
            Takes of the first task.
        """
        takes, until = [], self.done + episodes
        while self.done < until:
            copies = min(self.adaptation.round, until - self.done)
            world = self._world(copies)
            support = key(self.seed, "film", "support", self.done)
            seen = collect(world, self.adaptation, support, record=bool(kept))
            takes += [
                self._take(world, seen, 0, copy, f"adapting: episode {number}")
                for copy, number in enumerate(
                    range(self.done + 1, self.done + copies + 1)
                )
                if number in kept
            ]
            self.adaptation.absorb(seen)
            self.returns += seen.returns.mean(0).tolist()
            seconds = seen.length.double().mean(0) * self.family.control_period
            self.seconds += seconds.tolist()
            self.rounds.append(self.done + copies)
        return takes

    def deployed(self, titles: Sequence[str] | None = None) -> list[Take]:
        """One episode of the policy that it would ship now, for each task.

        Args:
            titles: of the takes; default: after how many episodes.
        """
        if titles is None:
            titles = [_after(self.done)] * len(self.tasks)
        world = self._world(1)
        policy = self.adaptation.deployed()
        shown = collect(world, policy, key(self.seed, "film"), record=True)
        return [
            self._take(world, shown, row, 0, title) for row, title in enumerate(titles)
        ]

    def _world(self, copies: int) -> Environment:
        if copies not in self._worlds:
            self._worlds[copies] = Environment(
                self.family, self.tasks, copies, visible=self.sees_task
            )
        return self._worlds[copies]

    def _take(
        self, world: Environment, seen: Episodes, row: int, copy: int, title: str
    ) -> Take:
        family, task = self.family, self.tasks[row]
        assert seen.states is not None
        length = int(seen.length[row, copy])
        phase = np.zeros(length, int)
        frames = family.frames(world.sim, row * world.copies + copy)
        models = [] if frames is not None else [family.portrait(task.before_switch)]
        if task.switch is not None:
            models.append(family.portrait(task.after_switch))
            phase[round(task.switch.at / family.control_period) :] = 1
        states = seen.states[row, copy, :length].numpy()
        rewards = seen.reward[row, copy, :length].numpy()
        return Take(title, models, phase, states, rewards, frames)


def record(recording: Recording, after: Sequence[int] | None = None) -> list[Take]:
    """One episode of the deployed policy after each number of adaptation episodes.

    Args:
        recording: fresh, of one task.
        after: numbers of episodes; default: 0 and one round.

    Raises:
        InputError: for a negative number.
    """
    takes = []
    for budget in budgets(after, (0, recording.round)):
        recording.adapt(budget - recording.done)
        takes += recording.deployed()
    return takes


def record_growing(
    recording: Recording, episodes: int
) -> tuple[list[Take], list[int], Curve]:
    """An adaptation as `film_growing` shows it: takes, their numbers, the curve.

    Args:
        recording: fresh, of one task.
        episodes: of the adaptation.

    Raises:
        InputError: for fewer than one.
    """
    if episodes < 1:
        raise InputError("An adaptation that grows needs at least 1 episode.")
    family = recording.family
    numbers = shown(episodes, family.horizon * family.control_period)
    takes = recording.deployed()
    takes += recording.adapt(episodes, kept=numbers)
    takes += recording.deployed()
    before, after = (float(takes[place].rewards.sum()) for place in (0, -1))
    curve = Curve(recording.returns, recording.seconds, recording.rounds, before, after)
    return takes, numbers, curve


def budgets(after: Sequence[int] | None, default: Sequence[int]) -> list[int]:
    """Numbers of adaptation episodes in ascending order.

    Raises:
        InputError: for a negative number, or none at all.
    """
    wanted = default if after is None else after
    if not wanted or min(wanted) < 0:
        raise InputError(f"after={list(wanted)} needs numbers of episodes from 0.")
    return sorted(wanted)


def _after(episodes: int) -> str:
    if episodes == 0:
        return "before adaptation"
    return f"after {episodes} episode{'s' if episodes > 1 else ''}"
