"""A quadruped the size of a Go1 that walks at a velocity: flat, uneven, worn out.

The robot is made of primitives with the published sizes, masses, joint ranges and
torque limits of a Go1: a trunk, and four legs of three position-controlled joints. The
world's z axis is normal to the ground; a slope turns gravity instead, so that the
state means the same on every slope and stays valid when the slope changes.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from metarl.environment.family import TaskFamily
from metarl.envs.locomotion.quadruped_model import (
    HOME,
    LEGS,
    LIMB,
    NOMINAL_VOLTAGE,
    build,
)
from metarl.envs.locomotion.terrain import RUN, height
from metarl.envs.ranges import both
from metarl.simulation.engine import mujoco
from metarl.simulation.perturbations import Latency, MotorStrength
from metarl.simulation.protocol import Simulation
from metarl.tasks.parameter import Choice, Parameter
from metarl.tasks.randomness import Streams
from metarl.tasks.task import Task

ACTION_SCALE = 0.3
"""Change of a joint's target for an action of 1, rad."""
FALL_HEIGHT = 0.1
"""Height of the trunk's centre above the ground that counts as a fall, m."""
FALL_TILT = math.radians(60)
"""Angle between the trunk and the ground that counts as a fall, rad."""
TOLERANCE = 0.15
"""Mean error of the planar velocity that counts as a success, m/s."""

SIDE = 0.13
"""How far beside the middle a side load hangs, m."""

_HOME = torch.tensor(HOME * len(LEGS), dtype=torch.float64)


class Quadruped(TaskFamily):
    """What the quadruped families share: robot, actions, senses and a walking reward.

    The command is part of the observation; everything else is hidden. Velocities are
    those of the trunk in its own frame (x forward, y left, z up).

    Observation, 48 numbers: estimate of the linear velocity (3, m/s), angular velocity
    (3, rad/s, times 0.25), direction of gravity (3), joint angles from home (12, rad),
    joint velocities (12, rad/s, times 0.05), last action (12), command (3: m/s, m/s,
    rad/s).
    Action, 12 numbers: joint targets from home in units of `ACTION_SCALE`, in the
    order FL, FR, RL, RR, each hip, thigh, calf.
    """

    command: Mapping[str, float] = {
        "forward_velocity": 0.6,
        "left_velocity": 0.0,
        "turn_rate": 0.0,
    }
    """What to do where no parameter of that name says otherwise, m/s, m/s, rad/s."""
    horizon = 500
    substeps = 4
    compute_kinematics = False
    camera = "track"
    success_measure = (
        "1 if the robot did not fall and its planar velocity was on average less than "
        f"{TOLERANCE} m/s from the command (standing still is at least 0.3 m/s off)"
    )

    def reset(self, sim: Simulation, ids: Tensor, rng: Streams) -> None:
        """Start near home: joints +-0.05 rad, yaw +-0.1 rad, velocities 0.05."""
        yaw = rng.uniform(low=-0.1, high=0.1)
        # Lifted a little, so that no bent leg starts inside the ground.
        sim.qpos[ids, 2] += 0.01
        sim.qpos[ids, 3] = (yaw / 2).cos()
        sim.qpos[ids, 6] = (yaw / 2).sin()
        sim.qpos[ids, 7:] += rng.uniform(12, low=-0.05, high=0.05)
        sim.qvel[ids] = 0.05 * rng.normal(18)

    def act(self, sim: Simulation, action: Tensor) -> None:
        """Set joint targets around home, (n, 12)."""
        last = sim.remember("action", sim.ctrl)
        sim.remember("action_before", sim.ctrl).copy_(last)
        last.copy_(action)
        sim.ctrl[:] = _HOME.to(action) + ACTION_SCALE * action

    def observe(self, sim: Simulation) -> Tensor:
        """What the robot senses, and its command: see the class, (n, 48)."""
        linear, angular = self._velocities(sim)
        estimate = linear[:, :2]
        if "velocity_bias" in sim.parameters:
            # Legged robots infer their velocity from slipping feet: none measures it.
            estimate = estimate + sim.parameters["velocity_bias"]
        return torch.cat(
            [
                estimate,
                linear[:, 2:],
                0.25 * angular,
                self._gravity(sim),
                sim.qpos[:, 7:] - _HOME.to(sim.qpos),
                0.05 * sim.qvel[:, 6:],
                sim.remember("action", sim.ctrl),
                self._command(sim),
            ],
            -1,
        )

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Follow the command, level and smoothly; 1 less for a fall, (n,)."""
        linear, angular = self._velocities(sim)
        command = self._command(sim)
        planar = (linear[:, :2] - command[:, :2]).square().sum(-1)
        turn = (angular[:, 2] - command[:, 2]).square()
        change = action - sim.remember("action_before", sim.ctrl)
        fallen = self.terminated(sim).to(sim.qpos.dtype)
        self._keep_score(sim, planar.sqrt(), fallen)
        shaped = (
            1.5 * (-planar / 0.25).exp()
            + 0.75 * (-turn / 0.25).exp()
            - linear[:, 2].square()
            - 0.05 * angular[:, :2].square().sum(-1)
            - 2.0 * self._gravity(sim)[:, :2].square().sum(-1)
            - 0.01 * change.square().sum(-1)
            - 0.1 * sim.qpos[:, 7::3].square().sum(-1)
        )
        return 0.05 * shaped - fallen

    def terminated(self, sim: Simulation) -> Tensor:
        """Whether the trunk lies on the ground or is tipped over, (n,) bool."""
        upright = _inverse_rotate(sim.qpos[:, 3:7], sim.qpos.new_tensor([0.0, 0, 1]))
        low = sim.qpos[:, 2] - self.ground(sim) < FALL_HEIGHT
        return low | (upright[:, 2] < math.cos(FALL_TILT))

    def ground(self, sim: Simulation) -> Tensor:
        """Height of the ground below the trunk in m, (n,)."""
        return sim.qpos.new_zeros(sim.n)

    def success(self, sim: Simulation) -> Tensor:
        """See `success_measure`, (n,) 0 or 1."""
        score = self.metrics(sim)
        good = (score["velocity_error"] < TOLERANCE) & (score["fall"] == 0)
        return good.to(sim.qpos.dtype)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """How the episode went so far, in physical terms.

        Returns:
            ``velocity_error``: mean distance of the planar velocity from the command,
            m/s; ``fall``: 1 for a robot that fell, else 0. Each (n,).
        """
        steps = sim.remember("steps", sim.qpos[:, 0])
        error = sim.remember("error", sim.qpos[:, 0])
        fall = sim.remember("fall", sim.qpos[:, 0])
        return {"velocity_error": error / steps.clamp(min=1), "fall": fall.clone()}

    @staticmethod
    def _keep_score(sim: Simulation, error: Tensor, fallen: Tensor) -> None:
        # A robot that fell is stepped no more, but still asked for its reward.
        fall = sim.remember("fall", error)
        going = 1 - fall
        sim.remember("error", error).add_(going * error)
        sim.remember("steps", error).add_(going)
        torch.maximum(fall, fallen, out=fall)

    @staticmethod
    def _velocities(sim: Simulation) -> tuple[Tensor, Tensor]:
        """Linear (m/s) and angular (rad/s) velocity in the trunk's frame, (n, 3)."""
        # MuJoCo gives a free joint's linear velocity in the world's frame.
        linear = _inverse_rotate(sim.qpos[:, 3:7], sim.qvel[:, :3])
        return linear, sim.qvel[:, 3:6]

    @staticmethod
    def _gravity(sim: Simulation) -> Tensor:
        """Direction of gravity in the trunk's frame, as an IMU has it, (n, 3)."""
        down = sim.qpos.new_tensor([0.0, 0.0, -1.0])
        if "slope" in sim.parameters:
            slope = sim.parameters["slope"]
            zero = torch.zeros_like(slope)
            down = torch.stack([-slope.sin(), zero, -slope.cos()], -1)
        return _inverse_rotate(sim.qpos[:, 3:7], down)

    def _command(self, sim: Simulation) -> Tensor:
        """Commanded forward, left and turning velocity, (n, 3)."""
        columns = [
            sim.parameters.get(name, sim.qpos.new_full((sim.n,), fixed))
            for name, fixed in self.command.items()
        ]
        return torch.stack(columns, -1)


