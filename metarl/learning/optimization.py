"""Second-order steps under a KL limit on dictionaries of parameters; Adam's state."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from metarl.learning.adam import Adam

Tree = Mapping[str, Any]
"""Tensors by name, or groups of them by name."""


def tensors_of(tree: Tree) -> Iterator[Tensor]:
    """All tensors, in the order of their names' insertion."""
    for entry in tree.values():
        if isinstance(entry, Mapping):
            yield from tensors_of(entry)
        else:
            yield entry


def flatten(tree: Tree) -> Tensor:
    """All parameters as one vector, in the dictionary's order."""
    return torch.cat([p.reshape(-1) for p in tensors_of(tree)])


def unflatten(vector: Tensor, like: Tree) -> dict[str, Any]:
    """The inverse of `flatten`, with the names and shapes of ``like``."""
    parts = iter(vector.split([p.numel() for p in tensors_of(like)]))

    def filled(tree: Tree) -> dict[str, Any]:
        return {
            name: filled(entry)
            if isinstance(entry, Mapping)
            else next(parts).view(entry.shape)
            for name, entry in tree.items()
        }

    return filled(like)


def conjugate_gradient(
    product: Callable[[Tensor], Tensor],
    target: Tensor,
    iterations: int = 10,
    tolerance: float = 1e-10,
) -> Tensor:
    """Solve ``A x = target`` for a positive definite A given as ``product(v) = A v``.

    Args:
        product: multiplies a vector by A.
        target: (n,).
        iterations: at most so many products.
        tolerance: stop once the squared residual is below it.
    """
    x = torch.zeros_like(target)
    residual = target.clone()
    direction = target.clone()
    squared = residual @ residual
    for _ in range(iterations):
        if squared < tolerance:
            break
        along = product(direction)
        step = squared / (direction @ along)
        x = x + step * direction
        residual = residual - step * along
        following = residual @ residual
        direction = residual + (following / squared) * direction
        squared = following
    return x


def fisher_product(
    outputs: Tensor, inputs: Tensor, metric: Tensor, damping: float
) -> Callable[[Tensor], Tensor]:
    """The map ``v -> J' M J v + damping v`` with ``J`` the Jacobian of the outputs.

    Where a KL divergence is minimal, this is its Hessian (a test shows it), without
    third derivatives. Its graphs are built once; each product walks them backwards
    twice: J v is the derivative, by its cotangent, of the map ``w -> J' w``.

    Args:
        outputs: a differentiable function of ``inputs``, (m,).
        inputs: the leaf that the outputs depend on, (n,).
        metric: diagonal of M, (m,).
        damping: added to the diagonal.
    """
    cotangent = torch.zeros_like(outputs, requires_grad=True)
    (pulled,) = torch.autograd.grad(outputs, inputs, cotangent, create_graph=True)

    def product(vector: Tensor) -> Tensor:
        (pushed,) = torch.autograd.grad(pulled, cotangent, vector, retain_graph=True)
        (back,) = torch.autograd.grad(
            outputs, inputs, metric * pushed, retain_graph=True
        )
        return back + damping * vector

    return product


def backtrack(
    evaluate: Callable[[Tensor], tuple[float, float]],
    start: Tensor,
    step: Tensor,
    loss: float,
    max_kl: float,
    shrink: float = 0.8,
    tries: int = 15,
) -> tuple[Tensor, float, float]:
    """The longest of ``start + shrink^k step`` that lowers the loss within the limit.

    Args:
        evaluate: gives (loss, KL divergence) at a point.
        start: (n,).
        step: the full step, (n,).
        loss: loss at ``start``.
        max_kl: limit of the divergence.
        shrink: factor between tries.
        tries: at most so many.

    Returns:
        The point (``start`` if no try did), its loss and its divergence.
    """
    for k in range(tries):
        point = start + shrink**k * step
        new_loss, kl = evaluate(point)
        if new_loss < loss and kl <= max_kl:
            return point, new_loss, kl
    return start, loss, 0.0


def module_tensors(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Copies of a module's weights, for a checkpoint: ``prefix/0.weight``, ..."""
    return {f"{prefix}/{n}": t.clone() for n, t in module.state_dict().items()}


def load_module(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Take over what `module_tensors` returned, among others."""
    start = f"{prefix}/"
    own = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
    module.load_state_dict(own)


def adam_tensors(optimizer: Adam, prefix: str = "adam") -> dict[str, Tensor]:
    """The state of an Adam optimizer, for a checkpoint: ``adam/0/exp_avg``, ...

    Args:
        optimizer: Adam or one of its kin.
        prefix: begins every name.

    Returns:
        Copies of its tensors by index of the parameter; none before its first step.
    """
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}/{index}/{name}": tensor.clone()
        for index, entries in state.items()
        for name, tensor in entries.items()
    }


def load_adam(
    optimizer: Adam,
    tensors: Mapping[str, Tensor],
    prefix: str = "adam",
) -> None:
    """Take over what `adam_tensors` returned, to the bit.

    Args:
        optimizer: a fresh one, of parameters of the same shapes in the same order.
        tensors: may hold others beside; with none of Adam it stays fresh.
        prefix: begins the names to read.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(f"{prefix}/"):
            index, entry = name.removeprefix(f"{prefix}/").split("/")
            state.setdefault(int(index), {})[entry] = tensor.clone()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def descend(
    optimizer: Adam,
    gradients: Iterable[Tensor],
    max_norm: float = math.inf,
) -> float:
    """One step along given gradients, of an optimizer of plain tensors, in place.

    Args:
        optimizer: with one group of parameters.
        gradients: one for each of its parameters.
        max_norm: gradients that are longer together are shortened to it.

    Returns:
        Their length before.
    """
    parameters = optimizer.param_groups[0]["params"]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    norm = torch.nn.utils.get_total_norm(parameter.grad for parameter in parameters)
    if norm > max_norm:
        for parameter in parameters:
            parameter.grad = parameter.grad * (max_norm / norm)
    optimizer.step()
    optimizer.zero_grad()
    return float(norm)
