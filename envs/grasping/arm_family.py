"""What the families of the arm share: what is hidden, how it moves, what it senses."""

import functools
from dataclasses import fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

from metarl.environment.family import TaskFamily
from metarl.envs.grasping.arm_model import (
    GAP,
    HOME,
    HOME_TIP,
    JOINTS,
    RANGES,
    Arm,
    Object,
    build,
)
from metarl.envs.ranges import above, both
from metarl.errors import unknown
from metarl.simulation.engine import mujoco
from metarl.simulation.perturbations import DeadActuator, Latency
from metarl.simulation.protocol import Simulation
from metarl.tasks.parameter import Choice, Parameter
from metarl.tasks.randomness import Streams
from metarl.tasks.task import Task

ActionSpace = Literal["end-effector", "joint"]
ACTION_SIZES = {"end-effector": 5, "joint": len(JOINTS) + 1}

TIP_STEP = 0.02
"""Displacement of the fingertips for an action of 1, m."""
YAW_STEP = 0.1
"""Turn of the hand about the vertical for an action of 1, rad."""
JOINT_STEP = 0.05
"""Displacement of a joint for an action of 1, rad."""
WORKSPACE = (0.3, -0.3, 0.014), (0.7, 0.3, 0.45)
"""Lowest and highest corner of where the fingertips are sent, m."""
LEASH = 0.2
"""How far a joint's target may be from the joint, rad."""
RIGHTING = 0.2
"""Share of the hand's tilt that a control step takes back."""
DAMPING = 0.03
"""Lambda of the damped least squares."""

_HOME = torch.tensor(HOME, dtype=torch.float64)
_HOME_TIP = torch.tensor(HOME_TIP, dtype=torch.float64)
_LOW, _HIGH = torch.tensor(RANGES, dtype=torch.float64).T
_CORNERS = torch.tensor(WORKSPACE, dtype=torch.float64)
_OBJECT = len(JOINTS) + 2
"""Where the object begins in qpos and qvel."""

ARM: dict[str, Parameter | Choice] = {
    "payload": above(
        0.0, train=(0, 1), near=1.5, far=2, unit="kg", about="on the hand"
    ),
    "joint_damping": both(
        1.0,
        train=(0.5, 2.0),
        near=(0.35, 2.8),
        far=(0.25, 4.0),
        scale="log",
        about="factor on the damping of the joints",
    ),
    "joint_friction": both(
        1.0,
        train=(0.5, 2.0),
        near=(0.35, 2.8),
        far=(0.25, 4.0),
        scale="log",
        about="factor on the dry friction of the joints",
    ),
    "latency": above(0.0, train=(0, 0.04), near=0.06, far=0.08, unit="s"),
    "weak_joint": Choice(
        "none",
        train=("none", "joint1", "joint2", "joint5", "joint6"),
        unseen=("joint4", "joint7"),
        nominal_share=0.6,
        about="with a quarter of its stiffness and torque",
    ),
    "dead_joint": Choice(
        "none",
        train=("none",),
        unseen=("joint3", "joint5", "joint7"),
        about="without any torque",
    ),
}
OBJECT: dict[str, Parameter | Choice] = {
    "mass": both(
        0.2,
        train=(0.05, 0.5),
        near=(0.03, 0.7),
        far=(0.02, 1.0),
        scale="log",
        unit="kg",
    ),
    "friction": both(
        0.8,
        train=(0.4, 1.2),
        near=(0.25, 1.6),
        far=(0.15, 2.0),
        scale="log",
        about="of the object, against table and fingertips",
    ),
    "half_size": both(
        0.024,
        train=(0.018, 0.030),
        near=(0.016, 0.033),
        far=(0.014, 0.036),
        unit="m",
        switches=False,
        about="of the object",
    ),
    "shape": Choice(
        "box",
        train=("box", "cylinder", "sphere"),
        unseen=("capsule", "ellipsoid"),
        switches=False,
        about="of the object",
    ),
    "com_offset": both(
        (0.0, 0.0),
        train=(-0.010, 0.010),
        near=(-0.014, 0.014),
        far=(-0.018, 0.018),
        size=2,
        unit="m",
        about="of the object's centre of mass from its middle",
    ),
    "camera_offset": both(
        (0.0, 0.0),
        train=(-0.02, 0.02),
        near=(-0.03, 0.03),
        far=(-0.04, 0.04),
        size=2,
        unit="m",
        about="error of the observed place of the object",
    ),
}
GRIP: dict[str, Parameter | Choice] = {
    "grip_force": both(
        20.0,
        train=(12.0, 28.0),
        near=(9.0, 34.0),
        far=(6.0, 40.0),
        unit="N",
        scale="log",
        about="largest, of each finger",
    ),
    "pad_compliance": above(
        0.015,
        train=(0.01, 0.02),
        near=0.03,
        far=0.04,
        unit="s",
        about="time constant of the fingertips' contact",
    ),
}


