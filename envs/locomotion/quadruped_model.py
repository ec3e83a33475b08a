"""The model of the quadruped: a Go1-sized robot of primitives on its ground.

Sizes, masses, joint ranges and torque limits are those published for a Go1.
"""

import math

import torch

from metarl.envs.locomotion.terrain import add_terrain
from metarl.envs.scenery import add_looks, add_part, add_sun
from metarl.simulation.engine import mujoco

LEGS = ("FL", "FR", "RL", "RR")
HOME = (0.0, 0.9, -1.8)
"""Hip, thigh and calf angle of the home pose, rad."""
LIMB = 0.213
"""Length of a thigh and of a calf, m."""
FOOT = 0.023
"""Radius of a foot, m."""

STIFFNESS = 50.0
"""Proportional gain of the joints, Nm/rad."""
JOINTS = {
    "hip": ((1, 0, 0), (-0.863, 0.863), 23.7),
    "thigh": ((0, 1, 0), (-0.686, 4.501), 23.7),
    "calf": ((0, 1, 0), (-2.818, -0.888), 35.55),
}
"""Axis, range in rad and torque limit in Nm of a leg's joints."""

NOMINAL_VOLTAGE = 16.8
"""Of a full battery, V, at which a stalled DC motor has its joint's torque limit."""
NO_LOAD_SPEED = {"hip": 30.1, "thigh": 30.1, "calf": 20.06}
"""Speed of an unloaded DC motor at that voltage, rad/s."""

_GEOM = mujoco.mjtGeom


def build(
    limb: float = LIMB,
    payload: float = 0.0,
    payload_offset: tuple[float, float] = (0.0, 0.0),
    friction: float = 0.8,
    slope: float = 0.0,
    weak_leg: tuple[str, float] = ("none", 1.0),
    joint_friction: float = 0.0,
    voltage: float | None = None,
    terrain: tuple[str, float] | None = None,
) -> "mujoco.MjSpec":
    """The robot on its ground, with a keyframe `home`.

    Args:
        limb: length of a thigh and of a calf, m.
        payload: mass on the back, kg.
        payload_offset: where it lies, forward and left of the middle, m.
        friction: sliding friction of the ground.
        slope: angle by which gravity is turned, rad; up is positive.
        weak_leg: a leg, or "none", and what is left of its stiffness and torque.
        joint_friction: dry friction of every joint, Nm.
        voltage: of a battery that drives DC motors, V; None for ideal servos.
        terrain: kind and relief of a height field, m; None for a plane.
    """
    height = FOOT + 2 * limb * math.cos(HOME[1])
    spec = mujoco.MjSpec()
    furnish(spec, slope, friction, terrain)
    trunk = spec.worldbody.add_body(name="trunk", pos=[0, 0, height])
    trunk.add_freejoint(name="base")
    _add_trunk(trunk)
    add_payload(trunk, payload, payload_offset)
    add_view(trunk, slope)
    for leg in LEGS:
        _add_leg(trunk, leg, limb, joint_friction, weak=weak_leg[0] == leg)
    for leg in LEGS:
        for part in JOINTS:
            _add_motor(spec, leg, part, voltage)
    weaken(spec, *weak_leg)
    home = [*HOME] * len(LEGS)
    spec.add_key(name="home", qpos=[0, 0, height, 1, 0, 0, 0, *home], ctrl=home)
    return spec


def furnish(
    spec: "mujoco.MjSpec",
    slope: float = 0.0,
    friction: float = 0.8,
    terrain: tuple[str, float] | None = None,
) -> None:
    """Add ground, gravity, looks and solver settings.

    Args:
        spec: of a robot, or empty.
        slope: angle by which gravity is turned, rad; up is positive.
        friction: sliding friction of the ground.
        terrain: kind and relief of a height field, m; None for a plane.
    """
    spec.compiler.degree = False
    option = spec.option
    option.timestep = 0.005
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    # With fewer iterations the solver fails on slippery ground and throws robots up.
    option.iterations = 10
    option.ls_iterations = 20
    option.impratio = 5  # feet creep less on slopes
    # A single robot is a single island: looking for islands is wasted time.
    option.disableflags = int(mujoco.mjtDisableBit.mjDSBL_ISLAND)
    option.gravity = [-9.81 * math.sin(slope), 0, -9.81 * math.cos(slope)]
    add_looks(spec)
    if terrain is None:
        ground = spec.worldbody.add_geom(
            name="ground", type=_GEOM.mjGEOM_PLANE, size=[0, 0, 0.05], material="ground"
        )
    else:
        ground = add_terrain(spec, *terrain)
    # Only the ground accepts contacts, so parts of the robot never collide with each
    # other. Its friction has priority: otherwise the larger of the two would win.
    ground.contype, ground.conaffinity = 0, 1
    ground.priority = 1
    ground.friction = [friction, 0.005, 0.0001]


