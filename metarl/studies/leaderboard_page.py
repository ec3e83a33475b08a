"""The leaderboard's page: tables of the cells that are there."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from metarl.environment.registry import names
from metarl.evaluation import statistics
from metarl.evaluation.protocol import BUDGETS
from metarl.reports.plots import save
from metarl.reports.tables import markdown_table
from metarl.runs.files import replacing
from metarl.studies.cells import (
    LEAST_GAIN,
    TUNED,
    Column,
    Columns,
    classes,
    columns,
    scores,
)
from metarl.studies.leaderboard_figure import SPLITS, make_figure

THRESHOLD = 0.8
"""Score from which a task counts as adapted to."""
ABOUT = f"""# Leaderboard

All agents have the same meta-training steps and are evaluated on the same held-out
tasks. Intervals are 95 % bootstrap intervals over seeds, then tasks (with one seed:
over tasks alone). An empty row was not run yet.

Default settings are the papers' or were found by hand, not all with the same effort:
mostly on `point-goal` and `cheetah-direction`, some on families that are evaluated
here, too, and most before observations were normalized. In a column whose name ends in
`{TUNED}`, every agent had the same number of trials instead (`metarl tune`: short
trainings, evaluated on unused tasks from the train ranges). Each agent has the best
settings found, or its defaults where these gained no more than
{LEAST_GAIN["cheetah-direction"]:g} in return. The oracle was tuned, too: scores of the
two columns have different scales.

**Adaptation** is on `interpolation`: new tasks from the train ranges. *Before* and
*after*: mean return of the deployed policy without any episode and with the largest
budget, {BUDGETS[-1]} episodes. *Gain*: yes where the intervals are apart. *Robot time*:
median of the simulated seconds until S reaches {THRESHOLD}, and the share of tasks that
*reached* it. *Worse*: share of tasks whose return fell by adapting. *Worst*: mean
return of the worst 5 % after adaptation.

**Scores**: S is 0 for the domain-randomized policy without adaptation and 1 for the
oracle, which observes the task; it is not clipped. Tasks where the oracle is no better
than the randomized policy are dropped. *Nothing to gain*: over the whole split the
interval of the difference is not above 0 (where it is below, the oracle was trained too
briefly to be a bound). The area is the mean of S over the logarithm of the adaptation
episodes; shown is its interquartile mean. It is 1 for an agent that reaches the
oracle's return without any episode. A small figure behind it is the number of seeds,
where others of the family have more.

![Scores against robot time](scores.png)

