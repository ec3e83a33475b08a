"""Speed, parity and training on a GPU, by MuJoCo Warp. One table, one JSON file.

    python benchmarks/gpu.py                       # needs the extra `gpu`
    python benchmarks/gpu.py --device cpu --worlds 4 --seconds 0.5   # to see it run

For each family and number of worlds: control steps a second of the physics alone and
of the whole environment under random actions, physics steps a second, and the memory
of the device. Then joint positions against MuJoCo's after ten control steps, and the
training of `randomized` for so many minutes. `gpu.sh` brings what a bare machine needs.
"""

import dataclasses
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

import metarl
from metarl.environment.environment import Environment
from metarl.environment.registry import make_family
from metarl.runs.files import write_json
from metarl.runs.system import commit
from metarl.tasks.randomness import Streams, key, mix


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure and print a table."""

    device: str = "cuda:0"
    """Of MuJoCo Warp; "cpu" shows that the script runs."""
    families: tuple[str, ...] = (
        "cheetah-direction",
        "quadruped-velocity",
        "arm-lift",
        "rover-goal",
    )
    """Families to measure."""
    worlds: tuple[int, ...] = (1024, 4096, 16384)
    """Numbers of worlds."""
    tasks: int = 256
    """Distinct tasks, at most as many as worlds."""
    seconds: float = 4.0
    """How long each speed is measured."""
    train: tuple[str, ...] = ("quadruped-velocity",)
    """Families that `randomized` is trained on; may be empty."""
    minutes: float = 2.0
    """How long each training takes, roughly."""
    simulations: int = 4096
    """Worlds of a training."""
    out: Path = Path("results/gpu")
    """Folder of measured.json and of the trainings."""


def main(arguments: Arguments) -> None:
    """Measure one thing after another; what was measured is written at once."""
    found: dict[str, Any] = {"device": name_of(arguments.device), "commit": commit()}
    arguments.out.mkdir(parents=True, exist_ok=True)

    def keep(**more: Any) -> None:
        found.update(more)
        write_json(arguments.out / "measured.json", found)

    speeds: list[dict[str, Any]] = []
    apart: dict[str, list[float]] = {}
    for name in arguments.families:
        for worlds in arguments.worlds:
            speeds.append(speed(name, worlds, arguments))
            print(json.dumps(speeds[-1]), flush=True)
            keep(speed=speeds)
        apart[name] = parity(name, arguments.device)
        print(f"{name}: joint positions differ by {apart[name]} (median, largest)")
        keep(parity=apart)
    for name in arguments.train:
        keep(**{f"training {name}": training(name, speeds, arguments)})
    print(f"Written: {arguments.out / 'measured.json'}")


def speed(name: str, worlds: int, arguments: Arguments) -> dict[str, Any]:
    """Steps a second of a family in so many worlds."""
    family = make_family(name).on("warp", arguments.device)
    tasks = family.tasks("train", min(arguments.tasks, worlds))
    began = time.perf_counter()
    environment = Environment(family, tasks, worlds // len(tasks))
    environment.reset(0)
    streams = Streams(mix(key("gpu"), np.arange(environment.n)))
    action = streams.uniform(family.action_size, low=-1.0, high=1.0).float()
    environment.step(action)
    made = time.perf_counter() - began
    sim = environment.sim

    def whole() -> None:
        if not environment.active.all():
            environment.reset(ids=(~environment.active).nonzero()[:, 0])
        environment.step(action)

    physics = rate(sim.step, arguments) * environment.n
    return {
        "family": name,
        "worlds": environment.n,
        "control_steps_per_second": round(rate(whole, arguments) * environment.n),
        "of_the_physics_alone": round(physics),
        "physics_steps_per_second": round(physics * family.substeps),
        "seconds_to_begin": round(made, 1),
        "device_gib": round(used_memory(arguments.device), 2),
    }


def rate(work: Callable[[], None], arguments: Arguments) -> float:
    """How often a second something is done, the device's share included."""
    work()
    wait(arguments.device)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < arguments.seconds:
        work()
        wait(arguments.device)
        count += 1
    return count / (time.perf_counter() - began)


def parity(name: str, device: str) -> list[float]:
    """Differences of joint positions from MuJoCo's after ten control steps."""
    positions = []
    for backend in ("mujoco", "warp"):
        family = make_family(name).on(backend, device if backend == "warp" else "")
        environment = Environment(family, family.tasks("train", 16), seed=1)
        environment.reset()
        for step in range(10):
            streams = Streams(mix(key("parity", step), np.arange(environment.n)))
            action = streams.uniform(family.action_size, low=-1.0, high=1.0)
            environment.step(action.float())
        positions.append(environment.sim.qpos.double().cpu())
    apart = (positions[0] - positions[1]).abs().amax(1)
    return [float(f"{x:.1e}") for x in (apart.median(), apart.max())]


def training(
    name: str, speeds: list[dict[str, Any]], arguments: Arguments
) -> dict[str, Any]:
    """Train `randomized` for some minutes, and evaluate it by MuJoCo on the CPU."""
    known = [s["control_steps_per_second"] for s in speeds if s["family"] == name]
    pace = max(known, default=10_000) / 2  # the update takes its share, too
    rollout = 24 * arguments.simulations
    steps = max(rollout, int(60 * arguments.minutes * pace) // rollout * rollout)
    began = time.perf_counter()
    run = metarl.train(
        name,
        "randomized",
        steps=steps,
        out=arguments.out / "runs",
        backend="warp",
        device=arguments.device,
        agent_config={"simulations": arguments.simulations, "rollout": 24},
        checkpoint_seconds=30.0,
    )
    seconds = time.perf_counter() - began
    results = metarl.evaluate(
        run, splits=["interpolation"], tasks=32, budgets=[0], query_episodes=2
    )
    point = results.splits["interpolation"].points[0]
    return {
        "control_steps": steps,
        "seconds": round(seconds, 1),
        "control_steps_per_second": round(steps / seconds),
        "return": round(float(np.mean(point.returns)), 2),
        "success": round(float(np.mean(point.success)), 3),
    }


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def used_memory(device: str) -> float:
    """GiB of the device that are in use."""
    if not device.startswith("cuda"):
        return 0.0
    free, total = torch.cuda.mem_get_info(device)
    return (total - free) / 2**30


def name_of(device: str) -> str:
    """What the device is, in words."""
    if not device.startswith("cuda"):
        return "Warp's CPU device"
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    said = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    return said.strip() or torch.cuda.get_device_name(device)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
