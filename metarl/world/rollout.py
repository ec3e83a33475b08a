"""Episodes of static shape (task, copy, time), collected for any policy.

    episodes = collect(environment, policy, seed=key(seed, iteration, "support"))
    episodes.reward          # (task, copy, time); zero after an episode's end
    episodes.mask            # 1 where a step was made and may be learnt from

One function serves every agent. All simulations run in lockstep, every policy acts on
(task, copy, ...) tensors, and nothing loops over tasks or environments.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from metarl.errors import InputError, RunError
from metarl.randomness import Streams, key, mix
from metarl.world.environment import Environment


class Percept(NamedTuple):
    """What a policy is told before it acts."""

    observation: Tensor
    """(task, copy, observation_size) float32."""
    reward: Tensor
    """Reward of the previous step, 0 at the start of an episode, (task, copy)."""
    begins: Tensor
    """Whether this is the first step of an episode, (task, copy) bool."""
    running: Tensor
    """Whether the episode goes on; actions of others are ignored, (task, copy) bool."""
    noise: Tensor
    """Standard normal numbers to explore with, (task, copy, action_size)."""


class Policy(Protocol):
    """Anything that acts. It may remember; `Percept.begins` marks new episodes."""

    def act(self, percept: Percept) -> Tensor:
        """Actions, (task, copy, action_size)."""
        ...


@dataclass
class Episodes:
    """Episodes of several tasks, padded to the horizon."""

    observation: Tensor
    """Before each step, (task, copy, time, observation_size) float32."""
    action: Tensor
    """As the policy gave it, not clipped, (task, copy, time, action_size)."""
    reward: Tensor
    """(task, copy, time); 0 after the end."""
    mask: Tensor
    """1 where a step was made, (task, copy, time) float32. An episode that diverged
    is 0 throughout, so that it never reaches a gradient."""
    length: Tensor
    """Control steps made, (task, copy) int64. These count as robot time."""
    terminated: Tensor
    """Whether it ended before the horizon, (task, copy) bool."""
    diverged: Tensor
    """Whether its simulation blew up, (task, copy) bool."""
    success: Tensor
    """The family's success measure at the end, (task, copy) float64."""
    metrics: dict[str, Tensor] = field(default_factory=dict)
    """The family's physical metrics at the end, each (task, copy) float64."""
    final_observation: Tensor | None = None
    """After the last step, (task, copy, observation_size)."""
    states: Tensor | None = None
    """Joint positions after each step if recorded, (task, copy, time, nq) float64."""

    @property
    def returns(self) -> Tensor:
        """Undiscounted return of each episode, (task, copy)."""
        return self.reward.sum(-1)

    @property
    def control_steps(self) -> int:
        """Robot time spent, in control steps over all episodes."""
        return int(self.length.sum())


def judged(returns: Tensor, diverged: Tensor, together: bool = False) -> Tensor:
    """Returns, (task, copy); one that blew up is as bad as the worst of its task.

    It ended early, and where rewards are negative its own sum would be the best.

    Args:
        returns: of episodes, (task, copy).
        diverged: whether they blew up, (task, copy).
        together: where all of a task blew up, they are as bad as the worst of any. Not
            for adaptation, in which no robot may know of another.
    """
    worst = returns.amin(1, keepdim=True)
    if together and not diverged.all():
        worst_of_all = worst.minimum(returns[~diverged].min())
        worst = torch.where(diverged.all(1, keepdim=True), worst_of_all, worst)
    return torch.where(diverged, worst, returns)


def concatenate(parts: list[Episodes]) -> Episodes:
    """Episodes of the same tasks, one after the other along the copies."""

    def join(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts], 1)

    return Episodes(
        observation=join("observation"),
        action=join("action"),
        reward=join("reward"),
        mask=join("mask"),
        length=join("length"),
        terminated=join("terminated"),
        diverged=join("diverged"),
        success=join("success"),
    )


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Leave the cores to the physics: small products gain nothing from threads.

    Worse, torch's idle threads would spin on the cores that MuJoCo's need.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def collect(
    environment: Environment, policy: Policy, seed: int, record: bool = False
) -> Episodes:
    """One episode in every simulation.

    Args:
        environment: tasks x copies simulations.
        policy: acts for all of them at a time.
        seed: of initial states and exploration. Episode (task i, copy j) draws the
            same numbers whatever runs beside it.
        record: keep joint positions, for a video.

    Raises:
        RunError: if the policy's actions become NaN.
    """
    tasks, copies = len(environment.pool), environment.copies
    grid, horizon = (tasks, copies), environment.family.horizon
    action_size = environment.action_size
    observation = environment.reset(seed)
    streams = Streams(
        mix(
            key(seed, "explore"),
            environment.noise_rows[:, None],
            torch.arange(copies),
        ).reshape(-1)
    )
    noise = streams.normal(horizon, action_size).to(torch.float32)
    noise = noise.transpose(0, 1).reshape(horizon, *grid, action_size).contiguous()

    observations = torch.zeros(horizon, environment.n, environment.observation_size)
    actions = torch.zeros(horizon, *grid, action_size)
    rewards = torch.zeros(horizon, environment.n)
    running = torch.zeros(horizon, environment.n)
    terminated = torch.zeros(environment.n, dtype=torch.bool)
    diverged = torch.zeros_like(terminated)
    states = (
        torch.zeros(horizon, *environment.sim.qpos.shape, dtype=torch.float64)
        if record
        else None
    )
    outcome: dict[str, Tensor] = {}
    final = observation
    reward = torch.zeros(environment.n)
    begins = torch.ones(grid, dtype=torch.bool)
    with one_torch_thread():
        for t in range(horizon):
            observations[t] = observation
            running[t] = environment.active
            percept = Percept(
                observation.view(*grid, -1),
                reward.view(grid),
                begins,
                environment.active.view(grid).clone(),
                noise[t],
            )
            actions[t] = policy.act(percept)
            try:
                step = environment.step(actions[t].view(environment.n, action_size))
            except InputError as error:  # here the policy acts, not the user
                raise RunError(f"{error} A smaller step size may help.") from error
            observation, reward = step.observation, step.reward
            rewards[t] = reward
            if states is not None:
                states[t] = environment.sim.qpos
            if t == 0:
                begins = torch.zeros(grid, dtype=torch.bool)
            ended = step.ended
            if ended.any():
                terminated |= step.terminated
                diverged |= step.diverged
                final = torch.where(ended[:, None], observation, final)
                for name, value in environment.outcome().items():
                    known = outcome.setdefault(name, torch.full_like(value, torch.nan))
                    known[ended] = value[ended]
                if not environment.active.any():
                    break

    def by_task(rows: Tensor) -> Tensor:
        """(time, n, ...) to (task, copy, time, ...)."""
        return rows.reshape(horizon, *grid, *rows.shape[2:]).movedim(0, 2).contiguous()

    length = running.sum(0).long().view(grid)
    return Episodes(
        observation=by_task(observations),
        action=actions.movedim(0, 2).contiguous(),
        reward=by_task(rewards),
        mask=by_task(running * ~diverged),
        length=length,
        terminated=terminated.view(grid),
        diverged=diverged.view(grid),
        success=outcome.pop("success").view(grid),
        metrics={name: value.view(grid) for name, value in outcome.items()},
        final_observation=final.view(*grid, -1),
        states=None if states is None else by_task(states),
    )
