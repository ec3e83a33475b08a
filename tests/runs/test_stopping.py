"""Signals stop a training with a whole checkpoint and one line, at any moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import metarl
from metarl import cli
from metarl.agents.maml import MAML
from metarl.runs import checkpoint

TINY = ["--family.horizon", "20", "--agent.tasks", "2", "--agent.episodes", "2"]
TRAIN = ["train", "point-goal", "maml", *TINY, "--agent.hidden", "4"]
INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@pytest.fixture(autouse=True)
def hangups_count():
    """Also where the tests themselves run under nohup, which processes inherit."""
    before = signal.signal(HUP, signal.SIG_DFL)
    yield
    signal.signal(HUP, before)


def only_run():
    (path,) = Path("runs").glob("*/*/*")
    return metarl.Run(path)


def during_training(monkeypatch, *signals):
    """Let signals arrive in an iteration."""
    original = MAML.train_step

    def train_step(self, sampler):
        found = original(self, sampler)
        for number in signals:
            signal.raise_signal(number)
        return found

    monkeypatch.setattr(MAML, "train_step", train_step)


def assert_no_leftovers(run):
    names = {path.name for path in run.path.rglob("*")}
    assert "lock" not in names and not [name for name in names if "tmp" in name]


@pytest.mark.parametrize(("number", "code"), [(INT, 130), (TERM, 143), (HUP, 129)])
def test_a_signal_saves_within_the_iteration_and_says_how_to_go_on(
    number, code, monkeypatch, capsys
):
    handlers = [signal.getsignal(n) for n in (INT, TERM, HUP)]
    during_training(monkeypatch, number)
    assert cli.main([*TRAIN, "--steps", "9999"]) == code
    run = only_run()
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == f"Stopped at 160 control steps. Go on with: metarl resume {run.path}"
    assert checkpoint.checkpoints(run.checkpoints)[-1][0] == 160
    assert_no_leftovers(run)
    assert [signal.getsignal(n) for n in (INT, TERM, HUP)] == handlers


@pytest.mark.parametrize(
    ("signals", "code"), [((INT, INT), 130), ((TERM, INT), 130), ((INT, TERM), 143)]
)
def test_a_second_signal_cuts_the_iteration_short(signals, code, monkeypatch, capsys):
    during_training(monkeypatch, *signals)
    assert cli.main([*TRAIN, "--steps", "9999"]) == code
    run = only_run()
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == f"Stopped at once. Go on with: metarl resume {run.path}"
    assert not checkpoint.checkpoints(run.checkpoints)
    assert_no_leftovers(run)


def test_a_second_signal_lets_a_checkpoint_be_written(monkeypatch, capsys):
    written = checkpoint.write_json

    def pressed_twice(*arguments):
        signal.raise_signal(INT)
        signal.raise_signal(INT)
        written(*arguments)
        signal.raise_signal(INT)

    monkeypatch.setattr(checkpoint, "write_json", pressed_twice)
    options = ["--steps", "9999", "--checkpoint-seconds", "0"]
    assert cli.main([*TRAIN, *options]) == 130
    run = only_run()
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "Go on with: metarl resume" in line
    assert_no_leftovers(run)
    (_, path) = checkpoint.checkpoints(run.checkpoints)[-1]
    checkpoint.verify(path)


def test_a_hangup_that_is_ignored_stays_ignored(monkeypatch):
    before = signal.signal(HUP, signal.SIG_IGN)  # as under nohup
    try:
        during_training(monkeypatch, HUP)
        assert cli.main([*TRAIN, "--steps", "500"]) == 0
    finally:
        signal.signal(HUP, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signals", "code"), [([TERM], 143), ([HUP], 129), ([INT, INT, INT], 130)], ids=str
)
def test_a_process_ends_in_one_line(signals, code):
    process = subprocess.Popen(
        [sys.executable, "-m", "metarl", *TRAIN, "--steps", str(10**8)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(metarl.__file__).parents[1])},
    )
    try:
        deadline = time.monotonic() + 150
        while time.monotonic() < deadline and process.poll() is None:
            if any(p.stat().st_size for p in Path("runs").glob("*/*/*/metrics.jsonl")):
                break
            time.sleep(0.05)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.03)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    (line,) = [line for line in err.splitlines() if line.strip()]
    run = only_run()
    assert process.returncode == code and "Traceback" not in err
    assert line.endswith(f"Go on with: metarl resume {run.path}")
    assert_no_leftovers(run)
    if len(signals) == 1:
        assert checkpoint.checkpoints(run.checkpoints)