class ArmFamily(TaskFamily):
    """What the four families share: the robot, its actions and what it senses.

    Observation: joint angles from home (7, rad), joint velocities (7, rad/s, times
    0.1), fingertips from home (3, m), heading of the hand (2, cosine and sine), gap
    between the fingers (m, times 10) and its speed (m/s), last action.

    Action "end-effector", 5 numbers: displacement of the fingertips along the world's
    axes in units of `TIP_STEP`, turn of the hand in units of `YAW_STEP`, and the gap
    between the fingers, from closed (-1) to open (1). Action "joint", 8 numbers:
    displacements of the joints in units of `JOINT_STEP`, and the gap.

    Args:
        action_space: what an action moves.
        horizon: control steps an episode, in place of the family's own.

    Raises:
        InputError: for an unknown action space.
    """

    perturbations = (
        Latency("latency"),
        DeadActuator("dead_joint"),
    )

    horizon = 100
    substeps = 8
    camera = "view"
    assemble = staticmethod(build)
    """What makes the model, from an arm, an object and a marker."""

    def __init__(
        self,
        *,
        action_space: ActionSpace = "end-effector",
        horizon: int | None = None,
    ) -> None:
        if action_space not in ACTION_SIZES:
            raise unknown("action space", action_space, ACTION_SIZES)
        self.action_space = action_space
        super().__init__(horizon=horizon)

    @property
    def action_size(self) -> int:
        """Number of action components."""
        return ACTION_SIZES[self.action_space]

    def build(self, task: Task) -> "mujoco.MjSpec":
        """The arm, its table and its object, as an uncompiled spec."""
        return self.assemble(_chosen(Arm, task), self.thing(task), self.marker(task))

    def thing(self, task: Task) -> Object | None:
        """What lies on the table."""
        return None

    def marker(self, task: Task) -> tuple[float, ...] | None:
        """Where the pictures show a goal, m."""
        return None

    def reset(self, sim: Simulation, ids: Tensor, rng: Streams) -> None:
        """Start near home: joints +-0.02 rad."""
        sim.qpos[ids, : len(JOINTS)] += rng.uniform(len(JOINTS), low=-0.02, high=0.02)

    # -- actions -----------------------------------------------------------------------

    def act(self, sim: Simulation, action: Tensor) -> None:
        """Move the joints' targets and the gripper's: see the class."""
        self._last_action(sim).copy_(action)
        targets, joints = sim.ctrl[:, : len(JOINTS)], sim.qpos[:, : len(JOINTS)]
        if self.action_space == "joint":
            step = JOINT_STEP * action[:, :-1]
        else:
            step = self._joint_step(sim, action)
        # A target that runs away from a joint that cannot follow would wind up.
        goal = torch.clamp(targets + step, joints - LEASH, joints + LEASH)
        targets.copy_(torch.clamp(goal, _LOW.to(goal), _HIGH.to(goal)))
        sim.ctrl[:, -1] = GAP / 2 * (action[:, -1] + 1)

    def _joint_step(self, sim: Simulation, action: Tensor) -> Tensor:
        """Joint displacements that move the hand by damped least squares, (n, 7).

        Buss, "Introduction to inverse kinematics with Jacobian transpose,
        pseudoinverse and damped least squares methods", 2004.
        """
        tip = self.tip(sim)
        wanted = tip + TIP_STEP * action[:, :3]
        low, high = _CORNERS.to(tip)
        move = torch.clamp(wanted, low, high) - tip
        # Fingers that tilt are turned back down.
        turn = RIGHTING * torch.linalg.cross(
            self._hand_axes(sim)[:, :, 2], tip.new_tensor([[0.0, 0.0, -1.0]])
        )
        turn[:, 2] = YAW_STEP * action[:, 3]
        twist = torch.cat([move, turn], -1)[:, :, None]
        jacobian = self.jacobian(sim)
        across = jacobian.mT
        square = jacobian @ across + DAMPING**2 * torch.eye(6).to(tip)
        return (across @ torch.linalg.solve(square, twist))[:, :, 0]

    def jacobian(self, sim: Simulation) -> Tensor:
        """Linear and angular velocity of the tip per joint velocity, (n, 6, 7)."""
        # All joints are hinges, whose axes MuJoCo keeps; `Batch.jac` would run the
        # kinematics once more.
        axes = sim.xaxis[:, : len(JOINTS)]
        arms = self.tip(sim)[:, None] - sim.xanchor[:, : len(JOINTS)]
        return torch.cat([torch.linalg.cross(axes, arms), axes], -1).mT

    def _last_action(self, sim: Simulation) -> Tensor:
        return sim.remember("action", sim.ctrl.new_zeros(sim.n, self.action_size))

    # -- what is where -----------------------------------------------------------------

    def tip(self, sim: Simulation) -> Tensor:
        """The point between the fingertips in m, (n, 3)."""
        return sim.site_xpos[:, self._tip_id]

    @functools.cached_property
    def _tip_id(self) -> int:
        return int(self.models.nominal.site("tip").id)

    def _hand_axes(self, sim: Simulation) -> Tensor:
        """The hand's axes as columns, (n, 3, 3)."""
        return sim.site_xmat[:, self._tip_id].view(-1, 3, 3)

    @staticmethod
    def gap(sim: Simulation) -> Tensor:
        """Opening of the gripper in m, (n,)."""
        return sim.qpos[:, len(JOINTS) : _OBJECT].sum(-1)

    def observe(self, sim: Simulation) -> Tensor:
        """What the robot senses: see the class."""
        axes, tip, count = self._hand_axes(sim), self.tip(sim), len(JOINTS)
        seen = [
            sim.qpos[:, :count] - _HOME.to(tip),
            0.1 * sim.qvel[:, :count],
            tip - _HOME_TIP.to(tip),
            axes[:, :2, 0],
            10 * self.gap(sim)[:, None],
            sim.qvel[:, count:_OBJECT].sum(-1, keepdim=True),
            self._last_action(sim),
        ]
        return torch.cat(seen, -1)


