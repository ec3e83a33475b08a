"""What is there to gain by adapting? The oracle against domain randomisation.

    python experiments/headroom.py                         # the quadruped; resumable
    python experiments/headroom.py --family cheetah-dynamics --steps 5000000
    python experiments/headroom.py --draw                  # only the table, anew
    python experiments/headroom.py --quick                 # a minute, to see it run

Both are the same PPO; only the oracle is told the task, and trains on held-out ranges
too, so that it is a bound there. Where it is no better, there is nothing for a
meta-learner to find out, and the family should hide more.
"""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from random_actions import judge_random

import metarl
from metarl.evaluation.statistics import interval
from metarl.files import read_json, replacing, write_json
from metarl.pictures.plots import training_curve
from metarl.registry import label

AGENTS = ("randomized", "oracle")


@dataclass(frozen=True)
class Arguments:
    """Train both, judge both on every split, and take the difference."""

    family: str = "quadruped-velocity"
    """Family."""
    seed: int = 0
    """Of both runs."""
    steps: int = 5_000_000
    """Control steps of training, each."""
    simulations: int = 1024
    """Robots at a time."""
    rollout: int = 24
    """Control steps of each between updates."""
    initial_std: float = 0.6
    """Standard deviation of the first policy's exploration."""
    tasks: int = 64
    """Tasks a split."""
    episodes: int = 4
    """Episodes a task."""
    out: Path = Path("runs/headroom")
    """Folder of the runs: a second call goes on where the first one stopped."""
    results: Path = Path("results")
    """The table goes to a folder of the family's name in here."""
    draw: bool = False
    """Only write the table of what was judged before."""
    quick: bool = False
    """A small size that shows the way, not the result."""


def main(arguments: Arguments) -> None:
    """Train what is missing, judge, write the table."""
    results = arguments.out if arguments.quick else arguments.results
    folder = results / label(arguments.family)
    if arguments.draw:
        found = read_json(folder / "results.json")
    else:
        found = compare(arguments, folder)
        write_json(folder / "results.json", found)
    table = make_table(arguments.family, found)
    print(table)
    with replacing(folder / "README.md") as file:
        file.write_text(table)
    print(f"Written: {folder}")


def compare(arguments: Arguments, folder: Path) -> dict[str, Any]:
    """Both agents and random actions on every split, one number for each task."""
    quick, runs = arguments.quick, []
    command = shlex.join(["python", *sys.argv])
    found: dict[str, Any] = {"command": command, "costs": {}}
    tasks, episodes = (4, 1) if quick else (arguments.tasks, arguments.episodes)
    for agent in AGENTS:
        run = metarl.train(
            arguments.family,
            agent,
            seed=arguments.seed,
            steps=20_000 if quick else arguments.steps,
            out=arguments.out,
            agent_config={
                "simulations": 64 if quick else arguments.simulations,
                "rollout": arguments.rollout,
                "initial_std": arguments.initial_std,
            },
            command=command,
            reuse=True,
        )
        runs.append(run)
        rows = run.metrics()
        found["costs"][agent] = {
            "control_steps": rows[-1]["control_steps"],
            "sampling_seconds": sum(row["sampling_seconds"] for row in rows),
            "update_seconds": sum(row["update_seconds"] for row in rows),
        }
        training_curve(rows, folder / f"training-{agent}.png")
        # Neither adapts, so one budget says it all.
        found[agent] = metarl.evaluate(
            run, tasks=tasks, budgets=(0,), query_episodes=episodes
        )
    family = metarl.make_family(arguments.family)
    found["random"] = {
        split: judge_random(family, split, tasks, episodes)
        for split in found["oracle"]["splits"]
    }
    print(f"Report: {metarl.report(runs, folder / 'report.html')}")
    return found


def make_table(family: str, found: dict[str, Any]) -> str:
    """Headroom and physical measures per split, as markdown."""
    first = next(iter(found["oracle"]["splits"].values()))
    measures = ["success", *first["points"][0]["metrics"]]
    names = [f"{measure.replace('_', ' ')}" for measure in measures]
    lines = [
        f"# {family}: what there is to gain by adapting",
        "",
        "Both agents are the same PPO. The randomised policy trains on the train box",
        "and is not told the task; the oracle is, and trains on held-out ranges as",
        "well. Interquartile mean over tasks with 95 % bootstrap intervals; headroom",
        "is oracle minus randomised on the same tasks. Success and physical measures",
        "are means over tasks: success of random actions → randomised → oracle, the",
        f"others of the last two. Success: {_success(found)}.",
        "",
        f"Command: `{found['command']}`",
        f"Commit: `{found['oracle']['run']['commit']}`",
        "",
        f"| split | random | randomised | oracle | headroom | {' | '.join(names)} |",
        "|---" * (5 + len(names)) + "|",
    ]
    for split in found["oracle"]["splits"]:
        random = found["random"][split]
        points = [found[a]["splits"][split]["points"][0] for a in AGENTS]
        returns = [np.array(point["return"]) for point in points]
        cells = [_show(interval(value)) for value in (random["return"], *returns)]
        cells.append(_show(interval(returns[1] - returns[0])))
        for measure in measures:
            means = [_mean(p.get(measure) or p["metrics"].get(measure)) for p in points]
            if measure == "success":
                means = [_mean(random["success"]), *means]
            cells.append(" → ".join(f"{mean:.2f}" for mean in means))
        lines.append(f"| {split} | {' | '.join(cells)} |")
    lines += ["", "| agent | control steps | sampling | update |", "|---|---|---|---|"]
    for agent, cost in found["costs"].items():
        lines.append(
            f"| {agent} | {cost['control_steps'] / 1e6:.1f}M | "
            f"{cost['sampling_seconds'] / 60:.1f} min | "
            f"{cost['update_seconds'] / 60:.1f} min |"
        )
    return "\n".join([*lines, ""])


def _success(found: dict[str, Any]) -> str:
    return str(found["oracle"]["protocol"]["success"] or "not defined")


def _show(estimate: Any) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _mean(values: list[float] | None) -> float:
    return float(np.nanmean(np.array(values, float))) if values else float("nan")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
