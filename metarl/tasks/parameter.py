"""What can vary in a robot, its world or its job: bounded quantities and choices.

    Parameter(1.0, train=(0.5, 2.0), far=(2.0, 4.0), unit="kg")
    Choice("ball", train=("ball", "cube"), unseen=("cone",))

A `Parameter` is a number (or a vector) with a train range and two shells outside it.
A `Choice` is one of several values, some of which are never trained on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from metarl.errors import InputError, unknown
from metarl.tasks.randomness import Streams

Interval = tuple[float, float]
Value = float | tuple[float, ...] | str | int | bool


FLOAT32 = 2.0**-23
"""Relative distance between neighbouring numbers of float32."""


def distinct(one: float, other: float) -> tuple[str, str]:
    """Two numbers for people, in as few digits as tell them apart."""
    for digits in range(6, 18):
        texts = f"{one:.{digits}g}", f"{other:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def _intervals(ranges: Interval | Sequence[Interval] | None) -> tuple[Interval, ...]:
    """One interval or several as a tuple of them.

    Raises:
        TypeError, ValueError: for anything else.
    """
    if ranges is None:
        return ()
    if isinstance(ranges[0], int | float):
        ranges = (ranges,)  # type: ignore[assignment]
    return tuple((float(low), float(high)) for low, high in ranges)  # type: ignore[misc]


@dataclass(frozen=True)
class Parameter:
    """A bounded physical quantity of a robot, its world or its job.

    `near` and `far` are the shells of held-out values, each an interval or several:
    ``near=((0.5, 0.7), (1.1, 1.3))``. A train range of zero width, ``(1, 1)``, says
    that the quantity is known in training and met only in the shells.
    """

    nominal: float | tuple[float, ...]
    """The value of the robot as its data sheet describes it."""
    train: Interval
    """Train range. A vector draws each component from it."""
    near: Interval | Sequence[Interval] | None = None
    """Held-out values next to the train range."""
    far: Interval | Sequence[Interval] | None = None
    """Held-out values further out."""
    unit: str = "1"
    """SI unit, for people."""
    scale: Literal["linear", "log"] = "linear"
    """Whether draws and distances are uniform in the value or in its logarithm."""
    size: int = 1
    """Number of components; 1 is a plain number."""
    goal: bool = False
    """Whether it describes the job (a goal) rather than the dynamics."""
    switches: bool = True
    """Whether it can change in mid-episode, as a limb's length cannot."""
    about: str = ""
    """One line for people."""

    @property
    def varies(self) -> bool:
        """Whether train tasks differ in it."""
        low, high = self.trained[0]
        return low < high

    @property
    def trained(self) -> tuple[Interval, ...]:
        """The train range, as the one interval that training draws from."""
        return _intervals(self.train)

    def validate(self, name: str) -> None:
        """Check ranges and nominal value.

        Raises:
            InputError: naming the parameter, the value and the bound.
        """
        where = f"Parameter {name!r}"
        if self.scale not in ("linear", "log"):
            raise InputError(f"{where}: scale={self.scale!r} is not 'linear' or 'log'.")
        if self.size < 1:
            raise InputError(f"{where}: size={self.size} must be at least 1.")
        shells = {}
        for field in ("train", "near", "far"):
            given = getattr(self, field)
            try:
                shells[field] = _intervals(given)
            except (TypeError, ValueError, IndexError) as error:
                raise InputError(
                    f"{where}: {field}={given!r} is not an interval (low, high)."
                ) from error
        if len(shells["train"]) != 1:
            raise InputError(f"{where}: train={self.train!r} must be one interval.")
        seen: list[tuple[str, Interval]] = []
        for field, intervals in shells.items():
            for low, high in intervals:
                if not (math.isfinite(low) and math.isfinite(high)):
                    raise InputError(f"{where}: {field}=({low}, {high}) is not finite.")
                if low > high or (low == high and field != "train"):
                    raise InputError(
                        f"{where}: {field}=({low}, {high}) needs its lower bound "
                        "below its upper bound."
                    )
                if self.scale == "log" and low <= 0:
                    raise InputError(
                        f"{where}: {field}=({low}, {high}) must be above 0 on a log "
                        "scale."
                    )
                for other, (other_low, other_high) in seen:
                    if low < other_high and other_low < high:
                        raise InputError(
                            f"{where}: {field}=({low}, {high}) overlaps "
                            f"{other}=({other_low}, {other_high})."
                        )
                seen.append((field, (low, high)))
        self.coerce(name, self.nominal)

    @property
    def bounds(self) -> Interval:
        """Smallest and largest value that any split draws."""
        every = [*self.trained, *_intervals(self.near), *_intervals(self.far)]
        return min(low for low, _ in every), max(high for _, high in every)

    def coerce(self, name: str, value: Any) -> float | tuple[float, ...]:
        """Return ``value`` as a float or a tuple of floats.

        Raises:
            InputError: if it has the wrong shape, is not finite or out of bounds.
        """
        try:
            if isinstance(value, str):
                raise ValueError
            items = [float(value)] if self.size == 1 else [float(v) for v in value]
        except (TypeError, ValueError, OverflowError):
            items = []
        if len(items) != self.size:
            shape = "a number" if self.size == 1 else f"{self.size} numbers"
            raise InputError(f"Parameter {name!r} takes {shape}, got {value!r}.")
        items = [self._within(name, item) for item in items]
        return items[0] if self.size == 1 else tuple(items)

    def _within(self, name: str, item: float) -> float:
        """A value within the bounds: one that only rounding took beyond is the bound.

        Draws on a log scale round their last digit, and float32 has seven digits.
        """
        if not math.isfinite(item):
            raise InputError(f"Parameter {name!r} is {item}, which is not finite.")
        low, high = self.bounds
        nearest = min(max(item, low), high)
        slack = max(1e-9 * max(abs(low), abs(high)), FLOAT32 * abs(nearest))
        if abs(item - nearest) > slack:
            side = "below its lower" if item < low else "above its upper"
            given, bound = distinct(item, nearest)
            raise InputError(
                f"Parameter {name!r} is {given} {self.unit}, {side} bound {bound} "
                f"{self.unit}."
            )
        return nearest

    def shell(self, split: str) -> tuple[Interval, ...]:
        """The intervals that a split draws this parameter from when it goes outside."""
        return _intervals({"near": self.near, "far": self.far}.get(split))

    def draw(self, streams: Streams, intervals: Sequence[Interval]) -> Any:
        """Draw a value uniformly, on the parameter's scale, from a union of intervals.

        Args:
            streams: one stream (n = 1).
            intervals: disjoint intervals.
        """
        if len(intervals) == 1 and intervals[0][0] == intervals[0][1]:
            return intervals[0][0] if self.size == 1 else (intervals[0][0],) * self.size
        warped = [(self._warp(low), self._warp(high)) for low, high in intervals]
        total = sum(high - low for low, high in warped)
        values = []
        for unit in streams.uniform(self.size)[0].tolist():
            rest, position = unit * total, warped[-1][1]
            for low, high in warped:
                if rest <= high - low:
                    position = low + rest
                    break
                rest -= high - low
            values.append(math.exp(position) if self.scale == "log" else position)
        return values[0] if self.size == 1 else tuple(values)

    def is_part(self, part: Any) -> bool:
        """Whether an interval is a true part of the train range."""
        ((low, high),) = self.trained
        inside: bool = low <= part[0] < part[1] <= high
        return inside and tuple(part) != (low, high)

    def in_part(self, value: float | tuple[float, ...], part: Any) -> bool:
        """Whether a value (each component of a vector) lies in an interval."""
        items = value if isinstance(value, tuple) else (value,)
        return all(part[0] <= item <= part[1] for item in items)

    def draw_part(self, streams: Streams, part: Any) -> Any:
        """Draw a value from an interval."""
        return self.draw(streams, [tuple(part)])

    def distance(self, value: float | tuple[float, ...]) -> float:
        """How far outside the train range, in train widths on its scale (0 inside)."""
        low, high = (self._warp(bound) for bound in self.trained[0])
        # A range of zero width has no width of its own to measure by.
        width = high - low or (1.0 if self.scale == "log" else abs(high) or 1.0)
        items = value if isinstance(value, tuple) else (value,)
        outside = [max(low - w, w - high, 0.0) for w in map(self._warp, items)]
        return math.hypot(*outside) / width

    def normalized(self, value: float | tuple[float, ...]) -> list[float]:
        """The value on its scale, such that its bounds are -1 and 1."""
        low, high = (self._warp(bound) for bound in self.bounds)
        items = value if isinstance(value, tuple) else (value,)
        if high == low:
            return [0.0] * self.size
        return [2 * (self._warp(v) - low) / (high - low) - 1 for v in items]

    def _warp(self, value: float) -> float:
        return math.log(value) if self.scale == "log" else value


