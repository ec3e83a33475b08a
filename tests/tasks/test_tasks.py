"""Splits draw what they declare, and a task is the same task everywhere."""

import copy
import dataclasses
import itertools
import json
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metarl.errors import InputError
from metarl.tasks.parameter import Choice, Parameter
from metarl.tasks.randomness import Streams, key, mix, torch_generator
from metarl.tasks.space import DRIFT_PROBABILITY, SPLITS, ParameterSpace
from metarl.tasks.task import Switch, Task

DURATION = 8.0
PERIOD = 0.04
INDEX = st.integers(0, 10**6)
SEED = st.integers(-(2**31), 2**63)


def make_space():
    return ParameterSpace(
        "rig",
        {
            "mass": Parameter(
                1.0,
                train=(0.5, 2.0),
                near=((0.25, 0.5), (2.0, 3.0)),
                far=(3.0, 6.0),
                unit="kg",
            ),
            "friction": Parameter(
                1.0, train=(0.1, 1.0), near=(1.0, 2.0), far=(0.01, 0.1), scale="log"
            ),
            "offset": Parameter(
                (0.0, 0.0),
                size=2,
                train=(-1.0, 1.0),
                far=((-2.0, -1.0), (1.0, 2.0)),
            ),
            "gain": Parameter(4.0, train=(4.0, 4.0), near=(4.5, 5.0), unit="N/A"),
            "goal": Parameter(0.0, train=(-1.0, 1.0), goal=True),
            "leg": Choice("none", train=("none", "left", "right"), unseen=("rear",)),
            "gear": Choice(2, train=(1, 2), goal=True),
        },
        composition={"mass": (1.5, 2.0), "leg": ("left",)},
    )


SPACE = make_space()


def intervals(ranges):
    if ranges is None:
        return []
    return [ranges] if isinstance(ranges[0], float) else list(ranges)


def lies_in(value, ranges):
    items = value if isinstance(value, tuple) else (value,)
    return all(any(a <= item <= b for a, b in intervals(ranges)) for item in items)


def in_train(name, value):
    parameter = SPACE.parameters[name]
    if isinstance(parameter, Choice):
        return value in parameter.train
    return lies_in(value, parameter.train)


def in_corner(task):
    return 1.5 <= task["mass"] <= 2.0 and task["leg"] == "left"


def draw(split, index, seed=0):
    return make_space().draw(split, index, seed, DURATION, PERIOD)


# -- what the splits draw --------------------------------------------------------------


@given(st.sampled_from(["train", "interpolation"]), INDEX, SEED)
def test_train_and_interpolation_stay_in_the_box_and_out_of_the_corner(split, i, seed):
    task = draw(split, i, seed)
    assert all(in_train(name, value) for name, value in task.values)
    assert not in_corner(task)
    assert task.switch is None


@given(st.sampled_from(["near", "far"]), INDEX, SEED)
def test_shell_splits_leave_the_box_into_their_own_shell(split, i, seed):
    task = draw(split, i, seed)
    outside = [name for name, value in task.values if not in_train(name, value)]
    assert outside
    for name in outside:
        assert lies_in(task[name], getattr(SPACE.parameters[name], split))
    assert SPACE.distance(task) > 0


@pytest.mark.parametrize("split", ["near", "far"])
def test_every_parameter_with_a_shell_leaves_alone_and_with_others(split):
    able = {name for name, p in SPACE.parameters.items() if p.shell(split)}
    seen = {
        frozenset(n for n, v in draw(split, i).values if not in_train(n, v))
        for i in range(200)
    }
    assert {name for group in seen for name in group} == able
    assert {frozenset([name]) for name in able} <= seen
    assert any(len(group) > 1 for group in seen)


def test_both_sides_of_a_shell_are_drawn():
    masses = [draw("near", i)["mass"] for i in range(100)]
    outside = [mass for mass in masses if not 0.5 <= mass <= 2.0]
    assert min(outside) < 0.5 and max(outside) > 2.0


@given(INDEX, SEED)
def test_structure_draws_a_value_never_trained_on(i, seed):
    task = draw("structure", i, seed)
    assert task["leg"] == "rear"
    assert all(in_train(n, v) for n, v in task.values if n != "leg")


@given(INDEX, SEED)
def test_composition_lies_in_the_corner_of_the_box(i, seed):
    task = draw("composition", i, seed)
    assert in_corner(task)
    assert all(in_train(name, value) for name, value in task.values)
    assert SPACE.distance(task) == 0


