"""Episodes in shards: some of the tasks at a time, in one process or in many.

A shard is a pure function of policy, tasks and seed, and has its tasks' places among
all of them, so that it draws the numbers that it would draw beside the others. Where
the cuts are follows from the numbers of tasks and copies alone. That matters: a matrix
product of other sizes may round otherwise, and the same cuts give the same bits,
whoever takes which shard, how often and in which order.
"""

import math
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import cloudpickle
import numpy as np
import torch
from torch import Tensor

from metarl.environment.collect import collect
from metarl.environment.environments import Environments
from metarl.environment.episodes import Episodes, Policy
from metarl.errors import InputError
from metarl.tasks.task import Task

SIMULATIONS = 100
"""Simulations of a shard, about: fewer keep more workers busy, more cost less each."""


@runtime_checkable
class Divisible(Policy, Protocol):
    """A policy of several tasks that can act for some of them elsewhere.

    One whose state matters after the episodes has ``take(parts)``, too, which takes
    over what its parts became.
    """

    def part(self, tasks: slice) -> Self:
        """The policy of some of the tasks."""
        ...


class Shard(NamedTuple):
    """What a worker is asked for beside the policy."""

    rows: slice
    """Place of its tasks among all of them."""
    tasks: Sequence[Task]
    copies: int
    seed: int
    noise_ids: Tensor
    """A number for each of its tasks, (tasks,) int64."""


Sampled = tuple[dict[str, Any], Policy | None]
"""A shard's episodes as arrays, and what became of its policy if that matters."""


def shards(
    tasks: Sequence[Task],
    copies: int,
    seed: int,
    noise_ids: Tensor | None,
    simulations: int,
) -> list[Shard]:
    """All tasks in shards of nearly equal size.

    Args:
        tasks: all of them.
        copies: episodes of each.
        seed: of initial states and exploration.
        noise_ids: a number for each task, (tasks,) int64; default: all differ.
        simulations: of a shard, at most, but for one of a single task.
    """
    count = math.ceil(len(tasks) / max(simulations // copies, 1))
    edges = [len(tasks) * index // count for index in range(count + 1)]
    ids = torch.arange(len(tasks)) if noise_ids is None else noise_ids
    return [
        Shard(slice(a, b), tasks[a:b], copies, seed, ids[a:b].clone())
        for a, b in pairwise(edges)
    ]


def packed(policy: Policy, tasks: int) -> bytes:
    """A policy of so many tasks as it goes to other processes.

    Raises:
        InputError: if it cannot be divided.
    """
    if not isinstance(policy, Divisible):
        raise InputError(
            f"{type(policy).__name__} has no part(tasks), the policy of some of its "
            "tasks: an agent that acts by it cannot use workers. Leave out --workers."
        )
    return bytes(cloudpickle.dumps(policy.part(slice(0, tasks))))


def sample(environments: Environments, policy: bytes, shard: Shard) -> Sampled:
    """The episodes of a shard.

    Args:
        environments: of the family; what they did before does not matter.
        policy: of all tasks, `packed`. Whoever samples unpacks it, so that its numbers
            lie in memory in one way in every process.
        shard: which tasks.
    """
    part = cloudpickle.loads(policy).part(shard.rows)
    environment = environments(shard.tasks, shard.copies)
    environment.set_noise_ids(shard.noise_ids)
    episodes = collect(environment, part, shard.seed)
    return _arrays(vars(episodes)), part if hasattr(part, "take") else None


def joined(policy: Policy, parts: Sequence[Sampled]) -> Episodes:
    """Episodes of all tasks from those of the shards, in order."""
    if changed := [part for _, part in parts if part is not None]:
        policy.take(changed)  # type: ignore[attr-defined]
    columns = [arrays for arrays, _ in parts]
    kinds = sorted({kind for column in columns for kind in column["warnings"]})
    for column in columns:
        nothing = np.zeros_like(column["length"])
        warned = column["warnings"]
        column["warnings"] = {kind: warned.get(kind, nothing) for kind in kinds}
    names = [f.name for f in fields(Episodes) if f.name != "states"]
    return Episodes(**{name: _joined([c[name] for c in columns]) for name in names})


def _arrays(values: dict[str, Any]) -> dict[str, Any]:
    """Tensors as arrays, in dictionaries, too."""
    return {
        name: _arrays(value) if isinstance(value, dict) else value.numpy()
        for name, value in values.items()
        if value is not None
    }


def _joined(values: list[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: _joined([v[name] for v in values]) for name in values[0]}
    return torch.from_numpy(np.concatenate(values))
