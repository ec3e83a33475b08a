"""The recurrent unit computes what PyTorch's does, and its gradient is right."""

import pytest
import torch
from torch import nn

from metarl.learning.recurrent import GRU


def made(inputs=3, units=4):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GRU(inputs, units).double()


def drawn(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("time", [1, 7])
def test_its_numbers_are_those_of_pytorch(time):
    own, torchs = made(), nn.GRU(3, 4, batch_first=True).double()
    torchs.load_state_dict(own.state_dict())
    inputs, hidden = drawn(5, time, 3), drawn(5, 4)
    expected, last = torchs(inputs, hidden[None])
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            states, state = own(inputs, hidden)
        torch.testing.assert_close(states, expected)
        torch.testing.assert_close(state, last[0])


def test_its_gradient_equals_central_differences():
    own = made()
    names = [name for name, _ in own.named_parameters()]

    def run(inputs, hidden, *weights):
        states, last = torch.func.functional_call(
            own, dict(zip(names, weights, strict=True)), (inputs, hidden)
        )
        return states.sin(), last

    points = [drawn(2, 5, 3), drawn(2, 4), *(p.detach() for p in own.parameters())]
    assert torch.autograd.gradcheck(run, [p.clone().requires_grad_() for p in points])


def test_a_sequence_in_two_parts_is_the_sequence():
    own, inputs, hidden = made(), drawn(5, 7, 3), drawn(5, 4)
    whole, last = own(inputs, hidden)
    first, middle = own(inputs[:, :3], hidden)
    second, end = own(inputs[:, 3:], middle)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(end, last)
    gradients = [
        torch.autograd.grad(states.square().sum(), list(own.parameters()))
        for states in (whole, torch.cat([first, second], 1))
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
