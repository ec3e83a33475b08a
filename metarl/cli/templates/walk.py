"""A robot with legs or wheels that is to go ahead: a family, ready to be changed.

metarl check FILE:MyRobot                             # does it keep the contract?
metarl train FILE:MyRobot randomized --steps 1000000
metarl play RUN                                       # set its parameters by sliders
"""

import torch

from metarl import (
    Latency,
    MotorStrength,
    ObservationNoise,
    Parameter,
    TaskFamily,
    robot,
)
from metarl.simulation.actuators import resting_controls
from metarl.simulation.sources import add_payload

ROBOT = "menagerie:unitree_go1"
BASE = "trunk"  # the body that carries the payload
PAYLOAD = 1.0  # kg: the most that training draws
HEIGHT = 0.27  # m: of the base where it stands


class MyRobot(TaskFamily):
    """Go ahead with unknown payload, motors, sensors and latency."""

    parameters = {
        "payload": Parameter(
            0.0, train=(0.0, PAYLOAD), far=(PAYLOAD, 2 * PAYLOAD), unit="kg"
        ),
        "motor_strength": Parameter(1.0, train=(0.8, 1.2), far=(0.5, 0.8)),
        "latency": Parameter(0.0, train=(0.0, 0.02), far=(0.02, 0.04), unit="s"),
        "noise": Parameter(0.0, train=(0.0, 0.02), far=(0.02, 0.05)),
    }
    perturbations = (
        MotorStrength("motor_strength"),
        Latency("latency"),
        ObservationNoise("noise"),
    )
    horizon = 200
    substeps = 10  # physics steps a control step
    compute_kinematics = False
    success_measure = "has not fallen and is at least 1 m ahead"

    def build(self, task, visual=False):
        """The model of a task; with what is only looked at where it is drawn."""
        spec = robot(ROBOT, visual=visual)
        add_payload(spec, BASE, task["payload"])
        return spec

    def reset(self, sim, ids, rng):
        """Start at the first keyframe, its joints a little off."""
        sim.qpos[ids, 7:] += 0.02 * rng.normal(sim.qpos.shape[1] - 7)

    def act(self, sim, action):
        """Move around the posture that it starts with, (n, actuators) in [-1, 1]."""
        rest = sim.ctrl.new_tensor(resting_controls(self.models.nominal))
        sim.ctrl[:] = rest + 0.5 * sim.control_half * action

    def observe(self, sim):
        """Height, orientation, joints and all velocities."""
        return torch.cat([sim.qpos[:, 2:], sim.qvel], -1)

    def reward(self, sim, action):
        """Speed ahead up to 1 m/s, and a little for not falling."""
        ahead = sim.qvel[:, 0].clamp(-1, 1)
        return ahead + 0.5 - 0.01 * action.square().mean(-1)

    def terminated(self, sim):
        """It has fallen: its base is low or tilted by more than 60 degrees."""
        up = 1 - 2 * sim.qpos[:, 4:6].square().sum(-1)  # of its z axis
        return (sim.qpos[:, 2] < 0.5 * HEIGHT) | (up < 0.5)

    def success(self, sim):
        """Whether it stands, 1 m ahead."""
        return (~self.terminated(sim) & (sim.qpos[:, 0] > 1)).double()

    def metrics(self, sim):
        """How far ahead it is, m."""
        return {"distance": sim.qpos[:, 0].clone()}
