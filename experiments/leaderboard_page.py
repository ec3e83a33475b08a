"""The leaderboard's page: from returns for each task to scores, table and figure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from metarl.evaluation import statistics
from metarl.evaluation.protocol import BUDGETS
from metarl.files import read_json, replacing
from metarl.pictures.plots import save

CLASSES = {
    "gradient": (
        "maml",
        "fomaml",
        "meta-sgd",
        "promp",
        "reptile",
        "lstm-optimizer",
    ),
    "memory": ("rl2", "mann", "metanet"),
    "metric": ("siamese", "matching", "relation", "prototypical"),
    "evolution": ("es-maml", "hill-climb"),
    "baseline": ("randomized", "finetune", "finetune-climb", "scratch"),
}
COLOURS = {
    "gradient": "#4480C0",
    "memory": "#2A9648",
    "metric": "#B0509A",
    "evolution": "#CCA133",
    "baseline": "#8A8F98",
}
STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
SPLITS = ("interpolation", "near", "far", "structure")
THRESHOLD = 0.8
REFERENCES = ("randomized", "oracle")
"""Run first: they place the others between 0 and 1."""
TUNED = "-tuned"
"""Behind a family's name: its column with the settings that `tune.py` found."""
WORTH = {"cheetah-direction": 10.0}
"""Return that settings have to gain on the validation tasks, or the defaults stay."""


# -- from numbers to scores --------------------------------------------------------


Found = dict[str, list[dict[str, Any]]]
"""What was judged of a family: one entry a seed of each agent."""
Columns = dict[str, Found]
"""Families, and families `TUNED`, in order."""


@dataclass(frozen=True)
class Scores:
    """One agent on one split of one family, over the seeds that are there."""

    episodes: list[int]
    seconds: np.ndarray
    """(seeds, tasks, points)."""
    score: np.ndarray
    """(seeds, tasks, points); NaN where there is nothing to gain."""
    returns: np.ndarray
    """(seeds, tasks, points)."""


def load(results: Path, column: str, tune: Path) -> Found:
    """Every judged agent of a column, one entry for each seed in order.

    Who is not bettered by tuning is in the tuned column as in that of the defaults, and
    so is a reference that was not run yet.
    """
    found: Found = {}
    for path in sorted((results / column).glob("*.json")):
        agent = path.stem.rpartition("-")[0]
        found.setdefault(agent, []).append(read_json(path))
    if found and column.endswith(TUNED):
        family = column.removesuffix(TUNED)
        for agent, entries in load(results, family, tune).items():
            reference = agent in REFERENCES and agent not in found
            if reference or tuned_settings(tune, family, agent) == {}:
                found[agent] = entries
    return found


def tuned_settings(tune: Path, family: str, agent: str) -> dict[str, Any] | None:
    """The settings by which `tune.py` bettered an agent; empty where it did not.

    None where it was not tuned.
    """
    path = tune / f"{family}-{agent}.json"
    if not path.exists():
        return None
    tuned = read_json(path)
    best, defaults = tuned["best"], tuned["defaults"]
    gained = best["value"] - defaults["value"]
    settings: dict[str, Any] = best["settings"]
    return settings if gained > WORTH.get(family, 0.0) else {}


def columns(results: Path, families: tuple[str, ...], tune: Path) -> Columns:
    """What was judged of every family, and of its tuned agents where there are any."""
    found = {}
    for family in families:
        for column in (family, family + TUNED):
            found[column] = load(results, column, tune)
            if not found[column] and column != family:
                del found[column]
    return found


def scores(found: Found, agent: str, split: str) -> Scores | None:
    """Place an agent between the randomised policy and the oracle."""
    entries = [entry for entry in found.get(agent, ()) if split in entry["splits"]]
    references = [found.get(name) for name in REFERENCES]
    if not entries or not all(references):
        return None

    def column(entry: dict[str, Any], name: str) -> np.ndarray:
        return np.array([point[name] for point in entry["splits"][split]]).T

    # The mean over seeds of either reference, so that its own luck counts less.
    low, high = (
        np.mean([column(entry, "return")[:, 0] for entry in reference or ()], 0)
        for reference in references
    )
    returns = np.stack([column(entry, "return") for entry in entries])
    score = statistics.normalised_score(returns.transpose(0, 2, 1), low, high)
    if not statistics.interval(high - low, "mean").low > 0:
        score[:] = np.nan  # a scale from 0 to next to nothing measures noise
    return Scores(
        [point["episodes"] for point in entries[0]["splits"][split]],
        np.stack([column(entry, "seconds") for entry in entries]),
        score.transpose(0, 2, 1),
        returns,
    )


