"""The leaderboard's page and its table file, of the cells that are there."""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from metarl.environment.registry import names
from metarl.evaluation import statistics
from metarl.evaluation.compare import paired_difference
from metarl.evaluation.protocol import BUDGETS
from metarl.reports.plots import save
from metarl.reports.tables import markdown_table
from metarl.runs.files import replacing
from metarl.studies.cells import (
    GAPS,
    LEAST_GAIN,
    TUNED,
    Column,
    Columns,
    classes,
    columns,
    evaluated,
    gap,
    measured,
    scores,
)
from metarl.studies.leaderboard_figure import SPLITS, make_figure

THRESHOLD = 0.8
"""Score from which a task counts as adapted to."""
WITHIN = 20
"""Episodes within which an agent has to differ from another in a paired table."""
FINDINGS = "findings.md"
"""What the cells say in words, if somebody has written it: it leads the page."""
ABOUT = f"""# Leaderboard
{{findings}}
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

**Paired**: mean return after {WITHIN} episodes less that of `randomized`, or of
`history`, on the same tasks. *: the interval is above 0; it is not corrected for the
number of comparisons (`metarl compare` does).

**What there is to gain**: *identify* is `oracle-in-range` minus `randomized`, both of
which train on the train ranges; *identify and cover* is `oracle` minus `randomized`,
where `oracle` trains on held-out ranges, too.

**Scores**: S is 0 for the domain-randomized policy without adaptation and 1 for an
oracle, which observes the task: in the train ranges (`interpolation`, `drift`) for
`oracle-in-range` where it was run, elsewhere for `oracle`. It is not clipped. Tasks
where the oracle is no better
than the randomized policy are dropped. *Nothing to gain*: over the whole split the
interval of the difference is not above 0 (where it is below, the oracle was trained too
briefly to be a bound). The area is the mean of S over the logarithm of the adaptation
episodes; shown is its interquartile mean. It is 1 for an agent that reaches the
oracle's return without any episode. A small figure behind it is the number of seeds,
where others of the family have more.

![Scores against robot time](scores.png)

Scores below -1 are outside of the figure; the tables have them.
[scores.csv](scores.csv) has the mean over tasks of every cell and budget, and which
oracle its score is of.
"""
BASE, HONEST = "randomized", "history"
"""What the others are paired with."""
PAIRED = {
    "interpolation": f"## Return beyond `{BASE}` in the train ranges, paired",
    "near": f"## Return beyond `{BASE}` in the near shell, paired",
}
OVERVIEW = {
    "interpolation": "## Area under S in the train ranges",
    "near": "## Area under S in the near shell",
}
ADAPTATION = (
    *("before", "after", "gain", f"robot time to {THRESHOLD}", "reached"),
    *("worse", "worst 5 %", "seeds", "meta-steps", "CPU hours"),
)
MEASURES = ("seconds", "returns", "success")
CSV_COLUMNS = (
    *("family", "agent", "seed", "split", "episodes", "robot_seconds"),
    *("return", "success", "score", "score_kind"),
)


