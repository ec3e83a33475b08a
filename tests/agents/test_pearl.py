"""PEARL: the posterior, what learns from which gradient, and that it adapts."""

import math
from itertools import pairwise

import pytest
import torch
from tiny import CONFIGS

from metarl.agents.pearl import PEARL, conditioned, posterior
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.registry import make_family
from metarl.learning.distributions import Gaussian
from metarl.learning.networks import leaves
from metarl.learning.replay import transitions
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import torch_generator


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=12)


def trained(family, iterations=1, **settings):
    config = PEARL.Config(**{**CONFIGS["pearl"], **settings})
    agent, sampler = PEARL(family, config, 0), Sampler(family, 0)
    for _ in range(iterations):
        agent.train_step(sampler)
        sampler.iteration += 1
    return agent, sampler


def gaussian(mean, variance):
    return Gaussian(torch.tensor(mean), 0.5 * torch.tensor(variance).log())


STANDARD = gaussian([[0.0]], [[1.0]])


# -- the posterior ---------------------------------------------------------------------


def test_the_posterior_is_the_product_of_gaussians_by_hand():
    factors = gaussian([[[2.0], [-1.0], [9.0]]], [[[0.5], [0.25], [1.0]]])
    found = posterior(STANDARD, factors, torch.tensor([[1.0, 1.0, 0.0]]))
    # Precisions 1, 2 and 4; the last factor does not count.
    assert found.mean.item() == pytest.approx((2 * 2 - 4 * 1) / 7)
    assert math.exp(2 * found.log_std.item()) == pytest.approx(1 / 7)


def test_the_log_density_of_the_posterior_is_that_of_the_product():
    factors = gaussian([[[0.3], [-1.2]]], [[[0.4], [2.0]]])
    found = posterior(STANDARD, factors, torch.ones(1, 2))
    z = torch.linspace(-2, 2, 9)[:, None]
    product = STANDARD.log_prob(z) + sum(
        Gaussian(factors.mean[0, i], factors.log_std[0, i]).log_prob(z)
        for i in range(2)
    )
    difference = product - found.log_prob(z)
    torch.testing.assert_close(difference, difference[:1].expand(9))


def test_nothing_known_is_the_prior():
    factors = gaussian([[[5.0], [6.0]]], [[[0.1], [0.1]]])
    found = posterior(STANDARD, factors, torch.zeros(1, 2))
    assert (found.mean.item(), found.log_std.item()) == (0.0, 0.0)


def test_the_belief_does_not_depend_on_the_order_and_narrows_with_context(family):
    agent, _ = trained(family)
    tasks = family.tasks("interpolation", 3)
    rounds = [
        collect(Environment(family, tasks), agent.adaptation(3), seed=seed)
        for seed in range(3)
    ]
    beliefs = []
    for order in ((0, 1, 2), (2, 0, 1)):
        adaptation = agent.adaptation(3)
        widths = [adaptation.belief.log_std]
        for index in order:
            adaptation.update(rounds[index])
            widths.append(adaptation.belief.log_std)
        assert all((b < a).all() for a, b in pairwise(widths))
        beliefs.append(adaptation.belief)
    torch.testing.assert_close(beliefs[0].mean, beliefs[1].mean)
    torch.testing.assert_close(beliefs[0].log_std, beliefs[1].log_std)


# -- learning --------------------------------------------------------------------------


def drawn(agent):
    generator = torch_generator("test")
    some = agent.replay.known()[:2]
    context, batch = (agent.replay.sample(some, 8, generator) for _ in range(2))
    learnt = {group: leaves(p) for group, p in agent.learnt.items()}
    return learnt, agent.losses(learnt, context, batch, generator)


def test_the_encoder_learns_from_the_critic_and_not_from_the_actor(family):
    learnt, losses = drawn(trained(family)[0])
    encoder = list(learnt["encoder"].values())
    for name in ("critic", "kl"):
        found = torch.autograd.grad(losses[name], encoder, retain_graph=True)
        assert any(gradient.any() for gradient in found), name
    found = torch.autograd.grad(losses["actor"], encoder, allow_unused=True)
    assert all(gradient is None for gradient in found)


def test_the_divergence_from_the_prior_is_weighed(family):
    agent, _ = trained(family)
    _, losses = drawn(agent)
    twice, _ = trained(family, kl=0.02)
    twice.load(*agent.save())
    assert drawn(twice)[1]["kl"].item() == pytest.approx(2 * losses["kl"].item())


def test_a_fixed_temperature_stays_and_a_learnt_one_moves(family):
    for learn in (False, True):
        agent, _ = trained(family, temperature=0.2, learn_temperature=learn)
        found = agent.learnt["temperature"]["log"].exp().item()
        assert (found == pytest.approx(0.2, rel=1e-6)) != learn


def test_rewards_are_in_units_of_their_root_mean_square(family):
    agent, _ = trained(family)
    rows = agent.replay
    steps = torch.cat([r[:n] for r, n in zip(rows.rows, rows.added, strict=True)])
    reward = steps[:, -4]  # before what follows, of 2 numbers, and `continues`
    scaled = agent.scaled(reward)
    assert scaled.square().mean().item() == pytest.approx(1.0, rel=1e-4)
    assert torch.equal(scaled == 0, reward == 0)


def test_training_stays_within_the_pool(family):
    agent, sampler = trained(family, iterations=3)  # 9 tasks of a pool of 4
    assert agent.replay.known().tolist() == [0, 1, 2, 3]
    assert sampler.drawn == 0
    few = Sampler(family, 0, train_tasks=2)
    agent = PEARL(family, agent.config, 0)
    agent.train_step(few)
    assert agent.replay.known().tolist() == [0, 1]


def test_a_resumed_training_draws_from_the_saved_buffers(family):
    agent, sampler = trained(family)
    tensors, plain = agent.save()
    assert tensors["replay/added"].sum() > 0
    counts = sampler.state()
    agent.train_step(sampler)
    whole = agent.save()[0]
    for keep in (True, False):
        resumed = PEARL(family, agent.config, 0)
        own = {n: t for n, t in tensors.items() if keep or "replay" not in n}
        resumed.load(own, plain)
        again = Sampler(family, 0)
        again.load_state(counts)
        resumed.train_step(again)
        same = [torch.equal(t, whole[n]) for n, t in resumed.save()[0].items()]
        assert all(same) == keep


# -- adapting --------------------------------------------------------------------------


def test_an_episode_acts_on_one_sample_and_the_next_on_another(family):
    agent, _ = trained(family)
    world = Environment(family, family.tasks("interpolation", 3), 2)
    adaptation = agent.adaptation(3)
    samples = []
    for seed in range(2):
        episodes = collect(world, adaptation, seed=seed)
        samples.append(adaptation.trying.z.clone())
        again, mask = transitions(episodes)
        assert again.action[mask > 0].abs().max() <= 1
        adaptation.update(episodes)
    first, second = samples
    assert first.shape == (3, 2, agent.config.latent)
    assert not torch.equal(first[:, 0], first[:, 1])
    assert not torch.equal(first, second)
    policy = adaptation.policy()
    assert torch.equal(policy.z, adaptation.belief.mean[:, None])
    assert agent.adaptation(3).policy().z.abs().max() == 0  # the mean of the prior


def test_z_is_beside_the_observation_of_its_own_task():
    found = conditioned(torch.zeros(2, 3, 1), torch.tensor([[[1.0]], [[2.0]]]))
    assert found[..., 1].tolist() == [[1.0] * 3, [2.0] * 3]
