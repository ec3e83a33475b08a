"""How many training tasks does it take? The generalization gap against their number.

    metarl variability                      # resumable; an hour or more
    metarl variability --family point-goal --agent rl2
    metarl variability --quick              # to see it run

An agent that is trained on a few tasks may memorize these instead of learning to learn.
For each number of distinct training tasks the same agent is trained for the same number
of control steps. It is evaluated after adapting to the tasks it was trained on and to
new tasks: in the train ranges (interpolation), near them and far from them.

A few training tasks may happen to be easy. So each run is compared, on the same tasks,
with a run that always draws new ones. The generalization gap is its advantage on its
own training tasks, less its advantage on the others.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

import metarl
from metarl.environment.registry import label
from metarl.errors import InputError
from metarl.evaluation.statistics import Estimate, interval
from metarl.reports.plots import COLOURS, MARKERS, save
from metarl.reports.tables import markdown_table
from metarl.runs.files import read_json, replacing, write_json
from metarl.studies.command import command_line

SPLITS = ("interpolation", "near", "far")
ALWAYS_NEW = 0
"""Number of training tasks that stands for always new ones."""


@dataclass(frozen=True)
class Arguments:
    """How many tasks to train on, how to evaluate, and where results are kept."""

    family: str = "cheetah-dynamics"
    """Family."""
    agent: str = "maml"
    """Agent."""
    train_tasks: tuple[int, ...] = (1, 3, 10, 30, 100)
    """Numbers of distinct training tasks, besides always new ones."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One run of each number for each."""
    steps: int = 4_000_000
    """Control steps of meta-training a run."""
    tasks: int = 64
    """Tasks per split; of the training tasks at most so many."""
    query_episodes: int = 4
    """Episodes per task that evaluate the adapted policy."""
    episodes: int = 20
    """Episodes of adaptation."""
    out: Path = Path("runs/task_variability")
    """Folder of the runs: a second call goes on where the first one stopped."""
    results: Path = Path("results/task_variability")
    """Folder of table, plot and numbers."""
    quick: bool = False
    """A small size that shows the way, not the result."""


@dataclass(frozen=True)
class Cell:
    """One run: returns by split, one number per task."""

    train_tasks: int
    """0 for always new ones."""
    seed: int
    commit: str | None
    before: Mapping[str, Sequence[float]]
    """Without any episode."""
    after: Mapping[str, Sequence[float]]
    """After adaptation."""


def main(arguments: Arguments) -> None:
    """How many training tasks does an agent need? The generalization gap.

    Trains and evaluates what is missing, then writes table and plot.
    """
    if arguments.quick:
        arguments = dataclasses.replace(
            arguments,
            train_tasks=(1, 3),
            seeds=(0,),
            steps=min(arguments.steps, 20_000),
            tasks=4,
            query_episodes=1,
            episodes=1,
            results=arguments.out / "quick",
        )
    command = command_line()
    name = f"{label(arguments.family)}-{label(arguments.agent)}"
    path = arguments.results / name
    sizes = [arguments.steps, arguments.tasks, arguments.query_episodes]
    about = {"command": command, "sizes": [*sizes, arguments.episodes]}
    cells: list[Cell] = []
    file = path.with_suffix(".json")
    if file.exists():
        before = read_json(file)
        if before["sizes"] != about["sizes"]:
            raise InputError(
                f"{file} holds runs of other sizes. Choose another folder with "
                "--results."
            )
        cells = [Cell(**cell) for cell in before["cells"]]
    # All numbers of the first seed come first: the curve is whole, if uncertain, soon.
    wanted = (ALWAYS_NEW, *arguments.train_tasks)
    for seed in arguments.seeds:
        for number in wanted:
            if any((c.train_tasks, c.seed) == (number, seed) for c in cells):
                continue
            print(f"{number or 'always new'} training tasks, seed {seed}", flush=True)
            cells.append(run_cell(arguments, number, seed, command))
            plain = [dataclasses.asdict(cell) for cell in cells]
            write_json(file, {**about, "cells": plain})
    shown = [cell for cell in cells if cell.train_tasks in wanted]
    save(make_figure(shown, name), path.with_suffix(".png"))
    table = make_table(shown, arguments, command)
    with replacing(path.with_suffix(".md")) as page:
        page.write_text(table)
    print(table)
    print(f"Written: {arguments.results}")


