"""An arm, hand or gripper that is to take postures: a family, ready to be changed.

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
from metarl.simulation.sources import add_payload

ROBOT = "menagerie:franka_emika_panda"
TIP = "hand"  # the body that carries the payload
PAYLOAD = 1.0  # kg: the most that training draws


class MyRobot(TaskFamily):
    """Take a posture with unknown payload, motors, sensors and latency."""

    parameters = {
        "payload": Parameter(
            0.0, train=(0.0, PAYLOAD), far=(PAYLOAD, 2 * PAYLOAD), unit="kg"
        ),
        "motor_strength": Parameter(1.0, train=(0.8, 1.2), far=(0.5, 0.8)),
        "latency": Parameter(0.0, train=(0.0, 0.02), far=(0.02, 0.04), unit="s"),
        "noise": Parameter(0.0, train=(0.0, 0.01), far=(0.01, 0.03)),
    }
    perturbations = (
        MotorStrength("motor_strength"),
        Latency("latency"),
        ObservationNoise("noise"),
    )
    horizon = 100
    substeps = 10  # physics steps a control step
    success_measure = "every joint within 5 % of its range of where it should be"

    def build(self, task, visual=False):
        """The model of a task; with what is only looked at where it is drawn."""
        spec = robot(ROBOT, visual=visual)
        add_payload(spec, TIP, task["payload"])
        return spec

    def reset(self, sim, ids, rng):
        """Draw a posture: for each actuator a place between its ends, in [-1, 1]."""
        goal = sim.remember("goal", sim.ctrl)
        goal[ids] = rng.uniform(goal.shape[1], low=-0.6, high=0.6)

    def observe(self, sim):
        """Joints, their velocities, where each actuator is and where it should be."""
        goal = sim.remember("goal", sim.ctrl)
        return torch.cat([sim.qpos, sim.qvel, self._place(sim), goal], -1)

    def reward(self, sim, action):
        """Near the posture is better."""
        return -self._error(sim).mean(-1) - 0.01 * action.square().mean(-1)

    def success(self, sim):
        """Whether it has taken the posture."""
        return (self._error(sim).amax(-1) < 0.1).double()

    def metrics(self, sim):
        """How far its actuators are from the posture, as shares of half their range."""
        return {"error": self._error(sim).mean(-1)}

    def _error(self, sim):
        return (self._place(sim) - sim.remember("goal", sim.ctrl)).abs()

    def _place(self, sim):
        """Where each servo is between its ends, in [-1, 1], (n, actuators)."""
        model = self.models.nominal
        gain = sim.ctrl.new_tensor(model.actuator_gainprm[:, 0])
        bias = sim.ctrl.new_tensor(model.actuator_biasprm)
        control = -(bias[:, 0] + bias[:, 1] * sim.actuator_length) / gain
        return (control - sim.control_centre) / sim.control_half
