"""Baselines that go on from domain randomization: where they start, what they try."""

from dataclasses import replace

import pytest
import torch

from metarl.agents.baselines import Randomized
from metarl.agents.finetune import Finetune, FinetuneClimb
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.registry import make_family
from metarl.learning.ppo import PPOConfig
from metarl.learning.sampler import Sampler

PPO = {"simulations": 8, "rollout": 12, "pool": 5, "hidden": (8,)}


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=12)


@pytest.fixture(scope="module")
def world(family):
    return Environment(family, family.tasks("interpolation", 3), 3)


def trained(family, kind, config):
    agent, sampler = kind(family, config, 0), Sampler(family, 0)
    for _ in range(3):
        agent.train_step(sampler)
        sampler.iteration += 1
    return agent


@pytest.fixture(scope="module")
def randomized(family):
    return trained(family, Randomized, PPOConfig(**PPO))


@pytest.fixture(scope="module")
def finetune(family):
    return trained(family, Finetune, Finetune.Config(**PPO, episodes=3))


@pytest.fixture(scope="module")
def climb(family):
    return trained(
        family, FinetuneClimb, FinetuneClimb.Config(**PPO, trials=3, inner_sigma=0.5)
    )


def test_without_episodes_finetune_is_randomized_to_the_bit(
    finetune, randomized, world
):
    ours, theirs = (
        collect(world, agent.adaptation(3).policy(), seed=0)
        for agent in (finetune, randomized)
    )
    assert torch.equal(ours.action, theirs.action)


def test_before_its_first_update_finetune_explores_around_the_randomized_policy(
    finetune, world
):
    adaptation = finetune.adaptation(3)
    observation = torch.randn(3, 3, 2, generator=torch.Generator().manual_seed(0))
    mean = finetune.model.actor(finetune.observed(observation))
    torch.testing.assert_close(adaptation.actors.actions(observation).mean, mean)
    torch.testing.assert_close(
        adaptation.actors.log_std, finetune.model.log_std.expand(3, -1)
    )


def test_finetune_explores_no_less_than_it_is_told(finetune):
    left = finetune.adaptation(3).actors.log_std.exp()
    assert (left > 0.6).all()  # so that it stays as it is
    twin = finetune.snapshot()
    twin.config = replace(finetune.config, tuning_std=2.0)
    wide = twin.adaptation(3).actors.log_std.exp()
    torch.testing.assert_close(wide, torch.full((3, 2), 2.0))
    torch.testing.assert_close(finetune.adaptation(3).actors.log_std.exp(), left)


def test_finetune_learns_on_the_robot_and_the_agent_stays(finetune, world):
    before = {n: p.clone() for n, p in finetune.model.state_dict().items()}
    mean = finetune.observed.mean.clone()
    adaptation = finetune.adaptation(3)
    first = collect(world, adaptation.policy(), seed=1)
    adaptation.update(collect(world, adaptation, seed=0))
    assert adaptation.updates == 1
    assert torch.equal(adaptation.scales.observation.mean, finetune.observed.mean)
    second = collect(world, adaptation.policy(), seed=1)
    assert not torch.equal(first.action, second.action)
    assert not torch.equal(second.action[0, 0, 0], second.action[1, 0, 0])
    for name, tensor in finetune.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert torch.equal(finetune.observed.mean, mean)


def test_finetune_counts_rewards_in_the_units_of_training(finetune):
    returns = finetune.learner.scale.returns
    scales = finetune.adaptation(1).scales
    assert float(scales.returns.variance) == pytest.approx(float(returns.variance))
    assert float(scales.returns.variance) != 1.0


def test_without_episodes_climbing_is_the_randomized_policy(climb, randomized, world):
    ours, theirs = (
        collect(world, agent.adaptation(3).policy(), seed=0)
        for agent in (climb, randomized)
    )
    torch.testing.assert_close(ours.action, theirs.action)


def test_climbing_tries_the_pivot_and_a_perturbation_in_each_other_episode(
    climb, world
):
    adaptation = climb.adaptation(3)
    episodes = collect(world, adaptation, seed=0)
    start = climb.model.actor
    normalized = climb.observed(episodes.observation)
    with torch.no_grad():
        unperturbed = start(normalized)
    gap = (episodes.action - unperturbed).abs().amax((-1, -2))
    assert (gap[:, 0] < 1e-5).all()
    assert (gap[:, 1:] > 1e-2).all()
    again = collect(world, adaptation, seed=0)
    assert torch.equal(again.action, episodes.action)  # no noise but the weights'


def test_the_best_trial_becomes_the_pivot_which_is_tried_again_at_a_cost(climb, world):
    adaptation = climb.adaptation(3)
    episodes = collect(world, adaptation, seed=0)
    best = episodes.returns.argmax(1)
    tried = adaptation.pivot[:, None] + 0.5 * adaptation.directions
    adaptation.update(episodes)
    torch.testing.assert_close(adaptation.pivot, tried[torch.arange(3), best])
    # A new step begins, and its first episode is the pivot's own.
    assert adaptation.episodes_per_update == 3
    assert (adaptation.directions[:, 0] == 0).all()
    retried = collect(world, adaptation, seed=0)
    shipped = collect(world, adaptation.policy(), seed=0)
    torch.testing.assert_close(retried.action[:, 0], shipped.action[:, 0])


def test_climbing_does_not_make_its_own_episodes_worse(climb, world):
    adaptation = climb.adaptation(3)
    returns = []
    for _ in range(6):
        episodes = collect(world, adaptation, seed=0)  # always the same noise
        returns.append(episodes.returns[:, 0])
        adaptation.update(episodes)
    steps = torch.stack(returns, 1)
    assert (steps.diff(dim=1) > -1e-4).all()
    assert (steps[:, -1] > steps[:, 0]).any()


@pytest.mark.parametrize("kind", [Finetune, FinetuneClimb])
def test_later_training_does_not_reach_into_an_adaptation(kind, family, world):
    agent = trained(family, kind, kind.Config(**PPO))
    adaptation = agent.adaptation(3)
    before = collect(world, adaptation.policy(), seed=0)
    sampler = Sampler(family, 0)
    sampler.iteration = 3
    agent.train_step(sampler)
    after = collect(world, adaptation.policy(), seed=0)
    assert torch.equal(before.action, after.action)
