"""How fast the runs of one family adapt: the data of its part of a report."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from metarl.environment.registry import label
from metarl.reports import findings, plots
from metarl.reports.curves import by_agent
from metarl.reports.page import Figure, Missing, Table, figure
from metarl.reports.records import Record, names, variants
from metarl.reports.scores import normalized
from metarl.reports.sensitivity import WorstTask, sensitivity, worst


class Scores(NamedTuple):
    """Scores between the baselines, or what they would need."""

    table: Table | None
    missing: Missing | None = None


@dataclass(frozen=True)
class FamilyResults:
    """What a report says about the runs of one family."""

    prefix: str
    """Begins the titles where a report has several families."""
    missing: Sequence[Missing]
    headlines: Sequence[findings.Headline] = ()
    tiles: Sequence[findings.Tile] = ()
    """Of a single run."""
    success: str = ""
    """What success means, in words."""
    adaptation: Figure | None = None
    """None where nothing was evaluated; then all that follows is empty."""
    summary: Table | None = None
    scores: Scores | None = None
    """Of several runs."""
    budgets: Sequence[findings.Budgets] = ()
    distance: Figure | None = None
    sensitivity: Sequence[tuple[str, Table]] = ()
    """By agent."""
    worst: Sequence[tuple[str, Sequence[WorstTask]]] = field(default_factory=list)
    """By run."""
    units_unknown: bool = False


def family_results(records: Sequence[Record], prefix: str) -> FamilyResults:
    """The data about the runs of one family.

    Args:
        records: of the runs, at least one.
        prefix: begins the titles.
    """
    called = list(zip(names(records), records, strict=True))
    evaluated = [
        (name, record, record.evaluation.named(agent))
        for (name, record), agent in zip(called, variants(records), strict=True)
        if record.evaluation is not None
    ]
    done = [(name, evaluation) for name, _, evaluation in evaluated]
    missing = [*_not_evaluated(called), *_stale(called), *_left_out(done)]
    missing += _others(called)
    if not done:
        return FamilyResults(prefix, missing)
    evaluations = [evaluation for _, evaluation in done]
    agents = by_agent(evaluations)
    wide = len(agents) > 1
    return FamilyResults(
        prefix,
        missing,
        [findings.headline(agent, group) for agent, group in agents.items()],
        findings.tiles(evaluations[0]) if len(done) == 1 else (),
        evaluations[0].protocol.success.rstrip("."),
        figure(
            plots.draw_adaptation(evaluations),
            "Return of the deployed policy against the adaptation budget: "
            "interquartile mean over tasks and seeds, with its 95 % interval.",
            wide,
        ),
        findings.summary(done),
        _scores(done, records[0]) if len(records) > 1 else None,
        findings.budgets(done),
        figure(
            plots.draw_distance(evaluations),
            "A dot is a task, a line the means of bins with as many tasks each. "
            "Distance is Euclidean, in widths of the train ranges; 0 is inside them.",
            wide,
        ),
        [(agent, sensitivity(group)) for agent, group in agents.items()],
        [
            (name, worst(record.folder, evaluation, record.videos))
            for name, record, evaluation in evaluated
        ],
        not all(evaluation.parameters for evaluation in evaluations),
    )


def _not_evaluated(called: Sequence[tuple[str, Record]]) -> Iterator[Missing]:
    for name, record in called:
        if record.evaluation is None:
            text = f"{name} has not been evaluated."
            yield Missing(text, record.command("evaluate"))


def _stale(called: Sequence[tuple[str, Record]]) -> Iterator[Missing]:
    """The runs that changed since they were evaluated."""
    for name, record in called:
        if record.stale:
            yield Missing(f"{name} {record.stale}", record.command("evaluate"))


def _others(called: Sequence[tuple[str, Record]]) -> Iterator[Missing]:
    """Evaluations of other protocols or older checkpoints, which are not shown."""
    for name, record in called:
        if record.other_evaluations:
            files = ", ".join(path.name for path in record.other_evaluations)
            yield Missing(
                f"{name} has evaluations of another protocol or an older checkpoint, "
                f"which are not shown: {files} in {record.folder / 'evaluations'}."
            )


def _left_out(done: Sequence[findings.Named]) -> Iterator[Missing]:
    """The runs that cannot be averaged with the first one of their agent."""
    firsts = {e.name: e.protocol for _, e in reversed(done)}
    for name, evaluation in done:
        asked, own = firsts[evaluation.name], evaluation.protocol
        if (asked.tasks, asked.budgets) != (own.tasks, own.budgets):
            text = (
                f"{name} is not in headline and plot: it was evaluated on other "
                "numbers of tasks or episodes than the first run of its agent."
            )
            options = f"--tasks {asked.tasks}"
            if asked.budgets:
                options += f" --episodes {max(asked.budgets)}"
            yield Missing(text, f"metarl evaluate RUN {options}")


def _scores(done: Sequence[findings.Named], record: Record) -> Scores:
    table = normalized(done)
    if table is not None:
        return Scores(table)
    text = "The score needs agents randomized and oracle, evaluated on the same tasks."
    there = {label(evaluation.run.agent) for _, evaluation in done}
    wanted = [name for name in ("randomized", "oracle") if name not in there]
    family = shlex.quote(str(record.config["family"]))
    command = f"metarl train {family} {wanted[0]}" if wanted else "metarl evaluate RUN"
    return Scores(None, Missing(text, command))
