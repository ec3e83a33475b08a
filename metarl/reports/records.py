"""What a run folder holds, read for a report, and what to call each run."""

import json
import math
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarl.environment.registry import label
from metarl.errors import InputError
from metarl.evaluation.results import Evaluation
from metarl.runs.checkpoint import weights_sha256
from metarl.runs.config import read_config
from metarl.runs.evaluate import read_evaluation
from metarl.runs.files import read_json
from metarl.runs.metrics import read_metrics


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
    other_evaluations: tuple[Path, ...] = ()
    """Of other protocols or older checkpoints."""
    weights_sha256: str = ""
    """Of the newest checkpoint, where there is one."""

    @property
    def family(self) -> str:
        """Short name of the family."""
        return label(str(self.config["family"]))

    @property
    def agent(self) -> str:
        """Short name of the agent."""
        return label(str(self.config["agent"]))

    @property
    def seed(self) -> Any:
        """Seed of the training."""
        return self.config.get("seed", "?")

    def last(self, key: str) -> float:
        """A metric of the newest iteration; 0 where there is none."""
        return float(self.metrics[-1].get(key) or 0) if self.metrics else 0.0

    def total(self, key: str) -> float:
        """The sum of a metric over all iterations; NaN where there is none."""
        values = [row[key] for row in self.metrics if row.get(key) is not None]
        return math.fsum(values) if values else math.nan

    @property
    def stale(self) -> str:
        """How the evaluation differs from the run as it is now, in words; or ""."""
        if self.evaluation is None:
            return ""
        then, now = self.evaluation.run.control_steps, self.last("control_steps")
        if then and now and then != now:
            return (
                f"was evaluated after {then:,} control steps of training; now it has "
                f"{now:,.0f}."
            )
        weights = {self.evaluation.run.weights_sha256, self.weights_sha256} - {""}
        if len(weights) > 1:
            return "was evaluated with other weights than those of its checkpoint."
        return ""

    def command(self, verb: str) -> str:
        """A command of metarl for this run."""
        return f"metarl {verb} {shlex.quote(str(self.folder))}"


def read_record(folder: Path | str) -> Record:
    """Read a run folder.

    Raises:
        InputError: naming the file that is missing, truncated or foreign.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} is not a run folder: it has no config.json.")
    config = read_config(folder / "config.json")
    if not {"family", "agent"} <= config.keys():
        raise InputError(f"{folder / 'config.json'} names no family or no agent.")
    system, evaluation = folder / "system.json", folder / "evaluation.json"
    films = sorted((folder / "videos").glob("*.mp4"))
    own = tuple(path for path in films if _is_own(path, folder))
    for path in films:
        if path not in own:
            said = "is left out: it is no regular file inside the run."
            warnings.warn(f"{path} {said}", RuntimeWarning, stacklevel=2)
    why = folder / "videos" / "MISSING.txt"
    no_video = why.read_text(errors="replace") if _is_own(why, folder) else ""
    return Record(
        folder,
        config,
        _read_object(system, ()) if system.exists() else {},
        read_metrics(folder / "metrics.jsonl", counts=("control_steps",)),
        read_evaluation(evaluation) if evaluation.exists() else None,
        own,
        no_video.strip(),
        tuple(sorted((folder / "evaluations").glob("*.json"))),
        weights_sha256(folder / "checkpoints"),
    )


def _is_own(path: Path, folder: Path) -> bool:
    """Whether a file is a regular one inside a folder, and no link to another."""
    inside = path.resolve().is_relative_to(folder.resolve())
    return path.is_file() and not path.is_symlink() and inside


def names(records: Sequence[Record]) -> list[str]:
    """A name for each run; its folder is part of it where it is needed."""
    found = [
        f"{variant}, seed {record.seed}"
        for variant, record in zip(variants(records), records, strict=True)
    ]
    if len({record.family for record in records}) > 1:
        found = [f"{r.family} {n}" for r, n in zip(records, found, strict=True)]
    return [
        f"{name} ({record.folder.name})" if found.count(name) > 1 else name
        for record, name in zip(records, found, strict=True)
    ]


def variants(records: Sequence[Record]) -> list[str]:
    """Agents' names; with settings where runs differ in more than the seed."""
    flat = [settings(record) for record in records]
    found = []
    for record, own in zip(records, flat, strict=True):
        peers = [
            other
            for peer, other in zip(records, flat, strict=True)
            if (peer.family, peer.agent) == (record.family, record.agent)
        ]
        apart = [
            f"{key.rpartition('.')[2]}={own.get(key, 'default')}"
            for key in dict.fromkeys(key for other in peers for key in other)
            if key not in ("seed", "command", "family_sha256", "agent_sha256")
            and len({other.get(key) for other in peers}) > 1
        ]
        found.append(record.agent + (f" ({', '.join(apart)})" if apart else ""))
    return found


def settings(record: Record) -> dict[str, str]:
    """A run's settings by their full names, each as text."""
    return dict(_flat(record.config))


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield prefix + key, value
        else:
            yield prefix + key, json.dumps(value)


def _read_object(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    plain = read_json(path, root=path.parent)
    if not isinstance(plain, dict) or any(key not in plain for key in keys):
        wanted = f" with {', '.join(keys)}" if keys else ""
        raise InputError(f"{path} is not of metarl: a JSON object{wanted} is expected.")
    return plain
