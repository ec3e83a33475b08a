"""A wiped memory knows nothing of what was before; the table, worked out by hand."""

import sys
from pathlib import Path

import torch

from metarl.agents.rl2 import RL2, RL2Config
from metarl.files import write_json
from metarl.learning.trials import Rememberer
from metarl.registry import make_family
from metarl.world.rollout import Percept

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
import memory_wiped


def percept(observation, reward, begins):
    grid = observation.shape[:2]
    return Percept(
        observation,
        torch.full(grid, reward),
        torch.full(grid, begins),
        torch.ones(grid, dtype=torch.bool),
        torch.zeros(*grid, 2),
    )


def test_every_step_is_the_first_one_of_a_trial():
    agent = RL2(make_family("point-goal", horizon=12), RL2Config(units=8), 0)
    with torch.no_grad():  # so that what it remembers shows in what it does
        agent.network.mean.weight.mul_(100)
    wiped = memory_wiped.Wiped(agent.network)
    memory = Rememberer(agent.network, 3, 2)
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 3, 2, 2, generator=generator)
    begin, later = percept(first, 0.0, True), percept(second, -2.0, False)
    torch.testing.assert_close(wiped.act(begin), memory.act(begin), rtol=0, atol=0)
    acted = wiped.act(later)
    fresh = Rememberer(agent.network, 3, 2).act(percept(second, 0.0, True))
    torch.testing.assert_close(acted, fresh, rtol=0, atol=0)
    assert not torch.allclose(acted, memory.act(later), atol=1e-3)


def test_the_table_by_hand(tmp_path):
    for seed, shift in enumerate((0, 2)):
        cell = {"wiped": [-1, -3], "first": [1 + shift, 3 + shift], "later": [5, 5]}
        write_json(tmp_path / f"point-goal/rl2-{seed}.json", cell)
    arguments = memory_wiped.Arguments(("point-goal",), ("rl2",), (0, 1))
    table = memory_wiped.make_table(tmp_path, arguments, "python it")
    assert "| without memory | first episode | after 4 episodes |" in table
    row = table.strip().splitlines()[-1]
    assert row.startswith("| point-goal | `rl2` | 2 | -2.0 [-3.0, -1.0] | 3.0 [")
    assert row.endswith("| 5.0 [5.0, 5.0] |")