def draw(results: Path, families: tuple[str, ...], tune: Path) -> None:
    """Write README.md, scores.csv and scores.png of the cells that are there."""
    every, agents = columns(results, families, tune), classes(list(names("agents")))
    words = results / FINDINGS
    with replacing(results / "README.md") as file:
        file.write_text(make_table(every, words.read_text() if words.exists() else ""))
    with replacing(results / "scores.csv") as file, open(file, "w", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(csv_rows(every))
    if any(every.values()):
        save(make_figure(every, agents), results / "scores.png")


def make_table(every: Columns, findings: str = "") -> str:
    """All families, agents and measures, as markdown.

    Args:
        every: the cells.
        findings: what leads the page, as markdown.
    """
    agents = classes(list(names("agents")))
    lines, commands = (
        [ABOUT.format(findings=f"\n{findings}" if findings else "")],
        set(),
    )
    for split, title in PAIRED.items():
        lines += [title, "", *overview(every, agents, split, paired), ""]
    for split, title in OVERVIEW.items():
        lines += [title, "", *overview(every, agents, split, marked), ""]
    known = [agent for group in agents.values() for agent in group]
    for name, column in every.items():
        lines += [f"## {name}", ""]
        if not column:
            lines += ["Not run yet.", ""]
            continue
        others = [agent for agent in column if agent not in (*known, *GAPS)]
        shown, there = [*known, *others, *GAPS], splits_of(column)
        lines += [*gap_table(column, there), ""]
        lines += table(ADAPTATION, shown, column, adaptation_row)
        for title, splits, cell in (
            (f"{{}} - `{BASE}`", there, paired),
            (f"{{}} - `{HONEST}`", there, honestly_paired),
            ("area, {}", there, area),
            ("before → after, {}", there[1:], returns),
        ):
            head = [title.format(split) for split in splits]
            lines += ["", *table(head, shown, column, row_of(cell, splits))]
        lines += [""]
        commands |= {cell.command for cells in column.values() for cell in cells}
    lines += ["Commands:", "", *(f"- `{command}`" for command in sorted(commands))]
    return "\n".join([*lines, ""])


def splits_of(column: Column) -> list[str]:
    """The splits that some cell of a column has, in the order of `SPLITS`."""
    known = {s for cells in column.values() for cell in cells for s in cell.splits}
    return [split for split in SPLITS if split in known]


def row_of(
    cell: Callable[[Column, str, str], str], splits: Sequence[str]
) -> Callable[[Column, str], list[str]]:
    """A row of one cell a split."""
    return lambda column, agent: [cell(column, agent, split) for split in splits]


def csv_rows(every: Columns) -> Iterator[list[object]]:
    """Rows of `CSV_COLUMNS`: means over tasks, empty where nothing is defined."""
    for name, column in every.items():
        for agent in column:
            for split in splits_of(column):
                found = scores(column, agent, split)
                cells = evaluated(column, agent, split)
                tables = [measured(cells, split, m) for m in MEASURES] if cells else []
                tables += [found.score] if found else []
                for place, cell in enumerate(cells):
                    for point, its in enumerate(cell.splits[split]):
                        means = [_mean(table[place, :, point]) for table in tables]
                        scored = [found.kind] if found else ["", ""]
                        row = [name, agent, cell.seed, split, f"{its.episodes:g}"]
                        yield [*row, *means, *scored]


def _mean(values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    return f"{known.mean():.5g}" if known.size else ""


def gap_table(column: Column, splits: Sequence[str]) -> list[str]:
    """What there is to gain on each split."""
    rows = []
    for oracle, kind in GAPS.items():
        gaps = [gap(column, oracle, split) for split in splits]
        rows.append([kind, *("" if g is None else with_interval(g) for g in gaps)])
    return markdown_table(["what there is to gain", *splits], rows)


def overview(
    every: Columns,
    agents: dict[str, list[str]],
    split: str,
    cell: Callable[[Column, str, str], str],
) -> list[str]:
    """A measure on a split of every column, a row for each agent."""
    there = {name: column for name, column in every.items() if column}
    rows = []
    for kind, group in agents.items():
        for place, agent in enumerate(group):
            cells = [cell(column, agent, split) for column in there.values()]
            rows.append(["" if place else kind, f"`{agent}`", *cells])
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


def paired(column: Column, agent: str, split: str, other: str = BASE) -> str:
    """Return after `WITHIN` episodes less that of another agent on the same tasks."""
    both = [evaluated(column, name, split) for name in (agent, other)]
    if agent == other or not all(both):
        return ""
    ends = []
    for cells in both:
        budgets = [point.episodes for point in cells[0].splits[split]]
        last = max(place for place, b in enumerate(budgets) if b <= WITHIN)
        ends.append(measured(cells, split, "returns")[..., last])
    difference, _ = paired_difference(ends[0], ends[1])
    return with_interval(difference) + (" *" if difference.low > 0 else "")


def honestly_paired(column: Column, agent: str, split: str) -> str:
    """`paired` with domain randomization that reads history."""
    return paired(column, agent, split, HONEST)


def returns(column: Column, agent: str, split: str) -> str:
    """Returns before and after adaptation."""
    found = scores(column, agent, split)
    ends = () if found is None else (found.returns[..., i] for i in (0, -1))
    return " → ".join(with_interval(statistics.interval(e, "mean")) for e in ends)


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
