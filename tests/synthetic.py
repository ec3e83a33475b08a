"""Run folders and evaluations as metarl writes them, made up from a seed."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from metarl.evaluation.results import (
    Evaluation,
    ParameterInfo,
    Point,
    ProtocolInfo,
    RunInfo,
    Split,
)
from metarl.tasks.task import Task

BUDGETS = (0, 1, 2, 5, 10, 20)
SPLITS = {"interpolation": 0.0, "near": 0.5, "far": 1.5}
GAINS = {"maml": 100.0, "rl2": 60.0, "randomized": 0.0, "oracle": 0.0}
START = {"maml": 10.0, "rl2": 20.0, "randomized": 40.0, "oracle": 130.0}


def evaluation(
    agent: str = "maml",
    seed: int = 0,
    *,
    family: str = "cheetah-direction",
    tasks: int = 12,
    splits: dict[str, float] = SPLITS,
    success: bool = True,
) -> Evaluation:
    rng = np.random.default_rng([seed, len(agent), len(family)])
    horizon, period = 200, 0.05
    parts = {}
    for number, (name, far) in enumerate(splits.items()):
        draws = np.random.default_rng(number)  # the same tasks for every agent
        distance = far * draws.uniform(0.3, 1.0, tasks)
        ease = draws.normal(0, 8, tasks) - 30 * distance
        points = []
        for episodes in BUDGETS:
            progress = 1 - np.exp(-episodes / (3 + 3 * far))
            gain = GAINS.get(agent, 50.0) * progress * rng.uniform(0.7, 1.1, tasks)
            total = START.get(agent, 0.0) + ease + gain + rng.normal(0, 3, tasks)
            spent = episodes * horizon * (1 - 0.1 * draws.uniform(0, 1, tasks))
            share = (1 / (1 + np.exp(-(total - 60) / 20))).tolist()
            error = 1 / (1 + progress + far)
            points.append(
                Point(
                    episodes,
                    tuple((spent * period).tolist()),
                    tuple(total.tolist()),
                    tuple(spent.astype(int).tolist()),
                    tuple(share) if success else (math.nan,) * tasks,
                    tuple(total.tolist()) if episodes else None,
                    metrics={"velocity_error": (error,) * tasks},
                )
            )
        values = [Task(family, (("mass", 1 + d),)) for d in distance.tolist()]
        parts[name] = Split(tuple(values), tuple(distance.tolist()), tuple(points))
    return Evaluation(
        ProtocolInfo(tasks, 4, BUDGETS, 0, horizon, period),
        parts,
        (ParameterInfo("mass", "kg", train=((0.5, 1.0),), near=((1.0, 2.5),)),),
        RunInfo(family, agent, seed, 60 * 160_000),
        412.5,
    )


def metrics(agent: str = "maml", rows: int = 60) -> list[dict[str, Any]]:
    rng = np.random.default_rng(rows)
    out = []
    for index in range(rows):
        level = 1 - np.exp(-index / rows * 3)
        returns = (
            {"return": 40 * level + rng.normal(0, 4)}
            if agent in ("randomized", "oracle")
            else {
                "return_before": 12 * level + rng.normal(0, 4),
                "return_after": 110 * level + rng.normal(0, 8),
            }
        )
        out.append(
            {
                "iteration": index,
                "control_steps": (index + 1) * 160_000,
                **returns,
                "sampling_seconds": 1.2,
                "update_seconds": 0.8,
                "wall_seconds": 2.0,
            }
        )
    return out


def run_folder(
    folder: Path,
    agent: str = "maml",
    seed: int = 0,
    evaluated: bool = True,
    **options: Any,
) -> Path:
    """A run folder without videos."""
    folder.mkdir(parents=True)
    family = options.get("family", "cheetah-direction")
    config = {
        "family": family,
        "family_options": {"observe_task": agent == "oracle"},
        "agent": agent,
        "agent_config": {"inner_rate": 0.1, "hidden": [64, 64], "meta_batch": 40},
        "seed": seed,
        "steps": 8_000_000,
        "command": f"metarl train {family} {agent} --seed {seed}",
    }
    system = {
        "metarl": "0.1.0",
        "python": "3.11.2",
        "torch": "2.13.0",
        "mujoco": "4.0.0",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "machine": "x86_64 Linux",
        "cores": 2,
        "started": "2026-01-02T03:04:05",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "system.json").write_text(json.dumps(system))
    rows = "".join(json.dumps(row) + "\n" for row in metrics(agent))
    (folder / "metrics.jsonl").write_text(rows)
    if evaluated:
        text = evaluation(agent, seed, **options).to_json()
        (folder / "evaluation.json").write_text(text)
    return folder
