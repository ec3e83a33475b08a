"""Evolution finds gradients and climbs hills from returns alone."""

import dataclasses

import pytest
import torch

from metarl.agents.es_maml import (
    ESMAML,
    VectorPolicy,
    es_gradient,
    standardized,
)
from metarl.agents.hill_climb import HillClimb
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.episodes import TimeStep, returns_with_diverged_as_worst
from metarl.environment.registry import make_family
from metarl.learning.networks import network, network_parameters
from metarl.learning.normalization import Normalizer
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import torch_generator


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=10)


def generator(*names):
    return torch_generator("test", *names)


def test_the_gradient_of_a_quadratic():
    """Of -|x - c|^2 at x it is 2 (c - x), in standard deviations of the fitness."""
    size, sigma = 5, 0.1
    x, c = torch.randn(2, size, generator=generator("places"), dtype=torch.float64)
    g = torch.randn(40_000, size, generator=generator("g"), dtype=torch.float64)
    points = x + sigma * torch.stack([g, -g], 1).flatten(0, 1)
    fitness = -(points - c).square().sum(-1)
    estimate = es_gradient(fitness, g, sigma) * fitness.std()
    torch.testing.assert_close(estimate, 2 * (c - x), rtol=0.05, atol=0.1)


def test_the_gradient_by_hand():
    g = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    fitness = torch.tensor([3.0, 1.0, 2.0, 2.0])  # deviation sqrt(0.5)
    gradient = es_gradient(fitness, g, sigma=0.5)
    expected = torch.tensor([(3.0 - 1.0) / 0.5**0.5 / (2 * 0.5) / 2, 0.0])
    torch.testing.assert_close(gradient, expected)


def test_equal_fitness_gives_no_gradient():
    assert (es_gradient(torch.full((6,), 2.0), torch.ones(3, 4), 0.1) == 0).all()


def bowl(vectors, noise, *names):
    """Noisy heights of an upturned bowl whose top is at 1."""
    heights = -(vectors - 1).square().sum(-1)
    return heights + noise * torch.randn(heights.shape, generator=generator(*names))


@pytest.mark.parametrize("kind", [ESMAML, HillClimb])
def test_the_operator_climbs_a_noisy_bowl(kind, family):
    agent = kind(family, kind.Config(inner_sigma=0.1), seed=0)
    pivot = torch.zeros(30, 6)
    before = bowl(pivot, 0.0, "none")
    for step in range(60):
        directions = agent.directions(generator("tries", step), 30)[..., :6]
        tried = pivot[:, None] + agent.config.inner_sigma * directions
        pivot = agent.moved(pivot, directions, bowl(tried, 0.2, "noise", step))
    after = bowl(pivot, 0.0, "none")
    assert (after > before).all()
    assert after.mean() > 0.25 * before.mean()


def test_a_lucky_pivot_is_found_out(family):
    """Its luck counts once: the next step tries it again."""
    agent = HillClimb(family, HillClimb.Config(trials=2), seed=0)
    pivot = torch.zeros(1, 6)
    directions = agent.directions(generator("luck"), 1)
    assert (directions[:, 0] == 0).all()
    lucky = agent.moved(pivot, directions[..., :6], torch.tensor([[0.0, 99.0]]))
    assert not torch.equal(lucky, pivot)
    # Its second episode is what it is worth, and a better one wins at once.
    directions = agent.directions(generator("again"), 1)[..., :6]
    left = agent.moved(lucky, directions, torch.tensor([[-1.0, 0.0]]))
    assert not torch.equal(left, lucky)
    kept = agent.moved(lucky, directions, torch.tensor([[1.0, 0.0]]))
    assert torch.equal(kept, lucky)


def test_one_step_moves_along_the_es_gradient_by_hand(family):
    config = ESMAML.Config(inner_lr=0.5, inner_sigma=0.1, trials=2)
    agent = ESMAML(family, config, seed=0)
    directions = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    moved = agent.moved(torch.zeros(1, 2), directions, torch.tensor([[4.0, 2.0]]))
    torch.testing.assert_close(moved, torch.tensor([[0.5 * 1.0 / 0.1, 0.0]]))
    # The same two as the beginning of a round of eight move a quarter as far.
    config = ESMAML.Config(inner_lr=0.5, inner_sigma=0.1, trials=8)
    agent = ESMAML(family, config, seed=0)
    part = agent.moved(torch.zeros(1, 2), directions, torch.tensor([[4.0, 2.0]]))
    torch.testing.assert_close(part, moved / 4)
    alone = agent.moved(torch.zeros(1, 2), directions[:, :1], torch.tensor([[4.0]]))
    assert (alone == 0).all()


def test_a_pair_meets_the_same_task_noise_and_tries(family):
    """With perturbations of no size, the two of a pair cannot be told apart."""
    config = ESMAML.Config(pairs=3, trials=4, sigma=1e-12)
    agent, seen = ESMAML(family, config, seed=0), []

    class Watching(Sampler):
        def collect(self, *arguments, **more):
            episodes = super().collect(*arguments, **more)
            seen.append(episodes)
            return episodes

    cheetah = make_family("cheetah-direction", horizon=8)  # which starts at random
    agent = ESMAML(cheetah, config, seed=0)
    agent.train_step(Watching(cheetah, 0))
    for episodes in seen:
        one, other = episodes.observation[0::2], episodes.observation[1::2]
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
        apart = episodes.observation[0, :, 0] - episodes.observation[2, :, 0]
        assert apart.abs().max() > 1e-3
        copies = episodes.observation[0, 0, 0] - episodes.observation[0, 1, 0]
        assert copies.abs().max() > 1e-3


