"""The environment as Gymnasium knows it, for code that is not metarl's.

gymnasium.make("metarl/CheetahDirection-v0", task={"direction": -1})
metarl.make_vec("cheetah-direction", tasks, copies=4)    # gymnasium.vector
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metarl.environment.environment import Environment
from metarl.environment.family import TaskFamily
from metarl.environment.registry import make_family
from metarl.errors import InputError, unknown
from metarl.tasks.randomness import key
from metarl.tasks.task import Task


def observation_space(size: int) -> spaces.Box:
    """Unbounded observations of one simulation."""
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


def action_space(size: int) -> spaces.Box:
    """Actions of one simulation, each in [-1, 1]."""
    return spaces.Box(-1.0, 1.0, (size,), np.float32)


def need_a_reset(environment: Environment) -> None:
    """Make sure that an episode has begun.

    Raises:
        gymnasium.error.ResetNeeded: before the first reset.
    """
    if not environment.episode.any():
        raise gymnasium.error.ResetNeeded("Call reset() before the first step().")


class _SpecWithHorizon:
    """How gymnasium made an environment, with its horizon: it truncates by itself."""

    environment: Environment
    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """None if gymnasium did not make it."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        horizon = self.environment.family.horizon
        known = spec and dataclasses.replace(spec, max_episode_steps=horizon)
        self._spec = known or None