def run_cell(arguments: Arguments, number: int, seed: int, command: str) -> Cell:
    """Train on so many tasks; returns before and after adaptation."""
    run = metarl.train(
        arguments.family,
        arguments.agent,
        seed=seed,
        steps=arguments.steps,
        out=arguments.out,
        train_tasks=number,
        command=command,
        reuse=True,
    )
    sizes: dict[str, Any] = {
        "budgets": (0, arguments.episodes),
        "query_episodes": arguments.query_episodes,
    }
    # Task i of `train` under the run's seed is task i that it was trained on.
    met = min(number, arguments.tasks) if number else arguments.tasks
    old = metarl.evaluate(run, splits=["train"], tasks=met, seed=seed, **sizes)
    known = metarl.make_family(arguments.family).splits
    splits = [split for split in SPLITS if split in known]
    new = metarl.evaluate(run, splits=splits, tasks=arguments.tasks, **sizes)
    splits_found = {**old.splits, **new.splits}
    return Cell(
        number,
        seed,
        new.run.commit,
        {name: part.points[0].returns for name, part in splits_found.items()},
        {name: part.points[-1].returns for name, part in splits_found.items()},
    )


def numbers(cells: Sequence[Cell]) -> list[int]:
    """The numbers of training tasks in ascending order, 0 (always new ones) last."""
    return sorted({cell.train_tasks for cell in cells}, key=lambda n: n or np.inf)


def estimate(cells: Sequence[Cell], number: int, split: str) -> Estimate:
    """Return after adaptation over the seeds, then the tasks."""
    rows = [cell.after[split] for cell in cells if cell.train_tasks == number]
    # On `train`, every seed is evaluated on the tasks that it was trained on.
    return interval(rows, statistic="mean", same_tasks=split != "train")


def gaps(cells: Sequence[Cell], number: int, split: str) -> list[float]:
    """Generalization gap to a split, one number a seed: see the head of the file."""
    references = {cell.seed: cell for cell in cells if cell.train_tasks == ALWAYS_NEW}

    def advantage(cell: Cell, where: str) -> float:
        returns = cell.after[where]
        others = references[cell.seed].after[where][: len(returns)]
        return float(np.mean(returns) - np.mean(others))

    return [
        advantage(cell, "train") - advantage(cell, split)
        for cell in cells
        if cell.train_tasks == number
    ]


def make_table(cells: Sequence[Cell], arguments: Arguments, command: str) -> str:
    """Return and gap for each number of training tasks, as markdown."""
    held_out = [split for split in cells[0].after if split != "train"]
    seeds = len({cell.seed for cell in cells})
    name = f"{label(arguments.family)}-{label(arguments.agent)}"
    lines = [
        f"# {arguments.agent} on {arguments.family}: how many training tasks?",
        "",
        f"Mean return after {arguments.episodes} episodes of adaptation, with 95 % "
        "bootstrap",
        f"intervals over {seeds} seed(s), then tasks. Gap: a run's advantage over the",
        "one with always new tasks on its own training tasks, less its advantage on",
        "the split; mean over seeds (lowest, highest).",
        f"{arguments.steps / 1e6:g}M control steps of meta-training a run.",
        "",
        f"Command: `{command}`. Commit: `{cells[0].commit}`",
        "",
        f"![gap]({name}.png)",
        "",
    ]
    head = ["training tasks", "train", *held_out, *(f"gap {s}" for s in held_out)]
    rows = []
    for number in numbers(cells):
        row = [str(number or "always new")]
        for split in ("train", *held_out):
            value = estimate(cells, number, split)
            row.append(f"{value.value:.1f} [{value.low:.1f}, {value.high:.1f}]")
        for split in held_out:
            gap = gaps(cells, number, split)
            row.append(f"{np.mean(gap):.1f} ({min(gap):.1f}, {max(gap):.1f})")
        rows.append(row)
    return "\n".join([*lines, *markdown_table(head, rows), ""])


def make_figure(cells: Sequence[Cell], name: str) -> Figure:
    """Return after adaptation, and gap, against the number of training tasks."""
    known = numbers(cells)
    x = np.arange(len(known))
    figure = Figure(figsize=(10, 3.8))
    left, right = figure.subplots(1, 2)
    for split, colour, marker in zip(
        ("train", *SPLITS), COLOURS, MARKERS, strict=False
    ):
        if split not in cells[0].after:
            continue
        look: dict[str, Any] = {"color": colour, "marker": marker, "ms": 5}
        bounds = np.array([estimate(cells, number, split) for number in known])
        left.fill_between(x, bounds[:, 1], bounds[:, 2], color=colour, alpha=0.16, lw=0)
        left.plot(x, bounds[:, 0], label=split, **look)
        if split != "train":
            values = [gaps(cells, number, split) for number in known]
            right.plot(x, [np.mean(value) for value in values], **look)
            for place, value in zip(x, values, strict=True):
                right.plot([place] * len(value), value, ".", color=colour, alpha=0.4)
    left.set_ylabel("return after adaptation")
    right.set_ylabel("generalization gap")
    right.axhline(0, color="#5f6874", lw=0.8, zorder=0)
    for axes in (left, right):
        axes.xaxis.set_major_locator(FixedLocator(x.tolist()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(number or "always new") for number in known])
        axes.set_xlabel("distinct training tasks")
        axes.grid(alpha=0.25)
    figure.suptitle(name)
    left.legend(frameon=False)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    main(tyro.cli(Arguments))
