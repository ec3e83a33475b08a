"""The environment as Gymnasium knows it, for code that is not metarl's.

gymnasium.make("metarl/CheetahDirection-v0", task={"direction": -1})
metarl.make_vec("cheetah-direction", tasks, copies=4)    # gymnasium.vector
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metarl.environment.environment import Environment
from metarl.environment.family import TaskFamily
from metarl.environment.registry import make_family
from metarl.errors import InputError
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


class GymnasiumEnv(gymnasium.Env):
    """One task of a family as a `gymnasium.Env`.

    Args:
        family: a family or its name.
        task: the task, or values of some parameters, or nothing for the nominal one.
        observe_task: append the task to the observation.
        render_mode: "rgb_array" or nothing.
        options: arguments of the family, if it is given by name.
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


class GymnasiumVectorEnv(VectorEnv):
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
        """Start an episode in every simulation. One seed serves them all."""
        if seed is not None:
            seeds = seed if isinstance(seed, Sequence | np.ndarray) else [seed]
            seed = next((int(s) for s in seeds if s is not None), None)
        super().reset(seed=seed, options=options)
        self._ended.zero_()
        return self.environment.reset(seed).numpy().copy(), {}

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
        return (
            observation.numpy().copy(),
            step.reward.numpy().astype(np.float64),
            step.terminated.numpy().copy(),
            step.truncated.numpy().copy(),
            info,
        )


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
