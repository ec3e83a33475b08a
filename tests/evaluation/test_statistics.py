import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from metarl.errors import InputError
from metarl.evaluation.statistics import (
    area_under_curve,
    interquartile_mean,
    interval,
    normalized_score,
    share_made_worse,
    time_to_threshold,
    worst_mean,
)

nan = math.nan


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 100], 2.5),  # cuts one value at each end
        ([5], 5),
        ([1, 3], 2),  # half of each
        ([0, 6, 30], (0.25 * 0 + 1 * 6 + 0.25 * 30) / 1.5),
        ([0, 1, 2, 3, 40], (0.75 * 1 + 2 + 0.75 * 3) / 2.5),
        ([100, nan, 1, 3, 2, nan], 2.5),  # order and NaNs do not matter
    ],
)
def test_interquartile_mean_by_hand(values, expected):
    assert_allclose(interquartile_mean(values), expected)


def test_interquartile_mean_agrees_with_the_trimmed_mean_where_n_is_a_multiple_of_4():
    values = np.random.default_rng(0).normal(size=(3, 20))
    expected = stats.trim_mean(values, 0.25, axis=1)
    assert_allclose(interquartile_mean(values), expected)
    assert_allclose(interquartile_mean(values.T, axis=0), expected)


def test_interquartile_mean_of_nothing_is_undefined_and_silent(recwarn):
    assert np.isnan(interquartile_mean([nan, nan]))
    assert np.isnan(interquartile_mean([]))
    assert not recwarn


def test_interval_brackets_the_value_and_repeats_with_its_seed():
    scores = np.random.default_rng(1).normal(3, 1, size=(5, 64))
    first = interval(scores)
    assert first == interval(scores, seed=0) != interval(scores, seed=1)
    assert first.low < first.value < first.high
    assert_allclose(first.value, interquartile_mean(scores.ravel()))
    wider = interval(scores, level=0.99)
    assert wider.low < first.low and wider.high > first.high


def test_interval_of_a_mean_has_the_textbook_width():
    scores = np.random.default_rng(2).normal(0, 1, size=400)
    estimate = interval(scores, statistic="mean")
    assert_allclose(estimate.value, scores.mean())
    half = 1.96 * scores.std() / 20
    assert_allclose(estimate.high - estimate.value, half, rtol=0.1)
    assert_allclose(estimate.value - estimate.low, half, rtol=0.1)


def test_interval_counts_the_spread_between_seeds():
    # All tasks of a seed agree: only resampling the seeds can show the spread.
    scores = np.repeat(np.arange(5.0)[:, None], 64, axis=1)
    estimate = interval(scores, statistic="mean")
    assert estimate.low < 1 and estimate.high > 3


def test_interval_leaves_out_nans():
    assert interval([nan, 2, 2, nan]) == (2, 2, 2)
    assert all(math.isnan(bound) for bound in interval([nan, nan]))


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(100):
        estimate = interval(rng.normal(size=60), statistic="mean", resamples=400)
        hits += estimate.low <= 0 <= estimate.high
    assert 87 <= hits <= 99


def test_interval_of_several_seeds_knows_that_they_share_their_tasks():
    rng = np.random.default_rng(4)
    hits, own = 0, 0
    for _ in range(100):
        noise = 0.1 * rng.normal(size=(5, 40))
        shared = rng.normal(size=40) + noise
        estimate = interval(shared, "mean", resamples=400)
        hits += estimate.low <= 0 <= estimate.high
        apart = rng.normal(size=(5, 40)) + noise
        estimate = interval(apart, "mean", resamples=400, same_tasks=False)
        own += estimate.low <= 0 <= estimate.high
    assert 87 <= hits <= 99
    assert 80 <= own <= 99


@pytest.mark.parametrize(
    "arguments",
    [{"statistic": "median"}, {"level": 95}, {"scores": np.zeros((2, 2, 2))}],
)
def test_interval_refuses(arguments):
    with pytest.raises(InputError):
        interval(**{"scores": [1.0, 2.0], **arguments})


def test_normalized_score_by_hand():
    score = normalized_score([[5, 30, 1], [-10, 10, 1]], [0, 10, 2], [10, 20, 2])
    assert_allclose(score, [[0.5, 2, nan], [-1, 0, nan]])


def test_area_under_curve_by_hand():
    budgets = [0, 1, 3]  # equally spaced in log(1 + budget)
    assert_allclose(area_under_curve(budgets, [1, 1, 1]), 1)
    assert_allclose(
        area_under_curve(budgets, [[0, 1, 1], [0, 0, 1]]),
        [(0.5 + 1) / 2, (0 + 0.5) / 2],
    )
    with pytest.raises(InputError):
        area_under_curve([0], [1])
    with pytest.raises(InputError):
        area_under_curve([0, 2, 1], [1, 1, 1])


def test_an_interval_of_times_that_were_not_reached_is_open():
    inf = math.inf
    found = interval([[1, 2, 3, inf, inf, inf, inf, inf]])
    assert found.value == inf and found.low < inf and found.high == inf


def test_time_to_threshold_is_right_censored():
    seconds = [0, 2, 4]
    scores = [[0.9, 0, 0], [0, 0.8, 0.1], [0, 0.5, 0.7], [nan, nan, nan]]
    assert_allclose(time_to_threshold(seconds, scores), [0, 2, math.inf, nan])
    own = [[0, 1, 2], [0, 3, 6]]
    assert_allclose(time_to_threshold(own, [[0, 1, 1], [0, 0, 1]]), [1, 6])


def test_share_made_worse_counts_neither_ties_nor_nans():
    assert share_made_worse([1, 1, 1, 1, nan], [0, 1, 2, 3, 0]) == 0.25
    assert math.isnan(share_made_worse([nan], [1]))


def test_worst_mean_by_hand():
    values = np.arange(40.0)[::-1]
    assert worst_mean(values) == 0.5  # the two worst of 40
    assert worst_mean([3, 1, nan, 2]) == 1  # less than one value: the worst
    assert_allclose(worst_mean([0, 1, 2, 3, 4], share=0.3), (0 + 0.5 * 1) / 1.5)
    assert math.isnan(worst_mean([nan]))
    with pytest.raises(InputError):
        worst_mean([1.0], share=5)
