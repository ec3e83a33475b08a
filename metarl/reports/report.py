"""A report on one or more runs: one HTML file that needs nothing else."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metarl.errors import InputError, reason
from metarl.reports import plots
from metarl.reports.family import family_results
from metarl.reports.numbers import DASH
from metarl.reports.page import Cell, Figure, Missing, Table, figure, render, video_uri
from metarl.reports.records import Record, names, read_record, settings
from metarl.runs.files import replacing
from metarl.runs.folder import Run, as_run


class Video(NamedTuple):
    """A video held in the page, or why there is none."""

    uri: str = ""
    caption: str = ""
    missing: Missing | None = None


class Training(NamedTuple):
    """A run's training curve, or why there is none."""

    figure: Figure | None = None
    missing: Missing | None = None


def report(runs: Sequence[Run | Path | str], out: Path | str | None = None) -> Path:
    """One self-contained HTML page about one or more runs.

    Args:
        runs: runs or their folders.
        out: the file; default: report.html in the first run's folder.

    Raises:
        InputError: if one is no run, or the file cannot be written.
    """
    paths = [as_run(run).path for run in runs]
    if not paths:
        raise InputError("A report needs at least one run.")
    path = Path(out) if out else paths[0] / "report.html"
    try:
        return write_report(paths, path)
    except OSError as error:
        raise InputError(
            f"Cannot write {path}: {reason(error)} --out FILE writes another one."
        ) from error


def write_report(runs: Sequence[Path | str], out: Path | str) -> Path:
    """Write a report on one run, or one that compares several.

    What a run has not got yet is said in the report, with the command that makes it.

    Args:
        runs: run folders.
        out: the HTML file to write, whole or not at all.

    Returns:
        The path of the file.

    Raises:
        InputError: for no runs, or a file in a run folder that is truncated or foreign.
    """
    if not runs:
        raise InputError("There are no runs to report on.")
    records = [read_record(run) for run in runs]
    families = list(dict.fromkeys(record.family for record in records))
    agents = dict.fromkeys(record.agent for record in records)
    groups = [[r for r in records if r.family == family] for family in families]
    text = render(
        "report.html.jinja",
        title=f"{', '.join(families)}: {', '.join(agents)}",
        facts=_facts(records, families),
        families=[
            family_results(group, f"{family}: " if len(families) > 1 else "")
            for family, group in zip(families, groups, strict=True)
        ],
        videos=_videos(records),
        training=_training(records),
        costs=_costs(records),
        several=len(records) > 1,
        settings_apart=_settings_apart(records),
        settings=_settings(records),
        versions=", ".join(sorted({str(r.system.get("metarl", "?")) for r in records})),
    )
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(out)


def _facts(records: Sequence[Record], families: Sequence[str]) -> list[str]:
    warned = [
        f"MuJoCo warned {_count(r.last('warnings'))} times in the training of {name}"
        for name, r in zip(names(records), records, strict=True)
        if r.last("warnings")
    ]
    if len(records) == 1:
        (record,) = records
        return [
            f"seed {record.seed}",
            f"{_count(record.last('control_steps'))} control steps of training",
            f"started {str(record.system.get('started', '?'))[:10]}",
            *warned,
        ]
    facts = [f"{len(records)} runs", *warned]
    return facts + ([f"{len(families)} families"] if len(families) > 1 else [])


def _videos(records: Sequence[Record]) -> list[Video]:
    found = []
    for name, record in zip(names(records), records, strict=True):
        for path in record.videos:
            title = path.stem.replace("-", " ").replace("_", " ")
            caption = title if len(records) == 1 else f"{name}: {title}"
            found.append(Video(video_uri(path), caption))
        if not record.videos:
            reason = f": {record.no_video.rstrip('.')}." if record.no_video else "."
            text = f"{name} has no video{reason}"
            found.append(Video(missing=Missing(text, record.command("video"))))
    return found


def _training(records: Sequence[Record]) -> list[Training]:
    found = []
    for name, record in zip(names(records), records, strict=True):
        if record.metrics:
            caption = name if len(records) > 1 else ""
            curve = figure(plots.draw_training(record.metrics), caption)
            found.append(Training(curve))
        else:
            text = f"{name} has no finished iteration."
            found.append(Training(missing=Missing(text, record.command("resume"))))
    return found


_COSTS: dict[str, Callable[[Record], Any]] = {
    "control steps": lambda r: _count(r.last("control_steps")),
    "iterations": lambda r: f"{len(r.metrics):,}",
    "training time": lambda r: _duration(r.total("wall_seconds")),
    "of it sampling": lambda r: _duration(r.total("sampling_seconds")),
    "of it updating": lambda r: _duration(r.total("update_seconds")),
    "evaluation time": lambda r: _duration(
        r.evaluation.wall_seconds if r.evaluation else math.nan
    ),
    "machine": lambda r: (
        f"{r.system.get('machine', '?')}, {r.system.get('cores', '?')} cores"
    ),
    "versions": lambda r: ", ".join(
        f"{name} {r.system[name]}"
        for name in ("metarl", "python", "torch", "mujoco")
        if name in r.system
    ),
    "commit": lambda r: Cell(str(r.system.get("commit") or "unknown"), code=True),
    "command": lambda r: Cell(str(r.config.get("command") or "unknown"), code=True),
}


def _costs(records: Sequence[Record]) -> Table:
    if len(records) == 1:
        rows = [[name, value(records[0])] for name, value in _COSTS.items()]
        return Table([], rows, "text")
    rows = [
        [name, *(value(record) for value in _COSTS.values())]
        for name, record in zip(names(records), records, strict=True)
    ]
    return Table(["run", *_COSTS], rows)


def _settings(records: Sequence[Record]) -> Table:
    """Every run's settings, a row for each."""
    every = [settings(record) for record in records]
    keys = dict.fromkeys(key for one in every for key in one)
    rows = [[key, *(one.get(key, DASH) for one in every)] for key in keys]
    if len(records) == 1:
        return Table([], rows, "text")
    return Table(["", *names(records)], rows)


def _settings_apart(records: Sequence[Record]) -> Table:
    """The settings in which runs differ, a column for each."""
    rows = _settings(records).rows
    apart = [row for row in rows if len(set(row[1:])) > 1 and row[0] != "command"]
    return Table(
        ["run", *(row[0] for row in apart)],
        [
            [name, *(row[1 + i] for row in apart)]
            for i, name in enumerate(names(records))
        ],
    )


def _count(value: float) -> str:
    return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value:,.0f}"


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return DASH
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
