"""Any Gymnasium environment as a family: by edits of its model, or as a black box.

    class HumanoidMass(GymnasiumFamily):
        env_id = "Humanoid-v5"
        parameters = {"mass": Parameter(1.0, train=(0.5, 2.0), far=(2.0, 3.0))}

        def edit(self, model, task):
            model.body_mass *= task["mass"]

An environment that is not MuJoCo's overrides `make` instead and returns whatever
Gymnasium environment simulates the task. Gymnasium steps them, by its own vector
environments; every agent, face, protocol and picture of metarl works on them. Initial
states follow from metarl's seeds, so the same seed gives the same episodes wherever the
environment keeps Gymnasium's promise about `reset(seed=...)`.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from numpy.typing import NDArray
from torch import Tensor

from metarl.environment.family import Spec, TaskFamily
from metarl.envs.gymnasium_simulation import GymnasiumSimulation
from metarl.errors import InputError, described, unknown
from metarl.simulation.engine import mujoco
from metarl.simulation.protocol import Simulation
from metarl.tasks.randomness import Streams
from metarl.tasks.space import CHANGING
from metarl.tasks.task import Task

VECTORS = {"sync": SyncVectorEnv, "async": AsyncVectorEnv}
"""Gymnasium's vector environments: in this process, or one process a simulation."""
VectorName = Literal["sync", "async"]


