"""MAML for reinforcement learning, and its first-order kin.

Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast adaptation of deep
networks", 2017. The policy's initial parameters are learnt such that one policy
gradient step on a few episodes of a new task makes it good at that task:

    theta'_i = theta - inner_lr * grad loss_i(theta; support_i)        for every task
    theta    = TRPO step on  mean_i loss_i(theta'_i; query_i)          through theta'

Every task has its own parameters along a leading axis, so all tasks adapt in the same
few matrix products. The losses of tasks are summed before the inner gradient is taken
(they share nothing, so each gets its own gradient) and averaged only in the outer one.
`fomaml` treats the inner gradient as a constant.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from metarl.agents.gradient import (
    Batch,
    GradientAgent,
    GradientConfig,
    policy_gradient,
    surrogate,
)
from metarl.learning import estimators
from metarl.learning.agent import Metrics
from metarl.learning.optimization import (
    backtrack,
    conjugate_gradient,
    fisher_product,
    flatten,
    unflatten,
)
from metarl.learning.policies import (
    Parameters,
    gaussian,
    kl_divergence,
    policy_part,
    stack,
)


@dataclass(frozen=True)
class MAMLConfig(GradientConfig):
    """Hyper-parameters of MAML."""

    later_step: float = 0.25
    """Share of a step that is taken after as many as in training.

    The paper has 0.5. On `point-goal`, a second step of that length overshoots.
    """
    max_kl: float = 0.01
    """KL limit of the outer step, at the adapted policies."""
    cg_iterations: int = 10
    """Conjugate gradient steps for the natural gradient."""
    cg_damping: float = 1e-3
    """Added to the diagonal of the Fisher matrix."""
    fisher_stride: int = 8
    """Fisher products use one time step of so many."""
    second_order: bool = True
    """Differentiate through the inner gradient."""


class MAML(GradientAgent):
    """Learns initial parameters from which one gradient step goes far."""

    Config: ClassVar[type] = MAMLConfig

    def inner_step(
        self, learnt: Parameters, start: Parameters, batch: Batch, create_graph: bool
    ) -> Parameters:
        """One policy gradient step of every task."""
        gradient = policy_gradient(start, batch, create_graph)
        return {n: p - self.config.inner_lr * gradient[n] for n, p in start.items()}

    def through_adaptation(self, theta: Tensor, supports: list[Batch]) -> Parameters:
        """Adapted parameters of every task as a function of the learnt ``theta``."""
        learnt = unflatten(theta, self.parameters)
        parameters = stack(policy_part(learnt), len(supports[0].observation))
        second_order = self.config.second_order
        for support in supports:
            if torch.is_grad_enabled():
                parameters = self.inner_step(learnt, parameters, support, second_order)
            else:
                parameters = self.adapted(parameters, support, learnt)
        return parameters

    def outer_step(self, batches: list[Batch], adapted: Parameters) -> Metrics:
        """TRPO through the adaptation: the KL limit holds at the adapted policies."""
        config = self.config
        *supports, query = batches
        theta = flatten(self.parameters).requires_grad_()
        parameters = self.through_adaptation(theta, supports)
        loss = surrogate(parameters, query).mean()
        (gradient,) = torch.autograd.grad(loss, theta)
        before = float(loss.detach())
        with torch.no_grad():
            old = gaussian(parameters, query.observation)
        del parameters

        product = self._fisher(theta, batches)
        direction = conjugate_gradient(product, -gradient, config.cg_iterations)
        curvature = float(direction @ product(direction))
        if not (curvature > 0 and torch.isfinite(direction).all()):
            return {"loss": before, "kl": 0.0, "skipped": 1.0}
        step = direction * (2 * config.max_kl / curvature) ** 0.5

        @torch.no_grad()
        def evaluate(point: Tensor) -> tuple[float, float]:
            parameters = self.through_adaptation(point, supports)
            new = gaussian(parameters, query.observation)
            kl = kl_divergence(*old, *new)
            return (
                float(surrogate(parameters, query).mean()),
                float(estimators.masked_mean(kl, query.mask).mean()),
            )

        point, new_loss, kl = backtrack(
            evaluate, theta.detach(), step, before, config.max_kl
        )
        self.parameters = {
            name: p.clone() for name, p in unflatten(point, self.parameters).items()
        }
        return {"loss": before, "improvement": before - new_loss, "kl": kl}

    def _fisher(self, theta: Tensor, batches: list[Batch]) -> Any:
        """Products with the Fisher matrix at the adapted policies, on fewer steps."""
        config = self.config
        *supports, query = [
            batch.thinned(config.fisher_stride, self.family.horizon)
            for batch in batches
        ]
        adapted = self.through_adaptation(theta, supports)
        mean, log_std = gaussian(adapted, query.observation)
        # Mean over tasks of the masked mean over steps, as in the KL limit. The
        # Fisher matrix of a diagonal Gaussian: 1 / std^2 for the mean, 2 for log std.
        tasks = len(mean)
        counted = query.mask.sum(-1, keepdim=True).clamp(min=1) * tasks
        share = (query.mask / counted).unsqueeze(-1)
        metric = torch.cat(
            [
                (share * torch.exp(-2 * log_std).unsqueeze(-2)).reshape(-1),
                torch.full_like(log_std, 2 / tasks).reshape(-1),
            ]
        ).detach()
        outputs = torch.cat([mean.reshape(-1), log_std.reshape(-1)])
        return fisher_product(outputs, theta, metric, config.cg_damping)


@dataclass(frozen=True)
class FOMAMLConfig(MAMLConfig):
    """Hyper-parameters of first-order MAML."""

    second_order: bool = False
    """Differentiate through the inner gradient."""


class FOMAML(MAML):
    """MAML with the inner gradient held constant: cheaper, and often as good."""

    Config: ClassVar[type] = FOMAMLConfig
