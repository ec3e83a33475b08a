"""What metric-based agents see of support episodes, and how a policy is told."""

from dataclasses import dataclass

import torch
from torch import Tensor

from metarl.learning.policies import Parameters, gaussian
from metarl.world.rollout import Episodes, Percept


@dataclass
class Support:
    """Transitions of support episodes, as the encoder sees them."""

    transition: Tensor
    """(task, episode, step, 2 * observation_size + action_size + 1)."""
    mask: Tensor
    """1 where a step was made, (task, episode, step)."""

    def filled(self) -> "Support":
        """Without tasks of which nothing is known."""
        some = self.mask.flatten(1).any(1)
        return Support(self.transition[some], self.mask[some])

    def joined(self, later: "Support", axis: int) -> "Support":
        """With more tasks (axis 0) or more episodes of the same tasks (axis 1)."""
        return Support(
            torch.cat([self.transition, later.transition], axis),
            torch.cat([self.mask, later.mask], axis),
        )


def transitions(episodes: Episodes, steps: int) -> Support:
    """At most so many evenly spaced transitions of each episode."""
    assert episodes.final_observation is not None
    final = episodes.final_observation[:, :, None]
    following = torch.cat([episodes.observation[:, :, 1:], final], 2)
    # After its end an episode's observations stay as they were: what follows the last
    # step is there also where it ended early.
    transition = torch.cat(
        [
            episodes.observation,
            episodes.action.clamp(-1, 1),
            episodes.reward[..., None],
            following,
        ],
        -1,
    )
    horizon = transition.shape[2]
    chosen = torch.linspace(0, horizon - 1, min(steps, horizon)).long()
    return Support(transition[:, :, chosen], episodes.mask[:, :, chosen])


@dataclass
class Conditioned:
    """A policy that is told a task embedding, (task, embedding)."""

    parameters: Parameters
    embedding: Tensor
    known: Tensor
    """1 where there was support, else 0, (task,)."""
    explore: bool = True

    def told(self, observation: Tensor) -> Tensor:
        """Observations with embedding and flag, (task, ..., size)."""
        extra = torch.cat([self.embedding, self.known[:, None]], -1)
        shape = (len(extra), *[1] * (observation.ndim - 2), extra.shape[-1])
        return torch.cat(
            [observation, extra.view(shape).expand(*observation.shape[:-1], -1)], -1
        )

    def act(self, percept: Percept) -> Tensor:
        """Actions, (task, copy, action_size)."""
        mean, log_std = gaussian(self.parameters, self.told(percept.observation))
        if not self.explore:
            return mean
        return mean + log_std.exp() * percept.noise
