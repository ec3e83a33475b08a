"""Evaluating a run adds to what its folder holds, and never erases."""

import json
from dataclasses import replace

import pytest
from synthetic import evaluation

import metarl
from metarl.errors import InputError
from metarl.reports.compare import compare
from metarl.reports.records import read_record
from metarl.reports.report import report
from metarl.runs.evaluate import keep, median_task, read_evaluation
from metarl.runs.files import sha256

SIZES = {"tasks": 2, "budgets": (0, 1), "query_episodes": 1}


@pytest.fixture
def run(tmp_path):
    return metarl.train(
        "point-goal",
        "randomized",
        steps=200,
        out=tmp_path,
        family_options={"horizon": 8},
        agent_config={"simulations": 4, "rollout": 8, "pool": 4},
        quiet=True,
    )


def others(run):
    return sorted((run.path / "evaluations").glob("*.json"))


def test_another_split_of_the_same_protocol_is_added(run):
    far = metarl.evaluate(run, splits=["far"], **SIZES)
    near = metarl.evaluate(run, splits=["near"], **SIZES)
    assert list(far.splits) == ["far"] and list(near.splits) == ["near"]
    kept = read_evaluation(run.path / "evaluation.json")
    assert kept.splits == {"far": far.splits["far"], "near": near.splits["near"]}
    assert kept.wall_seconds == pytest.approx(far.wall_seconds + near.wall_seconds)
    assert kept.parameters and kept.parameters == near.parameters
    assert not others(run)


def test_a_split_that_is_evaluated_again_is_replaced(run):
    first = metarl.evaluate(run, splits=["far", "near"], **SIZES)
    bad = replace(first.splits["far"].points[0], returns=(-1.0, -1.0))
    broken = replace(first.splits["far"], points=(bad,))
    keep(run.path, replace(first, splits={"far": broken}))
    assert read_evaluation(run.path / "evaluation.json").splits["far"] == broken
    metarl.evaluate(run, splits=["far"], **SIZES)
    kept = read_evaluation(run.path / "evaluation.json")
    assert kept.splits == first.splits


def test_an_evaluation_says_which_weights_it_is_of(run):
    found = metarl.evaluate(run, splits=["far"], **SIZES)
    (path,) = run.checkpoints.glob("step_*")
    assert found.run.weights_sha256 == sha256(path / "weights.safetensors")
    other = replace(found.run, weights_sha256="0" * 64)
    keep(run.path, replace(found, run=other))  # of another checkpoint of this length
    (moved,) = others(run)
    assert read_evaluation(moved) == found
    record = read_record(run.path)
    assert "other weights" in record.stale
    assert "other weights" in report([run]).read_text()
    with (
        pytest.warns(RuntimeWarning, match="other weights"),
        pytest.raises(InputError, match="needs two agents"),
    ):
        compare([run, run])
    keep(run.path, found)
    assert not read_record(run.path).stale


def test_another_protocol_moves_the_old_results_and_says_so(run, capsys):
    first = metarl.evaluate(run, splits=["far"], **SIZES)
    second = metarl.evaluate(run, splits=["far"], **{**SIZES, "tasks": 3})
    (moved,) = others(run)
    assert read_evaluation(moved) == first
    assert read_evaluation(run.path / "evaluation.json") == second
    said = capsys.readouterr().out
    assert str(moved) in said and "tasks=2, now 3" in said
    # Back to the first protocol: its splits are together again.
    metarl.evaluate(run, splits=["near"], **SIZES)
    kept = read_evaluation(run.path / "evaluation.json")
    assert list(kept.splits) == ["far", "near"]
    assert kept.splits["far"] == first.splits["far"]
    (moved,) = others(run)
    assert read_evaluation(moved) == second


def test_results_of_an_older_checkpoint_are_kept_apart(run, capsys):
    first = metarl.evaluate(run, splits=["far"], **SIZES)
    run = metarl.resume(run.path, steps=400, quiet=True)
    second = metarl.evaluate(run, splits=["near"], **SIZES)
    kept = read_evaluation(run.path / "evaluation.json")
    assert list(kept.splits) == ["near"]
    assert kept.run.control_steps == second.run.control_steps > first.run.control_steps
    (moved,) = others(run)
    assert read_evaluation(moved) == first
    assert "the checkpoint at" in capsys.readouterr().out


def test_results_of_the_first_format_are_added_to(tmp_path):
    one = evaluation()
    old = {**replace(one, parameters=()).to_dict(), "format": "metarl-evaluation/1"}
    del old["parameters"]
    (tmp_path / "evaluation.json").write_text(json.dumps(old))
    keep(tmp_path, replace(one, splits={"structure": one.splits["far"]}))
    kept = read_evaluation(tmp_path / "evaluation.json")
    assert list(kept.splits) == ["interpolation", "near", "far", "structure"]
    assert kept.parameters == one.parameters


def test_a_damaged_file_is_not_overwritten(run):
    (run.path / "evaluation.json").write_text("{")
    with pytest.raises(InputError, match=r"evaluation\.json is not complete JSON"):
        metarl.evaluate(run, splits=["far"], **SIZES)
    assert (run.path / "evaluation.json").read_text() == "{"


def test_the_median_task_is_of_a_split_that_was_evaluated(run):
    metarl.evaluate(run, splits=["far"], **SIZES)
    assert median_task(run, "far") in (0, 1)
    with pytest.raises(InputError, match="'near'"):
        median_task(run, "near")
