"""Robots from URDF files: what MuJoCo's own reader asks for, or does not say.

MuJoCo reads URDF, but it finds no ROS packages, takes a joint whose limits are in the
wrong order for one without limits, and knows neither velocity limits nor actuators.
"""

import os
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path

from metarl.errors import InputError, unknown
from metarl.simulation.engine import mujoco

FORMATS = (".stl", ".obj", ".msh")
"""Mesh files that MuJoCo reads."""

_JOINTS = (
    *("revolute", "continuous", "prismatic", "fixed"),
    *("floating", "planar", "spherical"),
)
_CHECKED = ("compiler", "option", "size")
"""What MuJoCo reads of the element <mujoco>, unchecked."""


def load(
    path: Path,
    root: ET.Element,
    *,
    visual: bool | None = None,
    balance_inertia: bool = False,
    meshes: Path | None = None,
) -> tuple["mujoco.MjSpec", Mapping[str, float]]:
    """A robot from a URDF file, and the velocity limits of its joints.

    Every link is a body of its name. What its <mujoco> element says holds.

    Args:
        path: the file.
        root: its content; changed in place.
        visual: whether to keep what is only looked at; default: what the file says
            by `discardvisual`, or no.
        balance_inertia: mend inertias that no body can have.
        meshes: where mesh files are, if not where the file says.

    Raises:
        InputError: naming the file and the link or joint that is wrong.
    """
    _check(path, root)
    compiler = _compiler(path, root)
    if visual is None:
        visual = compiler.get("discardvisual", "true") == "false"
    folders = [path.parent / compiler.get("meshdir", "")]
    stripped = compiler.get("strippath", "false") == "true"
    _drop_visuals(root, keep=visual)
    _find_meshes(path, root, [meshes] if meshes else folders, stripped)
    compiler.attrib |= {"discardvisual": "false", "strippath": "false"}
    compiler.attrib.pop("meshdir", None)
    compiler.set("fusestatic", compiler.get("fusestatic", "false"))
    if balance_inertia:
        compiler.set("balanceinertia", "true")
    try:
        spec = mujoco.MjSpec.from_string(ET.tostring(root, encoding="unicode"))
    except ValueError as error:
        raise InputError(f"{path}: {_plain(error)}") from error
    spec.compiler.discardvisual = not visual
    # Wheels that are driven by a stiff servo are unstable under MuJoCo's default.
    if root.find("mujoco/option[@integrator]") is None:
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    for geom in spec.geoms:
        seen = [g for g in geom.parent.geoms if not (g.contype or g.conaffinity)]
        if seen and (geom.contype or geom.conaffinity):
            geom.group = 3  # not drawn over what is to be seen
    limits = {
        str(joint.get("name")): _number(joint.find("limit"), "velocity")
        for joint in root.findall("joint")
    }
    return spec, limits


def compile_error(path: Path, error: Exception) -> InputError:
    """What to say of a robot that MuJoCo does not compile."""
    said = _plain(error)
    if "balanceinertia" in said:
        said += " No body has such an inertia: correct it, or give balance_inertia=True"
    elif "mass and inertia" in said:
        said += " Give the link an <inertial> with a mass, or a <collision>"
    return InputError(f"{path}: {said}.")


def _plain(error: Exception) -> str:
    """MuJoCo's message in one line."""
    lines = str(error).removeprefix("Error: ").removeprefix("XML Error: ").splitlines()
    what, *where = [line.rstrip(",. ") for line in lines if line.strip()] or ["refused"]
    return f"{what} ({'; '.join(where)})." if where else f"{what}."


def _check(path: Path, root: ET.Element) -> None:
    """Refuse what MuJoCo refuses without a name, or takes for something else."""
    if any("xacro" in str(element.tag) for element in root.iter()):
        raise InputError(
            f"{path} is a xacro file. Expand it first: xacro FILE > robot.urdf"
        )
    links = _names(path, root, "link")
    joints = _names(path, root, "joint")
    if not links:
        raise InputError(f"{path} has no <link>.")
    parents: dict[str, str] = {}
    still: list[str] = []
    for name, joint in joints.items():
        where = f"{path}: joint {name!r}"
        kind = joint.get("type", "none")
        if kind not in _JOINTS:
            raise unknown(f"type of joint {name!r} in {path}:", kind, _JOINTS)
        ends = [_attribute(joint.find(end), "link") for end in ("parent", "child")]
        for role, link in zip(("parent", "child"), ends, strict=True):
            if link not in links:
                raise InputError(f"{where} has no {role}: there is no link {link!r}.")
        if ends[1] in parents:
            raise InputError(f"{where} gives link {ends[1]!r} a second parent.")
        parents[ends[1]] = ends[0]
        mimic = joint.find("mimic")
        if mimic is not None and mimic.get("joint") not in joints:
            raise InputError(f"{where} mimics {mimic.get('joint')!r}, which is none.")
        if kind in ("revolute", "prismatic") and mimic is None:
            limit = joint.find("limit")
            low, high = (_number(limit, end) for end in ("lower", "upper"))
            if low > high:
                raise InputError(f"{where} moves from {low:g} to {high:g}: no range.")
            if low == high:  # for MuJoCo, one without any limits
                still.append(name)
                joint.set("type", "fixed")
    roots = [link for link in links if link not in parents]
    if len(roots) != 1:
        found = f"{len(roots)} root links ({', '.join(roots)})" if roots else "a circle"
        raise InputError(f"{path} has {found}: its joints must make one tree.")
    if still:
        warnings.warn(
            f"{path}: joints whose limits leave them no range are fixed: "
            f"{', '.join(still)}. Give them <limit lower=... upper=...>, or make them "
            "continuous.",
            RuntimeWarning,
            stacklevel=5,
        )


