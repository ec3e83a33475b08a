"""The half-cheetah forward/backward row of the MAML paper, beside its own numbers.

    python experiments/maml_cheetah_direction.py            # three seeds, resumable
    python experiments/maml_cheetah_direction.py --quick    # a minute, to see it run

Finn, Abbeel and Levine (2017) meta-train on two directions of running and judge 40
test tasks after 0 to 3 gradient steps of 20 episodes each. Timing (rllab: 0.01 s, one
physics step), reward (direction x velocity - 0.05 |a|^2) and horizon (200) are theirs.
"""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import metarl
from metarl.evaluation.statistics import interval
from metarl.files import read_json, replacing, write_json
from metarl.pictures.plots import adaptation_curve

PAPER = {
    "MAML (paper)": (-50.7, 293.2, 313.5, 315.7),
    "pretrained (paper)": (-43.0, -24.8, -12.9, 19.6),
    "random (paper)": (-35.7, 21.8, 62.3, 86.2),
}
"""Mean return after 0, 1, 2, 3 gradient steps, from the paper's result files."""


@dataclass(frozen=True)
class Arguments:
    """Meta-train, judge, and compare with the paper."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """One run for each."""
    steps: int = 16_000_000
    """Control steps of meta-training a seed."""
    test_tasks: int = 40
    """Test tasks."""
    out: Path = Path("runs/maml_cheetah_direction")
    """Folder of the runs: a second call goes on where the first one stopped."""
    results: Path = Path("results/maml_cheetah_direction")
    """Folder of table, plot and numbers."""
    quick: bool = False
    """A small size that shows the way, not the result."""


def main(arguments: Arguments) -> None:
    """Train what is missing, judge what is trained, write the table."""
    steps = 400_000 if arguments.quick else arguments.steps
    test_tasks = 4 if arguments.quick else arguments.test_tasks
    results = arguments.out / "quick" if arguments.quick else arguments.results
    command = shlex.join(["python", *sys.argv])
    evaluations, costs, runs = [], [], []
    for seed in arguments.seeds:
        run = metarl.train(
            "cheetah-direction",
            "maml",
            seed=seed,
            steps=steps,
            out=arguments.out,
            family_options={"timing": "rllab", "horizon": 200},
            command=command,
            reuse=True,
        )
        # Gradient steps come every 20 episodes.
        evaluation = metarl.evaluate(
            run,
            splits=["interpolation"],
            tasks=test_tasks,
            budgets=(0, 20, 40, 60),
            query_episodes=20,
        )
        evaluations.append(evaluation)
        trained_at = read_json(run.path / "system.json")["commit"]
        costs.append({"commit": trained_at, **cost(run.metrics())})
        runs.append(run)
    table = make_table(evaluations, costs, command)
    print(table)
    with replacing(results / "README.md") as file:
        file.write_text(table)
    write_json(
        results / "results.json",
        {"command": command, "evaluations": evaluations, "cost": costs},
    )
    adaptation_curve(evaluations, results / "adaptation.png")
    print(f"Report: {metarl.report(runs, results / 'report.html')}")
    print(f"Written: {results}")


def cost(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Control steps and wall time of a run, sampling and update apart."""
    return {
        "control_steps": rows[-1]["control_steps"],
        "iterations": len(rows),
        "sampling_seconds": sum(row["sampling_seconds"] for row in rows),
        "update_seconds": sum(row["update_seconds"] for row in rows),
    }


def make_table(
    evaluations: list[dict[str, Any]], costs: list[dict[str, Any]], command: str
) -> str:
    """Mean return after 0 to 3 gradient steps, with 95 % intervals, as markdown."""
    points = [e["splits"]["interpolation"]["points"] for e in evaluations]
    cells = []
    for step in range(4):
        scores = [run_points[step]["return"] for run_points in points]
        value = interval(scores, statistic="mean")
        cells.append(f"{value.value:.1f} [{value.low:.1f}, {value.high:.1f}]")
    steps = costs[0]["control_steps"] / 1e6
    lines = [
        "# Half-cheetah forward/backward: the MAML paper's row",
        "",
        "Mean return of the test tasks after 0 to 3 gradient steps of 20 episodes;",
        f"{len(points)} seeds, {len(points[0][0]['return'])} tasks, 95 % bootstrap "
        "intervals over seeds, then",
        "tasks. An oracle that is told the direction has 442.7 in the paper.",
        "",
        "![adaptation curve](adaptation.png)",
        "",
        f"Command: `{command}`. Trained at commit `{costs[0]['commit']}`, judged at "
        f"`{evaluations[0]['run']['commit']}`.",
        "",
        "| | 0 steps | 1 step | 2 steps | 3 steps | control steps a seed |",
        "|---|---|---|---|---|---|",
        f"| **metarl `maml`** | {' | '.join(cells)} | {steps:.1f}M |",
    ]
    for name, row in PAPER.items():
        shown = " | ".join(f"{value:.1f}" for value in row)
        lines.append(f"| {name} | {shown} | {'32M' if 'MAML' in name else ''} |")
    lines += ["", "| seed | after 1 step | iterations | sampling | update |"]
    lines += ["|---|---|---|---|---|"]
    for evaluation, run_points, spent in zip(evaluations, points, costs, strict=True):
        first = interval(run_points[1]["return"], statistic="mean")
        lines.append(
            f"| {evaluation['run']['seed']} | {first.value:.1f} | "
            f"{spent['iterations']:.0f} | {spent['sampling_seconds'] / 60:.1f} min | "
            f"{spent['update_seconds'] / 60:.1f} min |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main(tyro.cli(Arguments))
