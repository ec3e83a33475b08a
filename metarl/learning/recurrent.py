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
        driven = nn.functional.linear(inputs, self.weight_ih_l0, self.bias_ih_l0)
        states = _Run.apply(
            driven.transpose(0, 1), hidden, self.weight_hh_l0, self.bias_hh_l0
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
    """States of all steps, (time, n, units), from what drives each step.

    With the state h before a step, and what the input drives, t, in thirds r, z and c:

        m  = W h + b
        r  = sigmoid(t_r + m_r)             what is reset
        z  = sigmoid(t_z + m_z)             what is kept
        c  = tanh(t_c + r m_c)              the candidate
        h' = c + z (h - c)
    """

    @staticmethod
    def forward(
        ctx: Any, driven: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        time, n, units = len(driven), *hidden.shape
        states = driven.new_empty(time + 1, n, units)
        states[0] = hidden
        m = driven.new_empty(time, n, 3 * units)
        rz = driven.new_empty(time, n, 2 * units)
        c = driven.new_empty(time, n, units)
        (r, z), m_c = rz.chunk(2, -1), m[..., -units:]
        transposed = weight.T
        for h, h_, m_, m_rz, m_c_, t_rz, t_c, rz_, r_, z_, c_ in _steps(
            *(states[:-1], states[1:], m, m[..., :-units], m_c),
            *(driven[..., :-units], driven[..., -units:], rz, r, z, c),
        ):
            torch.addmm(bias, h, transposed, out=m_)
            torch.add(t_rz, m_rz, out=rz_).sigmoid_()
            torch.addcmul(t_c, r_, m_c_, out=c_).tanh_()
            torch.lerp(c_, h, z_, out=h_)
        ctx.save_for_backward(states, m_c, r, z, c, weight)
        return states[1:]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        states, m_c, r, z, c, weight = ctx.saved_tensors
        before, units = states[:-1], c.shape[-1]
        # What moves a state moves the thirds of t, and of m, by so much.
        to_c = (1 - z) * (1 - c * c)
        to_r = to_c * m_c * r * (1 - r)
        to_z = (before - c) * z * (1 - z)
        factors = torch.stack([to_r, to_z, to_c * r], 2)
        of_state = torch.empty_like(c)
        of_m = torch.empty_like(factors)
        later = torch.zeros_like(c[0])
        for g, d, each, factor, thirds, flat, kept in reversed(
            _steps(
                *(gradient, of_state, of_state[:, :, None]),
                *(factors, of_m, of_m.flatten(2), z),
            )
        ):
            torch.add(g, later, out=d)
            torch.mul(each, factor, out=thirds)
            later = torch.addmm(d * kept, flat, weight)
        flat = of_m.flatten(2)
        of_driven = torch.cat([flat[..., :-units], of_state * to_c], -1)
        of_weight = flat.flatten(0, 1).T @ before.flatten(0, 1)
        return of_driven, later, of_weight, flat.sum((0, 1))


def _steps(*columns: Tensor) -> list[tuple[Tensor, ...]]:
    """The slices of several tensors along their first axis, step by step."""
    return list(zip(*(column.unbind() for column in columns), strict=True))
