"""MuJoCo Warp as a `Simulation`: thousands of worlds on a GPU, in float32.

    sim = MujocoWarp(family.models, family.space, tasks, substeps=5, device="cuda:0")
    sim.qpos                  # (n, nq) float32 on the device, live

Models are compiled by MuJoCo as for the CPU; their numbers go to the device as a table
of the distinct tasks, from which each world gathers its row. A control step is one
CUDA graph. The results agree with MuJoCo's in float32: see docs/gpu.md.
"""

import warnings
from collections.abc import Callable, Sequence

import mujoco_warp
import numpy as np
import torch
import warp
from mujoco_warp import OverflowType
from numpy.typing import NDArray
from torch import Tensor

from metarl.simulation.engine import mujoco
from metarl.simulation.models import TaskModels
from metarl.simulation.pictures import Pictures
from metarl.simulation.warp_models import WorldModels, row, wanted_room
from metarl.tasks.space import ParameterSpace
from metarl.tasks.task import Task

_STATE = (
    *("time", "qpos", "qvel", "act", "ctrl", "history", "mocap_pos", "mocap_quat"),
    *("qacc_warmstart", "qfrc_applied", "xfrc_applied"),
)
_CONTACTS = int(
    OverflowType.BROADPHASE
    | OverflowType.NARROWPHASE
    | OverflowType.CCD
    | OverflowType.HFIELD
)
_CONSTRAINTS = int(OverflowType.NEFC | OverflowType.NJMAX_NNZ)
_HUGE = 1e10  # a position or velocity that MuJoCo calls bad
_RUNGE_KUTTA = int(mujoco.mjtIntegrator.mjINT_RK4)


