"""What the rows of the MAML paper share: meta-train, judge, stand beside its numbers.

Finn, Abbeel and Levine (2017) judge 40 test tasks after 0 to 3 gradient steps of 20
episodes each.
"""

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

import metarl
from metarl.evaluation.statistics import interval
from metarl.files import read_json, replacing, write_json
from metarl.pictures.plots import adaptation_curve


@dataclass(frozen=True)
class Row:
    """A row of the paper, and how it is reproduced."""

    title: str
    """Of the page."""
    family: str
    """Family."""
    paper: dict[str, tuple[float, float, float, float]]
    """Mean return after 0, 1, 2, 3 gradient steps, from the paper's result files."""
    oracle: float
    """Mean return of a policy that is told the task, from the same files."""
    paper_steps: str = ""
    """Control steps of meta-training, where they are known."""
    family_options: dict[str, Any] = field(default_factory=dict)
    """As in the paper."""
    agent_config: dict[str, Any] = field(default_factory=dict)
    """What differs from the agent's defaults, beyond `SETTINGS`."""
    note: str = ""
    """Where these come from, if not from the paper."""


SETTINGS = {"deploy": "sample", "later_step": 0.5}
"""Of both rows, as in the paper, which does not normalise observations either."""


@dataclass(frozen=True)
class Arguments:
    """Meta-train, judge, and compare with the paper."""

    steps: int
    """Control steps of meta-training a seed."""
    out: Path
    """Folder of the runs: a second call goes on where the first one stopped."""
    results: Path
    """Folder of table, plot and numbers."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One run for each."""
    test_tasks: int = 40
    """Test tasks."""
    quick: bool = False
    """A small size that shows the way, not the result."""


def reproduce(row: Row, about: str, steps: int) -> None:
    """Train what is missing, judge what is trained, write the table.

    Args:
        row: which.
        about: the script's description.
        steps: control steps of meta-training a seed, unless said otherwise.
    """
    script = Path(sys.argv[0]).stem
    default = Arguments(steps, Path("runs") / script, Path("results") / script)
    arguments = tyro.cli(Arguments, default=default, description=about)
    steps = min(arguments.steps, 400_000) if arguments.quick else arguments.steps
    test_tasks = 4 if arguments.quick else arguments.test_tasks
    results = arguments.out / "quick" if arguments.quick else arguments.results
    command = shlex.join(["python", *sys.argv])
    evaluations, costs, runs = [], [], []
    for seed in arguments.seeds:
        run = metarl.train(
            row.family,
            "maml",
            seed=seed,
            steps=steps,
            out=arguments.out,
            family_options=row.family_options,
            agent_config={**SETTINGS, **row.agent_config},
            normalise=False,
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
    table = make_table(row, evaluations, costs, command)
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
    row: Row,
    evaluations: list[dict[str, Any]],
    costs: list[dict[str, Any]],
    command: str,
) -> str:
    """Mean return after 0 to 3 gradient steps, with 95 % intervals, as markdown."""
    points = [e["splits"]["interpolation"]["points"] for e in evaluations]
    cells = []
    for step in range(4):
        scores = [run_points[step]["return"] for run_points in points]
        value = interval(scores, statistic="mean")
        cells.append(f"{value.value:.1f} [{value.low:.1f}, {value.high:.1f}]")
    steps = costs[0]["control_steps"] / 1e6
    changed = {**SETTINGS, **row.agent_config}
    settings = ", ".join(f"`{name}={value}`" for name, value in changed.items())
    lines = [
        f"# {row.title}: the MAML paper's row",
        "",
        "Mean return of the test tasks after 0 to 3 gradient steps of 20 episodes;",
        f"{len(points)} seeds, {len(points[0][0]['return'])} tasks, 95 % bootstrap "
        "intervals over seeds, then",
        f"tasks. An oracle that is told the task has {row.oracle} in the paper.",
        "",
        "![adaptation curve](adaptation.png)",
        "",
        f"Command: `{command}`. Trained at commit `{costs[0]['commit']}`, judged at "
        f"`{evaluations[0]['run']['commit']}`.",
        "",
        f"Settings that are not the defaults: no normalisation, {settings}.",
        *([row.note] if row.note else []),
        "",
        "| | 0 steps | 1 step | 2 steps | 3 steps | control steps a seed |",
        "|---|---|---|---|---|---|",
        f"| **metarl `maml`** | {' | '.join(cells)} | {steps:.1f}M |",
    ]
    for name, returns in row.paper.items():
        shown = " | ".join(f"{value:.1f}" for value in returns)
        budget = row.paper_steps if "MAML" in name else ""
        lines.append(f"| {name} | {shown} | {budget} |")
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
