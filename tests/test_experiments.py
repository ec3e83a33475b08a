"""Every script in experiments/ runs at its quick size, goes on, and writes its page."""

import runpy
import sys
from pathlib import Path

import pytest

from metarl.cli import main

ROOT = Path(__file__).parents[1]
SCRIPTS = {
    "quickstart.py": ["--steps", "16000", "--tasks", "2"],
    "headroom.py": ["--quick", "--family", "point-goal"],
    "families.py": ["--quick", "--families", "point-goal", "arm-lift"],
    "leaderboard.py": [
        *("--quick", "--families", "point-goal", "--seeds", "0"),
        *("--agents", "maml", "rl2"),
    ],
    "memory_wiped.py": [
        *("--quick", "--families", "point-goal", "--seeds", "0", "--agents", "rl2"),
    ],
    "maml_cheetah_direction.py": ["--quick", "--seeds", "0", "--steps", "8000"],
    "maml_point_goal.py": ["--quick", "--seeds", "0", "--steps", "8000"],
    "tune.py": ["--quick", "--family", "point-goal", "--trials", "2"],
    "task_variability.py": ["--quick", "--family", "point-goal"],
    "grasp_unknown_objects.py": ["--quick"],
    "rover_rewired.py": ["--quick"],
    "quadruped_worn_out.py": ["--quick"],
    "on_the_robot.py": ["--latency", "0.0005"],
}
"""Arguments that make each script small."""
WRITTEN = {
    "quickstart.py": "runs/cheetah-direction/maml/*/report.html",
    "headroom.py": "runs/headroom/point-goal/README.md",
    "families.py": "runs/families/quick/families.md",
    "leaderboard.py": "runs/leaderboard/quick/scores.png",
    "memory_wiped.py": "runs/leaderboard/quick-memory/README.md",
    "maml_cheetah_direction.py": "runs/maml_cheetah_direction/quick/README.md",
    "maml_point_goal.py": "runs/maml_point_goal/quick/README.md",
    "tune.py": "runs/tune/quick/point-goal-maml.json",
    "task_variability.py": "runs/task_variability/quick/point-goal-maml.md",
    "grasp_unknown_objects.py": "runs/stories/arm-lift/finetune/*/story.md",
    "rover_rewired.py": "runs/stories/rover-goal/maml/*/story.md",
    "quadruped_worn_out.py": "runs/stories/quadruped-battery/finetune-climb/*/story.md",
    "on_the_robot.py": "runs/on_the_robot/curve.md",
}


COMMANDS = {
    "headroom.py": ["headroom"],
    "families.py": ["reference"],
    "leaderboard.py": ["leaderboard"],
    "maml_cheetah_direction.py": ["paper", "cheetah-direction"],
    "maml_point_goal.py": ["paper", "point-goal"],
    "tune.py": ["tune"],
    "task_variability.py": ["variability"],
}
"""Scripts that launch a command and nothing else, and the command."""


def launch(script, *arguments, monkeypatch):
    """Run a script in this process: a fresh one takes seconds to import torch."""
    path = str(ROOT / "experiments" / script)
    monkeypatch.setattr(sys, "argv", [path, *arguments])
    runpy.run_path(path, run_name="__main__")


def test_every_script_is_tried():
    files = (ROOT / "experiments").glob("*.py")
    assert {p.name for p in files if "__main__" in p.read_text()} == set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_explains_itself(script, monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        launch(script, "--help", monkeypatch=monkeypatch)
    assert not end.value.code
    text = capsys.readouterr().out
    assert "usage" in text and "--s" in text
    if script in COMMANDS:
        assert f"usage: metarl {COMMANDS[script][0]} " in text


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_it_runs_small_and_a_second_call_goes_on(script, tmp_path, monkeypatch):
    def run():
        if script in COMMANDS:
            assert main([*COMMANDS[script], *SCRIPTS[script]]) == 0
        else:
            launch(script, *SCRIPTS[script], monkeypatch=monkeypatch)

    run()
    (page,) = tmp_path.glob(WRITTEN[script])
    assert page.stat().st_size > 300
    runs = sorted(tmp_path.rglob("config.json"))
    if script != "quickstart.py":  # which is a demonstration, and starts anew
        run()
        assert sorted(tmp_path.rglob("config.json")) == runs
