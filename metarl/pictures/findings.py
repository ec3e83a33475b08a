"""What evaluations show, in sentences and tables for a report."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl.evaluation.statistics import (
    Estimate,
    area_under_curve,
    interquartile_mean,
    interval,
    normalised_score,
    share_made_worse,
    time_to_threshold,
    worst_mean,
)
from metarl.pictures import page
from metarl.pictures.page import Html, tag
from metarl.pictures.results import Evaluation, curve, scores_at, splits

DASH = "\N{EN DASH}"
"""Where there is no number."""
THRESHOLD = 0.8
"""Normalised score at which a robot counts as adapted."""
FINE_PRINT = (
    "Returns are those of the deployed policy on fresh episodes: interquartile means "
    "over tasks, with 95 % bootstrap intervals in brackets. Before and after are the "
    "smallest and the largest budget; gains are per task. Robot time counts every "
    "adaptation episode, as the mean over tasks."
)
Named = tuple[str, Evaluation]
"""A run's name and its evaluation."""


def headline(agent: str, evaluations: Sequence[Evaluation]) -> Html:
    """What adaptation gained, as a sentence that claims no more than was measured.

    Args:
        agent: its name.
        evaluations: its evaluations, one per seed.
    """
    split = main_split(evaluations)
    data = curve(evaluations, split, "return")
    before, after = data.scores[..., 0], data.scores[..., -1]
    start, end, gain = interval(before), interval(after), interval(after - before)
    if math.isnan(gain.value):
        return page.join(
            [tag("b", agent), f": its return on {split} tasks is undefined."]
        )
    if not data.episodes[-1]:
        text = f" was evaluated without adaptation only. On {split} tasks it returns "
        return page.join([tag("b", agent), text, bracketed(start), "."])
    if gain.low == gain.high == 0:
        text = f" does not change its return on {split} tasks by adapting: it stays "
        return page.join([tag("b", agent), text, bracketed(start), "."])
    if gain.low > 0:
        verb, verdict = "raises", "gain"
    elif gain.high < 0:
        verb, verdict = "lowers", "loss"
    else:
        verb, verdict = "hardly changes", "difference, which may be chance,"
    spent = f"{_many(data.episodes[-1], 'episode')} ({number(data.seconds[-1])} s)"
    parts: list[object] = [
        f"With {spent} of robot time to adapt, ",
        tag("b", agent),
        f" {verb} its return on {split} tasks from {number(start.value)} to ",
        tag("b", number(end.value)),
        f": a {verdict} of ",
        bracketed(gain, sign=True),
        " per task.",
    ]
    success = curve(evaluations, split, "success").scores
    if not np.isnan(success).all():
        ends = [percent(_mean(success[..., point])) for point in (0, -1)]
        parts.append(f" Success goes from {ends[0]} to {ends[1]}.")
    return page.join(parts)


def tiles(evaluation: Evaluation) -> Html:
    """The headline's numbers, large."""
    split = main_split([evaluation])
    data = curve([evaluation], split, "return")
    before, after = data.scores[0, :, 0], data.scores[0, :, -1]
    gain, worse = interval(after - before), share_made_worse(before, after)
    tone = "good" if gain.low > 0 else "bad" if gain.high < 0 else ""
    shown = [
        (number(interval(before).value), f"return before, on {split} tasks", ""),
        (number(interval(after).value), f"return after, on {split} tasks", ""),
        (number(gain.value, sign=True), "gain per task", tone),
        (percent(worse), "of the tasks made worse", "bad" if worse > 0.25 else ""),
        (f"{number(data.seconds[-1])} s", "of robot time to adapt", ""),
    ]
    cells = (
        tag("div", tag("b", value, class_=style), tag("span", text), class_="tile")
        for value, text, style in shown
    )
    return tag("div", *cells, class_="tiles")


def summary(runs: Sequence[Named]) -> Html:
    """A row per split, and per run where there are several."""
    rows: list[Sequence[object]] = []
    for split in splits([evaluation for _, evaluation in runs]):
        if len(runs) > 1:
            rows.append([split])
        for name, evaluation in runs:
            if split not in evaluation["splits"]:
                continue
            points = evaluation["splits"][split]["points"]
            returns = scores_at(points, "return")
            success = scores_at(points, "success")
            before, after = returns[:, 0], returns[:, -1]
            ends = [percent(_mean(success[:, point])) for point in (0, -1)]
            rows.append(
                [
                    name if len(runs) > 1 else split,
                    bracketed(interval(before)),
                    bracketed(interval(after)),
                    bracketed(interval(after - before), sign=True),
                    " → ".join(ends) if not np.isnan(success).all() else DASH,
                    percent(share_made_worse(before, after)),
                    number(worst_mean(after)),
                    f"{number(_mean(points[-1]['seconds']))} s",
                ]
            )
    header = [
        "run" if len(runs) > 1 else "split",
        "return before",
        "return after",
        "gain",
        "success",
        "made worse",
        "worst 5 % after",
        "robot time",
    ]
    return page.table(header, rows)


def budgets(runs: Sequence[Named]) -> list[Html]:
    """A table for each split, with a row for each budget of each run."""
    tables = []
    for split in splits([evaluation for _, evaluation in runs]):
        parts = [(name, e["splits"].get(split)) for name, e in runs]
        present = [(name, part) for name, part in parts if part is not None]
        measures = dict.fromkeys(
            measure for _, part in present for measure in part["points"][0]["metrics"]
        )
        rows: list[Sequence[object]] = []
        for name, part in present:
            rows += [[name]] if len(runs) > 1 else []
            rows += _budget_rows(part["points"], list(measures))
        header = ["episodes", "robot time", "return", "gain", "success", "made worse"]
        header += ["online return", "diverged"]
        header += [measure.replace("_", " ") for measure in measures]
        count = tag("span", f" {_many(len(present[0][1]['tasks']), 'task')}")
        title = page.join([split, count])
        tables.append(page.details(title, page.table(header, rows)))
    return tables


