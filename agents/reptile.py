"""Reptile: move the start towards what ordinary learning makes of it.

Nichol, Achiam and Schulman, "On first-order meta-learning algorithms", 2018, with PPO
(Schulman et al., 2017) as the ordinary learner. Every task learns for a few rounds of
episodes, several Adam steps a round; then the start moves towards the mean of the ends:

    theta'_i = Adam steps on the clipped objective of task i, from theta
    theta    = theta + outer_lr * mean_i (theta'_i - theta)

No second derivative, and no query episodes: the last round is learnt from as well.

The inner Adam belongs to the task: it is fresh when a task is first met and remembers
from round to round of that task. Nothing of it is carried to other tasks, so that
adaptation on a robot begins exactly as in training. Its epsilon is large. With the
usual 1e-8 every parameter moves alike, however small its gradient, and the noise of a
few episodes moves most of them: the mean of the ends then goes astray.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from metarl.agents.gradient import Batch, GradientAgent, GradientConfig
from metarl.learning.agent import Metrics
from metarl.learning.estimators import masked_mean
from metarl.learning.optimization import adam_tensors, descend, load_adam
from metarl.learning.policies import (
    Parameters,
    gaussian,
    leaves,
    log_probability,
    policy_part,
)
from metarl.learning.ppo import clipped_surrogate


@dataclass(frozen=True)
class ReptileConfig(GradientConfig):
    """Hyper-parameters of Reptile."""

    inner_lr: float = 0.01
    """Step size of the inner Adam."""
    epsilon: float = 1e-3
    """Of the inner Adam: gradients far below it move parameters in proportion."""
    inner_steps: int = 3
    """Rounds of episodes that a task learns from before the last one, in training."""
    tasks: int = 20
    """Tasks a meta-iteration."""
    episodes: int = 5
    """Episodes a task in each round."""
    updates: int = 10
    """Adam steps on each round."""
    clip: float = 0.2
    """Clip range of the probability ratio within a round."""
    outer_lr: float = 0.1
    """How far the start moves towards the mean of the ends, in (0, 1].

    The mean of a few noisy ends is noisy, too. Whole moves (1) let weights grow without
    aim: after 8M steps of half-cheetah they had nearly doubled.
    """


class Reptile(GradientAgent):
    """Learns a start that is near to where every task's learning ends."""

    Config: ClassVar[type] = ReptileConfig

    def inner_loss(self, policy: Parameters, batch: Batch) -> Tensor:
        """Negative clipped objective of every task, (task,)."""
        new = log_probability(*gaussian(policy, batch.observation), batch.action)
        gain = clipped_surrogate(
            new - batch.old_log_probability,
            batch.advantage,
            batch.mask,
            self.config.clip,
        )
        return -masked_mean(gain, batch.mask)

    def inner_step(
        self, learnt: Parameters, start: Parameters, batch: Batch, create_graph: bool
    ) -> Parameters:
        """Several Adam steps of every task; nothing is differentiated through them."""
        # A copy, for Adam works in place.
        policy = leaves({n: p.clone() for n, p in policy_part(start).items()})
        # Adam is element-wise, so that one of stacked parameters is one for each task.
        optimizer = torch.optim.Adam(
            policy.values(), lr=self.config.inner_lr, eps=self.config.epsilon
        )
        load_adam(optimizer, start)
        for _ in range(self.config.updates):
            loss = self.inner_loss(policy, batch).sum()
            gradients = torch.autograd.grad(loss, list(policy.values()))
            descend(optimizer, gradients)
        return {**policy, **adam_tensors(optimizer)}

    def outer_step(self, batches: list[Batch], adapted: Parameters) -> Metrics:
        """Learn from the last round too, then move the start."""
        ends = self.adapted(adapted, batches[-1])
        moves = {n: ends[n].mean(0) - p for n, p in self.parameters.items()}
        self.parameters = {
            n: p + self.config.outer_lr * moves[n] for n, p in self.parameters.items()
        }
        return {
            "move": float(torch.cat([m.reshape(-1) for m in moves.values()]).norm())
        }
