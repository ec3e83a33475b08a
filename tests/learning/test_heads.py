"""Heads read what they say they read, and their gradients are right."""

import pytest
import torch
from torch.func import functional_call

from metarl.errors import InputError
from metarl.learning.heads import Critic, Sizes, make_head

SIZES = Sizes(features=4, inputs=7, observation=3, action=2)
HEADS = ["linear", "skip", "hypernetwork"]


def made(name):
    """A head whose every weight matters, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = make_head(name, SIZES, hidden=(5, 6), generated=3).double()
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.normal_(std=0.5)
    return head


def drawn(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", HEADS)
def test_its_gradient_equals_central_differences(name):
    head = made(name)
    names = [n for n, _ in head.named_parameters()]

    def run(features, inputs, *weights):
        parameters = dict(zip(names, weights, strict=True))
        return functional_call(head, parameters, (features, inputs))

    points = [drawn(2, 3, 4), drawn(2, 3, 7), *(p.detach() for p in head.parameters())]
    assert torch.autograd.gradcheck(run, [p.clone().requires_grad_() for p in points])


READS = {  # what of the inputs: observation, and the last action, reward and first
    "linear": (False, False),
    "skip": (True, True),
    "hypernetwork": (True, False),
}


@pytest.mark.parametrize("name", HEADS)
def test_it_reads_features_and_its_part_of_the_inputs(name):
    head, features, inputs = made(name), drawn(5, 4), drawn(5, 7)
    before = head(features, inputs)
    assert not torch.allclose(head(features + 1, inputs), before)
    for columns, read in zip((slice(3), slice(3, 7)), READS[name], strict=True):
        other = inputs.clone()
        other[:, columns] += 1
        assert torch.equal(head(features, other), before) != read


@pytest.mark.parametrize("name", HEADS)
def test_steps_may_come_at_once_or_one_by_one(name):
    head, features, inputs = made(name), drawn(2, 3, 4), drawn(2, 3, 7)
    steps = [head(features[:, t], inputs[:, t]) for t in range(3)]
    torch.testing.assert_close(head(features, inputs), torch.stack(steps, 1))


@pytest.mark.parametrize("name", HEADS)
def test_the_first_policy_hardly_prefers_anything(name):
    head = make_head(name, SIZES, hidden=(16, 16), generated=16)
    assert head(drawn(50, 4).float(), drawn(50, 7).float()).abs().max() < 0.1


def test_a_first_hypernetwork_makes_one_policy_and_then_one_for_each_feature():
    head = make_head("hypernetwork", SIZES, hidden=(), generated=3)
    features, inputs = drawn(5, 4).float(), drawn(5, 7).float()
    optimizer = torch.optim.SGD(head.parameters(), lr=1.0)
    same = head(features, inputs)
    assert torch.equal(head(-features, inputs), same)
    (same - 1).square().sum().backward()
    optimizer.step()
    assert not torch.allclose(head(-features, inputs), head(features, inputs))


def test_the_policy_of_a_hypernetwork_by_hand():
    head, features, inputs = made("hypernetwork"), drawn(1, 4), drawn(1, 7)
    w = head.weights.weight @ features[0] + head.weights.bias
    first, last = w[:9].view(3, 3), w[12:18].view(2, 3)
    mean = last @ torch.tanh(first @ inputs[0, :3] + w[9:12]) + w[18:]
    torch.testing.assert_close(head(features, inputs), mean[None])


def test_an_unknown_head_is_refused():
    with pytest.raises(InputError, match="head='residual'"):
        make_head("residual", SIZES, hidden=(4,), generated=4)


def test_the_scale_of_a_critic_is_the_deviation_of_all_returns():
    critic = Critic(SIZES, hidden=(4,))
    assert critic.scale == 1.0
    returns = 30 + 20 * drawn(3, 40)
    for part in returns:
        critic.returns.update(part[:, None], torch.ones_like(part))
    assert critic.scale == pytest.approx(float(returns.std(correction=0)))


def test_a_critic_reads_features_and_inputs():
    critic = Critic(SIZES, hidden=(4,)).double()
    features, inputs = drawn(5, 4), drawn(5, 7)
    value = critic(features, inputs)
    assert value.shape == (5,)
    assert not torch.equal(critic(features + 1, inputs), value)
    assert not torch.equal(critic(features, inputs + 1), value)
