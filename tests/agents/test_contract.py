"""What every registered agent owes the trainer and the evaluator, at a tiny size."""

import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from carts import Cart
from tiny import CONFIGS

from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.episodes import TimeStep
from metarl.environment.registry import make_family, names
from metarl.errors import InputError
from metarl.evaluation.protocol import evaluate
from metarl.learning.agent import Agent, find_agent
from metarl.learning.sampler import Sampler

AGENTS = names("agents")
TRAINED = [name for name in AGENTS if find_agent(name).trains]


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=12)


def make(family, name, seed=0) -> Agent:
    if name not in CONFIGS:
        pytest.fail(f"Say how to make it small: add {name!r} to tests/tiny.py.")
    kind = find_agent(name)
    return kind(family, kind.Config(**CONFIGS[name]), seed)


def trained(family, name, iterations, seed=0):
    agent = make(family, name, seed)
    sampler = Sampler(family, seed, agent.observes_task)
    return agent, sampler, go_on(agent, sampler, iterations)


def go_on(agent, sampler, iterations):
    rows = []
    for _ in range(iterations):
        rows.append(agent.train_step(sampler))
        sampler.iteration += 1
    return rows


def copied(agent):
    tensors, plain = agent.state()
    return {name: tensor.clone() for name, tensor in tensors.items()}, plain


def assert_same(one, other):
    (tensors, plain), (others, other_plain) = one, other
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, others[name]), name
    assert plain == other_plain


def assert_other(one, other):
    assert any(
        name not in other[0] or not torch.equal(tensor, other[0][name])
        for name, tensor in one[0].items()
    )


@pytest.mark.parametrize("name", TRAINED)
def test_it_learns_resumes_to_the_same_bits_and_follows_its_seed(name, family):
    agent, sampler, rows = trained(family, name, 1)
    first, counts = copied(agent), sampler.state()
    rows += go_on(agent, sampler, 1)
    whole = copied(agent)
    assert_other(first, whole)
    assert sampler.control_steps > 0
    assert all(t.isfinite().all() for t in whole[0].values())
    for metric, value in rows[-1].items():
        # A return of which no episode has ended yet may be unknown.
        assert isinstance(value, float), metric
        assert math.isfinite(value) or metric == "return", metric

    resumed = make(family, name, seed=7)  # nothing of a seed's start may be left
    resumed.seed = agent.seed
    resumed.load_state(*first)
    sampler = Sampler(family, 0, agent.observes_task)
    sampler.load_state(counts)
    go_on(resumed, sampler, 1)
    assert_same(copied(resumed), whole)

    assert_same(copied(trained(family, name, 2)[0]), whole)
    assert_other(copied(trained(family, name, 2, seed=1)[0]), whole)


@pytest.mark.parametrize("name", AGENTS)
def test_it_is_judged_at_any_budget_and_learns_nothing_for_good(name, family):
    agent, _, _ = trained(family, name, 1)
    before = copied(agent)
    options = {
        "splits": ["interpolation", "near"],
        "tasks": 3,
        "budgets": (0, 1, 2, 5),
        "query_episodes": 2,
    }
    results = [evaluate(agent, family, **options) for _ in range(2)]
    assert_same(copied(agent), before)
    # The same call gives the same numbers: nothing is left over from the first.
    assert results[0].splits == results[1].splits
    for split in results[0].splits.values():
        for point in split.points:
            assert all(math.isfinite(value) for value in point.returns)
            assert point.diverged == 0
        spent = [point.control_steps for point in split.points]
        assert spent[0] == (0, 0, 0)
        for row in zip(*spent, strict=True):
            assert all(low < high for low, high in pairwise(row))


