"""ProMP: proximal meta-policy search.

Rothfuss, Lee, Clavera, Asfour and Abbeel, "ProMP: proximal meta-policy search", 2019.
MAML's adaptation, with two changes. Inside, the likelihood-ratio objective keeps the
term by which the start shapes the episodes it is adapted on (`surrogate` does, in MAML
too). Outside, a batch of episodes serves several Adam steps, kept near the policies
that collected them, before and after adaptation:

    theta'_i = theta - inner_lr * grad loss_i(theta; support_i)        for every task
    minimise  mean_i  -clipped_i(theta'_i; query_i)
                      + kl_penalty * KL(policy that collected support_i || theta)

The clip binds the adapted policies (Schulman et al., 2017), the penalty the ones
before each inner step.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from metarl.agents.gradient import Batch, GradientAgent, GradientConfig, policy_gradient
from metarl.family import TaskFamily
from metarl.learning.agent import Metrics
from metarl.learning.estimators import masked_mean
from metarl.learning.optimization import adam_tensors, descend, load_adam
from metarl.learning.policies import (
    Parameters,
    kl_divergence,
    leaves,
    log_probability,
    policy_part,
    stack,
)
from metarl.learning.ppo import clipped_surrogate

Gaussian = tuple[Tensor, Tensor]
"""Means, (task, step, action_size), and log standard deviations, (task, ...)."""


@dataclass(frozen=True)
class ProMPConfig(GradientConfig):
    """Hyper-parameters of ProMP."""

    later_step: float = 0.25
    """Share of a step that is taken after as many as in training, as in MAML."""
    outer_lr: float = 1e-3
    """Step size of the outer Adam."""
    outer_steps: int = 5
    """Adam steps on the episodes of one iteration."""
    clip: float = 0.3
    """Clip range of the probability ratio at the adapted policies."""
    kl_penalty: float = 5e-4
    """Weight of the divergence from the policies before each inner step."""
    max_gradient: float = 10.0
    """An outer gradient longer than this is shortened."""


class ProMP(GradientAgent):
    """Learns MAML's start with a clipped objective and several steps a batch."""

    Config: ClassVar[type] = ProMPConfig

    def __init__(self, family: TaskFamily, config: ProMPConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        self.optimizer = self._adam()

    def inner_step(
        self, learnt: Parameters, start: Parameters, batch: Batch, create_graph: bool
    ) -> Parameters:
        """One policy gradient step of every task."""
        gradient = policy_gradient(start, batch, create_graph)
        return {n: p - self.config.inner_lr * gradient[n] for n, p in start.items()}

    def outer_loss(
        self, learnt: Parameters, batches: list[Batch], collectors: list[Gaussian]
    ) -> tuple[Tensor, Tensor]:
        """What the outer steps make small, and the divergence in it.

        Args:
            learnt: as ``parameters``, part of a graph.
            batches: a round before each inner step, and one after the last.
            collectors: the distributions that all rounds but the last came from.
        """
        *supports, query = batches
        state = stack(policy_part(learnt), len(query.observation))
        divergence = torch.zeros(())
        for support, old in zip(supports, collectors, strict=True):
            explored = self.distribution(self.exploring(state), support.observation)
            kl = kl_divergence(*old, *explored)
            divergence = divergence + masked_mean(kl, support.mask).mean()
            state = self.inner_step(learnt, state, support, create_graph=True)
        divergence = divergence / max(len(supports), 1)
        new = log_probability(
            *self.distribution(state, query.observation), query.action
        )
        gain = clipped_surrogate(
            new - query.old_log_probability,
            query.advantage,
            query.mask,
            self.config.clip,
        )
        loss = (
            self.config.kl_penalty * divergence - masked_mean(gain, query.mask).mean()
        )
        return loss, divergence

    def collectors(self, supports: list[Batch]) -> list[Gaussian]:
        """The distributions that the rounds before each inner step came from."""
        state = stack(policy_part(self.parameters), len(supports[0].observation))
        distributions = []
        for k, support in enumerate(supports):
            if k > 0:
                state = self.adapted(state, supports[k - 1])
            acted = self.exploring(state)
            with torch.no_grad():
                distributions.append(self.distribution(acted, support.observation))
        return distributions

    def outer_step(self, batches: list[Batch], adapted: Parameters) -> Metrics:
        """Several Adam steps through the adaptation."""
        collectors = self.collectors(batches[:-1])
        losses = []
        for _ in range(self.config.outer_steps):
            learnt = leaves(self.parameters)
            loss, divergence = self.outer_loss(learnt, batches, collectors)
            gradients = torch.autograd.grad(loss, list(learnt.values()))
            norm = descend(self.optimizer, gradients, self.config.max_gradient)
            losses.append(float(loss.detach()))
        return {
            "loss": losses[0],
            "improvement": losses[0] - losses[-1],
            "inner_kl": float(divergence.detach()),
            "gradient": norm,
        }

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What is learnt, and Adam."""
        return super().state()[0] | adam_tensors(self.optimizer), {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        super().load_state(tensors, plain)
        self.optimizer = self._adam()
        load_adam(self.optimizer, tensors)

    def _adam(self) -> torch.optim.Adam:
        return torch.optim.Adam(list(self.parameters.values()), lr=self.config.outer_lr)
