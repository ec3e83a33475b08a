"""MuJoCo's batch as a `Simulation`: on the CPU, in float64, bit for bit the same.

    sim = MujocoBatch(family.models, family.space, tasks, substeps=5)
    sim.qpos                  # (n, nq) float64, live: a write is the state
    sim.sensordata            # (n, ...) live, with kinematics
    sim.parameters["goal"]    # (n, 2): the value of each simulation's task

`mujoco.batch.Batch` steps them on a C++ thread pool; the tensors share its memory.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from mujoco.batch import DATA_FIELDS, Batch, SimulationError
from numpy.typing import NDArray
from torch import Tensor

from metarl.errors import InputError, RunError
from metarl.simulation.engine import WARNINGS, cores, mujoco
from metarl.simulation.models import TaskModels
from metarl.simulation.pictures import Pictures
from metarl.tasks.space import ParameterSpace
from metarl.tasks.task import Task

_ACCELERATION_STAGE = int(mujoco.mjtStage.mjSTAGE_ACC)
_VELOCITY_STAGE = int(mujoco.mjtStage.mjSTAGE_VEL)
_NO_STAGE = int(mujoco.mjtStage.mjSTAGE_NONE)
_GROUPS = 6  # of geoms, MuJoCo's mjNGROUP
_SIZES = (
    *("nq", "nv", "nu", "na", "nbody", "njnt", "ngeom", "nsite", "ncam", "nlight"),
    *("nmocap", "ntendon", "neq", "nsensor", "nsensordata", "nhistory", "nuserdata"),
    "narena",
)
# Bad positions, velocities and accelerations, which follow one another.
_DIVERGED = slice(
    int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQACC) + 1
)


class MujocoBatch:
    """``len(tasks) * copies`` simulations, those of one task next to each other.

    It keeps the contract of `metarl.simulation.protocol.Simulation`.

    Args:
        models: the compiled models of tasks.
        space: that the tasks belong to.
        tasks: the tasks.
        copies: simulations of each task.
        substeps: physics steps a control step.
        kinematics: whether fields that follow from the state (xpos, sensordata, ...)
            are current after a step. Without, steps are faster.
        threads: threads of the pool; 0 takes all cores that this process may use.
    """

    device = torch.device("cpu")

    def __init__(
        self,
        models: TaskModels,
        space: ParameterSpace,
        tasks: Sequence[Task],
        copies: int = 1,
        *,
        substeps: int = 1,
        kinematics: bool = True,
        threads: int = 0,
    ) -> None:
        self.models = models
        self.space = space
        self.substeps = substeps
        self.kinematics = kinematics
        self.n = len(tasks) * copies
        self.model = models.nominal
        self._stage = _stage(self.model) if kinematics else _NO_STAGE
        self.batch = Batch(
            self.model, self.n, threads or cores(), persistent=kinematics
        )
        self._tensors: dict[str, Tensor] = {}
        self.memory: dict[str, Tensor] = {}
        self.parameters: dict[str, Tensor] = {}
        self._held = [self.model] * self.n
        self.tasks = [task for task in tasks for _ in range(copies)]
        """The task that rules each simulation now, without its switches."""
        self._pictures = Pictures()
        self._failed = np.zeros(self.n, np.int64)
        self._warned = np.zeros((self.n, len(WARNINGS) - 1), np.int64)
        """In episodes before the running ones: a reset clears MuJoCo's counts."""
        self.control_centre = torch.zeros(self.n, self.model.nu, dtype=torch.float64)
        self.control_half = torch.zeros_like(self.control_centre)
        self._key = 0 if self.model.nkey else -1
        self._history = _resting_history(self.model) if self.model.nhistory else None
        self.set_tasks(self.tasks)

    def __getattr__(self, name: str) -> Tensor:
        # Reached only for names that are not attributes: fields of MjData.
        if name.startswith("_") or name not in DATA_FIELDS:
            raise AttributeError(f"A simulation has no field {name!r}.")
        if name not in self._tensors:
            array = self.batch.bind(name).view()
            array.flags.writeable = True  # torch knows no read-only tensors
            self._tensors[name] = torch.from_numpy(array)
        return self._tensors[name]

    def sensor(self, name: str) -> Tensor:
        """The live values of a sensor, (n, its size)."""
        sensor = self.model.sensor(name)
        start = int(sensor.adr[0])
        return self.sensordata[:, start : start + int(sensor.dim[0])]

    def jac(self, body: int, point: Tensor) -> tuple[Tensor, Tensor]:
        """Jacobians of points fixed to a body, linear and angular, each (n, 3, nv)."""
        linear, angular = self.batch.jac(body, point.numpy())
        return torch.from_numpy(linear), torch.from_numpy(angular)

    def ray(self, origin: Tensor, along: Tensor, groups: Sequence[int]) -> Tensor:
        """Distances in m to what rays meet first, -1 for nothing, (n, rays)."""
        stop = [int(group in groups) for group in range(_GROUPS)]
        distance, _ = self.batch.ray(origin.numpy(), along.numpy(), geomgroup=stop)
        return torch.from_numpy(distance)

    def set_tasks(
        self, tasks: Sequence[Task], ids: Sequence[int] | None = None
    ) -> None:
        """Let tasks rule the simulations ``ids`` (default: all) from now on.

        Raises:
            InputError: if a task's model has other sizes than the nominal one.
        """
        places = range(self.n) if ids is None else ids
        columns = self.space.columns(tasks)
        if ids is None:
            self.parameters = columns
        else:
            at = torch.as_tensor(list(ids))
            for name, column in columns.items():
                self.parameters[name][at] = column
        for place, task in zip(places, tasks, strict=True):
            self.tasks[place] = task.before_switch
            self._held[place] = self.models(task.before_switch)
        try:
            self.batch.set_models(self._held)
        except mujoco.FatalError as error:
            raise self._misfit(error) from error
        self._set_controls(list(places))

    def _set_controls(self, places: list[int]) -> None:
        """Scale controls by the ranges of each simulation's own model."""
        ranges = np.stack([self._held[place].actuator_ctrlrange for place in places])
        low, high = torch.from_numpy(ranges).movedim(-1, 0)
        self.control_centre[places] = (high + low) / 2
        self.control_half[places] = (high - low) / 2

    def reset(self, mask: Tensor) -> None:
        """Put simulations at the first keyframe or the defaults, before any noise."""
        # Forwarding comes after the family wrote its own start: see `refresh`.
        self._warned[mask.numpy()] += self.batch.warning[mask.numpy(), :, 1]
        self.batch.reset(_rows(mask), keyframe=self._key, stage=_NO_STAGE)
        if self._history is not None:
            self.history[mask] = self._history
        for tensor in self.memory.values():
            tensor[mask] = 0

    def refresh(self, mask: Tensor | None = None) -> None:
        """Make the fields that follow from the state current after writes to it.

        Raises:
            RunError: naming the task, if MuJoCo refuses its state.
        """
        if self.kinematics:
            try:
                self.batch.forward(_rows(mask), stage=self._stage)
            except SimulationError as error:
                index = int(error.ids[0])
                raise RunError(
                    f"MuJoCo refuses the state of the task {self.tasks[index]}: "
                    f"{self.batch.error(index)}"
                ) from error

    def step(self, active: Tensor | None = None) -> None:
        """One control step of the active simulations (default: all)."""
        try:
            self.batch.step(_rows(active), nstep=self.substeps, stage=self._stage)
        except SimulationError as error:  # the others ran to completion
            self._failed[error.ids] += 1
            text = self.batch.error(int(error.ids[0]))
            said = f"MuJoCo refuses a step of {self.space.family}: {text}"
            warnings.warn(f"{said}. It counts as diverged.", RuntimeWarning, 2)

    def diverged(self) -> Tensor:
        """How often each simulation has blown up or failed so far, (n,) int64."""
        counted = self.batch.warning[:, _DIVERGED, 1].sum(1) + self._failed
        return torch.from_numpy(counted).long()

    def warnings(self) -> dict[str, Tensor]:
        """How often MuJoCo has warned in each simulation so far, each (n,) int64."""
        counts = self._warned + self.batch.warning[:, :, 1]
        counts = np.concatenate([counts, self._failed[:, None]], 1)
        return dict(zip(WARNINGS, torch.from_numpy(counts).long().T, strict=True))

    def snapshot(self) -> Tensor:
        """The full state of every simulation, (n, ...)."""
        return torch.from_numpy(self.batch.state).clone()

    def restore(self, state: Tensor) -> None:
        """Take over what `snapshot` returned; `refresh` follows."""
        self.batch.state[:] = state.numpy()

    def remember(self, name: str, like: Tensor) -> Tensor:
        """The family's memory ``name``, (n, ...), made of zeros on first use."""
        if name not in self.memory:
            self.memory[name] = torch.zeros_like(like)
        return self.memory[name]

    def render(
        self, model: "mujoco.MjModel", camera: str | int, index: int = 0
    ) -> NDArray[np.uint8]:
        """A simulation as it is now, (360, 480, 3).

        Args:
            model: to draw: it may have other meshes, but positions mean the same in it.
            camera: a camera of it, or -1 for a free one.
            index: which simulation.
        """
        return self._pictures.draw(self, model, camera, index)

    def close(self) -> None:
        """Free what draws."""
        self._pictures.close()

    def _misfit(self, error: Exception) -> InputError:
        """What to say of a model that does not have the sizes of the nominal one."""
        for task, model in zip(self.tasks, self._held, strict=True):
            differing = [
                f"{size} = {getattr(model, size)} instead of "
                f"{getattr(self.model, size)}"
                for size in _SIZES
                if getattr(model, size) != getattr(self.model, size)
            ]
            if differing:
                return InputError(
                    f"The model of the task {task} has {', '.join(differing)}, unlike "
                    f"the nominal model of {self.space.family}. All tasks must give "
                    "the same sizes: build everything in all of them, and make what "
                    "one has not tiny, massless or out of reach."
                )
            if model.nbvh != self.model.nbvh:
                return InputError(
                    f"Meshes of the task {task} have other numbers of triangles than "
                    f"those of the nominal model of {self.space.family} (nbvh = "
                    f"{model.nbvh} instead of {self.model.nbvh}). Add the meshes of "
                    "all tasks in every task, and let its geoms choose among them; or "
                    "simulate without meshes, and draw with them in render_model()."
                )
        return InputError(
            f"Models of tasks of {self.space.family} do not go together: {error}."
        )


