"""Damaged and foreign files: refused in words that name the file and the field."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import CONFIGS

import metarl
from metarl.errors import InputError
from metarl.learning.agent import find_agent
from metarl.learning.ranges import check_ranges
from metarl.tasks.parsing import parse_json

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    made = metarl.train(
        "point-goal",
        "maml",
        steps=100,
        out=tmp_path,
        quiet=True,
        family_options={"horizon": 5},
        agent_config=CONFIGS["maml"],
    )
    metarl.evaluate(made, splits=["far"], tasks=2, budgets=[0], query_episodes=1)
    return made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ("[NaN]", "is not finite"),
        ("[-Infinity]", "is not finite"),
        ("[1e999]", "is not finite"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (r'"\ud800"', "not Unicode"),
        ("9" * 5_000, "too large a number"),
        ("{", "not complete JSON"),
        ("", "not complete JSON"),
    ],
)
def test_json_that_is_none_is_refused_by_its_place(text, said):
    with pytest.raises(InputError, match=f"here.*{said}"):
        parse_json(text, "here")


def test_json_that_is_some_is_read():
    text = json.dumps({"a": [1, -2.5, None, True, "é\\u"], "b": {"c": "\ud83d\ude00"}})
    assert parse_json(text, "here") == json.loads(text)


JSON_FILES = ("config.json", "system.json", "metrics.jsonl", "evaluation.json")


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize("kind", ["pipe", "device", "circle", "outside", "folder"])
def test_what_is_no_file_of_the_run_is_not_opened(run, tmp_path, name, kind):
    path = run.path / name
    text = path.read_text()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        outside = tmp_path / "outside"
        outside.write_text(text)
        there = {"device": "/dev/zero", "circle": path, "outside": outside}
        path.symlink_to(there[kind])
    if kind == "circle" and name != "config.json":  # as good as missing
        metarl.report([run.path], out=tmp_path / "report.html")
        return
    with pytest.raises(InputError, match=r"run folder|regular|link|Cannot read"):
        metarl.report([run.path], out=tmp_path / "report.html")


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("config.json", {"seed": "1"}, "expected int, got str, at seed"),
        ("config.json", {"family": {}}, "expected str"),
        ("config.json", {"agent_config": [1]}, "at agent_config"),
        ("config.json", {"nonsense": 1}, "'nonsense' is not known"),
        ("config.json", {"steps": -1}, "steps=-1"),
        ("config.json", {"drift": 2}, "drift=2"),
        ("config.json", {"agent_config": {"hidden": "x"}}, "at hidden"),
        ("config.json", {"agent_config": {"hidden": [-5]}}, "hidden=-5"),
        ("config.json", {"agent_config": {"hidden": [2**70]}}, "hidden|too"),
        ("config.json", {"agent_config": {"discount": 1.5}}, "discount=1.5"),
        ("robot.json", {"observation_size": "4"}, "observation_size"),
        ("state.json", {"sampler": {}}, "sampler"),
        ("state.json", {"sampler": []}, "sampler"),
        ("state.json", {"agent": 1e308}, "at agent"),
        ("state.json", {"sha256": 1}, "SHA-256"),
    ],
)
def test_a_field_of_another_type_is_named(run, file, change, said):
    (path,) = run.path.rglob(file)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=said):
        metarl.load(run.path)
        metarl.adapter(run.path)


@pytest.mark.parametrize(
    "line", ["[]", "{}", '{"iteration": "x"}', '{"iteration": -1}']
)
def test_a_damaged_row_of_metrics_is_named(run, line):
    path = run.path / "metrics.jsonl"
    path.write_text(line + "\n" + path.read_text())
    with pytest.raises(InputError, match=r"metrics.jsonl, line 1"):
        run.metrics()
    with pytest.raises(InputError, match=r"metrics.jsonl, line 1"):
        metarl.report([run.path], out=run.path / "report.html")


@pytest.mark.parametrize(
    ("agent", "settings", "said"),
    [
        ("maml", {"hidden": (-5,)}, "hidden=-5"),
        ("maml", {"hidden": (2**64,)}, "16,384 or less"),
        ("maml", {"inner_lr": float("nan")}, "finite"),
        ("maml", {"discount": 1.01}, "1.0 or less"),
        ("maml", {"initial_std": 0.0}, "1e-30 or more"),
        ("maml", {"tasks": 10**9}, "10,000,000 or less"),
        ("randomized", {"clip": -0.1}, "0.0 or more"),
        ("history", {"window": -1}, "0 or more"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(agent, settings, said):
    with pytest.raises(InputError, match=said):
        check_ranges(find_agent(agent).Config(**settings))
    with pytest.raises(InputError, match=said):
        metarl.train("point-goal", agent, agent_config=settings, steps=1)


@pytest.mark.parametrize("name", ["tasks", "query_episodes", "budgets"])
def test_sizes_of_an_evaluation_are_bounded(run, name):
    value = [2**32] if name == "budgets" else 2**32
    with pytest.raises(InputError, match=f"{name}=4294967296"):
        metarl.evaluate(run, splits=["far"], **{name: value})


@pytest.mark.slow
def test_a_small_campaign_finds_no_fault():
    command = [sys.executable, "benchmarks/campaign.py", "--folders", "100"]
    done = subprocess.run(
        [*command, "--commands", "60", "--seed", "7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
