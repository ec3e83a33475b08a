"""The model of the arm: seven joints of Franka proportions over a table.

Frames, joint ranges, masses of the links and torque limits are those published for the
Franka Emika Panda; the shapes are primitives. Stiffness is that of a compliant joint
controller, and gravity is compensated for what the data sheet knows: not a payload.
The table's top is z = 0, and the gripper's fingers open along their own y axis.
"""

import math
from dataclasses import dataclass
from typing import Any

from metarl.envs.scenery import add_looks, add_part, add_sun
from metarl.simulation.engine import mujoco

JOINTS = tuple(f"joint{i}" for i in range(1, 8))
HOME = (0.0, 0.045898477, 0.0, -2.376289893, 0.0, 2.422188370, math.pi / 4)
"""Joint angles of the home pose in rad: fingers down, their tip at `HOME_TIP`."""
HOME_TIP = (0.5, 0.0, 0.2)
"""Where the point between the fingertips is at home, m."""
GAP = 0.08
"""Widest opening of the gripper, m."""
WEAK = 0.25
"""Share of its stiffness and torque that is left to a weak joint."""

RANGES = (
    (-2.8973, 2.8973),
    (-1.7628, 1.7628),
    (-2.8973, 2.8973),
    (-3.0718, -0.0698),
    (-2.8973, 2.8973),
    (-0.0175, 3.7525),
    (-2.8973, 2.8973),
)
"""Of the joints, rad."""
TORQUES = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)
"""Limits, Nm."""
STIFFNESS = (1500.0, 1500.0, 1200.0, 1200.0, 400.0, 400.0, 300.0)
"""Proportional gains of the joints, Nm/rad."""
DAMPING_TIME = 0.05
"""Derivative over proportional gain of the joints, s."""
JOINT_DAMPING = (4.0, 4.0, 4.0, 4.0, 1.0, 1.0, 1.0)
"""Nominal damping, Nm s/rad."""
JOINT_FRICTION = (1.0, 1.0, 1.0, 1.0, 0.4, 0.4, 0.4)
"""Nominal dry friction, Nm."""

_COLOURS = {
    "wood": (0.55, 0.42, 0.30, 1.0),
    "leg": (0.25, 0.26, 0.28, 1.0),
    "object": (0.86, 0.22, 0.20, 1.0),
}
_GEOM = mujoco.mjtGeom
_ROD, _DRUM = _GEOM.mjGEOM_CAPSULE, _GEOM.mjGEOM_CYLINDER
_DOWN, _UP = (1.0, -1.0, 0.0, 0.0), (1.0, 1.0, 0.0, 0.0)
_FRAMES = (
    ((0.0, 0.0, 0.333), (1.0, 0.0, 0.0, 0.0)),
    ((0.0, 0.0, 0.0), _DOWN),
    ((0.0, -0.316, 0.0), _UP),
    ((0.0825, 0.0, 0.0), _UP),
    ((-0.0825, 0.384, 0.0), _DOWN),
    ((0.0, 0.0, 0.0), _UP),
    ((0.088, 0.0, 0.0), _UP),
)
"""Position (m) and orientation of each link in the one before."""
_LINKS: tuple[list[tuple[Any, float, tuple[float, ...], str, float]], ...] = (
    [
        (_DRUM, 0.072, (0, 0, -0.14, 0, 0, -0.12), "accent", 0.0),
        (_ROD, 0.062, (0, 0, -0.11, 0, 0, 0), "shell", 4.97),
    ],
    [(_DRUM, 0.068, (0, 0, -0.072, 0, 0, 0.072), "frame", 0.646)],
    [
        (_ROD, 0.06, (0, 0, -0.2, 0, 0, -0.06), "shell", 3.228),
        (_ROD, 0.055, (0, 0, -0.06, 0.0825, 0, 0), "shell", 0.0),
    ],
    [
        (_DRUM, 0.06, (0, 0, -0.066, 0, 0, 0.066), "frame", 0.5),
        (_ROD, 0.055, (0, 0, 0, -0.0825, 0.07, 0), "shell", 3.088),
    ],
    [
        (_DRUM, 0.06, (0, 0, -0.30, 0, 0, -0.285), "accent", 0.0),
        (_ROD, 0.052, (0, 0, -0.27, 0, 0.035, -0.06), "shell", 1.226),
    ],
    [
        (_DRUM, 0.052, (0, 0, -0.062, 0, 0, 0.062), "frame", 0.667),
        (_ROD, 0.046, (0, 0, 0, 0.088, 0, 0), "shell", 1.0),
    ],
    [(_DRUM, 0.045, (0, 0, 0.01, 0, 0, 0.075), "shell", 0.735)],
)
"""Shape, radius (m), ends (m), material and mass (kg) of the parts of each link."""
_PAD = (0.011, 0.004, 0.011)
"""Half-sizes of a fingertip's pad, m."""
_FINGER_SPACE, _TIP = 0.0584, 0.1034
"""Where the fingers begin and where their tips meet, from the hand, m."""
_TABLE_FRICTION = 0.5
"""Between fingertips and table."""
_HIDDEN = 0.001
"""Half-size of a shape that only shares the structure, m."""


