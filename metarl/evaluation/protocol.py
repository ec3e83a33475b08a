"""The protocol: how well an agent does after so much time on an unknown task.

For every task of a split, an agent adapts on its own episodes. At each budget point
the policy that it would deploy is evaluated on fresh episodes that cost no budget. All
agents, and all budget points, meet the same initial states and noise.

    results = evaluate(agent, family, splits=["near", "far"], tasks=64)
    results.splits["far"].points[-1].returns              # one number per task

An episode whose simulation diverged counts as the worst of its task. The robot time of
a point counts every control step of every episode that the agent asked for:
exploration, failed attempts and repetitions.
"""

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from metarl.environment.collect import collect
from metarl.environment.environments import Environments
from metarl.environment.episodes import Episodes, returns_with_diverged_as_worst
from metarl.environment.family import TaskFamily
from metarl.errors import InputError
from metarl.evaluation.results import (
    Evaluation,
    Numbers,
    ParameterInfo,
    Point,
    ProtocolInfo,
    RunInfo,
    Split,
)
from metarl.learning.adapt import adapt
from metarl.learning.agent import Agent, NoAdaptation
from metarl.tasks.defaults import own_process
from metarl.tasks.randomness import key
from metarl.tasks.task import Task

BUDGETS = (0, 1, 2, 5, 10, 20, 50)
"""Episodes of adaptation after which the deployed policy is evaluated."""
MOST = 100_000
"""Tasks, fresh episodes, or episodes of adaptation: more is a slip of the finger."""
ON_REQUEST = ("train", "drift")
"""Splits that are evaluated only where they are asked for."""


def budgets_up_to(episodes: int) -> list[int]:
    """The standard budget points up to ``episodes``, and ``episodes`` itself.

    Raises:
        InputError: for a negative number.
    """
    if episodes < 0:
        raise InputError(f"episodes={episodes} must be 0 or more.")
    return sorted({b for b in BUDGETS if b <= episodes} | {episodes})


@own_process()
def evaluate(
    agent: Agent,
    family: TaskFamily,
    *,
    splits: Sequence[str] | None = None,
    tasks: int = 64,
    budgets: Sequence[int] = BUDGETS[:-1],
    query_episodes: int = 4,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Evaluate an agent on every split.

    Args:
        agent: trained.
        family: the family it was trained on.
        splits: which splits; default: all that the family has, but `train` and
            `drift`.
        tasks: tasks per split.
        budgets: episodes of adaptation to evaluate after, in any order.
        query_episodes: episodes per task that evaluate the deployed policy.
        seed: freezes tasks, initial states and noise.
        progress: called with a line of text as each split begins.

    Returns:
        A point for each split and budget, with a number per task for each measure.

    Raises:
        InputError: for an unknown split or a wrong size.
    """
    if isinstance(tasks, Sequence):
        raise InputError(
            "tasks is a number of tasks a split. Evaluate tasks of your own by `adapt` "
            "and `collect`: see metarl.learning.adapt."
        )
    counts = {"tasks": tasks, "query_episodes": query_episodes}
    for name, count in (*counts.items(), *(("budgets", b) for b in budgets)):
        if count > MOST:
            raise InputError(f"{name}={count} must be {MOST:,} or less.")
    if tasks < 1 or query_episodes < 1:
        raise InputError("tasks and query_episodes must be at least 1.")
    budgets = sorted(set(budgets))
    if not budgets or budgets[0] < 0:
        raise InputError(f"budgets={budgets}: one or more numbers, 0 or more each.")
    if splits is None:
        splits = [split for split in family.splits if split not in ON_REQUEST]
    if not splits:
        raise InputError(f"No split to evaluate on. Known: {', '.join(family.splits)}.")
    drawn = {split: family.tasks(split, tasks, seed) for split in splits}
    began = time.perf_counter()
    results = {}
    for split, its_tasks in drawn.items():
        if progress is not None:
            progress(f"evaluating on {split}")
        results[split] = _evaluate_split(
            agent, family, split, its_tasks, budgets, query_episodes, seed
        )
    return Evaluation(
        ProtocolInfo(
            tasks,
            query_episodes,
            tuple(budgets),
            seed,
            family.horizon,
            family.control_period,
            family.success_measure,
            family.backend.name,
        ),
        results,
        tuple(ParameterInfo.of(*named) for named in family.space.parameters.items()),
        RunInfo(family.name, type(agent).__name__),
        time.perf_counter() - began,
    )


def _evaluate_split(
    agent: Agent,
    family: TaskFamily,
    split: str,
    tasks: list[Task],
    budgets: list[int],
    query_episodes: int,
    seed: int,
) -> Split:
    environments = Environments(family, agent.observes_task)
    adaptation = agent.adaptation(len(tasks))
    purpose = (seed, "evaluation", "support")
    points: list[Point] = []
    for point in adapt(adaptation, environments, tasks, budgets, purpose):
        if not points or not isinstance(adaptation, NoAdaptation):
            query = collect(
                environments(tasks, query_episodes),
                point.policy,
                key(seed, "evaluation", "query"),
            )
        online = [_worst_if_diverged(episodes) for episodes in point.rounds]
        diverged = sum(int(e.diverged.sum()) for e in (*point.rounds, query))
        points.append(
            Point(
                point.episodes,
                _numbers(point.control_steps * family.control_period),
                _numbers(_worst_if_diverged(query).double().mean(1)),
                tuple(point.control_steps.tolist()),
                _mean_known(query.success),
                _numbers(torch.cat(online, 1).double().mean(1)) if online else None,
                diverged,
                {name: _mean_known(values) for name, values in query.metrics.items()},
            )
        )
    distance = tuple(family.space.distance(task) for task in tasks)
    return Split(tuple(tasks), distance, tuple(points))


def _worst_if_diverged(episodes: Episodes) -> Tensor:
    return returns_with_diverged_as_worst(
        episodes.returns, episodes.diverged, across_tasks=True
    )


def _mean_known(values: Tensor) -> Numbers | None:
    """Mean over the copies that have a value; None for a measure not defined."""
    means = values.double().nanmean(1)
    return None if means.isnan().all() else _numbers(means)


def _numbers(values: Tensor) -> Numbers:
    """A number per task; one NaN for all, so that equal results compare equal."""
    return tuple(math.nan if math.isnan(v) else v for v in values.tolist())
