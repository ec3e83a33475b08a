"""Plots of adaptation and training: PNG files, or SVG to place in a page.

Each plot is a `Figure` that a ``draw_...`` function makes; `adaptation_curve`,
`distance_plot` and `training_curve` save it. No state of pyplot is touched.
"""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FixedFormatter, FixedLocator, NullLocator
from numpy.typing import NDArray

from metarl.evaluation.results import Evaluation
from metarl.evaluation.statistics import interval
from metarl.reports.curves import by_agent, curve, split_names
from metarl.runs.files import replacing

COLOURS = ("#4480C0", "#EE6677", "#2A9648", "#CCA133", "#B0509A", "#44AACC", "#8A8F98")
"""Distinct for the colour-blind (after Paul Tol), visible on white and on black."""
MARKERS = "osD^vPX"
INK = "#5f6874"
"""Text and axes; `svg` replaces it by the colour of the page's text."""

_RULES: Any = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "text.parse_math": False,  # a $ in a name is a $
    "svg.fonttype": "none",  # text stays text: sharp, small and in the page's font
    "svg.hashsalt": "metarl",  # the same bits for the same plot
}
_NAMES = {"return": "return", "success": "success", "online_return": "online return"}


def adaptation_curve(
    evaluations: Sequence[Evaluation], path: Path | str, measure: str = "return"
) -> Path:
    """Plot a measure of the deployed policy against the adaptation budget.

    The line is the interquartile mean, the band its 95 % interval over seeds and tasks.
    One agent gets a line per split; several get a panel per split and a line each.
    Evaluations of one agent under several seeds are taken together.

    Args:
        evaluations: at least one.
        path: the PNG file to write.
        measure: "return", "success", "online_return" or the name of a metric.

    Returns:
        The path.
    """
    return save(draw_adaptation(evaluations, measure), path)


def distance_plot(evaluations: Sequence[Evaluation], path: Path | str) -> Path:
    """Plot each task's return, before and after, against distance from training.

    Dots are tasks, lines the means of bins with about as many tasks each. Before is no
    adaptation, after is the largest budget. Several agents get a panel each.

    Args:
        evaluations: at least one.
        path: the PNG file to write.

    Returns:
        The path.
    """
    return save(draw_distance(evaluations), path)


def training_curve(metrics_rows: Sequence[Mapping[str, Any]], path: Path | str) -> Path:
    """Plot the return in training against control steps.

    Args:
        metrics_rows: the rows of metrics.jsonl, with "return_before" and
            "return_after", or "return" for an agent that does not adapt.
        path: the PNG file to write.

    Returns:
        The path.
    """
    return save(draw_training(metrics_rows), path)


def draw_adaptation(
    evaluations: Sequence[Evaluation], measure: str = "return"
) -> Figure:
    """The figure of `adaptation_curve`."""
    agents = by_agent(evaluations)
    names = split_names(evaluations)
    if len(agents) == 1:
        lines = [[(name, evaluations, name) for name in names]]
        titles = [""]
    else:
        lines = [[(name, agents[name], split) for name in agents] for split in names]
        titles = names
    figure, panels = _panels(len(lines), top_axis=True)
    for axes, title, panel in zip(panels, titles, lines, strict=True):
        budgets: dict[float, float] = {}
        for index, (label, group, split) in enumerate(panel):
            if not any(split in evaluation.splits for evaluation in group):
                continue
            data = curve(group, split, measure)
            budgets |= dict(zip(data.episodes, data.seconds, strict=True))
            known = ~np.isnan(data.scores).all((0, 1))
            if not known.any():
                continue
            bounds = np.array([interval(s) for s in np.moveaxis(data.scores, 2, 0)])
            colour = _colour(index)
            x = np.log1p(data.episodes)
            axes.fill_between(
                x, bounds[:, 1], bounds[:, 2], color=colour, alpha=0.16, lw=0
            )
            marker = MARKERS[index % len(MARKERS)]
            axes.plot(x, bounds[:, 0], color=colour, marker=marker, ms=5, label=label)
        _budget_axes(axes, budgets, title)
        axes.set_ylabel(_NAMES.get(measure, measure.replace("_", " ")))
    _legend(figure, panels)
    return figure


def draw_distance(evaluations: Sequence[Evaluation]) -> Figure:
    """The figure of `distance_plot`."""
    agents = by_agent(evaluations)
    figure, panels = _panels(len(agents))
    for axes, (name, group) in zip(panels, agents.items(), strict=True):
        parts = [part for e in group for part in e.splits.values()]
        distance = np.concatenate([np.array(part.distance, float) for part in parts])
        returns = [part.scores("return") for part in parts]
        for index, label, point, face in (
            (1, "before adaptation", 0, "none"),
            (0, "after the largest budget", -1, None),
        ):
            after = np.concatenate([table[:, point] for table in returns])
            colour = _colour(index)
            axes.scatter(
                distance,
                after,
                s=14,
                facecolors=face or colour,
                edgecolors=colour,
                alpha=0.45,
                linewidths=0.9,
            )
            x, y = binned(distance, after)
            axes.plot(x, y, color=colour, marker=MARKERS[index], ms=6, label=label)
        axes.set_xlabel("distance from the train ranges [train widths]")
        axes.set_ylabel("return")
        axes.set_title(name if len(agents) > 1 else "", color=INK, fontsize=11)
    _legend(figure, panels)
    return figure


