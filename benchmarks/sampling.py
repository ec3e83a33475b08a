"""Sampling speed, side by side with what a user would pick instead, in one run.

    python benchmarks/sampling.py                 # needs the extra `bench` for EnvPool

The closed loop of metarl (a policy with its own parameters for each of 20 tasks,
observation, reward, 400 simulations on 20 different models) against bare stepping of
the same models by `mujoco.batch`, and against the vector environments that run the
same robot with random actions. Absolute speeds are this machine's; ratios carry over.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro

from metarl.files import replacing
from metarl.learning.policies import GaussianPolicy, gaussian_parameters, stack
from metarl.randomness import torch_generator
from metarl.registry import make_family
from metarl.runs.folder import commit
from metarl.world.environment import Environment, sizes
from metarl.world.rollout import collect, one_torch_thread

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
        *sizes(family), (64, 64), torch_generator("benchmark")
    )
    policy = GaussianPolicy(stack(parameters, arguments.tasks))
    measured: dict[str, Callable[[], float]] = {
        "bare mujoco.batch": lambda: bare(environment),
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


def bare(environment: Environment) -> float:
    """Control steps a second of stepping alone, with actions drawn beforehand."""
    environment.reset(0)
    sim = environment.sim
    generator = torch_generator("actions")
    steps = environment.family.horizon
    actions = torch.rand(
        steps, environment.n, environment.action_size, generator=generator
    )
    actions = 2 * actions.double() - 1
    began = time.perf_counter()
    with one_torch_thread():
        for action in actions:
            sim.ctrl.copy_(action)
            sim.step()
    return steps * environment.n / (time.perf_counter() - began)


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
        print("EnvPool is not installed: pip install 'metarl[bench]'")
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