@given(INDEX, SEED)
def test_switch_changes_the_dynamics_in_the_middle_and_keeps_the_goals(i, seed):
    task = draw("switch", i, seed)
    assert 0.25 * DURATION <= task.switch.at <= 0.75 * DURATION
    before, after = task.before_switch, task.after_switch
    assert before.switch is None and after.switch is None
    for half in (before, after):
        assert all(in_train(name, value) for name, value in half.values)
        assert not in_corner(half)
    assert (before["goal"], before["gear"]) == (after["goal"], after["gear"])
    assert before["mass"] != after["mass"]
    assert before["offset"] != after["offset"]


@given(INDEX, SEED)
def test_drift_changes_the_dynamics_again_and_again_and_keeps_the_goals(i, seed):
    task = draw("drift", i, seed)
    steps = [round(switch.at / PERIOD) for switch in task.switches]
    assert [switch.at for switch in task.switches] == [step * PERIOD for step in steps]
    assert steps == sorted(set(steps))
    assert steps[0] >= 1 and steps[-1] < DURATION / PERIOD
    assert len(task.phases) == len(steps) + 1
    for phase in task.phases:
        assert phase.switches == ()
        assert all(in_train(name, value) for name, value in phase.values)
        assert not in_corner(phase)
        assert (phase["goal"], phase["gear"]) == (task["goal"], task["gear"])
    for one, other in itertools.pairwise(task.phases):
        assert all(one[name] != other[name] for name in ("mass", "friction", "offset"))


def drifts(steps, tasks):
    """The control steps at which tasks of one parameter change, for each task."""
    space = ParameterSpace("rig", {"mass": Parameter(1.0, train=(0.5, 2.0))})
    every = [space.draw("drift", i, 0, steps * PERIOD, PERIOD) for i in range(tasks)]
    return [[round(switch.at / PERIOD) for switch in t.switches] for t in every]


def test_a_drift_changes_at_each_control_step_with_its_probability():
    steps, tasks = 2000, 200
    found = drifts(steps, tasks)
    every = np.concatenate(found)
    assert DRIFT_PROBABILITY == 0.01
    trials = (steps - 1) * tasks
    assert stats.binomtest(len(every), trials, 0.01).pvalue > 1e-3
    assert every.min() >= 1 and every.max() <= steps - 1
    uniform = stats.uniform(0.5, steps - 1)
    assert stats.kstest(every, uniform.cdf).pvalue > 1e-3
    gaps = np.concatenate([np.diff(one) for one in found])
    soon = int((gaps <= 50).sum())  # tasks whose gap the end cuts off hardly count
    assert soon / len(gaps) == pytest.approx(1 - 0.99**50, abs=0.04)
    # As many changes differ between tasks as coins do.
    spread = np.var([len(one) for one in found], ddof=1) / (19.99 * 0.99)
    low, high = stats.chi2(tasks - 1).ppf([1e-3, 1 - 1e-3]) / (tasks - 1)
    assert low < spread < high


def test_a_short_drift_changes_once_at_least():
    steps, tasks = 60, 400
    found = drifts(steps, tasks)
    assert min(map(len, found)) == 1
    quiet, once = 0.99 ** (steps - 1), (steps - 1) * 0.01 * 0.99 ** (steps - 2)
    ones = sum(len(one) == 1 for one in found)
    assert stats.binomtest(ones, tasks, quiet + once).pvalue > 1e-3
    single = [one[0] for one in found if len(one) == 1]
    assert stats.kstest(single, stats.uniform(0.5, steps - 1).cdf).pvalue > 1e-3
    assert drifts(2, 5) == [[1]] * 5


def test_a_longer_episode_drifts_as_the_shorter_one_did_and_goes_on():
    space = make_space()
    one, other = (space.draw("drift", 3, 0, t, PERIOD) for t in (20.0, 80.0))
    assert 1 < len(one.switches) < len(other.switches)
    assert other.phases[: len(one.phases)] == one.phases
    assert other.switches[: len(one.switches)] == one.switches


@pytest.mark.parametrize("given", [(DURATION,), (PERIOD, PERIOD)])
def test_a_drift_without_control_steps_is_refused(given):
    with pytest.raises(InputError, match="two control steps"):
        make_space().draw("drift", 0, 0, *given)


def test_train_tasks_drift_where_they_are_asked_to_and_begin_as_they_would():
    """With a probability of their own, perhaps never, and back into the train range."""
    space = make_space()
    steps, p = 100, 0.02

    def drawn(i, drift):
        return space.draw("train", i, 0, steps * PERIOD, PERIOD, drift)

    tasks = [drawn(i, p) for i in range(300)]
    assert all(t.before_switch == drawn(i, 0) for i, t in enumerate(tasks))
    counts = [len(task.switches) for task in tasks]
    assert min(counts) == 0  # unlike those of the split `drift`
    assert stats.binomtest(sum(counts), (steps - 1) * len(tasks), p).pvalue > 1e-3
    for task in tasks:
        for phase in task.phases[1:]:
            assert all(in_train(name, value) for name, value in phase.values)
            assert (phase["goal"], phase["gear"]) == (task["goal"], task["gear"])


