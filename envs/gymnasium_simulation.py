"""Gymnasium's environments as a `Simulation`: what `gymnasium_bridge` runs on.

It keeps a tape of every episode, its seed and its actions. The tape played again is how
it comes back to a state, and how a video is made.
"""

import contextlib
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from torch import Tensor

from metarl.errors import RunError, described
from metarl.tasks.space import ParameterSpace
from metarl.tasks.task import Task


class Maker(Protocol):
    """What makes environments: a `GymnasiumFamily`."""

    name: ClassVar[str]
    space: ParameterSpace
    horizon: int

    @property
    def action_size(self) -> int:
        """Numbers in an action."""
        ...

    @property
    def probe(self) -> gymnasium.Env:
        """An environment of the nominal task."""
        ...

    def task(self, **values: Any) -> Task:
        """An exact task."""
        ...

    def make(self, task: Task, **options: Any) -> gymnasium.Env:
        """The environment of a task."""
        ...


HOPELESS = 10
"""Episodes that may fail, and as many as there are simulations, before one is whole."""


class GymnasiumSimulation:
    """``len(tasks) * copies`` Gymnasium environments side by side.

    It keeps the contract of `metarl.simulation.protocol.Simulation`, as far as a black
    box has what it asks for.

    Args:
        maker: makes environments, in this process and in others.
        vector: one of Gymnasium's vector environments.
        tasks: the tasks.
        copies: environments of each task.
    """

    device = torch.device("cpu")

    def __init__(
        self,
        maker: Maker,
        vector: Callable[..., VectorEnv],
        tasks: Sequence[Task],
        copies: int,
    ) -> None:
        self.maker, actions = maker, maker.action_size  # or says what is wrong
        self.n = len(tasks) * copies
        self.memory: dict[str, Tensor] = {}
        self.parameters: dict[str, Tensor] = {}
        self.qpos = torch.zeros(self.n, 0, dtype=torch.float64)
        self.tasks = [task for task in tasks for _ in range(copies)]
        robot = functools.partial(_Robot, maker)
        self.vector = vector([robot] * self.n, autoreset_mode=AutoresetMode.DISABLED)
        size = int(np.prod(self.vector.single_observation_space.shape))
        self.seen = torch.zeros(self.n, size, dtype=torch.float64)
        self.reward = torch.zeros(self.n, dtype=torch.float64)
        self.ctrl = torch.zeros(self.n, actions, dtype=torch.float64)
        self.control_centre = torch.zeros(self.n, actions, dtype=torch.float64)
        self.control_half = torch.ones(self.n, actions, dtype=torch.float64)
        self.seeds = torch.zeros(self.n, dtype=torch.long)
        self.made = torch.zeros(self.n, dtype=torch.long)
        self.tape = torch.zeros(self.n, maker.horizon, actions, dtype=torch.float64)
        self.failed = torch.zeros(self.n, dtype=torch.long)
        """Episodes of each in which the environment raised an exception, (n,)."""
        self._any_whole, self._words = False, ""
        self._screen: _Screen | None = None
        self.set_tasks(self.tasks)

    def __getattr__(self, name: str) -> Tensor:
        raise AttributeError(f"An environment of Gymnasium has no field {name!r}.")

    def sensor(self, name: str) -> Tensor:
        """Nothing: a black box has no sensors but its observation."""
        raise AttributeError(f"An environment of Gymnasium has no sensor {name!r}.")

    def jac(self, body: int, point: Tensor) -> tuple[Tensor, Tensor]:
        """Nothing: a black box has no bodies."""
        raise AttributeError("An environment of Gymnasium has no Jacobians.")

    def ray(self, origin: Tensor, along: Tensor, groups: Sequence[int]) -> Tensor:
        """Nothing: a black box has no geoms."""
        raise AttributeError("An environment of Gymnasium has no rays.")

    def set_tasks(
        self, tasks: Sequence[Task], ids: Sequence[int] | None = None
    ) -> None:
        """Simulate other tasks in ``ids`` (default: all) from their next reset on."""
        places = range(self.n) if ids is None else ids
        for place, task in zip(places, tasks, strict=True):
            self.tasks[place] = task
        self.parameters = self.maker.space.columns(self.tasks)
        self.vector.set_attr("task", self.tasks)

    def reset(self, mask: Tensor) -> None:
        """Clear the family's memory; `begin` follows."""
        for tensor in self.memory.values():
            tensor[mask] = 0

    def begin(self, ids: Tensor, seeds: Tensor) -> None:
        """Start episodes from seeds, (k,) int64.

        Raises:
            RunError: if an environment cannot be reset, or if all fail.
        """
        self._need_whole_episodes(ids)
        self.seeds[ids], self.made[ids] = seeds.reshape(-1), 0
        mask = torch.zeros(self.n, dtype=torch.bool)
        mask[ids] = True
        given = {"seed": self.seeds.tolist(), "options": {"reset_mask": mask.numpy()}}
        seen, info = self._call(self.vector.reset, **given)
        for index, words in self._failures(info):
            task = self.tasks[index]
            raise RunError(f"reset() of {self.maker.name} raised in {task}: {words}")
        self.seen[ids] = torch.as_tensor(seen)[ids]
        self.reward[ids] = 0

    def refresh(self, mask: Tensor | None = None) -> None:
        """Nothing follows from the state."""

    def step(self, active: Tensor | None = None) -> None:
        """One control step of the active simulations (default: all)."""
        rows = torch.arange(self.n) if active is None else active.nonzero()[:, 0]
        self.tape[rows, self.made[rows]] = self.ctrl[rows]
        self.made[rows] += 1
        self._apply(rows, self.ctrl)

    def _apply(self, rows: Tensor, action: Tensor) -> None:
        # An action of NaN leaves a robot alone.
        given = torch.full_like(action, torch.nan)
        given[rows] = action[rows]
        seen, reward, *_, info = self._call(self.vector.step, given.numpy())
        for index, words in self._failures(info):
            self.failed[index] += 1
            self._words = words
            said = f"step() of {self.maker.name} raised {words}: it counts as diverged."
            warnings.warn(said, RuntimeWarning, stacklevel=2)
        self.seen[rows] = torch.as_tensor(seen)[rows]
        self.reward[rows] = torch.as_tensor(reward)[rows]

    def diverged(self) -> Tensor:
        """Episodes in which each environment raised an exception, (n,) int64."""
        return self.failed.clone()

    def warnings(self) -> dict[str, Tensor]:
        """Nobody counts a black box's warnings."""
        return {}

    def _call(self, method: Callable[..., Any], *given: Any, **named: Any) -> Any:
        try:
            return method(*given, **named)
        except (EOFError, ConnectionError) as error:
            for process in self.vector.processes:
                process.terminate()
            self.vector.closed = True
            raise RunError(f"A process of {self.maker.name} has ended.") from error

    def _failures(self, info: dict[str, Any]) -> list[tuple[int, str]]:
        """Simulations that raised an exception in the last call, and its words."""
        raised = info.get("_raised", np.zeros(self.n, bool)).nonzero()[0]
        return [(index, info["raised"][index]) for index in raised.tolist()]

    def _need_whole_episodes(self, ids: Tensor) -> None:
        """Stop where every episode fails: that is a mistake or a limit, not chance."""
        began = self.made[ids] > 0
        self._any_whole |= bool((began & (self.seen[ids, -4] == 0)).any())
        if not self._any_whole and self.failed.sum() >= max(HOPELESS, self.n):
            raise RunError(
                f"step() of {self.maker.name} raised in each of the first "
                f"{int(self.failed.sum())} episodes, the last time after "
                f"{int(self.made.max())} steps: {self._words}. If that is a limit of "
                "its own, give the family a shorter horizon."
            )

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

    def render(self, index: int = 0) -> NDArray[np.uint8]:
        """A simulation as it is now, (height, width, 3)."""
        if self._screen is None:
            self._screen = _Screen(self.maker)
        self._screen.play(self, index, int(self.made[index]))
        return self._screen.picture()

    def frames(self, index: int = 0) -> NDArray[np.uint8]:
        """Every step of a simulation so far, (T, height, width, 3)."""
        screen, pictures = _Screen(self.maker), []
        for step in range(1, int(self.made[index]) + 1):
            screen.play(self, index, step)
            pictures.append(screen.picture())
        screen.close()
        return np.stack(pictures)

    def close(self) -> None:
        """Free what draws, and end the environments' processes."""
        if self._screen is not None:
            self._screen.close()
            self._screen = None
        if not self.vector.closed:
            self.vector.close()