class GymnasiumEnv(_SpecWithHorizon, gymnasium.Env):
    """One task of a family as a `gymnasium.Env`.

    Args:
        family: a family or its name.
        task: the task, or values of some parameters, or nothing for the nominal one.
        observe_task: append the task to the observation.
        render_mode: "rgb_array" or nothing.
        options: arguments of the family, which is then given by name.

    Raises:
        InputError: for a task or a render mode that there is not, or options of a
            family that is made already.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}

    def __init__(
        self,
        family: TaskFamily | str,
        task: Task | Mapping[str, Any] | None = None,
        *,
        observe_task: bool = False,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        if isinstance(family, str):
            family = make_family(family, **options)
        elif options:
            raise InputError(
                f"{', '.join(options)}: {family.name} is made already. Give options "
                "where you make it."
            )
        if render_mode not in (None, "rgb_array"):
            raise InputError(f"render_mode={render_mode!r} is not 'rgb_array'.")
        if not isinstance(task, Task):
            task = family.task(**(task or {}))
        self.environment = Environment(
            family, [task], observe_task=observe_task, threads=1
        )
        self.render_mode = render_mode
        self.metadata = {
            **self.metadata,
            "render_fps": max(1, round(1 / family.control_period)),
        }
        self.observation_space = observation_space(self.environment.observation_size)
        self.action_space = action_space(self.environment.action_size)
        self._seeded = False

    @property
    def task(self) -> Task:
        """The task that is simulated."""
        return self.environment.tasks[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; ``options={"task": ...}`` changes the task.

        As Gymnasium has it, a first reset without a seed takes a random one.
        """
        super().reset(seed=seed)
        _refuse_others(options, "task")
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**31))
        self._seeded = True
        task = (options or {}).get("task")
        if task is not None:
            if not isinstance(task, Task):
                task = self.environment.family.task(**task)
            self.environment.set_tasks([task])
        observation = self.environment.reset(seed)
        return observation[0].numpy().copy(), {"task": self.task.to_dict()}

    def step(
        self, action: np.ndarray
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        need_a_reset(self.environment)
        step = self.environment.step(torch.as_tensor(action)[None])
        info: dict[str, Any] = {"diverged": bool(step.diverged[0])}
        if step.ended[0]:
            info |= {k: float(v[0]) for k, v in self.environment.outcome().items()}
            if self.environment.family.success_measure:
                info["is_success"] = bool(info["success"])
        return (
            step.observation[0].numpy().copy(),
            float(step.reward[0]),
            bool(step.terminated[0]),
            bool(step.truncated[0]),
            info,
        )

    def render(self) -> np.ndarray | None:
        """A frame, (height, width, 3) uint8, in render mode "rgb_array"."""
        if self.render_mode is None:
            return None
        environment = self.environment
        (task,) = environment.phases_at(torch.tensor([0]), environment.elapsed)
        return environment.family.render(environment.sim, task)

    def close(self) -> None:
        """Free the renderer."""
        self.environment.sim.close()


class GymnasiumVectorEnv(_SpecWithHorizon, VectorEnv):
    """Many tasks as a `gymnasium.vector.VectorEnv`; resets in the step after the end.

    Args:
        environment: the simulations.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.num_envs = environment.n
        self.single_observation_space = observation_space(environment.observation_size)
        self.single_action_space = action_space(environment.action_size)
        self.observation_space = batch_space(
            self.single_observation_space, self.num_envs
        )
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._ended = torch.zeros(self.num_envs, dtype=torch.bool)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: one for all simulations, each of which starts in its own way. Or one
                for each, which then starts as a `GymnasiumEnv` under its seed; where it
                is None, it follows from the others.
            options: ``{"reset_mask": mask}`` resets some, (n,) bool: the others go on.

        Raises:
            InputError: for a wrong number of seeds, a mask of another kind, both
                together, or other options.
        """
        _refuse_others(options, "reset_mask")
        mask = (options or {}).get("reset_mask")
        if mask is not None:
            return self._reset_some(seed, np.asarray(mask)), {}
        seeds = self._seeds(seed)
        super().reset(seed=None if isinstance(seeds, list) else seeds)
        self._ended.zero_()
        return self.environment.reset(seeds).numpy().copy(), {}

    def close_extras(self, **kwargs: Any) -> None:
        """Free the renderer, and end what processes there are."""
        self.environment.sim.close()

    def _seeds(self, seed: int | Sequence[int | None] | None) -> int | list[int] | None:
        if seed is None or not isinstance(seed, Sequence | np.ndarray):
            return None if seed is None else int(seed)
        if len(seed) != self.num_envs:
            raise InputError(
                f"{len(seed)} seeds for {self.num_envs} simulations: give one for each."
            )
        given = [None if s is None else int(s) for s in seed]
        known = [s for s in given if s is not None]
        if not known:
            return None
        return [
            key(*known, "seed", i) % 2**63 if s is None else s
            for i, s in enumerate(given)
        ]

    def _reset_some(self, seed: Any, mask: np.ndarray) -> np.ndarray:
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise InputError(
                f"reset_mask has shape {mask.shape} and dtype {mask.dtype}: give "
                f"({self.num_envs},) bool, with something to reset."
            )
        if seed is not None:
            raise InputError("A reset_mask and a seed do not go together: reset all.")
        need_a_reset(self.environment)
        chosen = torch.from_numpy(mask)
        self._ended &= ~chosen
        observation = self.environment.reset(ids=chosen.nonzero()[:, 0])
        return observation.numpy().copy()

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control step; simulations whose episode ended before start a new one.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        need_a_reset(self.environment)
        restarting = self._ended
        step = self.environment.step(torch.as_tensor(actions))
        observation = step.observation
        if restarting.any():
            fresh = self.environment.reset(ids=restarting.nonzero()[:, 0])
            observation = torch.where(restarting[:, None], fresh, observation)
        self._ended = step.ended
        info: dict[str, Any] = {"diverged": step.diverged.numpy()}
        if self._ended.any():
            for name, value in self.environment.outcome().items():
                info[name] = value.numpy()
                # Gymnasium's way to say where it is an outcome already.
                info[f"_{name}"] = self._ended.numpy().copy()
            if self.environment.family.success_measure:
                info["is_success"] = info["success"] > 0
                info["_is_success"] = self._ended.numpy().copy()
        return (
            observation.numpy().copy(),
            step.reward.numpy().astype(np.float64),
            step.terminated.numpy().copy(),
            step.truncated.numpy().copy(),
            info,
        )


def _refuse_others(options: Mapping[str, Any] | None, known: str) -> None:
    """Raise InputError for an option of a reset that nothing is done with."""
    for name in options or {}:
        if name != known:
            raise unknown("option of reset:", name, [known])


def vector_entry_point(
    num_envs: int,
    family: str,
    *,
    split: str = "",
    seed: int = 0,
    task: Task | Mapping[str, Any] | None = None,
    observe_task: bool = False,
    **options: Any,
) -> GymnasiumVectorEnv:
    """What ``gymnasium.make_vec("metarl/...", num_envs)`` gives: one batch.

    Args:
        num_envs: simulations.
        family: its name.
        split: draws a task for each; default: all have the same.
        seed: of the split's tasks, and of initial states and noise.
        task: the task of all, or values of some parameters; default: the nominal one.
        observe_task: append the task to the observation.
        options: arguments of the family.

    Raises:
        InputError: for a split and a task together, or what does not exist.
    """
    if split and task is not None:
        raise InputError(f"split={split!r} and task={task!r}: give one of them.")
    made = make_family(family, **options)
    if split:
        return make_vec(
            made,
            made.tasks(split, num_envs, seed),
            seed=seed,
            observe_task=observe_task,
        )
    if not isinstance(task, Task):
        task = made.task(**(task or {}))
    return make_vec(made, [task], num_envs, seed=seed, observe_task=observe_task)


def make_vec(
    family: TaskFamily | str,
    tasks: Sequence[Task],
    copies: int = 1,
    *,
    seed: int = 0,
    observe_task: bool = False,
) -> GymnasiumVectorEnv:
    """Many tasks as a `gymnasium.vector.VectorEnv`.

    Args:
        family: a family or its name.
        tasks: its tasks.
        copies: simulations of each task.
        seed: of initial states and noise.
        observe_task: append the task to the observation.

    Raises:
        InputError: if a task does not belong to the family.
    """
    if isinstance(family, str):
        family = make_family(family)
    return GymnasiumVectorEnv(
        Environment(family, tasks, copies, seed=seed, observe_task=observe_task)
    )