class MujocoWarp:
    """``len(tasks) * copies`` worlds, those of one task next to each other.

    It keeps the contract of `metarl.simulation.protocol.Simulation`.

    Args:
        models: the compiled models of tasks.
        space: that the tasks belong to.
        tasks: the tasks.
        copies: worlds of each task.
        substeps: physics steps a control step.
        device: "cuda:0", or "cpu", which is slow and serves tests.
        room: for contacts and constraints in a world; default: as the model asks.

    Raises:
        InputError: for a model that MuJoCo Warp does not simulate, or tasks that differ
            in what all worlds share.
    """

    def __init__(
        self,
        models: TaskModels,
        space: ParameterSpace,
        tasks: Sequence[Task],
        copies: int = 1,
        *,
        substeps: int = 1,
        device: str = "cuda:0",
        room: tuple[int, int] | None = None,
    ) -> None:
        self.models = models
        self.space = space
        self.substeps = substeps
        self.n = len(tasks) * copies
        self.device = torch.device(device)
        self.model = models.nominal
        self.tasks = [task for task in tasks for _ in range(copies)]
        """The task that rules each world now, without its switches."""
        self.memory: dict[str, Tensor] = {}
        self.parameters: dict[str, Tensor] = {}
        self._nominal = row(self.model, self.model, space.family)
        self._own = {
            name: self._tensor(value).expand(self.n, *value.shape).clone()
            for name, value in self._nominal.items()
            if name.startswith("start/") or name in ("order", "control_range")
        }
        """What each world has of its own and Warp does not know of, (n, ...)."""
        self._commands: Tensor | None = None
        """Controls in the tasks' own order, (n, nu), where that is not the nominal."""
        self._graphs: dict[Callable[[], None], warp.Graph] = {}
        self._live: dict[str, Tensor] = {}
        self._stale = True
        self._bad = torch.zeros(self.n, dtype=torch.bool, device=self.device)
        self._counts = {
            name: torch.zeros(self.n, dtype=torch.int64, device=self.device)
            for name in ("contacts", "constraints", "positions")
        }
        self._room = room or wanted_room(self.model)
        self._known_overflows = 0
        self._pictures = Pictures()
        self._shared = WorldModels(self.model, self._nominal, self.n, device)
        self._make_data()
        self.set_tasks(self.tasks)
        self.reset(torch.ones_like(self._bad))

    # -- fields ------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Tensor:
        # Reached only for names that are not attributes: fields of MjData.
        if name.startswith("_"):
            raise AttributeError(name)
        field = self._field(name)
        if self._commands is None or not (name == "ctrl" or name[:9] == "actuator_"):
            return field
        if name == "ctrl":
            return self._commands
        return field.gather(1, self._own["order"].argsort(1))

    def _field(self, name: str) -> Tensor:
        """A live array of the data, (n, ...), the matrices in it flat."""
        if name not in self._live:
            array = getattr(self._data, name, None)
            if not isinstance(array, warp.array) or array.shape[:1] != (self.n,):
                raise AttributeError(f"MuJoCo Warp has no field {name!r}.")
            tensor = warp.to_torch(array)
            self._live[name] = tensor.flatten(2) if tensor.ndim > 3 else tensor
        return self._live[name]

    @property
    def control_centre(self) -> Tensor:
        """Middle of each actuator's control range in each task, (n, nu)."""
        return self._own["control_range"].mean(-1)

    @property
    def control_half(self) -> Tensor:
        """Half the width of each actuator's control range in each task, (n, nu)."""
        low, high = self._own["control_range"].unbind(-1)
        return (high - low) / 2

    def sensor(self, name: str) -> Tensor:
        """The live values of a sensor, (n, its size)."""
        sensor = self.model.sensor(name)
        start = int(sensor.adr[0])
        return self.sensordata[:, start : start + int(sensor.dim[0])]

    def jac(self, body: int, point: Tensor) -> tuple[Tensor, Tensor]:
        """Jacobians of points fixed to a body, linear and angular, each (n, 3, nv)."""
        with warp.ScopedDevice(str(self.device)):
            linear, angular = (warp.zeros((self.n, 3, self.model.nv)) for _ in range(2))
            at = warp.from_torch(point.float().contiguous(), dtype=warp.vec3)
            bodies = warp.full(self.n, body, dtype=int)
            mujoco_warp.jac(self._shared.model, self._data, linear, angular, at, bodies)
        return warp.to_torch(linear), warp.to_torch(angular)

    def ray(self, origin: Tensor, along: Tensor, groups: Sequence[int]) -> Tensor:
        """Distances in m to what rays meet first, -1 for nothing, (n, rays)."""
        count = origin.shape[1]
        stop = [float(group in groups) for group in range(6)]
        with warp.ScopedDevice(str(self.device)):
            distance = warp.zeros((self.n, count))
            mujoco_warp.rays(
                self._shared.model,
                self._data,
                warp.from_torch(origin.float().contiguous(), dtype=warp.vec3),
                warp.from_torch(along.float().contiguous(), dtype=warp.vec3),
                warp.spatial_vector(*stop),
                True,
                warp.full(count, -1, dtype=int),
                distance,
                warp.zeros((self.n, count), dtype=int),
                warp.zeros((self.n, count), dtype=warp.vec3),
            )
        return warp.to_torch(distance)

    # -- tasks -------------------------------------------------------------------------

    def set_tasks(
        self, tasks: Sequence[Task], ids: Sequence[int] | None = None
    ) -> None:
        """Let tasks rule the worlds ``ids`` (default: all) from now on.

        Raises:
            InputError: if a task's model has another structure than the nominal one.
        """
        places = list(range(self.n) if ids is None else ids)
        at = torch.as_tensor(places, device=self.device)
        columns = self.space.columns(tasks)
        if ids is None:
            self.parameters = {n: self._tensor(c) for n, c in columns.items()}
        else:
            for name, column in columns.items():
                self.parameters[name][at] = self._tensor(column)
        plain = [task.before_switch for task in tasks]
        for place, task in zip(places, plain, strict=True):
            self.tasks[place] = task
        distinct = {task: index for index, task in enumerate(dict.fromkeys(plain))}
        which = torch.tensor([distinct[task] for task in plain], device=self.device)
        models = [self.models(task) for task in distinct]
        rows = [row(self.model, m, self.space.family) for m in models]
        if self._shared.admit(rows, models):
            self._graphs.clear()
        order = self._nominal["order"]
        if self._commands is None and any((r["order"] != order).any() for r in rows):
            self._commands = self._field("ctrl").clone()
        for name, live in self._rows().items():
            # A table of the distinct tasks goes to the device, where worlds gather.
            table = self._tensor(np.stack([row[name] for row in rows]))
            live[at] = table[which].reshape(len(at), *live.shape[1:]).to(live.dtype)
        self._stale = True

    def _rows(self) -> dict[str, Tensor]:
        """All that a world has of its own, live, (n, ...)."""
        placed = {name: self._field(name) for name in ("geom_xpos", "geom_xmat")}
        return self._shared.rows() | placed | self._own

    # -- time --------------------------------------------------------------------------

    def reset(self, mask: Tensor) -> None:
        """Put worlds at the first keyframe or the defaults, before any noise."""
        self._make_more_room()
        for name in _STATE:
            field = self._field(name)
            start = self._own.get(f"start/{name}")
            field[mask] = 0 if start is None else start[mask].to(field.dtype)
        if self._commands is not None:
            self._commands[mask] = self._own["start/ctrl"][mask]
        self._bad[mask] = False
        for tensor in self.memory.values():
            tensor[mask] = 0
        self._stale = True

    def refresh(self, mask: Tensor | None = None) -> None:
        """Make the fields that follow from the state current after writes to it."""
        self._run(self._derive)
        self._stale = False

    def step(self, active: Tensor | None = None) -> None:
        """One control step of the active worlds (default: all)."""
        if self._stale:
            self.refresh()
        if self._commands is not None:
            self._field("ctrl").copy_(self._commands.gather(1, self._own["order"]))
        # Warp steps all of them: those that rest are put back.
        before = None if active is None else self.snapshot()
        self._run(self._advance)
        self._count()
        if active is not None and before is not None:
            after = self.snapshot()
            self.restore(torch.where(active[:, None], after, before))
            self.refresh()

    def _advance(self) -> None:
        """A control step, and the fields that follow from the state after it."""
        whole = self.model.opt.integrator == _RUNGE_KUTTA
        for _ in range(self.substeps):
            if whole:
                mujoco_warp.step(self._shared.model, self._data)
            else:  # the first half of each step is the end of the one before
                mujoco_warp.step2(self._shared.model, self._data)
                mujoco_warp.step1(self._shared.model, self._data)
        if whole:
            self._derive()

    def _derive(self) -> None:
        mujoco_warp.step1(self._shared.model, self._data)

    def _run(self, work: Callable[[], None]) -> None:
        """Do what is captured as a CUDA graph when it is first done on a GPU."""
        with warp.ScopedDevice(str(self.device)):
            if self.device.type != "cuda":
                work()
                return
            if work not in self._graphs:
                # Once without: kernels are compiled, which no capture may do. It
                # changes the state, which is put back.
                state = self.snapshot()
                work()
                with warp.ScopedCapture() as capture:
                    work()
                self._graphs[work] = capture.graph
                self.restore(state)
                mujoco_warp.step1(self._shared.model, self._data)
            warp.capture_launch(self._graphs[work])

    # -- what goes wrong ---------------------------------------------------------------

    def _count(self) -> None:
        """Count overflows and divergence of the step that was just made."""
        overflow = self._field("overflow")
        self._counts["contacts"] += (overflow & _CONTACTS) != 0
        self._counts["constraints"] += (overflow & _CONSTRAINTS) != 0
        overflow.zero_()
        state = torch.cat([self._field("qpos"), self._field("qvel")], 1)
        bad = ~(state.abs() < _HUGE).all(1)  # NaN is not smaller, either
        self._counts["positions"] += bad & ~self._bad
        self._bad = bad

    def diverged(self) -> Tensor:
        """How often each world has blown up so far, (n,) int64."""
        return self._counts["positions"].clone()

    def warnings(self) -> dict[str, Tensor]:
        """How often each world has overflowed or blown up so far, each (n,) int64."""
        return {name: count.cpu() for name, count in self._counts.items()}

    def _make_more_room(self) -> None:
        """Double the room for contacts and constraints, if it has been too small."""
        lost = self._counts["contacts"] + self._counts["constraints"]
        total = int(lost.sum())
        if total == self._known_overflows:
            return
        self._known_overflows = total
        contacts, rows = self._room = (2 * self._room[0], 2 * self._room[1])
        warnings.warn(
            f"{self.space.family} on MuJoCo Warp: {total} steps of worlds had too "
            "little room for contacts or constraints and dropped some. From now on "
            f"there is room for {contacts} contacts and {rows} constraints a world.",
            RuntimeWarning,
            stacklevel=3,
        )
        state = self.snapshot()
        still = {n: self._field(n).clone() for n in ("geom_xpos", "geom_xmat")}
        self._make_data()
        self.restore(state)
        for name, value in still.items():
            self._field(name).copy_(value)

    def _make_data(self) -> None:
        contacts, rows = self._room
        with warp.ScopedDevice(str(self.device)):
            self._data = mujoco_warp.make_data(
                self.model, nworld=self.n, nconmax=contacts, njmax=rows
            )
        self._live.clear()
        self._graphs.clear()

    # -- state -------------------------------------------------------------------------

    def snapshot(self) -> Tensor:
        """The full state of every world, (n, ...)."""
        parts = [self._field(name).reshape(self.n, -1) for name in _STATE]
        if self._commands is not None:
            parts.append(self._commands)
        return torch.cat(parts, 1)

    def restore(self, state: Tensor) -> None:
        """Take over what `snapshot` returned; `refresh` follows."""
        fields = [self._field(name) for name in _STATE]
        if self._commands is not None:
            fields.append(self._commands)
        sizes = [field[0].numel() for field in fields]
        for field, part in zip(fields, state.split(sizes, 1), strict=True):
            field.copy_(part.reshape(field.shape))
        self._stale = True

    def remember(self, name: str, like: Tensor) -> Tensor:
        """The family's memory ``name``, (n, ...), made of zeros on first use."""
        if name not in self.memory:
            self.memory[name] = torch.zeros_like(like)
        return self.memory[name]

    def render(
        self, model: "mujoco.MjModel", camera: str | int, index: int = 0
    ) -> NDArray[np.uint8]:
        """A world as it is now, (360, 480, 3): see `MujocoBatch.render`."""
        return self._pictures.draw(self, model, camera, index)

    def close(self) -> None:
        """Free what draws."""
        self._pictures.close()

    def _tensor(self, value: "NDArray[np.float64] | Tensor") -> Tensor:
        """On the device, in float32 where it is not of whole numbers."""
        tensor = torch.as_tensor(value, device=self.device)
        return tensor.float() if tensor.is_floating_point() else tensor