def test_a_training_drift_of_what_cannot_change_is_refused():
    space = ParameterSpace("rig", {"goal": Parameter(1.0, train=(0, 2), goal=True)})
    with pytest.raises(InputError, match=r"drift=0\.1 changes nothing: no parameter"):
        space.draw("train", 0, 0, DURATION, PERIOD, 0.1)


@pytest.mark.parametrize("split", ["switch", "drift"])
def test_no_change_leads_into_the_corner_with_what_stays(split):
    names = ("mass", "limb")
    space = ParameterSpace(
        "rig",
        {
            "mass": Parameter(1.0, train=(0.0, 2.0)),
            "limb": Parameter(1.0, train=(0.0, 2.0), switches=False),
        },
        {name: (0.5, 2.0) for name in names},
    )
    for i in range(50):
        task = space.draw(split, i, 0, DURATION, PERIOD)
        for phase in task.phases:
            assert min(phase[name] for name in names) < 0.5
            assert phase["limb"] == task["limb"]


def test_train_fills_the_box():
    tasks = [draw("train", i) for i in range(400)]
    masses = np.array([task["mass"] for task in tasks if task["leg"] != "left"])
    assert stats.kstest(masses, stats.uniform(0.5, 1.5).cdf).pvalue > 1e-3
    logs = np.log10([task["friction"] for task in tasks])
    assert stats.kstest(logs, stats.uniform(-1, 1).cdf).pvalue > 1e-3
    offsets = np.array([task["offset"] for task in tasks])
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.2
    legs = [task["leg"] for task in tasks]
    assert all(legs.count(leg) > 60 for leg in ("none", "left", "right"))


def test_a_range_of_zero_width_is_a_known_quantity_in_training():
    assert {draw("train", i)["gain"] for i in range(20)} == {4.0}
    vector = ParameterSpace(
        "rig", {"v": Parameter((1.0, 1.0, 1.0), size=3, train=(1.0, 1.0), far=(2, 3))}
    )
    assert vector.draw("train", 0, 0, 1.0)["v"] == (1.0, 1.0, 1.0)


# -- the same task everywhere ----------------------------------------------------------


@given(st.sampled_from(SPLITS), st.lists(INDEX, min_size=1, max_size=4), SEED)
def test_a_task_depends_on_seed_split_and_index_alone(split, indices, seed):
    alone = {i: draw(split, i, seed) for i in indices}
    space = make_space()
    for i in reversed(indices):
        space.draw("train", i + 1, seed, DURATION)
        assert space.draw(split, i, seed, DURATION, PERIOD) == alone[i]


def test_family_tasks_are_the_same_whatever_their_number_or_start(point):
    many = point.tasks("far", 12, seed=3)
    assert point.tasks("far", 4, seed=3, start=5) == many[5:9]
    assert [point.tasks("far", 1, 3, i)[0] for i in reversed(range(12))] == many[::-1]


def test_another_parameter_does_not_change_what_the_others_draw():
    wider = make_space()
    wider.parameters = {
        "extra": Parameter(0.0, train=(0.0, 1.0)),
        **wider.parameters,
    }
    one, other = draw("train", 7), wider.draw("train", 7, 0, DURATION)
    assert all(other[name] == value for name, value in one.values)


@pytest.mark.parametrize(
    "split", ["train", "interpolation", "near", "far", "switch", "drift"]
)
def test_another_seed_split_or_index_is_another_task(split):
    assert draw(split, 0, seed=0) != draw(split, 0, seed=1)
    assert draw(split, 0) != draw(split, 1)
    others = [draw(other, 0) for other in SPLITS if other != split]
    assert draw(split, 0) not in others


def test_the_switch_time_does_not_move_the_tasks():
    one = make_space().draw("switch", 0, 0, 10.0)
    other = make_space().draw("switch", 0, 0, 20.0)
    assert one.before_switch == other.before_switch
    assert one.after_switch == other.after_switch
    assert other.switch.at == pytest.approx(2 * one.switch.at)


def test_a_numpy_seed_is_the_same_seed():
    assert draw("train", 0, seed=np.int64(3)) == draw("train", 0, seed=3)


# -- a task is a value -----------------------------------------------------------------


@given(st.sampled_from(SPLITS), INDEX, SEED)
def test_json_round_trip_gives_an_equal_task(split, i, seed):
    task = draw(split, i, seed)
    again = Task.from_json(task.to_json())
    assert again == task
    assert hash(again) == hash(task)
    assert SPACE.check(again) == task
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    assert copy.deepcopy(task) == task


