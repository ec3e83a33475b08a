"""What the stories share: train, let the agent adapt to one exact robot, show it."""

import dataclasses
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import metarl
from metarl.errors import RunError
from metarl.family import TaskFamily
from metarl.files import replacing
from metarl.learning.agent import Agent
from metarl.pictures.record import Recording
from metarl.pictures.video import Take, film, strip
from metarl.randomness import key
from metarl.registry import find
from metarl.runs.folder import Run, commit
from metarl.tasks import Task
from metarl.world.environment import Environment
from metarl.world.rollout import collect

QUICK = {"simulations": 16, "pairs": 2, "tasks": 4}
"""Fields of an agent's config that make an iteration small."""
SPLITS = ("interpolation", "far", "structure")

Measures = dict[str, float]


@dataclass(frozen=True)
class Arguments:
    """Train an agent, let it adapt to this robot, film and judge it."""

    agent: str
    """Agent."""
    steps: int
    """Control steps of training."""
    episodes: int
    """Episodes of adaptation."""
    seed: int = 0
    """Of training and of noise."""
    queries: int = 32
    """Fresh episodes that judge the policy before and after."""
    tasks: int = 32
    """Tasks of each split that say how typical the story is."""
    out: Path = Path("runs/stories")
    """Folder of the runs: a second call goes on where the first one stopped."""
    quick: bool = False
    """A small size that shows the way, not the result."""


def tell(about: str, family_name: str, robot: dict[str, Any], **defaults: Any) -> None:
    """Run a story with the arguments of the command line.

    Args:
        about: the story, as its page begins.
        family_name: the family.
        robot: what is unlike the data sheet.
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
        command=shlex.join(["python", *sys.argv]),
        reuse=True,
        agent_config=small(arguments.agent) if quick else None,
    )
    family, agent = metarl.load(run)
    task = family.task(**robot)
    measures, takes = adapt(agent, family, task, arguments)
    show(run, f"{arguments.agent} on {task}", family, takes, arguments)
    results = metarl.evaluate(
        run,
        splits=[split for split in SPLITS if split in family.splits],
        tasks=arguments.tasks,
        budgets=(0, arguments.episodes),
        seed=arguments.seed,
    )
    text = page(about, family, robot, measures, results, arguments)
    with replacing(run.path / "story.md") as file:
        file.write_text(text)
    print(text)
    print(f"Report: {metarl.report([run])}")


def small(agent: str) -> dict[str, int]:
    """What of `QUICK` an agent's config has."""
    known = {field.name for field in dataclasses.fields(find("agents", agent).Config)}
    return {name: value for name, value in QUICK.items() if name in known}


def adapt(
    agent: Agent, family: TaskFamily, task: Task, arguments: Arguments
) -> tuple[list[Measures], list[Take]]:
    """Measures and takes of the deployed policy before and after adaptation."""
    recording = Recording(agent, family, [task], arguments.seed)
    world = Environment(family, [task], arguments.queries, visible=agent.sees_task)
    measures, takes = [], []
    for episodes in (0, arguments.episodes):
        recording.adapt(episodes)
        takes += recording.deployed()
        policy = recording.adaptation.deployed()
        seen = collect(world, policy, key(arguments.seed, "story"))
        judged = {"return": seen.returns, "success": seen.success, **seen.metrics}
        measures.append(
            {name: float(value.double().nanmean()) for name, value in judged.items()}
            | {"robot time, s": sum(recording.seconds)}
        )
    return measures, takes


def show(
    run: Run,
    heading: str,
    family: TaskFamily,
    takes: list[Take],
    arguments: Arguments,
) -> None:
    """Film before and after beside each other."""
    path = run.path / "videos" / "story.mp4"
    look: dict[str, Any] = {
        "heading": heading,
        "control_period": family.control_period,
        "camera": family.camera,
    }
    try:
        strip(path.with_suffix(".png"), takes, **look)
        film(path, takes, **look, fps=5 if arguments.quick else 25)
        print(f"Film: {path}")
    except RunError as error:  # no OpenGL or no encoder
        print(f"No film: {error}")


def page(
    about: str,
    family: TaskFamily,
    robot: dict[str, Any],
    measures: list[Measures],
    results: dict[str, Any],
    arguments: Arguments,
) -> str:
    """The story and its numbers, as markdown."""
    lines = [about.strip(), "", "| of this robot | data sheet | here |"]
    lines += ["|---|---|---|"]
    for name, value in robot.items():
        parameter = family.parameters[name]
        unit = getattr(parameter, "unit", "1")
        shown = f"`{name}`{'' if unit == '1' else f', {unit}'}"
        lines.append(f"| {shown} | {parameter.nominal} | {value} |")
    lines += [
        "",
        f"`{arguments.agent}`, before and after {arguments.episodes} episodes on this "
        f"robot; means of {arguments.queries} fresh episodes.",
        "",
        "| measure | before | after |",
        "|---|---|---|",
    ]
    for name in measures[0]:
        before, after = (each[name] for each in measures)
        lines.append(f"| {name.replace('_', ' ')} | {before:.3g} | {after:.3g} |")
    lines += [
        "",
        f"One robot proves nothing. Mean return on {arguments.tasks} others of each "
        "split:",
        "",
        "| split | before | after | made worse |",
        "|---|---|---|---|",
    ]
    for split, result in results["splits"].items():
        first, last = (point["return"] for point in result["points"])
        count = len(first)
        worse = sum(b < a for a, b in zip(first, last, strict=True)) / count
        lines.append(
            f"| {split} | {sum(first) / count:.3g} | {sum(last) / count:.3g} | "
            f"{worse:.0%} |"
        )
    lines += [
        "",
        f"Command: `{shlex.join(['python', *sys.argv])}`. Commit: `{commit()}`",
    ]
    return "\n".join([*lines, ""])
