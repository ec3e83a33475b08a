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
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from metarl.environment import outputs
from metarl.environment.arguments import arguments_of, warn_renamed
from metarl.environment.backends import Backend
from metarl.errors import InputError
from metarl.simulation.engine import mujoco
from metarl.simulation.models import DRAWN, TaskModels
from metarl.simulation.perturbations import (
    ModelPerturbation,
    Perturbation,
    SensorPerturbation,
    declared,
)
from metarl.simulation.protocol import Simulation
from metarl.tasks.defaults import own_defaults
from metarl.tasks.parameter import Choice, Parameter
from metarl.tasks.randomness import Streams, key, mix
from metarl.tasks.space import ParameterSpace
from metarl.tasks.task import Task


class Spec(NamedTuple):
    """Sizes of what an agent reads and writes."""

    observation_size: int
    """Numbers in an observation, without the task."""
    action_size: int
    """Numbers in an action, each in [-1, 1]."""
    task_size: int
    """Numbers in a task, as an oracle observes it."""

    def input_size(self, observe_task: bool = False) -> int:
        """Numbers in an observation, with the task or without."""
        return self.observation_size + self.task_size * observe_task


_RENAMED = {
    "derived": "compute_kinematics",
    "portrait": "render_model",
}
"""Members that had another name in metarl 0.1."""


