import pytest
import torch

from metarl.learning.optimization import (
    adam_tensors,
    backtrack,
    conjugate_gradient,
    descend,
    fisher_product,
    flatten,
    load_adam,
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


def test_flatten_round_trip_of_groups():
    parameters = {"a": torch.arange(6.0).view(2, 3), "b": torch.arange(2.0)}
    groups = {"z": parameters, "y": {"a": torch.tensor(7.0)}}
    vector = flatten(groups)
    assert vector.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 7]
    back = unflatten(2 * vector, groups)
    assert list(back) == ["z", "y"] and list(back["z"]) == ["a", "b"]
    assert torch.equal(back["z"]["a"], 2 * parameters["a"])
    assert back["y"]["a"].shape == () and back["y"]["a"] == 14


def test_adam_goes_on_from_its_tensors_as_if_never_stopped():
    def steps(weights, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            sum((w - 1).pow(4).sum() for w in weights).backward()
            optimizer.step()

    def fresh(values):
        weights = [v.detach().clone().requires_grad_() for v in values]
        return weights, torch.optim.Adam(weights, lr=0.1)

    start = [torch.arange(3.0), torch.arange(4.0).view(2, 2)]
    whole, optimizer = fresh(start)
    assert adam_tensors(optimizer) == {}
    steps(whole, optimizer, 7)

    half, optimizer = fresh(start)
    steps(half, optimizer, 3)
    kept = {"other": torch.zeros(1), **adam_tensors(optimizer, "outer")}
    steps(half, optimizer, 1)  # what was kept is a copy
    half, optimizer = fresh(start)
    steps(half, optimizer, 3)
    resumed, optimizer = fresh(half)
    load_adam(optimizer, kept, "outer")
    steps(resumed, optimizer, 4)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))

    anew, optimizer = fresh(half)
    load_adam(optimizer, {"other": torch.zeros(1)})
    steps(anew, optimizer, 4)
    assert not torch.equal(whole[0], anew[0])


def test_descent_shortens_gradients_that_are_too_long_together():
    weights = [torch.zeros(2), torch.zeros(1)]
    optimizer = torch.optim.SGD(weights, lr=1.0)
    gradients = [torch.tensor([3.0, 0.0]), torch.tensor([-4.0])]
    assert descend(optimizer, gradients) == pytest.approx(5)
    assert torch.cat(weights).tolist() == [-3, 0, 4]
    assert descend(optimizer, gradients, max_norm=1.0) == pytest.approx(5)
    assert torch.cat(weights).tolist() == pytest.approx([-3.6, 0, 4.8])
    assert gradients[0].tolist() == [3, 0]  # the caller's are left as they were
