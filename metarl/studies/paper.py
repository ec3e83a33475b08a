"""Rows of the MAML paper: meta-train, evaluate, and compare with its numbers.

    metarl paper point-goal             # resumable; `metarl.studies.paper_rows` has all
    metarl paper point-goal --quick     # to see it run

Finn, Abbeel and Levine (2017) evaluate 40 test tasks after 0 to 3 gradient steps of 20
episodes each.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import metarl
from metarl.evaluation.results import Evaluation
from metarl.evaluation.statistics import interval
from metarl.reports.plots import adaptation_curve
from metarl.reports.report import report
from metarl.reports.tables import markdown_table
from metarl.runs.files import read_json, replacing, write_json
from metarl.runs.folder import Run
from metarl.studies.command import command_line


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
    """Mean return of an oracle, which observes the task, from the same files."""
    paper_steps: str = ""
    """Control steps of meta-training, where they are known."""
    family_options: dict[str, Any] = field(default_factory=dict)
    """As in the paper."""
    agent_config: dict[str, Any] = field(default_factory=dict)
    """What differs from the agent's defaults, beyond `SETTINGS`."""
    note: str = ""
    """Where these come from, if not from the paper."""


SETTINGS = {"deploy": "sample", "later_step": 0.5}
"""Of both rows, as in the paper, which does not normalize observations either."""


@dataclass(frozen=True)
class Arguments:
    """How long to train, on how many tasks to evaluate, and where results go."""

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


@dataclass(frozen=True)
class Cost:
    """What a run cost, and which source trained it."""

    commit: str | None
    control_steps: int
    iterations: int
    sampling_seconds: float
    update_seconds: float


def reproduce(row: Row, arguments: Arguments) -> None:
    """Train what is missing, evaluate, and write table, plot and numbers.

    Args:
        row: which.
        arguments: sizes and folders.
    """
    steps = min(arguments.steps, 400_000) if arguments.quick else arguments.steps
    test_tasks = 4 if arguments.quick else arguments.test_tasks
    results = arguments.out / "quick" if arguments.quick else arguments.results
    command = command_line()
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
            normalize_observations=False,
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
        costs.append(cost_of(run))
        runs.append(run)
    table = make_table(row, evaluations, costs, command)
    print(table)
    with replacing(results / "README.md") as file:
        file.write_text(table)
    write_json(
        results / "results.json",
        {
            "command": command,
            "evaluations": [evaluation.to_dict() for evaluation in evaluations],
            "cost": [asdict(cost) for cost in costs],
        },
    )
    adaptation_curve(evaluations, results / "adaptation.png")
    print(f"Report: {report(runs, results / 'report.html')}")
    print(f"Written: {results}")


def cost_of(run: Run) -> Cost:
    """Control steps and wall time of a run, sampling and update apart."""
    rows = run.metrics()
    return Cost(
        read_json(run.path / "system.json")["commit"],
        rows[-1]["control_steps"],
        len(rows),
        sum(row["sampling_seconds"] for row in rows),
        sum(row["update_seconds"] for row in rows),
    )


def make_table(
    row: Row, evaluations: Sequence[Evaluation], costs: Sequence[Cost], command: str
) -> str:
    """Mean return after 0 to 3 gradient steps, with 95 % intervals, as markdown."""
    splits = [evaluation.splits["interpolation"] for evaluation in evaluations]
    cells = []
    for step in range(4):
        returns = [split.points[step].returns for split in splits]
        value = interval(returns, statistic="mean")
        cells.append(f"{value.value:.1f} [{value.low:.1f}, {value.high:.1f}]")
    changed = {**SETTINGS, **row.agent_config}
    settings = ", ".join(f"`{name}={value}`" for name, value in changed.items())
    lines = [
        f"# {row.title}: the MAML paper's row",
        "",
        "Mean return of the test tasks after 0 to 3 gradient steps of 20 episodes;",
        f"{len(splits)} seeds, {len(splits[0].tasks)} tasks, 95 % bootstrap "
        "intervals over seeds, then",
        f"tasks. An oracle, which observes the task, has {row.oracle} in the paper.",
        "",
        "![adaptation curve](adaptation.png)",
        "",
        f"Command: `{command}`. Trained at commit `{costs[0].commit}`, evaluated at "
        f"`{evaluations[0].run.commit}`.",
        "",
        f"Settings that are not the defaults: no normalization, {settings}.",
        *([row.note] if row.note else []),
        "",
    ]
    steps = f"{costs[0].control_steps / 1e6:.1f}M"
    rows: list[list[object]] = [["**metarl `maml`**", *cells, steps]]
    for name, means in row.paper.items():
        budget = row.paper_steps if "MAML" in name else ""
        rows.append([name, *(f"{value:.1f}" for value in means), budget])
    header = ["", "0 steps", "1 step", "2 steps", "3 steps", "control steps a seed"]
    lines += [*markdown_table(header, rows), ""]
    seeds = []
    for evaluation, split, cost in zip(evaluations, splits, costs, strict=True):
        first = interval(split.points[1].returns, statistic="mean")
        seeds.append(
            [
                evaluation.run.seed,
                f"{first.value:.1f}",
                cost.iterations,
                f"{cost.sampling_seconds / 60:.1f} min",
                f"{cost.update_seconds / 60:.1f} min",
            ]
        )
    lines += markdown_table(
        ["seed", "after 1 step", "iterations", "sampling", "update"], seeds
    )
    return "\n".join([*lines, ""])
