"""What each family is, what there is to reach in it, and how fast it runs.

    python experiments/families.py                       # resumable; writes the page
    python experiments/families.py --families rover-goal --steps 5000000
    python experiments/families.py --draw                # only the page and pictures
    python experiments/families.py --speed               # measure speed, quietly
    python experiments/families.py --quick

For every family an oracle (PPO that sees the task) is trained for the same few steps
and judged against random actions. Where a longer comparison with the randomised policy
lies in `results/<family>` (see headroom.py), its numbers are shown instead. The page is
docs/families.md; numbers that are missing are left empty.
"""

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import tyro
from PIL import Image
from random_actions import judge_random, summary

import metarl
from metarl.check import speed
from metarl.describe import ranges
from metarl.files import read_json, replacing, write_json
from metarl.pictures.drawing import Drawing
from metarl.registry import names
from metarl.runs.folder import commit
from metarl.world.environment import Environment, sizes

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
    """Train, judge, measure, and write docs/families.md."""

    families: tuple[str, ...] = field(default_factory=lambda: tuple(names("families")))
    """Families, in order."""
    steps: int = 1_500_000
    """Control steps of training, each."""
    tasks: int = 64
    """Tasks that random actions and oracle are judged on."""
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
    """Fill in what is missing, then write the page."""
    results, docs = arguments.results, arguments.docs
    if arguments.quick:
        results = docs = arguments.out / "quick"
    command = shlex.join(["python", *sys.argv])
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
    measured = sorted(speed(family) for _ in range(3))
    rate, physics = measured[1]
    print(f"{name}: {rate:,.0f} control steps/s, {physics:.0%} in the physics")
    write_json(path, {"rate": round(rate), "physics": round(physics, 3)})


def reach(arguments: Arguments, name: str, path: Path, command: str) -> None:
    """Random actions against a short training of the oracle."""
    steps = 10_000 if arguments.quick else arguments.steps
    compared = (arguments.results / name / "results.json").exists()
    if path.exists():
        known = read_json(path).get("oracle", {}).get("control_steps", 0)
        if compared or known >= steps:
            return
    family = metarl.make_family(name)
    tasks = 4 if arguments.quick else arguments.tasks
    random = judge_random(family, "interpolation", tasks, 2)
    found: dict[str, Any] = {
        "command": command,
        "commit": commit(),
        "random": summary(random["return"], random["success"]),
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
    judged = metarl.evaluate(
        run, splits=["interpolation"], tasks=tasks, budgets=(0,), query_episodes=2
    )
    point = judged["splits"]["interpolation"]["points"][0]
    return {
        "control_steps": judged["run"]["control_steps"],
        **summary(point["return"], point["success"]),
    }


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
    drawing = Drawing(family.portrait(task), family.camera, (480, 360), state)
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
        "Written by `python experiments/families.py`. Each family is a robot and a job",
        "whose physics and goal are parameters. `train` is what training draws from;",
        "`near` and `far` are held-out shells around it; `unseen` values are never",
        "trained on. In Python: `metarl.make_family(name)`.",
        "",
        "Returns are interquartile means over tasks of the `interpolation` split with",
        "95 % intervals: of random actions, and of an oracle (PPO that sees the task)",
        "after a short training; or, where they were compared at length, of the",
        "randomised policy and the oracle. Speed: 256 simulations under random",
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
    observation_size, action_size = sizes(family)
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
        "| parameter | unit | nominal | train | near | far / unseen | |",
        "|---|---|---|---|---|---|---|",
    ]
    for parameter, declared in family.parameters.items():
        cells = [f"`{parameter}`", declared.unit, *ranges(declared), declared.about]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def reached(name: str, results: Path) -> list[str]:
    """Reference returns, successes and speed, as far as they are known."""
    lines = []
    path = results / "families" / f"{name}.json"
    if path.exists():
        found, rows = read_json(path), longer(name, results)
        if not rows:
            steps = found["oracle"]["control_steps"] / 1e6
            rows = [f"| oracle, {steps:.1f}M steps | {cells(found['oracle'])} |"]
        lines += [
            "| | return | success |",
            "|---|---|---|",
            f"| random | {cells(found['random'])} |",
            *rows,
            "",
        ]
    path = results / "families" / f"{name}-speed.json"
    if path.exists():
        measured = read_json(path)
        lines += [
            f"Speed: {measured['rate']:,} control steps/s, "
            f"{measured['physics']:.0%} in the physics.",
            "",
        ]
    return lines


def longer(name: str, results: Path) -> list[str]:
    """The rows of headroom.py, where it was run."""
    path = results / name / "results.json"
    if not path.exists():
        return []
    found, lines = read_json(path), []
    for agent in ("randomized", "oracle"):
        point = found[agent]["splits"]["interpolation"]["points"][0]
        steps = found[agent]["run"]["control_steps"] / 1e6
        shown = cells(summary(point["return"], point["success"]))
        link = f"[{steps:.0f}M steps](../results/{name}/README.md)"
        lines.append(f"| {agent}, {link} | {shown} |")
    return lines


def cells(found: dict[str, Any]) -> str:
    """Return and success of a row."""
    value, low, high = found["return"]
    success = "" if found["success"] is None else f"{found['success']:.0%}"
    return f"{value:.4g} [{low:.4g}, {high:.4g}] | {success}"


if __name__ == "__main__":
    main(tyro.cli(Arguments))
