"""Families and agents that are given as classes or instances, as in a notebook."""

import subprocess
import sys
from pathlib import Path

import pytest
from carts import Cart

import metarl
from metarl.agents.maml import MAML
from metarl.environment.registry import find_family, reference_of

TINY = {
    "steps": 100,
    "quiet": True,
    "agent_config": {"tasks": 2, "episodes": 4, "hidden": (8,)},
}


def test_a_class_or_an_instance_trains_and_its_run_names_it(tmp_path):
    options = {**TINY, "out": tmp_path}
    for given in (Cart, Cart(horizon=7)):
        run = metarl.train(given, MAML, **options)
        assert run.config.family == f"{Cart.__module__}:Cart"
        assert run.config.agent == "maml"
        family, _ = metarl.load(run)
        assert type(family) is Cart
    assert family.horizon == 7
    registered = metarl.train(
        metarl.make_family("point-goal", horizon=9), "maml", **options
    )
    assert registered.config.family == "point-goal"
    assert registered.config.family_options["horizon"] == 9
    with pytest.raises(metarl.InputError, match="made already"):
        metarl.train(Cart(), "maml", family_options={"horizon": 3}, **options)


def test_a_class_of_a_file_is_named_by_its_file(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "from metarl.envs.navigation.point import PointGoal as P\n"
        "class Own(P):\n    'Mine.'\n"
    )
    own = find_family(f"{file}:Own")
    assert reference_of("families", own) == f"{file}:Own"


def test_a_class_within_a_function_is_refused():
    class Inner(Cart):
        """Nobody finds it again."""

    with pytest.raises(metarl.InputError, match="defined within something else"):
        metarl.train(Inner, "maml", **TINY)


SWING = '''
import gymnasium
from metarl import Parameter
from metarl.envs.gymnasium_bridge import GymnasiumFamily

class Swing(GymnasiumFamily):
    """A pendulum of unknown mass."""
    parameters = {"mass": Parameter(1.0, train=(0.5, 1.5), unit="kg")}
    horizon = 20
    def make(self, task, **options):
        env = gymnasium.make("Pendulum-v1", **options)
        env.unwrapped.m = task["mass"]
        return env
'''
DRIVER = """
import multiprocessing, sys
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    import numpy as np
    import metarl
    seen = []
    for how in ("sync", "async"):
        family = metarl.make_family("swing.py:Swing", vectorization=how)
        robots = metarl.make_vec(family, family.tasks("train", 2), seed=1)
        robots.reset(seed=1)
        seen.append(robots.step(np.full((2, 1), 0.3, np.float32))[0])
        robots.close()
    print(np.array_equal(*seen), len(multiprocessing.active_children()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_families_of_files_live_in_processes_however_they_start(tmp_path, method):
    (tmp_path / "swing.py").write_text(SWING)
    (tmp_path / "driver.py").write_text(DRIVER)
    root = str(Path(metarl.__file__).parents[1])
    did = subprocess.run(
        [sys.executable, "driver.py", method],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": root},
    )
    assert did.stdout.split() == ["True", "0"], did.stderr
