"""A wiped memory holds nothing of what was before; the table, worked out by hand."""

import sys
from pathlib import Path

import torch

from metarl.agents.rl2 import RL2, RL2Config
from metarl.environment.episodes import TimeStep
from metarl.environment.registry import make_family
from metarl.learning.recurrent_policy import RecurrentRollout
from metarl.runs.files import write_json

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
import memory_wiped


def time_step(observation, reward, first):
    grid = observation.shape[:2]
    return TimeStep(
        observation,
        torch.full(grid, reward),
        torch.full(grid, first),
        torch.ones(grid, dtype=torch.bool),
        torch.zeros(*grid, 2),
    )


def test_every_step_is_the_first_one_of_a_trial():
    agent = RL2(make_family("point-goal", horizon=12), RL2Config(units=8), 0)
    with torch.no_grad():  # so that the recurrent state shows in the action
        agent.network.mean.network[-1].weight.mul_(100)
    wiped = memory_wiped.Wiped(agent.network, agent.normalizer)
    memory = RecurrentRollout(agent.network, agent.normalizer, 3, 2)
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 3, 2, 2, generator=generator)
    begin, later = time_step(first, 0.0, True), time_step(second, -2.0, False)
    torch.testing.assert_close(wiped.act(begin), memory.act(begin), rtol=0, atol=0)
    acted = wiped.act(later)
    fresh = RecurrentRollout(agent.network, agent.normalizer, 3, 2).act(
        time_step(second, 0.0, True)
    )
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
