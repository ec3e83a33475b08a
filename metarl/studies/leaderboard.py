"""Every way of learning to learn at equal cost: how fast does each adapt?

    metarl leaderboard                                       # resumable; hours
    metarl leaderboard --families point-goal --agents maml rl2
    metarl leaderboard --families cheetah-direction --tuned
    metarl leaderboard --quick                               # minutes, to see it run

Every agent is meta-trained for the same number of control steps with its default
hyper-parameters (or, `--tuned`, with what `metarl tune` found in as many trials for
each), then evaluated on the same held-out tasks, initial states and noise. A cell that
is there is never run again; a run that was stopped goes on; table and figure are drawn
anew after each cell. Empty cells are shown empty.
"""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tyro

import metarl
from metarl.environment.registry import names
from metarl.errors import InputError, RunError
from metarl.evaluation.protocol import BUDGETS, evaluate
from metarl.learning.agent import Agent, find_agent
from metarl.runs.folder import Run
from metarl.runs.system import commit
from metarl.studies.cells import (
    REFERENCES,
    TUNED,
    Cell,
    points_of,
    rounded,
    tuned_settings,
)
from metarl.studies.command import command_line
from metarl.studies.leaderboard_figure import SPLITS
from metarl.studies.leaderboard_page import draw

STEPS = {
    "cheetah-body": 3_000_000,
    "walker-params": 3_000_000,
    "rover-goal": 3_000_000,
    "quadruped-velocity": 18_000_000,
    "arm-lift": 5_000_000,
    "point-goal": 2_000_000,
    "cheetah-direction": 8_000_000,
}
"""Control steps of meta-training, the same for every agent."""
TRAINED_AS = {"finetune": "randomized", "finetune-climb": "randomized"}
"""Agents that differ from another only once they are trained: they share its run."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Which cells to fill, and where they are kept."""

    families: tuple[str, ...] = tuple(STEPS)
    """Families, in order."""
    agents: tuple[str, ...] = ()
    """Agents; default: all that are registered."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """All families and agents of the first seed are run first."""
    tasks: int = 32
    """Tasks per split."""
    query_episodes: int = 4
    """Episodes per task that evaluate a deployed policy."""
    out: Path = Path("runs/leaderboard")
    """Folder of the runs."""
    results: Path = Path("results/leaderboard")
    """Folder of the per-task numbers, the table and the figure."""
    tuned: bool = False
    """Run the agents whose settings `metarl tune` improved for the family."""
    tune: Path = Path("results/tune")
    """Folder of what `metarl tune` found."""
    draw: bool = False
    """Only draw table and figure of what is there."""
    quick: bool = False
    """A small size that shows the way, not the result."""


def main(arguments: Arguments) -> None:
    """Compare all agents at equal cost: meta-train, evaluate, draw table and figure.

    A cell that is there is not run again, and a run that was stopped goes on.
    """
    results = arguments.out / "quick" if arguments.quick else arguments.results
    # The page is of all families, whichever were asked for now.
    families = tuple(dict.fromkeys([*STEPS, *arguments.families]))
    page = (results, families, arguments.tune)
    command = command_line()
    if arguments.tuned:
        refuse_untuned(arguments)
    failed = []
    if not arguments.draw:
        refuse_other_sizes(arguments, results)
        for seed, family, agent in cells(arguments):
            settings, column = {}, family
            if arguments.tuned:
                settings = tuned_settings(arguments.tune, family, agent) or {}
                column = family + TUNED
                if not settings:  # nothing to run: see `metarl.studies.cells.load`
                    continue
            path = results / column / f"{agent}-{seed}.json"
            if path.exists():
                continue
            print(f"{column}, {agent}, seed {seed}", flush=True)
            try:
                cell = run_cell(arguments, family, agent, seed, command, settings)
            except RunError as error:  # its cell stays empty, the others go on
                failed.append(f"{column}, {agent}, seed {seed}: {error}")
                print(failed[-1], flush=True)
                continue
            cell.write(path)
            draw(*page)
    draw(*page)
    print(f"Written: {results}")
    if failed:
        sys.exit("\n".join(["Failed:", *failed]))


def refuse_other_sizes(arguments: Arguments, results: Path) -> None:
    """Raise InputError if cells are there that were evaluated in another way."""
    asked = (4, 1) if arguments.quick else (arguments.tasks, arguments.query_episodes)
    columns = [f + end for f in arguments.families for end in ("", TUNED)]
    for path in (path for c in columns for path in sorted(results.glob(f"{c}/*.json"))):
        cell = Cell.read(path)
        # Cells of before this was noted have the default number of episodes.
        episodes = cell.query_episodes or Arguments.query_episodes
        if (cell.tasks, episodes) != asked:
            raise InputError(
                f"{path} was evaluated on {cell.tasks} tasks with {episodes} episodes "
                f"each, not {asked[0]} with {asked[1]}: choose another folder with "
                "--results."
            )


def refuse_untuned(arguments: Arguments) -> None:
    """Raise InputError if no agent was tuned on any of the families."""
    families, tune = arguments.families, arguments.tune
    if not any(list(tune.glob(f"{family}-*.json")) for family in families):
        raise InputError(
            f"{tune} has no settings for {', '.join(families)}. Find them with: "
            f"metarl tune --family {families[0]} --agent maml --trials 8"
        )


def cells(arguments: Arguments) -> Iterator[tuple[int, str, str]]:
    """Seed, family and agent of every cell, the references first."""
    agents = arguments.agents or tuple(names("agents"))
    ordered = [*REFERENCES, *(a for a in agents if a not in REFERENCES)]
    for seed in arguments.seeds:
        for family in arguments.families:
            for agent in ordered:
                yield seed, family, agent


def run_cell(
    arguments: Arguments,
    family: str,
    agent: str,
    seed: int,
    command: str,
    settings: dict[str, Any],
) -> Cell:
    """Train and evaluate one agent, with other settings than its defaults if any."""
    base = agent if settings else TRAINED_AS.get(agent, agent)
    quick = arguments.quick
    run = trained_run(family, base, seed, arguments.out, command, quick, settings)
    made, trained, state = run.load()
    options: dict[str, Any] = {
        "splits": [split for split in SPLITS if split in made.splits],
        "tasks": 4 if quick else arguments.tasks,
        "budgets": BUDGETS[:4] if quick else BUDGETS,
        "query_episodes": 1 if quick else arguments.query_episodes,
    }
    if agent == base:
        evaluation = metarl.evaluate(run, **options)
    else:
        evaluation = evaluate(transfer_weights(trained, agent), made, **options)
    rows = run.metrics()
    return Cell(
        command,
        state["sampler"]["control_steps"],
        round(sum(row.get("cpu_seconds", 0.0) for row in rows) / 3600, 4),
        points_of(evaluation),
        commit(),
        options["query_episodes"],
    )


def trained_run(
    family: str,
    agent: str,
    seed: int,
    out: Path,
    command: str,
    quick: bool,
    settings: dict[str, Any] | None = None,
) -> Run:
    """The finished run of an agent; what is missing of it is trained."""
    return metarl.train(
        family,
        agent,
        seed=seed,
        steps=20_000 if quick else STEPS.get(family, 3_000_000),
        out=out,
        command=command,
        reuse=True,
        agent_config={**(QUICK.get(agent, {}) if quick else {}), **(settings or {})},
    )


def transfer_weights(trained: Agent, name: str) -> Agent:
    """The agent of that name, with what another one has learnt."""
    agent_class = find_agent(name)
    config = agent_class.Config(**dataclasses.asdict(trained.config))
    agent: Agent = agent_class(trained.family, config, trained.seed)
    agent.normalizer.enabled = trained.normalizer.enabled
    agent.load(*trained.save())
    return agent


QUICK = {"randomized": {"simulations": 16}, "oracle": {"simulations": 16}}
"""Settings of agents at the quick size."""
__all__ = ["Arguments", "main", "rounded", "trained_run", "transfer_weights"]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
