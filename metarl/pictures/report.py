"""A report on one or more runs: one HTML file that needs nothing else."""

import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metarl.errors import InputError
from metarl.files import replacing
from metarl.pictures import findings, page, plots, sensitivity
from metarl.pictures.page import Html, tag
from metarl.pictures.results import Record, by_agent, read_record
from metarl.registry import label


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
    parts: list[object] = [_header(records, families)]
    for family in families:
        group = [record for record in records if record.family == family]
        parts += _results(group, f"{family}: " if len(families) > 1 else "")
    parts += [_videos(records), _training(records), _cost(records), _configs(records)]
    versions = {str(record.system.get("metarl", "?")) for record in records}
    parts.append(tag("footer", f"metarl {', '.join(sorted(versions))}"))
    with replacing(out) as temporary:
        text = page.page(_title(records, families), *parts)
        temporary.write_text(text, encoding="utf-8")
    return Path(out)


def _title(records: Sequence[Record], families: Sequence[str]) -> str:
    agents = dict.fromkeys(record.agent for record in records)
    return f"{', '.join(families)}: {', '.join(agents)}"


def _header(records: Sequence[Record], families: Sequence[str]) -> Html:
    if len(records) == 1:
        (record,) = records
        facts = [
            f"seed {record.config.get('seed', '?')}",
            f"{_count(_last(record, 'control_steps'))} control steps of training",
            f"started {str(record.system.get('started', '?'))[:10]}",
        ]
    else:
        facts = [f"{len(records)} runs"]
        facts += [f"{len(families)} families"] if len(families) > 1 else []
    return tag(
        "header",
        tag("div", "metarl report", class_="over"),
        tag("h1", _title(records, families)),
        tag("div", " · ".join(facts), class_="sub"),
    )


def _results(records: Sequence[Record], prefix: str) -> Iterator[Html]:
    """How fast the runs of one family adapt."""
    names, variants = _names(records), _variants(records)
    undone = [
        page.missing(f"{name} has not been evaluated.", _command("evaluate", record))
        for name, record in zip(names, records, strict=True)
        if record.evaluation is None
    ]
    done: list[findings.Named] = []
    for name, agent, record in zip(names, variants, records, strict=True):
        if record.evaluation is not None:
            run = {**record.evaluation["run"], "name": agent}
            done.append((name, {**record.evaluation, "run": run}))
    undone += _stale(names, records)
    if not done:
        yield page.section(f"{prefix}How fast it adapts", *undone)
        return
    evaluations = [evaluation for _, evaluation in done]
    agents = by_agent(evaluations)
    undone += _left_out(done)
    sentences = [findings.headline(agent, group) for agent, group in agents.items()]
    if len(done) == 1:
        yield tag("p", sentences[0], class_="lead")
        yield findings.tiles(evaluations[0])
    else:
        yield tag("ul", *(tag("li", sentence) for sentence in sentences))
    yield page.section(
        f"{prefix}How fast it adapts",
        page.figure(
            Html(plots.svg(plots.draw_adaptation(evaluations))),
            "Return of the deployed policy against the adaptation budget: "
            "interquartile mean over tasks and seeds, with its 95 % interval.",
            wide=len(agents) > 1,
        ),
        findings.summary(done),
        tag("p", findings.FINE_PRINT, class_="fine"),
        *undone,
    )
    if len(records) > 1:
        yield _normalised(done, records[0], prefix)
    yield page.section(f"{prefix}Every budget", *findings.budgets(done))
    yield page.section(
        f"{prefix}Away from the training tasks",
        page.figure(
            Html(plots.svg(plots.draw_distance(evaluations))),
            "A dot is a task, a line the means of bins with as many tasks each. "
            "Distance is Euclidean, in widths of the train ranges; 0 is inside them.",
            wide=len(agents) > 1,
        ),
    )
    tables = [
        (agent, sensitivity.sensitivity(group)) for agent, group in agents.items()
    ]
    meaning = (
        "Tasks of all splits but switch, in groups by one parameter. What it explains "
        "is its share of the variance between tasks, beyond chance."
    )
    yield page.section(
        f"{prefix}What decides",
        *(
            page.details(agent, table, opened=len(tables) == 1)
            for agent, table in tables
        ),
        tag("p", meaning, class_="fine"),
    )
    yield page.section(
        f"{prefix}The worst tasks",
        *(
            part
            for name, record in zip(names, records, strict=True)
            if record.evaluation is not None
            for part in (
                tag("h3", name) if len(done) > 1 else "",
                sensitivity.worst(record.folder, record.evaluation, record.videos),
            )
        ),
    )


