"""What a family's methods return, checked: a wrong shape broadcasts without a word.

At each step shapes and dtypes are looked at, which costs nothing. Numbers are looked at
where an episode starts: later ones that are not finite count as diverged.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from metarl.errors import InputError
from metarl.tasks.task import Task


def observation(family: Any, sim: Any) -> Tensor:
    """What `observe` gives, (n, observation_size).

    Raises:
        InputError: for anything but numbers of this shape.
    """
    shape = (sim.n, family.spec.observation_size)
    return numbers(family, "observe()", flat(family, sim, family.observe(sim)), shape)


def flat(family: Any, sim: Any, seen: Any) -> Any:
    """An observation of named parts as one tensor, (n, observation_size).

    Args:
        family: whose `observe` it is.
        sim: its simulations.
        seen: (n,) or (n, size) by name; anything else is given back as it is.

    Raises:
        InputError: for a part of another shape, or other parts than before.
    """
    if not isinstance(seen, Mapping):
        return seen
    for name, part in seen.items():
        sized = isinstance(part, Tensor) and part.ndim in (1, 2)
        if not sized or len(part) != sim.n or part.is_complex():
            raise InputError(
                f"observe()[{name!r}] of {family.name} must give a tensor of numbers "
                f"of shape ({sim.n},) or ({sim.n}, size), a row for each simulation, "
                f"not {_described(part)}."
            )
    parts = {name: part.reshape(sim.n, -1) for name, part in seen.items()}
    sizes = {name: part.shape[1] for name, part in parts.items()}
    known = family.observation_sizes
    if known and list(sizes.items()) != list(known.items()):
        raise InputError(
            f"observe() of {family.name} gives the parts {sizes}, unlike before: "
            f"{known}. Their names, sizes and order must stay."
        )
    empty = sim.qpos.new_zeros(sim.n, 0)
    return torch.cat(list(parts.values()), -1) if parts else empty


def first(family: Any, sim: Any) -> Any:
    """An observation of one simulation; the family knows its parts by name then."""
    parts = family.observe(sim)
    seen = flat(family, sim, parts)
    if isinstance(parts, Mapping):
        sizes = {name: part[0].numel() for name, part in parts.items()}
        family.observation_sizes = sizes
        family.observation_names = family.observation_names or tuple(
            name if size == 1 else f"{name}[{index}]"
            for name, size in sizes.items()
            for index in range(size)
        )
    return seen


def reward(family: Any, sim: Any, action: Tensor) -> Tensor:
    """What `reward` gives, (n,) float32.

    Raises:
        InputError: for anything but numbers of this shape.
    """
    value = numbers(family, "reward()", family.reward(sim, action), (sim.n,))
    return value.to(torch.float32)


def flags(family: Any, sim: Any, method: str) -> Tensor:
    """What `terminated` or `truncated` gives, (n,) bool.

    Raises:
        InputError: for anything else.
    """
    value = getattr(family, method)(sim)
    if isinstance(value, Tensor) and value.dtype is torch.bool:
        return numbers(family, f"{method}()", value, (sim.n,))
    raise _wrong(family, f"{method}()", value, "bools", (sim.n,))


def outcome(family: Any, sim: Any) -> dict[str, Tensor]:
    """What `success` and `metrics` give, each (n,) float64.

    Raises:
        InputError: for anything but numbers of this shape.
    """
    metrics = family.metrics(sim)
    if not isinstance(metrics, dict) or "success" in metrics:
        raise InputError(
            f"metrics() of {family.name} must give a dictionary of tensors, none of "
            f"them named 'success', not {_described(metrics)}."
        )
    found = {"success": numbers(family, "success()", family.success(sim), (sim.n,))}
    for name, value in metrics.items():
        found[name] = numbers(family, f"metrics()[{name!r}]", value, (sim.n,))
    return {name: value.to(torch.float64) for name, value in found.items()}


def numbers(family: Any, what: str, value: Any, shape: tuple[int, ...]) -> Tensor:
    """The value if it is a tensor of real numbers, or bools, of this shape.

    Raises:
        InputError: naming what it is, for anything else.
    """
    if isinstance(value, Tensor) and value.shape == shape and not value.is_complex():
        return value
    raise _wrong(family, what, value, "numbers", shape)


def need_finite(
    family: Any, tasks: Sequence[Task], sane: Tensor, **given: Tensor
) -> None:
    """Refuse NaN and infinity at the start of an episode that did not blow up.

    Args:
        family: whose methods gave the values.
        tasks: of the simulations.
        sane: those that did not blow up, (n,) bool.
        given: by the name of each method, (n, ...).

    Raises:
        InputError: naming the method and the task.
    """
    for method, values in given.items():
        if all_finite(values):
            continue
        wrong = sane & ~values.reshape(len(tasks), -1).isfinite().all(1)
        if wrong.any():
            raise InputError(
                f"{method}() of {family.name} gave NaN or infinity at the start of an "
                f"episode of the task {tasks[int(wrong.nonzero()[0, 0])]}."
            )


def all_finite(values: Tensor) -> bool:
    """Whether nothing is NaN or infinite: their sum is not, unless it overflows."""
    return bool(torch.isfinite(values.detach().sum())) or bool(
        torch.isfinite(values.detach()).all()
    )


def _wrong(
    family: Any, what: str, value: Any, kind: str, shape: tuple[int, ...]
) -> InputError:
    return InputError(
        f"{what} of {family.name} must give a tensor of {kind} of shape {shape}, a row "
        f"for each simulation, not {_described(value)}."
    )


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"one of {dtype} of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"one of {', '.join(map(str, value))}"
    return f"a {type(value).__name__}"