def _rows(mask: Tensor | None) -> NDArray[np.int64] | None:
    """Indices of the simulations of a mask; None for all of them."""
    if mask is None:
        return None
    rows: NDArray[np.int64] = mask.nonzero()[:, 0].numpy()
    return rows


def _stage(model: "mujoco.MjModel") -> int:
    """How far to compute the fields that are derived from a state.

    Forces and accelerations are those of the last physics step, unless a sensor reads
    them: it must tell the same of a state that has just been reset or loaded.
    """
    needed = model.sensor_needstage == _ACCELERATION_STAGE
    return _ACCELERATION_STAGE if needed.any() else _VELOCITY_STAGE


def _resting_history(model: "mujoco.MjModel") -> Tensor:
    """Buffers of delayed controls as if the first keyframe's had always been sent.

    MuJoCo starts them at zero, which for a position servo is a command to go there.
    """
    data = mujoco.MjData(model)
    if model.nkey:
        mujoco.mj_resetDataKeyframe(model, data, 0)
    for i in range(model.nu):
        room = int(model.actuator_history[i, 0])
        if room:
            times = model.opt.timestep * np.arange(-room, 0)
            values = np.full(room, data.ctrl[i])
            mujoco.mj_initCtrlHistory(model, data, i, times, values)
    return torch.from_numpy(data.history.copy())
