"""Results of an evaluation, typed: `Evaluation` -> `Split` -> `Point`.

    far = evaluation.splits["far"]
    far.points[-1].returns                 # one number per task
    far.scores("success")                  # (tasks, points)
    evaluation.to_frame()                  # a pandas table, a row per task and point
    Evaluation.from_json(evaluation.to_json()) == evaluation

This is the only place that knows the JSON layout. It writes ``metarl-evaluation/2`` and
also reads ``metarl-evaluation/1``, which has no parameters: units are then unknown.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metarl.environment.registry import label
from metarl.errors import InputError
from metarl.evaluation.info import ParameterInfo, ProtocolInfo, RunInfo
from metarl.evaluation.reading import Field
from metarl.tasks.parsing import parse_json
from metarl.tasks.task import Task

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]

FORMAT = "metarl-evaluation/2"
READABLE = (FORMAT, "metarl-evaluation/1")
Numbers = tuple[float, ...]
"""One number per task; NaN where the measure is undefined for a task."""
MEASURES = {"return": "returns", "success": "success", "online_return": "online_return"}
"""Measures of every point, as files name them -> field of `Point`."""


@dataclass(frozen=True)
class Point:
    """One budget point: measures of the deployed policy, a number per task."""

    episodes: float
    """Adaptation episodes per task so far."""
    seconds: Numbers
    """Robot time of the adaptation so far."""
    returns: Numbers
    """Mean return over the query episodes."""
    control_steps: tuple[int, ...] = ()
    """Robot time in control steps."""
    success: Numbers | None = None
    """Mean success over the query episodes; None where it is not defined."""
    online_return: Numbers | None = None
    """Mean return of the adaptation episodes since the point before, if any."""
    diverged: int = 0
    """Episodes whose simulation diverged, over all tasks."""
    metrics: Mapping[str, Numbers | None] = field(default_factory=dict)
    """Further measures of the family, in its units."""

    def measure(self, name: str) -> Numbers:
        """A measure by its name in files; all NaN where it was not taken."""
        if name in MEASURES:
            values: Numbers | None = getattr(self, MEASURES[name])
        else:
            values = self.metrics.get(name)
        return (math.nan,) * len(self.returns) if values is None else values

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; NaN becomes None."""
        return {
            "episodes": self.episodes,
            "control_steps": list(self.control_steps),
            "seconds": _plain(self.seconds),
            "return": _plain(self.returns),
            "success": _plain_or_none(self.success),
            "online_return": _plain_or_none(self.online_return),
            "diverged": self.diverged,
            "metrics": {n: _plain_or_none(v) for n, v in self.metrics.items()},
        }

    @classmethod
    def read(cls, plain: Field, tasks: int | None = None) -> "Point":
        """The point of `to_dict`; pages of metarl 0.1 hold points with fewer fields.

        Args:
            plain: the JSON value.
            tasks: number of tasks; None takes it from the returns.

        Raises:
            ValueError: naming the field, if it is not one number per task.
        """
        returns = plain["return"].numbers(tasks)
        tasks = len(returns)
        return cls(
            plain.get("episodes", 0).number(),
            plain.get("seconds", [0.0] * tasks).numbers(tasks),
            returns,
            plain.get("control_steps", []).integers(),
            plain.get("success").numbers_or_none(tasks),
            plain.get("online_return").numbers_or_none(tasks),
            plain.get("diverged", 0).integer(),
            {
                name: values.numbers_or_none(tasks)
                for name, values in plain.get("metrics", {}).items()
            },
        )


@dataclass(frozen=True)
class Split:
    """Results on the tasks of one split."""

    tasks: tuple[Task, ...]
    distance: Numbers
    """Of each task from the train ranges, in train widths; 0 is inside."""
    points: tuple[Point, ...]
    """One per budget, ascending."""

    def scores(self, measure: str) -> NDArray[np.float64]:
        """A measure at every point, (tasks, points); NaN where undefined."""
        return np.array([point.measure(measure) for point in self.points], float).T

    @property
    def mean_seconds(self) -> NDArray[np.float64]:
        """Robot time of each point, the mean over tasks, (points,)."""
        return np.array([np.mean(point.seconds) for point in self.points])

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "tasks": [_lists(task.to_dict()) for task in self.tasks],
            "distance": _plain(self.distance),
            "points": [point.to_dict() for point in self.points],
        }

    @classmethod
    def read(cls, plain: Field) -> "Split":
        """The split of `to_dict`.

        Raises:
            ValueError: naming the field at fault.
        """
        tasks = tuple(
            task.checked(Task.from_dict, task.value) for task in plain["tasks"].list()
        )
        points = []
        for part in plain["points"].list():
            part.require("episodes", "seconds", "metrics")
            point = Point.read(part, len(tasks))
            if not all(map(math.isfinite, point.seconds)):
                raise ValueError(f"{part['seconds'].place} is not a number per task")
            points.append(point)
        if not tasks or not points:
            raise ValueError(f"{plain.place} has no tasks or no points")
        return cls(tasks, plain["distance"].numbers(len(tasks)), tuple(points))


