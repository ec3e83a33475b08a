"""Reading JSON whose errors name the field at fault."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

Made = TypeVar("Made")


@dataclass(frozen=True)
class Field:
    """A JSON value and its place, as in ``splits.far.points[2].return``."""

    value: Any
    place: str = ""

    def __getitem__(self, name: str) -> "Field":
        """A field of an object.

        Raises:
            ValueError: if it is missing, or this is no object.
        """
        if name not in self._object():
            raise ValueError(f"{self._inside(name)} is missing")
        return Field(self.value[name], self._inside(name))

    def get(self, name: str, default: Any = None) -> "Field":
        """A field of an object, or the default where it is missing.

        Raises:
            ValueError: if this is no object.
        """
        return Field(self._object().get(name, default), self._inside(name))

    def require(self, *names: str) -> None:
        """Check that an object has these fields.

        Raises:
            ValueError: naming the first that is missing.
        """
        for name in names:
            _ = self[name]

    def items(self) -> Iterator[tuple[str, "Field"]]:
        """Names and fields of an object.

        Raises:
            ValueError: if this is no object.
        """
        for name, value in self._object().items():
            yield name, Field(value, self._inside(name))

    def list(self) -> "list[Field]":
        """The items of a list.

        Raises:
            ValueError: if this is no list.
        """
        if not isinstance(self.value, list):
            raise self._wrong("a list")
        return [Field(v, f"{self.place}[{i}]") for i, v in enumerate(self.value)]

    def text(self) -> str:
        """A string.

        Raises:
            ValueError: if it is another kind of value.
        """
        if not isinstance(self.value, str):
            raise self._wrong("a text")
        return self.value

    def number(self) -> float:
        """A number.

        Raises:
            ValueError: if it is another kind of value.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self._wrong("a number")
        return self.value

    def number_or_nan(self) -> float:
        """A number, NaN for null."""
        return math.nan if self.value is None else self.number()

    def integer(self) -> int:
        """A whole number.

        Raises:
            ValueError: if it is another kind of value.
        """
        if not float(self.number()).is_integer():
            raise self._wrong("a whole number")
        return int(self.value)

    def integers(self) -> tuple[int, ...]:
        """A list of whole numbers."""
        return tuple(item.integer() for item in self.list())

    def numbers(self, count: int | None = None) -> tuple[float, ...]:
        """A list of numbers, NaN for null.

        Raises:
            ValueError: if there are not ``count`` of them.
        """
        found = tuple(item.number_or_nan() for item in self.list())
        if count is not None and len(found) != count:
            raise ValueError(f"{self.place}: {len(found)} numbers for {count} tasks")
        return found

    def numbers_or_none(self, count: int) -> tuple[float, ...] | None:
        """A list of ``count`` numbers; None for null."""
        return None if self.value is None else self.numbers(count)

    def checked(self, make: Callable[[Any], Made], value: Any) -> Made:
        """What ``make`` returns of a value; its errors name this place.

        Raises:
            ValueError: with what was wrong.
        """
        try:
            return make(value)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{self.place}: {error}") from error

    def _object(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise self._wrong("an object")
        return self.value

    def _inside(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def _wrong(self, wanted: str) -> ValueError:
        return ValueError(f"{self.place or 'it'} is {self.value!r:.60}, not {wanted}")
