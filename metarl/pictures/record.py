"""Recording an agent on one task, before and after adaptation."""

from collections.abc import Sequence

import numpy as np

from metarl.errors import InputError
from metarl.family import TaskFamily
from metarl.learning.agent import Agent
from metarl.pictures.video import Take
from metarl.randomness import key
from metarl.tasks import Task
from metarl.world.environment import Environment
from metarl.world.rollout import collect

LONGEST_ROUND = 50
"""Most episodes that are filmed after, for an agent that never learns again."""


def record(
    agent: Agent,
    family: TaskFamily,
    task: Task,
    after: Sequence[int] | None = None,
    seed: int = 0,
) -> list[Take]:
    """One episode of the deployed policy after each number of adaptation episodes.

    All episodes start from the same state and see the same noise.

    Args:
        agent: trained.
        family: its family.
        task: the task to adapt to.
        after: numbers of episodes; default: 0 and one round of
            the agent, at most `LONGEST_ROUND`.
        seed: of initial states and exploration.

    Raises:
        InputError: for a negative number.
    """
    adaptation = agent.adaptation(1)
    if after is None:
        after = (0, min(adaptation.round, LONGEST_ROUND))
    if not after or min(after) < 0:
        raise InputError(f"after={list(after)} needs numbers of episodes from 0.")
    takes, done = [], 0
    for budget in sorted(after):
        while done < budget:
            copies = min(adaptation.round, budget - done)
            world = Environment(family, [task], copies, visible=agent.sees_task)
            seen = collect(world, adaptation, key(seed, "film", "support", done))
            adaptation.absorb(seen)
            done += copies
        world = Environment(family, [task], visible=agent.sees_task)
        shown = collect(world, adaptation.deployed(), key(seed, "film"), record=True)
        assert shown.states is not None
        length = int(shown.length[0, 0])
        phase = np.zeros(length, int)
        frames = family.frames(world.sim)
        models = [] if frames is not None else [family.portrait(task.before_switch)]
        if task.switch is not None:
            models.append(family.portrait(task.after_switch))
            phase[round(task.switch.at / family.control_period) :] = 1
        title = "before adaptation" if budget == 0 else f"after {budget} episodes"
        takes.append(
            Take(
                title if budget != 1 else "after 1 episode",
                models,
                phase,
                shown.states[0, 0, :length].numpy(),
                shown.reward[0, 0, :length].numpy(),
                frames,
            )
        )
    return takes
