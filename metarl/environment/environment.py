"""The one environment: a family's tasks as many simulations with episodes.

    environment = Environment(family, family.tasks("train", 20), copies=20, seed=0)
    observation = environment.reset()
    step = environment.step(torch.zeros(environment.n, environment.action_size))

Gymnasium, its vector interface and Stable-Baselines3 use it through adapters; metarl's
own agents through `collect`. A simulation whose episode ended is not stepped until it
is reset. One that blew up ends its episode with reward 0 and is flagged.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarl.environment import outputs
from metarl.environment.episodes import Step
from metarl.environment.family import TaskFamily
from metarl.environment.outputs import all_finite
from metarl.errors import ActionError, InputError
from metarl.tasks.defaults import own_defaults
from metarl.tasks.parameter import Parameter
from metarl.tasks.randomness import Streams, key, mix
from metarl.tasks.task import Task

_NEVER = torch.iinfo(torch.int64).max  # the control step of no switch


class Environment:
    """Episodes of ``len(tasks) * copies`` simulations, those of a task side by side.

    Args:
        family: the task family.
        tasks: its tasks.
        copies: simulations of each task.
        seed: of initial states, observation noise and resampled tasks. Simulation
            (task i, copy j) sees the same numbers whatever else runs beside it.
        observe_task: append the task to the observation (the oracle's view).
        resample: give a simulation another task at each reset, drawn at random from
            these, in place of its own.
        threads: threads of the physics; 0 takes all cores.

    Raises:
        InputError: if a task does not belong to the family.
    """

    @own_defaults()
    def __init__(
        self,
        family: TaskFamily,
        tasks: Sequence[Task],
        copies: int = 1,
        *,
        seed: int = 0,
        observe_task: bool = False,
        resample: Sequence[Task] = (),
        threads: int = 0,
    ) -> None:
        self.family = family
        self.pool = family.check_tasks(tasks)
        self.copies = copies
        self.observe_task = observe_task
        self.resample = family.check_tasks(resample) if resample else []
        self.n = len(self.pool) * copies
        self.threads = threads
        self.sim = family.simulate(self.pool, copies, threads)
        self.device = torch.device("cpu")  # of all that goes in and comes out
        self.tasks = [task for task in self.pool for _ in range(copies)]
        self._copy_index = torch.arange(copies).repeat(len(self.pool))
        self.set_noise_ids(None)
        self._sensors = family.sensor_perturbations
        self._everywhere = self._full(True)
        self.action_size = family.spec.action_size
        self.observation_size = family.spec.input_size(observe_task)
        self._check_sensors()
        self._first = True  # until a step was made
        self._note_tasks()
        self._start(seed)

    def set_noise_ids(self, ids: Tensor | None) -> None:
        """Choose which tasks see the same noise (common random numbers).

        Args:
            ids: a number for each task, (tasks,) int64: tasks of the same number see
                the same noise; default: all differ.
        """
        self.noise_ids = torch.arange(len(self.pool)) if ids is None else ids
        self._task_index = self.noise_ids.repeat_interleave(self.copies)

    def _full(self, value: bool | int) -> Tensor:
        """The same bool or int64 for every simulation, (n,)."""
        return torch.full((self.n,), value, device=self.device)

    def _start(self, seed: int | list[int]) -> None:
        self.seed = seed
        self.episode = self._full(0)
        self.elapsed = self._full(0)
        self.active = self._full(False)
        self.broken = self._full(False)
        self._known_divergence = self._full(0)

    def _note_tasks(self) -> None:
        """Keep what every step needs to know of the tasks."""
        every = (*self.tasks, *self.resample)
        self._most_switches = max(len(task.switches) for task in every)
        self._switch_steps = self._steps_to_switches(self.tasks)
        if self.observe_task:
            self._view = self._task_vectors(self.tasks)

    def _steps_to_switches(self, tasks: Sequence[Task]) -> Tensor:
        """Control steps until each task switches, (k, most switches) int64."""
        period, most = self.family.control_period, self._most_switches
        rows = [
            [round(switch.at / period) for switch in task.switches]
            + [_NEVER] * (most - len(task.switches))
            for task in tasks
        ]
        steps = torch.tensor(rows, dtype=torch.int64, device=self.device)
        return steps.reshape(len(tasks), most)

    def phases_at(self, ids: Tensor, elapsed: Tensor) -> list[Task]:
        """The phases that rule simulations ``ids``, (k,) int64, in the last step.

        So many control steps have ``elapsed``, (n,) int64, of an episode.
        """
        passed = (self._switch_steps[ids] < elapsed[ids, None]).sum(1).tolist()
        return [
            self.tasks[i].phases[count]
            for i, count in zip(ids.tolist(), passed, strict=True)
        ]

    def _task_vectors(self, tasks: Sequence[Task]) -> Tensor:
        """Tasks as an oracle observes them, (n, task_size)."""
        vectors = [self.family.space.normalized(task) for task in tasks]
        return torch.stack(vectors).to(self.device)

    @own_defaults()
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

    @own_defaults()
    def reset(
        self, seed: int | list[int] | None = None, ids: Tensor | None = None
    ) -> Tensor:
        """Start a new episode.

        Args:
            seed: start all randomness afresh from this seed; or from one for each
                simulation, which then starts as it would alone under its seed.
            ids: the simulations, (k,) int64 in ascending order; default: all.

        Returns:
            The observations of all simulations, (n, observation_size) float32.
        """
        if seed is not None:
            self._start(seed)
        mask = self._everywhere if ids is None else self._full(False)
        ids = self._everywhere.nonzero()[:, 0] if ids is None else ids
        if mask is not self._everywhere:
            mask[ids] = True
        if self.resample:
            self._draw_tasks(ids)
        elif self._most_switches:
            switching = ids[self._switch_steps[ids, 0] != _NEVER]
            self._set(switching, [self.tasks[i] for i in switching.tolist()])
        there = mask.to(self.sim.device)
        self.sim.reset(there)
        streams = self._streams("reset", ids)
        self.family.reset(self.sim, ids.to(self.sim.device), streams)
        self.sim.refresh(None if mask is self._everywhere else there)
        self.elapsed[ids] = 0
        self.episode[ids] += 1
        self.active[ids] = True
        self.broken[ids] = False
        self._known_divergence[ids] = self.sim.diverged().to(self.device)[ids]
        observation = self._observe()
        outputs.need_finite(self.family, self.tasks, mask, observe=observation)
        return observation

    @own_defaults()
    def step(self, action: Tensor) -> Step:
        """One control step of every simulation whose episode goes on.

        Args:
            action: (n, action_size); clipped to [-1, 1].

        Raises:
            ActionError: if an action is of another shape, or not finite where an
                episode goes on.
            InputError: if what a method of the family gives is of another shape or
                dtype, or not finite in the first step of all.
        """
        if action.shape != (self.n, self.action_size):
            raise ActionError(
                f"Actions have shape {tuple(action.shape)} instead of "
                f"{(self.n, self.action_size)}: (simulations, action_size)."
            )
        if not all_finite(action):
            if not action[self.active].isfinite().all():
                raise ActionError("An action is NaN or infinite.")
            # An ended episode has no use for an action, whatever it is.
            action = torch.where(self.active[:, None], action, 0.0)
        action = action.to(self.sim.qpos).clamp(-1.0, 1.0)
        if self._most_switches:
            self._apply_switches()
        running = self.active.clone()
        all_run = bool(running.all())
        self.family.act(self.sim, action)
        self.sim.step(None if all_run else running.to(self.sim.device))
        self.elapsed += running
        reward = outputs.reward(self.family, self.sim, action).to(self.device)
        terminated = self._flags("terminated")
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
        truncated = self._flags("truncated")
        truncated = truncated | (self.elapsed >= self.family.horizon)
        truncated = truncated & running & ~terminated
        self.active &= ~(terminated | truncated)
        return Step(observation, reward, terminated, truncated, diverged)

    @own_defaults()
    def outcome(self) -> dict[str, Tensor]:
        """Success and the family's physical metrics now, each (n,) float64.

        They are meant for simulations whose episode has just ended. One that blew up
        has no success, and its metrics are NaN.
        """
        measured = outputs.outcome(self.family, self.sim)
        outcome = {name: value.to(self.device) for name, value in measured.items()}
        if self.broken.any():
            for name, value in outcome.items():
                lost = 0.0 if name == "success" else torch.nan
                outcome[name] = torch.where(self.broken, lost, value)
        return outcome

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
        tensors = {
            name: tensor.to(self.device, copy=True) for name, tensor in tensors.items()
        }
        tasks = [task.to_dict() for task in self.tasks] if self.resample else []
        return tensors, {"seed": self.seed, "tasks": tasks}

    @own_defaults()
    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> Tensor:
        """Take over what `state` returned; returns the observations."""
        if plain["tasks"]:
            self.tasks = [Task.from_dict(task) for task in plain["tasks"]]
            self._note_tasks()
        self._start(plain["seed"])
        self.episode.copy_(tensors["episode"])
        self.elapsed.copy_(tensors["elapsed"])
        self.active.copy_(tensors["active"])
        self.broken.copy_(tensors["broken"])
        everywhere = self._everywhere.nonzero()[:, 0]
        self._set(everywhere, self.phases_at(everywhere, self.elapsed))
        self.sim.restore(tensors["simulation"])
        for memory in self.sim.memory.values():
            memory.zero_()
        for name, value in tensors.items():
            if name.startswith("memory/"):
                value = value.to(self.sim.device)
                self.sim.remember(name.removeprefix("memory/"), value).copy_(value)
        self.sim.refresh()
        self._known_divergence = self.sim.diverged().to(self.device)
        return self._observe()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Environment":
        """Another environment that goes on from here as this one would."""
        options = {n: getattr(self, n) for n in ("observe_task", "resample", "threads")}
        twin = Environment(self.family, self.pool, self.copies, **options)
        twin.set_noise_ids(self.noise_ids)
        twin.load_state(*self.state())
        return twin

    def __getstate__(self) -> Any:
        """Refuse to be pickled."""
        raise TypeError(
            "An environment cannot be pickled: its simulations live in this process. "
            "Keep family, tasks and state() instead; copy.deepcopy works."
        )

    # -- parts ---------------------------------------------------------------------

    def _streams(self, purpose: str, ids: Tensor, *more: Tensor) -> Streams:
        rows = ids.cpu()
        indices = [self._task_index[rows], self._copy_index[rows], self.episode[ids]]
        seeds = self.seed if isinstance(self.seed, list) else [self.seed]
        if isinstance(self.seed, list):  # each simulation is as it would be alone
            seeds, indices[:2] = [seeds[row] for row in rows], [rows * 0] * 2
        base = np.array([key(seed, purpose) for seed in seeds], np.uint64)
        keys = mix(base, *(index.cpu() for index in (*indices, *more)))
        return Streams(keys, like=self.sim.qpos)

    def _set(self, ids: Tensor, tasks: Sequence[Task]) -> None:
        """Let tasks rule simulations from now on."""
        if not tasks:
            return
        self.sim.set_tasks(tasks, ids.tolist())
        if self.observe_task:
            self._view[ids] = self._task_vectors(tasks)

    def _draw_tasks(self, ids: Tensor) -> None:
        drawn = self._streams("task", ids).integers(len(self.resample)).tolist()
        for i, index in zip(ids.tolist(), drawn, strict=True):
            self.tasks[i] = self.resample[index]
        fresh = [self.tasks[i] for i in ids.tolist()]
        self._set(ids, fresh)
        self._switch_steps[ids] = self._steps_to_switches(fresh)

    def _apply_switches(self) -> None:
        due = (self._switch_steps == self.elapsed[:, None]).any(1) & self.active
        ids = due.nonzero()[:, 0]
        self._set(ids, self.phases_at(ids, self.elapsed + 1))

    def _diverged(self, observation: Tensor, reward: Tensor) -> Tensor:
        blown = self.sim.diverged().to(self.device) > self._known_divergence
        if self._first:
            sane, self._first = ~blown & self.active, False
            made = {"reward": reward, "observe": observation}
            outputs.need_finite(self.family, self.tasks, sane, **made)
        if all_finite(observation) and all_finite(reward):  # nearly always
            return blown
        return blown | ~(observation.isfinite().all(-1) & reward.isfinite())

    def _observe(self) -> Tensor:
        observation = outputs.observation(self.family, self.sim)
        if self._sensors:
            observation = self._disturb(observation)
        observation = observation.to(self.device)
        if self.observe_task:
            observation = torch.cat([observation, self._view], -1)
        return observation.to(torch.float32)

    def _flags(self, method: str) -> Tensor:
        return outputs.flags(self.family, self.sim, method).to(self.device)

    def _disturb(self, observation: Tensor) -> Tensor:
        """What the sensors make of an observation."""
        for sensor in self._sensors:
            value = self.sim.parameters[sensor.parameter]
            value = value[:, None] if value.ndim == 1 else value
            noise = None
            if sensor.noisy:
                everywhere = self._everywhere.nonzero()[:, 0]
                streams = self._streams("sense", everywhere, self.elapsed)
                noise = streams.normal(observation.shape[-1])
            observation = sensor.disturb(observation, value, noise)
        return observation

    def _check_sensors(self) -> None:
        """Refuse a vector that has not one component for each observation."""
        size = self.family.spec.observation_size
        for sensor in self._sensors:
            parameter = self.family.parameters[sensor.parameter]
            if isinstance(parameter, Parameter) and parameter.size not in (1, size):
                raise InputError(
                    f"Parameter {sensor.parameter!r} has size={parameter.size}, but "
                    f"there are {size} observations: give it size=1 or size={size}."
                )
