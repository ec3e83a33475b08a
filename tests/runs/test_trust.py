"""A run of another's executes nothing unless its user says so."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import metarl
from metarl import cli
from metarl.runs import trust

EVIL = """
from pathlib import Path
from metarl.envs.navigation.point import PointGoal
from metarl.agents.random import Random
Path({marker!r}).write_text("executed")

class Class(PointGoal):
    pass

class Agent(Random):
    pass
"""
NAMES = ["file", "relative file", "module", "module in a package", "agent"]


@pytest.fixture(autouse=True)
def fresh_record(tmp_path, monkeypatch):
    """Nothing is trusted, and nothing of an earlier test is loaded."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "pytest-of" not in p])
    forget()
    yield
    forget()


def test_a_copy_of_a_trusted_file_is_trusted_if_no_other_code_lies_beside_it(
    plain_run, tmp_path, marker
):
    mine, foreign = tmp_path / "mine.py", tmp_path / "elsewhere"
    mine.write_text(EVIL.format(marker=str(marker)))
    trust.record(mine)
    run = shutil.copytree(plain_run, foreign / "run")
    shutil.copy(mine, foreign / "mine.py")
    reference = f"{foreign / 'mine.py'}:Class"
    trust.require(run, "families", reference)
    (foreign / "torch.py").write_text("")
    with pytest.raises(metarl.InputError, match="--trust"):
        trust.require(run, "families", reference)
    (foreign / "torch.py").unlink()
    (foreign / "helpers").mkdir()
    (foreign / "helpers/__init__.py").write_text("")
    with pytest.raises(metarl.InputError, match="--trust"):
        trust.require(run, "families", reference)


