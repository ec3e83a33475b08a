"""An agent of one's own: the page that shows it, and that it works as it stands."""

import re
from pathlib import Path

import torch

from metarl.cli import main
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.registry import make_family, names
from metarl.evaluation.protocol import evaluate
from metarl.evaluation.statistics import interval
from metarl.learning.agent import find_agent
from metarl.learning.sampler import Sampler
from metarl.runs.folder import Run

ROOT = Path(__file__).parents[2]
FILE = ROOT / "experiments/custom_agent/spread.py"
PAGE = (ROOT / "docs/agents.md").read_text()


def test_the_page_has_a_heading_for_every_agent():
    headings = re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE)
    assert sorted(headings) == sorted(names("agents"))


def test_the_page_shows_the_file():
    shown = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert shown == [FILE.read_text()]


def test_it_trains_and_is_evaluated_by_its_path(tmp_path):
    options = ["--steps", "100000", "--agent.tries", "10", "--out", str(tmp_path)]
    assert main(["train", "point-goal", f"{FILE}:Spread", *options]) == 0
    (path,) = tmp_path.glob("*/*/*")
    run = Run(path)
    first, *_, last = run.metrics()
    assert last["return"] > first["return"]
    family, agent, _ = run.load()
    results = evaluate(agent, family, splits=["interpolation"], tasks=32)
    points = results.splits["interpolation"].points
    before, after = (interval(points[i].returns) for i in (0, -1))
    assert after.low > before.high


def test_it_keeps_the_contract():
    """Training goes on beside an adaptation, and an update may come in parts."""
    family = make_family("point-goal", horizon=12)
    kind = find_agent(f"{FILE}:Spread")
    agent = kind(family, kind.Config(), seed=0)
    tasks = family.tasks("interpolation", 3)
    adaptation = agent.adaptation(3)
    worlds = {copies: Environment(family, tasks, copies) for copies in (1, 2)}
    before = collect(worlds[1], adaptation.policy(), seed=0)
    agent.train_step(Sampler(family, seed=0))
    assert torch.equal(
        collect(worlds[1], adaptation.policy(), seed=0).action, before.action
    )
    returns = []
    for copies in (1, 2, 1):
        episodes = collect(worlds[copies], adaptation, seed=copies)
        adaptation.update(episodes)
        returns.append(episodes.returns)
    assert torch.equal(adaptation.highest[:, 0], torch.cat(returns, 1).amax(1))
