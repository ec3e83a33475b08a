"""What does a memory learn within an episode? `rl2` and `mann` with and without it.

    python experiments/memory_wiped.py           # on the leaderboard's runs; resumable
    python experiments/memory_wiped.py --quick   # a minute, to see it run

The leaderboard judges what episodes teach. An agent with a memory learns at every step:
the first episode on a robot ends with a policy that knows it, so the return before any
episode holds most of what is learnt. Here the same policy also runs with its memory
emptied before every step, on the same robots, initial states and noise. What is lost
is what the memory was worth.
"""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from leaderboard import rounded, trained_run
from leaderboard_page import with_interval
from torch import Tensor

import metarl
from metarl.evaluation.statistics import interval
from metarl.family import TaskFamily
from metarl.files import read_json, replacing, write_json
from metarl.learning.normalised import Normalised, NormalisedPolicy
from metarl.learning.trials import MemoryNetwork, Rememberer
from metarl.randomness import key
from metarl.runs.folder import commit
from metarl.world.environment import Environment
from metarl.world.rollout import Percept, Policy, collect

EPISODES = 4
"""Of adaptation, before the last column: as many as a trial of training keeps."""
COLUMNS = {
    "wiped": "without memory",
    "first": "first episode",
    "later": f"after {EPISODES} episodes",
}


@dataclass(frozen=True)
class Arguments:
    """Judge trained memories on new robots, once emptied before every step."""

    families: tuple[str, ...] = ("point-goal", "cheetah-direction")
    """Families."""
    agents: tuple[str, ...] = ("rl2", "mann")
    """Agents with a memory."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """A run of each for every seed."""
    out: Path = Path("runs/leaderboard")
    """Folder of the runs; those that are missing are trained."""
    results: Path = Path("results/memory_wiped")
    """Folder of the numbers and the table."""
    quick: bool = False
    """A small size that shows the way, not the result."""


def main(arguments: Arguments) -> None:
    """Judge what is missing, then write the table."""
    results = arguments.out / "quick-memory" if arguments.quick else arguments.results
    command = shlex.join(["python", *sys.argv])
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
    judged = judge(*metarl.load(run), tasks, copies)
    return {"command": command, "commit": commit(), **judged}


def judge(
    family: TaskFamily, agent: Any, tasks: int, copies: int
) -> dict[str, list[float]]:
    """Mean return of each robot for each column of the table."""
    robots = family.tasks("interpolation", tasks)
    many = Environment(family, robots, copies)
    single = Environment(family, robots)

    def returns(policy: Policy) -> list[float]:
        query = collect(many, policy, key(0, "evaluation", "query"))
        return rounded(query.returns.double().mean(1).tolist())

    adaptation = agent.adaptation(tasks)
    found = {
        "wiped": returns(wiped(agent)),
        "first": returns(adaptation.deployed()),
    }
    for done in range(EPISODES):
        support = key(0, "evaluation", "support", done)
        adaptation.absorb(collect(single, adaptation, support))
    return {**found, "later": returns(adaptation.deployed())}


def wiped(agent: Any) -> Policy:
    """The agent's policy without a memory, told observations as the agent is."""
    if isinstance(agent, Normalised):
        return NormalisedPolicy(wiped(agent.agent), agent.statistics)
    return Wiped(agent.network)


@dataclass
class Wiped:
    """A policy with memory to which every step is the first of a trial."""

    network: MemoryNetwork

    def act(self, percept: Percept) -> Tensor:
        """Actions of an empty memory, which is told no reward either."""
        fresh = Rememberer(self.network, *percept.reward.shape)
        return fresh.act(percept._replace(begins=torch.ones_like(percept.begins)))


def make_table(results: Path, arguments: Arguments, command: str) -> str:
    """Mean returns over seeds and robots, as markdown."""
    head = list(COLUMNS.values())
    lines = [
        "# What a memory learns within an episode",
        "",
        "Mean return on robots from the train box that were never met, with 95 %",
        "bootstrap intervals over seeds, then robots. Without memory: the same policy,",
        "its memory emptied before every step.",
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
