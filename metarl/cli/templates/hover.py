"""A robot that flies and is to hover at a place: a family, ready to be changed.

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

ROBOT = "menagerie:skydio_x2"
BASE = "x2"  # the body that carries the payload
PAYLOAD = 0.1  # kg: the most that training draws


class MyRobot(TaskFamily):
    """Hover 1 m above the ground with unknown payload, motors, sensors and latency."""

    parameters = {
        "payload": Parameter(
            0.0, train=(0.0, PAYLOAD), far=(PAYLOAD, 2 * PAYLOAD), unit="kg"
        ),
        "motor_strength": Parameter(1.0, train=(0.8, 1.2), far=(0.6, 0.8)),
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
    success_measure = "within 20 cm of the place, and upright"

    def build(self, task, visual=False):
        """The model of a task; with what is only looked at where it is drawn."""
        spec = robot(ROBOT, visual=visual)
        add_payload(spec, BASE, task["payload"])
        return spec

    def reset(self, sim, ids, rng):
        """Start near the place."""
        sim.qpos[ids, :3] = rng.uniform(3, low=-0.3, high=0.3)
        sim.qpos[ids, 2] += 1

    def act(self, sim, action):
        """Thrust around that of the first keyframe, (n, actuators) in [-1, 1]."""
        rest = sim.ctrl.new_tensor(resting_controls(self.models.nominal))
        sim.ctrl[:] = rest + 0.5 * sim.control_half * action

    def observe(self, sim):
        """Position, orientation and velocities."""
        return torch.cat([sim.qpos, sim.qvel], -1)

    def reward(self, sim, action):
        """Near the place and upright is better."""
        spin = sim.qvel[:, 3:6].square().sum(-1).clamp(max=100)
        return 1 - self._distance(sim) - 0.01 * spin - 0.01 * action.square().mean(-1)

    def terminated(self, sim):
        """It is lost: more than 1 m away, or upside down."""
        return (self._distance(sim) > 1) | (self._up(sim) < 0)

    def success(self, sim):
        """Whether it hovers at the place."""
        return ((self._distance(sim) < 0.2) & (self._up(sim) > 0.8)).double()

    def metrics(self, sim):
        """How far it is from the place, m."""
        return {"distance": self._distance(sim)}

    def _up(self, sim):
        return 1 - 2 * sim.qpos[:, 4:6].square().sum(-1)

    def _distance(self, sim):
        place = sim.qpos.new_tensor([0, 0, 1])
        return torch.linalg.vector_norm(sim.qpos[:, :3] - place, dim=-1)
