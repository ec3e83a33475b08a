"""A run that was stopped at any moment ends with the bits of one that was not."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

import metarl
from metarl.runs.checkpoint import checkpoints, load
from metarl.runs.train import Interrupted, resume, train

TINY = {
    "maml": {"tasks": 3, "episodes": 4, "hidden": (8,)},
    "randomized": {"simulations": 8, "rollout": 10, "pool": 5, "hidden": (8,)},
    "oracle": {"simulations": 8, "rollout": 10, "pool": 5, "hidden": (8,)},
}


def weights(run):
    return load(checkpoints(run.checkpoints)[-1][1])


def assert_same_end(one, other):
    (tensors, plain), (others, other_plain) = weights(one), weights(other)
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, others[name]), name
    assert plain == other_plain
    drop = [f"{part}_seconds" for part in ("sampling", "update", "wall", "cpu")]
    rows, other_rows = (
        [{k: v for k, v in row.items() if k not in drop} for row in run.metrics()]
        for run in (one, other)
    )
    assert rows == other_rows


@pytest.mark.slow
def test_killed_five_times_and_resumed_has_the_same_bits(tmp_path):
    options = [
        *("--steps", "80000", "--checkpoint-seconds", "0", "--family.horizon", "20"),
        *("--agent.tasks", "4", "--agent.episodes", "10", "--agent.hidden", "16"),
    ]
    command = [sys.executable, "-m", "metarl"]
    subprocess.run(
        [*command, "train", "point-goal", "maml", *options, "--out", "whole"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    (whole,) = (tmp_path / "whole").glob("*/*/*")

    moments = random.Random(0)
    start = [*command, "train", "point-goal", "maml", *options, "--out", "cut"]
    for kill in range(5):
        process = subprocess.Popen(
            start, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        lines = kill * 8
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            found = list((tmp_path / "cut").glob("*/*/*/metrics.jsonl"))
            if found and len(found[0].read_text().splitlines()) > lines:
                break
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.3))
        assert process.poll() is None, process.stderr.read().decode()
        process.send_signal(signal.SIGKILL)
        process.wait()
        (cut,) = (tmp_path / "cut").glob("*/*/*")
        start = [*command, "resume", str(cut), "--checkpoint-seconds", "0"]
    subprocess.run(start, cwd=tmp_path, check=True, capture_output=True)
    assert_same_end(metarl.Run(whole), metarl.Run(cut))


@pytest.mark.slow
@pytest.mark.parametrize("agent", TINY)
def test_interrupted_by_ctrl_c_says_how_to_go_on_and_ends_the_same(
    agent, tmp_path, monkeypatch
):
    options = {
        "steps": 2000,
        "family_options": {"horizon": 15},
        "agent_config": TINY[agent],
        "quiet": True,
    }
    whole = train("point-goal", agent, out=tmp_path / "whole", **options)

    kind = type(whole.load()[1])
    step = kind.train_step

    def press_ctrl_c(self, sampler):
        if sampler.iteration == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, sampler)

    monkeypatch.setattr(kind, "train_step", press_ctrl_c)
    with pytest.raises(Interrupted, match="metarl resume"):
        train("point-goal", agent, out=tmp_path / "cut", **options)
    monkeypatch.undo()
    (path,) = (tmp_path / "cut").glob("*/*/*")
    assert len(metarl.Run(path).metrics()) == 3
    assert_same_end(whole, resume(path, quiet=True))


def test_a_finished_run_resumes_to_itself(tmp_path):
    run = train(
        "point-goal",
        "maml",
        steps=100,
        out=tmp_path,
        family_options={"horizon": 10},
        agent_config=TINY["maml"],
        quiet=True,
    )
    before = weights(run)[0]
    rows = run.metrics()
    after = weights(resume(run.path, quiet=True))[0]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert run.metrics() == rows


def test_the_same_request_reuses_its_run(tmp_path):
    options = {
        "steps": 100,
        "out": tmp_path,
        "family_options": {"horizon": 10},
        "agent_config": TINY["maml"],
        "quiet": True,
    }
    first = train("point-goal", "maml", reuse=True, **options)
    again = train("point-goal", "maml", reuse=True, **options)
    other = train("point-goal", "maml", reuse=True, seed=1, **options)
    assert first.path == again.path != other.path


def test_a_run_that_is_extended_equals_a_longer_one(tmp_path):
    options = {
        "family_options": {"horizon": 10},
        "agent_config": TINY["maml"],
        "quiet": True,
    }
    long = train("point-goal", "maml", steps=900, out=tmp_path / "long", **options)
    short = train("point-goal", "maml", steps=300, out=tmp_path / "short", **options)
    assert_same_end(long, resume(short.path, steps=900, quiet=True))
    with pytest.raises(metarl.InputError, match="900 control steps already"):
        resume(short.path, steps=300)


@pytest.mark.parametrize("agent", ["randomized", "oracle", "maml"])
def test_a_training_in_which_physics_drifts_resumes_too(agent, tmp_path):
    options = {
        "family_options": {"horizon": 15},
        "agent_config": TINY[agent],
        "drift": 0.2,
        "quiet": True,
    }
    whole = train("cheetah-mass", agent, steps=900, out=tmp_path / "whole", **options)
    short = train("cheetah-mass", agent, steps=300, out=tmp_path / "short", **options)
    assert short.config.drift == 0.2
    assert_same_end(whole, resume(short.path, steps=900, quiet=True))
    options["drift"] = 0.0
    still = train("cheetah-mass", agent, steps=900, out=tmp_path / "still", **options)
    assert any(
        not torch.equal(tensor, weights(still)[0][name])
        for name, tensor in weights(whole)[0].items()
    )


def test_a_drift_that_can_change_nothing_is_refused_before_there_is_a_folder(tmp_path):
    with pytest.raises(metarl.InputError, match=r"drift=0\.1 changes nothing"):
        train("point-goal", "maml", drift=0.1, out=tmp_path)
    with pytest.raises(metarl.InputError, match=r"drift=1\.5 must be a probability"):
        train("cheetah-mass", "maml", drift=1.5, out=tmp_path)
    assert not any(tmp_path.iterdir())


def test_metrics_are_json_lines_with_the_cost_split(tmp_path):
    run = train(
        "point-goal",
        "maml",
        steps=100,
        out=tmp_path,
        family_options={"horizon": 10},
        agent_config=TINY["maml"],
        quiet=True,
    )
    for line in (run.path / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        parts = row["sampling_seconds"] + row["update_seconds"]
        assert parts == pytest.approx(row["wall_seconds"])
    assert row["control_steps"] <= 3 * 4 * 10 * 2 * (row["iteration"] + 1)