class QuadrupedVelocity(Quadruped):
    """Walk at a commanded velocity while body, motors and ground are unknown."""

    name = "quadruped-velocity"
    parameters = {
        "payload": Parameter(
            1.0, train=(0, 3), near=(3, 5), far=(5, 8), unit="kg", about="on the back"
        ),
        "payload_offset": both(
            (0.0, 0.0),
            train=(-0.04, 0.04),
            near=(-0.06, 0.06),
            far=(-0.1, 0.1),
            size=2,
            unit="m",
        ),
        "friction": both(
            0.8, train=(0.4, 1.2), near=(0.25, 1.8), far=(0.1, 3.0), scale="log"
        ),
        "motor_strength": both(1.0, train=(0.8, 1.2), near=(0.65, 1.3), far=(0.5, 1.4)),
        "limb_length": both(
            1.0,
            train=(0.8, 1.2),
            near=(0.7, 1.3),
            far=(0.6, 1.4),
            switches=False,
            about="factor on thighs and calves",
        ),
        "latency": Parameter(
            0.0, train=(0, 0.02), near=(0.02, 0.03), far=(0.03, 0.04), unit="s"
        ),
        "weak_leg": Choice(
            "none",
            train=("none", "FL", "FR", "RL"),
            unseen=("RR",),
            nominal_share=0.6,
            about="leg whose motors are failing",
        ),
        "leg_strength": Parameter(
            0.5,
            train=(0.3, 0.7),
            near=(0.15, 0.3),
            far=(0.0, 0.15),
            about="what is left of their stiffness and torque; 0 is a dead leg",
        ),
        "slope": both(
            0.0,
            train=(-0.1, 0.1),
            near=(-0.175, 0.175),
            far=(-0.25, 0.25),
            unit="rad",
            about="up is +",
        ),
        "velocity_bias": both(
            (0.0, 0.0),
            train=(-0.3, 0.3),
            near=(-0.45, 0.45),
            far=(-0.6, 0.6),
            size=2,
            unit="m/s",
            about="error of its own velocity estimate",
        ),
        "forward_velocity": Parameter(0.6, train=(0.3, 1.0), unit="m/s", goal=True),
        "left_velocity": Parameter(0.0, train=(-0.3, 0.3), unit="m/s", goal=True),
        "turn_rate": Parameter(0.0, train=(-0.5, 0.5), unit="rad/s", goal=True),
    }
    perturbations = (
        Latency("latency"),
        MotorStrength("motor_strength"),
    )
    composition = {"payload": (2.0, 3.0), "friction": (0.4, 0.6)}

    def build(self, task: Task) -> "mujoco.MjSpec":
        """The robot on its ground, as an uncompiled spec."""
        return build(
            limb=LIMB * task["limb_length"],
            payload=task["payload"],
            payload_offset=task["payload_offset"],
            friction=task["friction"],
            slope=task["slope"],
            weak_leg=(task["weak_leg"], task["leg_strength"]),
        )


