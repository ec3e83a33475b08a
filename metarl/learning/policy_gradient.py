"""The policy gradient of every task at once, from one round of episodes.

    batch = make_batch(episodes, normalizer, lambda o: gaussian(stacked, o), 0.99, 0.95)
    gradient = policy_gradient(stacked, batch)         # of each task by its own policy

Every task has its own parameters along a leading axis, so all tasks learn in the same
few matrix products. The losses of tasks are summed before a gradient is taken: they
share nothing, so each gets its own. A mean would divide everybody's gradient by their
number.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from metarl.environment.episodes import Episodes
from metarl.learning import estimators
from metarl.learning.distributions import Gaussian, gaussian
from metarl.learning.networks import Parameters
from metarl.learning.normalization import Normalizer


@dataclass
class Batch:
    """One round of episodes as losses read it, (task, step, ...) flattened."""

    observation: Tensor
    """Normalized."""
    action: Tensor
    advantage: Tensor
    """Mean 0 and deviation 1 within each task."""
    mask: Tensor
    """1 where a step was made that may be learnt from."""
    old_log_prob: Tensor
    """Of the actions when they were taken."""

    def thinned(self, stride: int, horizon: int) -> "Batch":
        """Every ``stride``-th time step of each episode."""
        parts = {
            name: value.unflatten(1, (-1, horizon))[:, :, ::stride].flatten(1, 2)
            for name, value in vars(self).items()
        }
        return Batch(**parts)


def make_batch(
    episodes: Episodes,
    normalizer: Normalizer,
    acted: Callable[[Tensor], Gaussian],
    discount: float,
    gae_lambda: float,
) -> Batch:
    """Advantages and old log-probabilities of one round of episodes.

    Args:
        episodes: of every task.
        normalizer: of the policies that collected them.
        acted: what these policies do on normalized observations, (task, n, size).
        discount: discount factor.
        gae_lambda: lambda of the advantage estimates.
    """
    observation = normalizer(episodes.observation)
    advantage = estimators.advantages(
        observation, episodes.reward, episodes.mask, discount, gae_lambda
    )
    action = episodes.action.flatten(1, 2)
    with torch.no_grad():
        old = acted(observation.flatten(1, 2)).log_prob(action)
    return Batch(
        observation.flatten(1, 2),
        action,
        advantage.flatten(1),
        episodes.mask.flatten(1),
        old,
    )


def surrogate(actions: Gaussian, batch: Batch) -> Tensor:
    """Negative likelihood-ratio objective of every task, (task,).

    Where the same policies collected the batch, its gradient is the policy gradient.

    Args:
        actions: what the policies do on the batch's observations.
        batch: of episodes.
    """
    log_ratio = actions.log_prob(batch.action) - batch.old_log_prob
    # After an episode's end a ratio may overflow, and 0 times infinity is NaN.
    log_ratio = torch.where(batch.mask > 0, log_ratio, 0.0)
    return -estimators.masked_mean(torch.exp(log_ratio) * batch.advantage, batch.mask)


def policy_gradient(
    parameters: Parameters, batch: Batch, create_graph: bool = False
) -> Parameters:
    """Gradient of every task's `surrogate` by its own parameters.

    Args:
        parameters: of a Gaussian policy for each task, part of a graph.
        batch: of episodes.
        create_graph: keep the gradient differentiable (second order).
    """
    loss = surrogate(gaussian(parameters, batch.observation), batch).sum()
    gradients = torch.autograd.grad(
        loss, list(parameters.values()), create_graph=create_graph
    )
    return dict(zip(parameters, gradients, strict=True))