@dataclass(frozen=True)
class Choice:
    """One of several values, some of them never trained on."""

    nominal: str | int | bool
    """The value of the robot as its data sheet describes it."""
    train: tuple[Any, ...]
    """Values that training draws."""
    unseen: tuple[Any, ...] = ()
    """Values that only the `structure` split draws."""
    unit: str = "1"
    """SI unit, for people."""
    goal: bool = False
    """Whether it describes the job (a goal) rather than the dynamics."""
    switches: bool = True
    """Whether it can change in mid-episode, as an object's shape cannot."""
    nominal_share: float | None = None
    """Share of train tasks with the nominal value; the rest is drawn from the other
    values. By default all values are equally likely."""
    about: str = ""
    """One line for people."""

    @property
    def varies(self) -> bool:
        """Whether train tasks differ in it."""
        return len(self.train) > 1

    @property
    def trained(self) -> tuple[Any, ...]:
        """The values that training draws from."""
        return self.train

    def validate(self, name: str) -> None:
        """Check that the values are distinct and the nominal one is among them.

        Raises:
            InputError: naming the choice and the value.
        """
        if not self.train:
            raise InputError(f"Choice {name!r}: train needs at least one value.")
        for value in self.values:
            if not isinstance(value, str | int | float):
                raise InputError(
                    f"Choice {name!r}: {value!r} must be a string, number or bool."
                )
        share = self.nominal_share
        if share is not None and not (
            0 <= share < 1 and self.nominal in self.train and self.varies
        ):
            raise InputError(
                f"Choice {name!r}: nominal_share={share} must be in [0, 1), of a "
                "nominal value that is one of several in train."
            )
        if len(set(self.values)) != len(self.values):
            raise InputError(f"Choice {name!r}: {self.values!r} repeats a value.")
        self.coerce(name, self.nominal)

    @property
    def values(self) -> tuple[Any, ...]:
        """Every value, trained on or not."""
        return (*self.train, *self.unseen)

    def coerce(self, name: str, value: Any) -> Any:
        """Return the listed value equal to ``value``.

        Raises:
            InputError: if there is none.
        """
        for known in self.values:
            if isinstance(value, str) and str(known) == value:
                return known
        try:
            number = float(value)  # of a file or an array: in other digits, in float32
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        numbers = [known for known in self.values if not isinstance(known, str)]
        for slack in (0.0, FLOAT32):
            for known in numbers:
                if abs(known - number) <= slack * abs(known):
                    return known
        raise unknown(f"value of {name!r}:", str(value), map(str, self.values))

    def shell(self, split: str) -> tuple[Any, ...]:
        """The values that a split draws this choice from when it goes outside."""
        return self.unseen if split == "structure" else ()

    def draw(self, streams: Streams, values: Sequence[Any]) -> Any:
        """Draw one of ``values`` (streams: n = 1)."""
        if self.nominal_share is not None and tuple(values) == tuple(self.train):
            if float(streams.uniform()) < self.nominal_share:
                return self.nominal
            values = [value for value in values if value != self.nominal]
        return values[int(streams.integers(len(values)))]

    def is_part(self, part: Any) -> bool:
        """Whether some values are a true part of those that are trained on."""
        return bool(part) and set(part) < set(self.train)

    def in_part(self, value: Any, part: Any) -> bool:
        """Whether a value is among some."""
        return value in part

    def draw_part(self, streams: Streams, part: Any) -> Any:
        """Draw one of some values."""
        return self.draw(streams, part)

    def distance(self, value: Any) -> float:
        """0 for a value that was trained on, 1 for one that was not."""
        return 0.0 if value in self.train else 1.0

    def normalized(self, value: Any) -> list[float]:
        """The value as a one-hot vector over `values`."""
        return [float(value == known) for known in self.values]