def forget():
    """As another process: no code of a user is loaded."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("metarl_user", "evil", "evils"):
            del sys.modules[name]


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    run = metarl.train(
        "point-goal",
        "random",
        steps=1,
        out=tmp_path_factory.mktemp("foreign"),
        family_options={"horizon": 5},
        quiet=True,
    )
    metarl.evaluate(run, splits=["far"], tasks=2, budgets=[0], query_episodes=1)
    return run.path


@pytest.fixture(params=NAMES)
def foreign(request, plain_run, tmp_path, marker):
    """A run whose config names code that writes a file when it is executed."""
    shutil.copytree(plain_run, tmp_path / "foreign")
    Path("evil.py").write_text(EVIL.format(marker=str(marker)))
    Path("evils").mkdir()
    Path("evils/__init__.py").write_text(EVIL.format(marker=str(marker)))
    Path("evils/evil.py").write_text("")
    reference = {
        "file": f"{tmp_path}/evil.py:Class",
        "relative file": "evil.py:Class",
        "module": "evil:Class",
        "module in a package": "evils.evil:Class",
        "agent": "evil.py:Agent",
    }[request.param]
    kind = "agent" if request.param == "agent" else "family"
    path = tmp_path / "foreign" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, kind: reference}))
    return path.parent, reference


SIZE = ["--splits", "far", "--tasks", "2", "--episodes", "1"]
USES = {
    "evaluate": ["evaluate", "RUN", *SIZE],
    "video": ["video", "RUN"],
    "play": ["play", "RUN", "--no-open"],
    "resume": ["resume", "RUN"],
    "--init": ["train", "point-goal", "maml", "--init", "RUN"],
}
SHOWS = {
    "report": ["report", "RUN"],
    "compare": ["compare", "RUN", "RUN"],
    "list": ["list", "checkpoints"],
}


def call(words, run):
    return cli.main([str(run) if word == "RUN" else word for word in words])


@pytest.mark.parametrize("command", SHOWS)
def test_what_only_shows_data_executes_nothing(command, foreign, marker, capsys):
    run, _ = foreign
    code = call(SHOWS[command], run)
    assert code == (2 if command == "compare" else 0)  # of one agent with itself
    assert "needs two agents" in capsys.readouterr().err or not code
    assert not marker.exists() and not (run / "__pycache__").exists()


@pytest.mark.parametrize("command", USES)
def test_what_builds_a_family_refuses_code_that_is_not_trusted(
    command, foreign, marker, capsys
):
    run, reference = foreign
    assert call(USES[command], run) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reference in line and "--trust" in line and "trust=True" in line
    assert not marker.exists()
    assert not (run.parent / "runs").exists()


def test_python_refuses_it_too(foreign, marker):
    run, _ = foreign
    uses = (metarl.load, metarl.evaluate, metarl.video, metarl.resume)
    for use in uses:
        with pytest.raises(metarl.InputError, match="trust=True"):
            use(run)
    assert not marker.exists()


@pytest.mark.parametrize("foreign", ["file", "agent"], indirect=True)
def test_trust_is_for_one_command(foreign, marker, monkeypatch):
    run, _ = foreign
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # no terminal
    if "Agent" in foreign[1]:
        state = next(run.glob("checkpoints/*/state.json"))
        plain = json.loads(state.read_text())
        del plain["sha256"]
        state.write_text(json.dumps({**plain, "agent_name": "Agent"}))
    metarl.load(run, trust=True)
    assert marker.exists()
    forget()
    with pytest.raises(metarl.InputError, match="trust=True"):
        metarl.load(run)
    assert call([*USES["evaluate"], "--trust"], run) == 0


@pytest.mark.parametrize("foreign", ["file", "relative file"], indirect=True)
def test_a_terminal_is_asked_once(foreign, marker, monkeypatch, capsys):
    run, reference = foreign

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", shown := Terminal())
    for answer in ("", "\n", "n\n", "maybe\n"):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        with pytest.raises(metarl.InputError):
            metarl.load(run)
        assert reference in shown.getvalue() and "[y/N]" in shown.getvalue()
    assert not marker.exists()
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    metarl.load(run)
    forget()
    monkeypatch.setattr("sys.stdin", Terminal(""))
    metarl.load(run)
    forget()
    Path("evil.py").write_text(Path("evil.py").read_text() + "# another\n")
    with pytest.raises(metarl.InputError):
        metarl.load(run)


@pytest.mark.parametrize("reference", ["evil.py:Class", "evil:Class"])
def test_who_trained_a_run_is_not_asked(reference, marker, tmp_path):
    text = EVIL.format(marker=str(marker))
    Path("evil.py").write_text(text)
    run = metarl.train(reference, "random", steps=1, quiet=True)
    forget()
    metarl.load(run.path)
    Path("evil.py").write_text(text + "# changed\n")  # by its own user
    forget()
    with pytest.warns(
        RuntimeWarning, match=r"evil.py has changed since .* was trained"
    ):
        metarl.load(run.path)
    # Another's run that names the changed file is not of this user.
    shutil.copytree(run.path, tmp_path / "copy")
    forget()
    with (
        pytest.warns(RuntimeWarning, match="has changed"),
        pytest.raises(metarl.InputError, match="--trust"),
    ):
        metarl.load(tmp_path / "copy")


def test_a_damaged_record_trusts_nothing(foreign):
    run, _ = foreign
    trust._record().parent.mkdir(parents=True)
    trust._record().write_bytes(b'{"path": 3}\n[]\nnull\n\xff\n{"pa')
    with pytest.raises(metarl.InputError, match="--trust"):
        metarl.load(run)


def test_a_config_file_does_not_say_what_to_trust(foreign, marker, capsys):
    run, _ = foreign
    config = json.loads((run / "config.json").read_text())
    text = {"trust": True, "init": str(run), "steps": config["steps"]}
    Path("theirs.json").write_text(json.dumps(text))
    words = ["train", "point-goal", "maml", "--config", "theirs.json"]
    assert cli.main(words) == 2
    assert "--trust" in capsys.readouterr().err and not marker.exists()


def test_files_of_the_current_folder_do_not_stand_for_what_metarl_imports(marker):
    """But for a family or an agent that is asked for, they are found."""
    for name in ("torch", "json", "typing", "re", "signal", "tyro", "pathlib"):
        Path(f"{name}.py").write_text(
            f"open({str(marker)!r}, 'w')\nraise SystemExit(9)"
        )
    Path("evil.py").write_text(EVIL.format(marker=str(marker.parent / "family")))
    done = subprocess.run(
        [sys.executable, "-m", "metarl", "info", "evil:Class"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(metarl.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    assert "splits: train" in done.stdout
    assert not marker.exists()


@pytest.mark.parametrize("link", ["film", "folder", "reason"])
def test_a_report_holds_no_file_from_outside_the_run(plain_run, tmp_path, link):
    run = shutil.copytree(plain_run, tmp_path / "run")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "far-0.mp4").write_bytes(b"secret bytes")
    (secret / "MISSING.txt").write_text("secret words")
    if link == "folder":
        (run / "videos").symlink_to(secret)
    else:
        name = "far-0.mp4" if link == "film" else "MISSING.txt"
        (run / "videos").mkdir()
        (run / "videos" / name).symlink_to(secret / name)
    if link == "reason":
        page = metarl.report([run]).read_text()
    else:
        with pytest.warns(RuntimeWarning, match=r"far-0.mp4 is left out"):
            page = metarl.report([run]).read_text()
    assert "video/mp4" not in page and "secret words" not in page
