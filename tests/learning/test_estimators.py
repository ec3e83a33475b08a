import math

import numpy as np
import pytest
import torch

from metarl.learning import estimators
from metarl.learning.distributions import Gaussian


def test_discounted_returns_by_hand():
    reward = torch.tensor([1.0, 2.0, 3.0])
    returns = estimators.discounted_returns(reward, 0.5)
    assert returns.tolist() == [1 + 0.5 * (2 + 0.5 * 3), 2 + 0.5 * 3, 3.0]


def test_generalized_advantages_by_hand():
    reward = torch.tensor([[[1.0, 1.0, 1.0]]])
    value = torch.tensor([[[0.5, 1.0, 2.0]]])
    mask = torch.ones(1, 1, 3)
    advantage = estimators.generalized_advantages(reward, value, mask, 0.9, 0.8)
    delta = [1 + 0.9 * 1.0 - 0.5, 1 + 0.9 * 2.0 - 1.0, 1 - 2.0]
    last = delta[2]
    middle = delta[1] + 0.72 * last
    first = delta[0] + 0.72 * middle
    assert advantage[0, 0].tolist() == pytest.approx([first, middle, last])


def test_advantages_stop_where_the_episode_stopped():
    reward = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    mask = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    value = torch.full((1, 1, 4), 7.0)
    advantage = estimators.generalized_advantages(reward, value, mask, 1.0, 1.0)
    assert advantage[0, 0].tolist() == [1 + 1 - 7, 1 - 7, 0, 0]


def test_with_lambda_one_the_advantage_is_return_minus_value():
    generator = torch.Generator().manual_seed(0)
    reward, value = torch.randn(2, 3, 4, 9, generator=generator)
    mask = torch.ones_like(reward)
    advantage = estimators.generalized_advantages(reward, value, mask, 0.97, 1.0)
    returns = estimators.discounted_returns(reward, 0.97)
    torch.testing.assert_close(advantage, returns - value)


def test_advantages_are_normalized_per_task_by_the_standard_deviation():
    advantage = torch.tensor([[[1.0, 3.0]], [[10.0, 30.0]]])
    mask = torch.ones_like(advantage)
    scaled = estimators.normalized(advantage, mask)
    assert scaled.flatten().tolist() == pytest.approx([-1, 1, -1, 1])


def test_normalization_ignores_padding():
    advantage = torch.tensor([[[1.0, 3.0, 99.0]]])
    mask = torch.tensor([[[1.0, 1.0, 0.0]]])
    assert estimators.normalized(advantage, mask)[0, 0].tolist() == pytest.approx(
        [-1, 1, 0]
    )


def test_linear_baseline_solves_the_normal_equations():
    generator = np.random.default_rng(0)
    observation = generator.normal(size=(2, 3, 5, 2))
    returns = generator.normal(size=(2, 3, 5))
    values = estimators.linear_baseline(
        torch.tensor(observation), torch.tensor(returns), torch.ones(2, 3, 5)
    )
    for task in range(2):
        t = np.tile(np.arange(5) / 100, 3)[:, None]
        o = observation[task].reshape(15, 2)
        phi = np.hstack([o, o**2, t, t**2, t**3, np.ones_like(t)])
        y = returns[task].reshape(15)
        w = np.linalg.solve(phi.T @ phi + 1e-5 * np.eye(8), phi.T @ y)
        np.testing.assert_allclose(values[task].reshape(15), phi @ w, rtol=1e-9)


def test_linear_baseline_is_exact_for_returns_in_its_span():
    generator = torch.Generator().manual_seed(0)
    observation = torch.randn(1, 20, 30, 3, generator=generator, dtype=torch.float64)
    returns = 2 * observation[..., 0] - observation[..., 1].square() + 5
    values = estimators.linear_baseline(observation, returns, torch.ones(1, 20, 30))
    torch.testing.assert_close(values, returns, atol=1e-5, rtol=1e-5)


def test_linear_baseline_fits_more_features_than_steps():
    generator = torch.Generator().manual_seed(0)
    observation = 1000 * torch.randn(2, 3, 40, 218, generator=generator)
    observation[..., 100:] = 0.0  # sensors that were silent
    mask = torch.ones(2, 3, 40)
    mask[..., 25:] = 0
    returns = torch.randn(2, 3, 40, generator=generator) * mask
    value = estimators.linear_baseline(observation, returns, mask)
    torch.testing.assert_close(value * mask, returns, atol=1e-3, rtol=0)


def test_linear_baseline_ignores_padding_and_survives_an_empty_task():
    generator = torch.Generator().manual_seed(0)
    observation = torch.randn(2, 4, 6, 3, generator=generator, dtype=torch.float64)
    returns = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64)
    mask = torch.ones(2, 4, 6)
    mask[0, :, 4:] = 0
    mask[1] = 0
    values = estimators.linear_baseline(observation, returns, mask)
    spoiled = returns.clone()
    spoiled[0, :, 4:] = 1e6
    again = estimators.linear_baseline(observation, spoiled, mask)
    assert torch.isfinite(values).all()
    torch.testing.assert_close(values[0, :, :4], again[0, :, :4])


def test_log_probability_sums_over_components():
    mean = torch.tensor([[[0.0, 1.0]]])
    log_std = torch.log(torch.tensor([[1.0, 2.0]]))
    action = torch.tensor([[[1.0, 5.0]]])

    def log_normal(x: float, m: float, s: float) -> float:
        return -0.5 * ((x - m) / s) ** 2 - math.log(s) - 0.5 * math.log(2 * math.pi)

    expected = log_normal(1, 0, 1) + log_normal(5, 1, 2)
    assert Gaussian(mean, log_std).log_prob(action).item() == pytest.approx(expected)


def test_kl_divergence_by_hand():
    old = Gaussian(torch.tensor([[[0.0, 0.0]]]), torch.log(torch.tensor([[1.0, 1.0]])))
    new = Gaussian(torch.tensor([[[1.0, 0.0]]]), torch.log(torch.tensor([[2.0, 3.0]])))
    expected = (math.log(2) + (1 + 1) / 8 - 0.5) + (math.log(3) + 1 / 18 - 0.5)
    assert old.kl(new).item() == pytest.approx(expected)
    assert new.kl(new).item() == pytest.approx(0)
