"""Every command that README and docs quote runs, at a small size; the site builds."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from metarl.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALL = {
    "maml": ["--agent.tasks", "2", "--agent.episodes", "2"],
    "rl2": ["--agent.tasks", "2", "--agent.episodes", "2"],
    "experiments/custom_agent/spread.py:Spread": ["--agent.tries", "4"],
}
"""Options that make training with an agent cheap."""
STUDIES = ("leaderboard", "tune", "headroom", "variability", "paper", "reference")
"""Commands of minutes even at their quick size, which test_experiments.py runs."""
NOT_HERE = ("demo", "doctor", "--help", "play", "compare", *STUDIES)
"""Commands that other tests run: they take minutes, look at the whole machine, or take
runs of two agents."""


def quoted():
    """(page, command) of every line of a shell block, comments cut off."""
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.splitlines():
                command = line.split("#")[0].strip()
                if command:
                    yield page.name, command


COMMANDS = list(dict.fromkeys(quoted()))
OURS = [
    pytest.param(command, id=f"{page}: {command}")
    for page, command in COMMANDS
    if command.startswith("metarl ") and not any(w in command for w in NOT_HERE)
]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A trained run, for the commands that take one."""
    out = tmp_path_factory.mktemp("docs")
    arguments = ["cheetah-direction", "maml", "--steps", "1000", "--out", str(out)]
    assert main(["train", *arguments, *SMALL["maml"]]) == 0
    (path,) = out.glob("*/*/*")
    return path


def small(words, run, out):
    """The command as quoted, with RUN filled in and the sizes cut down."""
    words = [str(run) if word in ("RUN", "[RUN", "...]") else word for word in words]
    if words[0] == "train":
        agent = words[2]
        for flag, value in (("--steps", "500"),):
            if flag in words:
                words[words.index(flag) + 1] = value
            else:
                words += [flag, value]
        words += [*SMALL[agent], "--out", str(out)]
    if words[0] == "evaluate":
        for flag, value in (("--episodes", "2"), ("--tasks", "2")):
            if flag in words:
                words[words.index(flag) + 1] = value
            else:
                words += [flag, value]
    if words[0] == "video" and "--after" in words:
        words[words.index("--after") + 1] = "0,1"
    if words[0] == "video":
        words += ["--fps", "5", "--size", "160x120"]
    if words[0] == "export" and "--after" in words:
        words[words.index("--after") + 1] = "1"
    if words[0] == "export" and not (run / "evaluation.json").exists():
        few = ["--splits", "far", "--episodes", "1", "--tasks", "2"]
        assert main(["evaluate", str(run), *few]) == 0
    if words[0] == "check":
        robots = "experiments/custom_robot/"
        asked = words[1] if words[1].startswith(robots) else f"{robots}cart.py:Cart"
        words = ["check", asked, "--no-speed"]
    return [
        str(ROOT / word) if word.startswith("experiments/") else word for word in words
    ]


@pytest.mark.slow
@pytest.mark.parametrize("command", OURS)
def test_a_quoted_command_runs(command, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, *words = shlex.split(command)
    assert main(small(words, run_folder, tmp_path)) == 0


@pytest.mark.parametrize("study", STUDIES)
def test_a_quoted_study_has_the_options_that_are_quoted(study, capsys):
    with pytest.raises(SystemExit):
        main([study, "--help"])
    known = capsys.readouterr().out
    lines = [c for _, c in COMMANDS if c.startswith(f"metarl {study} ")]
    for flag in re.findall(r"--[\w-]+", " ".join(lines)):
        assert flag in known, flag


def test_the_rest_is_what_one_expects():
    """Nothing is quoted that no test knows of."""
    known = ("metarl ", "make ", "pip install ", "git clone ")
    for page, command in COMMANDS:
        assert command.startswith(known), f"{page}: {command}"


def test_links_and_pictures_of_the_docs_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_found_from_the_front_page():
    readme, front = ((ROOT / p).read_text() for p in ("README.md", "docs/index.md"))
    assert "(docs/index.md)" in readme
    tree = "\n".join(re.findall(r"```\{toctree\}\n(.*?)```", front, re.DOTALL))
    for page in PAGES[1:]:
        if page.name != "index.md":
            assert f"({page.name}" in front, page.name
            assert f"\n{page.stem}\n" in tree, page.name


def test_the_reference_has_every_room():
    rooms = {p.parent.name for p in (ROOT / "metarl").glob("*/__init__.py")} - {"cli"}
    page = (ROOT / "docs/api.md").read_text()
    assert set(re.findall(r"^   metarl\.(\w+)$", page, re.MULTILINE)) == rooms | {
        "errors"
    }


def test_the_table_of_rooms_is_in_the_order_of_the_arrows():
    tests = (ROOT / "tests/test_architecture.py").read_text()
    rooms = re.findall(
        r'^    "(\w+)",$', tests.split("ROOMS = (")[1].split(")")[0], re.M
    )
    rooms.remove("errors")
    page = (ROOT / "docs/architecture.md").read_text()
    table = re.findall(r"^\| `(\w+)/?` \|", page, re.MULTILINE)
    guests = ("envs", "agents")
    assert [room for room in table if room not in guests] == rooms
    (arrows,) = re.findall(r"^tasks <- .*$", page, re.MULTILINE)
    assert arrows.split(" <- ") == rooms


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path):
    options = ["-W", "--keep-going", "-q", "-b", "html", "-c", "docs"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ".", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    front = (tmp_path / "docs/index.html").read_text()
    assert "adapting.webp" in front
    assert (tmp_path / "docs/_api/metarl.learning.adapt.html").exists()
    assert (tmp_path / "results/leaderboard/README.html").exists()
