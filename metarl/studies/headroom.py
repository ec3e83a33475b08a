"""What is there to gain by adapting? Two oracles against domain randomization.

    metarl headroom                                     # the quadruped; resumable
    metarl headroom --family cheetah-dynamics --steps 5000000
    metarl headroom --draw                              # only the table, anew
    metarl headroom --quick                             # a minute, to see it run

All are the same PPO. `oracle-in-range` observes the task and trains on the train
ranges, as `randomized` does: its gap is what identifying the task can gain. `oracle`
trains on held-out ranges too: its gap adds what covering them can gain, and it is a
bound there. Where the first gap is nothing, the family should hide more.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

import metarl
from metarl.environment.registry import label
from metarl.errors import InputError
from metarl.evaluation.protocol import evaluate
from metarl.evaluation.reading import Field
from metarl.evaluation.results import Evaluation, Numbers, Point
from metarl.evaluation.statistics import Estimate, interval
from metarl.learning.agent import find_agent
from metarl.reports.plots import training_curve
from metarl.reports.report import report
from metarl.reports.tables import markdown_table
from metarl.runs.files import read_json, replacing, write_json
from metarl.studies.command import command_line

AGENTS = ("randomized", "oracle-in-range", "oracle")


@dataclass(frozen=True)
class Arguments:
    """What to compare, how long to train, and where results are kept."""

    family: str = "quadruped-velocity"
    """Family."""
    seed: int = 0
    """Of all runs."""
    steps: int = 5_000_000
    """Control steps of training, each."""
    simulations: int = 1024
    """Simulations at a time."""
    rollout: int = 24
    """Control steps of each between updates."""
    initial_std: float = 0.6
    """Standard deviation of the first policy's exploration."""
    tasks: int = 64
    """Tasks per split."""
    episodes: int = 4
    """Episodes per task."""
    out: Path = Path("runs/headroom")
    """Folder of the runs: a second call goes on where the first one stopped."""
    results: Path = Path("results")
    """The table goes to a folder of the family's name in here."""
    draw: bool = False
    """Only write the table of what was evaluated before."""
    quick: bool = False
    """A small size that shows the way, not the result."""


@dataclass(frozen=True)
class Cost:
    """What a training cost."""

    control_steps: int
    sampling_seconds: float
    update_seconds: float


@dataclass(frozen=True)
class Found:
    """All agents, and random actions, on every split."""

    command: str
    costs: Mapping[str, Cost]
    """By agent."""
    evaluations: Mapping[str, Evaluation]
    """By agent; earlier files have no oracle-in-range."""
    random: Mapping[str, Point]
    """Random actions, by split."""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "command": self.command,
            "costs": {agent: asdict(cost) for agent, cost in self.costs.items()},
            **{agent: e.to_dict() for agent, e in self.evaluations.items()},
            "random": {split: point.to_dict() for split, point in self.random.items()},
        }

    @classmethod
    def read(cls, path: Path) -> "Found":
        """What a results.json holds.

        Raises:
            InputError: naming the file, and the field at fault.
        """
        plain = Field(read_json(path))
        try:
            return cls(
                plain["command"].text(),
                {agent: Cost(**part.value) for agent, part in plain["costs"].items()},
                {
                    agent: Evaluation.from_dict(plain[agent].value, path)
                    for agent in plain["costs"].value
                },
                {split: Point.read(part) for split, part in plain["random"].items()},
            )
        except (ValueError, TypeError) as error:
            raise InputError(f"{path} is no result of headroom: {error}") from error


def main(arguments: Arguments) -> None:
    """What can adapting gain? Returns of two oracles less domain randomization's.

    Trains and evaluates all of them on every split, and writes a table.
    """
    results = arguments.out if arguments.quick else arguments.results
    folder = results / label(arguments.family)
    if arguments.draw:
        found = Found.read(folder / "results.json")
    else:
        found = compare(arguments, folder)
        write_json(folder / "results.json", found.to_dict())
    table = make_table(arguments.family, found)
    print(table)
    with replacing(folder / "README.md") as file:
        file.write_text(table)
    print(f"Written: {folder}")


def compare(arguments: Arguments, folder: Path) -> Found:
    """Train what is missing and evaluate all agents and random actions."""
    quick, runs, command = arguments.quick, [], command_line()
    costs, evaluations = {}, {}
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
        costs[agent] = Cost(
            rows[-1]["control_steps"],
            sum(row["sampling_seconds"] for row in rows),
            sum(row["update_seconds"] for row in rows),
        )
        training_curve(rows, folder / f"training-{agent}.png")
        # None adapts, so one budget says it all.
        evaluations[agent] = metarl.evaluate(
            run, tasks=tasks, budgets=(0,), query_episodes=episodes
        )
    family = metarl.make_family(arguments.family)
    random_actions = find_agent("random")
    floor = evaluate(
        random_actions(family, random_actions.Config(), arguments.seed),
        family,
        tasks=tasks,
        budgets=(0,),
        query_episodes=episodes,
    )
    random = {name: split.points[0] for name, split in floor.splits.items()}
    print(f"Report: {report(runs, folder / 'report.html')}")
    return Found(command, costs, evaluations, random)


def make_table(family: str, found: Found) -> str:
    """Headroom and physical measures per split, as markdown."""
    oracle, agents = found.evaluations["oracle"], list(found.evaluations)
    first = next(iter(oracle.splits.values()))
    measures = ["success", *first.points[0].metrics]
    names = [measure.replace("_", " ") for measure in measures]
    lines = [
        f"# {family}: what there is to gain by adapting",
        "",
        "All agents are the same PPO. `randomized` trains on the train ranges and does",
        "not observe the task. `oracle-in-range` observes it. `oracle` trains on",
        "held-out ranges as well. Interquartile mean over tasks with 95 % bootstrap",
        "intervals; a gap is an oracle minus `randomized` on the same tasks:",
        "*identify* that of `oracle-in-range`, *identify and cover* that of `oracle`.",
        "Success and physical measures are means over tasks, of these agents in turn;",
        "success begins with random actions. Success: "
        f"{oracle.protocol.success or 'not defined'}.",
        "",
        f"Command: `{found.command}`",
        f"Commit: `{oracle.run.commit}`",
        "",
    ]
    rows = []
    for split in oracle.splits:
        random = found.random[split]
        points = [found.evaluations[a].splits[split].points[0] for a in agents]
        base, *oracles = (np.array(point.returns) for point in points)
        shown = (random.returns, base, *oracles, *(values - base for values in oracles))
        cells = [_show(interval(values)) for values in shown]
        for measure in measures:
            means = [_mean(point.measure(measure)) for point in points]
            if measure == "success":
                means = [_mean(random.measure("success")), *means]
            cells.append(" → ".join(f"{mean:.2f}" for mean in means))
        rows.append([split, *cells])
    gaps = ["identify", "identify and cover"][-len(agents) + 1 :]
    header = ["split", "random", *agents, *gaps, *names]
    lines += [*markdown_table(header, rows), ""]
    lines += markdown_table(
        ["agent", "control steps", "sampling", "update"],
        [
            [
                agent,
                f"{cost.control_steps / 1e6:.1f}M",
                f"{cost.sampling_seconds / 60:.1f} min",
                f"{cost.update_seconds / 60:.1f} min",
            ]
            for agent, cost in found.costs.items()
        ],
    )
    return "\n".join([*lines, ""])


def _show(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _mean(values: Numbers) -> float:
    known = np.array(values, float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else float("nan")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