def _add_trunk(trunk: "mujoco.MjsBody") -> None:
    box, ball = _GEOM.mjGEOM_BOX, _GEOM.mjGEOM_ELLIPSOID
    capsule = _GEOM.mjGEOM_CAPSULE
    add_part(trunk, box, [0.188, 0.047, 0.052], "frame", 5.204, 1, name="trunk")
    for y in (-0.04, 0.04):
        ends = [-0.16, y, 0.022, 0.17, y, 0.022]
        add_part(trunk, capsule, [0.04, 0, 0], "shell", fromto=ends)
        add_part(trunk, box, [0.12, 0.002, 0.008], "accent", pos=[0, 2 * y, 0.022])
    add_part(trunk, box, [0.165, 0.04, 0.01], "shell", pos=[0.005, 0, 0.052])
    add_part(trunk, ball, [0.075, 0.058, 0.05], "shell", pos=[0.235, 0, 0.025])
    add_part(trunk, ball, [0.03, 0.045, 0.03], "frame", pos=[0.285, 0, 0.025])
    for y in (-0.022, 0.022):
        add_part(trunk, ball, [0.006, 0.01, 0.006], "lamp", pos=[0.311, y, 0.032])


def add_payload(
    trunk: "mujoco.MjsBody", mass: float, offset: tuple[float, float]
) -> None:
    """Put a box on the back: kg; where, forward and left of the middle, m."""
    # A cube of 1200 kg/m^3; a tiny one for no payload, since every task must have it.
    half = max(0.5 * (mass / 1200) ** (1 / 3), 1e-3)
    place = [*offset, 0.062 + half]
    add_part(
        trunk, _GEOM.mjGEOM_BOX, [half] * 3, "payload", mass, name="payload", pos=place
    )


def add_view(trunk: "mujoco.MjsBody", slope: float) -> None:
    """Add a light and a camera that follow the robot on its slope, rad."""
    add_sun(trunk)
    follow = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM
    # The picture's vertical is gravity's: the ground is what looks inclined.
    place = torch.tensor([0.45, -1.25, 0.4])
    up = torch.tensor([math.sin(slope), 0, math.cos(slope)])
    right = torch.linalg.cross(-place, up)
    axes = [*right.tolist(), *torch.linalg.cross(right, -place).tolist()]
    trunk.add_camera(
        name="track", mode=follow, pos=place.tolist(), xyaxes=axes, fovy=40
    )


def _add_leg(
    trunk: "mujoco.MjsBody", leg: str, limb: float, friction: float, weak: bool
) -> None:
    x = 0.1881 if leg[0] == "F" else -0.1881
    side = 1 if leg[1] == "L" else -1  # left is positive
    shell, accent = ("dead", "dead") if weak else ("shell", "accent")
    rod, drum, ball = _GEOM.mjGEOM_CAPSULE, _GEOM.mjGEOM_CYLINDER, _GEOM.mjGEOM_SPHERE

    hip = trunk.add_body(name=f"{leg}_hip", pos=[x, side * 0.04675, 0])
    ends = [-0.035, 0, 0, 0.035, 0, 0]
    add_part(hip, drum, [0.042, 0, 0], "frame", 0.68, fromto=ends)

    thigh = hip.add_body(name=f"{leg}_thigh", pos=[0, side * 0.08, 0])
    ends = [0, -side * 0.032, 0, 0, side * 0.02, 0]
    add_part(thigh, drum, [0.046, 0, 0], shell, 0.75, fromto=ends)
    ends = [0, 0, 0, 0, side * 0.023, 0]
    add_part(thigh, drum, [0.03, 0, 0], accent, fromto=ends)
    ends = [0, 0, -0.02, 0, 0, -limb]
    add_part(thigh, rod, [0.024, 0, 0], shell, 0.259, fromto=ends)

    calf = thigh.add_body(name=f"{leg}_calf", pos=[0, 0, -limb])
    add_part(calf, ball, [0.028, 0, 0], accent, 0.0, 1, name=f"{leg}_knee")
    ends = [0, 0, 0, 0, 0, -limb]
    add_part(calf, rod, [0.013, 0, 0], "frame", 0.136, fromto=ends)
    foot = [0, 0, -limb]
    add_part(calf, ball, [FOOT, 0, 0], "rubber", 0.06, 1, name=f"{leg}_foot", pos=foot)

    for body, (part, (axis, span, _)) in zip(
        (hip, thigh, calf), JOINTS.items(), strict=True
    ):
        joint = body.add_joint(name=f"{leg}_{part}", axis=axis, range=span)
        joint.damping[0], joint.armature, joint.frictionloss = 0.5, 0.01, friction


def _add_motor(
    spec: "mujoco.MjSpec", leg: str, part: str, voltage: float | None
) -> None:
    _, span, limit = JOINTS[part]
    name = f"{leg}_{part}"
    motor = spec.add_actuator(name=name, target=name)
    motor.trntype = mujoco.mjtTrn.mjTRN_JOINT
    if voltage is None:
        motor.set_to_position(kp=STIFFNESS)
        motor.forcerange = [-limit, limit]
    else:
        # Torque falls with speed, and both limits fall with the battery's voltage.
        motor.set_to_dcmotor(
            motorconst=[0, 0],
            resistance=0,
            nominal=[NOMINAL_VOLTAGE, limit, NO_LOAD_SPEED[part]],
            controller=[STIFFNESS, 0, 0, 0, 0, voltage],
            ctrlspec=int(mujoco.mjtCtrlInput.mjINPUT_POS),
        )
    motor.ctrlrange = span


def weaken(spec: "mujoco.MjSpec", leg: str, share: float) -> None:
    """Leave a share of its stiffness and torque to a leg; "none" is no leg."""
    for motor in spec.actuators:
        if motor.name.startswith(leg):
            motor.gainprm *= share
            motor.biasprm *= share
            motor.forcerange *= share
