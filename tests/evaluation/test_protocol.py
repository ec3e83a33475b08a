"""What the protocol makes of episodes that diverge, and of nonsense."""

import json

import pytest
import torch
from carts import Cart

from metarl.errors import InputError
from metarl.evaluation.protocol import evaluate
from metarl.evaluation.results import Evaluation


class Fragile(Cart):
    """Full thrust makes it diverge; all else costs a point a step."""

    def act(self, sim, action):
        super().act(sim, action)
        sim.qvel[action[:, 0] > 0.9] = torch.nan

    def reward(self, sim, action):
        return -torch.ones(sim.n)


class Pushes:
    """Pushes fully, in every episode or in the first one of every task alone."""

    observes_task, episodes_per_update = False, 1

    def __init__(self, force):
        self.force = torch.tensor(force)

    def adaptation(self, tasks):
        return self

    def act(self, time_step):
        tasks, copies = time_step.reward.shape
        return self.force.repeat(tasks, copies // len(self.force))[..., None]

    def update(self, episodes):
        pass

    def policy(self):
        return self


@pytest.mark.parametrize("force", [[1.0, 0.0], [0.0, 0.0]])
def test_what_diverged_counts_as_the_worst_of_its_task(force):
    family = Fragile()
    options = {"tasks": 3, "budgets": (0,), "query_episodes": 2}
    found = evaluate(Pushes(force), family, splits=["far"], **options)
    (point,) = found.splits["far"].points
    assert point.diverged == 3 * int(sum(force))
    assert point.returns == (-family.horizon,) * 3  # not the 0 of a first step


@pytest.mark.parametrize("budgets", [[], [-3], [0, -1]])
def test_budgets_that_mean_nothing_are_refused(budgets):
    with pytest.raises(InputError, match="budgets"):
        evaluate(Pushes([0.0]), Fragile(), splits=["far"], tasks=1, budgets=budgets)


def test_drift_is_evaluated_where_it_is_asked_for():
    options = {"tasks": 2, "budgets": (0,), "query_episodes": 1}
    found = evaluate(Pushes([0.0]), Fragile(), **options)
    assert list(found.splits) == ["interpolation", "far", "switch"]
    found = evaluate(Pushes([0.0]), Fragile(), splits=["drift"], **options)
    assert list(found.splits) == ["drift"]
    assert found.splits["drift"].tasks == tuple(Fragile().tasks("drift", 2))
    again = Evaluation.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.splits == found.splits


def test_a_budget_given_twice_is_evaluated_once():
    found = evaluate(
        Pushes([0.0]), Fragile(), splits=["far"], tasks=1, budgets=[2, 0, 2]
    )
    assert found.protocol.budgets == (0, 2)
    assert [point.episodes for point in found.splits["far"].points] == [0, 2]


def test_a_list_of_tasks_is_refused_in_words():
    with pytest.raises(InputError, match="tasks is a number"):
        evaluate(Pushes([0.0]), Fragile(), tasks=Fragile().tasks("far", 2))