@dataclass(frozen=True)
class Evaluation:
    """Results of one run under one protocol, split by split."""

    protocol: ProtocolInfo
    splits: Mapping[str, Split]
    parameters: tuple[ParameterInfo, ...] = ()
    """Of the family, in its order; empty where the file does not say."""
    run: RunInfo = field(default_factory=RunInfo)
    wall_seconds: float = math.nan
    """Wall time that the evaluation took, all splits together."""

    @property
    def name(self) -> str:
        """The agent's short name, or a name with its settings."""
        return self.run.name or label(self.run.agent)

    def parameter(self, name: str) -> ParameterInfo | None:
        """A parameter by its name; None where the file does not say."""
        return next((p for p in self.parameters if p.name == name), None)

    def named(self, name: str) -> "Evaluation":
        """The same under a name that includes its settings."""
        return replace(self, run=replace(self.run, name=name))

    def comparable(self, other: "Evaluation") -> bool:
        """Whether both are of one checkpoint and one protocol."""
        mine, others = (
            (replace(e.protocol, success=""), e.run.control_steps)
            for e in (self, other)
        )
        weights = {self.run.weights_sha256, other.run.weights_sha256} - {""}
        return mine == others and len(weights) < 2

    def merged(self, newer: "Evaluation") -> "Evaluation":
        """These splits and those of a comparable, newer evaluation, which win."""
        commits = (self.run.commit, newer.run.commit)
        kept = [name for name in self.splits if name not in newer.splits]
        if kept and None not in commits:
            every = ", ".join(str(commit) for commit in commits).split(", ")
            commits = (None, ", ".join(dict.fromkeys(every)))
        both = (self.wall_seconds, newer.wall_seconds)
        seconds = [value for value in both if math.isfinite(value)]
        return replace(
            newer,
            splits={**self.splits, **newer.splits},
            parameters=newer.parameters or self.parameters,
            run=replace(newer.run, commit=commits[1]),
            wall_seconds=math.fsum(seconds) if seconds else math.nan,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; NaN becomes None."""
        run = asdict(self.run)
        for optional in ("name", "weights_sha256"):
            if not run[optional]:
                del run[optional]
        return {
            "format": FORMAT,
            "run": run,
            "protocol": {**asdict(self.protocol), "budgets": [*self.protocol.budgets]},
            "parameters": [_lists(asdict(info)) for info in self.parameters],
            "splits": {name: split.to_dict() for name, split in self.splits.items()},
            "cost": {"wall_seconds": _plain((self.wall_seconds,))[0]},
        }

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    @classmethod
    def from_dict(cls, plain: Any, source: object = "This") -> "Evaluation":
        """The evaluation of `to_dict`, in the newest format or an older one.

        Args:
            plain: JSON values.
            source: what to call it in errors, such as its file.

        Raises:
            InputError: naming the source and the field at fault.
        """
        kind = plain.get("format") if isinstance(plain, dict) else None
        if kind not in READABLE:
            raise InputError(
                f"{source} is not an evaluation of metarl: format {kind!r} is not "
                f"{' or '.join(map(repr, READABLE))}."
            )
        try:
            return cls._read(Field(plain))
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{source} is not an evaluation of metarl: {error}."
            ) from error

    @classmethod
    def from_json(cls, text: str, source: object = "This") -> "Evaluation":
        """The evaluation of `to_json`.

        Raises:
            InputError: naming the source and the field at fault.
        """
        return cls.from_dict(parse_json(text, str(source)), source)

    @classmethod
    def _read(cls, plain: Field) -> "Evaluation":
        splits = {name: Split.read(part) for name, part in plain["splits"].items()}
        if not splits:
            raise ValueError("splits is empty")
        parameters = plain.get("parameters", []).list()
        return cls(
            ProtocolInfo.read(plain["protocol"]),
            splits,
            tuple(ParameterInfo.read(part) for part in parameters),
            RunInfo.read(plain["run"]),
            plain.get("cost", {}).get("wall_seconds").number_or_nan(),
        )

    def to_frame(self) -> "pandas.DataFrame":
        """A table with a row per split, task and point.

        Columns: run, family, agent, seed, split, task (its index), one per parameter
        (one per component of a vector), distance, episodes, seconds, return, success,
        online_return and one per metric. Needs pandas.

        Raises:
            InputError: if pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise InputError("to_frame() needs pandas: pip install pandas") from error
        return pandas.DataFrame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `to_frame`, for which no pandas is needed."""
        return list(self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        run = {
            "run": self.name,
            "family": self.run.family,
            "agent": self.run.agent,
            "seed": self.run.seed,
        }
        for name, split in self.splits.items():
            for point in split.points:
                for index, task in enumerate(split.tasks):
                    row = {**run, "split": name, "task": index, **components(task)}
                    row["distance"] = split.distance[index]
                    row["episodes"] = point.episodes
                    row["seconds"] = point.seconds[index]
                    for measure in (*MEASURES, *point.metrics):
                        # A metric may have the name of a parameter.
                        column = f"{measure} measured" if measure in row else measure
                        row[column] = point.measure(measure)[index]
                    yield row


def components(task: Task) -> dict[str, Any]:
    """A task's values by name; a vector's components are numbered from 1."""
    found: dict[str, Any] = {}
    for name, value in task.values:
        if isinstance(value, tuple):
            found |= {f"{name} {place}": item for place, item in enumerate(value, 1)}
        else:
            found[name] = value
    return found


def _plain(values: Numbers) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]


def _plain_or_none(values: Numbers | None) -> list[float | None] | None:
    return None if values is None else _plain(values)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lists(item) for name, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, tuple) else value