class _Robot(gymnasium.Env):
    """One environment, so dressed that Gymnasium's vectors never restart it.

    Its task may change on any reset. Whether it raised an exception, whether the
    episode is terminated, whether it is truncated, and the success are the last four
    numbers of the observation; once ended, it stays as it is.
    """

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.task = maker.task()
        self.made_for: Task | None = self.task
        self.env = maker.make(self.task)
        size = spaces.flatdim(self.env.observation_space) + 4
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float64)
        actions = self.maker.action_size
        self.action_space = spaces.Box(-np.inf, np.inf, (actions,), np.float64)
        self.seen = np.zeros(size)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start an episode, of another task if there is one.

        The info says in words what was raised.
        """
        try:
            if self.task != self.made_for:
                self.close()
                self.env, self.made_for = self.maker.make(self.task), self.task
            observation, info = self.env.reset(seed=seed)
            return self._note(observation, False, False, info), {}
        except Exception as error:
            return self._fail(error)

    def step(
        self, action: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """One step, unless it has ended or the action is NaN."""
        if self.seen[-4:-1].any() or np.isnan(action).any():
            return self.seen, 0.0, False, False, {}
        try:
            observation, reward, terminated, truncated, info = self.env.step(
                _native(self.env.action_space, action)
            )
            seen = self._note(observation, terminated, truncated, info)
            return seen, float(reward), False, False, {}
        except Exception as error:
            seen, info = self._fail(error)
            return seen, 0.0, False, False, info

    def _fail(self, error: Exception) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """What is left where the environment raised: zeros, and its words."""
        self.close()
        self.made_for = None  # made anew for the next episode
        self.seen = np.zeros_like(self.seen)
        self.seen[-4], self.seen[-1] = True, np.nan
        return self.seen, {"raised": described(error)}

    def _note(
        self,
        observation: Any,
        terminated: bool,
        truncated: bool,
        info: dict[str, Any],
    ) -> NDArray[np.float64]:
        success = info.get("is_success", info.get("success", np.nan))
        flat = np.ravel(spaces.flatten(self.env.observation_space, observation))
        seen = np.append(flat, [False, terminated, truncated, success])
        if seen.shape != self.seen.shape:
            raise ValueError(
                f"an observation has {len(flat)} numbers, but its space has "
                f"{len(self.seen) - 4}"
            )
        self.seen = seen
        return seen

    def close(self) -> None:
        """Close the environment, which may be broken."""
        with contextlib.suppress(Exception):
            self.env.close()


class _Screen:
    """Plays a tape in an environment that draws."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.env: gymnasium.Env | None = None
        self.playing: tuple[Task, int] | None = None
        self.step = 0

    def play(self, sim: GymnasiumSimulation, index: int, until: int) -> None:
        """Bring the environment to a step of a simulation's episode."""
        episode = (sim.tasks[index], int(sim.seeds[index]))
        if episode != self.playing or until < self.step:
            self.close()
            try:
                self.env = self.maker.make(episode[0], render_mode="rgb_array")
            except TypeError as error:
                raise RunError(
                    f"{type(self.maker).__name__}.make() must accept render_mode to "
                    f"be drawn ({error})."
                ) from error
            self.env.reset(seed=episode[1])
            self.playing, self.step = episode, 0
        assert self.env is not None
        if sim.seen[index, -4] and until == sim.made[index]:
            until -= 1  # the environment raised in that step
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
                f"{type(self.maker).__name__} draws no pictures in render mode "
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