# -- table and figure --------------------------------------------------------------


def draw(results: Path, families: tuple[str, ...], tune: Path) -> None:
    """Write README.md and scores.png of what was judged so far."""
    every = columns(results, families, tune)
    with replacing(results / "README.md") as file:
        file.write_text(make_table(every))
    if any(every.values()):
        save(make_figure(every), results / "scores.png")


ABOUT = f"""# Leaderboard

All agents have the same meta-training steps and face the same held-out robots.
Intervals are 95 % bootstrap intervals over seeds, then tasks (with one seed: over tasks
alone). An empty row was not run yet.

Default settings are the papers' or were found by hand, not all with the same effort:
mostly on `point-goal` and `cheetah-direction`, some on robots that judge here, too, and
most before observations were normalised. Where a column's name ends in `{TUNED}`, every
agent had the same number of trials instead (`tune.py`: short trainings, judged on
unused tasks of the train box), and has the best settings; its defaults where these
gained it no more than {WORTH["cheetah-direction"]:g} in return. The policy that sees
the task was tuned, too: scores of the two columns have different scales.

**Adaptation** is on `interpolation`: robots that were never met, from the train box.
*Before* and *after*: mean return of the deployed policy without any episode and with
the largest budget, {BUDGETS[-1]} episodes. *Gain*: yes where the intervals are apart.
*Robot time*: median of the simulated seconds until S reaches {THRESHOLD}, and the share
of tasks that *reached* it. *Worse*: share of tasks whose return fell by adapting.
*Worst*: mean return of the worst 5 % after it.

**Scores**: S is 0 for the domain-randomised policy without adaptation and 1 for the
policy that sees the task; it is not clipped. Tasks where the latter is no better than
the former are dropped. *Nothing to gain*: over the whole split the interval of the
difference is not above 0 (where it is below, the policy that sees the task has trained
for too short a time to be a bound). The area is the mean of S over the logarithm of the
adaptation episodes; shown is its interquartile mean. It is 1 for an agent that knows at
once. A small figure behind it is the number of seeds, where others of the family have
more.

![Scores against robot time](scores.png)

Scores below -1 are outside of the figure; the tables have them.
"""
OVERVIEW = {
    "interpolation": "## Area under S inside of what was trained on",
    "near": "## Area under S just outside of it",
}
ADAPTATION = (
    *("before", "after", "gain", f"robot time to {THRESHOLD}", "reached"),
    *("worse", "worst 5 %", "seeds", "meta-steps", "CPU hours"),
)

HELD_OUT = [f"before → after, {split}" for split in SPLITS[1:]]


def overview(every: Columns, split: str) -> list[str]:
    """The area under S on a split of every judged family, a line for each agent."""
    judged = {column: found for column, found in every.items() if found}
    lines = [f"| | agent | {' | '.join(judged)} |", "|---" * (len(judged) + 2) + "|"]
    for kind, agents in CLASSES.items():
        for agent in agents:
            cells = [marked(found, agent, split) for found in judged.values()]
            lines.append(f"| {kind} | `{agent}` | {' | '.join(cells)} |")
            kind = ""
    return lines


def make_table(every: Columns) -> str:
    """All families, agents and measures, as markdown."""
    lines, commands = [ABOUT], set()
    for split, title in OVERVIEW.items():
        lines += [title, "", *overview(every, split), ""]
    areas = [f"area, {split}" for split in SPLITS]
    for column, found in every.items():
        lines += [f"## {column}", ""]
        if not found:
            lines += ["Not run yet.", ""]
            continue
        known = [agent for group in CLASSES.values() for agent in group]
        others = [agent for agent in found if agent not in (*known, "oracle")]
        shown = [*known, *others, "oracle"]
        lines += [*table(ADAPTATION, shown, found, adaptation_row)]
        lines += ["", *table(areas, shown, found, score_row)]
        lines += ["", *table(HELD_OUT, shown, found, return_row), ""]
        commands |= {entry["command"] for some in found.values() for entry in some}
    lines += ["Commands:", "", *(f"- `{command}`" for command in sorted(commands))]
    return "\n".join([*lines, ""])


