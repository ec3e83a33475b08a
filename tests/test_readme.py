"""What the README promises is so."""

import re
from pathlib import Path

import pytest

from metarl.cli import main
from metarl.environment.registry import names
from metarl.evaluation.protocol import evaluate
from metarl.evaluation.statistics import interval
from metarl.runs.folder import Run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CART = f"{ROOT}/experiments/custom_robot/cart.py:Cart"


def python(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("README.md", "cart"),
        ("docs/custom.md", "humanoid"),
        ("docs/custom.md", "swing"),
    ],
)
def test_the_robots_shown_are_those_in_experiments(page, name):
    shown = python(page)
    assert (ROOT / f"experiments/custom_robot/{name}.py").read_text() in shown


def test_it_counts_families_and_agents():
    assert f"[{len(names('families'))} families](docs/families.md)" in README
    assert len(names("agents")) > 20  # not counted: one more needs no edit here
    assert "[more than 20 agents](docs/agents.md)" in README
    assert "more than 20 ways of adapting" in README


@pytest.mark.parametrize(
    ("kind", "page"), [("families", "gallery.md"), ("agents", "agents.md")]
)
def test_the_pages_name_every_family_and_agent(kind, page):
    text = (ROOT / "docs" / page).read_text()
    for name in names(kind):
        assert re.search(rf"\| \[?`{re.escape(name)}`", text), name


def test_its_pictures_and_links_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_its_moving_picture_is_one_and_small():
    (film,) = re.findall(r"\((docs/[^)]+\.(?:webp|gif))\)", README)
    assert (ROOT / film).stat().st_size <= 1.4e6


def test_the_first_screen_has_what_a_newcomer_needs():
    screen = README.split("```python")[0]
    for needed in ("git clone", "make demo", "make test", "docs/adapting.webp"):
        assert needed in screen


@pytest.mark.parametrize("row", ["maml_cheetah_direction", "maml_point_goal"])
def test_its_rows_of_the_maml_paper_are_those_in_results(row):
    page = (ROOT / f"results/{row}/README.md").read_text()
    shown = next(line for line in README.splitlines() if f"results/{row}/" in line)
    # Every "mean [low, high]" of the row, whatever is bold.
    cells = re.findall(r"-?[\d.]+ \[-?[\d.]+, -?[\d.]+\]", shown.replace("*", ""))
    assert len(cells) == 4
    for cell in cells:
        assert cell in page.replace("*", ""), cell


def test_its_ten_lines_run(tmp_path, monkeypatch, capsys):
    """They train a robot of one's own and let it adapt, here at a small size."""
    _, lines = python("README.md")
    assert len(lines.strip().splitlines()) <= 10
    size = 'agent_config={"tasks": 2, "episodes": 2}'
    for shown, small in (
        ("steps=400_000", f"steps=2_000, quiet=True, {size}"),
        ("budgets=(0, 5, 20)", "budgets=(0, 1), tasks=2"),
    ):
        assert shown in lines
        lines = lines.replace(shown, small)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    exec(compile(lines, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert re.findall(r"^(\d) episodes: return -", printed, re.M) == ["0", "1"]


@pytest.mark.slow
def test_its_robot_learns_to_find_out_that_a_motor_is_wired_backwards(tmp_path):
    options = ["--steps", "400000", "--out", str(tmp_path)]
    assert main(["train", CART, "maml", *options]) == 0
    (path,) = tmp_path.glob("*/*/*")
    family, agent, _ = Run(path).load()
    # Evaluated on masses outside the train range.
    results = evaluate(agent, family, splits=["far"], tasks=16, budgets=(0, 20))
    points = results.splits["far"].points
    before, after = (interval(point.returns) for point in points)
    assert after.low > before.high
