"""Every way of learning to learn at equal cost: how fast does each adapt?

    python experiments/leaderboard.py                        # resumable; hours
    python experiments/leaderboard.py --families point-goal --agents maml rl2
    python experiments/leaderboard.py --quick                # minutes, to see it run

Every agent is meta-trained for the same number of control steps with its default
hyper-parameters, then judged on the same held-out tasks, initial states and noise. A
cell that was judged is never run again; a run that was stopped goes on; table and
figure are drawn anew after each cell. Empty cells are shown empty.
"""

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.figure import Figure

import metarl
from metarl.evaluation import statistics
from metarl.evaluation.protocol import BUDGETS
from metarl.files import read_json, replacing, write_json
from metarl.pictures.plots import save
from metarl.registry import names

STEPS = {
    "point-goal": 2_000_000,
    "cheetah-direction": 4_000_000,
    "cheetah-dynamics": 4_000_000,
    "quadruped-battery": 4_000_000,
    "rover-goal": 3_000_000,
    "arm-lift": 3_000_000,
}
"""Control steps of meta-training, the same for every agent."""
CLASSES = {
    "gradient": (
        "maml",
        "fomaml",
        "meta-sgd",
        "promp",
        "reptile",
        "lstm-optimizer",
    ),
    "memory": ("rl2", "mann", "metanet"),
    "metric": ("siamese", "matching", "relation", "prototypical"),
    "evolution": ("es-maml", "hill-climb"),
    "baseline": ("randomized", "finetune", "finetune-climb", "scratch"),
}
COLOURS = {
    "gradient": "#4480C0",
    "memory": "#2A9648",
    "metric": "#B0509A",
    "evolution": "#CCA133",
    "baseline": "#8A8F98",
}
STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
SPLITS = ("interpolation", "near", "far", "structure")
THRESHOLD = 0.8
REFERENCES = ("randomized", "oracle")
"""Run first: they place the others between 0 and 1."""


@dataclass(frozen=True)
class Arguments:
    """Meta-train what is missing, judge it, draw table and figure."""

    families: tuple[str, ...] = ("point-goal", "cheetah-direction", "cheetah-dynamics")
    """Families, in order."""
    agents: tuple[str, ...] = ()
    """Agents; default: all that are registered."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """All families and agents of the first seed are run first."""
    tasks: int = 32
    """Tasks a split."""
    query_episodes: int = 4
    """Episodes a task that judge a deployed policy."""
    out: Path = Path("runs/leaderboard")
    """Folder of the runs."""
    results: Path = Path("results/leaderboard")
    """Folder of the per-task numbers, the table and the figure."""
    draw: bool = False
    """Only draw table and figure of what is there."""
    quick: bool = False
    """A small size that shows the way, not the result."""


def main(arguments: Arguments) -> None:
    """Fill the cells one by one."""
    results = arguments.out / "quick" if arguments.quick else arguments.results
    command = shlex.join(["python", *sys.argv])
    if not arguments.draw:
        for seed, family, agent in cells(arguments):
            path = results / family / f"{agent}-{seed}.json"
            if path.exists():
                continue
            print(f"{family}, {agent}, seed {seed}", flush=True)
            write_json(path, run_cell(arguments, family, agent, seed, command))
            draw(results, arguments.families)
    draw(results, arguments.families)
    print(f"Written: {results}")


def cells(arguments: Arguments) -> Iterator[tuple[int, str, str]]:
    """Seed, family and agent of every cell, the references first."""
    agents = arguments.agents or tuple(names("agents"))
    ordered = [*REFERENCES, *(a for a in agents if a not in REFERENCES)]
    for seed in arguments.seeds:
        for family in arguments.families:
            for agent in ordered:
                yield seed, family, agent


def run_cell(
    arguments: Arguments, family: str, agent: str, seed: int, command: str
) -> dict[str, Any]:
    """Train and judge one agent; its numbers per task."""
    run = metarl.train(
        family,
        agent,
        seed=seed,
        steps=20_000 if arguments.quick else STEPS.get(family, 3_000_000),
        out=arguments.out,
        command=command,
        reuse=True,
        agent_config=QUICK.get(agent) if arguments.quick else None,
    )
    known = metarl.make_family(family).splits
    evaluation = metarl.evaluate(
        run,
        splits=[split for split in SPLITS if split in known],
        tasks=4 if arguments.quick else arguments.tasks,
        budgets=BUDGETS[:4] if arguments.quick else BUDGETS,
        query_episodes=1 if arguments.quick else arguments.query_episodes,
    )
    rows = run.metrics()
    return {
        "command": command,
        "commit": evaluation["run"]["commit"],
        "control_steps": evaluation["run"]["control_steps"],
        "cpu_hours": round(sum(row.get("cpu_seconds", 0.0) for row in rows) / 3600, 4),
        "splits": {
            split: [
                {name: rounded(point[name]) for name in POINT}
                for point in result["points"]
            ]
            for split, result in evaluation["splits"].items()
        },
    }


POINT = ("episodes", "seconds", "return", "success")
QUICK = {"randomized": {"simulations": 16}, "oracle": {"simulations": 16}}


def rounded(value: Any) -> Any:
    """Numbers to five significant digits, so that the files stay small."""
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


# -- from numbers to scores --------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """One agent on one split of one family, over the seeds that are there."""

    episodes: list[int]
    seconds: np.ndarray
    """(seeds, tasks, points)."""
    score: np.ndarray
    """(seeds, tasks, points); NaN where there is nothing to gain."""
    returns: np.ndarray
    """(seeds, tasks, points)."""


def load(results: Path, family: str) -> dict[str, list[dict[str, Any]]]:
    """Every judged agent of a family, one entry for each seed in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((results / family).glob("*.json")):
        agent = path.stem.rpartition("-")[0]
        found.setdefault(agent, []).append(read_json(path))
    return found