def table(
    head: Sequence[str], agents: list[str], found: Found, row: Callable[..., list[str]]
) -> list[str]:
    """One line for each agent; empty cells where it was not judged."""
    lines = [f"| agent | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for agent in agents:
        cells = row(found, agent) or [""] * len(head)
        lines.append(f"| `{agent}` | {' | '.join(cells)} |")
    return lines


def adaptation_row(found: Found, agent: str) -> list[str]:
    """How an agent adapts to new robots from the train box, and at what cost."""
    judged = scores(found, agent, "interpolation")
    if judged is None:
        return []
    before, after = (
        statistics.interval(judged.returns[..., point], "mean") for point in (0, -1)
    )
    times = statistics.time_to_threshold(judged.seconds, judged.score, THRESHOLD)
    times = times[~np.isnan(times)]
    middle = np.median(times) if len(times) else np.nan
    share = statistics.share_made_worse(judged.returns[..., 0], judged.returns[..., -1])
    entries = found[agent]
    return [
        with_interval(before),
        with_interval(after),
        "yes" if after.low > before.high else "no",
        "" if np.isnan(middle) else _time(middle),
        f"{np.isfinite(times).mean():.0%}" if len(times) else "",
        f"{share:.0%}",
        f"{statistics.worst_mean(judged.returns[..., -1]):.4g}",
        str(len(entries)),
        f"{np.mean([entry['control_steps'] for entry in entries]) / 1e6:.1f}M",
        f"{np.mean([entry['cpu_hours'] for entry in entries]):.2f}",
    ]


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if np.isfinite(seconds) else "not reached"


def score_row(found: Found, agent: str) -> list[str]:
    """The area under S of an agent on each split."""
    return [area(found, agent, split) for split in SPLITS]


def return_row(found: Found, agent: str) -> list[str]:
    """Returns before and after adaptation on the held-out splits."""
    cells = []
    for split in SPLITS[1:]:
        judged = scores(found, agent, split)
        ends = () if judged is None else (judged.returns[..., i] for i in (0, -1))
        shown = [with_interval(statistics.interval(end, "mean")) for end in ends]
        cells.append(" → ".join(shown))
    return cells


def area(found: Found, agent: str, split: str) -> str:
    """The area under S with its interval; empty where nothing was judged."""
    judged = scores(found, agent, split)
    if judged is None:
        return ""
    if np.isnan(judged.score).all():
        return "nothing to gain"
    values = statistics.area_under_curve(judged.episodes, judged.score)
    return with_interval(statistics.interval(values), ".2f")


def marked(found: Found, agent: str, split: str) -> str:
    """`area`, with the number of seeds where the family's best known have more."""
    value, seeds = area(found, agent, split), len(found.get(agent, ()))
    fewer = value and seeds < max(map(len, found.values()))
    return f"{value} {'⁰¹²³⁴⁵⁶⁷⁸⁹'[min(seeds, 9)]}" if fewer else value


def with_interval(value: statistics.Estimate, form: str = ".1f") -> str:
    """A value and its interval."""
    return f"{value.value:{form}} [{value.low:{form}}, {value.high:{form}}]"


def make_figure(every: Columns) -> Figure:
    """S against robot seconds, a row for each family and a column for each split."""
    shown = {column: found for column, found in every.items() if found}
    figure = Figure(figsize=(4.2 * len(SPLITS), 3.4 * len(shown) + 1), dpi=100)
    grid = figure.subplots(len(shown), len(SPLITS), squeeze=False)
    handles: dict[str, Any] = {}
    for axes_row, (family, found) in zip(grid, shown.items(), strict=True):
        there = {
            name for seeds in found.values() for e in seeds for name in e["splits"]
        }
        for axes, split in zip(axes_row, SPLITS, strict=True):
            if split not in there:
                axes.set_axis_off()  # the family has no such split
                continue
            times: list[float] = []
            for kind, agents in CLASSES.items():
                for agent, style in zip(agents, STYLES, strict=False):
                    judged = scores(found, agent, split)
                    if judged is None or np.isnan(judged.score).all():
                        continue
                    centre = statistics.interquartile_mean(
                        judged.score.reshape(-1, len(judged.episodes)), 0
                    )
                    seconds = judged.seconds.mean((0, 1))
                    times.extend(seconds)
                    (line,) = axes.plot(
                        *(seconds, centre),
                        color=COLOURS[kind],
                        linestyle=style,
                        lw=1.6,
                        marker=".",
                    )
                    handles.setdefault(agent, line)
            if not times:
                place = {"transform": axes.transAxes, "ha": "center"}
                axes.text(0.5, 0.3, "nothing to gain", **place)
            # Linear up to about the end of the first episode, logarithmic from there.
            first = np.log10(min((x for x in times if x > 0), default=1.0))
            axes.set_xscale("symlog", linthresh=10 ** round(first), linscale=0.5)
            axes.set_xlim(left=0)
            axes.set_ylim(-1.0, 1.3)
            for level in (0, 1):
                axes.axhline(level, color="#5f6874", lw=0.8, zorder=0)
            axes.set_title(f"{family}, {split}", fontsize=10)
            axes.grid(alpha=0.25)
        axes_row[0].set_ylabel("score S")
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
