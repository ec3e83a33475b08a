"""The model of the quadruped: a Go1-sized robot of primitives on its ground.

Sizes, masses, joint ranges and torque limits are those published for a Go1.
"""

import math
from typing import Any

import torch

from metarl.engine import mujoco

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

_COLOURS = {
    "shell": (0.90, 0.91, 0.93, 1),
    "frame": (0.12, 0.13, 0.16, 1),
    "accent": (1.00, 0.45, 0.08, 1),
    "rubber": (0.05, 0.05, 0.06, 1),
    "lamp": (0.45, 0.95, 1.00, 1),
    "payload": (0.16, 0.55, 0.85, 1),
    "dead": (0.55, 0.10, 0.10, 1),
}
_GEOM = mujoco.mjtGeom


def build(
    limb: float,
    payload: float,
    payload_offset: tuple[float, float],
    friction: float,
    slope: float,
    dead_leg: str,
) -> "mujoco.MjSpec":
    """The robot on its ground, with a keyframe `home`.

    Args:
        limb: length of a thigh and of a calf, m.
        payload: mass on the back, kg.
        payload_offset: where it lies, forward and left of the middle, m.
        friction: sliding friction of the ground.
        slope: angle by which gravity is turned, rad; up is positive.
        dead_leg: the leg to paint as dead, or "none".
    """
    height = FOOT + 2 * limb * math.cos(HOME[1])
    spec = _world(slope, friction)
    trunk = spec.worldbody.add_body(name="trunk", pos=[0, 0, height])
    trunk.add_freejoint(name="base")
    _add_trunk(trunk)
    _add_payload(trunk, payload, payload_offset)
    _add_view(trunk, slope)
    for leg in LEGS:
        _add_leg(spec, trunk, leg, limb, dead=dead_leg == leg)
    home = [*HOME] * len(LEGS)
    spec.add_key(name="home", qpos=[0, 0, height, 1, 0, 0, 0, *home], ctrl=home)
    return spec


def _world(slope: float, friction: float) -> "mujoco.MjSpec":
    spec = mujoco.MjSpec()
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
    _add_looks(spec)
    # Only the ground accepts contacts, so parts of the robot never collide with each
    # other. Its friction has priority: otherwise the larger of the two would win.
    ground = spec.worldbody.add_geom(
        name="ground", type=_GEOM.mjGEOM_PLANE, size=[0, 0, 0.05], material="ground"
    )
    ground.contype, ground.conaffinity = 0, 1
    ground.priority = 1
    ground.friction = [friction, 0.005, 0.0001]
    return spec


def _add_looks(spec: "mujoco.MjSpec") -> None:
    # Small textures: every task has a copy of them.
    sky = spec.add_texture(name="sky", width=32, height=192)
    sky.type = mujoco.mjtTexture.mjTEXTURE_SKYBOX
    sky.builtin = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
    sky.rgb1, sky.rgb2 = [0.55, 0.72, 0.90], [0.10, 0.16, 0.28]
    checker = spec.add_texture(name="checker", width=100, height=100)
    checker.type = mujoco.mjtTexture.mjTEXTURE_2D
    checker.builtin = mujoco.mjtBuiltin.mjBUILTIN_CHECKER
    checker.rgb1, checker.rgb2 = [0.30, 0.36, 0.42], [0.22, 0.27, 0.33]
    checker.mark, checker.markrgb = mujoco.mjtMark.mjMARK_EDGE, [0.55, 0.6, 0.65]
    ground = spec.add_material(name="ground", texrepeat=[2, 2], texuniform=True)
    ground.textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = "checker"
    ground.reflectance = 0.05
    for name, rgba in _COLOURS.items():
        glow = 1.0 if name == "lamp" else 0.0
        spec.add_material(name=name, rgba=rgba, emission=glow, specular=0.4)
    spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
    spec.visual.headlight.diffuse = [0.35, 0.35, 0.35]
    spec.visual.quality.shadowsize = 4096
    spec.visual.map.shadowclip = 4.0
    spec.visual.rgba.haze = [0.55, 0.70, 0.86, 1]


def _part(
    body: "mujoco.MjsBody",
    kind: Any,
    size: list[float],
    material: str,
    mass: float = 0.0,
    contype: int = 0,
    **more: Any,
) -> None:
    """Add a geom; it neither weighs nor touches the ground unless told."""
    more |= {"mass": mass, "contype": contype, "conaffinity": 0}
    body.add_geom(type=kind, size=size, material=material, **more)


