"""What metric-based agents see of support episodes, and how a policy is told."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from metarl.learning import estimators
from metarl.learning.policies import Parameters, gaussian, log_probability
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
    """At most so many evenly spaced transitions of each episode.

    In place of an episode that blew up stands the first of its task that did not.
    """
    assert episodes.final_observation is not None
    final = episodes.final_observation[:, :, None]
    following = torch.cat([episodes.observation[:, :, 1:], final], 2)
    # What follows the last step of an episode that ended early is there, too.
    last = (episodes.length - 1).clamp(min=0)[..., None, None].expand_as(final)
    following = following.scatter(2, last, final)
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
    good = episodes.mask.any(-1)
    own = torch.arange(good.shape[1]).expand_as(good)
    episode = torch.where(good, own, good.int().argmax(1, keepdim=True))
    task = torch.arange(len(good))[:, None]
    some = Support(transition[:, :, chosen], episodes.mask[:, :, chosen])
    return Support(some.transition[task, episode], some.mask[task, episode])


@dataclass
class Conditioned:
    """A policy that is told a task embedding, (task, embedding)."""

    parameters: Parameters
    embedding: Tensor
    known: Tensor
    """1 where there was support, else 0, (task,)."""
    explore: bool = True
    std: Tensor | None = None
    """Of its actions without support, in place of what was learnt."""

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
        std = log_std.exp()
        if self.std is not None:
            std = torch.where(self.known[:, None, None] > 0, std, self.std)
        return mean + std * percept.noise


class Steps(NamedTuple):
    """What PPO needs of n steps."""

    told: Tensor
    """(n, size)."""
    action: Tensor
    """(n, action_size)."""
    advantage: Tensor
    """(n,)."""
    log_probability: Tensor
    """Of the actions when they were taken, (n,)."""


def steps_of(
    policy: Conditioned,
    episodes: Episodes,
    discount: float,
    gae_lambda: float,
    explore_std: float,
) -> Steps:
    """The steps that were made, over a baseline for each task."""
    returns = estimators.discounted_returns(episodes.reward, discount)
    value = estimators.linear_baseline(episodes.observation, returns, episodes.mask)
    advantage = estimators.generalised_advantages(
        episodes.reward, value, episodes.mask, discount, gae_lambda
    )
    advantage = estimators.normalised(advantage, episodes.mask)
    made = episodes.mask > 0
    told, action = policy.told(episodes.observation)[made], episodes.action[made]
    old = likelihood(policy.parameters, told, action, explore_std)[0]
    return Steps(told, action, advantage[made], old)


def likelihood(
    parameters: Parameters, told: Tensor, action: Tensor, explore_std: float
) -> tuple[Tensor, Tensor]:
    """Log density of actions, (n,), and the log deviations that are learnt.

    Args:
        parameters: of the policy.
        told: as `Conditioned.told`, (n, size).
        action: (n, action_size).
        explore_std: standard deviation where there was no support.
    """
    mean, learnt = gaussian(parameters, told)
    known = told[:, -1:] > 0
    log_std = torch.where(known, learnt, math.log(explore_std))
    return log_probability(mean[:, None], log_std, action[:, None])[:, 0], learnt
