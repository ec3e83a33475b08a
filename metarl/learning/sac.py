"""Soft actor-critic: its networks and losses, as functions.

Haarnoja et al., "Soft actor-critic algorithms and applications", 2018. The actor is a
Gaussian squashed by tanh, the critic a pair of networks, of which the lower value
counts (Fujimoto et al., 2018):

    y      = r + discount * continues * (min_j Q'_j(s', a') - alpha log pi(a' | s'))
    critic   minimises  sum_j (Q_j(s, a) - y)^2
    actor    minimises  alpha log pi(a | s) - min_j Q_j(s, a)          a = tanh(u)
    alpha    grows while the entropy is below its target, and falls above

``continues`` is 0 where the episode terminated, and 1 where only its time was up. Q'
follows Q slowly.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from metarl.learning.distributions import Gaussian
from metarl.learning.networks import (
    Learnt,
    Parameters,
    detached,
    network,
    network_parameters,
)


class Steps(NamedTuple):
    """What soft actor-critic learns from: n steps."""

    inputs: Tensor
    """Of actor and critic before a step, (n, size)."""
    action: Tensor
    """(n, action_size), in [-1, 1]."""
    reward: Tensor
    """(n,)."""
    following: Tensor
    """Inputs after it, (n, size)."""
    continues: Tensor
    """0 where it terminated the episode, else 1, (n,)."""


LOG_STD_RANGE = (-20.0, 2.0)
"""Of the actor, before squashing."""


def actor_parameters(
    inputs: int, action_size: int, hidden: Sequence[int], generator: torch.Generator
) -> Parameters:
    """A network for mean and log standard deviation of actions before squashing."""
    return network_parameters((inputs, *hidden, 2 * action_size), generator)


def critic_parameters(
    inputs: int, action_size: int, hidden: Sequence[int], generator: torch.Generator
) -> Parameters:
    """Two value networks of inputs and action, each tensor (2, ...)."""
    sizes = (inputs + action_size, *hidden, 1)
    twins = [network_parameters(sizes, generator) for _ in range(2)]
    return {name: torch.stack([twin[name] for twin in twins]) for name in twins[0]}


def actor(parameters: Parameters, inputs: Tensor) -> Gaussian:
    """The distribution of actions before squashing, of inputs (..., n, size)."""
    mean, log_std = network(parameters, inputs, torch.relu).chunk(2, -1)
    return Gaussian(mean, log_std.clamp(*LOG_STD_RANGE))


def critic(parameters: Parameters, inputs: Tensor, action: Tensor) -> Tensor:
    """Both values of actions, (2, n), of inputs (n, size)."""
    return network(parameters, torch.cat([inputs, action], -1), torch.relu).squeeze(-1)


def squashed(actions: Gaussian, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions in (-1, 1), (..., n, action_size), and their log density, (..., n).

    Args:
        actions: their distribution before squashing.
        noise: standard normal numbers of the mean's shape.
    """
    u = actions.sample(noise)
    # log(1 - tanh(u)^2), which does not round to log(0) far out.
    log_slope = 2 * (math.log(2) - u - softplus(-2 * u))
    return torch.tanh(u), actions.log_prob(u) - log_slope.sum(-1)


def critic_target(
    reward: Tensor,
    continues: Tensor,
    values: Tensor,
    log_prob: Tensor,
    temperature: Tensor,
    discount: float,
) -> Tensor:
    """What the critic should say of steps, (n,).

    Args:
        reward: of the steps, (n,).
        continues: 0 where a step terminated the episode, else 1, (n,).
        values: of the target critic, for actions drawn after the steps, (2, n).
        log_prob: of these actions, (n,).
        temperature: alpha, ().
        discount: discount factor.
    """
    soft = values.amin(0) - temperature * log_prob
    return reward + discount * continues * soft


def critic_loss(values: Tensor, target: Tensor) -> Tensor:
    """Mean squared errors of both values, (2, n), added."""
    return (values - target).square().mean(-1).sum()


def actor_loss(values: Tensor, log_prob: Tensor, temperature: Tensor) -> Tensor:
    """What the actor minimises: its log density less the lower value.

    Args:
        values: of the actor's own actions, (2, n).
        log_prob: of these actions, (n,).
        temperature: alpha, ().
    """
    return (temperature * log_prob - values.amin(0)).mean()


def temperature_loss(
    log_temperature: Tensor, log_prob: Tensor, target_entropy: float
) -> Tensor:
    """Descending it raises the temperature while the entropy is below its target."""
    return -log_temperature * (log_prob.detach().mean() + target_entropy)


def losses(
    learnt: Learnt,
    target: Parameters,
    steps: Steps,
    generator: torch.Generator,
    discount: float,
) -> dict[str, Tensor]:
    """The loss of each part. Their sum has no gradient of a part but its own.

    The critic's gradient flows into the steps' inputs, for whoever learns what they
    are; the actor's does not.

    Args:
        learnt: leaves of the groups ``actor``, ``critic`` and ``temperature``, whose
            ``log`` is that of alpha. Its loss aims at an entropy of minus the number of
            actions; without that loss, alpha is fixed.
        target: weights of the target critic.
        steps: to learn from.
        generator: draws actions.
        discount: discount factor.
    """
    log_temperature = learnt["temperature"]["log"]
    alpha = log_temperature.detach().exp()

    def acted(inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.randn(steps.action.shape, generator=generator)
        return squashed(actor(learnt["actor"], inputs), noise.to(inputs))

    with torch.no_grad():
        action, log_prob = acted(steps.following)
        goal = critic_target(
            steps.reward,
            steps.continues,
            critic(target, steps.following, action),
            log_prob,
            alpha,
            discount,
        )
    inputs = steps.inputs.detach()
    action, log_prob = acted(inputs)
    values = critic(detached(learnt["critic"]), inputs, action)
    entropy = -float(steps.action.shape[-1])
    return {
        "critic": critic_loss(
            critic(learnt["critic"], steps.inputs, steps.action), goal
        ),
        "actor": actor_loss(values, log_prob, alpha),
        "temperature": temperature_loss(log_temperature, log_prob, entropy),
    }


@torch.no_grad()
def soft_update(target: Parameters, online: Parameters, rate: float) -> Parameters:
    """Target weights after a small step towards the weights that are learnt."""
    return {name: p.lerp(online[name], rate) for name, p in target.items()}
