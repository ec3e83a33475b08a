"""Ray actors that sample shards.

    with connected("local", cpus=2):
        workers = Workers(family, observe_task=False, count=2)
        parts = workers.sample(policy, shards)

Whoever is free takes the next shard. One that is killed is replaced, wherever Ray has
room, and its shard goes back to the others: the run waits for none that is lost.
"""

import time
import warnings
from collections import deque
from collections.abc import Sequence
from typing import Any

import cloudpickle

from metarl.environment.environments import Environments
from metarl.environment.family import TaskFamily
from metarl.errors import InputError, RunError, described, user_frame
from metarl.learning.cluster import ray_module
from metarl.learning.shards import Sampled, Shard, packed, sample

PATIENCE = 60.0
"""Seconds without any worker after which a warning says so."""


class Workers:
    """So many Ray actors, each with a core and simulations of its own.

    Args:
        family: the task family.
        observe_task: append the task to observations.
        count: how many.
    """

    def __init__(self, family: TaskFamily, observe_task: bool, count: int) -> None:
        self.ray = ray_module()
        # By value, and not by Ray's own pickle: a user's file is no module elsewhere.
        self.made = self.ray.put(cloudpickle.dumps((family, observe_task)))
        self.busy: dict[Any, tuple[Any, int | None]] = {}
        """What each worker that is not idle does: its shard, or None, starting."""
        self.idle: list[Any] = []
        self.count = count
        self.cpu_seconds = 0.0
        """What sampling cost all of them so far."""
        for _ in range(count):
            self._start()

    def sample(self, policy: Any, shards: Sequence[Shard]) -> list[Sampled]:
        """The shards' episodes, in order.

        Raises:
            InputError: if the policy cannot be divided.
            RunError: if the policy's actions become NaN, or a user's function fails.
        """
        ray, tasks = self.ray, shards[-1].rows.stop
        weights = ray.put(packed(policy, tasks))
        waiting = deque(range(len(shards)))
        if self.count > len(shards):
            self._warn_of_idle(len(shards))
        found: dict[int, Sampled] = {}
        while len(found) < len(shards):
            while waiting and self.idle:
                worker, index = self.idle.pop(0), waiting.popleft()
                self.busy[worker.sample.remote(weights, shards[index])] = worker, index
            done, _ = ray.wait(list(self.busy), num_returns=1, timeout=PATIENCE)
            if not done:
                self._warn(len(found), len(shards))
            for reference in done:
                worker, working = self.busy.pop(reference)
                try:
                    result = ray.get(reference)
                except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError):
                    # It was killed, or its node with all that it found.
                    if working is not None:
                        waiting.append(working)
                    self._start()
                    continue
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                self.idle.append(worker)
                if working is not None:
                    found[working], seconds = result
                    self.cpu_seconds += seconds
        return [found[index] for index in range(len(shards))]

    def _start(self) -> None:
        worker = self.ray.remote(num_cpus=1)(_Worker).remote(self.made)
        self.busy[worker.ready.remote()] = worker, None

    def _warn_of_idle(self, shards: int) -> None:
        warnings.warn(
            f"{self.count} workers, but {shards} shards of episodes: the others have "
            "nothing to do. More tasks an iteration keep more workers busy.",
            RuntimeWarning,
            stacklevel=4,
        )
        self.count = shards  # said once

    def _warn(self, found: int, of: int) -> None:
        starting = sum(index is None for _, index in self.busy.values())
        warnings.warn(
            f"No shard of episodes came for {PATIENCE:.0f} s ({found} of {of} are "
            f"there). {starting} workers wait for a core: `ray status` shows what the "
            "cluster has.",
            RuntimeWarning,
            stacklevel=3,
        )


class _Worker:
    """The other end: samples what it is asked for, and keeps nothing that matters."""

    def __init__(self, made: bytes) -> None:
        family, observe_task = cloudpickle.loads(made)
        self.environments = Environments(family, observe_task, threads=1)

    def ready(self) -> None:
        """Answer as soon as it is there."""

    def sample(self, policy: bytes, shard: Shard) -> tuple[Sampled, float]:
        """What `metarl.learning.shards.sample` gives, and the CPU seconds it took."""
        began = time.process_time()
        try:
            sampled = sample(self.environments, policy, shard)
        except (InputError, RunError):
            raise
        except Exception as error:  # its traceback stays here
            if not user_frame(error):
                raise
            raise RunError(described(error)) from None
        return sampled, time.process_time() - began