class Handling(ArmFamily):
    """What the families with an object on the table share.

    Observation: after what `ArmFamily` senses, the object's place as the camera has it
    (3, m, from home), the same from the fingertips (3, m), its velocity (3, m/s) and
    the direction of its x axis (3).
    """

    def thing(self, task: Task) -> Object:
        """The object."""
        chosen: Object = _chosen(Object, task)
        return replace(chosen, every_shape=self.one_structure)

    def reset(self, sim: Simulation, ids: Tensor, rng: Streams) -> None:
        """Start near home, the object +-5 cm and +-0.4 rad, as if just let go."""
        super().reset(sim, ids, rng)
        yaw = rng.uniform(low=-0.4, high=0.4)
        sim.qpos[ids, _OBJECT : _OBJECT + 2] += rng.uniform(2, low=-0.05, high=0.05)
        sim.qpos[ids, _OBJECT + 3] = (yaw / 2).cos()
        sim.qpos[ids, _OBJECT + 6] = (yaw / 2).sin()
        sim.qvel[ids, _OBJECT : _OBJECT + 2] = 0.02 * rng.normal(2)

    def observe(self, sim: Simulation) -> Tensor:
        """What the robot senses: see the class."""
        place = self.seen_object(sim)
        seen = [
            super().observe(sim),
            place - _HOME_TIP.to(place),
            place - self.tip(sim),
            sim.qvel[:, _OBJECT : _OBJECT + 3],
            _first_axis(sim.qpos[:, _OBJECT + 3 : _OBJECT + 7]),
        ]
        return torch.cat(seen, -1)

    @staticmethod
    def object(sim: Simulation) -> Tensor:
        """The object's middle in m, (n, 3)."""
        return sim.qpos[:, _OBJECT : _OBJECT + 3]

    def seen_object(self, sim: Simulation) -> Tensor:
        """The object's middle as the camera has it in m, (n, 3)."""
        place = self.object(sim).clone()
        place[:, :2] += sim.parameters["camera_offset"]
        return place

    def height(self, sim: Simulation) -> Tensor:
        """Of the object above where it lay, in m, (n,)."""
        return self.object(sim)[:, 2] - sim.parameters["half_size"]

    def off_hand(self, sim: Simulation) -> Tensor:
        """Distance of the object's middle from the fingertips in m, (n,)."""
        return torch.linalg.vector_norm(self.object(sim) - self.tip(sim), dim=-1)

    def grip(self, sim: Simulation) -> Tensor:
        """How well the object is in the hand, from 0 to 2, (n,).

        Closeness of the fingertips counts 1, and an object that keeps closing fingers
        apart counts 1.
        """
        away = self.off_hand(sim)
        blocked = ((self.gap(sim) - sim.ctrl[:, -1]) / 0.02).clamp(0, 1)
        return 1 - torch.tanh(8 * away) + (-(away / 0.025).square()).exp() * blocked

    def in_hand(self, sim: Simulation) -> Tensor:
        """1 for an object in the hand, falling to 0 within centimetres, (n,)."""
        return (-(self.off_hand(sim) / 0.04).square()).exp()


def _chosen(kind: Any, task: Task) -> Any:
    """An `Arm` or `Object` with those values of a task that it knows."""
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in task.values if name in known})


def _first_axis(quaternion: Tensor) -> Tensor:
    """The x axis of a frame turned by ``quaternion`` (n, 4), (n, 3)."""
    w, x, y, z = quaternion.unbind(-1)
    return torch.stack(
        [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], -1
    )
