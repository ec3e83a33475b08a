"""The one loop in which an agent adapts: for evaluations, videos, play and scripts.

environments = Environments(family, agent.observes_task)
adaptation = agent.adaptation(len(tasks))
for point in adapt(adaptation, environments, tasks, (0, 1, 5), (seed, "support")):
    episodes = collect(environments(tasks, 4), point.policy, query_seed)
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metarl.environment.collect import collect
from metarl.environment.environments import Environments
from metarl.environment.episodes import Episodes, Policy
from metarl.learning.agent import Adaptation
from metarl.tasks.defaults import own_process
from metarl.tasks.randomness import key
from metarl.tasks.task import Task


@dataclass
class AdaptationPoint:
    """An adaptation after so many episodes of each task."""

    episodes: int
    """Episodes of each task so far."""
    rounds: list[Episodes]
    """What was collected since the point before, in order."""
    control_steps: Tensor
    """Robot time of each task since the loop began, in control steps, (tasks,)."""
    adaptation: Adaptation

    @property
    def policy(self) -> Policy:
        """The policy that it would deploy now."""
        return self.adaptation.policy()


def adapt(
    adaptation: Adaptation,
    environments: Environments,
    tasks: Sequence[Task],
    budgets: Iterable[int],
    purpose: tuple[int | str, ...],
    *,
    start: int = 0,
    record: bool = False,
) -> Iterator[AdaptationPoint]:
    """Let an agent adapt to tasks, and stop at every budget.

    Args:
        adaptation: of the agent to as many tasks; it goes on from what it is.
        environments: of the family.
        tasks: the tasks.
        budgets: episodes of each task to stop after, ascending.
        purpose: begins the key of initial states and exploration; the number of
            episodes before ends it.
        start: episodes that this adaptation has had before.
        record: keep joint positions, for a video.

    Yields:
        A point at each budget. It is valid until the loop goes on.
    """
    spent = torch.zeros(len(tasks), dtype=torch.long, device="cpu")
    done = start
    for budget in budgets:
        rounds = []
        while done < budget:
            copies = min(adaptation.episodes_per_update, budget - done)
            environment = environments(tasks, copies)
            episodes = collect(environment, adaptation, key(*purpose, done), record)
            with own_process():
                adaptation.update(episodes)
            rounds.append(episodes)
            spent = spent + episodes.length.sum(1).cpu()
            done += copies
        yield AdaptationPoint(done, rounds, spent, adaptation)