def changing(*times):
    """A task that gains 0.1 kg at each of these times."""
    values = [SPACE.task(mass=1.0 + 0.1 * n).values for n in range(len(times) + 1)]
    return Task("rig", values[0], tuple(map(Switch, times, values[1:])))


def test_one_switch_is_written_as_ever_and_several_are_listed():
    plain, one, several = changing().to_dict(), changing(1.0), changing(1.0, 2.5)
    first, second = (dict(SPACE.task(mass=mass).values) for mass in (1.1, 1.2))
    listed = [{"at": 1.0, "values": first}, {"at": 2.5, "values": second}]
    assert plain == {"family": "rig", "values": dict(SPACE.task().values)}
    assert one.to_dict() == {**plain, "switch": listed[0]}
    assert several.to_dict() == {**plain, "switches": listed}
    for task in (one, several):
        assert Task.from_json(task.to_json()) == task


def test_a_task_that_metarl_0_1_wrote_is_read():
    text = '{"family": "rig", "values": {"v": [1.0, 2.0]}'
    assert Task.from_json(text + "}") == Task("rig", (("v", (1.0, 2.0)),))
    text += ', "switch": {"at": 1, "values": {"v": [3.0, 4.0]}}}'
    task = Task.from_json(text)
    assert task.switch == Switch(1.0, (("v", (3.0, 4.0)),))
    assert task.switches == (task.switch,)


def test_one_switch_or_none_may_be_given_as_it_is():
    task = changing(1.0)
    assert Task("rig", task.values, task.switch) == task
    assert Task("rig", task.values, None) == Task("rig", task.values)
    assert hash(Task("rig", task.values, task.switch)) == hash(task)


def test_the_phases_of_a_task():
    plain, one, several = changing(), changing(1.0), changing(1.0, 2.0, 3.0)
    assert plain.phases == (plain,) and plain.switch is None
    assert plain.before_switch is plain and plain.after_switch is plain
    assert one.phases == (one.before_switch, one.after_switch)
    assert [phase["mass"] for phase in several.phases] == [1.0, 1.1, 1.2, 1.3]
    assert several.switch == several.switches[0]
    assert several.phases[:2] == (several.before_switch, several.after_switch)
    assert SPACE.check(several) == several


def test_a_task_shows_its_first_change_and_counts_the_others():
    changes = [str(changing(*times)).split("; ")[1:] for times in ((), (1.0,))]
    assert changes[0] == []
    (first,) = changes[1]
    assert first.startswith("from 1.00 s: mass=1.1, ")
    assert str(changing(1.0, 2.0)).split("; ")[1:] == [first, "1 further change"]
    assert str(changing(1, 2, 3)).split("; ")[1:] == [first, "2 further changes"]


def test_tasks_are_keys_and_frozen():
    task = draw("train", 0)
    assert {task: 1}[draw("train", 0)] == 1
    with pytest.raises(AttributeError):
        task.values = ()


def test_reading_a_task():
    task = SPACE.task(mass=2.5)
    assert task["mass"] == 2.5
    assert "mass" in task and "speed" not in task
    with pytest.raises(InputError, match=r"'mas'.*mean 'mass'"):
        task["mas"]
    assert "mass=2.5" in str(task)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "5",
        "[]",
        "{}",
        '{"family": "rig"}',
        '{"family": "rig", "values": 3}',
        '{"family": "rig", "values": {}, "switch": {"at": 1}}',
        '{"family": "rig", "values": {}, "switch": {"at": "soon", "values": {}}}',
        '{"family": "rig", "values": {}, "switches": 2}',
        '{"family": "rig", "values": {}, "switches": {"at": 1, "values": {}}}',
        '{"family": "rig", "values": {}, "switches": [{"at": 1}]}',
    ],
)
def test_text_that_is_no_task_is_refused(text):
    with pytest.raises(InputError, match="Not a task"):
        Task.from_json(text)


def test_an_exact_task_has_the_given_values_and_nominal_ones():
    task = SPACE.task(mass=4.2, offset=[1, -2], leg="rear", gear=1)
    assert dict(task.values) == {
        "mass": 4.2,
        "friction": 1.0,
        "offset": (1.0, -2.0),
        "gain": 4.0,
        "goal": 0.0,
        "leg": "rear",
        "gear": 1,
    }
    assert task.switch is None


# -- distance and normalized values ----------------------------------------------------


@given(
    st.sampled_from(["train", "interpolation", "composition", "switch", "drift"]), INDEX
)
def test_distance_is_zero_inside_the_box(split, i):
    assert SPACE.distance(draw(split, i)) == 0