def test_every_iteration_adds_its_queries_to_the_statistics():
    cheetah = make_family("cheetah-direction", horizon=8)
    config = ESMAML.Config(pairs=2, trials=2, queries=3)
    agent, sampler, counts = ESMAML(cheetah, config, seed=0), Sampler(cheetah, 0), []
    for _ in range(2):
        agent.train_step(sampler)
        counts.append(int(agent.statistics.count))
    assert counts == [4 * 3 * 8, 2 * 4 * 3 * 8]


def test_a_vector_policy_is_one_network_for_each_robot():
    parameters = [
        network_parameters((3, 4, 2), generator("network", i)) for i in range(6)
    ]
    shapes = {name: p.shape for name, p in parameters[0].items()}
    vectors = torch.stack(
        [torch.cat([p.reshape(-1) for p in one.values()]) for one in parameters]
    ).view(2, 3, -1)
    observation = torch.randn(2, 3, 3, generator=generator("observation"))
    flags = torch.ones(2, 3, dtype=torch.bool)
    time_step = TimeStep(observation, flags.float(), flags, flags, torch.zeros(2, 3, 2))
    policy = VectorPolicy(vectors, shapes, Normalizer(3))
    action = policy.act(time_step)
    for i, one in enumerate(parameters):
        alone = torch.tanh(network(one, observation.view(6, 3)[i : i + 1]))[0]
        torch.testing.assert_close(action.view(6, 2)[i], alone)


def test_what_blew_up_is_no_winner():
    returns = torch.tensor([[-5.0, -1.0, -9.0]])
    diverged = torch.tensor([[False, True, False]])
    assert returns_with_diverged_as_worst(returns, diverged).tolist() == [
        [-5.0, -9.0, -9.0]
    ]


def test_where_all_blew_up_they_are_as_bad_as_the_worst_of_any():
    returns = torch.tensor([[-3.0, -2.0], [-60.0, -70.0], [-80.0, -1.0]])
    diverged = torch.tensor([[True, True], [False, False], [False, True]])
    together = [[-80.0, -80.0], [-60.0, -70.0], [-80.0, -80.0]]
    assert (
        returns_with_diverged_as_worst(returns, diverged, across_tasks=True).tolist()
        == together
    )
    # On the robot no task knows of another.
    assert returns_with_diverged_as_worst(returns, diverged).tolist() == [
        [-3.0, -3.0],
        *together[1:],
    ]


@pytest.mark.parametrize("kind", [ESMAML, HillClimb])
def test_what_blew_up_is_no_winner_when_it_comes_alone(kind, family):
    """Alone, it is the worst of its kind; the round as a whole knows better."""
    agent = kind(family, kind.Config(trials=3), seed=0)
    world = Environment(family, family.tasks("far", 1), copies=3)
    adaptation = agent.adaptation(1)
    episodes = collect(world, adaptation, seed=1)
    reward = torch.zeros_like(episodes.reward)
    reward[0, :, 0] = torch.tensor([-10.0, -2.0, -11.0])
    lost = torch.tensor([[False, True, False]])
    seen = dataclasses.replace(episodes, reward=reward, diverged=lost)
    adaptation.update(seen)
    parts = agent.adaptation(1)
    for copy in range(3):
        one = slice(copy, copy + 1)
        parts.update(
            dataclasses.replace(seen, reward=reward[:, one], diverged=lost[:, one])
        )
    torch.testing.assert_close(parts.pivot, adaptation.pivot)


def test_standardised_by_hand():
    found = standardized(torch.tensor([[1.0, 3.0], [2.0, 2.0]]))
    torch.testing.assert_close(found, torch.tensor([[-1.0, 1.0], [0.0, 0.0]]))


@pytest.mark.parametrize("kind", [ESMAML, HillClimb])
def test_a_round_in_parts_is_the_round(kind, family):
    """Each episode tries its own perturbation, however the round is cut."""
    agent = kind(family, kind.Config(trials=4), seed=0)
    tasks = family.tasks("far", 2)
    worlds = {c: Environment(family, tasks, c) for c in (1, 2, 4)}
    pivots = []
    for parts in ((4,), (1, 1, 2)):
        adaptation = agent.adaptation(2)
        for copies in parts:
            assert adaptation.episodes_per_update >= copies
            adaptation.update(collect(worlds[copies], adaptation, seed=3))
        assert adaptation.episodes_per_update == 4
        pivots.append(adaptation.pivot)
    torch.testing.assert_close(*pivots)
    assert not torch.equal(pivots[0], agent.start.expand(2, -1))


@pytest.mark.parametrize("kind", [ESMAML, HillClimb])
def test_perturbations_shrink_after_as_many_steps_as_in_training(kind, family):
    agent = kind(family, kind.Config(trials=4, inner_steps=2, hidden=(30,)), seed=0)
    world = Environment(family, family.tasks("near", 3), 4)
    adaptation, sizes = agent.adaptation(3), []
    for seed in range(8):
        tried = adaptation.directions
        sizes.append(tried[tried.abs().sum(-1) > 0].std())  # the pivot is not moved
        adaptation.update(collect(world, adaptation, seed))
    expected = torch.tensor([1.0, 1.0, *((2 / step) ** 0.5 for step in range(3, 9))])
    torch.testing.assert_close(torch.stack(sizes), expected, rtol=0.1, atol=0)
