"""What decides how well a robot does: parameter by parameter, and the worst tasks."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarl.pictures import page
from metarl.pictures.findings import number, percent
from metarl.pictures.page import Html, tag
from metarl.pictures.results import Evaluation, film_name, scores_at

GROUPS = 5
"""Groups of about as many tasks each, by the value of a parameter."""
WORST = 5
"""Tasks that are shown."""


class Effect(NamedTuple):
    """How a measure depends on one parameter."""

    name: str
    """Of the parameter; a vector's components are numbered from 1."""
    share: float
    """Share of the variance between tasks that the groups explain beyond chance."""
    groups: list[tuple[str, float]]
    """Values of each group, in words, and the mean over its tasks."""


def effects(evaluations: Sequence[Evaluation]) -> list[Effect]:
    """The effect of each parameter on the return after adaptation, largest first.

    Tasks of all splits but `switch` are taken together and put into groups by one
    parameter at a time. Its share is epsilon squared (Kelley, 1935): the correlation
    ratio, less what as many random groups would explain.

    Args:
        evaluations: of one agent, one for each seed.
    """
    columns: dict[str, list[Any]] = {}
    after: list[float] = []
    for evaluation in evaluations:
        for split, part in evaluation["splits"].items():
            if split == "switch":  # its tasks tell the values of the first half alone
                continue
            after += scores_at(part["points"], "return")[:, -1].tolist()
            for task in part["tasks"]:
                for name, value in _components(task["values"]):
                    columns.setdefault(name, []).append(value)
    returns = np.array(after)
    known = ~np.isnan(returns)
    found = []
    for name, values in columns.items():
        if len(values) == len(returns) and len(set(values)) > 1:
            kept = [v for v, k in zip(values, known, strict=True) if k]
            found.append(_effect(name, kept, returns[known]))
    return sorted(found, key=lambda effect: -effect.share)


def sensitivity(evaluations: Sequence[Evaluation]) -> Html:
    """A row for each parameter: what it explains, and returns from low to high."""
    rows: list[Sequence[object]] = []
    for effect in effects(evaluations):
        cells = (
            page.join([number(mean), tag("small", words)], " ")
            for words, mean in effect.groups
        )
        rows.append([effect.name, percent(effect.share), page.join(cells, " · ")])
    header = ["parameter", "explains", "return after, by its value"]
    return page.table(header, rows, "text")


def worst(folder: Path, evaluation: Evaluation, films: Sequence[Path]) -> Html:
    """The tasks with the lowest return after adaptation, with films or how to film.

    Args:
        folder: of the run.
        evaluation: of the run.
        films: videos of the run.
    """
    ranked, seed = [], evaluation["protocol"].get("seed", 0)
    for split, part in evaluation["splits"].items():
        returns = scores_at(part["points"], "return")
        for index, (before, after) in enumerate(returns[:, [0, -1]]):
            if not np.isnan(after):
                ranked.append((after, before, split, index))
    parts: list[object] = []
    for after, before, split, index in sorted(ranked)[:WORST]:
        task = evaluation["splits"][split]["tasks"][index]
        values = ", ".join(f"{k} {_words(v)}" for k, v in task["values"].items())
        known = [film for film in films if film.stem == film_name(split, index, seed)]
        command = f"metarl video {shlex.quote(str(folder))} --split {split}"
        command += f" --task {index}" + (f" --seed {seed}" if seed else "")
        if known:
            shown = page.figure(page.video(known[0]), wide=True)
        else:
            shown = tag("p", tag("code", command), class_="fine")
        change = f": return {number(before)} → {number(after)}"
        title = page.join([tag("b", f"{split} {index}"), change])
        parts.append(page.details(title, tag("p", values, class_="fine"), shown))
    return page.join(parts)


def _components(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, list | tuple):
            for place, item in enumerate(value, 1):
                yield f"{name} {place}", item
        else:
            yield name, value


def _effect(name: str, values: Sequence[Any], returns: NDArray[np.float64]) -> Effect:
    groups = []
    for words, members in _grouped(values):
        groups.append((words, returns[members]))
    total = float(((returns - returns.mean()) ** 2).sum())
    within = float(sum(((group - group.mean()) ** 2).sum() for _, group in groups))
    free = len(returns) - len(groups)
    share = 0.0
    if total > 0 and free > 0:
        share = max(0.0, 1 - within / total * (len(returns) - 1) / free)
    return Effect(name, share, [(w, float(group.mean())) for w, group in groups])


def _grouped(values: Sequence[Any]) -> list[tuple[str, NDArray[np.int64]]]:
    """Groups of indices: by a choice, or from the smallest to the largest number."""
    distinct = list(dict.fromkeys(values))
    numbers = all(isinstance(v, int | float) for v in distinct)
    if not numbers or len(distinct) <= GROUPS:
        ordered = sorted(distinct) if numbers else sorted(distinct, key=str)
        return [
            (_words(value), np.array([i for i, v in enumerate(values) if v == value]))
            for value in ordered
        ]
    column = np.array(values, float)
    # Tasks of one value share its mean rank, and so a group.
    below, alike = (op(column, column[:, None]).sum(1) for op in (np.less, np.equal))
    group = ((below + (alike - 1) / 2) * GROUPS / len(column)).astype(int)
    found = []
    for place in np.unique(group):
        members = np.flatnonzero(group == place)
        low, high = column[members].min(), column[members].max()
        found.append((f"{_words(low)} to {_words(high)}", members))
    return found


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_words, value))})"
    if isinstance(value, str):
        return value
    # Three digits, but no exponent where whole numbers say it: a density of 1134.
    form = ".0f" if 100 <= abs(value) < 1e6 else ".3g"
    return f"{value:{form}}".replace("-", "\N{MINUS SIGN}")
