"""A pendulum of unknown weight, on a motor that may be worn or wired backwards."""

from pathlib import Path

import mujoco
import torch

from metarl import Choice, MotorStrength, Parameter, TaskFamily


class Pendulum(TaskFamily):
    """Hold the pendulum upright, whatever hangs on it."""

    parameters = {
        "weight": Parameter(1.0, train=(0.3, 1.0), near=(1, 1.3), far=(1.3, 1.6)),
        "motor_strength": Choice(1.0, train=(1.0, -1.0), unseen=(0.7, -0.7)),
    }
    perturbations = (MotorStrength("motor_strength"),)
    name = "pendulum-swing"
    horizon = 100
    compute_kinematics = False
    camera = "front"
    success_measure = "ends within 0.3 rad of upright"

    def build(self, task):
        spec = mujoco.MjSpec.from_file(str(Path(__file__).with_suffix(".xml")))
        spec.geom("bob").mass = task["weight"]
        return spec

    def reset(self, sim, ids, rng):
        sim.qpos[ids, 0] = torch.pi + rng.uniform(low=-0.3, high=0.3)

    def observe(self, sim):
        angle = sim.qpos
        return torch.cat([angle.cos(), angle.sin(), 0.2 * sim.qvel], -1)

    def reward(self, sim, action):
        upright = -sim.qpos[:, 0].cos()
        return upright - 0.01 * action.square().sum(-1)

    def success(self, sim):
        return (-sim.qpos[:, 0].cos() > torch.tensor(0.3).cos()).double()
