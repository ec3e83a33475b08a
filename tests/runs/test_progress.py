"""Progress without a terminal: few lines, each with what is done and what is left."""

import re

from metarl.runs import progress
from metarl.runs.config import RunConfig
from metarl.runs.progress import Progress, ProgressDisplay


def test_lines_say_how_much_is_done_and_left(capsys, monkeypatch):
    clock = iter([0.0, 0.0, 5.0, 20.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with ProgressDisplay("adapting", "frames") as display:
        for done in (0, 50, 200, 400):
            display.show(done, 400, "rendering")
    assert capsys.readouterr().out.splitlines() == [
        "rendering, 10 frames/s, 200 of 400, 0.3 min left",
        "rendering, 10 frames/s, 400 of 400, 0.0 min left",
    ]


def test_a_resumed_training_is_as_fast_as_what_it_does_now(capsys, monkeypatch):
    clock = iter([0.0, 10.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with Progress(RunConfig("point-goal", "maml", steps=1000), quiet=False) as display:
        display.start(900)
        display.update({"control_steps": 1000, "return": -3.0})
    line = capsys.readouterr().out
    assert re.match(r"maml on point-goal: return -3.0, 10 control steps/s, 1,000", line)


def test_quiet_is_quiet(capsys):
    with Progress(RunConfig("point-goal", "maml", steps=1), quiet=True) as display:
        display.start(0)
        display.update({"control_steps": 1, "return": 0.0})
    assert capsys.readouterr().out == ""
