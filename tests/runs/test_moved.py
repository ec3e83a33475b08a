"""A run whose family file moved is found again, or says how to go on."""

import json
import shutil
import sys
from pathlib import Path

import pytest

import metarl
from metarl import cli

TEXT = """
from metarl.envs.navigation.point import PointGoal

class Mine(PointGoal):
    horizon = 5
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "pytest-of" not in p])
    forget()
    yield
    forget()


def forget():
    """As another process: no code of a user is loaded."""
    for name in [name for name in sys.modules if name.startswith("metarl_user.")]:
        del sys.modules[name]


@pytest.fixture
def moved(tmp_path, monkeypatch):
    """A project that was trained in one place and lies in another."""
    (tmp_path / "cluster").mkdir()
    monkeypatch.chdir(tmp_path / "cluster")
    Path("mine.py").write_text(TEXT)
    run = metarl.train("mine.py:Mine", "random", steps=1, quiet=True)
    before = str(run.path)
    monkeypatch.chdir(tmp_path)
    shutil.move(tmp_path / "cluster", tmp_path / "laptop")
    forget()
    return tmp_path / "laptop" / before


def test_a_run_knows_the_bytes_of_its_code(moved):
    config = json.loads((moved / "config.json").read_text())
    assert len(config["family_sha256"]) == 64 and "agent_sha256" not in config
    plain = metarl.train("point-goal", "random", steps=1, quiet=True)
    assert "sha256" not in (plain.path / "config.json").read_text()


@pytest.mark.parametrize("place", ["project", "run", "beside", "current"])
def test_the_same_file_is_found_around_the_run(moved, place, tmp_path, monkeypatch):
    file = tmp_path / "laptop" / "mine.py"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    if place != "project":
        folder = {"run": moved, "beside": moved.parent, "current": Path.cwd()}[place]
        shutil.move(file, folder / "mine.py")
    assert metarl.load(moved)[0].horizon == 5
    size = {"splits": ["far"], "tasks": 2, "budgets": [0], "query_episodes": 1}
    assert metarl.evaluate(moved, **size).splits


@pytest.mark.parametrize("other", [False, True])
def test_a_file_that_is_gone_says_where_it_was_looked_for_and_how_to_go_on(
    moved, other, tmp_path, capsys
):
    file = tmp_path / "laptop" / "mine.py"
    if other:
        file.write_text(TEXT + "# other\n")
    else:
        file.unlink()
    for command in ("evaluate", "resume", "video", "play"):
        assert cli.main([command, str(moved)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        said = ("gone or moved", str(tmp_path / "laptop"), str(moved), "--family")
        assert all(word in line for word in said)
        assert ("has other bytes" in line) == other
    assert cli.main(["report", str(moved)]) == 0


@pytest.mark.parametrize("changed", [False, True])
def test_the_family_can_be_given(moved, changed, tmp_path, recwarn, capsys):
    text = TEXT.replace("horizon = 5", "horizon = 7") if changed else TEXT
    (tmp_path / "laptop" / "mine.py").unlink()
    Path("other.py").write_text(text)
    family, _ = metarl.load(moved, family="other.py:Mine")
    assert family.horizon == (7 if changed else 5)
    said = [str(warning.message) for warning in recwarn]
    assert any("other.py has changed since" in text for text in said) == changed
    size = ["--splits", "far", "--tasks", "2", "--episodes", "1"]
    words = [str(moved), "--family", "other.py:Mine"]
    assert cli.main(["evaluate", *words, *size]) == 0
    assert cli.main(["resume", *words]) == 0
    assert "Trained" in capsys.readouterr().out
    before = json.loads((moved / "config.json").read_text())
    assert before["family"].endswith("cluster/mine.py:Mine")


def test_a_policy_is_taken_from_a_run_that_moved(moved, tmp_path, monkeypatch):
    options = {"steps": 100, "quiet": True}
    small = {"simulations": 4, "rollout": 5, "pool": 4, "hidden": (4,)}
    monkeypatch.chdir(tmp_path / "laptop")
    small["activation"] = "tanh"
    source = metarl.train("mine.py:Mine", "randomized", agent_config=small, **options)
    before = source.path.resolve()
    monkeypatch.chdir(tmp_path)
    shutil.move(tmp_path / "laptop", tmp_path / "desk")
    forget()
    run = metarl.train(
        "desk/mine.py:Mine",
        "maml",
        init=Path(str(before).replace("laptop", "desk")),
        steps=400,
        agent_config={"tasks": 2, "episodes": 2, "hidden": (4,)},
        quiet=True,
    )
    assert run.metrics()[0]["control_steps"] > 100
