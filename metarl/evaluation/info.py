"""What an evaluation was of: the run, the protocol and the family's parameters."""

from dataclasses import dataclass
from typing import Any

from metarl.evaluation.reading import Field
from metarl.tasks.parameter import Choice, Parameter


@dataclass(frozen=True)
class ParameterInfo:
    """What a parameter of the family was when the evaluation was made."""

    name: str
    unit: str = "1"
    """SI unit; "1" for none."""
    scale: str = "linear"
    """"linear", "log", or "choice" for one of several values."""
    train: tuple[Any, ...] = ()
    """Train range as intervals (low, high); for a choice, the values trained on."""
    near: tuple[Any, ...] = ()
    """Intervals of the near shell."""
    far: tuple[Any, ...] = ()
    """Intervals of the far shell."""
    unseen: tuple[Any, ...] = ()
    """Values of a choice that training never draws."""
    goal: bool = False
    """Whether it describes the goal rather than the dynamics."""

    @classmethod
    def of(cls, name: str, parameter: Parameter | Choice) -> "ParameterInfo":
        """The record of a declared parameter."""
        choice = isinstance(parameter, Choice)
        return cls(
            name,
            parameter.unit,
            "choice" if isinstance(parameter, Choice) else parameter.scale,
            tuple(parameter.trained),
            () if choice else parameter.shell("near"),
            () if choice else parameter.shell("far"),
            tuple(parameter.shell("structure")) if choice else (),
            parameter.goal,
        )

    @classmethod
    def read(cls, plain: Field) -> "ParameterInfo":
        """The record that a file holds.

        Raises:
            ValueError: naming the field at fault.
        """

        def ranges(name: str) -> tuple[Any, ...]:
            values = [item.value for item in plain.get(name, []).list()]
            return tuple(tuple(v) if isinstance(v, list) else v for v in values)

        return cls(
            plain["name"].text(),
            plain["unit"].text(),
            plain["scale"].text(),
            ranges("train"),
            ranges("near"),
            ranges("far"),
            ranges("unseen"),
            bool(plain.get("goal", False).value),
        )

    def in_train_range(self, value: Any) -> bool:
        """Whether training may draw a value; every component of a vector counts."""
        if self.scale == "choice":
            return value in self.train
        items = value if isinstance(value, tuple) else (value,)
        slack = 1e-9 * max(abs(bound) for pair in self.train for bound in pair)
        return all(
            any(low - slack <= item <= high + slack for low, high in self.train)
            for item in items
        )


@dataclass(frozen=True)
class ProtocolInfo:
    """How an evaluation was made. Equal protocols give comparable numbers."""

    tasks: int
    """Tasks per split."""
    query_episodes: int
    """Fresh episodes per task that evaluate the deployed policy."""
    budgets: tuple[int, ...]
    """Adaptation episodes of each point, ascending."""
    seed: int = 0
    """Freezes tasks, initial states and noise."""
    horizon: int | None = None
    """Control steps per episode."""
    control_period: float | None = None
    """Seconds per control step."""
    success: str = ""
    """What success means, in words."""
    backend: str = "mujoco"
    """What simulated: "mujoco" or "warp"."""

    @classmethod
    def read(cls, plain: Field) -> "ProtocolInfo":
        """The protocol that a file holds.

        Raises:
            ValueError: naming the field at fault.
        """
        return cls(
            plain.get("tasks", 0).integer(),
            plain.get("query_episodes", 0).integer(),
            plain.get("budgets", []).integers(),
            plain.get("seed", 0).integer(),
            plain.get("horizon").value,
            plain.get("control_period").value,
            plain.get("success").value or "",
            plain.get("backend", "mujoco").text(),
        )


@dataclass(frozen=True)
class RunInfo:
    """What was evaluated."""

    family: str = ""
    agent: str = ""
    seed: int = 0
    """Of the training."""
    control_steps: int = 0
    """Of training, at the checkpoint that was evaluated."""
    commit: str | None = None
    """Of metarl's source at the evaluation; several where splits differ in it."""
    name: str = ""
    """Distinguishes runs of one agent under several settings; may be empty."""
    weights_sha256: str = ""
    """Of the checkpoint that was evaluated; empty in earlier files."""

    @classmethod
    def read(cls, plain: Field) -> "RunInfo":
        """The run that a file names.

        Raises:
            ValueError: naming the field at fault.
        """
        return cls(
            plain["family"].text(),
            plain["agent"].text(),
            plain.get("seed", 0).integer(),
            plain.get("control_steps", 0).integer(),
            plain.get("commit").value,
            plain.get("name", "").text(),
            plain.get("weights_sha256", "").text(),
        )
