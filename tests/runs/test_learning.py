"""Learning, seen: small runs that must adapt to tasks they never met."""

import numpy as np
import pytest

import metarl
from metarl.evaluation.statistics import interval


def gain(result):
    """Per-task return after adaptation minus before it."""
    returns = result.scores("return")
    return returns[:, -1] - returns[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["maml", "fomaml"])
def test_meta_training_makes_one_gradient_step_find_new_goals(agent, tmp_path):
    run = metarl.train(
        "point-goal",
        agent,
        steps=400_000,
        out=tmp_path,
        agent_config={
            "inner_lr": 0.5,
            "episodes": 10,
            "hidden": (32, 32),
            "max_kl": 0.02,
        },
        quiet=True,
    )
    results = metarl.evaluate(run, tasks=24, budgets=(0, 10), query_episodes=4)
    for split in ("interpolation", "near"):
        points = results.splits[split].points
        before, after = (interval(point.returns) for point in points)
        assert after.low > before.high, split
        # A point that stays where it is would get -0.38 a step, -38 in all.
        assert interval(gain(results.splits[split])).low > 5, split
    # 10 episodes of at most 100 steps of 0.1 s.
    seconds = results.splits["interpolation"].points[1].seconds
    assert all(5 < spent <= 100 for spent in seconds)


@pytest.mark.slow
def test_before_meta_training_a_gradient_step_gains_less(tmp_path):
    config = {"inner_lr": 0.5, "episodes": 10, "hidden": (32, 32), "max_kl": 0.02}
    gains = []
    for steps in (1, 300_000):
        run = metarl.train(
            "point-goal",
            "maml",
            steps=steps,
            out=tmp_path,
            agent_config=config,
            quiet=True,
        )
        results = metarl.evaluate(
            run, splits=["interpolation"], tasks=24, budgets=(0, 10), query_episodes=4
        )
        gains.append(results.splits["interpolation"].points[-1].returns)
    assert interval(np.subtract(gains[1], gains[0])).low > 5


@pytest.mark.slow
def test_the_oracle_sees_the_goal_and_the_randomized_policy_cannot(tmp_path):
    ends = {}
    for agent in ("oracle", "randomized"):
        run = metarl.train(
            "point-goal",
            agent,
            steps=150_000,
            out=tmp_path,
            agent_config={
                "simulations": 100,
                "rollout": 50,
                "pool": 400,
                "hidden": (64, 64),
                "target_kl": 0.02,
            },
            quiet=True,
        )
        results = metarl.evaluate(
            run, splits=["interpolation"], tasks=32, budgets=(0, 2), query_episodes=1
        )
        points = results.splits["interpolation"].points
        # Neither adapts.
        assert points[0].returns == points[1].returns
        ends[agent] = np.array(points[0].returns)
    assert interval(ends["oracle"] - ends["randomized"]).low > 5
