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
from metarl.tasks.parsing import parse_json


@dataclass(frozen=True)
class Switch:
    """A change of the dynamics within every episode."""

    at: float
    """Seconds after the start of the episode."""
    values: tuple[tuple[str, Value], ...]
    """All parameter values from then on, until the next switch if any."""


@dataclass(frozen=True)
class Task:
    """One point of a family's parameter space. Hashable, and JSON both ways."""

    family: str
    """Name of its family."""
    values: tuple[tuple[str, Value], ...]
    """Parameter values, in the family's order."""
    switches: tuple[Switch, ...] = ()
    """The changes within an episode, in the order of their times. One alone, or None,
    may be given as it is."""

    def __post_init__(self) -> None:
        given: Any = self.switches
        if given is None or isinstance(given, Switch):
            object.__setattr__(self, "switches", (given,) if given else ())

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
    def switch(self) -> Switch | None:
        """The first change within an episode, if any."""
        return self.switches[0] if self.switches else None

    @property
    def phases(self) -> tuple["Task", ...]:
        """What rules at the start of an episode, and after each switch.

        They have no switches themselves.
        """
        later = (Task(self.family, switch.values) for switch in self.switches)
        return self.before_switch, *later

    @property
    def before_switch(self) -> "Task":
        """The task without its switches: what rules at the start of an episode."""
        return Task(self.family, self.values) if self.switches else self

    @property
    def after_switch(self) -> "Task":
        """The task that rules after the first switch (itself when it has none)."""
        return self.phases[1] if self.switches else self

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        plain: dict[str, Any] = {"family": self.family, "values": dict(self.values)}
        switches = [{"at": s.at, "values": dict(s.values)} for s in self.switches]
        if len(switches) == 1:
            plain["switch"] = switches[0]
        elif switches:
            plain["switches"] = switches
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
            one = plain.get("switch")
            switches = plain.get("switches") or ([one] if one else [])
            return cls(
                plain["family"],
                pairs(plain["values"]),
                tuple(Switch(float(s["at"]), pairs(s["values"])) for s in switches),
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
        return cls.from_dict(parse_json(text, f"Not a task: {text!r:.80}"))

    def __str__(self) -> str:
        def show(values: tuple[tuple[str, Value], ...]) -> str:
            return ", ".join(f"{name}={short(value)}" for name, value in values)

        text = show(self.values)
        if self.switch is not None:
            text += f"; from {self.switch.at:.2f} s: {show(self.switch.values)}"
        further = len(self.switches) - 1
        if further > 0:
            text += f"; {further} further change{'s' if further > 1 else ''}"
        return text


def short(value: Value) -> str:
    """A value for people, in a few characters."""
    if isinstance(value, tuple):
        return "(" + ", ".join(map(short, value)) + ")"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
