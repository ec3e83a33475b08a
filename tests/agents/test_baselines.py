"""The references: what they train on."""

from test_environment import Cart

from metarl import Parameter
from metarl.agents.baselines import Oracle, PPOConfig, Randomized
from metarl.learning.agent import Sampler
from metarl.registry import make_family


def test_the_oracle_knows_held_out_ranges_but_no_task_that_is_judged():
    family = make_family("ant-crippled")
    pool = Oracle(family, PPOConfig(pool=60), 0).pool(0)
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
    pool = Randomized(family, PPOConfig(pool=60), 0).pool(0)
    assert len(pool) == 60
    assert all(family.space.distance(task) == 0 for task in pool)


class Plain(Cart):
    """Nothing is held out."""

    parameters = {
        "mass": Parameter(1.0, train=(0.5, 2.0)),
        "goal": Cart.parameters["goal"],
    }


def test_a_family_without_held_out_ranges_has_an_oracle_too():
    assert len(Oracle(Plain(), PPOConfig(pool=8), 0).pool(0)) == 8


def test_a_rollout_shows_all_moments_of_an_episode():
    family = make_family("point-goal")
    agent = Randomized(family, PPOConfig(simulations=64, rollout=4), seed=0)
    agent.train_step(Sampler(family, seed=0))
    elapsed = agent.state()[0]["robots/elapsed"]
    assert elapsed.max() > 90 and elapsed.min() < 10  # of a horizon of 100
