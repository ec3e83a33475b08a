"""Typed results: what is written is read again, and errors name the field."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import evaluation

from metarl.environment.registry import make_family
from metarl.errors import InputError
from metarl.evaluation.results import Evaluation, ParameterInfo
from metarl.runs.evaluate import read_evaluation
from metarl.runs.pretrained import HOME, names

RESULTS = Path(__file__).parents[2] / "results"


def test_what_is_written_is_read_again():
    one = evaluation(success=False)
    assert Evaluation.from_json(one.to_json()) == one
    assert json.loads(one.to_json())["format"] == "metarl-evaluation/2"
    (point, *_) = one.splits["far"].points
    assert all(map(math.isnan, point.success))


def test_shipped_and_published_evaluations_of_the_first_format_are_read():
    plain = [
        json.loads((HOME / name / "evaluation.json").read_text()) for name in names()
    ]
    for path in sorted(RESULTS.glob("*/results.json")):
        found = json.loads(path.read_text())
        plain += [found[agent] for agent in ("randomized", "oracle") if agent in found]
        plain += found.get("evaluations", [])
    assert len(plain) > 10
    for old in plain:
        read = Evaluation.from_dict(old)
        new = read.to_dict()
        assert new["splits"] == old["splits"]
        assert new["run"] == old["run"] and new["cost"] == old["cost"]
        assert read.parameters == () and read.parameter("mass") is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run.family", None),
        ("splits", {}),
        ("splits", 3),
        ("protocol", "none"),
        ("splits.far.tasks", []),
        ("splits.far.distance", [0.0]),
        ("splits.far.points[1].return", [1.0, 2.0]),
        ("splits.far.points[1].success", ["yes"] * 12),
        ("splits.far.points[2].seconds", [None] * 12),
        ("splits.far.points[0].episodes", "none"),
        ("splits.far.points[0].metrics", []),
        ("splits.far.tasks[3]", {"mass": 1}),
    ],
)
def test_an_error_names_the_file_and_the_field(field, value, tmp_path):
    plain = evaluation().to_dict()
    *way, last = field.replace("[", ".").replace("]", "").split(".")
    place = plain
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[int(last) if last.isdigit() else last] = value
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(plain))
    with pytest.raises(InputError) as error:
        read_evaluation(path)
    named = field if field != "splits.far.tasks" else "splits.far"
    assert str(path) in str(error.value) and named in str(error.value)


def test_a_missing_field_is_named():
    plain = evaluation().to_dict()
    del plain["splits"]["near"]["points"][4]["metrics"]
    with pytest.raises(InputError, match=r"splits\.near\.points\[4\]\.metrics"):
        Evaluation.from_dict(plain)


def test_parameters_know_their_units_and_ranges():
    family = make_family("arm-lift")
    found = {n: ParameterInfo.of(n, p) for n, p in family.space.parameters.items()}
    assert found["mass"].unit == "kg"
    low, high = found["mass"].train[0]
    assert found["mass"].in_train_range(low) and found["mass"].in_train_range(high)
    assert not found["mass"].in_train_range(2 * high)
    assert found["shape"].scale == "choice" and found["shape"].unseen
    assert not found["shape"].in_train_range(found["shape"].unseen[0])
    assert found["com_offset"].in_train_range((0.0, 0.0))
    assert not found["com_offset"].in_train_range((0.0, 9.0))
    written = replace(evaluation(), parameters=tuple(found.values()))
    assert Evaluation.from_json(written.to_json()).parameters == written.parameters


def test_scores_are_tasks_by_points_and_nan_where_nothing_was_measured():
    split = evaluation().splits["far"]
    returns = split.scores("return")
    assert returns.shape == (12, 6)
    assert returns[3, 1] == split.points[1].returns[3]
    assert (
        split.scores("velocity_error")[3, 1]
        == split.points[1].metrics["velocity_error"][3]
    )
    assert np.isnan(split.scores("height")).all()
    assert np.isnan(split.scores("online_return")[:, 0]).all()


def test_a_frame_has_a_row_per_split_task_and_point():
    pytest.importorskip("pandas")
    one = evaluation()
    frame = one.to_frame()
    assert len(frame) == 3 * 12 * 6
    row = frame[(frame.split == "far") & (frame.task == 3) & (frame.episodes == 5)]
    (row,) = row.to_dict("records")
    point = one.splits["far"].points[3]
    assert row["run"] == "maml" and row["seed"] == 0
    assert row["mass"] == one.splits["far"].tasks[3]["mass"]
    assert row["distance"] == one.splits["far"].distance[3]
    assert row["return"] == point.returns[3]
    assert row["velocity_error"] == point.metrics["velocity_error"][3]
