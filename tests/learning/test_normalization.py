"""Normalized observations: mean 0 and deviation 1, of the episodes of training."""

import json

import pytest
import torch
from tiny import CONFIGS

import metarl
from metarl.environment.collect import collect
from metarl.environment.environments import Environments
from metarl.environment.episodes import TimeStep
from metarl.environment.registry import make_family, names
from metarl.learning.agent import Agent, find_agent
from metarl.learning.normalization import Normalizer
from metarl.learning.sampler import Sampler
from metarl.runs.folder import Run
from metarl.tasks.randomness import torch_generator

TINY = {"tasks": 3, "episodes": 4, "hidden": (8,)}
SHARED = [name for name in names("agents") if not find_agent(name).normalizes]


def test_statistics_grow_to_those_of_all():
    rows = torch.randn(50, 4, generator=torch_generator("rows")) * 3 + 1
    normalizer = Normalizer(4)
    for part in rows.split(17):
        normalizer.update(part, torch.ones(len(part)))
    normalizer.update(torch.full((9, 4), torch.nan), torch.zeros(9))
    expected = (rows - rows.mean(0)) / rows.std(0, correction=0)
    torch.testing.assert_close(normalizer(rows), expected)


def test_they_survive_a_checkpoint():
    seen, again = Normalizer(2), Normalizer(2)
    seen.update(torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.ones(2))
    again.load(seen.tensors("robot"), "robot")
    assert torch.equal(again.mean, torch.tensor([2.0, 4.0]).double())
    assert torch.equal(again.square, torch.tensor([2.0, 8.0]).double())


def test_given_statistics_are_applied_as_vecnormalize_does():
    mean, variance = torch.tensor([1.0, -2.0]), torch.tensor([4.0, 0.0])
    rows = torch.tensor([[3.0, -2.0], [500.0, -1.0]])
    expected = ((rows - mean) / (variance + 1e-8).sqrt()).clamp(-10, 10)
    assert torch.equal(Normalizer.of(mean, variance)(rows), expected)


def test_disabled_it_passes_observations_on():
    normalizer = Normalizer(2, enabled=False)
    rows = torch.tensor([[3.0, -2.0]])
    normalizer.update(rows, torch.ones(1))
    assert torch.equal(normalizer(rows), rows)
    assert normalizer.count == 0 and not normalizer.tensors("observed")


@pytest.fixture(scope="module")
def family():
    return make_family("rover-goal", horizon=15)


def made(name, family, enabled=True):
    kind = find_agent(name)
    agent = kind(family, kind.Config(**CONFIGS.get(name, {})), 0)
    agent.normalizer.enabled = enabled
    return agent


def trained(agent, iterations=1):
    """An agent after iterations, and the episodes that it collected."""
    sampler, collected = Sampler(agent.family, 0), []
    collect_really = sampler.collect

    def noting(*arguments, **options):
        before = agent.normalizer.count.clone()
        collected.append(collect_really(*arguments, **options))
        # Nothing changes in the course of an iteration.
        assert torch.equal(agent.normalizer.count, before)
        return collected[-1]

    sampler.collect = noting
    for _ in range(iterations):
        agent.train_step(sampler)
        sampler.iteration += 1
    return collected


@pytest.mark.parametrize("name", SHARED)
def test_every_step_of_training_counts_once(name, family):
    agent = made(name, family)
    episodes = trained(agent, 2)
    rows = torch.cat([e.observation[e.mask > 0] for e in episodes]).double()
    assert agent.normalizer.count == len(rows)
    torch.testing.assert_close(agent.normalizer.mean, rows.mean(0))
    deviation = agent.normalizer.variance.sqrt()
    torch.testing.assert_close(deviation, rows.std(0, correction=0))