def draw_training(metrics_rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The figure of `training_curve`."""
    figure, (axes,) = _panels(1)
    steps = np.array([row["control_steps"] for row in metrics_rows], float)
    for index, key, label in (
        (1, "return_before", "before adaptation"),
        (0, "return_after", "after adaptation"),
        (0, "return", "return"),
    ):
        values = np.array([row.get(key) for row in metrics_rows], float)
        if np.isnan(values).all():
            continue
        axes.plot(steps, values, color=_colour(index), lw=0.8, alpha=0.35)
        axes.plot(steps, smoothed(values), color=_colour(index), lw=2, label=label)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("control steps in training")
    axes.set_ylabel("return")
    _legend(figure, [axes])
    return figure


def binned(
    x: NDArray[np.float64], y: NDArray[np.float64], bins: int = 6
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of x and y in bins of about equal count; x = 0 is a bin of its own."""
    known = ~(np.isnan(x) | np.isnan(y))
    order = np.argsort(x[known], kind="stable")
    x, y = x[known][order], y[known][order]
    inside = int((x == 0).sum())
    outside = np.array_split(np.arange(inside, len(x)), bins)
    groups = [group for group in (np.arange(inside), *outside) if len(group)]
    return (
        np.array([x[group].mean() for group in groups]),
        np.array([y[group].mean() for group in groups]),
    )


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred moving mean over a twentieth of the values, leaving out NaNs."""
    half = max(1, len(values) // 40)
    known = ~np.isnan(values)
    total = np.cumsum(np.concatenate([[0.0], np.where(known, values, 0.0)]))
    count = np.cumsum(np.concatenate([[0], known]))
    here = np.arange(len(values))
    low, high = np.maximum(here - half, 0), np.minimum(here + half + 1, len(values))
    within = count[high] - count[low]
    mean = (total[high] - total[low]) / np.maximum(within, 1)
    return np.where(within > 0, mean, np.nan)


def save(figure: Figure, path: Path | str) -> Path:
    """Write a figure as a PNG file on white, whole or not at all."""
    with matplotlib.rc_context(_RULES), replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=160, facecolor="white")
    return Path(path)


def svg(figure: Figure) -> str:
    """A figure as an <svg> element for a page, light or dark.

    It has no background, scales to its container, and its text and axes take the
    colour of the text around it.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(_RULES):
        metadata = {"Date": None, "Creator": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    # Names of groups would clash with those of the page's other plots.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    # These rules would hold for the whole page; they move into the element.
    rules = "stroke-linejoin: round; stroke-linecap: butt"
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, flags=re.S)
    text = text.replace("<svg", f'<svg style="{rules}"', 1)
    text = re.sub(r"font-family: 'DejaVu Sans'[^;\"]*", "font-family: inherit", text)
    text = re.sub(r"font: ([^;\"]*?)'DejaVu Sans'", r"font: \1inherit", text)
    return re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)


def _panels(count: int, top_axis: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with panels in rows of two, on one scale."""
    columns = min(count, 2)
    rows = -(-count // columns)
    size = (5.6 if columns == 1 else 9.2, (3.7 if top_axis else 3.4) * rows + 0.2)
    with matplotlib.rc_context(_RULES):
        figure = Figure(figsize=size, layout="constrained")
        panels: list[Axes] = []
        for place in range(1, count + 1):
            first = panels[0] if panels else None
            panels.append(figure.add_subplot(rows, columns, place, sharey=first))
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK)
        axes.tick_params(colors=INK, which="both")
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        axes.grid(axis="y", color=INK, alpha=0.18, lw=0.7)
    return figure, panels


def _budget_axes(axes: Axes, budgets: Mapping[float, float], title: str) -> None:
    """Episodes below and the same budgets in simulated seconds above."""
    episodes = sorted(budgets)
    places = np.log1p(episodes)
    above = axes.secondary_xaxis("top")
    for axis, labels in (
        (axes.xaxis, [f"{e:g}" for e in episodes]),
        (above.xaxis, [_short(budgets[e]) for e in episodes]),
    ):
        axis.set_major_locator(FixedLocator(list(places)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FixedFormatter(labels))
    above.tick_params(colors=INK, labelsize=8.5)
    above.spines["top"].set_visible(False)
    above.set_xlabel("simulated seconds of robot time", color=INK, fontsize=8.5)
    axes.set_xlabel("adaptation budget [episodes]")
    axes.set_title(title, color=INK, fontsize=11, fontweight="bold")


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend for all panels, below them."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        place: Any = {"ha": "center", "va": "center", "transform": panels[0].transAxes}
        panels[0].text(0.5, 0.5, "nothing was measured", color=INK, **place)
        return
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside lower center",
        ncols=min(len(entries), 4),
        frameon=False,
        labelcolor=INK,
    )


def _short(seconds: float) -> str:
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]
