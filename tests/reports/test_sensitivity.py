"""Which parameter decides: shares against numbers worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic import evaluation

from metarl.evaluation.results import (
    Evaluation,
    ParameterInfo,
    Point,
    ProtocolInfo,
    Split,
)
from metarl.reports.page import piece
from metarl.reports.sensitivity import Value, effects, sensitivity, values, worst
from metarl.tasks.task import Task


def evaluated(returns, **values):
    """An evaluation of tasks with these values and these returns after adaptation."""
    return Evaluation(
        ProtocolInfo(len(returns), 1, (0,)), {"far": split_of(returns, **values)}
    )


def split_of(returns, **values):
    rows = zip(*values.values(), strict=True)
    tasks = [
        Task(
            "made-up",
            tuple(
                (n, tuple(v) if isinstance(v, list) else v)
                for n, v in zip(values, row, strict=True)
            ),
        )
        for row in rows
    ]
    numbers = tuple(math.nan if value is None else value for value in returns)
    point = Point(0, (0.0,) * len(numbers), numbers)
    return Split(tuple(tasks), (0.0,) * len(tasks), (point,))


def test_a_share_by_hand():
    # Group means 1 and 4 around 2.5: between 4 * 1.5^2 = 9, within 4 * 1 = 4.
    (effect,) = effects([evaluated([0, 2, 3, 5], leg=["FL", "FL", "RR", "RR"])])
    assert effect.share == pytest.approx(1 - (4 / 13) * (3 / 2))
    assert effect.groups == [("FL", 1.0), ("RR", 4.0)]


def test_the_parameter_that_decides_comes_first():
    rng = np.random.default_rng(0)
    mass, friction = rng.uniform(1, 2, 200), rng.uniform(0, 1, (200, 2))
    returns = 10 * mass + rng.normal(size=200)
    found = effects(
        [evaluated(returns, mass=mass.tolist(), friction=friction.tolist())]
    )
    assert found[0].name == "mass"
    assert {effect.name for effect in found} == {"mass", "friction 1", "friction 2"}
    assert found[0].share > 0.8
    assert all(effect.share < 0.1 for effect in found[1:])
    means = [mean for _, mean in found[0].groups]
    assert means == sorted(means) and len(means) == 5
    assert found[0].groups[0][0].startswith("1") and " to " in found[0].groups[0][0]


def test_ranges_are_told_apart():
    density = [800.0, 951.4, 1012.3, 1134.0, 1187.0, 1249.6]
    (effect,) = effects([evaluated([1, 2, 3, 4, 5, 6], density=density)])
    assert [words for words, _ in effect.groups] == [
        "800 to 951",
        *("1012 to 1012", "1134 to 1134", "1187 to 1187", "1250 to 1250"),
    ]


def test_what_never_varies_and_what_is_undefined_is_left_out():
    found = effects([evaluated([1.0, None, 3.0], mass=[1, 1, 1], kind=["a", "a", "b"])])
    assert [effect.name for effect in found] == ["kind"]
    assert found[0].groups == [("a", 1.0), ("b", 3.0)]


def test_seeds_are_taken_together():
    both = [evaluation("maml", seed) for seed in (0, 1)]
    (effect,) = effects(both)
    assert effect.name == "mass" and 0 < effect.share <= 1


@pytest.mark.parametrize("name", ["switch", "drift"])
def test_tasks_that_change_in_mid_episode_are_left_out(name):
    """Their values are those of the first phase."""
    one = evaluated([1, 2, 3, 4], mass=[1, 2, 3, 4])
    changing = split_of([9, 0], mass=[1, 2])
    one = replace(one, splits={**one.splits, name: changing})
    assert effects([one]) == effects([evaluated([1, 2, 3, 4], mass=[1, 2, 3, 4])])


def test_a_video_of_another_seed_is_of_another_task(tmp_path):
    one = evaluation()
    one = replace(one, protocol=replace(one.protocol, seed=7))
    index = int(np.argmin(one.splits["far"].points[-1].returns))
    videos = [tmp_path / f"far-{index}.mp4"]
    videos[0].write_bytes(b"")
    shown = piece("worst", worst(tmp_path, one, videos))
    assert f"--split far --task {index} --seed 7" in shown and "<video" not in shown
    videos.append(tmp_path / f"far-{index}-seed7.mp4")
    videos[1].write_bytes(b"")
    assert "<video" in piece("worst", worst(tmp_path, one, videos))


def test_values_have_units_and_those_outside_the_train_range_are_marked():
    parameters = (
        ParameterInfo("payload", "kg", train=((0.0, 2.0),), far=((2.0, 4.0),)),
        ParameterInfo("shape", scale="choice", train=("ball",), unseen=("cone",)),
        ParameterInfo("goal", "m", train=((-1.0, 1.0),), goal=True),
    )
    task = Task("made-up", (("payload", 3.0), ("shape", "ball"), ("goal", (0.5, 1.5))))
    one = replace(evaluated([1.0], payload=[3.0]), parameters=parameters)
    found = values(one, task)
    assert found == [
        Value("payload", "3 kg", "0 to 2 kg"),
        Value("shape", "ball"),
        Value("goal", "(0.5, 1.5) m", "−1 to 1 m"),  # noqa: RUF001
    ]
    inside = task.values[:1] and (("payload", 1.0), ("shape", "cone"))
    assert values(one, Task("made-up", inside)) == [
        Value("payload", "1 kg"),
        Value("shape", "cone", "ball"),
    ]
    (row,) = sensitivity([replace(evaluation(), parameters=parameters)]).rows
    assert row[0] == "mass"  # its unit is not known
    (row,) = sensitivity([evaluation()]).rows
    assert row[0] == "mass [kg]"


def test_tasks_of_one_value_are_in_one_group():
    """Most tasks of a family may have the nominal value."""
    friction = [0.2, 0.3, *[0.4] * 30, 0.5, 0.6, 0.7, 0.8]
    returns = np.arange(len(friction), dtype=float)
    (effect,) = effects([evaluated(returns.tolist(), friction=friction)])
    words = [words for words, _ in effect.groups]
    assert len(set(words)) == len(words)
    assert ("0.4 to 0.4", returns[2:32].mean()) in effect.groups
