"""What the README promises is so."""

import re
from pathlib import Path

import pytest

from metarl.cli import main
from metarl.evaluation.protocol import evaluate
from metarl.evaluation.statistics import interval
from metarl.registry import names
from metarl.runs.folder import Run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CART = f"{ROOT}/experiments/custom_robot/cart.py:Cart"


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("README.md", "cart"),
        ("docs/custom.md", "humanoid"),
        ("docs/custom.md", "swing"),
    ],
)
def test_the_robots_shown_are_those_in_experiments(page, name):
    shown = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert (ROOT / f"experiments/custom_robot/{name}.py").read_text() in shown


def test_it_names_every_family_and_agent():
    for kind in ("families", "agents"):
        for name in names(kind):
            assert f"| `{name}` |" in README


def test_its_pictures_and_links_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_its_leaderboard_is_the_one_in_results():
    page = (ROOT / "results/leaderboard/README.md").read_text()
    tables = [part.split("\n\n")[1] for part in page.split("## Area under S ")[1:]]
    assert len(tables) == 2
    for table in tables:
        assert table.startswith("| | agent |")
        assert table in README


@pytest.mark.slow
def test_its_robot_learns_to_find_out_that_a_motor_is_wired_backwards(tmp_path):
    options = ["--steps", "400000", "--out", str(tmp_path)]
    assert main(["train", CART, "maml", *options]) == 0
    (path,) = tmp_path.glob("*/*/*")
    family, agent, _ = Run(path).load()
    # Judged on the mass that it never met.
    results = evaluate(agent, family, splits=["far"], tasks=16, budgets=(0, 20))
    points = results["splits"]["far"]["points"]
    before, after = (interval(point["return"]) for point in points)
    assert after.low > before.high
