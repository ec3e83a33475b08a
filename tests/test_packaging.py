"""The folders are linked, the arrows run one way, and a wheel holds everything."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from metarl.render.gl import why_no_gl

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("envs", "agents")


def core_files():
    return [
        path
        for path in sorted((ROOT / "metarl").rglob("*.py"))
        if not set(FOLDERS) & set(path.relative_to(ROOT / "metarl").parts)
    ]


def imported(path, package):
    """Absolute names of all modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            found.add(base)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def package_of(path):
    return ".".join(path.relative_to(ROOT).parent.parts)


def below(module, *packages):
    return any(module == p or module.startswith(f"{p}.") for p in packages)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_links_resolve(folder):
    link = ROOT / "metarl" / folder
    assert link.is_symlink()
    assert os.readlink(link) == f"../{folder}"
    assert link.resolve() == ROOT / folder
    module = importlib.import_module(f"metarl.{folder}")
    assert Path(module.__file__) == link / "__init__.py"


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_folders_refuse_another_name(folder):
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: ")
    assert f"metarl.{folder}" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("path", core_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_core_imports_no_family_and_no_agent(path):
    forbidden = [f"metarl.{folder}" for folder in FOLDERS] + list(FOLDERS)
    wrong = {m for m in imported(path, package_of(path)) if below(m, *forbidden)}
    assert not wrong


@pytest.mark.parametrize("folder", FOLDERS)
def test_families_and_agents_do_not_import_each_other(folder):
    (other,) = set(FOLDERS) - {folder}
    paths = sorted((ROOT / folder).rglob("*.py"))
    assert len(paths) > 1
    for path in paths:
        package = f"metarl.{package_of(path)}"
        modules = imported(path, package)
        assert not {m for m in modules if below(m, f"metarl.{other}", other)}, path
        assert not {m for m in modules if below(m, folder)}, path


@pytest.mark.parametrize(
    "path", sorted((ROOT / "agents").glob("*.py")), ids=lambda path: path.stem
)
def test_an_agent_is_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= 350


def test_the_scan_sees_every_kind_of_import(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        "import metarl.envs.a\nfrom metarl import agents\nfrom . import b\n"
        "from ..envs import c\ndef f():\n    from metarl.agents.maml import MAML\n"
    )
    assert {
        "metarl.envs.a",
        "metarl.agents",
        "metarl.simulation.b",
        "metarl.envs.c",
        "metarl.agents.maml",
    } <= imported(path, "metarl.simulation")


def test_importing_metarl_is_light():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, metarl; dir(metarl); "
            "print([m for m in ('torch', 'mujoco', 'numpy') if m in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "[]"


def test_every_public_name_resolves():
    import metarl

    for name in metarl.__all__:
        assert getattr(metarl, name) is not None
    assert set(metarl.__all__) <= set(dir(metarl))
    with pytest.raises(AttributeError, match="evalute"):
        metarl.evalute()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The project as a wheel, built from a copy so that nothing is left in it."""
    for needed in ("pip", "setuptools"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    home = tmp_path_factory.mktemp("wheel")
    source = home / "source"
    source.mkdir()
    for name in ("metarl", *FOLDERS):
        shutil.copytree(
            ROOT / name,
            source / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source / name)
    pip("wheel", "--no-build-isolation", "--wheel-dir", home / "wheels", source)
    (wheel,) = (home / "wheels").iterdir()
    return wheel


def pip(*arguments):
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--no-deps"]
    done = subprocess.run(
        [*command, "--no-index", *arguments[1:]], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_wheel_holds_every_module(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = {str(path.relative_to(ROOT)) for path in core_files()}
    for folder in FOLDERS:
        for suffix in ("*.py", "*.xml"):
            expected |= {
                f"metarl/{path.relative_to(ROOT)}"
                for path in (ROOT / folder).rglob(suffix)
            }
    shipped = (ROOT / "metarl/runs/shipped").rglob("*.*")
    expected |= {str(path.relative_to(ROOT)) for path in shipped if path.is_file()}
    templates = (ROOT / "metarl/reports/templates").iterdir()
    expected |= {str(path.relative_to(ROOT)) for path in templates}
    assert expected | {"metarl/py.typed", "metarl/cli/play.html"} <= inside
    top = {name.split("/")[0] for name in inside}
    assert {name for name in top if not name.endswith(".dist-info")} == {"metarl"}
    (points,) = [n for n in inside if n.endswith("entry_points.txt")]
    with zipfile.ZipFile(wheel) as archive:
        assert "metarl = metarl.cli:main" in archive.read(points).decode()


@pytest.mark.slow
def test_the_installed_wheel_does_everything_from_another_folder(wheel, tmp_path):
    site = tmp_path / "site"
    pip("install", "--target", site, wheel)
    desk = tmp_path / "desk"
    for folder in FOLDERS:  # a user's own, which must not be taken for metarl's
        (desk / folder).mkdir(parents=True)
        (desk / folder / "__init__.py").write_text("raise ImportError('not metarl')")

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(site)},
            cwd=desk,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def metarl(*commands):
        """Run commands one after the other: a process takes seconds to import torch."""
        words = [[str(word) for word in command] for command in commands]
        code = "import sys; from metarl.cli import main; "
        return run("-c", f"{code}sys.exit(any(main(words) for words in {words!r}))")

    where = "import metarl, metarl.envs; print(metarl.__file__, metarl.envs.__file__)"
    assert all(place.startswith(str(site)) for place in run("-c", where).split())
    assert "arm-lift" in run("-m", "metarl", "list", "families")
    size = ["--steps", "100", "--agent.tasks", "2", "--agent.episodes", "2"]
    size += ["--family.horizon", "10"]
    out = metarl(
        ["list", "checkpoints"],
        ["new", "family", "my_robot"],
        ["check", "my_robot.py:MyRobot", "--no-speed"],
        ["train", "my_robot.py:MyRobot", "maml", *size],
    )
    assert "point-goal-maml" in out
    (path,) = (desk / "runs/MyRobot/maml").iterdir()
    evaluation = ["--splits", "far", "--tasks", "2", "--episodes", "2"]
    metarl(["evaluate", path, *evaluation], ["report", path])
    assert (path / "report.html").is_file()
    if not why_no_gl():
        shape = ["--growing", "--size", "64x48"]
        metarl(["video", path, "--after", "0,2", *shape])
        assert (path / "videos" / "far-0-growing.mp4").is_file()
        serving = f"""
from metarl.cli.play_server import Server
from metarl.runs.folder import Run
with Server(Run({str(path)!r})) as server:
    print(server.session.state()["title"])
"""
        assert run("-c", serving).strip() == "maml on MyRobot"
    some = ["--families", "point-goal", "--agents", "maml", "--seeds", "0"]
    metarl(
        ["leaderboard", "--quick", *some],
        ["tune", "--quick", "--family", "point-goal", "--agent", "maml"],
        ["headroom", "--quick", "--family", "point-goal"],
    )
    assert not (desk / "MUJOCO_LOG.TXT").exists()
