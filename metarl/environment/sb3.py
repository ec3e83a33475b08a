"""Many tasks as a Stable-Baselines3 `VecEnv`.

envs = StableBaselinesEnv(Environment(family, tasks, copies))
stable_baselines3.PPO("MlpPolicy", envs).learn(100_000)
"""

from collections import deque
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from metarl.environment.environment import Environment
from metarl.environment.episodes import Step
from metarl.environment.gymnasium import (
    action_space,
    need_a_reset,
    observation_space,
)


class StableBaselinesEnv(VecEnv):
    """Many tasks as a Stable-Baselines3 `VecEnv`; resets within the step.

    Args:
        environment: the simulations.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.finished: deque[float] = deque(maxlen=10_000)
        """Returns of the episodes that ended last, until somebody clears them."""
        self.diverged = 0
        """Simulations that blew up, until somebody sets it to 0."""
        self.running = torch.zeros(environment.n)
        """Return of each running episode so far, (n,)."""
        self.render_mode = None
        super().__init__(
            environment.n,
            observation_space(environment.observation_size),
            action_space(environment.action_size),
        )

    def reset(self) -> np.ndarray:
        """Start an episode in every simulation."""
        self.running.zero_()
        seed = next((s for s in self._seeds if s is not None), None)
        self._reset_seeds()
        return self.environment.reset(seed).numpy().copy()

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = torch.as_tensor(actions)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict]]:
        """One control step; ended episodes start anew, and the info says how.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        need_a_reset(self.environment)
        step = self.environment.step(self._actions)
        self.running += step.reward
        self.diverged += int(step.diverged.sum())
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        observation, ended = step.observation, step.ended
        if ended.any():
            observation = self._restart(step, infos)
        return (
            observation.numpy().copy(),
            step.reward.numpy().copy(),
            ended.numpy(),
            infos,
        )

    def _restart(self, step: Step, infos: list[dict[str, Any]]) -> Tensor:
        ids = step.ended.nonzero()[:, 0]
        outcome = self.environment.outcome()
        for i in ids.tolist():
            infos[i] = {
                "terminal_observation": step.observation[i].numpy().copy(),
                "TimeLimit.truncated": bool(step.truncated[i]),
                "episode": {
                    "r": float(self.running[i]),
                    "l": int(self.environment.elapsed[i]),
                },
                **{name: float(value[i]) for name, value in outcome.items()},
            }
            if self.environment.family.success_measure:
                infos[i]["is_success"] = bool(infos[i]["success"])
        self.finished.extend(self.running[ids].tolist())
        self.running[ids] = 0
        return self.environment.reset(ids=ids)

    def close(self) -> None:
        """Nothing to free."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same attribute for every simulation."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the whole."""
        setattr(self, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Refused: there is no environment object per simulation."""
        raise NotImplementedError(
            "Simulations of a batch have no methods of their own."
        )

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """No simulation is wrapped."""
        return [False for _ in self._get_indices(indices)]
