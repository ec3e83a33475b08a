"""Type checkers see the signatures of the public names in a user's script."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = """
import metarl

family = metarl.make_family("point-goal", horizon=10)
reveal_type(metarl.train)
run = metarl.train("point-goal", "maml", steps=500)
reveal_type(run)
reveal_type(metarl.evaluate(run))
reveal_type(family.tasks("far", 4)[0])
metarl.train("point-goal", "maml", stepps=500)
"""
MYPY = [sys.executable, "-m", "mypy", "--no-incremental", "--follow-imports=silent"]
PYRIGHT = [sys.executable, "-m", "basedpyright", "--outputjson"]
PYRIGHT += ["--pythonpath", sys.executable]


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def run(command, path):
    done = subprocess.run(
        [*command, str(path)], capture_output=True, text=True, cwd=path.parent
    )
    return done.stdout


@pytest.mark.slow
def test_mypy_sees_them(script):
    pytest.importorskip("mypy")
    said = run(MYPY, script)
    revealed = [line for line in said.splitlines() if "Revealed type" in line]
    assert "steps: int =" in revealed[0] and "metarl.runs.folder.Run" in revealed[0]
    assert "metarl.runs.folder.Run" in revealed[1]
    assert "metarl.evaluation.results.Evaluation" in revealed[2]
    assert "metarl.tasks.task.Task" in revealed[3]
    assert 'Unexpected keyword argument "stepps"' in said


@pytest.mark.slow
def test_pyright_sees_them(script):
    pytest.importorskip("basedpyright")
    # An editable installation is found by a hook, which no checker runs.
    config = {"extraPaths": [str(ROOT)]}
    (script.parent / "pyrightconfig.json").write_text(json.dumps(config))
    found = json.loads(run(PYRIGHT, script))["generalDiagnostics"]
    revealed = [d["message"] for d in found if d["severity"] == "information"]
    assert "steps: int = " in revealed[0] and "-> Run" in revealed[0]
    assert '"Run"' in revealed[1]
    assert '"Evaluation"' in revealed[2]
    assert '"Task"' in revealed[3]
    assert any('"stepps"' in d["message"] for d in found if d["severity"] == "error")