def scores(
    found: dict[str, list[dict[str, Any]]], agent: str, split: str
) -> Scores | None:
    """Place an agent between the randomised policy and the oracle."""
    entries = [entry for entry in found.get(agent, ()) if split in entry["splits"]]
    references = [found.get(name) for name in REFERENCES]
    if not entries or not all(references):
        return None

    def column(entry: dict[str, Any], name: str) -> np.ndarray:
        return np.array([point[name] for point in entry["splits"][split]]).T

    # The mean over seeds of either reference, so that its own luck counts less.
    low, high = (
        np.mean([column(entry, "return")[:, 0] for entry in reference or ()], 0)
        for reference in references
    )
    returns = np.stack([column(entry, "return") for entry in entries])
    score = statistics.normalised_score(returns.transpose(0, 2, 1), low, high)
    return Scores(
        [point["episodes"] for point in entries[0]["splits"][split]],
        np.stack([column(entry, "seconds") for entry in entries]),
        score.transpose(0, 2, 1),
        returns,
    )


# -- table and figure --------------------------------------------------------------


def draw(results: Path, families: tuple[str, ...]) -> None:
    """Write README.md and scores.png of what was judged so far."""
    with replacing(results / "README.md") as file:
        file.write_text(make_table(results, families))
    if any(load(results, family) for family in families):
        save(make_figure(results, families), results / "scores.png")


def make_table(results: Path, families: tuple[str, ...]) -> str:
    """All families, agents and measures, as markdown."""
    lines = [
        "# Leaderboard",
        "",
        "Score S: 0 is the domain-randomised policy without adaptation, 1 the policy",
        "that sees the task; not clipped. Area: mean of S over the logarithm of the",
        "adaptation episodes, 0 to the largest budget; interquartile mean over seeds",
        "and tasks with 95 % bootstrap intervals (one seed: over tasks alone). Robot",
        f"time: median simulated seconds until S reaches {THRESHOLD}, and the share of",
        "interpolation tasks that reach it within the budget. Worse: share of tasks",
        "whose return fell by adapting. Worst: mean return of the worst 5 % after it.",
        "Tasks where the oracle is no better than the randomised policy are dropped.",
        "All agents have the same meta-training steps and their default settings.",
        "",
        "![Scores against robot time](scores.png)",
    ]
    commands = set()
    for family in families:
        found = load(results, family)
        lines += ["", f"## {family}", ""]
        head = ["agent", *(f"area {split}" for split in SPLITS)]
        head += [f"robot time to {THRESHOLD}", "reached", "worse", "worst 5 %"]
        head += ["seeds", "meta-steps", "CPU hours"]
        lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        known = [agent for group in CLASSES.values() for agent in group]
        others = [agent for agent in found if agent not in (*known, "oracle")]
        for agent in (*known, *others, "oracle"):
            lines.append(f"| {' | '.join(row(found, agent))} |")
            commands |= {entry["command"] for entry in found.get(agent, ())}
    lines += ["", "Commands:", "", *(f"- `{command}`" for command in sorted(commands))]
    return "\n".join([*lines, ""])


