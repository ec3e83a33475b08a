"""Every way of learning to learn at equal cost: how fast does each adapt?

    metarl leaderboard                                       # resumable; hours
    metarl leaderboard --families point-goal --agents maml rl2
    metarl leaderboard --families cheetah-direction --tuned
    metarl leaderboard --quick                               # minutes, to see it run
    metarl leaderboard --cluster auto                        # on a Ray cluster

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
from metarl.environment.registry import label, names
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
from metarl.studies.jobs import Job
from metarl.studies.jobs import results as results_of
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
    checkpoint_seconds: float = 60.0
    """Time between checkpoints: what a killed process loses at most."""
    cluster: str = ""
    """Fill cells at the same time, as tasks of Ray: local, auto or an address."""
    cpus_per_cell: int = 1
    """Cores of a cell on a cluster."""


Todo = tuple[Path, str, str, int, dict[str, Any]]
"""A cell to fill: its file, family, agent, seed and settings."""


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
        todo = list(missing(arguments, results))
        fill = on_cluster if arguments.cluster else in_turn
        for (path, _, agent, seed, _), cell in fill(todo, arguments, command):
            if isinstance(cell, Cell):
                cell.write(path)
                draw(*page)
            else:  # it stays empty, the others go on
                failed.append(f"{path.parent.name}, {agent}, seed {seed}: {cell}")
                print(failed[-1], flush=True)
    draw(*page)
    print(f"Written: {results}")
    if failed:
        sys.exit("\n".join(["Failed:", *failed]))


def missing(arguments: Arguments, results: Path) -> Iterator[Todo]:
    """The cells that are to be filled."""
    for seed, family, agent in cells(arguments):
        settings, column = {}, family
        if arguments.tuned:
            settings = tuned_settings(arguments.tune, family, agent) or {}
            column = family + TUNED
            if not settings:  # nothing to run: see `metarl.studies.cells.load`
                continue
        path = results / column / f"{agent}-{seed}.json"
        if not path.exists():
            yield path, family, agent, seed, settings


Filled = Iterator[tuple[Todo, Cell | RunError]]


def in_turn(todo: list[Todo], arguments: Arguments, command: str) -> Filled:
    """Fill cells one after the other, in this process."""
    for cell in todo:
        path, family, agent, seed, settings = cell
        print(f"{path.parent.name}, {agent}, seed {seed}", flush=True)
        try:
            yield cell, run_cell(arguments, family, agent, seed, command, settings)
        except RunError as error:
            yield cell, error


def on_cluster(todo: list[Todo], arguments: Arguments, command: str) -> Filled:
    """Fill cells on a cluster; those of one training come one after the other."""
    jobs: list[Job] = []
    last: dict[tuple[str, str, int], int] = {}
    for index, (_, family, agent, seed, settings) in enumerate(todo):
        training = family, trained_as(agent, settings), seed
        call = (arguments, family, agent, seed, command, settings)
        jobs.append(Job(run_cell, call, last.get(training)))
        last[training] = index
    asked = {key: steps_asked(arguments.quick, key[0]) for key in last}

    def describe(done: int) -> str:
        made = sum(min(n, steps_of(arguments.out, *key)) for key, n in asked.items())
        steps = f"{made:,} of {sum(asked.values()):,} control steps"
        return f"{done} of {len(todo)} cells, {steps}"

    cluster, cpus = arguments.cluster, arguments.cpus_per_cell
    for index, cell in results_of(jobs, cluster, cpus, describe):
        yield todo[index], cell


def steps_of(out: Path, family: str, agent: str, seed: int) -> int:
    """Control steps that the newest run of an agent under a seed has made."""
    runs = sorted((out / label(family) / label(agent)).glob(f"{seed}-*/metrics.jsonl"))
    rows = Run(runs[-1].parent).metrics() if runs else []
    return int(rows[-1]["control_steps"]) if rows else 0


def steps_asked(quick: bool, family: str) -> int:
    """Control steps of a training."""
    return 20_000 if quick else STEPS.get(family, 3_000_000)


def trained_as(agent: str, settings: dict[str, Any]) -> str:
    """The agent whose training serves this one."""
    return agent if settings else TRAINED_AS.get(agent, agent)


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
    base = trained_as(agent, settings)
    quick = arguments.quick
    seconds = arguments.checkpoint_seconds
    run = trained_run(
        family, base, seed, arguments.out, command, quick, settings, seconds
    )
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
    checkpoint_seconds: float = 60.0,
) -> Run:
    """The finished run of an agent; what is missing of it is trained."""
    return metarl.train(
        family,
        agent,
        seed=seed,
        steps=steps_asked(quick, family),
        out=out,
        command=command,
        reuse=True,
        checkpoint_seconds=checkpoint_seconds,
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
