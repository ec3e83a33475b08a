"""Meta-SGD: MAML that also learns how far and which way each parameter steps.

Li, Zhou, Chen and Li, "Meta-SGD: learning to learn quickly for few-shot learning",
2017. Beside the start there is a step size for every single parameter, alpha, which
may become negative:

    theta'_i     = theta - alpha * grad loss_i(theta; support_i)     (element-wise)
    theta, alpha = TRPO step on  mean_i loss_i(theta'_i; query_i)    through theta'

All else is MAML's, the step of `alpha` under the KL limit included.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from metarl.agents.maml import MAML, MAMLConfig
from metarl.environment.family import TaskFamily
from metarl.learning.agent import Metrics
from metarl.learning.networks import Learnt, Parameters
from metarl.learning.optimization import flatten
from metarl.learning.policy_gradient import Batch, policy_gradient


@dataclass(frozen=True)
class MetaSGDConfig(MAMLConfig):
    """Hyper-parameters of Meta-SGD."""

    inner_lr: float = 0.3
    """Step size of every parameter before meta-training."""


class MetaSGD(MAML):
    """Learns a start and a step size for every parameter."""

    Config: ClassVar[type] = MetaSGDConfig

    def __init__(self, family: TaskFamily, config: MetaSGDConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        self.learnt["rate"] = {
            name: torch.full_like(p, config.inner_lr)
            for name, p in self.learnt["start"].items()
        }

    def inner_step(
        self,
        learnt: Learnt,
        parameters: Parameters,
        batch: Batch,
        second_order: bool = False,
    ) -> Parameters:
        """A policy gradient step of every task, each parameter at its own rate."""
        gradient, rate = (
            policy_gradient(parameters, batch, second_order),
            learnt["rate"],
        )
        return {n: p - rate[n] * gradient[n] for n, p in parameters.items()}

    def outer_step(self, batches: list[Batch]) -> Metrics:
        """MAML's, on start and step sizes together."""
        metrics = super().outer_step(batches)
        rates = flatten(self.learnt["rate"])
        return {
            **metrics,
            "rate": float(rates.mean()),
            "rate_spread": float(rates.std()),
        }
