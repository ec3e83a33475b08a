"""A quadruped the size of a Go1 that walks at a commanded velocity.

The robot is made of primitives with the published sizes, masses, joint ranges and
torque limits of a Go1: a trunk, and four legs of three position-controlled joints. The
world's z axis is normal to the ground; a slope turns gravity instead, so that the
state means the same on every slope and stays valid when the slope changes.
"""

import math
from typing import Any

import torch
from torch import Tensor

from metarl.engine import mujoco
from metarl.family import TaskFamily
from metarl.parameters import Choice, Parameter
from metarl.randomness import Streams
from metarl.tasks import Task
from metarl.world.simulation import Simulation

LEGS = ("FL", "FR", "RL", "RR")
HOME = (0.0, 0.9, -1.8)
"""Hip, thigh and calf angle of the home pose, rad."""
LIMB = 0.213
"""Length of a thigh and of a calf, m."""
FOOT = 0.023
"""Radius of a foot, m."""

ACTION_SCALE = 0.3
"""Change of a joint's target for an action of 1, rad."""
STIFFNESS = 50.0
"""Proportional gain of the joints, Nm/rad."""
JOINTS = {
    "hip": ((1, 0, 0), (-0.863, 0.863), 23.7),
    "thigh": ((0, 1, 0), (-0.686, 4.501), 23.7),
    "calf": ((0, 1, 0), (-2.818, -0.888), 35.55),
}
"""Axis, range in rad and torque limit in Nm of a leg's joints."""

FALL_HEIGHT = 0.1
"""Height of the trunk's centre above the ground that counts as a fall, m."""
FALL_TILT = math.radians(60)
"""Angle between the trunk and the ground that counts as a fall, rad."""
TOLERANCE = 0.2
"""Mean error of the planar velocity that counts as a success, m/s."""

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
_HOME = torch.tensor(HOME * len(LEGS), dtype=torch.float64)


def _both(nominal: Any, bounds: tuple[float, ...], **more: Any) -> Parameter:
    """A parameter with shells on both sides: far, near, train, near, far."""
    a, b, c, d, e, f = bounds
    near, far = ((b, c), (d, e)), ((a, b), (e, f))
    return Parameter(nominal, train=(c, d), near=near, far=far, **more)


class QuadrupedVelocity(TaskFamily):
    """Walk at a commanded velocity while body, motors and ground are unknown.

    The command is part of the observation; everything else is hidden. Velocities are
    those of the trunk in its own frame (x forward, y left, z up).

    Observation, 48 numbers: linear velocity (3, m/s), angular velocity (3, rad/s,
    times 0.25), direction of gravity (3), joint angles from home (12, rad), joint
    velocities (12, rad/s, times 0.05), last action (12), command (3: m/s, m/s, rad/s).
    Action, 12 numbers: joint targets from home in units of `ACTION_SCALE`, in the
    order FL, FR, RL, RR, each hip, thigh, calf.
    """

    name = "quadruped-velocity"
    parameters = {
        "payload": Parameter(
            1.0, train=(0, 3), near=(3, 5), far=(5, 8), unit="kg", about="on the back"
        ),
        "payload_offset": _both(
            (0.0, 0.0), (-0.1, -0.06, -0.04, 0.04, 0.06, 0.1), size=2, unit="m"
        ),
        "friction": _both(0.8, (0.1, 0.25, 0.4, 1.2, 1.8, 3.0), scale="log"),
        "motor_strength": _both(1.0, (0.5, 0.65, 0.8, 1.2, 1.3, 1.4)),
        "limb_length": _both(
            1.0,
            (0.6, 0.7, 0.8, 1.2, 1.3, 1.4),
            switches=False,
            about="factor on thighs and calves",
        ),
        "latency": Parameter(
            0.0, train=(0, 0.02), near=(0.02, 0.03), far=(0.03, 0.04), unit="s"
        ),
        "dead_leg": Choice(
            "none",
            train=("none", "FL", "FR", "RL"),
            unseen=("RR",),
            nominal_share=0.7,
            about="leg without torque",
        ),
        "slope": _both(
            0.0, (-0.25, -0.175, -0.1, 0.1, 0.175, 0.25), unit="rad", about="up is +"
        ),
        "forward_velocity": Parameter(0.6, train=(0.3, 1.0), unit="m/s", goal=True),
        "left_velocity": Parameter(0.0, train=(-0.3, 0.3), unit="m/s", goal=True),
        "turn_rate": Parameter(0.0, train=(-0.5, 0.5), unit="rad/s", goal=True),
    }
    composition = {"payload": (2.0, 3.0), "friction": (0.4, 0.6)}
    horizon = 500
    substeps = 4
    derived = False
    camera = "track"
    success_measure = (
        "1 if the robot did not fall and its planar velocity was on average less than "
        f"{TOLERANCE} m/s from the command (standing still is at least 0.3 m/s off)"
    )

    def build(self, task: Task) -> "mujoco.MjSpec":
        """The robot on its ground, as an uncompiled spec."""
        limb = LIMB * task["limb_length"]
        height = FOOT + 2 * limb * math.cos(HOME[1])
        spec = _world(task["slope"], task["friction"])
        trunk = spec.worldbody.add_body(name="trunk", pos=[0, 0, height])
        trunk.add_freejoint(name="base")
        _add_trunk(trunk)
        _add_payload(trunk, task["payload"], task["payload_offset"])
        _add_view(trunk, task["slope"])
        for leg in LEGS:
            _add_leg(spec, trunk, leg, limb, dead=task["dead_leg"] == leg)
        home = _HOME.tolist()
        spec.add_key(name="home", qpos=[0, 0, height, 1, 0, 0, 0, *home], ctrl=home)
        return spec

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
        sim.ctrl[:] = _HOME + ACTION_SCALE * action

    def observe(self, sim: Simulation) -> Tensor:
        """What the robot senses, and its command: see the class, (n, 48)."""
        linear, angular = self._velocities(sim)
        return torch.cat(
            [
                linear,
                0.25 * angular,
                self._gravity(sim),
                sim.qpos[:, 7:] - _HOME,
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
        fallen = self.terminated(sim).double()
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
        low = sim.qpos[:, 2] < FALL_HEIGHT
        return low | (upright[:, 2] < math.cos(FALL_TILT))

    def success(self, sim: Simulation) -> Tensor:
        """See `success_measure`, (n,) 0 or 1."""
        score = self.metrics(sim)
        good = (score["velocity_error"] < TOLERANCE) & (score["fall"] == 0)
        return good.double()

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
        slope = sim.parameters["slope"]
        down = torch.stack([-slope.sin(), torch.zeros_like(slope), -slope.cos()], -1)
        return _inverse_rotate(sim.qpos[:, 3:7], down)

    @staticmethod
    def _command(sim: Simulation) -> Tensor:
        """Commanded forward, left and turning velocity, (n, 3)."""
        names = ("forward_velocity", "left_velocity", "turn_rate")
        return torch.stack([sim.parameters[name] for name in names], -1)


def _inverse_rotate(quaternion: Tensor, vector: Tensor) -> Tensor:
    """``vector`` (n, 3) or (3,) seen from a frame turned by ``quaternion`` (n, 4)."""
    w, axis = quaternion[:, :1], quaternion[:, 1:]
    vector = vector.expand_as(axis)
    twist = 2 * torch.linalg.cross(vector, axis)
    return vector + w * twist + torch.linalg.cross(twist, axis)


# -- the model -----------------------------------------------------------------------


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
