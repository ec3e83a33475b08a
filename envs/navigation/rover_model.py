"""The model of the rover: a robot of primitives on two driven wheels and two casters.

It is the size of a small indoor robot: 8 kg, 0.4 m across. A wheel touches the ground
with a sphere of its radius, in a single point, so that it rolls as geometry says.
"""

from collections.abc import Sequence

from metarl.envs.scenery import add_looks, add_part, add_sun
from metarl.simulation.engine import mujoco

WHEEL = 0.08
"""Radius of a driven wheel, m."""
TRACK = 0.30
"""Distance between the driven wheels, m."""
RADIUS = 0.2
"""Radius of the bumper, m."""
TOP_SPEED = 8.0
"""Speed of an unloaded wheel at full command, rad/s: 0.64 m/s."""
_CHASSIS, _TYRE = 7.0, 0.5
"""Mass of all but the wheels, and of a wheel, kg."""
SERVO = 0.2
"""Torque of a motor for each rad/s by which its wheel is too slow, Nms."""
_CLEARANCE = 0.004
"""Between the casters and level ground, m."""
_HOVER = 0.003
"""Height above the ground at the start, m: no wheel begins inside the ground."""
_BELT = 0.002
"""Height of the conveyor above the floor, m: a wheel touches one of the two."""
MUD = ((0.0, -0.8), (1.1, 0.8))
"""Corners of the mud, m."""

SIDES = {"left": 1, "right": -1}
"""The wheels, and the sign of their y."""
WIRINGS = {
    "straight": ("left", 1, "right", 1),
    "swapped": ("right", 1, "left", 1),
    "reversed": ("left", -1, "right", -1),
    "left_reversed": ("left", -1, "right", 1),
    "swapped_left_reversed": ("right", -1, "left", 1),
    "right_reversed": ("left", 1, "right", -1),
    "swapped_right_reversed": ("right", 1, "left", -1),
    "swapped_reversed": ("right", -1, "left", -1),
}
"""Wheel and sign of the first command, then of the second."""

_GEOM = mujoco.mjtGeom
_ROLLS, _BUMPS = 1, 2
"""Bits of what touches the ground, and of what touches walls."""


def build(
    friction: float = 0.8,
    wiring: str = "straight",
    motor_gain: Sequence[float] = (1.0, 1.0),
    radius_mismatch: float = 0.0,
    mass: float = 1.0,
    payload: float = 0.0,
    payload_offset: Sequence[float] = (0.0, 0.0),
    conveyor: float | None = None,
) -> "mujoco.MjSpec":
    """The robot at the origin, heading along x.

    Args:
        friction: sliding friction between tyres and ground.
        wiring: which wheel each command drives: see `WIRINGS`.
        motor_gain: speed for a command, left and right, times the nominal one.
        radius_mismatch: by how much of the nominal radius the left wheel is larger
            than the right one.
        mass: of the robot, times its nominal mass.
        payload: mass on the deck, kg.
        payload_offset: where it lies, forward and left of the axle's middle, m.
        conveyor: speed of a belt behind the robot, m/s, to the left where positive.
            Mud, which is a picture only, lies ahead. None for plain ground.
    """
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    option = spec.option
    option.timestep = 0.01
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.iterations, option.ls_iterations = 10, 20
    option.impratio = 5  # wheels creep less
    # A single robot is a single island: looking for islands is wasted time.
    option.disableflags = int(mujoco.mjtDisableBit.mjDSBL_ISLAND)
    add_looks(
        spec,
        mud=(0.30, 0.21, 0.13, 1),
        belt=(0.16, 0.17, 0.19, 1),
        wall=(0.80, 0.82, 0.86, 1),
    )
    _add_ground(spec, friction, conveyor)
    larger = 1 + radius_mismatch / 2, 1 - radius_mismatch / 2
    radii = dict(zip(SIDES, (WHEEL * factor for factor in larger), strict=True))
    height = max(radii.values()) + _HOVER
    rover = spec.worldbody.add_body(name="rover", pos=[0, 0, height])
    rover.add_freejoint(name="base")
    _add_chassis(rover, mass)
    half = max(0.5 * (payload / 1200) ** (1 / 3), 1e-3)  # a cube of 1200 kg/m^3
    place = [*payload_offset, 0.06 + half]
    cube = _GEOM.mjGEOM_BOX
    add_part(rover, cube, [half] * 3, "payload", payload, name="payload", pos=place)
    for side, radius in radii.items():
        _add_wheel(rover, side, radius, mass)
    _add_motors(spec, wiring, dict(zip(SIDES, motor_gain, strict=True)))
    return spec


def add_wall(
    spec: "mujoco.MjSpec", start: Sequence[float], end: Sequence[float]
) -> None:
    """Add a wall between two corners of its footprint, m."""
    wall = spec.worldbody.add_geom(type=_GEOM.mjGEOM_BOX, material="wall", group=1)
    middle = [(a + b) / 2 for a, b in zip(start, end, strict=True)]
    half = [(b - a) / 2 for a, b in zip(start, end, strict=True)]
    wall.pos, wall.size = [*middle, 0.15], [*half, 0.15]
    wall.contype, wall.conaffinity = 0, _BUMPS


