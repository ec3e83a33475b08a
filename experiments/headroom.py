"""What is there to gain by adapting? The oracle against domain randomisation.

    python experiments/headroom.py                         # the quadruped; resumable
    python experiments/headroom.py --family cheetah-dynamics --steps 5000000
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

import metarl
from metarl.evaluation.statistics import interval
from metarl.files import replacing, write_json
from metarl.pictures.plots import training_curve

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
    quick: bool = False
    """A small size that shows the way, not the result."""


def main(arguments: Arguments) -> None:
    """Train what is missing, judge, write the table."""
    quick = arguments.quick
    results = (arguments.out if quick else arguments.results) / arguments.family
    command = shlex.join(["python", *sys.argv])
    evaluations, runs = {}, []
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
        # Neither adapts, so one budget says it all.
        evaluations[agent] = metarl.evaluate(
            run,
            tasks=4 if quick else arguments.tasks,
            budgets=(0,),
            query_episodes=1 if quick else arguments.episodes,
        )
        training_curve(run.metrics(), results / f"training-{agent}.png")
    table = make_table(arguments.family, evaluations, runs, command)
    print(table)
    with replacing(results / "README.md") as file:
        file.write_text(table)
    write_json(results / "results.json", {"command": command, **evaluations})
    print(f"Report: {metarl.report(runs, results / 'report.html')}")
    print(f"Written: {results}")


def make_table(
    family: str, evaluations: dict[str, Any], runs: list[Any], command: str
) -> str:
    """Headroom and physical measures per split, as markdown."""
    first = next(iter(evaluations["oracle"]["splits"].values()))
    measures = ["success", *first["points"][0]["metrics"]]
    names = [f"{measure.replace('_', ' ')}" for measure in measures]
    lines = [
        f"# {family}: what there is to gain by adapting",
        "",
        "Both are the same PPO. The randomised policy trains on the train box and is",
        "not told the task; the oracle is, and trains on held-out ranges as well.",
        "Interquartile mean over tasks with 95 % bootstrap intervals; headroom is the",
        "difference on the same tasks. Physical measures",
        f"are means over tasks, randomised → oracle. Success: {_success(evaluations)}.",
        "",
        f"Command: `{command}`",
        f"Commit: `{evaluations['oracle']['run']['commit']}`",
        "",
        f"| split | randomised | oracle | headroom | {' | '.join(names)} |",
        "|---" * (4 + len(names)) + "|",
    ]
    for split in evaluations["oracle"]["splits"]:
        points = [evaluations[a]["splits"][split]["points"][0] for a in AGENTS]
        returns = [np.array(point["return"]) for point in points]
        cells = [_show(interval(value)) for value in returns]
        cells.append(_show(interval(returns[1] - returns[0])))
        for measure in measures:
            pair = [_mean(p.get(measure) or p["metrics"].get(measure)) for p in points]
            cells.append(f"{pair[0]:.2f} → {pair[1]:.2f}")
        lines.append(f"| {split} | {' | '.join(cells)} |")
    lines += ["", "| agent | control steps | sampling | update |", "|---|---|---|---|"]
    for run in runs:
        rows = run.metrics()
        sampling, update = (
            sum(row[f"{part}_seconds"] for row in rows) / 60
            for part in ("sampling", "update")
        )
        lines.append(
            f"| {run.config.agent} | {rows[-1]['control_steps'] / 1e6:.1f}M | "
            f"{sampling:.1f} min | {update:.1f} min |"
        )
    return "\n".join([*lines, ""])


def _success(evaluations: dict[str, Any]) -> str:
    return str(evaluations["oracle"]["protocol"]["success"] or "not defined")


def _show(estimate: Any) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _mean(values: list[float] | None) -> float:
    return float(np.mean(values)) if values else float("nan")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