@pytest.mark.parametrize("name", SHARED)
def test_an_adaptation_does_not_change_them_and_is_not_changed_by_training(
    name, family
):
    agent = made(name, family)
    trained(agent)
    environments, tasks = Environments(family), family.tasks("near", 3)
    kept = agent.normalizer.count.clone()

    def deployed(adaptation):
        first = environments(tasks, min(2, adaptation.episodes_per_update))
        adaptation.update(collect(first, adaptation, seed=5))
        return collect(environments(tasks, 2), adaptation.policy(), seed=6).action

    first, second = agent.adaptation(3), agent.adaptation(3)
    actions = deployed(first)
    assert torch.equal(agent.normalizer.count, kept)
    trained(agent)
    assert agent.normalizer.count > kept
    assert torch.equal(deployed(second), actions)


@pytest.mark.parametrize("name", SHARED)
def test_a_policy_acts_on_normalized_observations(name, family):
    agent = made(name, family)
    trained(agent)
    plain = made(name, family, enabled=False)
    plain.load_state(agent.state()[0], agent.state()[1])
    size = family.spec.observation_size
    observation = torch.randn(2, 3, size, generator=torch_generator("observation"))

    def action(agent, observation):
        nothing, every = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
        noise = torch.zeros(2, 3, family.spec.action_size)
        return (
            agent.adaptation(2)
            .policy()
            .act(TimeStep(observation, nothing, every, every, noise))
        )

    expected = action(plain, agent.normalizer(observation))
    assert torch.equal(action(agent, observation), expected)
    assert not torch.equal(action(plain, observation), expected)


def test_a_run_is_normalized_unless_switched_off(tmp_path):
    options = {"steps": 1, "out": tmp_path, "agent_config": TINY, "quiet": True}
    options["family_options"] = {"horizon": 10}
    run = metarl.train("rover-goal", "maml", **options)
    assert run.config.normalize_observations
    _, agent = metarl.load(run)
    assert agent.normalizer.enabled and agent.normalizer.count > 0

    without = metarl.train(
        "rover-goal", "maml", normalize_observations=False, **options
    )
    assert without.path != run.path
    assert not metarl.load(without)[1].normalizer.enabled
    same = metarl.train("point-goal", "maml", **options)  # a position: one scale
    assert not same.config.normalize_observations
    # A run of before there was the option.
    config = json.loads((without.path / "config.json").read_text())
    del config["normalize_observations"]
    (without.path / "config.json").write_text(json.dumps(config))
    assert not Run(without.path).load()[1].normalizer.enabled


@pytest.mark.parametrize("name", sorted({*names("agents")} - {*SHARED}))
def test_nothing_is_normalized_twice(name, tmp_path):
    options = {"steps": 1, "out": tmp_path, "quiet": True}
    options |= {"family_options": {"horizon": 10}, "agent_config": CONFIGS[name]}
    run = metarl.train("rover-goal", name, **options)
    assert not run.config.normalize_observations
    assert not metarl.load(run)[1].normalizer.enabled


class Unaware(Agent):
    """Collects, and leaves its normalizer alone."""

    Config = dict

    def train_step(self, sampler):
        sampler.collect(sampler.tasks(2), 1, self, "all")
        return {}

    def act(self, time_step):
        return time_step.noise

    def adaptation(self, tasks):
        raise NotImplementedError

    def state(self):
        return {}, {}

    def load_state(self, tensors, plain):
        pass


def test_who_does_not_normalize_hears_of_it(family, monkeypatch, tmp_path):
    from metarl.runs import train

    agent = Unaware(family, None, 0)
    agent.normalizer.enabled = True
    trained(agent)
    with pytest.warns(RuntimeWarning, match="does not update its normalizer"):
        train._warn_if_not_normalized(agent)


def test_a_resumed_run_has_the_bits_of_one_that_was_not_stopped(tmp_path):
    options = {"agent_config": TINY, "quiet": True}
    options["family_options"] = {"horizon": 10}
    step = 3 * 4 * 2 * 10
    whole = metarl.train("rover-goal", "maml", steps=3 * step, out=tmp_path, **options)
    part = metarl.train("rover-goal", "maml", steps=step, out=tmp_path / "b", **options)
    part = metarl.resume(part.path, steps=3 * step, quiet=True)
    states = [metarl.load(run)[1].save()[0] for run in (whole, part)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