@dataclass(frozen=True)
class Shape:
    """A shape in units of the object's half-size h."""

    kind: int
    size: tuple[float, float, float]
    """MuJoCo's geom size."""
    inertia: tuple[float, float, float]
    """Principal moments of a solid of this shape, in m h^2."""
    quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)


def _capsule(radius: float, half: float) -> tuple[float, float, float]:
    """Principal moments over the mass of a capsule along z."""
    rod, ends = 2 * half, 4 / 3 * radius  # volumes over pi radius^2
    along = (rod * radius**2 / 2 + ends * 0.4 * radius**2) / (rod + ends)
    rod_across = radius**2 / 4 + half**2 / 3
    ends_across = 0.4 * radius**2 + half**2 + 0.75 * radius * half
    across = (rod * rod_across + ends * ends_across) / (rod + ends)
    return across, across, along


SHAPES = {
    "box": Shape(_GEOM.mjGEOM_BOX, (1, 1, 1), (2 / 3, 2 / 3, 2 / 3)),
    "cylinder": Shape(_GEOM.mjGEOM_CYLINDER, (1, 1, 0), (7 / 12, 7 / 12, 1 / 2)),
    "sphere": Shape(_GEOM.mjGEOM_SPHERE, (1, 0, 0), (0.4, 0.4, 0.4)),
    "capsule": Shape(
        _GEOM.mjGEOM_CAPSULE,
        (1, 0.5, 0),
        _capsule(1, 0.5),
        (math.sqrt(0.5), 0, math.sqrt(0.5), 0),
    ),
    "ellipsoid": Shape(
        _GEOM.mjGEOM_ELLIPSOID, (1.3, 0.8, 1), (1.64 / 5, 2.69 / 5, 2.33 / 5)
    ),
}
"""Every shape is 2 h high where it lies, and at most 2 h wide between the fingers."""


@dataclass(frozen=True)
class Arm:
    """What can vary of the arm."""

    payload: float = 0.0
    """Mass on the hand that gravity compensation does not know, kg."""
    joint_damping: float = 1.0
    """Factor on the damping of the joints."""
    joint_friction: float = 1.0
    """Factor on their dry friction."""
    weak_joint: str = "none"
    """Joint with `WEAK` of its stiffness and torque, or "none"."""
    dead_joint: str = "none"
    """Joint to paint as dead, or "none"; the environment takes its force."""
    grip_force: float = 20.0
    """Largest force of each finger, N."""


@dataclass(frozen=True)
class Object:
    """What can vary of the object on the table."""

    mass: float = 0.2
    """kg."""
    friction: float = 0.8
    """Sliding friction against table and fingertips."""
    half_size: float = 0.024
    """m."""
    shape: str = "box"
    """One of `SHAPES`."""
    every_shape: bool = False
    """Whether the other shapes are there, too, tiny and in its middle, where nothing
    touches them: for worlds that share one structure."""
    com_offset: tuple[float, float] = (0.0, 0.0)
    """Centre of mass from the middle along its own x and y, m."""
    pad_compliance: float = 0.015
    """Time constant of the fingertips' contact, s."""


def build(
    arm: Arm, thing: Object | None, goal: tuple[float, ...] | None
) -> "mujoco.MjSpec":
    """The arm at its table, with a keyframe `home`.

    Args:
        arm: the arm.
        thing: the object on the table in front of it, if there is one.
        goal: where to draw a marker, m.
    """
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    furnish(spec)
    hand = _add_arm(spec, arm)
    _add_fingers(hand)
    add_spindle(spec, hand, ("left", "right"), arm.grip_force)
    set_table(spec, thing, goal)
    return spec


