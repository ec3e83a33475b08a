"""Many simulations, each on the model of its own task, as torch tensors.

    sim = Simulation(family, tasks, copies=20)
    sim.qpos                  # (n, nq) float64, live: a write is the state
    sim.sensordata            # (n, ...) live, for families with `derived`
    sim.parameters["goal"]    # (n, 2): the value of each simulation's task
    sim.memory["x"]           # whatever the family keeps between steps

`mujoco.batch.Batch` steps them on a C++ thread pool; the tensors share its memory.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mujoco.batch import DATA_FIELDS, Batch, SimulationError
from numpy.typing import NDArray
from torch import Tensor

from metarl.engine import cores, mujoco
from metarl.errors import InputError
from metarl.tasks import Task

if TYPE_CHECKING:
    from metarl.family import TaskFamily

_ACCELERATION_STAGE = int(mujoco.mjtStage.mjSTAGE_ACC)
_VELOCITY_STAGE = int(mujoco.mjtStage.mjSTAGE_VEL)
_NO_STAGE = int(mujoco.mjtStage.mjSTAGE_NONE)
_SIZES = (
    *("nq", "nv", "nu", "na", "nbody", "njnt", "ngeom", "nsite", "ncam", "nlight"),
    *("nmocap", "ntendon", "neq", "nsensor", "nsensordata", "nhistory", "nuserdata"),
)
# Bad positions, velocities and accelerations, which follow one another.
_DIVERGED = slice(
    int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQACC) + 1
)


class Simulation:
    """``len(tasks) * copies`` simulations, those of one task next to each other.

    Args:
        family: whose models to simulate.
        tasks: the tasks.
        copies: simulations of each task.
        threads: threads of the pool; 0 takes all cores that this process may use.
    """

    def __init__(
        self,
        family: "TaskFamily",
        tasks: Sequence[Task],
        copies: int = 1,
        threads: int = 0,
    ) -> None:
        self.family = family
        self.n = len(tasks) * copies
        self.model = family.nominal_model
        self._stage = _stage(self.model) if family.derived else _NO_STAGE
        self.batch = Batch(
            self.model, self.n, threads or cores(), persistent=family.derived
        )
        self._tensors: dict[str, Tensor] = {}
        self.memory: dict[str, Tensor] = {}
        self.parameters: dict[str, Tensor] = {}
        self._models = [self.model] * self.n
        self._tasks = [task for task in tasks for _ in range(copies)]
        self._renderer: Any = None
        self._drawn: Task | None = None
        self._failed = np.zeros(self.n, np.int64)
        low, high = torch.from_numpy(self.model.actuator_ctrlrange.copy()).T
        self.control_centre = (high + low) / 2
        self.control_half = (high - low) / 2
        self._key = 0 if self.model.nkey else -1
        self._history = _resting_history(self.model) if self.model.nhistory else None
        self.set_tasks(self._tasks)

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

    def set_tasks(
        self, tasks: Sequence[Task], ids: Sequence[int] | None = None
    ) -> None:
        """Run the simulations ``ids`` (default: all) on the models of ``tasks``.

        Raises:
            InputError: if a model has other sizes than the nominal one.
        """
        places = range(self.n) if ids is None else ids
        columns = self.family.space.columns(tasks)
        if ids is None:
            self.parameters = columns
        else:
            at = torch.as_tensor(list(ids))
            for name, column in columns.items():
                self.parameters[name][at] = column
        for place, task in zip(places, tasks, strict=True):
            self._tasks[place] = task.before_switch
            self._models[place] = self.family.model(task.before_switch)
        try:
            self.batch.set_models(self._models)
        except mujoco.FatalError as error:
            raise self._misfit() or error from error

    def reset(self, ids: Tensor) -> None:
        """Put simulations at the first keyframe or the defaults, before any noise."""
        rows = ids.numpy()
        # Forwarding comes after the family wrote its own start: see `refresh`.
        self.batch.reset(rows, keyframe=self._key, stage=_NO_STAGE)
        if self._history is not None:
            self.history[ids] = self._history
        for tensor in self.memory.values():
            tensor[ids] = 0

    def refresh(self, ids: Tensor | None = None) -> None:
        """Make derived fields current after writes to the state."""
        if self.family.derived:
            rows = None if ids is None else ids.numpy()
            self.batch.forward(rows, stage=self._stage)

    def step(self, ids: Tensor | None = None) -> None:
        """One control step of the simulations ``ids`` (default: all)."""
        rows = None if ids is None else ids.numpy()
        try:
            self.batch.step(rows, nstep=self.family.substeps, stage=self._stage)
        except SimulationError as error:  # the others ran to completion
            self._failed[error.ids] += 1

    def diverged(self) -> np.ndarray:
        """How often each simulation has blown up or failed so far, (n,) int."""
        return self.batch.warning[:, _DIVERGED, 1].sum(1) + self._failed

    def snapshot(self) -> Tensor:
        """The full state of every simulation, (n, ...)."""
        return torch.from_numpy(self.batch.state).clone()

    def restore(self, state: Tensor) -> None:
        """Take over what `snapshot` returned; `refresh` follows."""
        self.batch.state[:] = state.numpy()

    def picture(self, index: int = 0) -> NDArray[np.uint8]:
        """A simulation as it is now, seen by the family's camera, (360, 480, 3)."""
        # A renderer draws the model that it was made with.
        if self._drawn != self._tasks[index]:
            self.close()
            model = self.family.portrait(self._tasks[index])
            self._renderer = mujoco.Renderer(model, 360, 480)
            self._drawn = self._tasks[index]
        # The portrait may have other meshes, but positions mean the same in it.
        model = self._renderer.model
        data = mujoco.MjData(model)
        for name in ("qpos", "mocap_pos", "mocap_quat"):
            getattr(data, name)[:] = getattr(self, name)[index].numpy()
        mujoco.mj_forward(model, data)
        self._renderer.update_scene(data, camera=self.family.camera)
        return self._renderer.render()

    def close(self) -> None:
        """Free what draws."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = self._drawn = None

    def remember(self, name: str, like: Tensor) -> Tensor:
        """The family's memory ``name``, (n, ...), made of zeros on first use."""
        if name not in self.memory:
            self.memory[name] = torch.zeros_like(like)
        return self.memory[name]

    def _misfit(self) -> InputError | None:
        """What to say of a model that does not have the sizes of the nominal one."""
        for task, model in zip(self._tasks, self._models, strict=True):
            differing = [
                f"{size} = {getattr(model, size)} instead of "
                f"{getattr(self.model, size)}"
                for size in _SIZES
                if getattr(model, size) != getattr(self.model, size)
            ]
            if differing:
                return InputError(
                    f"The model of the task {task} has {', '.join(differing)}, unlike "
                    f"the nominal model of {self.family.name}. All tasks must give the "
                    "same sizes: build everything in all of them, and make what one "
                    "has not tiny, massless or out of reach."
                )
        return None


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
