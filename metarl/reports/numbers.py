"""Numbers, shares, estimates and units as short texts."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from metarl.evaluation.results import ParameterInfo
from metarl.evaluation.statistics import Estimate
from metarl.reports.page import Cell

DASH = "\N{EN DASH}"
"""Where there is no number."""


def number(value: float, sign: bool = False) -> str:
    """Three significant digits, with a true minus sign; a dash for NaN."""
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞"
    size = abs(value)
    digits = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 else 3
    text = f"{value:{'+' if sign else ''},.{digits}f}"
    if size < 0.00095:
        text = f"{value:.2g}" if value else "0"
    return text.replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """A share as a percentage."""
    return DASH if math.isnan(share) else f"{100 * share:.0f} %"


def bracketed(
    estimate: Estimate, sign: bool = False, show: Callable[..., str] = number
) -> Cell:
    """A value with its interval."""
    if math.isnan(estimate.value):
        return Cell(DASH)
    marks = {"sign": True} if sign else {}
    low, high = show(estimate.low, **marks), show(estimate.high, **marks)
    return Cell(show(estimate.value, **marks), f"[{low}, {high}]")


def mean(values: Any) -> float:
    """The mean of the values that are known; NaN where none is."""
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else math.nan


def many(count: float, thing: str) -> str:
    """A number of things: "1 task", "2 tasks"."""
    return f"{count:g} {thing}{'' if count == 1 else 's'}"


def short(value: Any) -> str:
    """A parameter's value in three digits."""
    if isinstance(value, list | tuple):
        return f"({', '.join(map(short, value))})"
    if isinstance(value, str):
        return value
    # Three digits, but no exponent where whole numbers say it: a density of 1134.
    form = ".0f" if 100 <= abs(value) < 1e6 else ".3g"
    return f"{value:{form}}".replace("-", "\N{MINUS SIGN}")


def with_unit(text: str, info: ParameterInfo | None) -> str:
    """A value with its unit, where it has one that is known."""
    return text if info is None or info.unit == "1" else f"{text} {info.unit}"


def named_with_unit(name: str, info: ParameterInfo | None) -> str:
    """A parameter's name with its unit, where it has one that is known."""
    return name if info is None or info.unit == "1" else f"{name} [{info.unit}]"


def train_range(info: ParameterInfo) -> str:
    """What training draws from, with the unit."""
    if info.scale == "choice":
        return ", ".join(map(short, info.train))
    text = ", ".join(
        short(low) if low == high else f"{short(low)} to {short(high)}"
        for low, high in info.train
    )
    return with_unit(text, info)
