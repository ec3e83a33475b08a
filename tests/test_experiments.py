"""Every script in experiments/ runs at its quick size, goes on, and writes its page."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = {
    "quickstart.py": ["--steps", "40000", "--tasks", "2"],
    "headroom.py": ["--quick", "--family", "rover-goal"],
    "families.py": ["--quick", "--families", "point-goal", "arm-lift"],
    "leaderboard.py": [
        *("--quick", "--families", "point-goal", "--seeds", "0"),
        *("--agents", "maml", "rl2"),
    ],
    "maml_cheetah_direction.py": ["--quick", "--seeds", "0", "--steps", "8000"],
}
"""Arguments that make each script small."""
WRITTEN = {
    "quickstart.py": "runs/cheetah-direction/maml/*/report.html",
    "headroom.py": "runs/headroom/rover-goal/README.md",
    "families.py": "runs/families/quick/families.md",
    "leaderboard.py": "runs/leaderboard/quick/scores.png",
    "maml_cheetah_direction.py": "runs/maml_cheetah_direction/quick/README.md",
}


def launch(script, *arguments, folder):
    done = subprocess.run(
        [sys.executable, ROOT / "experiments" / script, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_script_is_tried():
    assert {p.name for p in (ROOT / "experiments").glob("*.py")} == set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_explains_itself(script, tmp_path):
    text = launch(script, "--help", folder=tmp_path)
    assert "usage" in text and "--s" in text


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_it_runs_small_and_a_second_call_goes_on(script, tmp_path):
    launch(script, *SCRIPTS[script], folder=tmp_path)
    (page,) = tmp_path.glob(WRITTEN[script])
    assert page.stat().st_size > 300
    runs = sorted(tmp_path.rglob("config.json"))
    if script != "quickstart.py":  # which is a demonstration, and starts anew
        launch(script, *SCRIPTS[script], folder=tmp_path)
        assert sorted(tmp_path.rglob("config.json")) == runs
