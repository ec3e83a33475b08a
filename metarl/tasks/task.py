"""A task: one point of a family's parameter space.

task = family.task(payload=4.2)          # exact values, nominal ones for the rest
task["payload"]                          # 4.2
Task.from_json(task.to_json()) == task
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metarl.errors import InputError, unknown
from metarl.tasks.parameter import Value


@dataclass(frozen=True)
class Switch:
    """A change of the dynamics in the middle of every episode."""

    at: float
    """Seconds after the start of the episode."""
    values: tuple[tuple[str, Value], ...]
    """All parameter values from then on."""


@dataclass(frozen=True)
class Task:
    """One point of a family's parameter space. Hashable, and JSON both ways."""

    family: str
    """Name of its family."""
    values: tuple[tuple[str, Value], ...]
    """Parameter values, in the family's order."""
    switch: Switch | None = None
    """The change in mid-episode, if any."""

    def __getitem__(self, name: str) -> Any:
        """The value of a parameter.

        Raises:
            InputError: if the task has no such parameter.
        """
        for known, value in self.values:
            if known == name:
                return value
        raise unknown("parameter", name, (known for known, _ in self.values))

    def __contains__(self, name: str) -> bool:
        return any(known == name for known, _ in self.values)

    @property
    def before_switch(self) -> "Task":
        """The task without its switch: what rules at the start of an episode."""
        return self if self.switch is None else Task(self.family, self.values)

    @property
    def after_switch(self) -> "Task":
        """The task that rules after the switch (itself when it has none)."""
        if self.switch is None:
            return self
        return Task(self.family, self.switch.values)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        plain: dict[str, Any] = {"family": self.family, "values": dict(self.values)}
        if self.switch is not None:
            plain["switch"] = {
                "at": self.switch.at,
                "values": dict(self.switch.values),
            }
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Task":
        """The task that `to_dict` described.

        Raises:
            InputError: if a key is missing.
        """

        def pairs(values: Mapping[str, Any]) -> tuple[tuple[str, Value], ...]:
            return tuple(
                (name, tuple(value) if isinstance(value, list) else value)
                for name, value in values.items()
            )

        try:
            switch = plain.get("switch")
            return cls(
                plain["family"],
                pairs(plain["values"]),
                switch and Switch(float(switch["at"]), pairs(switch["values"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"Not a task: {plain!r} ({error!r}).") from error

    def to_json(self) -> str:
        """As one line of JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> "Task":
        """The task that `to_json` wrote.

        Raises:
            InputError: if the text is not JSON or not a task.
        """
        try:
            return cls.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise InputError(f"Not a task in JSON: {text!r} ({error}).") from error

    def __str__(self) -> str:
        def show(values: tuple[tuple[str, Value], ...]) -> str:
            return ", ".join(f"{name}={short(value)}" for name, value in values)

        text = show(self.values)
        if self.switch is not None:
            text += f"; from {self.switch.at:.2f} s: {show(self.switch.values)}"
        return text


def short(value: Value) -> str:
    """A value for people, in a few characters."""
    if isinstance(value, tuple):
        return "(" + ", ".join(map(short, value)) + ")"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