def _add_ground(spec: "mujoco.MjSpec", friction: float, conveyor: float | None) -> None:
    ground = spec.worldbody.add_geom(name="ground", type=_GEOM.mjGEOM_PLANE)
    ground.size, ground.material = [0, 0, 0.05], "ground"
    surfaces = [ground]
    if conveyor is not None:
        belt = spec.worldbody.add_geom(name="conveyor", type=_GEOM.mjGEOM_BOX)
        belt.pos, belt.size, belt.material = [-0.55, 0, 0], [0.55, 0.8, _BELT], "belt"
        belt.surfacevel = [0, conveyor, 0, 0, 0, 0]
        surfaces.append(belt)
        (left, low), (right, high) = MUD
        middle = [(left + right) / 2, (low + high) / 2, 0]
        half = [(right - left) / 2, (high - low) / 2, 0.001]
        add_part(spec.worldbody, _GEOM.mjGEOM_BOX, half, "mud", pos=middle, name="mud")
    for surface in surfaces:
        surface.friction = [friction, 0.005, 0.0001]
        # Its friction has priority: otherwise the larger of the two would win.
        surface.contype, surface.conaffinity, surface.priority = 0, _ROLLS, 1


def _add_chassis(rover: "mujoco.MjsBody", mass: float) -> None:
    drum, box, ball = _GEOM.mjGEOM_CYLINDER, _GEOM.mjGEOM_BOX, _GEOM.mjGEOM_SPHERE
    # A solid drum stands for all that fills a robot: what shows weighs nothing.
    add_part(rover, drum, [0.17, 0.03, 0], "frame", mass * _CHASSIS, group=3)
    # Touches walls only: as round as the robot, whatever its heading.
    add_part(rover, ball, [RADIUS, 0, 0], "frame", 0, _BUMPS, name="bumper", group=3)
    add_part(rover, box, [0.17, 0.085, 0.026], "frame")
    add_part(rover, drum, [0.12, 0.034, 0], "frame")
    add_part(rover, box, [0.176, 0.06, 0.014], "accent", pos=[0, 0, 0.008])
    add_part(rover, box, [0.155, 0.075, 0.01], "shell", pos=[0, 0, 0.03])
    add_part(rover, drum, [0.115, 0.014, 0], "shell", pos=[0, 0, 0.046])
    for y in (-0.05, 0.05):
        add_part(rover, ball, [0.014, 0, 0], "lamp", pos=[0.17, y, 0.018])
    add_part(rover, drum, [0.035, 0.02, 0], "frame", pos=[-0.11, 0, 0.06])
    add_part(rover, drum, [0.036, 0.004, 0], "lamp", pos=[-0.11, 0, 0.068])
    for name, x in (("front", 0.16), ("rear", -0.16)):
        caster = f"{name}_caster"
        place = [x, 0, _CLEARANCE + 0.025 - WHEEL]
        add_part(
            rover, ball, [0.025, 0, 0], "rubber", 0, _ROLLS, name=caster, pos=place
        )
        # A free caster feels no ground beside its push: condim 1, and the last word.
        geom = rover.geoms[-1]
        geom.condim, geom.priority = 1, 2
    follow = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM
    add_sun(rover)
    rover.add_camera(
        name="track",
        mode=follow,
        pos=[-0.9, -1.9, 1.7],
        xyaxes=[0.904, -0.428, 0, 0.268, 0.567, 0.779],
        fovy=38,
    )


def _add_wheel(rover: "mujoco.MjsBody", side: str, radius: float, mass: float) -> None:
    ball, drum, rod = _GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_CYLINDER, _GEOM.mjGEOM_CAPSULE
    sign = SIDES[side]
    wheel = rover.add_body(name=f"{side}_wheel", pos=[0, sign * TRACK / 2, 0])
    wheel.add_joint(name=side, axis=[0, 1, 0]).armature = 0.005
    tyre = [0, -0.02, 0, 0, 0.02, 0]
    add_part(wheel, drum, [radius, 0, 0], "rubber", mass * _TYRE, fromto=tyre)
    add_part(wheel, ball, [radius, 0, 0], "rubber", 0, _ROLLS, name=side, group=3)
    hub = [0, sign * 0.021, 0, 0, sign * 0.023, 0]
    add_part(wheel, drum, [0.6 * radius, 0, 0], "shell", fromto=hub)
    spoke = [0, sign * 0.023, 0, 0, sign * 0.023, 0.5 * radius]
    add_part(wheel, rod, [0.008, 0, 0], "accent", fromto=spoke)


def _add_motors(spec: "mujoco.MjSpec", wiring: str, gain: dict[str, float]) -> None:
    first, first_sign, second, second_sign = WIRINGS[wiring]
    commands = (("first", first, first_sign), ("second", second, second_sign))
    for name, side, sign in commands:
        motor = spec.add_actuator(name=name, target=side)
        motor.trntype = mujoco.mjtTrn.mjTRN_JOINT
        motor.set_to_velocity(kv=SERVO)
        motor.gear[0] = sign
        motor.gainprm[0] *= gain[side]  # speed at a command; not the torque's limit
        motor.ctrlrange = [-TOP_SPEED, TOP_SPEED]
