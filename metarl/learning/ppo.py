"""Parts of proximal policy optimization (Schulman et al., 2017), as pure functions.

    log_ratio = log_probability(mean, log_std, action) - old_log_probability
    gain = masked_mean(clipped_surrogate(log_ratio, advantage, mask, 0.2), mask)
    loss = -gain.mean() + 0.5 * value_loss(value, target, mask).mean()

Shapes are (..., steps): leading axes, such as tasks, share nothing.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from metarl.learning.estimators import masked_mean


def clipped_surrogate(
    log_ratio: Tensor, advantage: Tensor, mask: Tensor, clip: float
) -> Tensor:
    """The pessimistic objective of every step, to be made large, (..., steps).

    Args:
        log_ratio: new minus old log-probability, (..., steps).
        advantage: (..., steps).
        mask: 1 where a step counts, (..., steps).
        clip: half width of the range of ratios that still pay.

    Returns:
        ``min(ratio A, clip(ratio) A)``, 0 where masked. The ratio is 1 and its
        gradient is the policy gradient where the policy collected the steps.
    """
    # What is masked may overflow, and infinity times 0 is NaN.
    ratio = torch.exp(torch.where(mask > 0, log_ratio, 0.0))
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return torch.minimum(ratio * advantage, clipped * advantage) * mask


def value_loss(value: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over the steps that count, (...)."""
    return masked_mean((value - target).square(), mask)


def minibatches(
    items: int, count: int, epochs: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Indices of minibatches: every epoch visits each item once, in a new order.

    Args:
        items: what there is to visit.
        count: minibatches an epoch; their sizes differ by one at most.
        epochs: passes over the items.
        generator: draws the orders: from `metarl.tasks.randomness.torch_generator`.
    """
    for _ in range(epochs if items else 0):
        order = torch.randperm(items, generator=generator)
        yield from order.tensor_split(min(count, items))
