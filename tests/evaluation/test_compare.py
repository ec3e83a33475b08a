"""Differences are taken task by task, and intervals hold what they promise."""

import dataclasses

import numpy as np
import pytest
from synthetic import evaluation

from metarl.errors import InputError
from metarl.evaluation.compare import (
    compare,
    holm,
    paired_difference,
    probability_of_improvement,
)
from metarl.evaluation.statistics import interval


def test_a_constant_difference_has_no_width_however_much_tasks_differ():
    easy = np.random.default_rng(0).normal(0, 100, (1, 30))
    (value, low, high), p_value = paired_difference(easy + 2.0, easy)
    assert (value, low, high) == pytest.approx((2.0, 2.0, 2.0))
    assert p_value < 1e-9
    # Side by side, the two cannot be distinguished.
    assert interval(easy + 2.0).low < interval(easy).high


def test_no_difference_is_no_evidence():
    table = np.random.default_rng(1).normal(size=(2, 20))
    estimate, p_value = paired_difference(table, table[::-1])
    assert estimate.value == pytest.approx(0, abs=1e-12)
    assert estimate.low < 0 < estimate.high
    assert p_value > 0.5


def test_the_sign_turns_with_the_order():
    rng = np.random.default_rng(2)
    one, other = rng.normal(1, 1, (3, 25)), rng.normal(0, 1, (2, 25))
    forth, p_forth = paired_difference(one, other)
    back, p_back = paired_difference(other, one)
    assert forth.value == pytest.approx(-back.value)
    assert p_forth == pytest.approx(p_back, abs=0.05)


def test_a_95_percent_interval_holds_the_truth_about_as_often():
    """Of agents whose seeds and tasks are drawn at random, with a known difference."""
    rng, held = np.random.default_rng(3), 0
    for trial in range(200):
        tasks = rng.normal(0, 5, 40)
        tables = [
            tasks + shift + rng.normal(0, 1, (5, 1)) + rng.normal(0, 1, (5, 40))
            for shift in (0.7, 0.0)
        ]
        estimate, _ = paired_difference(*tables, resamples=400, seed=trial)
        held += estimate.low <= 0.7 <= estimate.high
    # Percentile intervals over five seeds are a little narrow.
    assert 0.82 * 200 <= held <= 0.99 * 200


def test_the_probability_of_improvement_by_hand():
    first, second = [[1.0, 2.0], [3.0, 2.0]], [[2.0, 2.0]]
    # 1 < 2, 2 = 2; 3 > 2, 2 = 2.
    assert probability_of_improvement(first, second) == (0 + 0.5 + 1 + 0.5) / 4


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_undefined_tasks_are_left_out_of_both():
    nan = float("nan")
    (value, _, _), _ = paired_difference([[1.0, nan, 5.0]], [[0.0, 9.0, 3.0]])
    assert value == 1.5
    with pytest.raises(InputError, match="No task"):
        paired_difference([[nan]], [[1.0]])
    with pytest.raises(InputError, match="2 tasks cannot be paired with 1"):
        paired_difference([[1.0, 2.0]], [[1.0]])


@pytest.fixture
def groups():
    return {
        name: [evaluation(name, seed) for seed in (0, 1)]
        for name in ("maml", "rl2", "randomized")
    }


def test_every_pair_meets_on_every_split_and_budget(groups):
    rows = compare(groups)
    assert len(rows) == 3 * 3 * 6
    assert [(r.first, r.second) for r in rows[:18:6]] == [
        ("maml", "rl2"),
        ("maml", "randomized"),
        ("rl2", "randomized"),
    ]
    last = next(
        r
        for r in rows
        if (r.first, r.second, r.split, r.episodes)
        == ("maml", "randomized", "interpolation", 20)
    )
    assert last.difference.low > 20 and last.improvement > 0.9 and last.apart
    alone = compare(groups, against="randomized", splits=["far"])
    assert {r.second for r in alone} == {"randomized"} and len(alone) == 2 * 6
    # Fewer comparisons are corrected for.
    same = [
        r for r in rows if (r.first, r.second, r.split) == ("maml", "randomized", "far")
    ]
    assert all(a.p_value <= b.p_value for a, b in zip(alone[:6], same, strict=True))


def test_what_cannot_be_compared_is_refused(groups):
    with pytest.raises(InputError, match="two agents"):
        compare({"maml": groups["maml"]})
    with pytest.raises(InputError, match="Did you mean 'randomized'"):
        compare(groups, against="randomised")
    with pytest.raises(InputError, match="Did you mean 'far'"):
        compare(groups, splits=["farr"])
    other = evaluation("rl2", family="point-goal")
    with pytest.raises(InputError, match="only agents of one family"):
        compare({"maml": groups["maml"], "rl2": [other]})
    fewer = evaluation("rl2", tasks=5)
    with pytest.raises(InputError, match="other tasks of"):
        compare({"maml": groups["maml"], "rl2": [fewer]})


def test_a_split_of_one_agent_alone_is_passed_over(groups):
    one = groups["maml"][0]
    near = dataclasses.replace(one, splits={"near": one.splits["near"]})
    rows = compare({"maml": [near], "rl2": groups["rl2"]})
    assert {row.split for row in rows} == {"near"}


def test_budgets_that_change_neither_agent_are_one_comparison():
    still, moving = evaluation("randomized"), evaluation("maml", seed=1)
    first = still.splits["far"].points[0]
    points = [dataclasses.replace(first, episodes=n) for n in (0, 1, 2, 5, 10, 20)]
    far = dataclasses.replace(still.splits["far"], points=tuple(points))
    still = dataclasses.replace(still, splits={"far": far})
    again = dataclasses.replace(still, run=dataclasses.replace(still.run))
    (row,) = compare({"a": [still], "b": [again]})
    assert (row.episodes, row.until) == (0, 20)
    rows = compare({"a": [still], "maml": [moving]}, splits=["far"])
    assert [row.episodes for row in rows] == [0, 1, 2, 5, 10, 20]
    assert all(row.until == row.episodes for row in rows)
