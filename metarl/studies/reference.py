"""What each family is, what there is to reach in it, and how fast it runs.

    metarl reference                       # resumable; writes the page
    metarl reference --families rover-goal --steps 5000000
    metarl reference --draw                # only the page and pictures
    metarl reference --speed               # measure speed; run nothing else meanwhile
    metarl reference --quick

For every family an oracle (PPO that observes the task) is trained for the same few
steps and compared with random actions. Where a longer comparison with the randomized
policy lies in `results/<family>` (`metarl headroom`), its numbers are shown instead.
The page is docs/families.md; numbers that are missing are left empty.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import tyro
from PIL import Image

import metarl
from metarl.environment.environment import Environment
from metarl.environment.registry import names
from metarl.environment.speed import measure_speed as measured_speed
from metarl.evaluation.protocol import evaluate
from metarl.evaluation.reading import Field
from metarl.evaluation.results import Point
from metarl.evaluation.statistics import Estimate, interval
from metarl.learning.agent import find_agent
from metarl.render.renderer import Renderer
from metarl.reports.tables import markdown_table, ranges
from metarl.runs.files import read_json, replacing, write_json
from metarl.runs.system import commit
from metarl.studies.command import command_line
from metarl.studies.headroom import Found

LOOKS: dict[str, dict[str, Any]] = {
    "cheetah-body": {"torso_length": 1.5},
    "ant-goal": {"goal": (1.0, 0.5)},
    "quadruped-velocity": {"payload": 2.0},
    "quadruped-battery": {"side_load": 2.0},
    "quadruped-terrain": {"terrain": "rough", "relief": 0.06},
}
"""What the picture shows that the nominal task would not."""
WIDER = {"point-sparse": {"initial_std": 2.0, "entropy": 0.003}}
"""Exploration of an oracle that would meet no reward by chance otherwise."""
DOMAINS = {
    "Grasping": "metarl.envs.grasping",
    "Navigation": "metarl.envs.navigation",
    "Legged locomotion": "metarl.envs.locomotion",
}


@dataclass(frozen=True)
class Arguments:
    """Which families, how long to train, and where results are kept."""

    families: tuple[str, ...] = field(default_factory=lambda: tuple(names("families")))
    """Families, in order."""
    steps: int = 1_500_000
    """Control steps of training, each."""
    tasks: int = 64
    """Tasks that random actions and oracle are evaluated on."""
    seed: int = 0
    """Of the runs."""
    out: Path = Path("runs/families")
    """Folder of the runs: a second call goes on where the first one stopped."""
    results: Path = Path("results")
    """Numbers go to the folder `families` in here."""
    docs: Path = Path("docs")
    """Where the page and the pictures go."""
    draw: bool = False
    """Only write the page of what is there."""
    speed: bool = False
    """Measure speed instead; nothing else may run meanwhile."""
    quick: bool = False
    """A small size that shows the way, not the result."""


def main(arguments: Arguments) -> None:
    """Write the families' page: reference returns, speed and pictures.

    Trains and evaluates what is missing.
    """
    results, docs = arguments.results, arguments.docs
    if arguments.quick:
        results = docs = arguments.out / "quick"
    command = command_line()
    for name in () if arguments.draw else arguments.families:
        if arguments.speed:
            measure_speed(name, results / "families" / f"{name}-speed.json")
        else:
            reach(arguments, name, results / "families" / f"{name}.json", command)
    for name in arguments.families:
        picture(name, docs / "families" / f"{name}.png", again=arguments.draw)
    with replacing(docs / "families.md") as file:
        file.write_text(page(results))
    print(f"Written: {docs / 'families.md'}")


def measure_speed(name: str, path: Path) -> None:
    """Control steps a second, three times, the median kept."""
    family = metarl.make_family(name)
    measured = sorted(measured_speed(family) for _ in range(3))
    rate, physics = measured[1]
    print(f"{name}: {rate:,.0f} control steps/s, {physics:.0%} in the physics")
    write_json(path, {"rate": round(rate), "physics": round(physics, 3)})


def reach(arguments: Arguments, name: str, path: Path, command: str) -> None:
    """Random actions against a short training of the oracle."""
    steps = 10_000 if arguments.quick else arguments.steps
    compared = (arguments.results / name / "results.json").exists()
    if path.exists():
        known = Field(read_json(path)).get("oracle", {}).get("control_steps", 0)
        if compared or known.number() >= steps:
            return
    family = metarl.make_family(name)
    tasks = 4 if arguments.quick else arguments.tasks
    random_actions = find_agent("random")
    floor = evaluate(
        random_actions(family, random_actions.Config(), arguments.seed),
        family,
        splits=["interpolation"],
        tasks=tasks,
        budgets=(0,),
        query_episodes=2,
    )
    random = floor.splits["interpolation"].points[0]
    found: dict[str, Any] = {
        "command": command,
        "commit": commit(),
        "random": Reached.of(random).to_dict(),
    }
    if not compared:
        found["oracle"] = train_oracle(arguments, name, steps, tasks, command)
    write_json(path, found)


def train_oracle(
    arguments: Arguments, name: str, steps: int, tasks: int, command: str
) -> dict[str, Any]:
    """Return and success of an oracle after a short training."""
    run = metarl.train(
        name,
        "oracle",
        seed=arguments.seed,
        steps=steps,
        out=arguments.out,
        agent_config={
            "simulations": 64 if arguments.quick else 512,
            "rollout": 32,
            **WIDER.get(name, {}),
        },
        command=command,
        reuse=True,
    )
    evaluation = metarl.evaluate(
        run, splits=["interpolation"], tasks=tasks, budgets=(0,), query_episodes=2
    )
    point = evaluation.splits["interpolation"].points[0]
    steps = evaluation.run.control_steps
    return {"control_steps": steps, **Reached.of(point).to_dict()}


@dataclass(frozen=True)
class Reached:
    """What a policy reaches on a split."""

    returns: Estimate
    """Interquartile mean over tasks."""
    success: float | None
    """Mean over tasks; None where it is not defined."""

    @classmethod
    def of(cls, point: Point) -> "Reached":
        """What a policy reached."""
        known = [value for value in point.measure("success") if not math.isnan(value)]
        success = sum(known) / len(known) if known else None
        return cls(interval(point.returns), success)

    @classmethod
    def read(cls, plain: Field) -> "Reached":
        """What a file holds.

        Raises:
            ValueError: naming the field at fault.
        """
        value, low, high = plain["return"].numbers(3)
        success = plain["success"]
        known = None if success.value is None else success.number()
        return cls(Estimate(value, low, high), known)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"return": list(self.returns), "success": self.success}

    def cells(self) -> list[str]:
        """Return and success, for a table."""
        value, low, high = self.returns
        success = "" if self.success is None else f"{self.success:.0%}"
        return [f"{value:.4g} [{low:.4g}, {high:.4g}]", success]


def picture(name: str, path: Path, again: bool = False) -> None:
    """The robot as it stands, half a second after the start."""
    if path.exists() and not again:
        return
    family = metarl.make_family(name)
    task = family.task(**LOOKS.get(name, {}))
    environment = Environment(family, [task])
    environment.reset(0)
    for _ in range(round(0.5 / family.control_period)):
        if environment.active.all():
            environment.step(torch.zeros(1, family.action_size))
    state = environment.sim.qpos[0].numpy()
    drawing = Renderer(family.render_model(task), family.camera, (480, 360), state)
    image = Image.fromarray(drawing.render(state))
    drawing.close()
    with replacing(path) as temporary:
        image.save(temporary, format="PNG", optimize=True)


# -- the page ----------------------------------------------------------------------


def page(results: Path) -> str:
    """All registered families as markdown."""
    lines = [
        "# Families",
        "",
        "Written by `metarl reference`. Each family is a robot and a job",
        "whose physics and goal are parameters. `train` is what training draws from;",
        "`near` and `far` are held-out shells around it; `unseen` values are never",
        "trained on. In Python: `metarl.make_family(name)`.",
        "",
        "Returns are interquartile means over tasks of the `interpolation` split with",
        "95 % intervals: of random actions, and of an oracle (PPO that observes the",
        "task) after a short training; or, where they were compared at length, of the",
        "randomized policy and the oracle. Speed: 256 simulations under random",
        "actions on two cores, and the share of that time which is MuJoCo's.",
    ]
    registered = names("families")
    for domain, package in DOMAINS.items():
        lines += ["", f"## {domain}"]
        for name, place in registered.items():
            if place.startswith(package):
                lines += section(name, results)
    return "\n".join([*lines, ""])


def section(name: str, results: Path) -> list[str]:
    """One family."""
    family = metarl.make_family(name)
    observation_size, action_size, _ = family.spec
    about = (type(family).__doc__ or "").strip().split("\n\n")[0]
    seconds = family.horizon * family.control_period
    lines = [
        "",
        f"### {name}",
        "",
        f"![{name}](families/{name}.png)",
        "",
        " ".join(about.split()),
        "",
        f"{observation_size} observations, {action_size} actions; episodes of "
        f"{family.horizon} control steps of {family.control_period:g} s "
        f"({seconds:g} s). Splits: {', '.join(family.splits)}.",
        "",
        f"Success: {family.success_measure}.",
        "",
        *reached(name, results),
    ]
    header = ["parameter", "unit", "nominal", "train", "near", "far / unseen", ""]
    rows = [
        [f"`{parameter}`", declared.unit, *ranges(declared), declared.about]
        for parameter, declared in family.parameters.items()
    ]
    return lines + markdown_table(header, rows)


def reached(name: str, results: Path) -> list[str]:
    """Reference returns, successes and speed, as far as they are known."""
    lines = []
    path = results / "families" / f"{name}.json"
    if path.exists():
        found, rows = Field(read_json(path)), longer(name, results)
        if not rows:
            steps = found["oracle"]["control_steps"].number() / 1e6
            oracle = Reached.read(found["oracle"])
            rows = [[f"oracle, {steps:.1f}M steps", *oracle.cells()]]
        random = Reached.read(found["random"])
        rows = [["random", *random.cells()], *rows]
        lines += [*markdown_table(["", "return", "success"], rows), ""]
    path = results / "families" / f"{name}-speed.json"
    if path.exists():
        measured = Field(read_json(path))
        lines += [
            f"Speed: {measured['rate'].integer():,} control steps/s, "
            f"{measured['physics'].number():.0%} in the physics.",
            "",
        ]
    return lines


def longer(name: str, results: Path) -> list[Sequence[str]]:
    """The rows of `metarl headroom`, where it was run."""
    path = results / name / "results.json"
    if not path.exists():
        return []
    rows: list[Sequence[str]] = []
    for agent, evaluation in Found.read(path).evaluations.items():
        point = evaluation.splits["interpolation"].points[0]
        steps = evaluation.run.control_steps / 1e6
        link = f"[{steps:.0f}M steps](../results/{name}/README.md)"
        rows.append([f"{agent}, {link}", *Reached.of(point).cells()])
    return rows


if __name__ == "__main__":
    main(tyro.cli(Arguments))