def row(found: dict[str, list[dict[str, Any]]], agent: str) -> list[str]:
    """The cells of one agent; empty where it was not judged."""
    cells = [f"`{agent}`"]
    for split in SPLITS:
        judged = scores(found, agent, split)
        if judged is None or np.isnan(judged.score).all():
            cells.append("")
            continue
        area = statistics.area_under_curve(judged.episodes, judged.score)
        value = statistics.interval(area)
        cells.append(f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]")
    judged = scores(found, agent, "interpolation")
    if judged is None:
        return [*cells, *[""] * 7]
    times = statistics.time_to_threshold(judged.seconds, judged.score, THRESHOLD)
    times = times[~np.isnan(times)]
    reached = np.isfinite(times)
    middle = np.median(times) if len(times) else np.nan
    cells.append(f"{middle:.3g} s" if np.isfinite(middle) else "not reached")
    cells.append(f"{reached.mean():.0%}" if len(times) else "")
    before, after = judged.returns[..., 0], judged.returns[..., -1]
    cells.append(f"{statistics.share_made_worse(before, after):.0%}")
    cells.append(f"{statistics.worst_mean(after):.4g}")
    entries = found[agent]
    cells.append(str(len(entries)))
    cells.append(f"{np.mean([entry['control_steps'] for entry in entries]) / 1e6:.1f}M")
    cells.append(f"{np.mean([entry['cpu_hours'] for entry in entries]):.2f}")
    return cells


def make_figure(results: Path, families: tuple[str, ...]) -> Figure:
    """S against robot seconds, a row for each family and a column for each split."""
    shown = [family for family in families if load(results, family)]
    splits = SPLITS[:3]
    figure = Figure(figsize=(4.2 * len(splits) + 2.4, 3.4 * len(shown)), dpi=110)
    grid = figure.subplots(len(shown), len(splits), squeeze=False)
    handles: dict[str, Any] = {}
    for axes_row, family in zip(grid, shown, strict=True):
        found = load(results, family)
        for axes, split in zip(axes_row, splits, strict=True):
            for kind, agents in CLASSES.items():
                for agent, style in zip(agents, STYLES, strict=False):
                    judged = scores(found, agent, split)
                    if judged is None or np.isnan(judged.score).all():
                        continue
                    centre = statistics.interquartile_mean(
                        judged.score.reshape(-1, len(judged.episodes)), 0
                    )
                    seconds = judged.seconds.mean((0, 1))
                    (line,) = axes.plot(
                        seconds, centre, color=COLOURS[kind], linestyle=style, lw=1.6
                    )
                    handles.setdefault(agent, line)
            axes.set_xscale("symlog", linthresh=1.0)
            axes.set_xlim(left=0)
            axes.set_ylim(-1.0, 1.3)
            for level in (0, 1):
                axes.axhline(level, color="#5f6874", lw=0.8, zorder=0)
            axes.set_title(f"{family}, {split}", fontsize=10)
            axes.grid(alpha=0.25)
        axes_row[0].set_ylabel("score S")
    for axes in grid[-1]:
        axes.set_xlabel("robot time, s")
    figure.legend(
        handles.values(), handles.keys(), loc="center right", frameon=False, fontsize=9
    )
    figure.tight_layout(rect=(0, 0, 0.87, 1))
    return figure


if __name__ == "__main__":
    main(tyro.cli(Arguments))
