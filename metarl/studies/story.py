"""What the stories share: train, let the agent adapt to one exact task, show it."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import metarl
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.family import TaskFamily
from metarl.errors import RunError
from metarl.evaluation.results import Evaluation
from metarl.learning.agent import Agent, find_agent
from metarl.render.recording import Recording
from metarl.render.video import EpisodeRecording, film, strip
from metarl.reports.report import report
from metarl.reports.tables import markdown_table
from metarl.runs.files import replacing
from metarl.runs.folder import Run
from metarl.runs.system import commit
from metarl.studies.command import command_line
from metarl.tasks.randomness import key
from metarl.tasks.task import Task

QUICK = {"simulations": 16, "pairs": 2, "tasks": 4}
"""Fields of an agent's config that make an iteration small."""
SPLITS = ("interpolation", "far", "structure")

Measures = dict[str, float]


@dataclass(frozen=True)
class Arguments:
    """Train an agent, let it adapt to this task, evaluate and record it."""

    agent: str
    """Agent."""
    steps: int
    """Control steps of training."""
    episodes: int
    """Episodes of adaptation."""
    seed: int = 0
    """Of training and of noise."""
    queries: int = 32
    """Fresh episodes that evaluate the policy before and after."""
    tasks: int = 32
    """Tasks of each split that show how typical the story is."""
    out: Path = Path("runs/stories")
    """Folder of the runs: a second call goes on where the first one stopped."""
    quick: bool = False
    """A small size that shows the way, not the result."""


def tell(about: str, family_name: str, values: dict[str, Any], **defaults: Any) -> None:
    """Run a story with the arguments of the command line.

    Args:
        about: the story, as its page begins.
        family_name: the family.
        values: parameters of the task that are not nominal.
        defaults: fields of `Arguments`.
    """
    arguments = tyro.cli(
        Arguments,
        default=Arguments(**defaults),
        description=about,
    )
    quick = arguments.quick
    if quick:
        arguments = dataclasses.replace(
            arguments, steps=1, episodes=5, queries=2, tasks=2
        )
    run = metarl.train(
        family_name,
        arguments.agent,
        seed=arguments.seed,
        steps=arguments.steps,
        out=arguments.out,
        command=command_line(),
        reuse=True,
        agent_config=small(arguments.agent) if quick else None,
    )
    family, agent = metarl.load(run)
    task = family.task(**values)
    measures, takes = adapt(agent, family, task, arguments)
    show(run, f"{arguments.agent} on {task}", family, takes, arguments)
    results = metarl.evaluate(
        run,
        splits=[split for split in SPLITS if split in family.splits],
        tasks=arguments.tasks,
        budgets=(0, arguments.episodes),
        seed=arguments.seed,
    )
    text = page(about, family, values, measures, results, arguments)
    with replacing(run.path / "story.md") as file:
        file.write_text(text)
    print(text)
    print(f"Report: {report([run])}")


def small(agent: str) -> dict[str, int]:
    """What of `QUICK` an agent's config has."""
    known = {field.name for field in dataclasses.fields(find_agent(agent).Config)}
    return {name: value for name, value in QUICK.items() if name in known}


def adapt(
    agent: Agent, family: TaskFamily, task: Task, arguments: Arguments
) -> tuple[list[Measures], list[EpisodeRecording]]:
    """Measures and takes of the deployed policy before and after adaptation."""
    recording = Recording(agent, family, [task], arguments.seed)
    environment = Environment(
        family, [task], arguments.queries, observe_task=agent.observes_task
    )
    measures, takes = [], []
    for episodes in (0, arguments.episodes):
        recording.adapt(episodes)
        takes += recording.record_policy()
        policy = recording.adaptation.policy()
        query = collect(environment, policy, key(arguments.seed, "story"))
        measured = {"return": query.returns, "success": query.success, **query.metrics}
        measures.append(
            {name: float(value.double().nanmean()) for name, value in measured.items()}
            | {"robot time, s": sum(recording.seconds)}
        )
    return measures, takes


def show(
    run: Run,
    heading: str,
    family: TaskFamily,
    takes: list[EpisodeRecording],
    arguments: Arguments,
) -> None:
    """Record a video of before and after beside each other."""
    path = run.path / "videos" / "story.mp4"
    look: dict[str, Any] = {
        "heading": heading,
        "control_period": family.control_period,
        "camera": family.camera,
    }
    try:
        strip(path.with_suffix(".png"), takes, **look)
        film(path, takes, **look, fps=5 if arguments.quick else 25)
        print(f"Video: {path}")
    except RunError as error:  # no OpenGL or no encoder
        print(f"No video: {error}")


def page(
    about: str,
    family: TaskFamily,
    values: dict[str, Any],
    measures: list[Measures],
    results: Evaluation,
    arguments: Arguments,
) -> str:
    """The story and its numbers, as markdown."""
    rows = []
    for name, value in values.items():
        parameter = family.parameters[name]
        unit = "" if parameter.unit == "1" else f", {parameter.unit}"
        rows.append([f"`{name}`{unit}", parameter.nominal, value])
    lines = [about.strip(), "", *markdown_table(["parameter", "nominal", "here"], rows)]
    lines += [
        "",
        f"`{arguments.agent}`, before and after {arguments.episodes} episodes on this "
        f"task; means of {arguments.queries} fresh episodes.",
        "",
        *markdown_table(
            ["measure", "before", "after"],
            [
                [name.replace("_", " "), *(f"{each[name]:.3g}" for each in measures)]
                for name in measures[0]
            ],
        ),
        "",
        f"One task proves nothing. Mean return on {arguments.tasks} others of each "
        "split:",
        "",
    ]
    typical = []
    for name, split in results.splits.items():
        first, last = split.scores("return").T
        ends = (f"{first.mean():.3g}", f"{last.mean():.3g}")
        typical.append([name, *ends, f"{(last < first).mean():.0%}"])
    lines += markdown_table(["split", "before", "after", "made worse"], typical)
    lines += ["", f"Command: `{command_line()}`. Commit: `{commit()}`"]
    return "\n".join([*lines, ""])
