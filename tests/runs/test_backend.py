"""Runs that are trained on one backend and go on, or are evaluated, on another."""

import json

import pytest
import torch
from tiny import CONFIGS

import metarl
from metarl.errors import InputError, RunError
from metarl.runs.evaluate import read_evaluation
from metarl.runs.train import resume

FAMILY = "cheetah-direction"
EVALUATED = {"splits": ["near"], "tasks": 2, "budgets": [0, 1], "query_episodes": 1}


@pytest.mark.slow
def test_a_run_trains_on_warp_resumes_there_and_is_evaluated_on_both(tmp_path):
    pytest.importorskip("mujoco_warp")
    chosen = {
        "family_options": {"horizon": 10},
        "agent_config": CONFIGS["maml"],
        "backend": "warp",
        "device": "cpu",
        "quiet": True,
    }
    run = metarl.train(FAMILY, "maml", steps=200, out=tmp_path, **chosen)
    longer = metarl.train(FAMILY, "maml", steps=400, out=tmp_path / "b", **chosen)
    run = resume(run.path, steps=400, quiet=True)
    for one, other in zip(*(weights(r) for r in (run, longer)), strict=True):
        assert torch.equal(one, other)

    there = metarl.evaluate(run, backend="warp", device="cpu", **EVALUATED)
    here = metarl.evaluate(run, **EVALUATED)
    assert (there.protocol.backend, here.protocol.backend) == ("warp", "mujoco")
    for one, other in zip(
        there.splits["near"].points, here.splits["near"].points, strict=True
    ):
        assert one.returns == pytest.approx(other.returns, abs=0.05)
    # Neither replaced the other.
    kept = [read_evaluation(p) for p in (run.path / "evaluations").iterdir()]
    assert [e.protocol.backend for e in kept] == ["warp"]
    assert read_evaluation(run.path / "evaluation.json").protocol.backend == "mujoco"


def weights(run):
    return run.load()[1].save()[0].values()


def test_an_evaluation_of_before_backends_is_of_mujoco(tmp_path):
    run = metarl.train(
        FAMILY,
        "random",
        steps=1,
        out=tmp_path,
        family_options={"horizon": 3},
        quiet=True,
    )
    metarl.evaluate(run, **EVALUATED)
    path = run.path / "evaluation.json"
    plain = json.loads(path.read_text())
    assert plain["protocol"].pop("backend") == "mujoco"
    path.write_text(json.dumps(plain))
    metarl.evaluate(run, **{**EVALUATED, "splits": ["far"]})
    assert set(read_evaluation(path).splits) == {"near", "far"}
    assert not (run.path / "evaluations").exists()


def test_what_warp_needs_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"metarl-suite\[gpu\]"):
        metarl.make_family(FAMILY).on("warp", "cpu")
    with pytest.raises(InputError, match="--backend"):
        metarl.train(FAMILY, "maml", device="cuda:0", steps=1)
