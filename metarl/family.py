"""A task family: a robot and a job whose physics and goal are parameters.

A family in ten lines, from any MJCF file:

    class Cart(TaskFamily):
        parameters = {"mass": Parameter(1.0, train=(0.5, 2.0), far=(2.0, 4.0))}

        def build(self, task):
            spec = mujoco.MjSpec.from_file("cart.xml")
            spec.body("cart").mass = task["mass"]
            return spec

        def observe(self, sim):
            return torch.cat([sim.qpos, sim.qvel], -1)

        def reward(self, sim, action):
            return -sim.qpos[:, 0].abs()

Everything else has a default. Families are written once over (n, ...) tensors; the
environment calls them for all simulations at a time.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarl.engine import mujoco
from metarl.errors import InputError
from metarl.parameters import Choice, Parameter
from metarl.randomness import Streams
from metarl.tasks import ParameterSpace, Task
from metarl.world.disturbances import disturb
from metarl.world.simulation import Simulation


class TaskFamily:
    """Base class of all families. Subclasses say what varies and what is wanted.

    Args:
        horizon: control steps an episode, in place of the family's own.

    Raises:
        InputError: if a parameter or the horizon is wrong.
    """

    name: ClassVar[str] = ""
    """What its tasks and results are filed under: by default, the class's name."""
    parameters: Mapping[str, Parameter | Choice] = {}
    """What varies. Some names act by themselves: see `metarl.world.disturbances`."""
    composition: Mapping[str, Any] = {}
    """Held-out corner of the train box: see `ParameterSpace`."""
    horizon: int = 200
    """Control steps an episode."""
    substeps: int = 1
    """Physics steps a control step."""
    derived: bool = True
    """Whether it reads fields that MuJoCo derives (xpos, sensordata, ...). With False
    only the state (qpos, qvel, ...) is current after a step, which is faster."""
    one_scale: bool = False
    """Whether all that is observed has one scale as it is, so that agents are not told
    deviations from the mean: that would only make it larger or smaller."""
    camera: str | int = -1
    """Camera of the videos: a name, an id, or -1 for the free camera."""
    success_measure: str = ""
    """What `success` measures, in words and physical units."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # A subclass of a named family is another family.
        cls.name = cls.__dict__.get("name", cls.__name__)

    def __init__(self, *, horizon: int | None = None) -> None:
        if horizon is not None:
            if not horizon >= 1:
                raise InputError(f"horizon={horizon} must be at least 1.")
            self.horizon = horizon
        self.space = ParameterSpace(self.name, self.parameters, self.composition)
        self.model = functools.lru_cache(maxsize=2048)(self._compile)

    # -- what a family says ------------------------------------------------------

    def build(self, task: Task) -> "mujoco.MjSpec | mujoco.MjModel":
        """The robot and its world for a task, as an `MjSpec` or a compiled model.

        All tasks must give the same sizes (joints, geoms, actuators); numbers,
        lengths and shapes may differ. After editing masses on a compiled model, call
        ``mujoco.mj_setConst``.
        """
        raise NotImplementedError

    def reset(self, sim: Simulation, ids: Tensor, rng: Streams) -> None:
        """Write the start of an episode for the simulations ``ids``, (k,) int64.

        They stand at the model's first keyframe, or at its defaults when it has none.
        ``rng`` draws (k, ...) numbers, one stream a simulation.
        """

    def act(self, sim: Simulation, action: Tensor) -> None:
        """Write controls from actions in [-1, 1], (n, action_size) float64.

        By default -1 and 1 are the ends of each actuator's control range.
        """
        sim.ctrl[:] = sim.control_centre + sim.control_half * action

    def observe(self, sim: Simulation) -> Tensor:
        """What the agent sees, (n, observation_size). Never the task itself."""
        raise NotImplementedError

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Reward of the step that was just made, (n,)."""
        raise NotImplementedError

    def terminated(self, sim: Simulation) -> Tensor:
        """Whether the episode is over before its horizon, (n,) bool."""
        return torch.zeros(sim.n, dtype=torch.bool)

    def truncated(self, sim: Simulation) -> Tensor:
        """Whether the episode is cut off before its horizon, (n,) bool.

        It would have gone on: unlike after `terminated`, what was to come counts.
        """
        return torch.zeros(sim.n, dtype=torch.bool)

    def success(self, sim: Simulation) -> Tensor:
        """A measure in [0, 1] that a roboticist believes, at an episode's end, (n,)."""
        return torch.full((sim.n,), torch.nan, dtype=torch.float64)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Further physical measures at an episode's end, each (n,) float64."""
        return {}

    def simulate(
        self, tasks: Sequence[Task], copies: int = 1, threads: int = 0
    ) -> Simulation:
        """Simulations of the tasks. MuJoCo's by default; a bridge brings its own.

        Raises:
            InputError: if the default `act` finds an actuator without a control range.
        """
        low, high = self.nominal_model.actuator_ctrlrange.T
        if type(self).act is TaskFamily.act and not (low < high).all():
            actuator = self.nominal_model.actuator(int((low < high).argmin()))
            raise InputError(
                f"Actuator {actuator.name or actuator.id!r} of {self.name} has no "
                'control range, so that no action would move it: give it ctrlrange="-1 '
                '1", say, or write act().'
            )
        return Simulation(self, tasks, copies, threads)

    def frames(self, sim: Simulation, index: int = 0) -> NDArray[np.uint8] | None:
        """Pictures of the last episode of a simulation, (T, height, width, 3).

        None where MuJoCo draws the family's own model, as it does by default.
        """
        return None

    # -- what follows from it ----------------------------------------------------

    def _compile(self, task: Task) -> "mujoco.MjModel":
        """The compiled model of a task (without its switch), disturbances included.

        `model` is this function with a cache: do not edit what it returns.
        """
        return disturb(self.build(task), task, self.parameters)

    def portrait(self, task: Task) -> "mujoco.MjModel":
        """The model that films show: by default, the one that is simulated.

        A family that simulates without meshes draws with them. Positions mean the
        same in both.
        """
        return self.model(task)

    @functools.cached_property
    def nominal_model(self) -> "mujoco.MjModel":
        """The compiled model of the robot as its data sheet describes it."""
        return self.model(self.task())

    @property
    def control_period(self) -> float:
        """Seconds a control step."""
        return float(self.nominal_model.opt.timestep) * self.substeps

    @property
    def action_size(self) -> int:
        """Number of action components, each in [-1, 1]."""
        return int(self.nominal_model.nu)

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that make this family again, for a run's config."""
        return {"horizon": self.horizon}

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the parameters allow."""
        return self.space.splits

    def task(self, **values: Any) -> Task:
        """An exact task: ``family.task(payload=4.2)``; nominal values for the rest.

        Raises:
            InputError: for an unknown name or a value out of bounds.
        """
        return self.space.task(**values)

    def tasks(
        self, split: str, n: int = 64, seed: int = 0, start: int = 0
    ) -> list[Task]:
        """Tasks ``start`` to ``start + n - 1`` of a split, frozen by a seed.

        Raises:
            InputError: for a split that is unknown or that the family has not.
        """
        duration = self.horizon * self.control_period
        return [
            self.space.draw(split, index, seed, duration)
            for index in range(start, start + n)
        ]

    def check_tasks(self, tasks: Sequence[Task]) -> list[Task]:
        """Return the tasks if all belong to this family.

        Raises:
            InputError: naming the parameter, the value and the bound.
        """
        if not tasks:
            raise InputError("At least one task is needed.")
        return [self.space.check(task) for task in tasks]