class QuadrupedBattery(Quadruped):
    """Walk on while the battery drains, a load hangs on one side and feet slip.

    After the Minitaur experiment of Song et al., "Rapidly adaptable legged robots via
    evolutionary meta-learning", 2020, whose episodes take 3 s. The motors are DC motors
    behind position controllers: voltage limits their torque and their speed.
    """

    name = "quadruped-battery"
    parameters = {
        "voltage": Parameter(
            NOMINAL_VOLTAGE, train=(14, 16.8), near=(12, 14), far=(10, 12), unit="V"
        ),
        "side_load": both(
            0.0,
            train=(-1, 1),
            near=(-2, 2),
            far=(-3, 3),
            unit="kg",
            about="on the left; -: on the right",
        ),
        "friction": Parameter(
            0.8, train=(0.5, 1.25), near=(0.35, 0.5), far=(0.2, 0.35), scale="log"
        ),
        "joint_friction": Parameter(
            0.0, train=(0, 0.3), near=(0.3, 0.6), far=(0.6, 1.0), unit="Nm"
        ),
        "latency": Parameter(
            0.0, train=(0, 0.02), near=(0.02, 0.03), far=(0.03, 0.04), unit="s"
        ),
    }
    perturbations = (Latency("latency"),)
    command = {"forward_velocity": 0.8, "left_velocity": 0.0, "turn_rate": 0.0}
    horizon = 150

    def build(self, task: Task) -> "mujoco.MjSpec":
        """The robot with DC motors and a load on its flank."""
        load = task["side_load"]
        return build(
            payload=abs(load),
            payload_offset=(0.0, math.copysign(SIDE, load)),
            friction=task["friction"],
            joint_friction=task["joint_friction"],
            voltage=task["voltage"],
        )


class QuadrupedTerrain(Quadruped):
    """Walk blindly over ground that is flat, inclined or rough; stairs are held out."""

    name = "quadruped-terrain"
    parameters = {
        "terrain": Choice(
            "flat",
            train=("flat", "slope", "rough"),
            unseen=("stairs",),
            switches=False,
            about="kind of ground",
        ),
        "relief": Parameter(
            0.02,
            train=(0.01, 0.04),
            near=(0.04, 0.06),
            far=(0.06, 0.08),
            unit="m",
            switches=False,
            about=f"bump, stair, or rise of a slope on {RUN} m",
        ),
        "friction": both(
            0.8, train=(0.6, 1.2), near=(0.4, 1.8), far=(0.25, 3.0), scale="log"
        ),
        "payload": Parameter(
            1.0, train=(0, 3), near=(3, 5), far=(5, 8), unit="kg", about="on the back"
        ),
        "forward_velocity": Parameter(0.6, train=(0.3, 0.8), unit="m/s", goal=True),
    }

    def build(self, task: Task) -> "mujoco.MjSpec":
        """The robot on a height field."""
        return build(
            payload=task["payload"],
            friction=task["friction"],
            terrain=(task["terrain"], task["relief"]),
        )

    def ground(self, sim: Simulation) -> Tensor:
        """Height of the ground below the trunk in m, (n,)."""
        terrain, relief = sim.parameters["terrain"], sim.parameters["relief"]
        return height(sim.qpos[:, 0], sim.qpos[:, 1], terrain, relief)


def _inverse_rotate(quaternion: Tensor, vector: Tensor) -> Tensor:
    """``vector`` (n, 3) or (3,) seen from a frame turned by ``quaternion`` (n, 4)."""
    w, axis = quaternion[:, :1], quaternion[:, 1:]
    vector = vector.expand_as(axis)
    twist = 2 * torch.linalg.cross(vector, axis)
    return vector + w * twist + torch.linalg.cross(twist, axis)
