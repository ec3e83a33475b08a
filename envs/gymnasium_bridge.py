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
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray
from torch import Tensor

from metarl.engine import mujoco
from metarl.errors import InputError, RunError, unknown
from metarl.family import TaskFamily
from metarl.randomness import Streams
from metarl.tasks import Task
from metarl.world.disturbances import DEAD

VECTORS = {"sync": SyncVectorEnv, "async": AsyncVectorEnv}
"""Gymnasium's vector environments: in this process, or one process a simulation."""
VectorName = Literal["sync", "async"]
_OF_MODELS = ("latency", "motor_strength", *DEAD)


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
        for name in _OF_MODELS:
            if name in self.parameters:
                raise InputError(
                    f"Parameter {name!r} acts by itself on models that metarl "
                    "simulates, not on Gymnasium's. Give it another name, and effect "
                    "in edit() or make()."
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
        """An environment of the nominal task, for its spaces and its timing."""
        return self.make(self.task())

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
            raise InputError(f"Actions of {space} are neither a box nor discrete.")
        return int(np.prod(space.shape))

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that make this family again."""
        return {"horizon": self.horizon, "vectorization": self.vectorization}

    @property
    def splits(self) -> tuple[str, ...]:
        """All that the parameters allow but `switch`: a black box cannot change."""
        return tuple(split for split in super().splits if split != "switch")

    def tasks(
        self, split: str, n: int = 64, seed: int = 0, start: int = 0
    ) -> list[Task]:
        """Tasks ``start`` to ``start + n - 1`` of a split, frozen by a seed.

        Raises:
            InputError: for a split that the family has not.
        """
        if split == "switch":
            raise unknown("split", split, self.splits)
        return [self.space.draw(split, i, seed, 0.0) for i in range(start, start + n)]

    def check_tasks(self, tasks: Sequence[Task]) -> list[Task]:
        """Return the tasks if all belong to this family.

        Raises:
            InputError: naming the parameter, the value and the bound; or for a switch.
        """
        checked = super().check_tasks(tasks)
        if any(task.switch for task in checked):
            raise InputError(
                f"{self.name} runs in Gymnasium, where nothing can change in "
                "mid-episode: its tasks have no switch."
            )
        return checked

    def simulate(  # type: ignore[override]
        self, tasks: Sequence[Task], copies: int = 1, threads: int = 0
    ) -> "GymnasiumSimulation":
        """Simulations of the tasks by Gymnasium."""
        return GymnasiumSimulation(self, tasks, copies)

    def frames(  # type: ignore[override]
        self, sim: "GymnasiumSimulation", index: int = 0
    ) -> NDArray[np.uint8]:
        """Pictures of the last episode of a simulation, (T, height, width, 3)."""
        return sim.frames(index)

    def reset(self, sim: Any, ids: Tensor, rng: Streams) -> None:
        """Start episodes from seeds of metarl's."""
        sim.begin(ids, rng.integers(2**31 - 1))

    def act(self, sim: Any, action: Tensor) -> None:
        """Keep the actions for the step, (n, action_size)."""
        sim.ctrl.copy_(action)

    def observe(self, sim: Any) -> Tensor:
        """Flattened observations, (n, observation_size)."""
        return sim.seen[:, :-3]

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


class GymnasiumSimulation:
    """``len(tasks) * copies`` Gymnasium environments, in place of a `Simulation`.

    It keeps a tape of every episode, its seed and its actions. The tape played again
    is how it comes back to a state, and how a film is made.
    """

    def __init__(
        self, family: GymnasiumFamily, tasks: Sequence[Task], copies: int
    ) -> None:
        self.family = family
        self.n = len(tasks) * copies
        self.memory: dict[str, Tensor] = {}
        self.parameters: dict[str, Tensor] = {}
        self.qpos = torch.zeros(self.n, 0, dtype=torch.float64)
        self.tasks = [task for task in tasks for _ in range(copies)]
        robot = functools.partial(_Robot, type(family), family.options)
        self.vector = VECTORS[family.vectorization](
            [robot] * self.n, autoreset_mode=AutoresetMode.DISABLED
        )
        size = self.vector.single_observation_space.shape[0]
        self.seen = torch.zeros(self.n, size, dtype=torch.float64)
        self.reward = torch.zeros(self.n, dtype=torch.float64)
        self.ctrl = torch.zeros(self.n, family.action_size, dtype=torch.float64)
        self.seeds = torch.zeros(self.n, dtype=torch.long)
        self.made = torch.zeros(self.n, dtype=torch.long)
        self.tape = torch.zeros(self.n, family.horizon, family.action_size).double()
        self._screen: _Screen | None = None
        self.set_tasks(self.tasks)

    def set_tasks(
        self, tasks: Sequence[Task], ids: Sequence[int] | None = None
    ) -> None:
        """Simulate other tasks in ``ids`` (default: all) from their next reset on."""
        places = range(self.n) if ids is None else ids
        for place, task in zip(places, tasks, strict=True):
            self.tasks[place] = task
        self.parameters = self.family.space.columns(self.tasks)
        self.vector.set_attr("task", self.tasks)

    def reset(self, ids: Tensor) -> None:
        """Forget what the family remembers; `begin` follows."""
        for tensor in self.memory.values():
            tensor[ids] = 0

    def begin(self, ids: Tensor, seeds: Tensor) -> None:
        """Start episodes from seeds, (k,) int64."""
        self.seeds[ids], self.made[ids] = seeds.reshape(-1), 0
        mask = torch.zeros(self.n, dtype=torch.bool)
        mask[ids] = True
        seen, _ = self.vector.reset(
            seed=self.seeds.tolist(), options={"reset_mask": mask.numpy()}
        )
        self.seen[ids] = torch.as_tensor(seen)[ids]
        self.reward[ids] = 0

    def refresh(self, ids: Tensor | None = None) -> None:
        """Nothing is derived."""

    def step(self, ids: Tensor | None = None) -> None:
        """One control step of the simulations ``ids`` (default: all)."""
        rows = torch.arange(self.n) if ids is None else ids
        self.tape[rows, self.made[rows]] = self.ctrl[rows]
        self.made[rows] += 1
        self._apply(rows, self.ctrl)

    def _apply(self, rows: Tensor, action: Tensor) -> None:
        # An action of NaN leaves a robot alone.
        given = torch.full_like(action, torch.nan)
        given[rows] = action[rows]
        seen, reward, *_ = self.vector.step(given.numpy())
        self.seen[rows] = torch.as_tensor(seen)[rows]
        self.reward[rows] = torch.as_tensor(reward)[rows]

    def diverged(self) -> NDArray[np.int64]:
        """Nobody counts what blows up in a black box, (n,) zeros."""
        return np.zeros(self.n, np.int64)

    def remember(self, name: str, like: Tensor) -> Tensor:
        """The family's memory ``name``, (n, ...), made of zeros on first use."""
        return self.memory.setdefault(name, torch.zeros_like(like))

    def snapshot(self) -> Tensor:
        """The tapes: what `restore` needs, (n, 2 + horizon * action_size)."""
        counts = torch.stack([self.seeds, self.made], 1).double()
        return torch.cat([counts, self.tape.flatten(1)], 1)

    def restore(self, state: Tensor) -> None:
        """Play the tapes of a snapshot again."""
        everywhere = torch.arange(self.n)
        self.tape.copy_(state[:, 2:].view_as(self.tape))
        self.begin(everywhere, state[:, 0].long())
        self.made.copy_(state[:, 1])
        for t in range(int(self.made.max())):
            self._apply(everywhere[self.made > t], self.tape[:, t])

    def picture(self, index: int = 0) -> NDArray[np.uint8]:
        """A simulation as it is now, (height, width, 3)."""
        if self._screen is None:
            self._screen = _Screen(self.family)
        self._screen.play(self, index, int(self.made[index]))
        return self._screen.picture()

    def frames(self, index: int = 0) -> NDArray[np.uint8]:
        """Every step of a simulation so far, (T, height, width, 3)."""
        screen, pictures = _Screen(self.family), []
        for step in range(1, int(self.made[index]) + 1):
            screen.play(self, index, step)
            pictures.append(screen.picture())
        screen.close()
        return np.stack(pictures)

    def close(self) -> None:
        """Free what draws."""
        if self._screen is not None:
            self._screen.close()
            self._screen = None


class _Robot(gymnasium.Env):
    """One environment, so dressed that Gymnasium's vectors never restart it.

    Its task may change on any reset. Whether the episode is terminated, whether it is
    truncated, and the success are the last three numbers of the observation; once
    ended, it stays as it is.
    """

    def __init__(self, family: type[GymnasiumFamily], options: dict[str, Any]) -> None:
        self.family = family(**options)
        self.task = self.made_for = self.family.task()
        self.env = self.family.probe
        size = spaces.flatdim(self.env.observation_space) + 3
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float64)
        actions = self.family.action_size
        self.action_space = spaces.Box(-np.inf, np.inf, (actions,), np.float64)
        self.seen = np.zeros(size)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start an episode, of another task if there is one."""
        if self.task != self.made_for:
            if self.env is not self.family.probe:
                self.env.close()
            self.env, self.made_for = self.family.make(self.task), self.task
        observation, info = self.env.reset(seed=seed)
        return self._note(observation, False, False, info), {}

    def step(
        self, action: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """One step, unless it has ended or the action is NaN."""
        if self.seen[-3:-1].any() or np.isnan(action).any():
            return self.seen, 0.0, False, False, {}
        observation, reward, terminated, truncated, info = self.env.step(
            _native(self.env.action_space, action)
        )
        seen = self._note(observation, terminated, truncated, info)
        return seen, float(reward), False, False, {}

    def _note(
        self,
        observation: Any,
        terminated: bool,
        truncated: bool,
        info: dict[str, Any],
    ) -> NDArray[np.float64]:
        success = info.get("is_success", info.get("success", np.nan))
        flat = spaces.flatten(self.env.observation_space, observation)
        self.seen = np.append(np.ravel(flat), [terminated, truncated, success])
        return self.seen

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


class _Screen:
    """Plays a tape in an environment that draws."""

    def __init__(self, family: GymnasiumFamily) -> None:
        self.family = family
        self.env: gymnasium.Env | None = None
        self.playing: tuple[Task, int] | None = None
        self.step = 0

    def play(self, sim: GymnasiumSimulation, index: int, until: int) -> None:
        """Bring the environment to a step of a simulation's episode."""
        episode = (sim.tasks[index], int(sim.seeds[index]))
        if episode != self.playing or until < self.step:
            self.close()
            try:
                self.env = self.family.make(episode[0], render_mode="rgb_array")
            except TypeError as error:
                raise RunError(
                    f"{type(self.family).__name__}.make() must accept render_mode to "
                    f"be drawn ({error})."
                ) from error
            self.env.reset(seed=episode[1])
            self.playing, self.step = episode, 0
        assert self.env is not None
        for action in sim.tape[index, self.step : until].numpy():
            self.env.step(_native(self.env.action_space, action))
        self.step = until

    def picture(self) -> NDArray[np.uint8]:
        """What the environment draws.

        Raises:
            RunError: if that is no picture.
        """
        assert self.env is not None
        try:
            picture = np.asarray(self.env.render())
        except gymnasium.error.DependencyNotInstalled as error:
            raise RunError(f"Gymnasium cannot draw: {error}") from error
        if picture.ndim != 3 or picture.dtype != np.uint8:
            raise RunError(
                f"{type(self.family).__name__} draws no pictures in render mode "
                "'rgb_array'."
            )
        return picture

    def close(self) -> None:
        """Close the environment."""
        if self.env is not None:
            self.env.close()
            self.env = self.playing = None


def _native(space: spaces.Space, action: NDArray[np.float64]) -> Any:
    """An action in [-1, 1] as the environment understands it."""
    if isinstance(space, spaces.Discrete):
        return space.start + int(np.argmax(action))
    assert isinstance(space, spaces.Box)
    low, high = space.low.ravel(), space.high.ravel()
    bounded = (space.bounded_below & space.bounded_above).ravel()
    centre = np.where(bounded, (np.where(bounded, high, 0) + low) / 2, 0)
    half = np.where(bounded, (high - np.where(bounded, low, 0)) / 2, 1)
    value = np.clip(centre + half * action, low, high)
    if np.issubdtype(space.dtype, np.integer):
        value = np.rint(value)
    return value.astype(space.dtype).reshape(space.shape)
