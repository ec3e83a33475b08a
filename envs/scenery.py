"""What the robots built of primitives share: the look of their world, and its parts."""

from collections.abc import Mapping, Sequence
from typing import Any

from metarl.simulation.engine import mujoco

Colour = tuple[float, float, float, float]

COLOURS: Mapping[str, Colour] = {
    "shell": (0.90, 0.91, 0.93, 1),
    "frame": (0.12, 0.13, 0.16, 1),
    "accent": (1.00, 0.45, 0.08, 1),
    "rubber": (0.05, 0.05, 0.06, 1),
    "lamp": (0.45, 0.95, 1.00, 1),
    "payload": (0.16, 0.55, 0.85, 1),
    "dead": (0.55, 0.10, 0.10, 1),
}
"""Materials of a robot, RGBA. The lamp shines."""


def add_looks(spec: "mujoco.MjSpec", **more: Colour) -> None:
    """Add sky, ground and materials: `COLOURS` and ``more``; "ground" is checkered."""
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
    for name, rgba in {**COLOURS, **more}.items():
        glow = 1.0 if name == "lamp" else 0.0
        spec.add_material(name=name, rgba=rgba, emission=glow, specular=0.4)
    spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
    spec.visual.headlight.diffuse = [0.35, 0.35, 0.35]
    spec.visual.quality.shadowsize = 4096
    spec.visual.map.shadowclip = 4.0
    spec.visual.rgba.haze = [0.55, 0.70, 0.86, 1]


def add_sun(body: "mujoco.MjsBody") -> None:
    """Add a light that goes where the robot goes."""
    follow = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM
    sun = body.add_light(name="sun", mode=follow, castshadow=True)
    sun.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    sun.pos, sun.dir = [-0.8, -0.6, 2.5], [0.35, 0.25, -1]
    sun.diffuse = [0.65, 0.65, 0.62]


def add_goal(spec: "mujoco.MjSpec", place: Sequence[float], radius: float) -> None:
    """Mark a goal on the ground, m, seen in pictures only: the site "goal"."""
    spec.worldbody.add_site(
        name="goal",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[radius, 0.003, 0],
        pos=[*place, 0.003],
        rgba=[0.15, 0.75, 0.40, 1],
    )


def add_part(
    body: "mujoco.MjsBody",
    kind: Any,
    size: list[float],
    material: str,
    mass: float = 0.0,
    contype: int = 0,
    **more: Any,
) -> None:
    """Add a geom; without mass and contacts by default."""
    more |= {"mass": mass, "contype": contype, "conaffinity": 0}
    body.add_geom(type=kind, size=size, material=material, **more)
