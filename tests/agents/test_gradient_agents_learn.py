"""Agents that adapt by gradients learn to find goals that they never met."""

import numpy as np
import pytest

import metarl
from metarl.evaluation.statistics import interval


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "steps"),
    [
        ("meta-sgd", 200_000),
        ("promp", 400_000),
        ("reptile", 400_000),
        ("lstm-optimizer", 200_000),
        ("metanet", 200_000),
    ],
)
def test_by_default_twenty_episodes_find_a_new_goal(agent, steps, tmp_path):
    run = metarl.train("point-goal", agent, steps=steps, out=tmp_path, quiet=True)
    results = metarl.evaluate(run, splits=["interpolation"], tasks=32, budgets=(0, 20))
    points = results.splits["interpolation"].points
    before, after = (interval(point.returns) for point in points)
    assert after.low > before.high
    gain = np.subtract(points[1].returns, points[0].returns)
    # A point that stays where it is would get -38 in all.
    assert interval(gain).low > 5
    assert after.low > -35