def _names(path: Path, root: ET.Element, kind: str) -> dict[str, ET.Element]:
    found: dict[str, ET.Element] = {}
    for element in root.findall(kind):
        name = element.get("name")
        if not name or name in found:
            said = f"two {kind}s named {name!r}" if name else f"a {kind} without a name"
            raise InputError(f"{path} has {said}.")
        found[name] = element
    return found


def _compiler(path: Path, root: ET.Element) -> ET.Element:
    """The element <mujoco><compiler/></mujoco>, made if need be.

    MuJoCo checks nothing within <mujoco>; the same in an MJCF file it does.
    """
    mine = root.find("mujoco")
    if mine is None:
        mine = ET.SubElement(root, "mujoco")
    wrong = [child.tag for child in mine if child.tag not in _CHECKED]
    if wrong:
        raise unknown(f"element in <mujoco> of {path}:", wrong[0], _CHECKED)
    try:
        mujoco.MjSpec.from_string(ET.tostring(mine, encoding="unicode"))
    except ValueError as error:
        raise InputError(f"<mujoco> in {path}: {_plain(error)}") from error
    compiler = mine.find("compiler")
    return ET.SubElement(mine, "compiler") if compiler is None else compiler


def _drop_visuals(root: ET.Element, keep: bool) -> None:
    """Leave out what is only looked at, unless a link's inertia follows from it."""
    for link in root.findall("link"):
        if not keep and link.find("inertial") is not None:
            for visual in link.findall("visual"):
                link.remove(visual)


def _find_meshes(
    path: Path, root: ET.Element, folders: list[Path], stripped: bool
) -> None:
    """Replace the names of mesh files by where they are."""
    undrawn: list[str] = []
    for link, part, mesh in _meshes(root):
        name = mesh.get("filename", "")
        places = list(_places(name, path, folders, stripped))
        # A file of another format beside it will do.
        others = (p.with_suffix(s) for p in places for s in FORMATS)
        readable = [p for p in places if p.suffix.lower() in FORMATS]
        file = next((p for p in (*readable, *others) if p.is_file()), None)
        if file is not None:
            mesh.set("filename", str(file.resolve()))
        elif part.tag == "visual" and any(p.is_file() for p in places):
            undrawn.append(Path(name).name)
            link.remove(part)
        elif any(p.is_file() for p in places):
            raise InputError(
                f"{path}: link {link.get('name')!r} collides by the mesh {name}, which "
                f"MuJoCo does not read. Convert it to one of {', '.join(FORMATS)}, "
                "beside it."
            )
        else:
            looked = dict.fromkeys(str(p) for p in places)
            raise InputError(
                f"{path}: link {link.get('name')!r} has the mesh {name}, which is not "
                f"there. Looked for {', '.join(list(looked)[:4])}. Say where meshes "
                "are: meshes=FOLDER."
            )
    if undrawn:
        warnings.warn(
            f"{path}: MuJoCo does not read {', '.join(dict.fromkeys(undrawn))}, so "
            f"they are not drawn. Convert them to one of {', '.join(FORMATS)}.",
            RuntimeWarning,
            stacklevel=5,
        )


def _meshes(root: ET.Element) -> Iterator[tuple[ET.Element, ET.Element, ET.Element]]:
    """Each mesh with its link and with the <visual> or <collision> that it is in."""
    for link in root.findall("link"):
        for part in [*link.findall("visual"), *link.findall("collision")]:
            for mesh in part.findall("geometry/mesh"):
                yield link, part, mesh


def _places(
    name: str, path: Path, folders: list[Path], stripped: bool
) -> Iterator[Path]:
    """Where a mesh file may be, the likeliest place first."""
    scheme, separator, rest = name.rpartition("://")
    if separator and scheme == "file":
        yield Path("/" + rest.lstrip("/"))
        return
    if separator:  # package://NAME/rest, model://NAME/rest
        package, _, rest = rest.partition("/")
        for ancestor in path.resolve().parents:
            if ancestor.name == package:
                yield ancestor / rest
            yield ancestor / package / rest
        for root in filter(None, os.environ.get("ROS_PACKAGE_PATH", "").split(":")):
            yield from (Path(root) / package / rest, Path(root) / rest)
        for root in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(":")):
            yield Path(root) / "share" / package / rest
    for folder in folders:
        if not stripped:
            yield folder / rest
        if separator:
            yield folder / package / rest
        if stripped or separator:
            yield folder / Path(rest).name
    if separator:  # a package whose folder has another name
        yield from (ancestor / rest for ancestor in path.resolve().parents)


def _attribute(element: ET.Element | None, name: str) -> str:
    return "" if element is None else element.get(name, "")


def _number(element: ET.Element | None, name: str) -> float:
    """An attribute as a number, 0 where there is none; MuJoCo says if it is none."""
    try:
        return float(_attribute(element, name) or 0)
    except ValueError:
        return 0.0
