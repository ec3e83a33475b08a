"""Ground that is not flat: one height function, for the physics and for the family.

The robot starts at the origin on level ground and walks along x. The same function
fills MuJoCo's height field and tells how high the ground is below a robot.
"""

import math

import torch
from torch import Tensor

from metarl.simulation.engine import mujoco

KINDS = ("flat", "slope", "rough", "stairs")
"""In the order of the numbers that `height` knows them by."""
LEVEL = 0.25
"""Radius of the level ground around the start, m."""
RUN = 0.3
"""Depth of a stair, and the way in which a slope rises by one relief, m."""

_X, _Y = (-4.0, 12.0), (-4.0, 4.0)
"""Ends of the height field, m. Beyond them there is nothing."""
_CELL = 0.05
_WAVES = ((5.3, 1.9, 0.4), (-3.1, 4.7, 1.7), (8.9, -6.1, 2.9), (2.3, 9.7, 4.1))
"""Wave numbers along x and y, rad/m, and phases, rad, that make up rough ground."""


def height(x: Tensor, y: Tensor, kind: Tensor, relief: Tensor) -> Tensor:
    """Height of the ground in m; all arguments broadcast.

    Args:
        x: place along the way, m.
        y: place to its left, m.
        kind: index into `KINDS`.
        relief: rise of a slope on each `RUN`, tallest bump of rough ground from its
            mean, or rise of a stair, m.
    """
    x, y = x.clamp(*_X), y.clamp(*_Y)
    along = (x - LEVEL).clamp(min=0)
    slope = relief * along / RUN
    # The first rise lies at the end of the level ground, at x = LEVEL; a point of a
    # grid that misses it by a rounding error is not up yet.
    stairs = relief * torch.ceil(along / RUN - 1e-6)
    waves = sum(torch.sin(a * x + b * y + c) for a, b, c in _WAVES) / len(_WAVES)
    fade = (torch.hypot(x, y) / LEVEL - 1).clamp(0, 1)
    rough = relief * fade * waves
    flat = torch.zeros_like(slope)
    return torch.where(
        kind == 1,
        slope,
        torch.where(kind == 2, rough, torch.where(kind == 3, stairs, flat)),
    )


def add_terrain(spec: "mujoco.MjSpec", kind: str, relief: float) -> "mujoco.MjsGeom":
    """Add the height field and the geom that shows it.

    Args:
        spec: gets the field and the geom, both named `ground`.
        kind: one of `KINDS`.
        relief: see `height`.
    """
    columns = round((_X[1] - _X[0]) / _CELL) + 1
    rows = round((_Y[1] - _Y[0]) / _CELL / 2) + 1
    x = torch.linspace(*_X, columns, dtype=torch.float64)
    y = torch.linspace(*_Y, rows, dtype=torch.float64)[:, None]
    z = height(
        x, y, torch.tensor(KINDS.index(kind)), torch.tensor(relief, dtype=torch.float64)
    )
    low, high = float(z.min()), float(z.max())
    # MuJoCo scales what it is given to [0, 1]; a flat field stays at 0.
    size = [(_X[1] - _X[0]) / 2, (_Y[1] - _Y[0]) / 2, max(high - low, 1e-3), 0.5]
    spec.add_hfield(
        name="ground", size=size, nrow=rows, ncol=columns, userdata=z.flatten().tolist()
    )
    return spec.worldbody.add_geom(
        name="ground",
        type=mujoco.mjtGeom.mjGEOM_HFIELD,
        hfieldname="ground",
        pos=[math.fsum(_X) / 2, math.fsum(_Y) / 2, low],
        material="ground",
    )
