"""A gated recurrent unit (Cho et al., 2014) that is cheap to train on a CPU.

`torch.nn.GRU` hands every step of a sequence to autograd there. Steps of a few robots
are so small that this takes as long as their arithmetic. Here a sequence is one
operation with a gradient of its own: its loops do only what depends on the step before,
and the rest is done for all steps at once.
"""

from typing import Any

import torch
from torch import Tensor, nn


class GRU(nn.GRU):
    """`torch.nn.GRU` of one layer, the batch first: the same weights and numbers.

    Args:
        inputs: numbers that it reads a step.
        units: numbers in its state.
    """

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs, units, batch_first=True)

    def forward(  # type: ignore[override]
        self, inputs: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Hidden states of all steps, (n, time, units), and the last, (n, units).

        Args:
            inputs: (n, time, inputs).
            hidden: before the first step, (n, units).
        """
        states = _Run.apply(
            *(inputs.transpose(0, 1), hidden),
            *(self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0),
        )
        return states.transpose(0, 1), states[-1]

    def step(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """The hidden state after one step, (n, units), for acting.

        PyTorch's own unit, which is faster where nothing is learnt.

        Args:
            inputs: (n, inputs).
            hidden: before it, (n, units).
        """
        _, last = super().forward(inputs[:, None], hidden[None].contiguous())
        return last[0]


class _Run(torch.autograd.Function):
    """States of all steps, (time, n, units), from inputs, (time, n, inputs).

    With the state h before a step and an input x, in thirds r, z and c:

        t  = W_x x + b_x                    what the input drives
        m  = W h + b
        r  = sigmoid(t_r + m_r)             what is reset
        z  = sigmoid(t_z + m_z)             what is kept
        c  = tanh(t_c + r m_c)              the candidate
        h' = c + z (h - c)

    Sequences fill the caches of a CPU: r, z and c take the place of t, and gradients
    that of what they are made from.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        hidden: Tensor,
        weight_x: Tensor,
        weight: Tensor,
        bias_x: Tensor,
        bias: Tensor,
    ) -> Tensor:
        time, n, units = len(inputs), *hidden.shape
        x, both = inputs.reshape(time * n, -1), bias_x.clone()
        both[: 2 * units] += bias[: 2 * units]
        t = torch.addmm(both, x, weight_x.T).view(time, n, 3 * units)
        rz, c = t.split([2 * units, units], -1)
        r, z = rz.chunk(2, -1)
        states = t.new_empty(time + 1, n, units)
        states[0] = hidden
        m_c = torch.empty_like(states[1:])
        to_rz, to_c = weight.T.split([2 * units, units], -1)
        bias_c = bias[2 * units :]
        for h, h_, rz_, r_, z_, c_, m_c_ in _steps(
            states[:-1], states[1:], rz, r, z, c, m_c
        ):
            rz_.addmm_(h, to_rz).sigmoid_()
            torch.addmm(bias_c, h, to_c, out=m_c_)
            c_.addcmul_(r_, m_c_).tanh_()
            torch.lerp(c_, h, z_, out=h_)
        ctx.save_for_backward(x, states, m_c, r, z, c, weight_x, weight)
        return states[1:]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, states, m_c, r, z, c, weight_x, weight = ctx.saved_tensors
        before, (time, n, units) = states[:-1], c.shape
        # What moves a state moves the thirds of t, and of m, by so much.
        to_c = (1 - z) * (1 - c * c)
        to_m = c.new_empty(time, n, 3, units)
        to_r, to_z, to_m_c = to_m.unbind(2)
        torch.mul(to_c, r, out=to_m_c)
        torch.mul(to_m_c, m_c, out=to_r).mul_(1 - r)
        torch.sub(before, c, out=to_z).mul_(z).mul_(1 - z)
        of_state, of_m = torch.empty_like(to_c), to_m
        later = torch.zeros_like(of_state[0])
        for g, d, each, thirds, flat, kept in reversed(
            _steps(
                *(gradient, of_state, of_state[:, :, None]),
                *(of_m, of_m.flatten(2), z),
            )
        ):
            torch.add(g, later, out=d)
            thirds.mul_(each)
            later = torch.mul(d, kept).addmm_(flat, weight)
        of_m = of_m.view(time * n, 3 * units)
        of_t_rz, of_t_c = of_m[:, :-units], of_state.mul_(to_c).flatten(0, 1)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = torch.addmm(
                of_t_c @ weight_x[-units:], of_t_rz, weight_x[:-units]
            ).view(time, n, -1)
        of_weight_x = torch.cat([of_t_rz.T @ x, of_t_c.T @ x])
        of_bias_x = torch.cat([of_t_rz.sum(0), of_t_c.sum(0)])
        of_weight = of_m.T @ before.flatten(0, 1)
        return of_x, later, of_weight_x, of_weight, of_bias_x, of_m.sum(0)


def _steps(*columns: Tensor) -> list[tuple[Tensor, ...]]:
    """The slices of several tensors along their first axis, step by step."""
    return list(zip(*(column.unbind() for column in columns), strict=True))
