import mujoco
import torch

from metarl import Choice, MotorStrength, Parameter, TaskFamily


class Cart(TaskFamily):
    """Stop at the mark with a swinging load, though a motor may be wired backwards."""

    parameters = {
        "mass": Parameter(1.0, train=(0.5, 2.0), near=(2, 3), far=(3, 5), unit="kg"),
        "motor_strength": Choice(1.0, train=(1.0, -1.0), about="-1 is wired backwards"),
    }
    perturbations = (MotorStrength("motor_strength"),)

    horizon = 100

    def build(self, task):
        spec = mujoco.MjSpec.from_file(__file__.replace(".py", ".xml"))
        spec.geom("cart").mass = task["mass"]
        return spec

    def observe(self, sim):
        return torch.cat([sim.qpos, sim.qvel], -1)

    def reward(self, sim, action):
        return -(sim.qpos[:, 0] - 1.0).abs()
