"""The references: what they train on."""

import pytest
from carts import BLOWING, Cart

from metarl import Parameter
from metarl.agents.baselines import Oracle, Randomized
from metarl.environment.registry import make_family
from metarl.learning.ppo import PPOConfig
from metarl.learning.sampler import Sampler


def test_the_oracle_knows_held_out_ranges_but_no_task_that_is_judged():
    family = make_family("ant-crippled")
    pool = Oracle(family, PPOConfig(pool=60), 0).pool(Sampler(family, 0))
    assert len(pool) == 60
    distances = [family.space.distance(task) for task in pool]
    assert sum(d == 0 for d in distances) >= 30
    assert sum(d > 0 for d in distances) >= 20
    assert any(task["dead_leg"] == "back_right" for task in pool)
    for split in family.splits:
        judged = set(family.tasks(split, 100))
        assert split == "train" or not judged & set(pool), split


def test_the_randomised_policy_knows_the_train_box_alone():
    family = make_family("ant-crippled")
    pool = Randomized(family, PPOConfig(pool=60), 0).pool(Sampler(family, 0))
    assert len(pool) == 60
    assert all(family.space.distance(task) == 0 for task in pool)


@pytest.mark.parametrize("kind", [Randomized, Oracle])
def test_it_trains_on_so_few_tasks_as_it_was_told(kind):
    family = make_family("ant-crippled")
    sampler = Sampler(family, 0, kind.observes_task, train_tasks=3)
    few = set(family.tasks("train", 3))
    pool = kind(family, PPOConfig(pool=60), 0).pool(sampler)
    inside = [task for task in pool if family.space.distance(task) == 0]
    assert few <= set(pool)
    assert len(pool) == 60 and len(inside) >= 30
    if kind is Randomized:
        assert set(pool) == few
    assert sampler.drawn == 0


def test_it_starts_on_the_few_tasks_that_it_was_told():
    agent = Randomized(Cart(), PPOConfig(simulations=8, rollout=4, hidden=(4,)), 0)
    agent.train_step(Sampler(agent.family, 0, train_tasks=2))
    robots = agent.state()[1]["robots"]
    assert {str(task) for task in robots["tasks"]} == {
        str(task.to_dict()) for task in agent.family.tasks("train", 2)
    }


def test_robots_that_blow_up_are_counted():
    agent = Randomized(
        BLOWING["physics"], PPOConfig(simulations=4, rollout=3, hidden=(4,)), 0
    )
    sampler = Sampler(agent.family, 0)
    for _ in range(8):
        agent.train_step(sampler)
        sampler.iteration += 1
    assert sampler.diverged > 0


class Plain(Cart):
    """Nothing is held out."""

    parameters = {
        "mass": Parameter(1.0, train=(0.5, 2.0)),
        "goal": Cart.parameters["goal"],
    }


def test_a_family_without_held_out_ranges_has_an_oracle_too():
    assert len(Oracle(Plain(), PPOConfig(pool=8), 0).pool(Sampler(Plain(), 0))) == 8


def test_a_rollout_shows_all_moments_of_an_episode():
    family = make_family("point-goal")
    agent = Randomized(family, PPOConfig(simulations=64, rollout=4), seed=0)
    agent.train_step(Sampler(family, seed=0))
    elapsed = agent.state()[0]["robots/elapsed"]
    assert elapsed.max() > 90 and elapsed.min() < 10  # of a horizon of 100
