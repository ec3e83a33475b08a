"""Rollouts of simulations that run on: what on-policy agents learn from.

Episodes are longer than a rollout. A simulation goes on in the next rollout where it
stood, and one whose episode ended starts anew at once, on another task of the pool.

    rollouts = Rollouts(family, pool, simulations=512, seed=0)
    rollout = rollouts.collect(act, steps=32, seed=seed)          # (time, n, ...)
    advantage, target = advantages(rollout, value, 0.99, 0.95)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from metarl.environment.collect import one_torch_thread
from metarl.environment.environment import Environment
from metarl.environment.episodes import TimeStep, warned_since
from metarl.environment.family import TaskFamily
from metarl.errors import ActionError, RunError
from metarl.learning.normalization import Normalizer
from metarl.tasks.randomness import Streams, key, mix
from metarl.tasks.task import Task


@dataclass
class Rollout:
    """Control steps of n simulations in a row."""

    observation: Tensor
    """Before each step, (time, n, observation_size) float32."""
    action: Tensor
    """As the policy gave it, not clipped, (time, n, action_size)."""
    reward: Tensor
    """(time, n) float32."""
    terminated: Tensor
    """The episode ended with this step for a reason of its own, (time, n) bool."""
    truncated: Tensor
    """The episode reached its horizon with this step, (time, n) bool."""
    cut: Tensor
    """The observation after each truncated step, in order, (k, observation_size)."""
    following: Tensor
    """The observation after the last step, (n, observation_size)."""
    diverged: int
    """Simulations that blew up."""
    returns: list[float]
    """Of the episodes that ended."""
    warnings: dict[str, Tensor] = field(default_factory=dict)
    """How often the engine warned, by what of, each (n,) int64."""

    @property
    def ended(self) -> Tensor:
        """Whether the episode ended with this step, (time, n) bool."""
        return self.terminated | self.truncated


_OWN = ("reward", "first", "running")


def is_of_rollouts(name: str) -> bool:
    """Whether a tensor of a checkpoint is one of `Rollouts.state`."""
    return name in _OWN or name.startswith("robots/")


class Rollouts:
    """Simulations of tasks from a pool, which run on from rollout to rollout.

    The first episodes have different ages. Episodes of one length would otherwise run
    in step for ever, and a rollout would show one part of them alone.

    Args:
        family: the task family.
        pool: tasks that each episode draws one of.
        simulations: how many run at a time.
        seed: of tasks, initial states and the ages of the first episodes.
        observe_task: append the task to the observation.
    """

    def __init__(
        self,
        family: TaskFamily,
        pool: Sequence[Task],
        simulations: int,
        seed: int,
        observe_task: bool = False,
    ) -> None:
        first = [pool[i % len(pool)] for i in range(simulations)]
        self.environment = Environment(
            family,
            first,
            seed=key(seed, "robots"),
            observe_task=observe_task,
            resample=pool,
        )
        self.observation = self.environment.reset()
        self.reward = torch.zeros(simulations)
        """Of the last step, 0 where an episode begins, (n,)."""
        self.first = torch.ones(simulations, dtype=torch.bool)
        """Whether an episode begins, (n,)."""
        self.running = torch.zeros(simulations)
        """Return of the episode so far, (n,)."""
        ages = Streams(mix(key(seed, "phase"), torch.arange(simulations)))
        self.environment.elapsed.copy_(ages.integers(family.horizon))

    @torch.no_grad()
    def collect(
        self, act: Callable[[TimeStep], Tensor], steps: int, seed: int
    ) -> Rollout:
        """Let a policy act for so many control steps in every simulation.

        Args:
            act: actions (n, 1, action_size) of a `TimeStep` of n tasks, a copy each.
            steps: control steps.
            seed: of exploration.

        Raises:
            RunError: if the policy's actions become NaN.
        """
        environment = self.environment
        warned = environment.sim.warnings()
        n, size = environment.n, environment.action_size
        streams = Streams(mix(key(seed, "explore"), torch.arange(n)))
        noise = streams.normal(steps, size).float().transpose(0, 1).contiguous()
        observation = torch.zeros(steps, n, environment.observation_size)
        action = torch.zeros(steps, n, size)
        reward = torch.zeros(steps, n)
        terminated = torch.zeros(steps, n, dtype=torch.bool)
        truncated = torch.zeros_like(terminated)
        cut, returns, diverged = (
            [observation.new_zeros(0, observation.shape[-1])],
            [],
            0,
        )
        active = torch.ones(n, 1, dtype=torch.bool)
        with one_torch_thread():
            for t in range(steps):
                observation[t] = self.observation
                time_step = TimeStep(
                    self.observation[:, None],
                    self.reward[:, None],
                    self.first[:, None],
                    active,
                    noise[t][:, None],
                )
                action[t] = act(time_step)[:, 0]
                try:
                    step = environment.step(action[t])
                except ActionError as error:  # here the policy acts, not the user
                    message = f"{error} A smaller step size may help."
                    raise RunError(message) from error
                reward[t], terminated[t] = step.reward, step.terminated
                truncated[t] = step.truncated
                diverged += int(step.diverged.sum())
                self.running += step.reward
                self.observation, self.first = step.observation, step.ended
                self.reward = torch.where(step.ended, 0.0, step.reward)
                if step.ended.any():
                    cut.append(step.observation[step.truncated])
                    returns += self.running[step.ended].tolist()
                    self.running[step.ended] = 0
                    ids = step.ended.nonzero()[:, 0]
                    self.observation = environment.reset(ids=ids)
        return Rollout(
            observation,
            action,
            reward,
            terminated,
            truncated,
            torch.cat(cut),
            self.observation,
            diverged,
            returns,
            warned_since(warned, environment.sim.warnings()),
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next rollout depends on, as tensors and JSON values."""
        tensors, plain = self.environment.state()
        own = {name: getattr(self, name).clone() for name in _OWN}
        return {**{f"robots/{n}": t for n, t in tensors.items()}, **own}, plain

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        world = {
            name.removeprefix("robots/"): tensor
            for name, tensor in tensors.items()
            if name.startswith("robots/")
        }
        self.observation = self.environment.load_state(world, plain)
        for name in _OWN:
            setattr(self, name, tensors[name].clone())


