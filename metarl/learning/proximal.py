"""The outer objective of proximal meta-learning, and steps on it.

Rothfuss, Lee, Clavera, Asfour and Abbeel, "ProMP: proximal meta-policy search", 2019.
A batch of episodes serves several Adam steps, which stay near the policies that
collected it, before and after adaptation:

    minimise  mean_i  -clipped_i(adapted policy; query_i)
                      + kl_penalty * KL(policy that collected support_i || now)

The clip binds the adapted policies (Schulman et al., 2017), the penalty the policies
before each inner step. Any agent whose adaptation is differentiable can learn this way:
it passes the actions of its policies as a function of what it learns.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from metarl.learning.adam import Adam
from metarl.learning.agent import Metrics
from metarl.learning.distributions import Gaussian
from metarl.learning.estimators import masked_mean
from metarl.learning.networks import Learnt, leaves
from metarl.learning.optimization import descend, tensors_of
from metarl.learning.policy_gradient import Batch
from metarl.learning.ppo import clipped_surrogate


class ProximalConfig(Protocol):
    """What the config of an agent holds that learns this way."""

    @property
    def outer_steps(self) -> int:
        """Adam steps on the episodes of one iteration."""

    @property
    def clip(self) -> float:
        """Clip range of the probability ratio at the adapted policies."""

    @property
    def kl_penalty(self) -> float:
        """Weight of the divergence from the policies before each inner step."""

    @property
    def max_gradient(self) -> float:
        """An outer gradient longer than this is shortened."""


def proximal_loss(
    actions: list[Gaussian],
    collectors: list[Gaussian],
    batches: list[Batch],
    clip: float,
    kl_penalty: float,
) -> tuple[Tensor, Tensor]:
    """The outer objective, to be made small, and the divergence in it.

    Args:
        actions: of the policies of each round, on its observations.
        collectors: actions of the policies that collected these rounds.
        batches: a round before each inner step, and one after the last.
        clip: half width of the range of probability ratios.
        kl_penalty: weight of the divergence.
    """
    *explored, adapted = actions
    *supports, query = batches
    divergence = torch.stack(
        [
            masked_mean(old.kl(new), support.mask).mean()
            for old, new, support in zip(
                collectors[:-1], explored, supports, strict=True
            )
        ]
    ).mean()
    log_ratio = adapted.log_prob(query.action) - query.old_log_prob
    gain = clipped_surrogate(log_ratio, query.advantage, query.mask, clip)
    loss = kl_penalty * divergence - masked_mean(gain, query.mask).mean()
    return loss, divergence


def proximal_steps(
    learnt: Learnt,
    optimizer: Adam,
    act: Callable[[Learnt], list[Gaussian]],
    batches: list[Batch],
    config: ProximalConfig,
) -> Metrics:
    """Several steps through the adaptation, in place.

    Args:
        learnt: all that is learnt.
        optimizer: of its tensors, in their order.
        act: actions of the policies of each round on its observations, as a
            differentiable function of what is learnt.
        batches: a round before each inner step, and one after the last.
        config: of the agent.
    """
    collectors: list[Gaussian] = []
    losses = []
    for _ in range(config.outer_steps):
        point = {group: leaves(p) for group, p in learnt.items()}
        actions = act(point)
        if not collectors:  # nothing has moved yet
            collectors = [
                Gaussian(a.mean.detach(), a.log_std.detach()) for a in actions
            ]
        loss, divergence = proximal_loss(
            actions, collectors, batches, config.clip, config.kl_penalty
        )
        gradients = torch.autograd.grad(loss, list(tensors_of(point)))
        norm = descend(optimizer, gradients, config.max_gradient)
        losses.append(float(loss.detach()))
    return {
        "loss": losses[0],
        "improvement": losses[0] - losses[-1],
        "inner_kl": float(divergence.detach()),
        "gradient": norm,
    }
