"""What does a memory learn within an episode? `rl2` and `mann` with and without it.

    python experiments/memory_wiped.py           # on the leaderboard's runs; resumable
    python experiments/memory_wiped.py --quick   # a minute, to see it run

The leaderboard measures what episodes teach. A memory-based agent learns at every step:
at the end of its first episode its recurrent state already depends on the task, so the
return before any episode holds most of what is learnt. Here the same policy also runs
with its memory emptied before every step, on the same tasks, initial states and noise.
The difference is what the memory adds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor

import metarl
from metarl.environment.collect import collect
from metarl.environment.environments import Environments
from metarl.environment.episodes import Policy, TimeStep
from metarl.environment.family import TaskFamily
from metarl.evaluation.statistics import interval
from metarl.learning.adapt import adapt
from metarl.learning.normalization import Normalizer
from metarl.learning.recurrent_policy import RecurrentPolicy, RecurrentRollout
from metarl.runs.files import read_json, replacing, write_json
from metarl.runs.system import commit
from metarl.studies.cells import rounded
from metarl.studies.command import command_line
from metarl.studies.leaderboard import trained_run
from metarl.studies.leaderboard_page import with_interval
from metarl.tasks.randomness import key

EPISODES = 4
"""Of adaptation, before the last column: as many as a trial of training keeps."""
COLUMNS = {
    "wiped": "without memory",
    "first": "first episode",
    "later": f"after {EPISODES} episodes",
}


@dataclass(frozen=True)
class Arguments:
    """Evaluate trained memories on held-out tasks, once emptied before every step."""

    families: tuple[str, ...] = ("point-goal", "cheetah-direction")
    """Families."""
    agents: tuple[str, ...] = ("rl2", "mann")
    """Memory-based agents."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """A run of each for every seed."""
    out: Path = Path("runs/leaderboard")
    """Folder of the runs; those that are missing are trained."""
    results: Path = Path("results/memory_wiped")
    """Folder of the numbers and the table."""
    quick: bool = False
    """A small size that shows the way, not the result."""


def main(arguments: Arguments) -> None:
    """Evaluate what is missing, then write the table."""
    results = arguments.out / "quick-memory" if arguments.quick else arguments.results
    command = command_line()
    for seed in arguments.seeds:
        for family in arguments.families:
            for agent in arguments.agents:
                path = results / family / f"{agent}-{seed}.json"
                if not path.exists():
                    write_json(path, run_cell(arguments, family, agent, seed, command))
    table = make_table(results, arguments, command)
    with replacing(results / "README.md") as file:
        file.write_text(table)
    print(table)
    print(f"Written: {results}")


def run_cell(
    arguments: Arguments, family: str, agent: str, seed: int, command: str
) -> dict[str, Any]:
    """Returns of one agent without its memory, in a first episode and a later one."""
    run = trained_run(family, agent, seed, arguments.out, command, arguments.quick)
    tasks, copies = (4, 1) if arguments.quick else (32, 4)
    returns = compare(*metarl.load(run), tasks, copies)
    return {"command": command, "commit": commit(), **returns}


def compare(
    family: TaskFamily, agent: Any, tasks: int, copies: int
) -> dict[str, list[float]]:
    """Mean return of each task for each column of the table."""
    held_out = family.tasks("interpolation", tasks)
    environments = Environments(family, agent.observes_task)

    def returns(policy: Policy) -> list[float]:
        environment = environments(held_out, copies)
        query = collect(environment, policy, key(0, "evaluation", "query"))
        return rounded(query.returns.double().mean(1).tolist())

    first, later = (
        returns(point.policy)
        for point in adapt(
            agent.adaptation(tasks),
            environments,
            held_out,
            (0, EPISODES),
            (0, "evaluation", "support"),
        )
    )
    wiped = Wiped(agent.network, agent.normalizer)
    return {"wiped": returns(wiped), "first": first, "later": later}


@dataclass
class Wiped:
    """A recurrent policy to which every step is the first of a trial."""

    network: RecurrentPolicy
    normalizer: Normalizer

    def act(self, time_step: TimeStep) -> Tensor:
        """Actions of an empty memory, without the last action and reward either."""
        fresh = RecurrentRollout(self.network, self.normalizer, *time_step.reward.shape)
        return fresh.act(time_step._replace(first=torch.ones_like(time_step.first)))


def make_table(results: Path, arguments: Arguments, command: str) -> str:
    """Mean returns over seeds and tasks, as markdown."""
    head = list(COLUMNS.values())
    lines = [
        "# What a memory learns within an episode",
        "",
        "Mean return on held-out tasks in the train ranges, with 95 % bootstrap",
        "intervals over seeds, then tasks. Without memory: the same policy, its memory",
        "emptied before every step.",
        "",
        f"Command: `{command}`",
        "",
        f"| family | agent | seeds | {' | '.join(head)} |",
        "|---" * (len(head) + 3) + "|",
    ]
    for family in arguments.families:
        for agent in arguments.agents:
            cells = [
                read_json(results / family / f"{agent}-{seed}.json")
                for seed in arguments.seeds
            ]
            means = [
                interval(np.array([cell[name] for cell in cells]), "mean")
                for name in COLUMNS
            ]
            row = [family, f"`{agent}`", str(len(cells)), *map(with_interval, means)]
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main(tyro.cli(Arguments))