@pytest.mark.parametrize(
    ("values", "distance"),
    [
        ({"mass": 3.5}, 1.0),
        ({"mass": 0.25}, 1 / 6),
        ({"friction": 0.01}, 1.0),
        ({"friction": 2.0}, math.log10(2)),
        ({"offset": (2.0, 1.75)}, math.hypot(0.5, 0.375)),
        ({"offset": (2.0, 0.0)}, 0.5),
        ({"gain": 5.0}, 0.25),
        ({"leg": "rear"}, 1.0),
        ({"mass": 3.5, "friction": 0.01, "leg": "rear"}, math.sqrt(3)),
    ],
)
def test_distance_in_train_widths(values, distance):
    assert SPACE.distance(SPACE.task(**values)) == pytest.approx(distance)


@pytest.mark.parametrize(
    ("parameter", "value", "distance"),
    [
        (Parameter(1.0, train=(1, 1), far=(1, 3), scale="log"), math.e, 1.0),
        (Parameter(0.0, train=(0, 0), far=(0, 3)), 2.0, 2.0),
        (Parameter(-2.0, train=(-2, -2), far=(-6, -2)), -5.0, 1.5),
    ],
)
def test_distance_from_a_range_of_zero_width(parameter, value, distance):
    space = ParameterSpace("rig", {"x": parameter})
    assert space.distance(space.task(x=value)) == pytest.approx(distance)


def test_a_switch_is_as_far_as_its_further_half():
    near, far = SPACE.task(mass=2.75), SPACE.task(mass=3.5)
    for one, other in ((near, far), (far, near)):
        task = Task("rig", one.values, Switch(1.0, other.values))
        assert SPACE.distance(task) == pytest.approx(1.0)


def test_a_drift_is_as_far_as_its_furthest_phase():
    masses = [SPACE.task(mass=mass).values for mass in (1.0, 3.5, 2.75)]
    for one, *others in itertools.permutations(masses):
        task = Task("rig", one, tuple(map(Switch, (1.0, 2.0), others)))
        assert SPACE.distance(task) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"goal": 0.5}, "changes 'goal' from 0 to 0.5, but a goal stays"),
        ({"gear": 1}, "changes 'gear' from 2 to 1, but a goal stays"),
        ({"limb": 1.5}, "changes 'limb' from 1 to 1.5, but this stays"),
    ],
)
def test_a_switch_of_what_cannot_change_is_refused(changed, said):
    limb = Parameter(1.0, train=(0.5, 2.0), switches=False)
    space = ParameterSpace("rig", {**SPACE.parameters, "limb": limb})
    before, later = space.task(), space.task(mass=2.0)
    fine = Task("rig", before.values, Switch(1.0, later.values))
    assert space.check(fine) == fine
    later = space.task(mass=2.0, **changed)
    with pytest.raises(InputError, match=said):
        space.check(Task("rig", before.values, Switch(1.0, later.values)))
    second = (*fine.switches, Switch(2.0, later.values))
    with pytest.raises(InputError, match=said):
        space.check(Task("rig", before.values, second))


@pytest.mark.parametrize("times", [(2.0, 1.0), (1.0, 1.0), (1.0, 3.0, 2.0)])
def test_switches_out_of_order_are_refused(times):
    with pytest.raises(InputError, match="order of their times"):
        SPACE.check(changing(*times))


def test_normalized_values_are_minus_one_and_one_at_the_bounds():
    low = {"mass": 0.25, "friction": 0.01, "offset": (-2.0, 2.0), "gain": 4.0}
    view = SPACE.normalized(SPACE.task(**low, goal=-1.0, leg="left", gear=1))
    expected = [-1, -1, -1, 1, -1, -1, 0, 1, 0, 0, 1, 0]
    assert view.dtype == torch.float32
    torch.testing.assert_close(view, torch.tensor(expected, dtype=torch.float32))


def test_normalized_values_follow_the_scale():
    view = SPACE.normalized(SPACE.task(mass=3.125, friction=math.sqrt(0.02)))
    torch.testing.assert_close(view[:2], torch.zeros(2))
    fixed = ParameterSpace("rig", {"x": Parameter(3.0, train=(3, 3))})
    assert fixed.normalized(fixed.task()).tolist() == [0.0]


def test_columns_hold_every_parameter():
    columns = SPACE.columns([SPACE.task(), SPACE.task(mass=2.0, leg="rear", gear=1)])
    assert columns["mass"].tolist() == [1.0, 2.0]
    assert columns["offset"].shape == (2, 2)
    assert columns["leg"].tolist() == [0, 3]
    assert columns["gear"].tolist() == [2, 1]
    assert all(column.dtype == torch.float64 for column in columns.values())


