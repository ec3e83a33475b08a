"""Hands for the tests of the arms: a script that moves, grasps and lifts."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from metarl.envs.grasping.arm import ArmLift
from metarl.envs.grasping.arm_family import TIP_STEP, ArmFamily
from metarl.simulation.protocol import Simulation

Values = Mapping[str, Any]


def start(family: ArmFamily, cases: Sequence[Values]) -> Simulation:
    """Simulations of exact tasks, at home, without noise."""
    sim = family.simulate([family.task(**case) for case in cases], threads=2)
    sim.reset(torch.ones(sim.n, dtype=torch.bool))
    sim.refresh()
    return sim


def move(
    family: ArmFamily, sim: Simulation, steps: int, gap: float = 1.0, **axes: float
) -> None:
    """The same end-effector action for all: axes x, y, z and yaw."""
    action = torch.zeros(sim.n, 5, dtype=torch.float64)
    for i, axis in enumerate(("x", "y", "z", "yaw")):
        action[:, i] = axes.get(axis, 0.0)
    action[:, 4] = gap
    for _ in range(steps):
        family.act(sim, action)
        sim.step()
        family.reward(sim, action)
    assert not sim.diverged().any()


def send(
    family: ArmFamily,
    sim: Simulation,
    target: torch.Tensor,
    steps: int,
    gap: float = 1.0,
    speed: float = 1.0,
) -> None:
    """Bring the fingertips to a point, as a policy would: by what it sees."""
    action = torch.zeros(sim.n, 5, dtype=torch.float64)
    for _ in range(steps):
        ahead = 0.3 * (target - family.tip(sim)) / TIP_STEP
        action[:, :3] = ahead.clamp(-speed, speed)
        action[:, 4] = gap
        family.act(sim, action)
        sim.step()
        family.reward(sim, action)
    assert not sim.diverged().any()


def pinch_and_lift(
    family: ArmLift, sim: Simulation, speed: float = 0.3, seconds: float = 5.0
) -> None:
    """Go over the object, close the fingers, lift it by 15 cm and hold it there."""
    for _ in range(40):
        target = family.object(sim).clone()
        target[:, 2].clamp_(min=0.02)
        send(family, sim, target, 1)
    send(family, sim, target, 12, gap=-1.0)
    target[:, 2] += 0.15
    send(family, sim, target, 50, gap=-1.0, speed=speed)
    send(family, sim, target, round(seconds / family.control_period), gap=-1.0)
