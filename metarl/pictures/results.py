"""What a run left behind, as arrays: for plots and reports."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarl.errors import InputError
from metarl.evaluation.protocol import FORMAT
from metarl.files import read_json
from metarl.registry import label

Evaluation = Mapping[str, Any]
"""What `metarl evaluate` writes: the content of one evaluation.json."""


@dataclass(frozen=True)
class Record:
    """What a run folder holds."""

    folder: Path
    config: dict[str, Any]
    system: dict[str, Any]
    metrics: list[dict[str, Any]]
    evaluation: Evaluation | None
    videos: tuple[Path, ...]
    no_video: str
    """Why there are no videos, if a reason was left."""

    @property
    def family(self) -> str:
        """Short name of the family."""
        return label(str(self.config["family"]))

    @property
    def agent(self) -> str:
        """Short name of the agent."""
        return label(str(self.config["agent"]))


class Curve(NamedTuple):
    """One measure over tasks and budgets."""

    episodes: NDArray[np.float64]
    """(points,) budgets in adaptation episodes, increasing."""
    seconds: NDArray[np.float64]
    """(points,) mean simulated seconds spent at each budget."""
    scores: NDArray[np.float64]
    """(seeds, tasks, points), NaN where undefined."""


def read_record(folder: Path | str) -> Record:
    """Read a run folder.

    Raises:
        InputError: naming the file that is missing, truncated or foreign.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} is not a run folder: it has no config.json.")
    config = _read_object(folder / "config.json", ("family", "agent"))
    system, evaluation = folder / "system.json", folder / "evaluation.json"
    reason = folder / "videos" / "MISSING.txt"
    return Record(
        folder,
        config,
        _read_object(system, ()) if system.exists() else {},
        _read_metrics(folder / "metrics.jsonl"),
        read_evaluation(evaluation) if evaluation.exists() else None,
        tuple(sorted((folder / "videos").glob("*.mp4"))),
        reason.read_text(errors="replace").strip() if reason.exists() else "",
    )


def read_evaluation(path: Path | str) -> Evaluation:
    """Read an evaluation.json.

    Raises:
        InputError: naming the file, if it is missing, truncated or foreign.
    """
    path = Path(path)
    plain = _read_object(path, ("format", "run", "protocol", "splits"))
    if plain["format"] != FORMAT:
        raise InputError(f"{path}: format {plain['format']!r} is not {FORMAT!r}.")
    try:
        _ = plain["run"]["family"], plain["run"]["agent"]
        for name, split in plain["splits"].items():
            tasks = len(split["tasks"])
            sizes = {tasks, len(split["distance"])}
            for point in split["points"]:
                sizes |= {len(point["return"]), len(point["seconds"])}
                np.array([point["episodes"], *point["seconds"]], float)
            if len(sizes) > 1 or not tasks or not split["points"]:
                raise ValueError(f"split {name!r}: sizes {sorted(sizes)}")
            measures = split["points"][0]["metrics"]
            for measure in ("return", "success", "online_return", *measures):
                scores_at(split["points"], measure)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is not an evaluation of metarl: {error!r}."
        ) from error
    return plain


def curve(evaluations: Sequence[Evaluation], split: str, measure: str) -> Curve:
    """A measure of one agent on one split, over its seeds.

    Args:
        evaluations: the agent's evaluations, one per seed; those without the split, or
            with another number of tasks or other budgets than the first, are left out.
        split: name of the split; at least one evaluation has it.
        measure: "return", "success", "online_return" or the name of a metric.

    Returns:
        The curve; all scores NaN where the measure was not taken.
    """
    points = [e["splits"][split]["points"] for e in evaluations if split in e["splits"]]
    episodes = [[point["episodes"] for point in of_seed] for of_seed in points]
    scores = [scores_at(of_seed, measure) for of_seed in points]
    alike = [
        index
        for index, table in enumerate(scores)
        if episodes[index] == episodes[0] and table.shape == scores[0].shape
    ]
    spent = [[np.mean(point["seconds"]) for point in points[i]] for i in alike]
    return Curve(
        np.array(episodes[0], float),
        np.mean(spent, axis=0),
        np.stack([scores[index] for index in alike]),
    )


def scores_at(points: Sequence[Mapping[str, Any]], measure: str) -> NDArray[np.float64]:
    """A measure of one split of one run, (tasks, points); null becomes NaN."""
    tasks = len(points[0]["return"])
    columns = []
    for point in points:
        values = point.get(measure, point.get("metrics", {}).get(measure))
        columns.append([None] * tasks if values is None else values)
    return np.array(columns, dtype=float).T


def film_name(split: str, index: int, seed: int) -> str:
    """Of the film of a task; the seed that drew it is told where it is not 0."""
    return f"{split}-{index}" + (f"-seed{seed}" if seed else "")


def splits(evaluations: Sequence[Evaluation]) -> list[str]:
    """The names of all splits, in the order in which they first appear."""
    return list(dict.fromkeys(name for e in evaluations for name in e["splits"]))


def by_agent(evaluations: Sequence[Evaluation]) -> dict[str, list[Evaluation]]:
    """Evaluations grouped by agent (and family, where there are several).

    The agent's name is ``run.agent``, or ``run.name`` where somebody set it to tell
    apart runs of one agent under several settings.
    """
    families = {e["run"]["family"] for e in evaluations}
    groups: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        run = evaluation["run"]
        name = run.get("name", label(run["agent"]))
        if len(families) > 1:
            name = f"{label(run['family'])} {name}"
        groups.setdefault(name, []).append(evaluation)
    return groups


def _read_object(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    plain = read_json(path)
    if not isinstance(plain, dict) or any(key not in plain for key in keys):
        wanted = f" with {', '.join(keys)}" if keys else ""
        raise InputError(f"{path} is not of metarl: a JSON object{wanted} is expected.")
    return plain


def _read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows; a last line that a crash cut is left out."""
    rows: list[dict[str, Any]] = []
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if "control_steps" not in row:
                raise ValueError("no control_steps")
        except (ValueError, TypeError) as error:
            if number == len(lines) and isinstance(error, json.JSONDecodeError):
                break
            raise InputError(f"{path}, line {number}: {error}.") from error
        rows.append(row)
    return rows