def _add_trunk(trunk: "mujoco.MjsBody") -> None:
    box, ball = _GEOM.mjGEOM_BOX, _GEOM.mjGEOM_ELLIPSOID
    capsule = _GEOM.mjGEOM_CAPSULE
    _part(trunk, box, [0.188, 0.047, 0.052], "frame", 5.204, 1, name="trunk")
    for y in (-0.04, 0.04):
        ends = [-0.16, y, 0.022, 0.17, y, 0.022]
        _part(trunk, capsule, [0.04, 0, 0], "shell", fromto=ends)
        _part(trunk, box, [0.12, 0.002, 0.008], "accent", pos=[0, 2 * y, 0.022])
    _part(trunk, box, [0.165, 0.04, 0.01], "shell", pos=[0.005, 0, 0.052])
    _part(trunk, ball, [0.075, 0.058, 0.05], "shell", pos=[0.235, 0, 0.025])
    _part(trunk, ball, [0.03, 0.045, 0.03], "frame", pos=[0.285, 0, 0.025])
    for y in (-0.022, 0.022):
        _part(trunk, ball, [0.006, 0.01, 0.006], "lamp", pos=[0.311, y, 0.032])


def _add_payload(
    trunk: "mujoco.MjsBody", mass: float, offset: tuple[float, float]
) -> None:
    # A cube of 1200 kg/m^3; a tiny one for no payload, since every task must have it.
    half = max(0.5 * (mass / 1200) ** (1 / 3), 1e-3)
    place = [*offset, 0.062 + half]
    _part(
        trunk, _GEOM.mjGEOM_BOX, [half] * 3, "payload", mass, name="payload", pos=place
    )


def _add_view(trunk: "mujoco.MjsBody", slope: float) -> None:
    # Light and camera go where the robot goes.
    follow = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM
    sun = trunk.add_light(name="sun", mode=follow, castshadow=True)
    sun.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    sun.pos, sun.dir = [-0.8, -0.6, 2.5], [0.35, 0.25, -1]
    sun.diffuse = [0.65, 0.65, 0.62]
    # The picture's vertical is gravity's: the ground is what looks inclined.
    place = torch.tensor([0.45, -1.25, 0.4])
    up = torch.tensor([math.sin(slope), 0, math.cos(slope)])
    right = torch.linalg.cross(-place, up)
    axes = [*right.tolist(), *torch.linalg.cross(right, -place).tolist()]
    trunk.add_camera(
        name="track", mode=follow, pos=place.tolist(), xyaxes=axes, fovy=40
    )


def _add_leg(
    spec: "mujoco.MjSpec", trunk: "mujoco.MjsBody", leg: str, limb: float, dead: bool
) -> None:
    x = 0.1881 if leg[0] == "F" else -0.1881
    side = 1 if leg[1] == "L" else -1  # left is positive
    shell, accent = ("dead", "dead") if dead else ("shell", "accent")
    rod, drum, ball = _GEOM.mjGEOM_CAPSULE, _GEOM.mjGEOM_CYLINDER, _GEOM.mjGEOM_SPHERE

    hip = trunk.add_body(name=f"{leg}_hip", pos=[x, side * 0.04675, 0])
    ends = [-0.035, 0, 0, 0.035, 0, 0]
    _part(hip, drum, [0.042, 0, 0], "frame", 0.68, fromto=ends)

    thigh = hip.add_body(name=f"{leg}_thigh", pos=[0, side * 0.08, 0])
    ends = [0, -side * 0.032, 0, 0, side * 0.02, 0]
    _part(thigh, drum, [0.046, 0, 0], shell, 0.75, fromto=ends)
    ends = [0, 0, 0, 0, side * 0.023, 0]
    _part(thigh, drum, [0.03, 0, 0], accent, fromto=ends)
    ends = [0, 0, -0.02, 0, 0, -limb]
    _part(thigh, rod, [0.024, 0, 0], shell, 0.259, fromto=ends)

    calf = thigh.add_body(name=f"{leg}_calf", pos=[0, 0, -limb])
    _part(calf, ball, [0.028, 0, 0], accent, 0.0, 1, name=f"{leg}_knee")
    ends = [0, 0, 0, 0, 0, -limb]
    _part(calf, rod, [0.013, 0, 0], "frame", 0.136, fromto=ends)
    foot = [0, 0, -limb]
    _part(calf, ball, [FOOT, 0, 0], "rubber", 0.06, 1, name=f"{leg}_foot", pos=foot)

    for body, (part, (axis, span, limit)) in zip(
        (hip, thigh, calf), JOINTS.items(), strict=True
    ):
        name = f"{leg}_{part}"
        body.add_joint(name=name, axis=axis, range=span, damping=0.5, armature=0.01)
        motor = spec.add_actuator(
            name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT
        )
        motor.set_to_position(kp=STIFFNESS)
        motor.ctrlrange, motor.forcerange = span, [-limit, limit]
