"""The one environment: a family's tasks as many simulations with episodes.

    environment = Environment(family, family.tasks("train", 20), copies=20, seed=0)
    observation = environment.reset()
    step = environment.step(torch.zeros(environment.n, environment.action_size))

Gymnasium, its vector interface and Stable-Baselines3 see it through `faces`; metarl's
own agents through `rollout`. A simulation whose episode ended is not stepped until it
is reset. One that blew up ends its episode with reward 0 and is flagged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarl.errors import InputError
from metarl.family import TaskFamily
from metarl.randomness import Streams, key, mix
from metarl.tasks import Task
from metarl.world.disturbances import SENSED


@dataclass
class Step:
    """What one control step brought, for n simulations."""

    observation: Tensor
    """After the step, (n, observation_size) float32."""
    reward: Tensor
    """(n,) float32; 0 where the episode had ended before."""
    terminated: Tensor
    """The episode ended for a reason of its own, (n,) bool."""
    truncated: Tensor
    """The episode reached its horizon, (n,) bool."""
    diverged: Tensor
    """The simulation blew up, which also terminates it, (n,) bool."""

    @property
    def ended(self) -> Tensor:
        """Whether the episode ended with this step, (n,) bool."""
        return self.terminated | self.truncated


class Environment:
    """Episodes of ``len(tasks) * copies`` simulations, those of a task side by side.

    Args:
        family: the task family.
        tasks: its tasks.
        copies: simulations of each task.
        seed: of initial states, observation noise and resampled tasks. Simulation
            (task i, copy j) sees the same numbers whatever else runs beside it.
        visible: append the task to the observation (the oracle's view).
        resample: give a simulation another task at each reset, drawn at random from
            these, in place of its own.
        threads: threads of the physics; 0 takes all cores.

    Raises:
        InputError: if a task does not belong to the family.
    """

    def __init__(
        self,
        family: TaskFamily,
        tasks: Sequence[Task],
        copies: int = 1,
        *,
        seed: int = 0,
        visible: bool = False,
        resample: Sequence[Task] = (),
        threads: int = 0,
    ) -> None:
        self.family = family
        self.pool = family.check_tasks(tasks)
        self.copies = copies
        self.visible = visible
        self.resample = family.check_tasks(resample) if resample else []
        self.n = len(self.pool) * copies
        self.sim = family.simulate(self.pool, copies, threads)
        self.tasks = [task for task in self.pool for _ in range(copies)]
        self._copy_index = torch.arange(copies).repeat(len(self.pool))
        self.share_noise(None)
        self._sensed = [name for name in SENSED if name in family.parameters]
        self._everywhere = torch.arange(self.n)
        self._note_tasks()
        self.action_size = family.action_size
        self._start(seed)
        self.observation_size = self.reset().shape[-1]
        self._start(seed)

    def share_noise(self, rows: Tensor | None) -> None:
        """Let tasks of the same number see the same noise (common random numbers).

        Args:
            rows: a number for each task, (tasks,) int64; default: all differ.
        """
        self.noise_rows = torch.arange(len(self.pool)) if rows is None else rows
        self._task_index = self.noise_rows.repeat_interleave(self.copies)

    def _start(self, seed: int) -> None:
        self.seed = seed
        self.episode = torch.zeros(self.n, dtype=torch.long)
        self.elapsed = torch.zeros(self.n, dtype=torch.long)
        self.active = torch.zeros(self.n, dtype=torch.bool)
        self.broken = torch.zeros(self.n, dtype=torch.bool)
        self._known_divergence = torch.zeros(self.n, dtype=torch.long)

    def _note_tasks(self) -> None:
        """Keep what every step needs to know of the tasks."""
        self._switch_step = self._steps_to_switch(self.tasks)
        self._switches = bool((self._switch_step >= 0).any())
        if self.visible:
            self._view = self._seen(self.tasks)

    def _steps_to_switch(self, tasks: Sequence[Task]) -> Tensor:
        """Control steps until each task switches, -1 for never, (n,)."""
        period = self.family.control_period
        return torch.tensor(
            [round(t.switch.at / period) if t.switch else -1 for t in tasks]
        )

    def _seen(self, tasks: Sequence[Task]) -> Tensor:
        """What the oracle is told of tasks, (n, size)."""
        return torch.stack([self.family.space.normalised(task) for task in tasks])

    def set_tasks(self, tasks: Sequence[Task]) -> None:
        """Replace the tasks by as many others; a reset follows.

        Raises:
            InputError: if the number differs or a task does not belong.
        """
        if len(tasks) != len(self.pool):
            raise InputError(
                f"This environment holds {len(self.pool)} tasks, got {len(tasks)}."
            )
        self.pool = self.family.check_tasks(tasks)
        self.tasks = [task for task in self.pool for _ in range(self.copies)]
        self.sim.set_tasks(self.tasks)
        self._note_tasks()
        self.active.zero_()

    def reset(self, seed: int | None = None, ids: Tensor | None = None) -> Tensor:
        """Start a new episode.

        Args:
            seed: start all randomness afresh from this seed.
            ids: the simulations, (k,) int64 in ascending order; default: all.

        Returns:
            The observations of all simulations, (n, observation_size) float32.
        """
        if seed is not None:
            self._start(seed)
        ids = self._everywhere if ids is None else ids
        if self.resample:
            self._draw_tasks(ids)
        elif self._switches:
            switched = ids[self._switch_step[ids] >= 0]
            self._set(switched, [self.tasks[i] for i in switched.tolist()])
        self.sim.reset(ids)
        if type(self.family).reset is not TaskFamily.reset:  # which writes nothing
            self.family.reset(self.sim, ids, self._streams("reset", ids))
        self.sim.refresh(ids)
        self.elapsed[ids] = 0
        self.episode[ids] += 1
        self.active[ids] = True
        self.broken[ids] = False
        self._known_divergence[ids] = torch.from_numpy(self.sim.diverged()).long()[ids]
        return self._observe()

    def step(self, action: Tensor) -> Step:
        """One control step of every simulation whose episode goes on.

        Args:
            action: (n, action_size); clipped to [-1, 1].

        Raises:
            InputError: if an action is of another shape, or not finite where an
                episode goes on.
        """
        if action.shape != (self.n, self.action_size):
            raise InputError(
                f"Actions have shape {tuple(action.shape)} instead of "
                f"{(self.n, self.action_size)}: (simulations, action_size)."
            )
        # NumPy's isfinite is several times as fast as torch's on arrays this small.
        if not np.isfinite(action.detach().numpy()).all():
            if not action[self.active].isfinite().all():
                raise InputError("An action is NaN or infinite.")
            # An ended episode has no use for an action, whatever it is.
            action = torch.where(self.active[:, None], action, 0.0)
        action = action.to(torch.float64).clamp(-1.0, 1.0)
        if self._switches:
            self._apply_switches()
        running = self.active.clone()
        all_run = bool(running.all())
        self.family.act(self.sim, action)
        self.sim.step(None if all_run else running.nonzero()[:, 0])
        self.elapsed += running
        reward = self.family.reward(self.sim, action).to(torch.float32)
        terminated = self.family.terminated(self.sim)
        observation = self._observe()
        diverged = self._diverged(observation, reward) & running
        if not all_run:
            reward = torch.where(running, reward, 0.0)
            terminated = terminated & running
        if diverged.any():
            reward = torch.where(diverged, 0.0, reward)
            terminated = terminated | diverged
            self.broken |= diverged
        if self.broken.any():
            observation = torch.where(self.broken[:, None], 0.0, observation)
        truncated = self.family.truncated(self.sim)
        truncated = truncated | (self.elapsed >= self.family.horizon)
        truncated = truncated & running & ~terminated
        self.active &= ~(terminated | truncated)
        return Step(observation, reward, terminated, truncated, diverged)

    def outcome(self) -> dict[str, Tensor]:
        """Success and the family's physical metrics now, each (n,) float64.

        They are meant for simulations whose episode has just ended. One that blew up
        has no success, and its metrics are NaN.
        """
        success = self.family.success(self.sim).double()
        metrics = self.family.metrics(self.sim)
        if self.broken.any():
            success = torch.where(self.broken, 0.0, success)
            metrics = {
                name: torch.where(self.broken, torch.nan, value)
                for name, value in metrics.items()
            }
        return {"success": success, **metrics}

    # -- state, for a run that goes on as if never stopped ------------------------

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on, as tensors and JSON values."""
        tensors = {
            "simulation": self.sim.snapshot(),
            "episode": self.episode,
            "elapsed": self.elapsed,
            "active": self.active,
            "broken": self.broken,
            **{f"memory/{name}": value for name, value in self.sim.memory.items()},
        }
        tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        tasks = [task.to_dict() for task in self.tasks] if self.resample else []
        return tensors, {"seed": self.seed, "tasks": tasks}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> Tensor:
        """Take over what `state` returned; returns the observations."""
        if plain["tasks"]:
            self.tasks = [Task.from_dict(task) for task in plain["tasks"]]
            self._note_tasks()
        switched = (self._switch_step >= 0) & (tensors["elapsed"] > self._switch_step)
        now = [
            task.after_switch if late else task
            for task, late in zip(self.tasks, switched.tolist(), strict=True)
        ]
        self._set(self._everywhere, now)
        self._start(plain["seed"])
        self.episode.copy_(tensors["episode"])
        self.elapsed.copy_(tensors["elapsed"])
        self.active.copy_(tensors["active"])
        self.broken.copy_(tensors["broken"])
        self.sim.restore(tensors["simulation"])
        for memory in self.sim.memory.values():
            memory.zero_()
        for name, value in tensors.items():
            if name.startswith("memory/"):
                self.sim.remember(name.removeprefix("memory/"), value).copy_(value)
        self.sim.refresh()
        self._known_divergence = torch.from_numpy(self.sim.diverged()).long()
        return self._observe()

    # -- parts ---------------------------------------------------------------------

    def _streams(self, purpose: str, ids: Tensor, *more: Tensor) -> Streams:
        indices = (self._task_index[ids], self._copy_index[ids], self.episode[ids])
        return Streams(mix(key(self.seed, purpose), *indices, *more))

    def _set(self, ids: Tensor, tasks: Sequence[Task]) -> None:
        """Let tasks rule simulations from now on."""
        if not tasks:
            return
        self.sim.set_tasks(tasks, ids.tolist())
        if self.visible:
            self._view[ids] = self._seen(tasks)

    def _draw_tasks(self, ids: Tensor) -> None:
        drawn = self._streams("task", ids).integers(len(self.resample)).tolist()
        for i, index in zip(ids.tolist(), drawn, strict=True):
            self.tasks[i] = self.resample[index]
        fresh = [self.tasks[i] for i in ids.tolist()]
        self._set(ids, fresh)
        self._switch_step[ids] = self._steps_to_switch(fresh)
        self._switches = bool((self._switch_step >= 0).any())

    def _apply_switches(self) -> None:
        due = ((self.elapsed == self._switch_step) & self.active).nonzero()[:, 0]
        self._set(due, [self.tasks[i].after_switch for i in due.tolist()])

    def _diverged(self, observation: Tensor, reward: Tensor) -> Tensor:
        count = torch.from_numpy(self.sim.diverged()).long()
        blown = count > self._known_divergence
        known = np.isfinite(observation.numpy()).all(-1) & np.isfinite(reward.numpy())
        return blown | ~torch.from_numpy(known)

    def _observe(self) -> Tensor:
        observation = self.family.observe(self.sim)
        if self._sensed:
            observation = self._disturb(observation)
        if self.visible:
            observation = torch.cat([observation, self._view], -1)
        return observation.to(torch.float32)

    def _disturb(self, observation: Tensor) -> Tensor:
        size = observation.shape[-1]
        if "observation_noise" in self._sensed:
            streams = self._streams("sense", self._everywhere, self.elapsed)
            noise = self._components("observation_noise", size) * streams.normal(size)
            observation = observation + noise
        if "observation_bias" in self._sensed:
            observation = observation + self._components("observation_bias", size)
        return observation

    def _components(self, name: str, size: int) -> Tensor:
        """A parameter that is a number for all observations or for each, (n, ...)."""
        value = self.sim.parameters[name]
        if value.ndim == 1:
            return value[:, None]
        if value.shape[1] != size:
            raise InputError(
                f"Parameter {name!r} has size={value.shape[1]}, but there are {size} "
                f"observations: give it size=1 or size={size}."
            )
        return value


def sizes(family: TaskFamily, visible: bool = False) -> tuple[int, int]:
    """Number of observation and of action components."""
    environment = Environment(family, [family.task()], visible=visible, threads=1)
    return environment.observation_size, environment.action_size