@pytest.mark.parametrize("name", AGENTS)
def test_its_untrained_policy_can_be_deployed_and_does_not_wait_for_ever(name, family):
    agent = make(family, name)
    tasks = family.tasks("interpolation", 3, 0)
    adaptation = agent.adaptation(3)
    assert adaptation.episodes_per_update >= 1
    world = Environment(family, tasks, 2, observe_task=agent.observes_task)
    episodes = collect(world, adaptation.policy(), seed=0)
    assert episodes.action.shape == (3, 2, family.horizon, 2)
    assert episodes.action.isfinite().all()


@pytest.mark.parametrize("name", AGENTS)
def test_training_goes_on_beside_an_adaptation_without_changing_it(name, family):
    agent, sampler, _ = trained(family, name, 1)
    world = Environment(
        family, family.tasks("interpolation", 3, 0), observe_task=agent.observes_task
    )
    alone, beside = agent.adaptation(3), agent.adaptation(3)

    def adapted(adaptation):
        for episode in range(4):
            adaptation.update(collect(world, adaptation, seed=episode))
        return collect(world, adaptation.policy(), seed=9).action

    expected = adapted(alone)
    go_on(agent, sampler, 1)
    assert torch.equal(adapted(beside), expected)


@pytest.mark.parametrize("name", TRAINED)
def test_an_agent_that_trains_can_be_put_back(name, family):
    agent, sampler, _ = trained(family, name, 1)
    first, counts = copied(agent), sampler.state()
    go_on(agent, sampler, 1)
    whole = copied(agent)
    agent.load_state(*first)
    sampler = Sampler(family, 0, agent.observes_task)
    sampler.load_state(counts)
    go_on(agent, sampler, 1)
    assert_same(copied(agent), whole)


@pytest.mark.parametrize("name", AGENTS)
def test_it_ships_the_mean_of_its_actions_unless_it_explores_within_episodes(
    name, family
):
    agent, _, _ = trained(family, name, 1)
    world = Environment(
        family, family.tasks("interpolation", 3, 0), observe_task=agent.observes_task
    )
    adaptation = agent.adaptation(3)
    adaptation.update(collect(world, adaptation, seed=0))
    policy = adaptation.policy()
    shape = (3, 1)
    acted = [
        policy.act(
            TimeStep(
                world.reset(1).view(*shape, -1),
                torch.zeros(shape),
                torch.ones(shape, dtype=torch.bool),
                torch.ones(shape, dtype=torch.bool),
                torch.full((*shape, 2), noise),
            )
        )
        for noise in (0.0, 1.0)
    ]
    explores = getattr(agent.config, "deploy", "mean") == "sample" or name == "random"
    assert torch.equal(*acted) != explores


@pytest.mark.parametrize("name", TRAINED)
def test_what_it_saved_does_not_see_later_training(name, family):
    agent, sampler, _ = trained(family, name, 1)
    agent.normalizer.enabled = not agent.normalizes
    go_on(agent, sampler, 1)
    twin = agent.snapshot()
    saved, again = agent.save()[0], twin.save()[0]
    before = {n: t.clone() for n, t in saved.items()}
    go_on(agent, sampler, 1)
    for name_, tensor in before.items():
        assert torch.equal(saved[name_], tensor), name_
        assert torch.equal(again[name_], tensor), name_


@pytest.mark.parametrize("name", AGENTS)
def test_counts_that_mean_nothing_are_refused(name, family):
    config = find_agent(name).Config
    for field in dataclasses.fields(config):
        if type(field.default) is int:
            with pytest.raises(InputError, match=f"{field.name}=-1"):
                find_agent(name)(family, config(**{field.name: -1}), 0)


class Exploding(Cart):
    """Every simulation blows up at once."""

    def act(self, sim, action):
        super().act(sim, action)
        sim.qvel[:] = torch.nan


@pytest.mark.parametrize("name", TRAINED)
def test_it_survives_an_iteration_in_which_everything_blew_up(name):
    family = Exploding(horizon=8)
    agent, sampler, _ = trained(family, name, 2)
    assert sampler.diverged > 0
    assert all(t.isfinite().all() for t in agent.state()[0].values())
