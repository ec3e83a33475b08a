"""A replay buffer for each of several tasks, which is part of a checkpoint.

replay = Replay(tasks=50, sizes=(17, 6), megabytes=64)
replay.add(torch.tensor([3, 7]), episodes)             # of two tasks
batch = replay.sample(some, 256, generator)            # each (len(some), 256, ...)
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from metarl.environment.episodes import Episodes


class Transitions(NamedTuple):
    """Steps of several tasks, as the robot made them."""

    observation: Tensor
    """(task, n, observation_size)."""
    action: Tensor
    """(task, n, action_size)."""
    reward: Tensor
    """(task, n, 1)."""
    following: Tensor
    """The observation after the step, (task, n, observation_size)."""
    continues: Tensor
    """0 where the step terminated the episode, else 1: also where its time was up.
    (task, n, 1)."""


def transitions(episodes: Episodes) -> tuple[Transitions, Tensor]:
    """All steps of episodes, copies one after the other, and their mask, (task, n)."""
    mask, reward = episodes.mask, episodes.reward[..., None]
    last = (episodes.length - 1).clamp(min=0)[..., None]
    ends = torch.zeros_like(mask).scatter(
        2, last, episodes.terminated[..., None].float()
    )
    parts = (
        episodes.observation,
        episodes.action,
        reward,
        episodes.following,
        1 - ends[..., None],
    )
    return Transitions(*(part.flatten(1, 2) for part in parts)), mask.flatten(1)


class Replay:
    """The latest steps of each task.

    Args:
        tasks: number of tasks.
        sizes: numbers in an observation and in an action.
        megabytes: of all tasks together; a task gets an equal share.
    """

    def __init__(self, tasks: int, sizes: tuple[int, int], megabytes: int) -> None:
        observation_size, action_size = sizes
        self.sizes = (observation_size, action_size, 1, observation_size, 1)
        width = sum(self.sizes)
        self.capacity = max(1, megabytes * 2**20 // (4 * width * tasks))
        """Steps of each task."""
        self.rows = torch.zeros(tasks, self.capacity, width)
        self.added = torch.zeros(tasks, dtype=torch.long)
        """Steps so far, of which the latest are kept, (tasks,)."""

    def known(self) -> Tensor:
        """Indices of the tasks of which there are steps, (n,)."""
        return self.added.nonzero().flatten()

    def add(self, tasks: Tensor, episodes: Episodes) -> None:
        """Keep the steps of episodes; the oldest make room.

        Args:
            tasks: index of each task of the episodes, all different.
            episodes: of these tasks. Those that diverged are left out.
        """
        steps, mask = transitions(episodes)
        rows = torch.cat(steps, -1)
        for task, own, made in zip(tasks.tolist(), rows, mask > 0, strict=True):
            latest = own[made][-self.capacity :]
            place = (self.added[task] + torch.arange(len(latest))) % self.capacity
            self.rows[task, place] = latest
            self.added[task] += len(latest)

    def sample(
        self,
        tasks: Tensor,
        n: int,
        generator: torch.Generator,
        latest: int | None = None,
    ) -> Transitions:
        """Steps drawn uniformly, with replacement.

        Args:
            tasks: indices of `known` tasks, (m,).
            n: steps of each.
            generator: draws them.
            latest: draw from so many that were added last; default: from all.
        """
        window = self.capacity if latest is None else min(latest, self.capacity)
        available = self.added[tasks].clamp(max=window)[:, None]
        drawn = torch.rand(len(tasks), n, generator=generator) * available
        age = drawn.long().minimum(available - 1)  # the product may round up
        place = (self.added[tasks][:, None] - 1 - age) % self.capacity
        rows = self.rows[tasks[:, None], place]
        return Transitions(*rows.split(self.sizes, -1))

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """For a checkpoint: as much as there is, and nothing of an empty buffer."""
        filled = int(self.added.max().clamp(max=self.capacity))
        if not filled:
            return {}
        return {
            f"{prefix}/rows": self.rows[:, :filled].clone(),
            f"{prefix}/added": self.added.clone(),
        }

    def load(self, tensors: Mapping[str, Tensor], prefix: str) -> None:
        """Take over what `tensors` returned, among others."""
        self.added.zero_()
        if f"{prefix}/added" in tensors:
            rows = tensors[f"{prefix}/rows"]
            self.rows[:, : rows.shape[1]] = rows
            self.added.copy_(tensors[f"{prefix}/added"])
