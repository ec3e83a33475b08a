import math

import pytest
import torch

from metarl.learning.distributions import Gaussian
from metarl.learning.ppo import clipped_surrogate, minibatches, value_loss
from metarl.tasks.randomness import torch_generator


def test_the_clip_takes_the_worse_of_two_by_hand():
    ratio = torch.tensor([1.0, 1.1, 1.5, 0.5, 1.5, 0.5])
    advantage = torch.tensor([2.0, 2.0, 2.0, 2.0, -2.0, -2.0])
    gain = clipped_surrogate(ratio.log(), advantage, torch.ones(6), clip=0.2)
    # A good action counts up to 1.2; a bad one in full, and at least 0.8.
    assert gain.tolist() == pytest.approx([2.0, 2.2, 2.4, 1.0, -3.0, -1.6])


def test_no_gradient_flows_where_the_clip_binds():
    log_ratio = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.0]).log().requires_grad_()
    advantage = torch.tensor([1.0, 1.0, -1.0, -1.0, 3.0])
    clipped_surrogate(log_ratio, advantage, torch.ones(5), 0.2).sum().backward()
    # d ratio / d log_ratio is the ratio; at 1 it is the policy gradient.
    assert log_ratio.grad.tolist() == pytest.approx([0.0, 0.5, -1.5, 0.0, 3.0])


def test_masked_steps_count_for_nothing_even_if_their_ratio_overflows():
    log_ratio = torch.tensor([0.0, 1e4]).requires_grad_()
    mask = torch.tensor([1.0, 0.0])
    gain = clipped_surrogate(log_ratio, torch.tensor([3.0, -5.0]), mask, 0.2)
    gain.sum().backward()
    assert gain.tolist() == [3.0, 0.0]
    assert log_ratio.grad.tolist() == [3.0, 0.0]


def test_value_loss_is_the_mean_square_over_the_steps_that_count():
    value = torch.tensor([[1.0, 2.0, 9.0], [0.0, 0.0, 0.0]])
    target = torch.tensor([[2.0, 4.0, 0.0], [1.0, 1.0, 4.0]])
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    assert value_loss(value, target, mask).tolist() == [(1 + 4) / 2, (1 + 1 + 16) / 3]


def test_entropy_of_a_diagonal_gaussian():
    std = torch.tensor([[1.0, 2.0], [0.5, 0.5]])
    normal = torch.distributions.Normal(0.0, std)
    ours = Gaussian(torch.zeros(2, 2), std.log()).entropy()
    torch.testing.assert_close(ours, normal.entropy().sum(-1))
    one = 0.5 * math.log(2 * math.pi * math.e)
    standard = Gaussian(torch.zeros(1), torch.zeros(1))
    assert standard.entropy().item() == pytest.approx(one)


def test_every_epoch_visits_each_item_once_in_an_order_of_its_own():
    parts = list(minibatches(10, 3, epochs=2, generator=torch_generator(0)))
    assert [len(part) for part in parts] == [4, 3, 3] * 2
    first, second = torch.cat(parts[:3]), torch.cat(parts[3:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()
    again = minibatches(10, 3, epochs=2, generator=torch_generator(0))
    assert all(torch.equal(a, b) for a, b in zip(parts, again, strict=True))
    assert len(list(minibatches(2, 5, epochs=1, generator=torch_generator(0)))) == 2