class TaskFamily:
    """Base class of all families. Subclasses say what varies and what is wanted.

    Args:
        horizon: control steps an episode, in place of the family's own.

    Raises:
        InputError: if a parameter, a perturbation or the horizon is wrong.
    """

    name: ClassVar[str] = ""
    """What its tasks and results are filed under: by default, the class's name."""
    parameters: Mapping[str, Parameter | Choice] = {}
    """What varies."""
    perturbations: Sequence[Perturbation] | None = None
    """What some of the parameters do to any robot: latency, motor strength, dead
    actuators, sensor noise and bias. See `metarl.simulation.perturbations`."""
    composition: Mapping[str, Any] = {}
    """Held-out corner of the train ranges: see `ParameterSpace`."""
    horizon: int = 200
    """Control steps an episode."""
    substeps: int = 1
    """Physics steps a control step."""
    compute_kinematics: bool = True
    """Whether it reads fields that follow from the state (xpos, sensordata, ...). Else
    only the state (qpos, qvel, ...) is current after a step, which is faster."""
    normalize_observations: bool = True
    """Whether agents are given normalized observations: not if all have one scale."""
    camera: str | int = -1
    """Camera of the videos: a name, an id, or -1 for the free camera."""
    observation_names: Sequence[str] = ()
    """What each component of an observation is, with its unit, for those who connect a
    robot: ``("position / m", ...)``; those of a dictionary's parts otherwise."""
    observation_sizes: Mapping[str, int] = {}
    """Size of each part where `observe` gives a dictionary; known with `spec`."""
    backend: Backend = Backend()
    """What simulates it: see `on`."""
    success_measure: str = ""
    """What `success` measures, in words and physical units."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # A subclass of a named family is another family.
        cls.name = cls.__dict__.get("name", cls.__name__)
        for old, new in _RENAMED.items():
            if old in cls.__dict__:
                warn_renamed(cls, old, new)
                setattr(cls, new, cls.__dict__[old])
        if "one_scale" in cls.__dict__:
            warn_renamed(cls, "one_scale", "normalize_observations = not one_scale")
            cls.normalize_observations = not cls.__dict__["one_scale"]

    def __init__(self, *, horizon: int | None = None) -> None:
        if horizon is not None:
            if not horizon >= 1:
                raise InputError(f"horizon={horizon} must be at least 1.")
            self.horizon = horizon
        self.space = ParameterSpace(self.name, self.parameters, self.composition)
        every = declared(self.name, self.perturbations, self.parameters)
        of_models = [p for p in every if isinstance(p, ModelPerturbation)]
        self.models = TaskModels(self.build, of_models, self.space)
        self.sensor_perturbations = [
            p for p in every if isinstance(p, SensorPerturbation)
        ]
        self._drawn = self.models
        if "visual" in inspect.signature(self.build).parameters:
            build: Callable[..., Any] = self.build
            drawn = functools.partial(build, visual=True)
            self._drawn = TaskModels(drawn, (), self.space, DRAWN)

    # -- what a family says ------------------------------------------------------

    def build(self, task: Task) -> "mujoco.MjSpec | mujoco.MjModel":
        """The robot and its world for a task, as an `MjSpec` or a compiled model.

        All tasks must give the same sizes (joints, geoms, actuators); numbers,
        lengths and shapes may differ. After editing masses on a compiled model, call
        ``mujoco.mj_setConst``.

        With a parameter ``visual=False`` it is called with True for models that are
        only drawn: ``robot(FILE, visual=visual)`` has its visual meshes there alone.
        """
        raise NotImplementedError

    def reset(self, sim: Simulation, ids: Tensor, rng: Streams) -> None:
        """Write the start of an episode for the simulations ``ids``, (k,) int64.

        They stand at the model's first keyframe, or at its defaults when it has none.
        ``rng`` draws (k, ...) numbers, one stream a simulation.
        """

    def act(self, sim: Simulation, action: Tensor) -> None:
        """Write controls from actions in [-1, 1], (n, action_size).

        By default -1 and 1 are the ends of each actuator's control range.

        Raises:
            InputError: by default, for an actuator without a control range.
        """
        _ = self._control_ranges
        sim.ctrl[:] = sim.control_centre + sim.control_half * action

    def observe(self, sim: Simulation) -> Tensor | Mapping[str, Tensor]:
        """What the agent observes, (n, observation_size). Never the task itself.

        Or its parts by name, each (n,) or (n, size): agents get them side by side.
        """
        raise NotImplementedError

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Reward of the step that was just made, (n,)."""
        raise NotImplementedError

    def terminated(self, sim: Simulation) -> Tensor:
        """Whether the episode is over before its horizon, (n,) bool."""
        return torch.zeros(sim.n, dtype=torch.bool, device=sim.device)

    def truncated(self, sim: Simulation) -> Tensor:
        """Whether the episode is cut off before its horizon, (n,) bool.

        It would have gone on: unlike after `terminated`, what was to come counts.
        """
        return torch.zeros(sim.n, dtype=torch.bool, device=sim.device)

    def success(self, sim: Simulation) -> Tensor:
        """A measure in [0, 1] that a roboticist believes, at an episode's end, (n,)."""
        return torch.full((sim.n,), torch.nan, device=sim.device)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Further physical measures at an episode's end, each (n,)."""
        return {}

    def simulate(
        self, tasks: Sequence[Task], copies: int = 1, threads: int = 0
    ) -> Simulation:
        """Simulations of the tasks. MuJoCo's by default; a bridge brings its own."""
        if self.backend.name == "warp":
            return self.backend.worlds(self, tasks, copies)
        _ = mujoco.MjModel  # says what to do where MuJoCo is not installed
        from metarl.simulation.mujoco_batch import MujocoBatch

        return MujocoBatch(
            self.models,
            self.space,
            tasks,
            copies,
            substeps=self.substeps,
            kinematics=self.compute_kinematics,
            threads=threads,
        )

    def frames(self, sim: Any, index: int = 0) -> "NDArray[Any] | None":
        """Pictures of the last episode of a simulation, (T, height, width, 3) uint8.

        None where MuJoCo draws the family's own model, as it does by default.
        """
        return None

    def render(self, sim: Any, task: Task, index: int = 0) -> "NDArray[Any]":
        """A simulation of a task as it is now, (height, width, 3) uint8."""
        picture: NDArray[Any] = sim.render(
            self.render_model(task.before_switch), self.camera, index
        )
        return picture

    def render_model(self, task: Task) -> "mujoco.MjModel":
        """The model that videos show: by default, the one that is simulated.

        A family that simulates without meshes draws with them, by `build` or here.
        Positions mean the same in both.
        """
        return self._drawn(task)

    def on(self, backend: str = "mujoco", device: str = "") -> Self:
        """Let a backend simulate this family from now on; returns the family.

        Args:
            backend: "mujoco", or "warp": MuJoCo Warp, thousands of worlds on a GPU.
            device: of warp: "cuda:0" by default, or "cpu".

        Raises:
            InputError: for another backend, a device that is not there, or a family
                that brings simulations of its own.
        """
        made = Backend.of(backend, device)
        if made != Backend() and type(self).simulate is not TaskFamily.simulate:
            raise InputError(
                f"{self.name} brings its own simulations. Use --backend mujoco."
            )
        if made != self.backend:  # models of another structure may have been kept
            self.backend, drawn = made, self._drawn is self.models
            self.models = TaskModels(self.build, self.models.perturbations, self.space)
            self._drawn = self.models if drawn else self._drawn
        return self

    @property
    def one_structure(self) -> bool:
        """Whether `build` must give all tasks the same kinds of geoms: a GPU asks."""
        return self.backend.name == "warp"

    # -- what follows from it ----------------------------------------------------

    @functools.cached_property
    @own_defaults()
    def spec(self) -> Spec:
        """Sizes of observations, actions and tasks.

        An observation's size is that of one simulation at rest, made once.

        Raises:
            InputError: what `reset`, `act` and `observe` raise, or for observations of
                another shape; if there is nothing to observe or to act with.
        """
        nominal = self.task()
        if not self.action_size:
            raise InputError(
                f"The model of {self.name} has no actuators: no action would do "
                "anything. Add some in build(), as metarl.robot does, or write act() "
                "and action_size."
            )
        sim = self.simulate([nominal], threads=1)
        everywhere = torch.ones(1, dtype=torch.bool, device=sim.device)
        sim.reset(everywhere)
        streams = Streams(mix(key("spec")), like=sim.qpos)
        self.reset(sim, everywhere.nonzero()[:, 0], streams)
        sim.refresh(everywhere)
        self.act(sim, sim.qpos.new_zeros(1, self.action_size))
        seen = outputs.first(self, sim)
        sim.close()
        size = seen.shape[-1] if isinstance(seen, Tensor) and seen.ndim else 0
        outputs.numbers(self, "observe()", seen, (1, size))
        if not size:
            raise InputError(f"observe() of {self.name} gives no number to observe.")
        return Spec(size, self.action_size, len(self.space.normalized(nominal)))

    @functools.cached_property
    def _control_ranges(self) -> None:
        """Refuse actuators that the default `act` would never move; looked at once."""
        nominal = self.models.nominal
        low, high = nominal.actuator_ctrlrange.T
        if not (low < high).all():
            actuator = nominal.actuator(int((low < high).argmin()))
            raise InputError(
                f"Actuator {actuator.name or actuator.id!r} of {self.name} has no "
                'control range, so that no action would move it: give it ctrlrange="-1 '
                '1", say, or write act().'
            )

    @property
    def control_period(self) -> float:
        """Seconds a control step."""
        return float(self.models.nominal.opt.timestep) * self.substeps

    @property
    def action_size(self) -> int:
        """Number of action components, each in [-1, 1]."""
        return int(self.models.nominal.nu)

    @classmethod
    def arguments(cls) -> dict[str, tuple[Any, Any]]:
        """Type and default of each argument, also of those that ``**`` passes on."""
        return arguments_of(cls)

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that make this family again.

        By default each is the attribute of its name.

        Raises:
            InputError: for an argument without such an attribute.
        """
        names = self.arguments()
        for name in names:
            if not hasattr(self, name):
                raise InputError(
                    f"Option {name!r} of {self.name} would be lost: keep it in "
                    f"__init__ (self.{name} = {name}), or write the property `options`."
                )
        return {name: getattr(self, name) for name in names}

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
        self,
        split: str,
        n: int = 64,
        seed: int = 0,
        start: int = 0,
        drift: float = 0.0,
    ) -> list[Task]:
        """Tasks ``start`` to ``start + n - 1`` of a split, frozen by a seed.

        With a drift, parameters are drawn again from the train ranges with this
        probability at each control step.

        Raises:
            InputError: for a split that is unknown or that the family has not, or for
                a drift where nothing may change in mid-episode.
        """
        period = self.control_period
        duration = self.horizon * period
        return [
            self.space.draw(split, index, seed, duration, period, drift)
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
