"""What stands between an agent and its robots: observations of mean 0, deviation 1."""

import json

import pytest
import torch

import metarl
from metarl.learning.agent import Agent, Sampler
from metarl.learning.normalised import Normalised, NormalisedSampler
from metarl.registry import find, make_family, names
from metarl.runs.folder import Run
from metarl.world.environment import Environment
from metarl.world.rollout import collect

TINY = {"tasks": 3, "episodes": 4, "hidden": (8,)}


class Listening(Agent):
    """Acts at random and notes what it is told."""

    round = 1

    def __init__(self, family):
        super().__init__(family, None, 0)
        self.told, self.episodes, self.loaded = [], [], None

    def train_step(self, sampler):
        for part in range(2):
            episodes = sampler.collect(sampler.tasks(3), 2, self, f"part {part}")
            self.episodes.append(episodes)
        return {"steps": float(sampler.control_steps)}

    def act(self, percept):
        self.told.append(percept.observation.clone())
        return percept.noise

    def adaptation(self, tasks):
        return self

    def absorb(self, episodes):
        self.episodes.append(episodes)

    def deployed(self):
        return self

    def state(self):
        return {"own": torch.ones(1)}, {}

    def load_state(self, tensors, plain):
        self.loaded = tensors


@pytest.fixture(scope="module")
def family():
    return make_family("rover-goal", horizon=15)


@pytest.fixture
def agent(family):
    return Normalised(Listening(family))


def trained(agent, iterations=1):
    sampler = Sampler(agent.family, 0)
    rows = []
    for _ in range(iterations):
        rows.append(agent.train_step(sampler))
        sampler.iteration += 1
    return sampler, rows


def raw(family, seed=0):
    """What the same robots are seen to do without anything in between."""
    plain = Listening(family)
    trained(plain, 1)
    return plain


def test_policies_and_losses_are_told_the_same_in_deviations_from_the_mean(
    family, agent
):
    seen = raw(family)
    trained(agent, 2)
    rows = torch.cat([e.observation[e.mask > 0] for e in seen.episodes])
    mean, std = rows.mean(0), rows.std(0, correction=0).clamp(min=1e-2)

    # Nothing is known in the first iteration, and nothing changes in its course.
    for told, plain in zip(agent.agent.told[:30], seen.told, strict=True):
        assert torch.equal(told, plain)

    sampler = Sampler(family, 0)
    sampler.iteration, sampler.drawn = 1, 6
    later = Listening(family)
    later.train_step(sampler)
    for ours, plain in zip(agent.agent.episodes[2:], later.episodes, strict=True):
        expected = ((plain.observation - mean) / std).clamp(-10, 10)
        torch.testing.assert_close(ours.observation, expected)
        expected = ((plain.final_observation - mean) / std).clamp(-10, 10)
        torch.testing.assert_close(ours.final_observation, expected)
        assert torch.equal(ours.reward, plain.reward)
    # Step t of all robots: the policy acted on what the loss will read.
    for part, episodes in enumerate(agent.agent.episodes[2:]):
        told = torch.stack(agent.agent.told[30 + 15 * part : 45 + 15 * part], 2)
        assert torch.equal(told, episodes.observation)


def test_the_sampler_keeps_the_account(family, agent):
    sampler, rows = trained(agent, 2)
    assert [row["steps"] for row in rows] == [180.0, 360.0]
    assert sampler.state() == {**sampler.state(), "control_steps": 360, "drawn": 12}
    assert sampler.seconds > 0
    through = NormalisedSampler(sampler, agent.statistics)
    through.count(5, 0.5)
    assert through.control_steps == sampler.control_steps == 365


def test_an_adaptation_changes_nothing_and_is_not_changed_by_training(family, agent):
    trained(agent)
    world = Environment(family, family.tasks("near", 3), 2)
    adaptation = agent.adaptation(3)
    kept = agent.statistics

    def told():
        agent.agent.told.clear()
        adaptation.absorb(collect(world, adaptation, seed=5))
        collect(world, adaptation.deployed(), seed=5)
        return torch.stack(agent.agent.told), agent.agent.episodes[-1].observation

    acted, absorbed = told()
    assert torch.equal(torch.stack(list(acted[:15]), 2), absorbed)
    assert torch.equal(acted[:15], acted[15:])  # as deployed, too
    assert agent.statistics is kept
    trained(agent)
    assert agent.statistics.count > kept.count
    assert torch.equal(told()[0], acted)


def test_a_checkpoint_holds_the_statistics_and_the_agent_knows_only_its_own(agent):
    trained(agent)
    tensors, plain = agent.state()
    assert set(tensors) == {
        "own",
        *(f"observed/{n}" for n in ("count", "mean", "square")),
    }
    other = Normalised(Listening(agent.family))
    other.load_state(tensors, plain)
    assert set(other.agent.loaded) == {"own"}
    assert torch.equal(other.statistics.mean, agent.statistics.mean)


def test_a_run_is_normalised_unless_told_otherwise(tmp_path):
    options = {"steps": 1, "out": tmp_path, "agent_config": TINY, "quiet": True}
    options["family_options"] = {"horizon": 10}
    run = metarl.train("rover-goal", "maml", **options)
    assert run.config.normalise
    _, agent = metarl.load(run)
    assert isinstance(agent, Normalised) and agent.statistics.count > 0

    without = metarl.train("rover-goal", "maml", normalise=False, **options)
    assert without.path != run.path
    assert type(metarl.load(without)[1]) is find("agents", "maml")
    same = metarl.train("point-goal", "maml", **options)  # a position: one scale
    assert not same.config.normalise
    # A run of before there was the option.
    config = json.loads((without.path / "config.json").read_text())
    del config["normalise"]
    (without.path / "config.json").write_text(json.dumps(config))
    assert type(Run(without.path).load()[1]) is find("agents", "maml")


@pytest.mark.parametrize("name", names("agents"))
def test_nothing_is_normalised_twice(name):
    own = {"es-maml", "hill-climb", "randomized", "oracle"}
    own |= {"scratch", "finetune", "finetune-climb"}
    assert find("agents", name).normalises == (name in own)


def test_a_resumed_run_has_the_bits_of_one_that_was_not_stopped(tmp_path):
    options = {"agent_config": TINY, "quiet": True}
    options["family_options"] = {"horizon": 10}
    step = 3 * 4 * 2 * 10
    whole = metarl.train("rover-goal", "maml", steps=3 * step, out=tmp_path, **options)
    part = metarl.train("rover-goal", "maml", steps=step, out=tmp_path / "b", **options)
    part = metarl.learning.training.resume(part.path, steps=3 * step, quiet=True)
    states = [metarl.load(run)[1].state()[0] for run in (whole, part)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
