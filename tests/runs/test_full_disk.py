"""A full disk is one message that names the file, and nothing is lost but the rest.

A limit on the size of files stands for it: a write then fails in the same way.
"""

import resource
from contextlib import contextmanager

import pytest
import torch

import metarl
from metarl import cli
from metarl.runs import checkpoint

OPTIONS = {
    "family_options": {"horizon": 10},
    "agent_config": {"tasks": 2, "episodes": 2, "hidden": (4,)},
    "steps": 800,
    "quiet": True,
}


@contextmanager
def room_for(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def weights(run):
    return checkpoint.load(checkpoint.checkpoints(run.checkpoints)[-1][1])[0]


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_training_that_runs_out_of_room_goes_on_to_the_same_bits(tmp_path, seconds):
    whole = metarl.train("point-goal", "maml", out=tmp_path / "whole", **OPTIONS)
    short = {**OPTIONS, "steps": 100}
    path = metarl.train("point-goal", "maml", out=tmp_path / "cut", **short).path
    said = r"Cannot write .* Make room there\. Go on with: metarl resume"
    with room_for(2500), pytest.raises(metarl.RunError, match=said):
        metarl.resume(path, steps=800, checkpoint_seconds=seconds, quiet=True)
    assert not list(path.glob("checkpoints/.*"))
    resumed = metarl.resume(path, steps=800, quiet=True)
    assert weights(resumed).keys() == weights(whole).keys()
    for name, tensor in weights(resumed).items():
        assert torch.equal(tensor, weights(whole)[name]), name
    assert [row["iteration"] for row in resumed.metrics()] == [
        row["iteration"] for row in whole.metrics()
    ]


@pytest.mark.parametrize("place", ["metrics.jsonl", "tfevents", "checkpoint"])
def test_the_file_is_named(tmp_path, monkeypatch, place):
    from metarl.runs import board, train

    def full(path, data):
        if place in str(path):
            with room_for(0):
                return append(path, data)
        return append(path, data)

    append = train.append
    monkeypatch.setattr(train, "append", full)
    monkeypatch.setattr(board, "append", full)
    if place == "checkpoint":
        monkeypatch.setattr(checkpoint, "write_json", lambda *_: no_room())
    with pytest.raises(metarl.RunError, match=rf"Cannot write .*{place}.*Make room"):
        metarl.train("point-goal", "maml", out=tmp_path, **OPTIONS)


def no_room():
    raise OSError(28, "No space left on device")


def test_results_that_find_no_room_are_one_message(tmp_path, capsys):
    short = {**OPTIONS, "agent_config": {}}
    path = metarl.train("point-goal", "random", out=tmp_path, **short).path
    size = ["--splits", "far", "--tasks", "2", "--episodes", "1"]
    for words, file, code in (
        (["evaluate", str(path), *size], "evaluation.json", 1),
        (["report", str(path)], "report.html", 2),
    ):
        capsys.readouterr()
        with room_for(100):
            assert cli.main(words) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"metarl {words[0]}: ") and file in line
        assert "Make room" in line
        assert not [p for p in path.rglob("*") if file in p.name]