def _stale(names: Sequence[str], records: Sequence[Record]) -> Iterator[Html]:
    """The runs that were trained further since they were judged."""
    for name, record in zip(names, records, strict=True):
        judged = ((record.evaluation or {}).get("run") or {}).get("control_steps")
        trained = _last(record, "control_steps")
        if judged and trained and judged != trained:
            text = (
                f"{name} was judged after {judged:,} control steps of training; now "
                f"it has {trained:,.0f}."
            )
            yield page.missing(text, _command("evaluate", record))


def _left_out(done: Sequence[findings.Named]) -> Iterator[Html]:
    """The runs that cannot be averaged with the first one of their agent."""
    firsts = {e["run"]["name"]: e["protocol"] for _, e in reversed(done)}
    for name, evaluation in done:
        asked, own = firsts[evaluation["run"]["name"]], evaluation["protocol"]
        if any(asked.get(k) != own.get(k) for k in ("tasks", "budgets")):
            text = (
                f"{name} is not in headline and plot: it was judged on other "
                "numbers of tasks or episodes than the first run of its agent."
            )
            options = f"--tasks {asked.get('tasks')}"
            if asked.get("budgets"):
                options += f" --episodes {max(asked['budgets'])}"
            yield page.missing(text, f"metarl evaluate RUN {options}")


def _normalised(done: Sequence[findings.Named], record: Record, prefix: str) -> Html:
    title = f"{prefix}Between the randomised policy and the oracle"
    scores = findings.normalised(done)
    if scores is None:
        text = "The score needs agents randomized and oracle, judged on the same tasks."
        family = shlex.quote(str(record.config["family"]))
        run = {label(str(evaluation["run"]["agent"])) for _, evaluation in done}
        missing = [name for name in ("randomized", "oracle") if name not in run]
        command = (
            f"metarl train {family} {missing[0]}" if missing else "metarl evaluate RUN"
        )
        return page.section(title, page.missing(text, command))
    meaning = (
        "0 is the domain-randomised policy without adaptation, 1 the policy that sees "
        "the task. The area is the mean score over the logarithm of the budget. Tasks "
        "on which the oracle is no better than the randomised policy do not count."
    )
    return page.section(title, tag("p", meaning, class_="fine"), scores)


def _videos(records: Sequence[Record]) -> Html:
    parts: list[object] = []
    for name, record in zip(_names(records), records, strict=True):
        for path in record.videos:
            title = path.stem.replace("-", " ").replace("_", " ")
            caption = title if len(records) == 1 else f"{name}: {title}"
            parts.append(page.figure(page.video(path), caption, wide=True))
        if not record.videos:
            reason = f": {record.no_video.rstrip('.')}." if record.no_video else "."
            text = f"{name} has no video{reason}"
            parts.append(page.missing(text, _command("video", record)))
    return page.section("Videos", *parts)


def _training(records: Sequence[Record]) -> Html:
    parts: list[object] = []
    for name, record in zip(_names(records), records, strict=True):
        if not record.metrics:
            text = f"{name} has no finished iteration."
            parts.append(page.missing(text, _command("resume", record)))
            continue
        curve = Html(plots.svg(plots.draw_training(record.metrics)))
        parts.append(page.figure(curve, name if len(records) > 1 else ""))
    fine = "Thin lines are single iterations, thick ones moving means."
    if len(records) > 2:
        parts = [page.details("A curve per run", *parts)]
    return page.section("Training", *parts, tag("p", fine, class_="fine"))


