import pytest
import torch

from metarl.learning.optimization import (
    backtrack,
    conjugate_gradient,
    fisher_product,
    flatten,
    unflatten,
)


def test_conjugate_gradient_by_hand():
    matrix = torch.tensor([[4.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    target = torch.tensor([1.0, 2.0], dtype=torch.float64)
    first = conjugate_gradient(lambda v: matrix @ v, target, iterations=1)
    # One step goes along the target by (b.b) / (b.Ab) = 5 / 20.
    torch.testing.assert_close(first, target * 0.25)
    solved = conjugate_gradient(lambda v: matrix @ v, target, iterations=2)
    expected = torch.tensor([1 / 11, 7 / 11], dtype=torch.float64)
    torch.testing.assert_close(solved, expected)


def test_fisher_product_is_the_dense_product():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    metric = torch.rand(6, generator=generator, dtype=torch.float64)

    def outputs(point: torch.Tensor) -> torch.Tensor:
        return torch.tanh(weight @ point.square())

    jacobian = torch.autograd.functional.jacobian(outputs, x)
    dense = jacobian.T @ torch.diag(metric) @ jacobian + 0.1 * torch.eye(4)
    product = fisher_product(outputs(x), x, metric, damping=0.1)
    for _ in range(3):
        vector = torch.randn(4, generator=generator, dtype=torch.float64)
        torch.testing.assert_close(product(vector), dense @ vector)


def test_backtracking_takes_the_longest_step_within_the_limit():
    start, step = torch.zeros(1), torch.ones(1)

    def evaluate(point: torch.Tensor) -> tuple[float, float]:
        x = float(point)
        return (x - 0.4) ** 2, x**2

    point, loss, kl = backtrack(
        evaluate, start, step, loss=0.16, max_kl=0.3, shrink=0.5
    )
    assert (float(point), loss, kl) == (0.5, pytest.approx(0.01), 0.25)


def test_backtracking_stays_when_nothing_helps():
    start = torch.zeros(1)
    point, loss, kl = backtrack(
        lambda p: (1.0 + float(p) ** 2, 0.0), start, torch.ones(1), 1.0, 0.1
    )
    assert (float(point), loss, kl) == (0.0, 1.0, 0.0)


def test_flatten_round_trip():
    parameters = {"a": torch.arange(6.0).view(2, 3), "b": torch.arange(2.0)}
    back = unflatten(flatten(parameters), parameters)
    assert all(torch.equal(back[name], parameters[name]) for name in parameters)
