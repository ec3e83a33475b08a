"""Collecting episodes for any policy.

    episodes = collect(environment, policy, seed=key(seed, iteration, "support"))

One function serves every agent. All simulations run in lockstep, every policy acts on
(task, copy, ...) tensors, and nothing loops over tasks or environments.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from metarl.environment.environment import Environment
from metarl.environment.episodes import Episodes, Policy, TimeStep, warned_since
from metarl.errors import ActionError, RunError
from metarl.tasks.defaults import own_defaults
from metarl.tasks.randomness import Streams, key, mix


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


def exploration_noise(
    seed: int, noise_ids: Tensor, copy_ids: Tensor, horizon: int, action_size: int
) -> Tensor:
    """What policies explore with, (time, task, copy, action_size) float32.

    Args:
        seed: of the episodes.
        noise_ids: a number for each task, (tasks,) int64.
        copy_ids: a number for each episode of a task, (copies,) int64.
        horizon: control steps of an episode.
        action_size: action components.
    """
    keys = mix(key(seed, "explore"), noise_ids[:, None], copy_ids)
    noise = Streams(keys.reshape(-1)).normal(horizon, action_size).to(torch.float32)
    grid = (len(noise_ids), len(copy_ids))
    return noise.transpose(0, 1).reshape(horizon, *grid, action_size).contiguous()


@own_defaults()
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
    warned = environment.sim.warnings()
    observation = environment.reset(seed)
    device = environment.device
    ids = environment.noise_ids, torch.arange(copies)
    noise = exploration_noise(seed, *ids, horizon, action_size).to(device)

    observations = torch.zeros(
        horizon, environment.n, environment.observation_size, device=device
    )
    actions = torch.zeros(horizon, *grid, action_size, device=device)
    rewards = torch.zeros(horizon, environment.n, device=device)
    made = torch.zeros_like(rewards)
    terminated = torch.zeros_like(environment.active)
    diverged = torch.zeros_like(terminated)
    qpos = environment.sim.qpos
    states = (
        torch.zeros(horizon, *qpos.shape, dtype=qpos.dtype, device=device)
        if record
        else None
    )
    outcome: dict[str, Tensor] = {}
    final = observation
    reward = torch.zeros_like(rewards[0])
    first = torch.ones_like(environment.active).view(grid)
    with one_torch_thread():
        for t in range(horizon):
            observations[t] = observation
            made[t] = environment.active
            time_step = TimeStep(
                observation.view(*grid, -1),
                reward.view(grid),
                first,
                environment.active.view(grid).clone(),
                noise[t],
            )
            actions[t] = policy.act(time_step)
            try:
                step = environment.step(actions[t].view(environment.n, action_size))
            except ActionError as error:  # here the policy acts, not the user
                raise RunError(f"{error} A smaller step size may help.") from error
            observation, reward = step.observation, step.reward
            rewards[t] = reward
            if states is not None:
                states[t] = environment.sim.qpos
            if t == 0:
                first = torch.zeros_like(first)
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

    length = made.sum(0).long().view(grid)
    return Episodes(
        observation=by_task(observations),
        action=actions.movedim(0, 2).contiguous(),
        reward=by_task(rewards),
        mask=by_task(made * ~diverged),
        length=length,
        terminated=terminated.view(grid),
        diverged=diverged.view(grid),
        success=outcome.pop("success").view(grid),
        metrics={name: value.view(grid) for name, value in outcome.items()},
        warnings={
            kind: count.view(grid)
            for kind, count in warned_since(warned, environment.sim.warnings()).items()
        },
        final_observation=final.view(*grid, -1),
        states=None if states is None else by_task(states),
    )
