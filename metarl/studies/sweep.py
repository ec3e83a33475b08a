"""One agent on one family under several seeds, and what came of them together.

    metarl sweep point-goal maml --seeds 0 1 2                      # resumable
    metarl sweep point-goal maml --seeds 0 1 2 --cluster auto       # at the same time

The runs are those of `metarl train`, each with its evaluation.json; a seed that is
trained is not trained again. The summary of all seeds is beside them:

    runs/<family>/<agent>/summary.md and summary.json
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tyro.conf import Positional

import metarl
from metarl.environment.registry import absolute, label
from metarl.errors import InputError, RunError
from metarl.evaluation.protocol import budgets_up_to
from metarl.evaluation.results import Evaluation
from metarl.evaluation.statistics import interval
from metarl.runs.config import read_config
from metarl.runs.files import replacing, write_json
from metarl.studies.command import command_line
from metarl.studies.jobs import Job, results


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What to train and evaluate, and where it is kept."""

    family: Positional[str]
    """Registered name, ``module:Class`` or ``file.py:Class``."""
    agent: Positional[str]
    """The same."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the runs."""
    steps: int = 2_000_000
    """Control steps to train for."""
    config: Path | None = None
    """A run's config.json, whose options of family, agent and training hold."""
    splits: tuple[str, ...] = ()
    """Splits to evaluate; default: all but train and drift."""
    tasks: int = 64
    """Tasks a split."""
    episodes: int = 20
    """Largest budget of adaptation, in episodes."""
    query_episodes: int = 4
    """Episodes a task that evaluate the deployed policy."""
    out: Path = Path("runs")
    """Folder that holds all runs."""
    checkpoint_seconds: float = 60.0
    """Time between checkpoints."""
    cluster: str = ""
    """Train seeds at the same time, as tasks of Ray: local, auto or an address."""
    cpus_per_cell: int = 1
    """Cores of a seed on a cluster."""


def main(arguments: Arguments) -> None:
    """Train and evaluate an agent under several seeds, and summarize them."""
    seeds = tuple(dict.fromkeys(arguments.seeds))
    if not seeds:
        raise InputError("--seeds names none.")
    command = command_line()
    settings = _settings(arguments)
    calls = [(arguments, seed, command, settings) for seed in seeds]
    found: dict[int, Evaluation] = {}
    failed: list[str] = []

    def note(index: int, outcome: Any) -> None:
        if isinstance(outcome, RunError):
            failed.append(f"seed {seeds[index]}: {outcome}")
        else:
            found[seeds[index]] = Evaluation.from_dict(outcome)

    if arguments.cluster:
        jobs = [Job(run_seed, call) for call in calls]
        cluster, cpus = arguments.cluster, arguments.cpus_per_cell
        ending = f"of {len(seeds)} seeds of {arguments.agent} are done"
        for done in results(jobs, cluster, cpus, lambda n: f"{n} {ending}"):
            note(*done)
    else:
        for index, call in enumerate(calls):
            try:
                note(index, run_seed(*call))
            except RunError as error:
                note(index, error)
    if found:
        ordered = [found[seed] for seed in seeds if seed in found]
        folder = arguments.out / label(arguments.family) / label(arguments.agent)
        rows = summary(ordered)
        about = {"command": command, "seeds": [s for s in seeds if s in found]}
        write_json(folder / "summary.json", {**about, "rows": rows})
        text = _page(arguments, about["seeds"], rows)
        with replacing(folder / "summary.md") as temporary:
            temporary.write_text(text)
        print(text)
        print(f"Written: {folder / 'summary.md'}")
    if failed:
        raise RunError("Failed: " + "; ".join(failed))


def _settings(arguments: Arguments) -> dict[str, Any]:
    """What a config.json says of a training, in the arguments of `metarl.train`."""
    config = read_config(arguments.config) if arguments.config else {}
    names = ["family_options", "agent_config", "train_tasks", "drift", "init"]
    names += ["backend", "device"]
    settings = {name: config[name] for name in names if name in config}
    if absolute(str(config.get("family", ""))) == absolute(arguments.family):
        # Switched off for a family whose observations have one scale; not for others.
        settings["normalize_observations"] = config.get("normalize_observations", False)
    return settings


def run_seed(
    arguments: Arguments, seed: int, command: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Train and evaluate under one seed, or go on with it; the evaluation as JSON."""
    run = metarl.train(
        arguments.family,
        arguments.agent,
        seed=seed,
        steps=arguments.steps,
        out=arguments.out,
        command=command,
        reuse=True,
        checkpoint_seconds=arguments.checkpoint_seconds,
        **settings,
    )
    return metarl.evaluate(
        run,
        splits=list(arguments.splits) or None,
        tasks=arguments.tasks,
        budgets=budgets_up_to(arguments.episodes),
        query_episodes=arguments.query_episodes,
    ).to_dict()


def summary(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """Mean return of every split and budget over seeds and tasks, with 95 % intervals.

    Args:
        evaluations: one for each seed, by one protocol.
    """
    rows = []
    for name, split in evaluations[0].splits.items():
        scores = np.stack([e.splits[name].scores("return") for e in evaluations])
        for index, point in enumerate(split.points):
            estimate = interval(scores[..., index], "mean")
            row = {"split": name, "episodes": point.episodes, **estimate._asdict()}
            rows.append(row | {"seeds": scores[..., index].mean(1).tolist()})
    return rows


def _page(arguments: Arguments, seeds: object, rows: list[dict[str, Any]]) -> str:
    lines = [
        f"# {label(arguments.agent)} on {label(arguments.family)}, seeds {seeds}",
        "",
        "Mean return over seeds and tasks, 95 % bootstrap interval.",
        "",
        "| split | episodes | return | interval |",
        "|---|---|---|---|",
    ]
    for row in rows:
        cells = f"{row['value']:.1f} | [{row['low']:.1f}, {row['high']:.1f}]"
        lines.append(f"| {row['split']} | {row['episodes']} | {cells} |")
    return "\n".join([*lines, ""])
