"""Episodes of static shape (task, copy, time), and what a policy reads and is.

episodes.reward          # (task, copy, time); zero after an episode's end
episodes.mask            # 1 where a step was made and may be learnt from
episodes.returns         # (task, copy)
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor


class TimeStep(NamedTuple):
    """What a policy reads before it acts."""

    observation: Tensor
    """(task, copy, observation_size) float32."""
    reward: Tensor
    """Reward of the previous step, 0 at the start of an episode, (task, copy)."""
    first: Tensor
    """Whether this is the first step of an episode, (task, copy) bool."""
    active: Tensor
    """Whether the episode goes on; actions of others are ignored, (task, copy) bool."""
    noise: Tensor
    """Standard normal numbers to explore with, (task, copy, action_size)."""


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


class Policy(Protocol):
    """Anything that acts. It may have a state; `TimeStep.first` marks new episodes."""

    def act(self, time_step: TimeStep) -> Tensor:
        """Actions, (task, copy, action_size)."""
        ...


PolicyMemory = dict[str, Tensor]
"""What a policy keeps from one step to the next, by name, each (task * copy, ...)."""


@runtime_checkable
class MemoryPolicy(Policy, Protocol):
    """A policy whose memory can be held outside it: `metarl export` needs that."""

    def start(self, time_step: TimeStep) -> PolicyMemory:
        """What it keeps before the first step of an episode.

        Args:
            time_step: gives the sizes, and nothing else.
        """
        ...

    def step(
        self, time_step: TimeStep, memory: PolicyMemory
    ) -> tuple[Tensor, PolicyMemory]:
        """What `act` gives after this memory, and the memory then.

        It changes nothing, and no branch in it depends on the numbers.
        """
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
    warnings: dict[str, Tensor] = field(default_factory=dict)
    """How often the engine warned, by what of, each (task, copy) int64."""
    final_observation: Tensor | None = None
    """After the last step, (task, copy, observation_size)."""
    states: Tensor | None = None
    """Joint positions after each step if recorded, (task, copy, time, nq) float64."""

    @property
    def returns(self) -> Tensor:
        """Undiscounted return of each episode, (task, copy)."""
        return self.reward.sum(-1)

    @property
    def following(self) -> Tensor:
        """After each step, (task, copy, time, observation_size)."""
        assert self.final_observation is not None
        final = self.final_observation[:, :, None]
        following = torch.cat([self.observation[:, :, 1:], final], 2)
        # What follows the last step of an episode that ended early is there, too.
        last = (self.length - 1).clamp(min=0)[..., None, None].expand_as(final)
        return following.scatter(2, last, final)

    @property
    def control_steps(self) -> int:
        """Robot time spent, in control steps over all episodes."""
        return int(self.length.sum())


def warned_since(
    before: dict[str, Tensor], now: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Counts of `Simulation.warnings` since earlier ones, where there are any."""
    since = {kind: count - before[kind] for kind, count in now.items()}
    return {kind: count for kind, count in since.items() if count.any()}


def returns_with_diverged_as_worst(
    returns: Tensor, diverged: Tensor, across_tasks: bool = False
) -> Tensor:
    """Returns, (task, copy), where one that diverged is the worst of its task.

    It ended early, and where rewards are negative its own sum would be the best.

    Args:
        returns: of episodes, (task, copy).
        diverged: whether their simulations blew up, (task, copy).
        across_tasks: where all of a task diverged, they are as bad as the worst of any
            task. Not for adaptation, in which no task may know of another.
    """
    worst = returns.amin(1, keepdim=True)
    if across_tasks and not diverged.all():
        worst_of_all = worst.minimum(returns[~diverged].min())
        worst = torch.where(diverged.all(1, keepdim=True), worst_of_all, worst)
    return torch.where(diverged, worst, returns)


def concatenate(parts: list[Episodes]) -> Episodes:
    """Episodes of the same tasks, one after the other along the copies."""
    kinds = {kind for part in parts for kind in part.warnings}
    warned = {
        kind: torch.cat(
            [p.warnings.get(kind, torch.zeros_like(p.length)) for p in parts], 1
        )
        for kind in sorted(kinds)
    }

    def join(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts], 1)

    lost = any(part.final_observation is None for part in parts)
    return Episodes(
        observation=join("observation"),
        action=join("action"),
        reward=join("reward"),
        mask=join("mask"),
        length=join("length"),
        terminated=join("terminated"),
        diverged=join("diverged"),
        success=join("success"),
        warnings=warned,
        final_observation=None if lost else join("final_observation"),
    )
