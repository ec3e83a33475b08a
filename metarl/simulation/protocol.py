"""What every simulation offers: all that an environment and a family may use.

A family is written once over (n, ...) tensors and does not know which simulation it
runs on, where its tensors live or how precise they are. So it makes new ones from those
that it has (``sim.qpos.new_zeros(sim.n)``) and names neither device nor dtype.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from metarl.tasks.task import Task


class Simulation(Protocol):
    """n simulations side by side, each on the physics of its own task.

    Fields of MuJoCo's MjData are attributes: ``sim.qpos`` is (n, nq), and a write to it
    is the state. Fields that follow from the state (``xpos``, ``sensordata``, ...) are
    current after `refresh` and `step`, for families with ``compute_kinematics``.
    """

    n: int
    """Number of simulations."""
    device: torch.device
    """Where all tensors live."""
    parameters: dict[str, Tensor]
    """Value of every parameter in each simulation's task, (n,) or (n, size)."""
    memory: dict[str, Tensor]
    """What the family keeps between steps: see `remember`."""

    def __getattr__(self, name: str) -> Tensor:
        """A field of MjData by its name, (n, ...)."""
        ...

    @property
    def control_centre(self) -> Tensor:
        """Middle of each actuator's control range in each task, (n, nu)."""
        ...

    @property
    def control_half(self) -> Tensor:
        """Half the width of each actuator's control range in each task, (n, nu)."""
        ...

    def sensor(self, name: str) -> Tensor:
        """The values of a sensor, (n, its size)."""
        ...

    def jac(self, body: int, point: Tensor) -> tuple[Tensor, Tensor]:
        """Jacobians of points fixed to a body, linear and angular, each (n, 3, nv).

        Args:
            body: its id.
            point: in world coordinates, m, (n, 3).
        """
        ...

    def ray(self, origin: Tensor, along: Tensor, groups: Sequence[int]) -> Tensor:
        """Distances in m to what rays meet first, -1 for nothing, (n, rays).

        Args:
            origin: of each ray, m, (n, rays, 3).
            along: unit vectors, (n, rays, 3).
            groups: groups of geoms that stop a ray.
        """
        ...

    def set_tasks(
        self, tasks: Sequence[Task], ids: Sequence[int] | None = None
    ) -> None:
        """Let tasks rule the simulations ``ids`` (default: all) from now on.

        Raises:
            InputError: if a task's model has other sizes than the nominal one.
        """
        ...

    def reset(self, mask: Tensor) -> None:
        """Put the simulations of ``mask``, (n,) bool, at the start of an episode.

        That is the first keyframe, or the model's defaults. Their memory is zero again.
        """
        ...

    def refresh(self, mask: Tensor | None = None) -> None:
        """Make the fields that follow from the state current after writes to it."""
        ...

    def step(self, active: Tensor | None = None) -> None:
        """One control step of the simulations of ``active``, (n,) bool; default: all.

        The others stay as they are.
        """
        ...

    def diverged(self) -> Tensor:
        """How often each simulation has blown up so far, (n,) int64."""
        ...

    def warnings(self) -> dict[str, Tensor]:
        """How often the engine has warned in each simulation so far, by what of.

        Each is (n,) int64; there is none where nobody counts.
        """
        ...

    def snapshot(self) -> Tensor:
        """The full state of every simulation, (n, ...)."""
        ...

    def restore(self, state: Tensor) -> None:
        """Take over what `snapshot` returned; `refresh` follows."""
        ...

    def remember(self, name: str, like: Tensor) -> Tensor:
        """The family's memory ``name``, (n, ...), made of zeros on first use."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...