# -- what is refused, and how ----------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        (Parameter(1.0, train=(2.0, 0.5)), "'x'.*train.*2.0, 0.5.*lower bound"),
        (Parameter(1.0, train=(0.5, math.nan)), "'x'.*train.*nan.*not finite"),
        (Parameter(1.0, train=(0.5, math.inf)), "'x'.*train.*inf.*not finite"),
        (Parameter(1.0, train=(0, 2), near=(1, 3)), "'x'.*near.*1.0, 3.0.*overlaps.*t"),
        (
            Parameter(1.0, train=(0, 1), near=(1, 3), far=(2, 4)),
            "'x'.*far.*overlaps.*n",
        ),
        (Parameter(1.0, train=(0, 1), far=(2, 2)), "'x'.*far.*2.0, 2.0.*lower bound"),
        (
            Parameter(1.0, train=(0.0, 1.0), scale="log"),
            r"'x'.*train.*0.0, 1.0.*above 0",
        ),
        (
            Parameter(1.0, train=(1, 2), far=(-1, 1), scale="log"),
            "'x'.*far.*-1.0.*above",
        ),
        (Parameter(1.0, train=5), "'x'.*train=5"),
        (Parameter(1.0, train=(1.0,)), r"'x'.*train=\(1.0,\)"),
        (Parameter(1.0, train=(0.0, 1.0, 2.0)), r"'x'.*train=\(0.0, 1.0, 2.0\)"),
        (Parameter(1.0, train="ab"), "'x'.*train='ab'"),
        (Parameter(1.0, train=()), r"'x'.*train=\(\)"),
        (Parameter(1.0, train=((0.0, 1.0), (2.0, 3.0))), "'x'.*train.*one interval"),
        (Parameter(1.0, train=(0, 2), near=((2, 3), 4)), r"'x'.*near=\(\(2, 3\), 4\)"),
        (Parameter(3.0, train=(0.5, 2.0), unit="kg"), "'x' is 3 kg, above.*2 kg"),
        (Parameter(math.nan, train=(0.5, 2.0)), "'x' is nan.*not finite"),
        (Parameter(1.0, train=(0, 2), size=2), "'x' takes 2 numbers, got 1.0"),
        (Parameter(1.0, train=(0, 2), size=0), "'x'.*size=0"),
        (Parameter(1.0, train=(0, 2), scale="cubic"), "'x'.*scale='cubic'"),
        (Choice("a", train=()), "'x'.*train"),
        (Choice("c", train=("a", "b")), "'x'.*'c'.*Known: a, b"),
        (Choice("a", train=("a", "b"), unseen=("b",)), "'x'.*repeats"),
        (Choice("a", train=("a", None)), "'x'.*None"),
    ],
)
def test_a_wrong_declaration_is_refused(parameter, said):
    with pytest.raises(InputError, match=said):
        ParameterSpace("rig", {"x": parameter})


def test_an_interval_in_brackets_is_the_interval():
    space = ParameterSpace("rig", {"x": Parameter(1.0, train=((0.0, 2.0),))})
    assert 0.0 <= space.draw("train", 0, 0, 1.0)["x"] <= 2.0
    assert space.distance(space.task(x=2.0)) == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mass": 6.5}, "'mass' is 6.5 kg, above its upper bound 6 kg"),
        ({"mass": 0.2}, "'mass' is 0.2 kg, below its lower bound 0.25 kg"),
        ({"mass": -math.inf}, "'mass' is -inf.*not finite"),
        ({"mass": math.nan}, "'mass' is nan.*not finite"),
        ({"mass": "heavy"}, "'mass' takes a number, got 'heavy'"),
        ({"mass": None}, "'mass' takes a number, got None"),
        ({"mass": (1.0, 2.0)}, r"'mass' takes a number, got \(1.0, 2.0\)"),
        ({"offset": 1.0}, "'offset' takes 2 numbers, got 1.0"),
        ({"offset": (1.0, 0.0, 0.0)}, "'offset' takes 2 numbers"),
        ({"offset": (0.0, 2.5)}, "'offset' is 2.5 1, above its upper bound 2"),
        ({"mas": 1.0}, "parameter 'mas'.*mean 'mass'"),
        ({"leg": "lef"}, "'leg'.*'lef'.*mean 'left'.*Known:"),
        ({"gear": 3}, "'gear'.*'3'.*Known: 1, 2"),
    ],
)
def test_a_wrong_value_is_refused(values, said):
    with pytest.raises(InputError, match=said):
        SPACE.task(**values)
    task = Task("rig", tuple({**dict(SPACE.task().values), **values}.items()))
    with pytest.raises(InputError, match=said):
        SPACE.check(task)
    switched = Task("rig", SPACE.task().values, Switch(1.0, tuple(values.items())))
    with pytest.raises(InputError, match=said):
        SPACE.check(switched)


