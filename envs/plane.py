"""Places in the plane, for robots whose first joint is free."""

import torch
from torch import Tensor

from metarl.simulation.protocol import Simulation


def polar(distance: Tensor | float, bearing: Tensor | float) -> Tensor:
    """The place at a distance in m and a bearing in rad from the origin, (..., 2)."""
    distance, bearing = (
        value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
        for value in (distance, bearing)
    )
    return torch.stack([distance * bearing.cos(), distance * bearing.sin()], -1)


def heading(sim: Simulation) -> Tensor:
    """Direction in which the robot looks, a unit vector in the plane, (n, 2)."""
    w, x, y, z = sim.qpos[:, 3:7].T
    ahead = torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z)], -1)
    return torch.nn.functional.normalize(ahead, dim=-1)


def seen_from_robot(sim: Simulation, place: Tensor) -> Tensor:
    """``place`` (n, 2) in the robot's own frame: forward and left, m, (n, 2)."""
    cos, sin = heading(sim).T
    x, y = (place - sim.qpos[:, :2]).T
    return torch.stack([cos * x + sin * y, cos * y - sin * x], -1)
