"""Returns, baselines and advantages from episodes of shape (..., copy, time).

Leading axes are batch axes: with (task, copy, time) everything is done per task.
Rewards after the end of an episode are zero and masked.

Horizon: the value after an episode's last step counts as zero, also where the episode
was cut by its horizon. The tasks are episodes of fixed length, and the baseline knows
the time; there is no state beyond the horizon to bootstrap from.
"""

import torch
from torch import Tensor

RIDGE = 1e-5
"""First ridge coefficient of the linear baseline; tenfold on each retry."""


def discounted_returns(reward: Tensor, discount: float) -> Tensor:
    """Sum of discounted rewards from each step on, same shape as ``reward``."""
    returns = torch.empty_like(reward)
    following = torch.zeros_like(reward[..., 0])
    for t in reversed(range(reward.shape[-1])):
        following = reward[..., t] + discount * following
        returns[..., t] = following
    return returns


def baseline_features(observation: Tensor) -> Tensor:
    """Features of the linear baseline, (..., copy, time, 2 * observation_size + 4).

    ``[o, o^2, t, t^2, t^3, 1]`` with the observation clipped to +-10 and t in hundreds
    of steps (Duan et al., "Benchmarking deep reinforcement learning", 2016).
    """
    clipped = observation.double().clamp(-10, 10)
    horizon = observation.shape[-2]
    t = torch.arange(horizon, dtype=torch.float64) / 100
    time = torch.stack([t, t**2, t**3, torch.ones_like(t)], -1)
    time = time.expand(*observation.shape[:-1], 4)
    return torch.cat([clipped, clipped.square(), time], -1)


def linear_baseline(observation: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """Values of the least-squares fit to ``returns``, fitted to the same episodes.

    Args:
        observation: (..., copy, time, observation_size).
        returns: discounted returns, (..., copy, time).
        mask: 1 where a step counts, (..., copy, time).

    Returns:
        Values, (..., copy, time) in the dtype of ``returns``. One fit per leading
        index; copies share it.
    """
    features = baseline_features(observation).flatten(-3, -2)
    weight = mask.double().flatten(-2).unsqueeze(-1)
    weighted = features * weight
    target = returns.double().flatten(-2).unsqueeze(-1)
    gram = weighted.mT @ features
    moment = weighted.mT @ target
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype)
    ridge = RIDGE
    for _ in range(6):
        factor, failed = torch.linalg.cholesky_ex(gram + ridge * eye)
        solution = torch.cholesky_solve(moment, factor)
        if not failed.any() and torch.isfinite(solution).all():
            break
        ridge *= 10
    values = (features @ solution).squeeze(-1).unflatten(-1, returns.shape[-2:])
    return values.to(returns.dtype)


def generalized_advantages(
    reward: Tensor, value: Tensor, mask: Tensor, discount: float, gae_lambda: float
) -> Tensor:
    """Generalized advantage estimates (Schulman et al., 2016), (..., copy, time).

    The value after the last step of an episode is zero: see the module's docstring.
    """
    value = value * mask
    following = torch.cat([value[..., 1:], torch.zeros_like(value[..., :1])], -1)
    delta = (reward + discount * following - value) * mask
    return discounted_returns(delta, discount * gae_lambda)


def normalized(advantage: Tensor, mask: Tensor) -> Tensor:
    """Zero mean and unit standard deviation over (copy, time) of each leading index."""
    count = mask.sum((-2, -1), keepdim=True).clamp(min=1)
    mean = (advantage * mask).sum((-2, -1), keepdim=True) / count
    centred = (advantage - mean) * mask
    variance = centred.square().sum((-2, -1), keepdim=True) / count
    return centred / (variance.sqrt() + 1e-8)


def advantages(
    observation: Tensor,
    reward: Tensor,
    mask: Tensor,
    discount: float,
    gae_lambda: float,
) -> Tensor:
    """Normalized advantages over a linear baseline, each leading index by itself.

    Args:
        observation: what the baseline reads, (..., copy, time, size).
        reward: (..., copy, time).
        mask: 1 where a step counts, (..., copy, time).
        discount: discount factor.
        gae_lambda: lambda of the advantage estimates.

    Returns:
        (..., copy, time), with mean 0 and deviation 1 over copies and time.
    """
    returns = discounted_returns(reward, discount)
    value = linear_baseline(observation, returns, mask)
    estimated = generalized_advantages(reward, value, mask, discount, gae_lambda)
    return normalized(estimated, mask)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over every step that counts (not over episodes), of the last axis."""
    return (values * mask).sum(-1) / mask.sum(-1).clamp(min=1)
