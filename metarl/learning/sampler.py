"""Training tasks and episodes for an agent, and the account of what they cost."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from metarl.environment.collect import collect
from metarl.environment.environments import Environments
from metarl.environment.episodes import Episodes, Policy
from metarl.environment.family import TaskFamily
from metarl.learning.shards import joined, packed, sample, shards
from metarl.tasks.randomness import key
from metarl.tasks.task import Task

if TYPE_CHECKING:
    from metarl.learning.workers import Workers


class Sampler:
    """Gives an agent training tasks and episodes, and counts what they cost.

    All randomness follows from the seed and the iteration, so there is nothing to
    restore in a resumed run but the counts.

    Args:
        family: the task family.
        seed: of tasks, initial states and exploration.
        observe_task: whether the agent sees the task.
        train_tasks: train on so many distinct tasks; 0 draws new ones for ever.
        steps: control steps that the training is to take; 0 if nobody knows.
        drift: probability, at each control step, that a task's parameters change.
        shard: simulations of a shard of `collect`; 0 for all in one.
    """

    def __init__(
        self,
        family: TaskFamily,
        seed: int,
        observe_task: bool = False,
        train_tasks: int = 0,
        steps: int = 0,
        drift: float = 0.0,
        shard: int = 0,
    ) -> None:
        self.family = family
        self.seed = seed
        self.observe_task = observe_task
        self.train_tasks = train_tasks
        self.steps = steps
        self.drift = drift
        self.shard = shard
        self.workers: Workers | None = None
        """Who samples the shards; None for this process."""
        self.iteration = 0
        self.drawn = 0
        self.control_steps = 0
        self.diverged = 0
        self.warnings: dict[str, int] = {}
        """How often the engine warned, by what of: see `Simulation.warnings`."""
        self.seconds = 0.0
        self._environments = Environments(family, observe_task)

    @property
    def progress(self) -> float:
        """Share of the training's control steps that were made; 0 if nobody knows."""
        return self.control_steps / self.steps if self.steps else 0.0

    def tasks(self, n: int) -> list[Task]:
        """The next n tasks of the `train` split."""
        start, self.drawn = self.drawn, self.drawn + n
        return self.tasks_from(start, n)

    def tasks_from(self, start: int, n: int) -> list[Task]:
        """The n tasks of the `train` split from some place on; none counts as drawn."""
        if not self.train_tasks:
            return self.drawn_from("train", n, start)
        indices = [i % self.train_tasks for i in range(start, start + n)]
        return [self.drawn_from("train", 1, i)[0] for i in indices]

    def drawn_from(self, split: str, n: int, start: int) -> list[Task]:
        """Tasks of a split under the seed, which drift if the training is to."""
        changes = {"drift": self.drift} if self.drift else {}
        return self.family.tasks(split, n, self.seed, start, **changes)

    def collect(
        self,
        tasks: list[Task],
        copies: int,
        policy: Policy,
        purpose: str,
        noise_ids: Tensor | None = None,
    ) -> Episodes:
        """``copies`` episodes of each task.

        Args:
            tasks: the tasks.
            copies: episodes of each.
            policy: acts in all of them.
            purpose: names this round of the iteration; another name, other noise.
            noise_ids: a number for each task: the same number, the same noise.
        """
        began = time.perf_counter()
        seed = key(self.seed, self.iteration, purpose)
        if self.shard:
            episodes = self._in_shards(tasks, copies, policy, seed, noise_ids)
        else:
            environment = self._environments(tasks, copies)
            environment.set_noise_ids(noise_ids)
            episodes = collect(environment, policy, seed)
        self.count(
            episodes.control_steps,
            time.perf_counter() - began,
            int(episodes.diverged.sum()),
            episodes.warnings,
        )
        return episodes

    def _in_shards(
        self,
        tasks: list[Task],
        copies: int,
        policy: Policy,
        seed: int,
        noise_ids: Tensor | None,
    ) -> Episodes:
        cut = shards(tasks, copies, seed, noise_ids, self.shard)
        if self.workers is not None:
            return joined(policy, self.workers.sample(policy, cut))
        acting = packed(policy, len(tasks))
        return joined(policy, [sample(self._environments, acting, s) for s in cut])

    def count(
        self,
        control_steps: int,
        seconds: float,
        diverged: int = 0,
        warnings: Mapping[str, Tensor] = {},
    ) -> None:
        """Add to the account of an iteration."""
        for kind, count in warnings.items():
            self.warnings[kind] = self.warnings.get(kind, 0) + int(count.sum())
        self.control_steps += control_steps
        self.seconds += seconds
        self.diverged += diverged

    def state(self) -> dict[str, Any]:
        """The counts, for a checkpoint."""
        names = ("iteration", "drawn", "control_steps", "diverged", "warnings")
        return {name: getattr(self, name) for name in names}

    def load_state(self, plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        for name, value in plain.items():
            setattr(self, name, value)