@pytest.mark.parametrize("at", [-1.0, math.nan, math.inf])
def test_a_switch_at_an_impossible_time_is_refused(at):
    task = SPACE.task()
    with pytest.raises(InputError, match=f"Switch at {at}"):
        SPACE.check(Task("rig", task.values, Switch(at, task.values)))


def test_a_task_of_another_family_is_refused():
    twin = ParameterSpace("twin", SPACE.parameters)
    with pytest.raises(InputError, match=r"(?s)rig.*twin|twin.*rig"):
        SPACE.check(twin.task())


def test_an_unknown_split_is_refused():
    with pytest.raises(InputError, match=r"'ner'.*mean 'near'.*composition"):
        draw("ner", 0)


@pytest.mark.parametrize(
    "split", ["near", "far", "composition", "structure", "switch", "drift"]
)
def test_a_split_that_the_family_has_not_is_refused(split):
    plain = ParameterSpace("rig", {"x": Parameter(1.0, train=(1, 1))})
    assert plain.splits == ("train", "interpolation")
    with pytest.raises(InputError, match=f"'rig' has no split '{split}'.*train, int"):
        plain.draw(split, 0, 0, DURATION)


@pytest.mark.parametrize(
    ("composition", "said"),
    [
        ({"mass": (1.5, 2.0)}, "two or more"),
        ({"mas": (1.5, 2.0), "leg": ("left",)}, "'mas'.*mean 'mass'"),
        ({"mass": (1.5, 2.5), "leg": ("left",)}, r"mass.*\(1.5, 2.5\).*\(0.5, 2.0\)"),
        ({"mass": (2.0, 1.5), "leg": ("left",)}, r"mass.*\(2.0, 1.5\).*\(0.5, 2.0\)"),
        ({"mass": (0.5, 2.0), "leg": ("left",)}, "mass.*true part"),
        ({"mass": (1.5, 2.0), "leg": ("rear",)}, "leg.*rear.*true part"),
        ({"mass": (1.5, 2.0), "gain": (4.0, 4.0)}, "gain.*true part"),
    ],
)
def test_a_wrong_composition_is_refused(composition, said):
    with pytest.raises(InputError, match=said):
        ParameterSpace("rig", SPACE.parameters, composition)


def test_a_corner_may_span_a_vector():
    space = ParameterSpace(
        "rig", SPACE.parameters, {"mass": (1.5, 2.0), "offset": (0.0, 1.0)}
    )

    def inside(task):
        return task["mass"] >= 1.5 and all(item >= 0.0 for item in task["offset"])

    assert all(inside(space.draw("composition", i, 0, 1.0)) for i in range(20))
    assert not any(inside(space.draw("train", i, 0, 1.0)) for i in range(100))


# -- random numbers --------------------------------------------------------------------


def streams(n, *parts):
    return Streams(mix(key(*parts), np.arange(n)))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5))
def test_a_stream_depends_on_its_own_key_alone(others):
    alone = streams(1, "a").normal(6)
    beside = Streams(mix(key("a"), np.array([0, *(1 + i for i in others)])))
    assert torch.equal(beside.normal(6)[:1], alone)
    streams(3, "b").uniform(10)
    assert torch.equal(streams(1, "a").normal(6), alone)


def test_a_stream_goes_on_where_it_stopped():
    split = streams(4, "a")
    parts = torch.cat([split.uniform(3), split.uniform(2), split.uniform(4)], 1)
    assert torch.equal(parts, streams(4, "a").uniform(9))
    assert not torch.equal(split.uniform(9), parts)