def _budget_rows(
    points: Sequence[Mapping[str, Any]], measures: Sequence[str]
) -> list[list[object]]:
    keys = ("return", "success", "online_return", *measures)
    returns, success, online, *others = (scores_at(points, key) for key in keys)
    rows: list[list[object]] = []
    for i, point in enumerate(points):
        change = returns[:, i] - returns[:, 0]
        worse = share_made_worse(returns[:, 0], returns[:, i])
        rows.append(
            [
                f"{point['episodes']:g}",
                f"{number(_mean(point['seconds']))} s",
                bracketed(interval(returns[:, i])),
                bracketed(interval(change), sign=True) if i else "",
                bracketed(interval(success[:, i], "mean"), show=percent),
                percent(worse) if i else "",
                number(float(interquartile_mean(online[:, i]))),
                point.get("diverged", 0),
                *(bracketed(interval(values[:, i])) for values in others),
            ]
        )
    return rows


def normalised(runs: Sequence[Named]) -> Html | None:
    """A row per run and split: the score between "randomized" (0) and "oracle" (1).

    Only tasks on which the oracle beats the randomised policy count. None where either
    baseline is not among the runs, or no split has the same tasks for all three.
    """
    rows: list[Sequence[object]] = []
    for split in splits([evaluation for _, evaluation in runs]):
        group: list[Sequence[object]] = []
        for name, evaluation in runs:
            part = evaluation["splits"].get(split)
            if part is None or _is(evaluation, "randomized", "oracle"):
                continue
            base = baseline(runs, "randomized", split, evaluation)
            best = baseline(runs, "oracle", split, evaluation)
            if base is not None and best is not None:
                scores = normalised_score(
                    scores_at(part["points"], "return").T, base, best
                )
                group.append([name, *_score_cells(scores.T, part["points"])])
        if group:
            rows += [[split], *group]
    header = [
        "run",
        "score before",
        "score after",
        "area under the curve",
        f"robot time to {THRESHOLD:g}",
        f"share that reaches {THRESHOLD:g}",
        "worst 5 % after",
        "tasks that count",
    ]
    return page.table(header, rows) if rows else None


def baseline(
    runs: Sequence[Named], agent: str, split: str, judged: Evaluation
) -> NDArray[np.float64] | None:
    """Returns of a baseline without adaptation, (tasks,), the mean over its seeds.

    None where it was not run on the very tasks, and as long, as in ``judged``.
    """

    def timing(evaluation: Evaluation) -> list[Any]:
        return [
            evaluation.get("protocol", {}).get(k) for k in ("horizon", "control_period")
        ]

    tasks = judged["splits"][split]["tasks"]
    found = [
        scores_at(evaluation["splits"][split]["points"], "return")[:, 0]
        for _, evaluation in runs
        if _is(evaluation, agent)
        and split in evaluation["splits"]
        and evaluation["splits"][split]["tasks"] == tasks
        and timing(evaluation) == timing(judged)
    ]
    return np.mean(found, axis=0) if found else None


def main_split(evaluations: Sequence[Evaluation]) -> str:
    """The split for the headline: the furthest shell that was evaluated."""
    names = splits(evaluations)
    return next((name for name in ("far", "near") if name in names), names[0])


def number(value: float, sign: bool = False) -> str:
    """Three significant digits, with a true minus sign; a dash for NaN."""
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞"
    size = abs(value)
    digits = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 else 3
    text = f"{value:{'+' if sign else ''},.{digits}f}"
    if size < 0.00095:
        text = f"{value:.2g}" if value else "0"
    return text.replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """A share as a percentage."""
    return DASH if math.isnan(share) else f"{100 * share:.0f} %"


def bracketed(estimate: Estimate, sign: bool = False, show: Any = number) -> Html:
    """A value with its interval."""
    if math.isnan(estimate.value):
        return Html(DASH)
    marks = {"sign": True} if sign else {}
    low, high = show(estimate.low, **marks), show(estimate.high, **marks)
    interval_shown = tag("small", f"[{low}, {high}]")
    return page.join([show(estimate.value, **marks), interval_shown], " ")


def _score_cells(
    scores: NDArray[np.float64], points: Sequence[Mapping[str, Any]]
) -> list[object]:
    """Cells of a row of `normalised` from scores, (tasks, points)."""
    counting = ~np.isnan(scores[:, 0])
    total, scores = len(scores), scores[counting]
    if not counting.any():
        return [*[DASH] * 6, f"0 of {total}"]
    episodes = [point["episodes"] for point in points]
    spent = np.array([point["seconds"] for point in points], float).T[counting]
    times = time_to_threshold(spent, scores, THRESHOLD)
    middle = float(np.median(times))
    areas = np.full(len(scores), np.nan)
    if len(episodes) > 1:
        areas = area_under_curve(episodes, scores)
    return [
        bracketed(interval(scores[:, 0])),
        bracketed(interval(scores[:, -1])),
        bracketed(interval(areas)),
        f"{number(middle)} s" if math.isfinite(middle) else "not reached",
        percent(float(np.isfinite(times).mean())),
        number(worst_mean(scores[:, -1])),
        f"{counting.sum()} of {total}",
    ]


def _is(evaluation: Evaluation, *agents: str) -> bool:
    return evaluation["run"]["agent"] in agents


def _mean(values: Any) -> float:
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else math.nan


def _many(count: float, thing: str) -> str:
    return f"{count:g} {thing}{'' if count == 1 else 's'}"
