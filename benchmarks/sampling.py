"""Sampling speed, side by side with what a user would pick instead, in one run.

    python benchmarks/sampling.py                 # needs the extra `bench` for EnvPool

The closed loop of metarl (a policy with its own parameters for each of 20 tasks,
observation, reward, 400 simulations on 20 different models) against bare stepping of
the same models by `mujoco.batch`, and against the vector environments that run the
same robot with random actions. Absolute speeds are this machine's; ratios carry over.
"""

import statistics
import time
import unittest.mock
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro

from metarl.environment.collect import collect, one_torch_thread
from metarl.environment.environment import Environment
from metarl.environment.registry import make_family
from metarl.learning.distributions import gaussian_parameters
from metarl.learning.networks import stack
from metarl.learning.normalization import Normalizer
from metarl.learning.policies import GaussianPolicy
from metarl.runs.files import replacing
from metarl.runs.system import commit
from metarl.tasks.randomness import torch_generator

ENVIRONMENT = "HalfCheetah-v5"


@dataclass(frozen=True)
class Arguments:
    """Measure and print a table."""

    family: str = "cheetah-direction"
    """Family to measure."""
    timing: str = "v5"
    """Timing of a cheetah family: v5 (5 physics steps a control step) or rllab."""
    tasks: int = 20
    """Different models."""
    copies: int = 20
    """Simulations of each."""
    repeats: int = 5
    """Rounds; each measures everything once, and the median over rounds counts."""
    peers: bool = True
    """Measure the vector environments, too."""
    out: Path | None = None
    """Write the table to this markdown file."""


def main(arguments: Arguments) -> None:
    """Measure everything in turn, several times over, so that noise hits all alike."""
    cheetah = arguments.family.startswith("cheetah")
    options = {"timing": arguments.timing} if cheetah else {}
    family = make_family(arguments.family, **options)
    tasks = family.tasks("far", arguments.tasks)
    environment = Environment(family, tasks, arguments.copies)
    parameters = gaussian_parameters(
        *family.spec[:2], (64, 64), torch_generator("benchmark")
    )
    plain = Normalizer(family.spec.observation_size, enabled=False)
    policy = GaussianPolicy(stack(parameters, arguments.tasks), plain)
    inputs = recorded(environment, policy)
    measured: dict[str, Callable[[], float]] = {
        "bare mujoco.batch": lambda: bare(environment, inputs),
        "metarl closed loop": lambda: closed_loop(environment, policy),
    }
    if arguments.peers and cheetah and arguments.timing == "v5":
        measured |= peers()
    speeds: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(arguments.repeats):
        for name, measure in measured.items():
            speeds[name].append(measure())
    table = make_table(arguments, environment.n, speeds)
    print(table)
    if arguments.out is not None:
        with replacing(arguments.out) as file:
            file.write_text(table)


INPUTS = ("ctrl", "qfrc_applied", "xfrc_applied")
"""What a family may write before a step."""
Inputs = list[tuple[torch.Tensor | None, dict[str, torch.Tensor]]]


def recorded(environment: Environment, policy: GaussianPolicy) -> Inputs:
    """What the simulation is given in each step of a closed loop, and who steps.

    Robots that fall are dearer to simulate than those that stand, so that bare stepping
    has to meet the same states.
    """
    sim, inputs = environment.sim, Inputs()
    step = sim.step

    def noting(active: torch.Tensor | None = None) -> None:
        inputs.append((active, {n: getattr(sim, n).clone() for n in INPUTS}))
        step(active)

    with unittest.mock.patch.object(sim, "step", noting):
        collect(environment, policy, seed=0)
    return inputs


def bare(environment: Environment, inputs: Inputs) -> float:
    """Control steps a second of the same steps without anything between them."""
    environment.reset(0)
    sim, made = environment.sim, 0
    began = time.perf_counter()
    with one_torch_thread():
        for active, written in inputs:
            for name, value in written.items():
                getattr(sim, name).copy_(value)
            sim.step(active)
            made += environment.n if active is None else int(active.sum())
    return made / (time.perf_counter() - began)


def closed_loop(environment: Environment, policy: GaussianPolicy) -> float:
    """Control steps a second of collecting episodes."""
    began = time.perf_counter()
    episodes = collect(environment, policy, seed=0)
    return episodes.control_steps / (time.perf_counter() - began)


def peers() -> dict[str, Callable[[], float]]:
    """Vector environments of the same robot. They sample no policy: an upper bound."""
    from stable_baselines3.common.vec_env import SubprocVecEnv

    def make() -> Any:
        return gymnasium.make(ENVIRONMENT)

    cores = torch.get_num_threads()
    sync = gymnasium.vector.SyncVectorEnv([make] * 16)
    asynchronous = gymnasium.vector.AsyncVectorEnv([make] * 16)
    subproc = SubprocVecEnv([make] * 2 * cores, start_method="forkserver")
    found: dict[str, Callable[[], float]] = {
        "gymnasium SyncVectorEnv, 16": lambda: step_gymnasium(sync, 100),
        "gymnasium AsyncVectorEnv, 16": lambda: step_gymnasium(asynchronous, 60),
        f"SB3 SubprocVecEnv, {2 * cores}": lambda: step_sb3(subproc, 200),
    }
    try:
        import envpool
    except ImportError:
        print("EnvPool is not installed: pip install 'metarl-suite[bench]'")
        return found
    # EnvPool cannot give each environment dynamics of its own.
    pool = envpool.make_gymnasium(ENVIRONMENT, num_envs=400, num_threads=cores)
    found["EnvPool, 400 (one model)"] = lambda: step_gymnasium(pool, 60)
    return found


def step_gymnasium(environment: Any, steps: int) -> float:
    """Control steps a second with random actions."""
    environment.reset()
    n = getattr(environment, "num_envs", None) or len(environment)
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, n, 6))
    began = time.perf_counter()
    for action in actions:
        environment.step(action)
    return steps * n / (time.perf_counter() - began)


def step_sb3(environment: Any, steps: int) -> float:
    """Control steps a second with random actions."""
    environment.reset()
    n = environment.num_envs
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, n, 6))
    began = time.perf_counter()
    for action in actions:
        environment.step(action)
    return steps * n / (time.perf_counter() - began)


def make_table(arguments: Arguments, n: int, speeds: dict[str, list[float]]) -> str:
    """Medians and ratios as markdown. Ratios are taken within a round."""
    ours = speeds["metarl closed loop"]
    cheetah = arguments.family.startswith("cheetah")
    timing = f", {arguments.timing} timing" if cheetah else ""
    lines = [
        f"# Sampling speed: {arguments.family}{timing}",
        "",
        f"{n} simulations on {arguments.tasks} models; {torch.get_num_threads()} "
        f"cores; median of {arguments.repeats} rounds; commit `{commit()}`.",
        "",
        "| | control steps/s | metarl's closed loop is |",
        "|---|---|---|",
    ]
    for name, values in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(ours, values, strict=True))
        lines.append(
            f"| {name} | {statistics.median(values) / 1000:.1f}k | {ratio:.2f} x |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main(tyro.cli(Arguments))