class GymnasiumFamily(TaskFamily):
    """A Gymnasium environment whose physics is given by a task.

    Observations of any space are flattened. Actions are those of a box, scaled from
    [-1, 1] where it has bounds; of a discrete space the largest component's index. An
    episode ends where the environment ends it, and at the horizon. Success is what the
    environment reports last as ``info["is_success"]`` or ``info["success"]``.

    Args:
        horizon: control steps an episode.
        vectorization: "sync" steps all in this process; "async", for slow simulators,
            gives each a process of its own.

    Raises:
        InputError: for a parameter that acts on models that metarl itself simulates.
    """

    env_id: ClassVar[str] = ""
    """What `gymnasium.make` makes, for families that edit its model."""
    env_options: ClassVar[Mapping[str, Any]] = {}
    """Arguments of `gymnasium.make`."""

    def __init__(
        self, *, horizon: int | None = None, vectorization: VectorName = "sync"
    ) -> None:
        super().__init__(horizon=horizon)
        if vectorization not in VECTORS:
            raise unknown("vectorization", vectorization, VECTORS)
        self.vectorization = vectorization
        for perturbation in self.models.perturbations:
            raise InputError(
                f"{type(perturbation).__name__}({perturbation.parameter!r}) acts on "
                "models that metarl simulates, not on Gymnasium's. Leave it out of "
                "perturbations, and give its parameter an effect in edit() or make()."
            )

    # -- what a family says ------------------------------------------------------

    def make(self, task: Task, **options: Any) -> gymnasium.Env:
        """The environment of a task.

        Args:
            task: the task.
            options: of `gymnasium.make`: ``render_mode`` where pictures are wanted.
        """
        if not self.env_id:
            raise InputError(f"{type(self).__name__} needs an env_id or its own make.")
        options = {"max_episode_steps": -1, **self.env_options, **options}
        env = gymnasium.make(self.env_id, **options)
        model = getattr(env.unwrapped, "model", None)
        if not isinstance(model, mujoco.MjModel):
            raise InputError(f"{self.env_id} has no MuJoCo model: override make().")
        self.edit(model, task)
        mujoco.mj_setConst(model, mujoco.MjData(model))
        return env

    def edit(self, model: "mujoco.MjModel", task: Task) -> None:
        """Change the compiled model of a fresh environment in place."""
        raise NotImplementedError("Say in edit() or make() what a task changes.")

    # -- what follows from it ----------------------------------------------------

    @functools.cached_property
    def probe(self) -> gymnasium.Env:
        """An environment of the nominal task, for its spaces and its timing.

        Raises:
            InputError: if `make` gives none.
        """
        try:
            env = self.make(self.task())
        except (InputError, NotImplementedError):
            raise
        except Exception as error:
            raise InputError(
                f"make() of {self.name} raised {described(error)}"
            ) from error
        if not isinstance(env, gymnasium.Env):
            raise InputError(
                f"make() of {self.name} must return a gymnasium.Env, not a "
                f"{type(env).__name__}."
            )
        return env

    @property
    def control_period(self) -> float:
        """Seconds a control step: the environment's ``dt``, or from its frame rate."""
        period = getattr(self.probe.unwrapped, "dt", None)
        return float(period or 1 / self.probe.metadata.get("render_fps", 1.0))

    @property
    def action_size(self) -> int:
        """Number of action components, each in [-1, 1]."""
        space = self.probe.action_space
        if isinstance(space, spaces.Discrete):
            return int(space.n)
        if not isinstance(space, spaces.Box):
            raise InputError(
                f"Actions of {self.name} are of {space}, which is neither a box nor "
                "discrete: have make() wrap the environment, such as by "
                "gymnasium.wrappers.TransformAction."
            )
        return int(np.prod(space.shape))

    @property
    def splits(self) -> tuple[str, ...]:
        """What the parameters allow without a change: a black box cannot change."""
        return tuple(split for split in super().splits if split not in CHANGING)

    def tasks(
        self,
        split: str,
        n: int = 64,
        seed: int = 0,
        start: int = 0,
        drift: float = 0.0,
    ) -> list[Task]:
        """Tasks ``start`` to ``start + n - 1`` of a split, frozen by a seed.

        Raises:
            InputError: for a split that the family has not, or for a drift.
        """
        if split in CHANGING:
            raise unknown("split", split, self.splits)
        if drift:
            raise InputError(
                f"drift={drift:g} changes nothing: {self.name} runs in Gymnasium, "
                "where nothing can change in mid-episode."
            )
        return [self.space.draw(split, i, seed, 0.0) for i in range(start, start + n)]

    def check_tasks(self, tasks: Sequence[Task]) -> list[Task]:
        """Return the tasks if all belong to this family.

        Raises:
            InputError: naming the parameter, the value and the bound; or for a switch.
        """
        checked = super().check_tasks(tasks)
        if any(task.switches for task in checked):
            raise InputError(
                f"{self.name} runs in Gymnasium, where nothing can change in "
                "mid-episode: its tasks have no switch."
            )
        return checked

    def simulate(
        self, tasks: Sequence[Task], copies: int = 1, threads: int = 0
    ) -> Simulation:
        """Simulations of the tasks by Gymnasium."""
        vector = VECTORS[self.vectorization]
        return GymnasiumSimulation(self, vector, tasks, copies)

    def __getstate__(self) -> dict[str, Any]:
        """All but the probe, which another process makes for itself."""
        return {k: value for k, value in self.__dict__.items() if k != "probe"}

    @functools.cached_property
    def spec(self) -> Spec:
        """Sizes of observations, actions and tasks."""
        size = spaces.flatdim(self.probe.observation_space)
        return Spec(size, self.action_size, len(self.space.normalized(self.task())))

    def frames(self, sim: Any, index: int = 0) -> NDArray[Any]:
        """Pictures of the last episode of a simulation, (T, height, width, 3)."""
        pictures: NDArray[Any] = sim.frames(index)
        return pictures

    def render(self, sim: Any, task: Task, index: int = 0) -> NDArray[Any]:
        """A simulation of a task as it is now, (height, width, 3)."""
        picture: NDArray[Any] = sim.render(index)
        return picture

    def reset(self, sim: Any, ids: Tensor, rng: Streams) -> None:
        """Start episodes from seeds of metarl's."""
        sim.begin(ids, rng.integers(2**31 - 1))

    def act(self, sim: Any, action: Tensor) -> None:
        """Keep the actions for the step, (n, action_size)."""
        sim.ctrl.copy_(action)

    def observe(self, sim: Any) -> Tensor:
        """Flattened observations, (n, observation_size)."""
        return sim.seen[:, :-4]

    def reward(self, sim: Any, action: Tensor) -> Tensor:
        """The environment's, (n,)."""
        return sim.reward

    def terminated(self, sim: Any) -> Tensor:
        """Whether the environment ended the episode, (n,) bool."""
        return sim.seen[:, -3] > 0

    def truncated(self, sim: Any) -> Tensor:
        """Whether a limit of the environment's own cut it off, (n,) bool."""
        return sim.seen[:, -2] > 0

    def success(self, sim: Any) -> Tensor:
        """What the environment reported last, NaN if it never does, (n,)."""
        return sim.seen[:, -1]