Scores below -1 are outside of the figure; the tables have them.
"""
OVERVIEW = {
    "interpolation": "## Area under S in the train ranges",
    "near": "## Area under S in the near shell",
}
ADAPTATION = (
    *("before", "after", "gain", f"robot time to {THRESHOLD}", "reached"),
    *("worse", "worst 5 %", "seeds", "meta-steps", "CPU hours"),
)
HELD_OUT = [f"before → after, {split}" for split in SPLITS[1:]]


def draw(results: Path, families: tuple[str, ...], tune: Path) -> None:
    """Write README.md and scores.png of the cells that are there."""
    every, agents = columns(results, families, tune), classes(list(names("agents")))
    with replacing(results / "README.md") as file:
        file.write_text(make_table(every))
    if any(every.values()):
        save(make_figure(every, agents), results / "scores.png")


def make_table(every: Columns) -> str:
    """All families, agents and measures, as markdown."""
    agents = classes(list(names("agents")))
    lines, commands = [ABOUT], set()
    for split, title in OVERVIEW.items():
        lines += [title, "", *overview(every, agents, split), ""]
    areas = [f"area, {split}" for split in SPLITS]
    known = [agent for group in agents.values() for agent in group]
    for name, column in every.items():
        lines += [f"## {name}", ""]
        if not column:
            lines += ["Not run yet.", ""]
            continue
        others = [agent for agent in column if agent not in (*known, "oracle")]
        shown = [*known, *others, "oracle"]
        lines += [*table(ADAPTATION, shown, column, adaptation_row)]
        lines += ["", *table(areas, shown, column, score_row)]
        lines += ["", *table(HELD_OUT, shown, column, return_row), ""]
        commands |= {cell.command for cells in column.values() for cell in cells}
    lines += ["Commands:", "", *(f"- `{command}`" for command in sorted(commands))]
    return "\n".join([*lines, ""])


def overview(every: Columns, agents: dict[str, list[str]], split: str) -> list[str]:
    """The area under S on a split of every column, a row for each agent."""
    there = {name: column for name, column in every.items() if column}
    rows = []
    for kind, group in agents.items():
        for place, agent in enumerate(group):
            areas = [marked(column, agent, split) for column in there.values()]
            rows.append(["" if place else kind, f"`{agent}`", *areas])
    return markdown_table(["", "agent", *there], rows)


def table(
    head: Sequence[str],
    agents: list[str],
    column: Column,
    row: Callable[[Column, str], list[str]],
) -> list[str]:
    """A row for each agent; empty cells where it was not evaluated."""
    return markdown_table(
        ["agent", *head],
        [[f"`{a}`", *(row(column, a) or [""] * len(head))] for a in agents],
    )


def adaptation_row(column: Column, agent: str) -> list[str]:
    """How an agent adapts to new tasks from the train ranges, and at what cost."""
    found = scores(column, agent, "interpolation")
    if found is None:
        return []
    before, after = (
        statistics.interval(found.returns[..., point], "mean") for point in (0, -1)
    )
    times = statistics.time_to_threshold(found.seconds, found.score, THRESHOLD)
    times = times[~np.isnan(times)]
    middle = np.median(times) if len(times) else np.nan
    share = statistics.share_made_worse(found.returns[..., 0], found.returns[..., -1])
    cells = column[agent]
    return [
        with_interval(before),
        with_interval(after),
        "yes" if after.low > before.high else "no",
        "" if np.isnan(middle) else _time(middle),
        f"{np.isfinite(times).mean():.0%}" if len(times) else "",
        f"{share:.0%}",
        f"{statistics.worst_mean(found.returns[..., -1]):.4g}",
        str(len(cells)),
        f"{np.mean([cell.control_steps for cell in cells]) / 1e6:.1f}M",
        f"{np.mean([cell.cpu_hours for cell in cells]):.2f}",
    ]


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if np.isfinite(seconds) else "not reached"


def score_row(column: Column, agent: str) -> list[str]:
    """The area under S of an agent on each split."""
    return [area(column, agent, split) for split in SPLITS]


def return_row(column: Column, agent: str) -> list[str]:
    """Returns before and after adaptation on the held-out splits."""
    cells = []
    for split in SPLITS[1:]:
        found = scores(column, agent, split)
        ends = () if found is None else (found.returns[..., i] for i in (0, -1))
        shown = [with_interval(statistics.interval(end, "mean")) for end in ends]
        cells.append(" → ".join(shown))
    return cells


def area(column: Column, agent: str, split: str) -> str:
    """The area under S with its interval; empty where nothing was evaluated."""
    found = scores(column, agent, split)
    if found is None:
        return ""
    if np.isnan(found.score).all():
        return "nothing to gain"
    values = statistics.area_under_curve(found.episodes, found.score)
    return with_interval(statistics.interval(values), ".2f")


def marked(column: Column, agent: str, split: str) -> str:
    """`area`, with the number of seeds where others of the column have more."""
    value, seeds = area(column, agent, split), len(column.get(agent, ()))
    fewer = value and seeds < max(map(len, column.values()))
    return f"{value} {'⁰¹²³⁴⁵⁶⁷⁸⁹'[min(seeds, 9)]}" if fewer else value


def with_interval(value: statistics.Estimate, form: str = ".1f") -> str:
    """A value and its interval."""
    return f"{value.value:{form}} [{value.low:{form}}, {value.high:{form}}]"
