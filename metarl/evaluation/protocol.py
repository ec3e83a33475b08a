"""The protocol: how well an agent does after so much time on an unknown robot.

For every task of a split, an agent adapts on its own episodes. At each budget point
the policy that it would ship is judged on fresh episodes that cost no budget. All
agents, and all budget points, are judged on the same initial states and noise.

    results = evaluate(agent, family, splits=["near", "far"], tasks=64)
    results["splits"]["far"]["points"][-1]["return"]      # one number a task

An episode whose simulation blew up counts as the worst of its task. The robot time of a
point counts every control step of every episode that the agent asked for: exploration,
failed tries and repetitions.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from metarl.errors import InputError
from metarl.family import TaskFamily
from metarl.files import write_json
from metarl.learning.agent import Agent
from metarl.randomness import key
from metarl.runs.folder import Run, commit
from metarl.tasks import Task
from metarl.world.environment import Environment
from metarl.world.rollout import Episodes, collect, judged

FORMAT = "metarl-evaluation/1"
BUDGETS = (0, 1, 2, 5, 10, 20, 50)
"""Episodes of adaptation after which the deployed policy is judged."""


def budgets_up_to(episodes: int) -> list[int]:
    """The standard budget points up to ``episodes``, and ``episodes`` itself.

    Raises:
        InputError: for a negative number.
    """
    if episodes < 0:
        raise InputError(f"episodes={episodes} must be 0 or more.")
    return sorted({b for b in BUDGETS if b <= episodes} | {episodes})


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
) -> dict[str, Any]:
    """Judge an agent on every split.

    Args:
        agent: trained.
        family: the family it was trained on.
        splits: which splits; default: all that the family has, but `train`.
        tasks: tasks a split.
        budgets: episodes of adaptation to judge after, in any order.
        query_episodes: episodes a task that judge the deployed policy.
        seed: freezes tasks, initial states and noise.
        progress: told what is going on.

    Returns:
        ``splits -> split -> points``, as evaluation.json holds it: a point for each
        budget, with a number per task for each measure.

    Raises:
        InputError: for an unknown split or a wrong size.
    """
    if tasks < 1 or query_episodes < 1:
        raise InputError("tasks and query_episodes must be at least 1.")
    budgets = sorted(set(budgets))
    if not budgets or budgets[0] < 0:
        raise InputError(f"budgets={budgets}: one or more numbers, 0 or more each.")
    if splits is None:
        splits = [split for split in family.splits if split != "train"]
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
    return {
        "format": FORMAT,
        "protocol": {
            "tasks": tasks,
            "query_episodes": query_episodes,
            "budgets": budgets,
            "seed": seed,
            "horizon": family.horizon,
            "control_period": family.control_period,
            "success": family.success_measure,
        },
        "splits": results,
        "cost": {"wall_seconds": time.perf_counter() - began},
    }


def evaluate_run(run: Run, **options: Any) -> dict[str, Any]:
    """`evaluate` the newest checkpoint of a run and write its evaluation.json.

    Args:
        run: the run.
        options: of `evaluate`.
    """
    family, agent, plain = run.load()
    results = evaluate(agent, family, **options)
    results["run"] = {
        "family": run.config.family,
        "agent": run.config.agent,
        "seed": run.config.seed,
        "control_steps": plain["sampler"]["control_steps"],
        "commit": commit(),
    }
    write_json(run.path / "evaluation.json", results)
    return results


class _Worlds:
    """Environments for the same tasks, one for each number of copies."""

    def __init__(self, family: TaskFamily, tasks: list[Task], visible: bool) -> None:
        self.family, self.tasks, self.visible = family, tasks, visible
        self.made: dict[int, Environment] = {}

    def __getitem__(self, copies: int) -> Environment:
        if copies not in self.made:
            self.made[copies] = Environment(
                self.family, self.tasks, copies, visible=self.visible
            )
        return self.made[copies]


def _evaluate_split(
    agent: Agent,
    family: TaskFamily,
    split: str,
    tasks: list[Task],
    budgets: list[int],
    query_episodes: int,
    seed: int,
) -> dict[str, Any]:
    worlds = _Worlds(family, tasks, agent.sees_task)
    adaptation = agent.adaptation(len(tasks))
    spent = torch.zeros(len(tasks), dtype=torch.long)
    done, points = 0, []
    for budget in budgets:
        online, diverged = [], 0
        while done < budget:
            copies = min(adaptation.round, budget - done)
            support_seed = key(seed, "evaluation", "support", done)
            episodes = collect(worlds[copies], adaptation, support_seed)
            adaptation.absorb(episodes)
            online.append(_judged(episodes))
            spent += episodes.length.sum(1)
            diverged += int(episodes.diverged.sum())
            done += copies
        query_seed = key(seed, "evaluation", "query")
        query = collect(worlds[query_episodes], adaptation.deployed(), query_seed)
        points.append(
            {
                "episodes": budget,
                "control_steps": spent.tolist(),
                "seconds": (spent * family.control_period).tolist(),
                "return": _judged(query).double().mean(1).tolist(),
                "success": _mean_known(query.success),
                "online_return": (
                    torch.cat(online, 1).double().mean(1).tolist() if online else None
                ),
                "diverged": diverged + int(query.diverged.sum()),
                "metrics": {n: _mean_known(v) for n, v in query.metrics.items()},
            }
        )
    return {
        "tasks": [task.to_dict() for task in tasks],
        "distance": [family.space.distance(task) for task in tasks],
        "points": points,
    }


def _judged(episodes: Episodes) -> Tensor:
    return judged(episodes.returns, episodes.diverged, together=True)


def _mean_known(values: Tensor) -> list[float] | None:
    """Mean over the copies that have a value; None for a measure not defined."""
    means = values.double().nanmean(1).tolist()
    return None if all(math.isnan(mean) for mean in means) else means
