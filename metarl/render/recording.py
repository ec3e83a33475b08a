"""Recording an agent while it adapts, and the policies that it would ship.

recording = Recording(agent, family, [task])
(before,) = recording.record_policy()
recording.adapt(20)
(after,) = recording.record_policy()
"""

from collections.abc import Collection, Sequence

import numpy as np

from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.environments import Environments
from metarl.environment.episodes import Episodes
from metarl.environment.family import TaskFamily
from metarl.errors import InputError
from metarl.learning.adapt import adapt
from metarl.learning.agent import Agent
from metarl.render.growing import Curve, shown
from metarl.render.video import EpisodeRecording
from metarl.tasks.randomness import key
from metarl.tasks.task import Task

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
        self.environments = Environments(family, agent.observes_task)
        self.adaptation = agent.adaptation(len(tasks))
        self.rounds = [0]
        """Numbers of episodes after which it learnt, from 0 on."""
        self.returns: list[float] = []
        """Of each adaptation episode, as the mean over the tasks."""
        self.seconds: list[float] = []
        """Robot time of each adaptation episode, as the mean over the tasks."""

    @property
    def done(self) -> int:
        """Episodes of adaptation so far."""
        return self.rounds[-1]

    @property
    def episodes_per_update(self) -> int:
        """Episodes until it learns next, at most `LONGEST_ROUND`."""
        return min(self.adaptation.episodes_per_update, LONGEST_ROUND)

    def adapt(
        self, episodes: int, kept: Collection[int] = ()
    ) -> list[EpisodeRecording]:
        """Let it adapt for so many more episodes.

        Args:
            episodes: how many.
            kept: the numbers of those to record, counted from 1.

        Returns:
            Takes of the first task.
        """
        takes = []
        points = adapt(
            self.adaptation,
            self.environments,
            self.tasks,
            [self.done + episodes],
            (self.seed, "film", "support"),
            start=self.done,
            record=bool(kept),
        )
        for collected in next(points).rounds:
            copies = collected.reward.shape[1]
            numbers = range(self.done + 1, self.done + copies + 1)
            environment = self.environments(self.tasks, copies)
            takes += [
                self._take(environment, collected, 0, copy, f"adapting: episode {n}")
                for copy, n in enumerate(numbers)
                if n in kept
            ]
            self.returns += collected.returns.mean(0).tolist()
            steps = collected.length.double().mean(0)
            self.seconds += (steps * self.family.control_period).tolist()
            self.rounds.append(self.done + copies)
        return takes

    def record_policy(
        self, titles: Sequence[str] | None = None
    ) -> list[EpisodeRecording]:
        """One episode of the policy that it would ship now, for each task.

        Args:
            titles: of the takes; default: after how many episodes.
        """
        if titles is None:
            titles = [_after(self.done)] * len(self.tasks)
        world = self.environments(self.tasks, 1)
        policy = self.adaptation.policy()
        shown = collect(world, policy, key(self.seed, "film"), record=True)
        return [
            self._take(world, shown, row, 0, title) for row, title in enumerate(titles)
        ]

    def _take(
        self, world: Environment, seen: Episodes, row: int, copy: int, title: str
    ) -> EpisodeRecording:
        family, task = self.family, self.tasks[row]
        assert seen.states is not None
        length = int(seen.length[row, copy])
        phase = np.zeros(length, int)
        frames = family.frames(world.sim, row * world.copies + copy)
        phases = task.phases if frames is None else ()
        models = [family.render_model(one) for one in phases]
        for switch in task.switches:
            phase[round(switch.at / family.control_period) :] += 1
        states = seen.states[row, copy, :length].numpy()
        rewards = seen.reward[row, copy, :length].numpy()
        return EpisodeRecording(title, models, phase, states, rewards, frames)


def record(
    recording: Recording, after: Sequence[int] | None = None
) -> list[EpisodeRecording]:
    """One episode of the deployed policy after each number of adaptation episodes.

    Args:
        recording: fresh, of one task.
        after: numbers of episodes; default: 0 and one round.

    Raises:
        InputError: for a negative number.
    """
    takes = []
    for budget in budgets(after, (0, recording.episodes_per_update)):
        recording.adapt(budget - recording.done)
        takes += recording.record_policy()
    return takes


def record_growing(
    recording: Recording, episodes: int
) -> tuple[list[EpisodeRecording], list[int], Curve]:
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
    takes = recording.record_policy()
    takes += recording.adapt(episodes, kept=numbers)
    takes += recording.record_policy()
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
