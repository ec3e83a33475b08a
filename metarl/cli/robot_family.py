"""What `metarl new --robot` needs to know of a robot to write a family for it."""

import math
import os
import warnings
from pathlib import Path
from typing import Any, Literal

from metarl.errors import InputError
from metarl.simulation.engine import mujoco
from metarl.simulation.sources import MENAGERIE, robot

Base = Literal["file", "fixed", "free"]

_CONTROL_PERIOD = 0.02  # s, about


def fill(template_folder: Path, source: str, base: Base, path: Path) -> str:
    """The text of a family for a robot: it walks, hovers or takes postures.

    Args:
        template_folder: where the three starting files are.
        source: a file, or "menagerie:NAME".
        base: fixed, free, or as the file has it.
        path: of the file to be written, to which a robot's file is named relatively.

    Raises:
        InputError: if the robot cannot be read, or fits none of the three.
    """
    options: dict[str, Any] = {}
    if base != "file":
        options["fixed_base"] = base == "fixed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again with the first check
        if _is_urdf(source):
            options["actuators"] = "position"
        model = robot(source, **options).compile()
        flies = _is_free(model) and model.njnt == 1
        if not flies and ("actuators" in options or not _are_servos(model)):
            options["actuators"] = _kinds(model)
            model = robot(source, **options).compile()
    name = "hover" if flies else "walk" if _is_free(model) else "posture"
    carrier = int(model.jnt_bodyid[0]) if _is_free(model) else _tip(model)
    carried = 0.05 * float(model.body_subtreemass[model.body_rootid[carrier]])
    substeps = max(1, round(_CONTROL_PERIOD / model.opt.timestep))
    place = f"Path(__file__).parent / {_relative(source, path)!r}"
    values = {
        "ROBOT": repr(source) if source.startswith(MENAGERIE) else place,
        "BASE": repr(model.body(carrier).name),
        "TIP": repr(model.body(carrier).name),
        "PAYLOAD": f"{carried:.1g}",
        "HEIGHT": f"{_height(model):.2g}",
    }
    lines = (template_folder / f"{name}.py").read_text().splitlines(keepends=True)
    for index, line in enumerate(lines):
        word, equals, rest = line.partition(" = ")
        if equals and word in values:
            note = rest.partition("  # ")[2].strip()
            ending = f"  # {note}\n" if note else "\n"
            lines[index] = f"{word} = {values[word].replace(chr(39), chr(34))}{ending}"
    text = "".join(lines)
    if not source.startswith(MENAGERIE):
        text = text.replace(
            "\nimport torch\n", "\nfrom pathlib import Path\n\nimport torch\n", 1
        )
    given = "".join(f", {name}={_quoted(value)}" for name, value in options.items())
    text = text.replace("robot(ROBOT, visual", f"robot(ROBOT{given}, visual")
    return text.replace("substeps = 10 ", f"substeps = {substeps} ")


def _kinds(model: "mujoco.MjModel") -> str | dict[str, str]:
    """Servos; motors for joints without limits, such as wheels, of what drives."""
    names = [model.joint(i).name for i in range(model.njnt)]
    turns = {
        name: "motor"
        for i, name in enumerate(names)
        if model.jnt_type[i] == int(mujoco.mjtJoint.mjJNT_HINGE)
        and not model.jnt_limited[i]
        and any(model.actuator_trnid[:, 0] == i)
    }
    if not _is_free(model) or not turns:
        return "position"
    others = any(model.jnt_limited) or len(turns) < model.nu
    return {**turns, **({"*": "position"} if others else {})}


def _quoted(value: Any) -> str:
    return repr(value).replace("'", '"')


def _is_urdf(source: str) -> bool:
    return Path(source).suffix.lower() == ".urdf"


def _relative(source: str, path: Path) -> str:
    """A robot's file from the folder of the family's file."""
    return os.path.relpath(Path(source).resolve(), path.resolve().parent)


def _is_free(model: "mujoco.MjModel") -> bool:
    free = int(mujoco.mjtJoint.mjJNT_FREE)
    return model.njnt > 0 and int(model.jnt_type[0]) == free


def _are_servos(model: "mujoco.MjModel") -> bool:
    """Whether every actuator goes to the position that its control says."""
    affine = int(mujoco.mjtBias.mjBIAS_AFFINE)
    servo = (model.actuator_biastype == affine) & (model.actuator_biasprm[:, 1] != 0)
    ranged = model.actuator_ctrlrange[:, 0] < model.actuator_ctrlrange[:, 1]
    return bool((servo & ranged & (model.actuator_gainprm[:, 0] != 0)).all())


def _tip(model: "mujoco.MjModel") -> int:
    """The moving body with the most moving bodies between it and the ground."""
    depth = [0] * model.nbody
    for body in range(1, model.nbody):
        depth[body] = depth[model.body_parentid[body]] + int(
            model.body_jntnum[body] > 0
        )
    tip = depth.index(max(depth))
    if not depth[tip]:
        raise InputError("The robot has no joint that moves.")
    return tip


def _height(model: "mujoco.MjModel") -> float:
    """Height of the base where an episode starts, m."""
    if not model.nq >= 3:
        return math.nan
    return float((model.key_qpos[0] if model.nkey else model.qpos0)[2])
