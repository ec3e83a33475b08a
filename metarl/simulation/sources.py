"""A robot of anybody's in one line: from MJCF, from URDF, or from MuJoCo Menagerie.

    robot("arm.urdf", actuators="position")
    robot("menagerie:unitree_go2")
    robot("rover.xml", actuators={"*_wheel": "velocity", "*": "position"})

What comes back is an `MjSpec` of one's own, to be changed for a task.
"""

import functools
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metarl.errors import InputError, unknown
from metarl.simulation import menagerie, urdf
from metarl.simulation.actuators import Numbers, Words, actuate
from metarl.simulation.bases import exclude_overlaps, set_base, set_keys
from metarl.simulation.engine import mujoco
from metarl.simulation.hulls import use_hulls

MENAGERIE = "menagerie:"
"""What a name of MuJoCo Menagerie begins with."""


def robot(
    source: str | Path,
    *,
    actuators: Words | None = None,
    kp: Numbers | None = None,
    kv: Numbers | None = None,
    effort: Numbers | None = None,
    velocity: Numbers | None = None,
    fixed_base: bool | None = None,
    floor: bool = True,
    visual: bool | None = None,
    balance_inertia: bool = False,
    meshes: str | Path | None = None,
) -> "mujoco.MjSpec":
    """A robot's model, ready to be simulated.

    A number or a word is for all joints, or a mapping by patterns of their names:
    ``kp={"*_hip": 40, "*": 20}``.

    Args:
        source: an MJCF or URDF file, or "menagerie:NAME", such as
            "menagerie:unitree_go2" or "menagerie:unitree_go2/go2_mjx".
        actuators: "motor", "position" or "velocity", in place of the file's; "none"
            for none. Default: the file's; motors where it has none.
        kp: gain of servos; default: all force at an error of a tenth of the range, or
            as much as the time step can follow.
        kv: damping of position servos; default: critical.
        effort: largest force of an actuator, N m or N; default: the file's limit.
        velocity: largest velocity of velocity servos; default: the file's limit.
        fixed_base: hold the base or let it move freely; default: as the file has it.
        floor: add floor, light and sky where the model has none.
        visual: keep what is only looked at, which may be large and slow to compile.
            Without, meshes that collide become their convex hulls, by which MuJoCo
            collides. Default: what the file says by `discardvisual`, which is yes for
            MJCF and no for URDF; no for the Menagerie. See `TaskFamily.build`.
        balance_inertia: mend inertias of a URDF file that no body can have.
        meshes: the folder of a URDF file's meshes, if not where the file says.

    Raises:
        InputError: naming the file, and the joint or link that is wrong.
        RunError: if a robot of the Menagerie cannot be downloaded.
    """
    name = str(source)
    if name.startswith(MENAGERIE):
        path = menagerie.find(name.removeprefix(MENAGERIE))
        visual = bool(visual)
    else:
        path = Path(source)
    if not path.is_file():
        raise InputError(f"No file {path} (looked in {Path.cwd()}).")
    options = {
        "visual": visual,
        "balance_inertia": balance_inertia,
        "meshes": Path(meshes) if meshes else None,
        "fixed_base": fixed_base,
    }
    changed = path.stat().st_mtime_ns
    spec, limits = _read(path.resolve(), changed, tuple(options.items()))
    spec = spec.copy()
    given = {"kp": kp, "kv": kv, "effort": effort, "velocity": velocity}
    if actuators == "none":
        model = spec.compile()
        for actuator in list(spec.actuators):
            spec.delete(actuator)
        none = np.zeros((model.nkey, 0))
        set_keys(spec, model, ctrl=none, act=none)
    elif actuators is not None or not spec.actuators:
        kinds = "motor" if actuators is None else actuators
        actuate(spec, path.name, kinds, limits=limits, **given)
    elif any(value is not None for value in given.values()):
        unused = ", ".join(what for what, value in given.items() if value is not None)
        raise InputError(
            f"{path.name} has actuators of its own, which {unused} does not change. "
            'Say which to put in their place: actuators="position", say.'
        )
    if floor:
        add_floor(spec)
    return spec


