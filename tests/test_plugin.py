"""The plug-in package of the docs installs, and its robot is like any other."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run Python where the package is installed, beside a user's own envs/."""
    # Importing it here would fail after a package that imported the old distutils.
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed")
    home = tmp_path_factory.mktemp("plugin")
    shutil.copytree(ROOT / "docs/plugin", home / "source")
    site = home / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run(
        [*pip, "--no-build-isolation", "--no-index", "--target", site, home / "source"],
        check=True,
    )
    (home / "envs").mkdir()
    (home / "envs" / "__init__.py").write_text("raise ImportError('not metarl')\n")

    def run(*arguments):
        paths = os.pathsep.join([str(site), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-m", "metarl", *arguments],
            env={**os.environ, "PYTHONPATH": paths},
            cwd=home,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_it_is_listed_beside_the_built_in_ones(run):
    families = json.loads(run("list", "families", "--json"))
    assert families["pendulum-swing"] == "swing_robots.pendulum:Pendulum"
    assert "point-goal" in families


def test_it_keeps_the_contract_and_trains(run):
    assert "BROKEN" not in run("check", "pendulum-swing", "--no-speed")
    sizes = ["--agent.tasks", "2", "--agent.episodes", "2", "--steps", "500"]
    assert "Trained" in run("train", "pendulum-swing", "maml", *sizes)