def furnish(spec: "mujoco.MjSpec") -> None:
    """Add a table, light and a camera, and set how contacts are solved."""
    option = spec.option
    option.timestep = 0.005
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.iterations = 20
    option.ls_iterations = 20
    option.impratio = 20  # with less, what is held creeps out of the fingers
    option.disableflags = int(mujoco.mjtDisableBit.mjDSBL_ISLAND)
    add_looks(spec, **_COLOURS)
    world = spec.worldbody
    add_part(world, _GEOM.mjGEOM_PLANE, [0, 0, 0.05], "ground", pos=[0, 0, -0.75])
    # A plane is cheaper to touch than a box, and its drawn size is that of the table.
    place = [0.35, 0, 0]
    add_part(
        world, _GEOM.mjGEOM_PLANE, [0.55, 0.6, 0.05], "wood", name="table", pos=place
    )
    add_part(world, _GEOM.mjGEOM_BOX, [0.55, 0.6, 0.02], "wood", pos=[0.35, 0, -0.021])
    for x in (-0.15, 0.85):
        for y in (-0.55, 0.55):
            add_part(
                world, _GEOM.mjGEOM_BOX, [0.03, 0.03, 0.355], "leg", pos=[x, y, -0.395]
            )
    add_sun(world)
    world.add_camera(
        name="view",
        pos=[1.35, -0.85, 0.7],
        xyaxes=[0.85, 1.0, 0, -0.4, 0.34, 1.72],
        fovy=37,
    )


def set_table(
    spec: "mujoco.MjSpec", thing: Object | None, goal: tuple[float, ...] | None
) -> None:
    """Add an object, a marker and the keyframe; fingertips touch object and table."""
    _add_contact(spec, "table", _TABLE_FRICTION, 0.02)
    qpos = [*HOME, GAP / 2, GAP / 2]
    if thing is not None:
        _add_object(spec, thing)
        qpos += [HOME_TIP[0], HOME_TIP[1], thing.half_size, 1, 0, 0, 0]
    if goal is not None:
        spec.worldbody.add_site(
            name="goal", pos=goal, size=[0.02, 0, 0], rgba=[0.1, 0.8, 0.35, 0.5]
        )
    spec.add_key(name="home", qpos=qpos, ctrl=[*HOME, GAP])


def _add_arm(spec: "mujoco.MjSpec", arm: Arm) -> "mujoco.MjsBody":
    world = spec.worldbody
    add_part(world, _DRUM, [0.095, 0.02, 0], "frame", pos=[0, 0, 0.02])
    add_part(world, _ROD, [0.068, 0, 0], "shell", fromto=[0, 0, 0.05, 0, 0, 0.17])
    body = world
    for i, (name, (pos, quat), parts) in enumerate(
        zip(JOINTS, _FRAMES, _LINKS, strict=True)
    ):
        body = body.add_body(name=f"link{i + 1}", pos=pos, quat=quat, gravcomp=1)
        body.add_joint(
            name=name,
            axis=[0, 0, 1],
            range=RANGES[i],
            damping=[arm.joint_damping * JOINT_DAMPING[i], 0, 0],
            frictionloss=arm.joint_friction * JOINT_FRICTION[i],
            armature=0.1,
        )
        for kind, radius, ends, material, mass in parts:
            material = "dead" if name in (arm.dead_joint, arm.weak_joint) else material
            add_part(body, kind, [radius, 0, 0], material, mass, fromto=ends)
        strength = WEAK if name == arm.weak_joint else 1.0
        motor = spec.add_actuator(
            name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT
        )
        gain, limit = strength * STIFFNESS[i], strength * TORQUES[i]
        motor.set_to_position(kp=gain, kv=DAMPING_TIME * gain)
        motor.ctrlrange, motor.forcerange = RANGES[i], [-limit, limit]
    turn = [math.cos(-math.pi / 8), 0, 0, math.sin(-math.pi / 8)]
    hand = body.add_body(name="hand", pos=[0, 0, 0.107], quat=turn, gravcomp=1)
    box, middle = _GEOM.mjGEOM_BOX, [0, 0, 0.025]
    add_part(hand, box, [0.03, 0.1, 0.022], "frame", 0.73, pos=middle)
    add_part(hand, box, [0.031, 0.04, 0.01], "accent", pos=middle)
    add_payload(hand, arm.payload)
    return hand