_COSTS: dict[str, Callable[[Record], object]] = {
    "control steps": lambda r: _count(_last(r, "control_steps")),
    "iterations": lambda r: f"{len(r.metrics):,}",
    "training time": lambda r: _duration(_total(r, "wall_seconds")),
    "of it sampling": lambda r: _duration(_total(r, "sampling_seconds")),
    "of it updating": lambda r: _duration(_total(r, "update_seconds")),
    "evaluation time": lambda r: _duration(_evaluation_seconds(r)),
    "machine": lambda r: (
        f"{r.system.get('machine', '?')}, {r.system.get('cores', '?')} cores"
    ),
    "versions": lambda r: ", ".join(
        f"{name} {r.system[name]}"
        for name in ("metarl", "python", "torch", "mujoco")
        if name in r.system
    ),
    "commit": lambda r: tag("code", r.system.get("commit") or "unknown"),
    "command": lambda r: tag("code", r.config.get("command") or "unknown"),
}


def _cost(records: Sequence[Record]) -> Html:
    title, names = "Cost and origin", _names(records)
    if len(records) == 1:
        rows = [[name, value(records[0])] for name, value in _COSTS.items()]
        return page.section(title, page.table([], rows, "text"))
    rows = [
        [name, *(value(record) for value in _COSTS.values())]
        for name, record in zip(names, records, strict=True)
    ]
    return page.section(title, page.table(["run", *_COSTS], rows))


def _configs(records: Sequence[Record]) -> Html:
    """Each run's settings; where there are several, first what sets them apart."""
    flat, names = [dict(_flat(record.config)) for record in records], _names(records)
    keys = list(dict.fromkeys(key for config in flat for key in config))
    every = [
        [key, *(config.get(key, findings.DASH) for config in flat)] for key in keys
    ]
    if len(records) == 1:
        table = page.table([], every, "text")
        return page.section("Settings", page.details("Show all settings", table))
    apart = [row for row in every if len(set(row[1:])) > 1 and row[0] != "command"]
    header = ["run", *(row[0] for row in apart)]
    rows = [[name, *(row[1 + i] for row in apart)] for i, name in enumerate(names)]
    return page.section(
        "Settings",
        page.table(header, rows) if apart else tag("p", "All settings are the same."),
        page.details("Show all settings", page.table(["", *names], every)),
    )


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield prefix + key, value
        else:
            yield prefix + key, json.dumps(value)


def _names(records: Sequence[Record]) -> list[str]:
    """A name for each run; its folder is part of it where it is needed."""
    names = [
        f"{variant}, seed {record.config.get('seed', '?')}"
        for variant, record in zip(_variants(records), records, strict=True)
    ]
    if len({record.family for record in records}) > 1:
        names = [f"{r.family} {n}" for r, n in zip(records, names, strict=True)]
    return [
        f"{name} ({record.folder.name})" if names.count(name) > 1 else name
        for record, name in zip(records, names, strict=True)
    ]


def _variants(records: Sequence[Record]) -> list[str]:
    """Agents' names; runs that differ in more than the seed are told apart."""
    flat = [dict(_flat(record.config)) for record in records]
    names = []
    for record, own in zip(records, flat, strict=True):
        alike = [
            other
            for peer, other in zip(records, flat, strict=True)
            if (peer.family, peer.agent) == (record.family, record.agent)
        ]
        apart = [
            f"{key.rpartition('.')[2]}={own.get(key, 'default')}"
            for key in dict.fromkeys(key for other in alike for key in other)
            if key not in ("seed", "command")
            and len({other.get(key) for other in alike}) > 1
        ]
        names.append(record.agent + (f" ({', '.join(apart)})" if apart else ""))
    return names


def _command(verb: str, record: Record) -> str:
    return f"metarl {verb} {shlex.quote(str(record.folder))}"


def _last(record: Record, key: str) -> float:
    return float(record.metrics[-1].get(key) or 0) if record.metrics else 0.0


def _total(record: Record, key: str) -> float:
    values = [row[key] for row in record.metrics if row.get(key) is not None]
    return math.fsum(values) if values else math.nan


def _evaluation_seconds(record: Record) -> float:
    cost = (record.evaluation or {}).get("cost", {})
    return float(cost.get("wall_seconds", math.nan))


def _count(value: float) -> str:
    return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value:,.0f}"


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return findings.DASH
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