@functools.lru_cache(maxsize=16)
def _read(
    path: Path, changed: int, options: tuple[tuple[str, Any], ...]
) -> tuple["mujoco.MjSpec", dict[str, float]]:
    """A file's model before its actuators, kept until the file changes."""
    given = dict(options)
    root, fixed = _root(path), given.pop("fixed_base")
    velocities: Mapping[str, float] = {}
    if root.tag == "robot":
        spec, velocities = urdf.load(path, root, **given)
    elif root.tag == "mujoco":
        spec = _mjcf(path, given)
    else:
        raise InputError(
            f"{path} is neither URDF (<robot>) nor MJCF (<mujoco>): its element is "
            f"<{root.tag}>."
        )
    if given["visual"] is not None:
        spec.compiler.discardvisual = not given["visual"]
    try:
        set_base(spec, path.name, fixed)
        if root.tag == "robot":
            exclude_overlaps(spec)
        if spec.compiler.discardvisual:
            _simplify(spec)
        spec.compile()
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise urdf.compile_error(path, error) from error
    return spec, dict(velocities)


def _simplify(spec: "mujoco.MjSpec") -> None:
    """Keep what physics needs, once and for all: what is added later stays."""
    spec.discard_visual()
    use_hulls(spec)
    spec.compiler.discardvisual = False
    for geom in spec.geoms:
        geom.group = 0  # what is left is drawn, whatever its group was


def _mjcf(path: Path, given: dict[str, Any]) -> "mujoco.MjSpec":
    """A model from an MJCF file."""
    for what in ("balance_inertia", "meshes"):
        if given[what]:
            raise InputError(f"{path} is no URDF file: {what} has no effect on it.")
    try:
        return mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def _root(path: Path) -> ET.Element:
    """The outermost element of an XML file."""
    try:
        text = path.read_bytes()
        try:
            return ET.fromstring(text)
        except ET.ParseError:
            # Files of other programs use prefixes that they do not declare.
            prefixes = set(re.findall(rb"[<\s]([A-Za-z_][\w-]*):[A-Za-z_]", text))
            declared = b"".join(
                b' xmlns:%s="urn:%s"' % (p, p) for p in sorted(prefixes)
            )
            return ET.fromstring(
                re.sub(rb"<robot\b", b"<robot" + declared, text, count=1)
            )
    except (ET.ParseError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as XML: {error}. Robots come as URDF or MJCF files."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def add_floor(spec: "mujoco.MjSpec") -> None:
    """Add a floor, a light and a sky where a model has none."""
    grounds = (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD)
    sky = mujoco.mjtTexture.mjTEXTURE_SKYBOX
    if not any(texture.type == sky for texture in spec.textures):
        made = spec.add_texture(name=_free(spec.texture, "sky"), width=32, height=192)
        made.type, made.builtin = sky, mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
        made.rgb1, made.rgb2 = [0.55, 0.72, 0.90], [0.10, 0.16, 0.28]
    if not any(geom.type in grounds for geom in spec.geoms):
        name = _free(spec.material, "floor")
        checker = spec.add_texture(
            name=_free(spec.texture, "floor"), width=100, height=100
        )
        checker.type = mujoco.mjtTexture.mjTEXTURE_2D
        checker.builtin = mujoco.mjtBuiltin.mjBUILTIN_CHECKER
        checker.rgb1, checker.rgb2 = [0.30, 0.36, 0.42], [0.22, 0.27, 0.33]
        material = spec.add_material(name=name, texrepeat=[2, 2], texuniform=True)
        material.textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = checker.name
        spec.worldbody.add_geom(
            name=_free(spec.geom, "floor"),
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=[0, 0, 0.05],
            material=name,
        )
    if not spec.lights:
        spec.worldbody.add_light(
            name="sun",
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            pos=[-0.8, -0.6, 2.5],
            dir=[0.35, 0.25, -1],
        )
        spec.visual.quality.shadowsize = 4096
        spec.visual.map.shadowclip = 2.0  # shadows end where the floor is not seen


def add_payload(
    spec: "mujoco.MjSpec", body: str, mass: float, at: Sequence[float] = (0, 0, 0)
) -> None:
    """Give a robot's body something to carry that touches nothing: body "payload".

    Args:
        spec: changed in place.
        body: what carries it.
        mass: kg; 0 is no payload, in a model of the same sizes.
        at: its place in the frame of the body, m.

    Raises:
        InputError: if there is no such body.
    """
    carrier = spec.body(body)
    if carrier is None:
        raise unknown("body", body, [b.name for b in spec.bodies if b.name])
    carrier.add_body(name=_free(spec.body, "payload"), pos=at).add_geom(
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=[0.02, 0, 0],
        mass=mass,
        contype=0,
        conaffinity=0,
        group=4,  # not drawn
    )


def _free(lookup: Any, name: str) -> str:
    """A name that nothing has yet."""
    while lookup(name) is not None:
        name += "_"
    return name
