"""Ranges of hyper-parameters, which their fields declare.

    window: int = field(default=16, metadata={"least": 0})

A count is at least 1, or its default, and at most ten million; units of a layer are at
most 16,384. A real number is finite, and not negative unless its default is, or it is a
bias. Standard deviations are above 0; shares, such as a discount factor, at most 1.
``metadata`` says otherwise: ``least``, ``most``.
"""

import dataclasses
import math
from typing import Any

from metarl.errors import InputError

MOST_COUNT = 10_000_000
MOST_UNITS = 16_384
SHARES = ("discount", "gae_lambda", "decay", "momentum")
"""Fields that no agent can take above 1."""
LEAST_SPREAD = 1e-30
"""Of exploration, whose logarithm is taken."""


def check_ranges(config: Any) -> None:
    """Refuse a hyper-parameter outside of its range.

    Args:
        config: an instance of an agent's dataclass.

    Raises:
        InputError: naming the field, its value and the range.
    """
    for field in dataclasses.fields(config):
        value, default = getattr(config, field.name), field.default
        if isinstance(default, bool) or isinstance(value, bool):
            continue
        if isinstance(default, tuple) and isinstance(value, tuple):
            for item in value:
                _within(field.name, item, 1, MOST_UNITS)
        elif isinstance(default, int):
            least = field.metadata.get("least", min(default, 1))
            most = field.metadata.get("most", MOST_COUNT)
            _within(field.name, value, least, most)
        elif isinstance(default, float):
            free = default < 0 or field.name.endswith("bias")
            lowest = LEAST_SPREAD if field.name.endswith(("std", "sigma")) else 0.0
            least = field.metadata.get("least", -math.inf if free else lowest)
            most = field.metadata.get("most", 1.0 if field.name in SHARES else math.inf)
            _within(field.name, value, least, most)


def _within(name: str, value: Any, least: float, most: float) -> None:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name}={value!r} must be a finite number.")
    if value < least:
        raise InputError(f"{name}={value} must be {least} or more.")
    if value > most:
        raise InputError(f"{name}={value} must be {most:,} or less.")
