"""The leaderboard's figure: scores against robot time."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metarl.evaluation import statistics
from metarl.studies.cells import Column, Columns, scores

SPLITS = ("interpolation", "near", "far", "structure", "drift")
"""What a cell is evaluated on; families without one of them leave it out."""
COLOURS = {
    "gradient": "#4480C0",
    "fast-weights": "#44AACC",
    "memory": "#2A9648",
    "history": "#D0603A",
    "metric": "#B0509A",
    "inference": "#6A5ACD",
    "evolutionary": "#CCA133",
    "baseline": "#8A8F98",
}
STYLES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKERS = (".", "x", "^", "s")


def look(kind: str, place: int) -> dict[str, Any]:
    """How to draw the agent at a place of its class; all places differ."""
    markers, style = divmod(place, len(STYLES))
    return {
        "color": COLOURS.get(kind, "#5f6874"),
        "linestyle": STYLES[style],
        "marker": MARKERS[markers % len(MARKERS)],
        "lw": 1.6,
    }


def make_figure(every: Columns, agents: dict[str, list[str]]) -> Figure:
    """S against robot time, a row for each column and a panel for each split.

    Args:
        every: the cells; columns without any are left out.
        agents: by class.
    """
    shown = {name: column for name, column in every.items() if column}
    figure = Figure(figsize=(4.2 * len(SPLITS), 3.4 * len(shown) + 1), dpi=100)
    grid = figure.subplots(len(shown), len(SPLITS), squeeze=False)
    handles: dict[str, Any] = {}
    for panels, (name, column) in zip(grid, shown.items(), strict=True):
        known = {s for cells in column.values() for cell in cells for s in cell.splits}
        for axes, split in zip(panels, SPLITS, strict=True):
            if split not in known:
                axes.set_axis_off()  # the family has no such split
                continue
            _panel(axes, column, split, agents, handles)
            axes.set_title(f"{name}, {split}", fontsize=10)
        panels[0].set_ylabel("score S")
    for axes in grid[-1]:
        axes.set_xlabel("robot time, s")
    blank = [axes for axes in grid.flat if not axes.axison]
    lines = list(handles.values()), list(handles)
    if blank:
        blank[0].legend(*lines, loc="center", ncols=2, frameon=False)
    else:
        figure.legend(*lines, loc="center right", frameon=False)
    figure.tight_layout(rect=(0, 0, 1 if blank else 0.9, 1))
    return figure


def _panel(
    axes: Axes,
    column: Column,
    split: str,
    agents: dict[str, list[str]],
    handles: dict[str, Any],
) -> None:
    """One split of one column; adds each agent's line to ``handles``."""
    times: list[float] = []
    for kind, group in agents.items():
        for place, agent in enumerate(group):
            found = scores(column, agent, split)
            if found is None or np.isnan(found.score).all():
                continue
            centre = statistics.interquartile_mean(
                found.score.reshape(-1, len(found.episodes)), 0
            )
            seconds = found.seconds.mean((0, 1))
            times.extend(seconds)
            (line,) = axes.plot(seconds, centre, **look(kind, place))
            handles.setdefault(agent, line)
    if not times:
        place_at: Any = {"transform": axes.transAxes, "ha": "center"}
        placed = any(scores(column, agent, split) for agent in column)
        said = "nothing to gain" if placed else "its baselines were not run"
        axes.text(0.5, 0.3, said, **place_at)
    # Linear up to about the end of the first episode, logarithmic from there.
    first = np.log10(min((x for x in times if x > 0), default=1.0))
    axes.set_xscale("symlog", linthresh=10 ** round(first), linscale=0.5)
    axes.set_xlim(left=0)
    axes.set_ylim(-1.0, 1.3)
    for level in (0, 1):
        axes.axhline(level, color="#5f6874", lw=0.8, zorder=0)
    axes.grid(alpha=0.25)
