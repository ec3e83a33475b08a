"""The agents that come along load, are small, and can be used by name at once."""

import json

import pytest

from metarl.cli import main
from metarl.render.gl import why_no_gl
from metarl.runs.folder import Run
from metarl.runs.pretrained import HOME, LARGEST, fetch, names

SHIPPED = names()


def test_there_are_some_and_they_say_what_they_are(capsys):
    assert SHIPPED
    assert main(["list", "checkpoints", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == SHIPPED
    assert main(["list", "checkpoints"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{name}  ({what})" for name, what in SHIPPED.items()]


@pytest.mark.parametrize("name", SHIPPED)
def test_each_is_small_and_loads_with_its_results(name):
    run = Run(HOME / name)
    family, agent, _ = run.load()
    assert agent.family is family
    (weights,) = (HOME / name).rglob("weights.safetensors")
    assert weights.stat().st_size < LARGEST
    assert run.metrics()[-1]["control_steps"] >= run.config.steps
    evaluation = json.loads((HOME / name / "evaluation.json").read_text())
    assert "interpolation" in evaluation["splits"]
    text = (HOME / name / "config.json").read_text()
    assert "/home" not in text and "/tmp" not in text and "/root" not in text


def test_a_name_is_copied_to_the_users_folder_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = next(iter(SHIPPED))
    path = fetch(name)
    assert (tmp_path / "runs/shipped" / name / "config.json").is_file()
    (path / "note").write_text("mine")
    assert (fetch(name) / "note").read_text() == "mine"
    assert fetch(tmp_path) == tmp_path


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = next(iter(SHIPPED))
    (tmp_path / name).mkdir()
    assert main(["evaluate", name]) == 2


@pytest.mark.slow
def test_the_first_minute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = next(iter(SHIPPED))
    assert main(["evaluate", name, "--tasks", "4", "--episodes", "5"]) == 0
    assert main(["report", name]) == 0
    assert (tmp_path / "runs/shipped" / name / "report.html").is_file()
    if not why_no_gl():
        assert main(["video", name, "--after", "0", "--size", "64x48"]) == 0
        assert list((tmp_path / "runs/shipped" / name / "videos").glob("*.mp4"))
