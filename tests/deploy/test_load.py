"""A run is a robot's, without MuJoCo and without the file of its family."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import metarl
from metarl.errors import InputError, RunError
from metarl.runs.folder import Run
from metarl.runs.pretrained import HOME, names
from metarl.runs.robot import Robot, robot_of
from metarl.runs.train import resume, train
from metarl.simulation.engine import _Lazy

ROOT = Path(__file__).parents[2]
CART = ROOT / "experiments/custom_robot/cart.py"
SIZE = {"steps": 100, "quiet": True, "agent_config": {"tasks": 2, "episodes": 2}}
WITHOUT_MUJOCO = """
import sys
sys.modules["mujoco"] = None
import metarl
from metarl.errors import InputError
for adapter in (metarl.adapter(RUN, budget=2), metarl.load(RUN).adapter(budget=2)):
    for _ in range(3):
        for _ in range(5):
            action = adapter.act([0.1] * adapter.robot.observation_size)
            adapter.observe(float(action[0]))
        adapter.end_episode()
    print(repr([attempt.returned for attempt in adapter.curve]))
try:
    metarl.make_family("point-goal").spec
except metarl.RunError as error:
    print(error)
"""


def in_a_process(code, run):
    done = subprocess.run(
        [sys.executable, "-c", code.replace("RUN", repr(str(run)))],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def returns(adapter):
    for _ in range(3):
        for _ in range(5):
            action = adapter.act([0.1] * adapter.robot.observation_size)
            adapter.observe(float(action[0]))
        adapter.end_episode()
    return [attempt.returned for attempt in adapter.curve]


@pytest.fixture(scope="module")
def cart(tmp_path_factory):
    """A run on a family whose file imports MuJoCo, and is gone."""
    folder = tmp_path_factory.mktemp("cart")
    for name in ("cart.py", "cart.xml"):
        shutil.copy(CART.with_name(name), folder / name)
    run = train(f"{folder}/cart.py:Cart", "maml", out=folder / "runs", **SIZE)
    expected = returns(metarl.load(run).adapter(budget=2))
    (folder / "cart.py").unlink()
    return run, expected


def test_a_robot_needs_neither_mujoco_nor_the_file_of_the_family(cart):
    run, expected = cart
    first, second, refused = in_a_process(WITHOUT_MUJOCO, run.path)
    assert json.loads(first) == json.loads(second) == expected
    assert "MuJoCo is not installed" in refused and "metarl.adapter(RUN)" in refused


def test_an_adapter_imports_no_simulator_where_there_is_one():
    code = """
import sys, metarl
metarl.adapter(RUN).act([0.1, 0.2])
print("mujoco" in sys.modules)
"""
    assert in_a_process(code, HOME / "point-goal-maml") == ["False"]


def test_what_is_loaded_is_a_family_and_an_agent():
    loaded = metarl.load(HOME / "point-goal-maml")
    family, agent = loaded
    assert (family.name, agent.name) == ("point-goal", "MAML")
    assert agent.family is family is loaded.family
    assert returns(loaded.adapter(budget=2, seed=1)) == returns(
        metarl.adapter(HOME / "point-goal-maml", budget=2, seed=1)
    )


@pytest.mark.parametrize("name", names())
def test_a_shipped_run_says_what_its_family_says(name):
    run = Run(HOME / name)
    robot, family = robot_of(run), run.load()[0]
    assert robot == Robot.of(family) and robot.spec == family.spec
    assert len(robot.observation_names) == robot.observation_size
    assert len(robot.action_names) == robot.action_size


def test_a_run_of_an_earlier_version_is_asked_for_its_family(tmp_path, monkeypatch):
    shutil.copytree(HOME / "point-goal-maml", tmp_path / "run")
    (tmp_path / "run" / "robot.json").unlink()
    assert robot_of(Run(tmp_path / "run")) == robot_of(Run(HOME / "point-goal-maml"))

    def missing(self, name):
        raise RunError("MuJoCo is not installed")

    monkeypatch.setattr(_Lazy, "__getattr__", missing)
    for name in list(vars(metarl.simulation.engine.mujoco)):
        if name.startswith(("Mj", "mj")):
            monkeypatch.delattr(metarl.simulation.engine.mujoco, name)
    with pytest.raises(InputError, match=r"metarl resume .*run. writes it"):
        metarl.adapter(tmp_path / "run")
    monkeypatch.undo()
    resume(tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "robot.json").exists()


def test_a_damaged_description_is_refused(tmp_path):
    shutil.copytree(HOME / "point-goal-maml", tmp_path / "run")
    path = tmp_path / "run" / "robot.json"
    whole = json.loads(path.read_text())
    for wrong in ([], {}, {**whole, "format": "metarl-robot/9"}):
        path.write_text(json.dumps(wrong))
        with pytest.raises(InputError, match="reads 'metarl-robot/1'"):
            metarl.adapter(tmp_path / "run")
    for change in ({"mood": 1}, {"horizon": None}):
        wrong = {n: v for n, v in {**whole, **change}.items() if v is not None}
        path.write_text(json.dumps(wrong))
        with pytest.raises(InputError, match="says too little"):
            metarl.adapter(tmp_path / "run")


def test_names_that_do_not_fit_the_observation_are_refused():
    family = metarl.make_family("point-goal")
    family.observation_names = ("x / m",)
    with pytest.raises(InputError, match=r"has 2 observations, but .* of 1"):
        Robot.of(family)


def test_what_a_robot_does_not_know_is_said():
    with pytest.raises(AttributeError, match=r"asks for family.space"):
        _ = robot_of(Run(HOME / "point-goal-maml")).space