def test_moments_of_uniform_normal_and_integers():
    n = 200_000
    uniform = streams(n, "u").uniform(low=-1.0, high=3.0)
    assert uniform.min() > -1 and uniform.max() < 3
    assert uniform.mean().item() == pytest.approx(1.0, abs=0.02)
    assert uniform.var().item() == pytest.approx(16 / 12, abs=0.02)
    normal = streams(100, "n").normal(n // 100).flatten()
    assert normal.dtype == torch.float64
    assert normal.mean().item() == pytest.approx(0.0, abs=0.02)
    assert normal.var().item() == pytest.approx(1.0, abs=0.02)
    assert stats.kstest(normal[:5000].numpy(), "norm").pvalue > 1e-3
    counts = streams(n, "i").integers(5).bincount()
    assert len(counts) == 5
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_neighbouring_keys_and_numbers_do_not_correlate():
    grid = streams(300, "grid").normal(300)
    assert (grid[1:] * grid[:-1]).mean().abs() < 0.02
    assert (grid[:, 1:] * grid[:, :-1]).mean().abs() < 0.02
    assert len(grid.unique()) == grid.numel()


def test_keys_differ_in_every_part_and_order():
    parts = [(0, "a"), (1, "a"), (0, "b"), ("a", 0), ("0", "a"), (0,), (0, "a", 0)]
    assert len({key(*part) for part in parts}) == len(parts)
    keys = mix(key("k"), np.arange(50)[:, None], np.arange(50))
    assert len(np.unique(keys)) == 2500


def test_nothing_touches_the_global_generators(point):
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    from metarl.environment.environment import Environment

    point.tasks("far", 3)
    streams(3, "a").normal(4)
    torch.rand(3, generator=torch_generator(0, "weights"))
    environment = Environment(point, point.tasks("train", 2), threads=1)
    environment.reset(3)
    environment.step(torch.zeros(2, 2))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_a_torch_generator_belongs_to_its_purpose():
    one, again, other = (
        torch.rand(4, generator=torch_generator(0, purpose))
        for purpose in ("weights", "weights", "noise")
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.fixture(scope="module")
def point():
    from metarl.environment.registry import make_family

    return make_family("point-goal")


def test_a_choice_may_be_given_as_text():
    choice = Choice(2, train=(1, 2))
    assert choice.coerce("gear", "1") == 1
    assert choice.coerce("gear", 2) == 2
    with pytest.raises(InputError, match="gear"):
        choice.coerce("gear", "3")


# -- values of files and arrays --------------------------------------------------------


@pytest.mark.parametrize("bound", [0.7, 3.3, -0.1, 1e-4, 12345.6])
@pytest.mark.parametrize("size", [1, 2])
def test_a_bound_in_float32_is_the_bound(bound, size):
    bounds = sorted((bound, bound + 5.0))
    for parameter in (
        Parameter(bounds[0] if size == 1 else (bounds[0],) * size, train=bounds),
        Parameter(bounds[1] if size == 1 else (bounds[1],) * size, train=bounds),
    ):
        parameter = dataclasses.replace(parameter, size=size)
        given = np.full(size, parameter.nominal, np.float32)
        given = given if size > 1 else given[0]
        kept = parameter.coerce("x", given)
        assert np.allclose(kept, parameter.nominal, rtol=1e-6, atol=0)
        assert parameter.distance(kept) == 0


def test_a_bound_of_a_tensor_is_the_bound():
    parameter = Parameter(1.0, train=(0.7, 3.3))
    assert parameter.coerce("x", torch.tensor(0.7)) == 0.7
    assert parameter.coerce("x", torch.tensor(3.3)) == pytest.approx(3.3)


@pytest.mark.parametrize("value", [0.7 - 1e-6, 0.7 - 1e-5, 3.3 + 1e-5, np.float16(3.3)])
def test_a_refusal_shows_how_far_out_of_bounds_a_value_is(value):
    with pytest.raises(InputError) as refused:
        Parameter(1.0, train=(0.7, 3.3), unit="kg").coerce("x", value)
    given, bound = re.findall(r"(\S+) kg", str(refused.value))
    assert given != bound
    assert float(bound) in (0.7, 3.3)
    assert float(given) == pytest.approx(float(value), rel=1e-5)


def test_zero_as_a_bound_has_no_rounding():
    with pytest.raises(InputError, match=r"is -0\.0001 1, below its lower bound 0 1"):
        Parameter(1.0, train=(0.0, 1000.0)).coerce("x", -1e-4)


@pytest.mark.parametrize(
    ("values", "given", "kept"),
    [
        ((0.1, 0.2), np.float32(0.1), 0.1),
        ((0.1, 0.2), float(np.float32(0.2)), 0.2),
        ((0.1, 0.2), "0.10", 0.1),
        ((1, 2), "2.0", 2),
        ((1, 2), np.int64(2), 2),
        ((1, 2), torch.tensor(2), 2),
        ((True, False), "False", False),
        ((True, False), np.bool_(True), True),
        (("a", "b"), np.str_("b"), "b"),
    ],
)
def test_a_choice_is_found_as_files_and_arrays_have_it(values, given, kept):
    found = Choice(values[0], train=values).coerce("x", given)
    assert found is kept or (found == kept and type(found) is type(kept))


@pytest.mark.parametrize("given", ["", None, math.nan, np.arange(2), [1], 1.5, 10**400])
def test_no_choice_is_refused_in_words(given):
    with pytest.raises(InputError, match=r"'x'.*Known: 1, 2"):
        Choice(1, train=(1, 2)).coerce("x", given)


def test_a_huge_integer_is_refused_in_words():
    with pytest.raises(InputError, match="'x' takes a number"):
        Parameter(1.0, train=(0, 1)).coerce("x", 10**400)
