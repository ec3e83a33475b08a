"""How long an adapter takes for a control step, on one core, for shipped agents.

    taskset -c 0 python benchmarks/adapter.py

A step is `act` and `observe`. On a machine with other work, the processor's time says
what a step costs, and the clock's also how long it waited for its turn. What
`end_episode` takes when the agent learns comes between episodes and is shown beside it.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro

import metarl
from metarl.runs.files import replacing
from metarl.runs.pretrained import HOME, names
from metarl.runs.system import commit


@dataclass(frozen=True)
class Arguments:
    """Measure and print a table."""

    runs: tuple[str, ...] = ()
    """Run folders; default: the shipped ones."""
    episodes: int = 20
    """Episodes of adaptation, and as many of the deployed policy."""
    out: Path | None = None
    """Write the table to this markdown file."""


def main(arguments: Arguments) -> None:
    """Time every step of every run."""
    torch.set_num_threads(1)
    lines = [
        "# A control step on a robot",
        "",
        f"{arguments.episodes} episodes of adaptation and as many deployed; one core; "
        f"commit `{commit()}`.",
        "",
        "| run | episodes | clock, ms: median | 99 % | processor, ms: median | 99 % | "
        "steps/s at the median | learning, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in arguments.runs or [str(HOME / name) for name in names()]:
        for label, steps, learning in measured(run, arguments.episodes):
            clock, busy = (1000 * np.percentile(s, (50, 99)) for s in steps)
            lines.append(
                f"| {Path(run).name} | {label} | {clock[0]:.3f} | {clock[1]:.3f} | "
                f"{busy[0]:.3f} | {busy[1]:.3f} | {1000 / clock[0]:,.0f} | "
                f"{1000 * learning:.0f} |"
            )
    table = "\n".join([*lines, ""])
    print(table)
    if arguments.out is not None:
        with replacing(arguments.out) as file:
            file.write_text(table)


def measured(
    run: str, episodes: int
) -> list[tuple[str, tuple[list[float], list[float]], float]]:
    """Seconds of each step, and of the longest `end_episode`, for both policies.

    The seconds of a step are those of the clock, and those of the processor.
    """
    adapter = metarl.adapter(run, budget=episodes)
    observations = np.random.default_rng(0).normal(
        size=(adapter.robot.horizon, adapter.robot.observation_size)
    )
    found = []
    for label in ("adapting", "deployed"):
        clock, busy, learning = [], [], 0.0
        for _ in range(episodes):
            for observation in observations:
                began, busy_before = time.perf_counter(), time.thread_time()
                adapter.act(observation)
                adapter.observe(-1.0)
                clock.append(time.perf_counter() - began)
                busy.append(time.thread_time() - busy_before)
            began = time.perf_counter()
            adapter.end_episode(observations[0])
            learning = max(learning, time.perf_counter() - began)
        found.append((label, (clock, busy), learning))
    return found


if __name__ == "__main__":
    main(tyro.cli(Arguments))
