"""What a crash left is listed and removed; what a process needs is not."""

import os
import subprocess
import sys

import pytest

import metarl
from metarl import cli
from metarl.runs.leftovers import leftovers


@pytest.fixture
def run():
    return metarl.train("point-goal", "random", steps=1, quiet=True)


def of_a_dead_process():
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    return dead.pid


def crash(run):
    """What processes leave that are killed at one place or another."""
    pid = of_a_dead_process()
    half = run.checkpoints / f".step_20.{pid}.tmp"
    half.mkdir()
    (half / "weights.safetensors").write_bytes(b"half")
    partly_removed = run.checkpoints / "step_0000"
    partly_removed.mkdir()
    (partly_removed / "state.json").write_text("{}")
    film = run.path / "videos" / f".far-0.mp4.{pid}.tmp"
    film.parent.mkdir()
    film.write_bytes(b"half")
    (run.path / "lock").touch()
    return {half, partly_removed, film, run.path / "lock"}


def test_doctor_lists_what_crashes_left_and_removes_it_if_asked(run, capsys):
    whole = {path for path in run.path.rglob("*")}
    left = crash(run)
    assert set(leftovers("runs")) == left
    cli.main(["doctor"])
    out = capsys.readouterr().out
    assert "MISSING  no leftovers of crashes" in out and "--clean" in out
    assert all(str(path) in out for path in left) and all(p.exists() for p in left)
    cli.main(["doctor", "--clean"])
    out = capsys.readouterr().out
    assert all(f"removed {path}" in out for path in left)
    assert "ok       no leftovers of crashes" in out
    assert set(run.path.rglob("*")) - whole == {run.path / "videos"}
    assert metarl.load(run.path)


def test_what_a_process_needs_is_left_alone(run):
    crash(run)
    with run.locked():
        assert not list(leftovers("runs"))
    mine = run.checkpoints / f".step_30.{os.getpid()}.tmp"
    mine.mkdir()
    (run.path / ".notes.tmp").touch()
    assert not {mine, run.path / ".notes.tmp"} & set(leftovers("runs"))
    assert not list(leftovers("nowhere"))
