"""How fast a family is simulated, and the actions that tests of one make."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metarl.environment.environment import Environment
from metarl.environment.family import TaskFamily
from metarl.tasks.randomness import torch_generator

STEPS = 40
"""Control steps of the episodes that are compared."""


def measure_speed(family: TaskFamily, seconds: float = 3.0) -> tuple[float, float]:
    """Control steps a second of 64 tasks x 4 copies, and the share of the physics.

    Args:
        family: the family, under random actions.
        seconds: how long to measure.
    """
    environment = Environment(family, family.tasks("train", 64), 4)
    actions = seeded_actions(family, environment.n)
    environment.reset(0)
    environment.step(actions[0])
    inside, steps = 0.0, 0

    def timed(method: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            nonlocal inside
            began = time.perf_counter()
            method(*arguments)
            inside += time.perf_counter() - began

        return call

    sim = environment.sim
    for name in ("step", "reset", "refresh"):  # what MuJoCo alone would do, too
        setattr(sim, name, timed(getattr(sim, name)))
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        if not environment.active.any():
            environment.reset()
        steps += int(environment.active.sum())
        environment.step(actions[steps % len(actions)])
    wall = time.perf_counter() - began
    return steps / wall, inside / wall


def seeded_actions(family: TaskFamily, n: int, steps: int = STEPS) -> Tensor:
    """Seeded random actions, the same for all simulations, (steps, n, size)."""
    generator = torch_generator("check")
    action = 2 * torch.rand(steps, 1, family.action_size, generator=generator) - 1
    return action.expand(steps, n, family.action_size)