def add_payload(hand: "mujoco.MjsBody", mass: float) -> None:
    """Hang a mass in kg on the hand, without gravity compensation."""
    load = hand.add_body(name="payload", pos=[0.06, 0, -0.02])
    half = max(0.5 * (mass / 4000) ** (1 / 3), 1e-3)
    add_part(load, _GEOM.mjGEOM_BOX, [half] * 3, "payload", mass, name="payload")


def _add_fingers(hand: "mujoco.MjsBody") -> None:
    box = _GEOM.mjGEOM_BOX
    for side, sign in (("left", 1), ("right", -1)):
        finger = hand.add_body(name=side, pos=[0, 0, _FINGER_SPACE], gravcomp=1)
        finger.add_joint(
            name=side,
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[0, sign, 0],
            range=[0, GAP / 2],
            armature=0.1,
            damping=[5.0, 0, 0],
        )
        middle = [0, sign * 0.012, 0.016]
        add_part(finger, box, [0.01, 0.007, 0.018], "shell", 0.015, pos=middle)
        middle = [0, sign * _PAD[1], _TIP - _FINGER_SPACE]
        add_part(finger, box, [*_PAD], "rubber", name=f"{side}_pad", pos=middle)


def add_spindle(
    spec: "mujoco.MjSpec",
    hand: "mujoco.MjsBody",
    fingers: tuple[str, str],
    force: float,
) -> None:
    """Let one motor of so much force in N move both finger joints; mark their tip."""
    tendon = spec.add_tendon(name="gap")
    for finger in fingers:
        tendon.wrap_joint(finger, 1.0)
    one, other = fingers
    same = spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT, name1=one, name2=other, solref=[0.01, 1]
    )
    same.data[:2] = [0, 1]
    hand.add_site(name="tip", pos=[0, 0, _TIP], size=[0.004, 0, 0], rgba=[0, 0, 0, 0])
    motor = spec.add_actuator(
        name="gripper", target="gap", trntype=mujoco.mjtTrn.mjTRN_TENDON
    )
    motor.set_to_position(kp=800.0, kv=12.0)
    motor.ctrlrange, motor.forcerange = [0, GAP], [-force, force]


def _add_object(spec: "mujoco.MjSpec", thing: Object) -> None:
    solid = SHAPES[thing.shape]
    body = spec.worldbody.add_body(
        name="object", pos=[HOME_TIP[0], HOME_TIP[1], thing.half_size]
    )
    # Air and felt: without any damping a sphere would roll for ever.
    body.add_joint(name="object", type=mujoco.mjtJoint.mjJNT_FREE, damping=[1e-3, 0, 0])
    body.simple = False  # else the sizes would depend on the centre of mass
    body.explicitinertial = True
    body.mass = thing.mass
    body.ipos = [*thing.com_offset, 0]
    body.iquat = solid.quaternion
    body.inertia = [thing.mass * thing.half_size**2 * i for i in solid.inertia]
    for kind in SHAPES if thing.every_shape else (thing.shape,):
        shape, real = SHAPES[kind], kind == thing.shape
        name = "object" if real else kind
        size = [(thing.half_size if real else _HIDDEN) * s for s in shape.size]
        add_part(body, shape.kind, size, "object", name=name, quat=shape.quaternion)
        _add_contact(spec, name, thing.friction, thing.pad_compliance)
        _add_pair(spec, name, "table", thing.friction, 0.02)


def _add_contact(
    spec: "mujoco.MjSpec", other: str, friction: float, compliance: float
) -> None:
    """Let both fingertips touch a geom, with torsional friction as of soft pads."""
    for side in ("left", "right"):
        _add_pair(spec, f"{side}_pad", other, friction, compliance, condim=4)


def _add_pair(
    spec: "mujoco.MjSpec",
    one: str,
    other: str,
    friction: float,
    compliance: float,
    condim: int = 3,
) -> None:
    # Pairs say all of a contact; whatever is not a pair never collides.
    spec.add_pair(
        geomname1=one,
        geomname2=other,
        condim=condim,
        friction=[friction, friction, 0.006 * friction, 1e-4, 1e-4],
        solref=[compliance, 1],
    )