class RewardScale:
    """Rewards in standard deviations of the discounted return (see VecNormalize).

    Args:
        simulations: how many run at a time.
        discount: discount factor.
    """

    def __init__(self, simulations: int, discount: float) -> None:
        self.discount = discount
        self.running = torch.zeros(simulations, dtype=torch.float64)
        """Discounted return of the episode so far, (n,)."""
        self.returns = Normalizer(1, floor=0.0, epsilon=1e-8)

    def __call__(self, rollout: Rollout) -> Tensor:
        """Take a rollout into account, and scale its rewards, (time, n)."""
        seen = torch.empty(rollout.reward.shape, dtype=torch.float64)
        for t, reward in enumerate(rollout.reward):
            self.running = self.running * self.discount + reward
            seen[t] = self.running
            self.running = torch.where(rollout.ended[t], 0.0, self.running)
        self.returns.update(seen[..., None], torch.ones_like(seen))
        scale = (self.returns.variance + self.returns.epsilon).sqrt().float()
        return (rollout.reward / scale).clamp(-10, 10)


def advantages(
    rollout: Rollout,
    reward: Tensor,
    value: Callable[[Tensor], Tensor],
    discount: float,
    gae_lambda: float,
) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimates (Schulman et al., 2016), and targets of values.

    Where an episode was cut by its horizon it would have gone on: what was to come
    counts as the value of the observation after it. After an end it counts as 0.

    Args:
        rollout: the steps.
        reward: their rewards, scaled, (time, n).
        value: of observations, (..., observation_size) to (...).
        discount: discount factor.
        gae_lambda: lambda.

    Returns:
        Advantages and value targets, each (time, n).
    """
    now = value(rollout.observation)
    following = torch.cat([now[1:], value(rollout.following)[None]])
    following = following.masked_fill(rollout.terminated, 0.0)
    following[rollout.truncated] = value(rollout.cut)
    delta = reward + discount * following - now
    goes_on = (~rollout.ended).float() * discount * gae_lambda
    advantage, later = torch.empty_like(delta), torch.zeros_like(delta[0])
    for t in reversed(range(len(delta))):
        later = advantage[t] = delta[t] + goes_on[t] * later
    return advantage, advantage + now
