"""The leaderboard's cells: one agent on one family under one seed, as a small file.

    results/<column>/<agent>-<seed>.json

A column is a family, or a family with the ending `TUNED`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metarl.errors import InputError
from metarl.evaluation import statistics
from metarl.evaluation.reading import Field
from metarl.evaluation.results import Evaluation, Point
from metarl.learning.agent import find_agent
from metarl.runs.files import read_json, write_json
from metarl.tasks.space import IN_RANGE

KINDS = (
    "gradient",
    "fast-weights",
    "memory",
    "history",
    "metric",
    "inference",
    "evolutionary",
    "baseline",
)
"""Classes of agents in the order in which they are shown; others follow."""
REFERENCES = ("randomized", "oracle", "oracle-in-range")
"""Run first: they place the others between 0 and 1."""
GAPS = {"oracle-in-range": "identify", "oracle": "identify and cover"}
"""What the difference of an oracle to `randomized` measures."""
TUNED = "-tuned"
"""Ends the name of a family's column with the settings that `metarl tune` found."""
LEAST_GAIN = {"cheetah-direction": 10.0}
"""Return that settings have to gain on the validation tasks, or the defaults stay."""


@dataclass(frozen=True)
class Cell:
    """Results of one agent on one family under one seed."""

    command: str
    control_steps: int
    """Of meta-training."""
    cpu_hours: float
    """Of meta-training."""
    splits: Mapping[str, tuple[Point, ...]]
    commit: str | None = None
    query_episodes: int | None = None
    """Per task and point; cells of metarl 0.1 do not all say it."""
    seed: int = 0
    """Of the run: the file's name says it."""

    @property
    def tasks(self) -> int:
        """Tasks per split."""
        return len(next(iter(self.splits.values()))[0].returns)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, numbers to five digits so that files stay small."""
        return {
            "command": self.command,
            "commit": self.commit,
            "control_steps": self.control_steps,
            "query_episodes": self.query_episodes,
            "cpu_hours": self.cpu_hours,
            "splits": {
                name: [_small(point) for point in points]
                for name, points in self.splits.items()
            },
        }

    @classmethod
    def from_dict(cls, plain: Any, source: object = "This") -> "Cell":
        """The cell of `to_dict`.

        Args:
            plain: JSON values.
            source: what to call it in errors.

        Raises:
            InputError: naming the source and the field at fault.
        """
        fields = Field(plain)
        try:
            episodes = fields.get("query_episodes")
            return cls(
                fields["command"].text(),
                fields["control_steps"].integer(),
                fields["cpu_hours"].number(),
                {
                    name: tuple(_point(point) for point in points.list())
                    for name, points in fields["splits"].items()
                },
                fields.get("commit").value,
                None if episodes.value is None else episodes.integer(),
            )
        except ValueError as error:
            raise InputError(f"{source} is not a cell: {error}.") from error

    @classmethod
    def read(cls, path: Path) -> "Cell":
        """The cell in a file.

        Raises:
            InputError: naming the file, and the field at fault.
        """
        seed = path.stem.rpartition("-")[2]
        cell = cls.from_dict(read_json(path), path)
        return replace(cell, seed=int(seed) if seed.isdecimal() else 0)

    def write(self, path: Path) -> None:
        """Write the cell to a file, whole or not at all."""
        write_json(path, self.to_dict())


Column = dict[str, list[Cell]]
"""Cells of a column by agent, one for each seed."""
Columns = dict[str, Column]
"""Columns by name, in order."""


@dataclass(frozen=True)
class Scores:
    """One agent on one split of one family, over the seeds that are there."""

    episodes: list[float]
    seconds: np.ndarray
    """(seeds, tasks, points)."""
    score: np.ndarray
    """(seeds, tasks, points); NaN where there is nothing to gain."""
    returns: np.ndarray
    """(seeds, tasks, points)."""
    kind: str
    """What the oracle of the scale measures: see `GAPS`."""


def points_of(evaluation: Evaluation) -> dict[str, tuple[Point, ...]]:
    """The points of an evaluation by split."""
    return {name: split.points for name, split in evaluation.splits.items()}


def load(results: Path, name: str, tune: Path) -> Column:
    """Every evaluated agent of a column, one cell for each seed in order.

    An agent that tuning does not improve has its default cells in the tuned column too,
    and so has a reference that was not run yet.
    """
    found: Column = {}
    for path in sorted((results / name).glob("*.json")):
        agent = path.stem.rpartition("-")[0]
        found.setdefault(agent, []).append(Cell.read(path))
    for cells in found.values():
        cells.sort(key=lambda cell: cell.seed)
    if found and name.endswith(TUNED):
        family = name.removesuffix(TUNED)
        for agent, cells in load(results, family, tune).items():
            reference = agent in REFERENCES and agent not in found
            if reference or tuned_settings(tune, family, agent) == {}:
                found[agent] = cells
    return found


def columns(results: Path, families: tuple[str, ...], tune: Path) -> Columns:
    """The cells of every family, and of its tuned agents where there are any."""
    found = {}
    for family in families:
        found[family] = load(results, family, tune)
        if tuned := load(results, family + TUNED, tune):
            found[family + TUNED] = tuned
    return found


def tuned_settings(tune: Path, family: str, agent: str) -> dict[str, Any] | None:
    """The settings by which `metarl tune` improved an agent; empty where it did not.

    None where it was not tuned.
    """
    path = tune / f"{family}-{agent}.json"
    if not path.exists():
        return None
    tuned = Field(read_json(path))
    try:
        best, defaults = tuned["best"], tuned["defaults"]
        gained = best["value"].number() - defaults["value"].number()
        settings = dict(best["settings"].items())
    except ValueError as error:
        raise InputError(
            f"{path} is not a result of `metarl tune`: {error}."
        ) from error
    if gained <= LEAST_GAIN.get(family, 0.0):
        return {}
    return {name: setting.value for name, setting in settings.items()}


def scores(column: Column, agent: str, split: str) -> Scores | None:
    """Place an agent between the randomized policy and an oracle.

    In the train ranges that is `oracle-in-range`, where it was run.
    """
    cells = evaluated(column, agent, split)
    low = without_adaptation(column, "randomized", split)
    oracle = "oracle-in-range" if split in IN_RANGE else "oracle"
    if not evaluated(column, oracle, split):
        oracle = "oracle"
    high = without_adaptation(column, oracle, split)
    if not cells or low is None or high is None:
        return None
    returns = measured(cells, split, "returns")
    score = statistics.normalized_score(returns.transpose(0, 2, 1), low, high)
    if not statistics.interval(high - low, "mean").low > 0:
        score[:] = np.nan  # a scale from 0 to next to nothing measures noise
    return Scores(
        [point.episodes for point in cells[0].splits[split]],
        measured(cells, split, "seconds"),
        score.transpose(0, 2, 1),
        returns,
        GAPS[oracle],
    )


def evaluated(column: Column, agent: str, split: str) -> list[Cell]:
    """The cells of an agent that have a split, in the order of seeds."""
    return [cell for cell in column.get(agent, ()) if split in cell.splits]


def measured(cells: Sequence[Cell], split: str, measure: str) -> np.ndarray:
    """A measure of a split, (seeds, tasks, points); NaN where there is none."""

    def of(point: Point) -> Sequence[float | None]:
        values: Sequence[float | None] | None = getattr(point, measure)
        return [None] * len(point.returns) if values is None else values

    table = [[of(point) for point in cell.splits[split]] for cell in cells]
    return np.array(table, float).transpose(0, 2, 1)


def without_adaptation(column: Column, agent: str, split: str) -> np.ndarray | None:
    """Returns of a reference, (tasks,): the mean over seeds.

    None where it was not evaluated.
    """
    cells = evaluated(column, agent, split)
    if not cells:
        return None
    mean: np.ndarray = measured(cells, split, "returns")[..., 0].mean(0)
    return mean


def gap(column: Column, oracle: str, split: str) -> statistics.Estimate | None:
    """An oracle minus `randomized`, in return; None where one was not run."""
    low, high = (without_adaptation(column, a, split) for a in ("randomized", oracle))
    if low is None or high is None:
        return None
    return statistics.interval(high - low, "mean")


def classes(agents: list[str]) -> dict[str, list[str]]:
    """Agents by their class, `Agent.kind`, in the order of `KINDS`.

    Oracles are left out: their score is 1. So are random actions.
    """
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for agent in sorted(agents, key=lambda agent: agent not in REFERENCES):
        if agent not in (*GAPS, "random"):
            kind = getattr(find_agent(agent), "kind", "")
            found.setdefault(kind, []).append(agent)
    return {kind: group for kind, group in found.items() if group}


def rounded(value: Any) -> Any:
    """Numbers to five significant digits."""
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _point(plain: Field) -> Point:
    plain.require("episodes", "seconds")
    return Point.read(plain)


def _small(point: Point) -> dict[str, Any]:
    return {
        "episodes": point.episodes,
        "seconds": rounded(point.seconds),
        "return": rounded(point.returns),
        "success": rounded(point.success),
        "diverged": point.diverged,
    }
