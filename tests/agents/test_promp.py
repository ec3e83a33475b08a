"""ProMP's outer objective: its gradient, its clip, and where its terms vanish."""

import math

import pytest
import torch
from fixed import (
    STEPS,
    TASKS,
    agent_of,
    batch_of,
    collectors_of,
    error_of_gradient,
    leaves_of,
    moved,
)

from metarl.agents.maml import MAML
from metarl.agents.promp import ProMP
from metarl.environment.registry import make_family
from metarl.learning.distributions import gaussian
from metarl.learning.networks import stack
from metarl.learning.optimization import flatten, tensors_of
from metarl.learning.policy_gradient import surrogate
from metarl.learning.proximal import proximal_loss
from metarl.learning.sampler import Sampler


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=STEPS)


def rounds(agent, supports=1):
    """Batches with the old log-probabilities of the policies that act in each."""
    state, batches = stack(agent.learnt["start"], TASKS), []
    for seed in range(supports + 1):
        batch = batch_of(agent, seed)
        batch.old_log_prob = gaussian(state, batch.observation).log_prob(batch.action)
        batches.append(batch)
        state = agent.stepped(state, batch)
    return batches


def outer_loss(agent, learnt, batches, collectors):
    """The objective, and the divergence in it."""
    actions = agent.through_adaptation(learnt, batches)
    config = agent.config
    return proximal_loss(actions, collectors, batches, config.clip, config.kl_penalty)


@pytest.mark.parametrize("supports", [1, 2])
def test_meta_gradient_equals_central_differences(family, supports):
    agent = agent_of(family, ProMP, kl_penalty=0.5)
    batches = [batch_of(agent, seed) for seed in range(supports + 1)]
    collectors = moved(collectors_of(agent, batches))

    def loss(learnt):
        return outer_loss(agent, learnt, batches, collectors)[0]

    assert error_of_gradient(loss, agent.learnt) < 1e-6


@pytest.mark.parametrize("supports", [1, 2])
def test_at_first_the_ratio_is_one_and_the_penalty_nothing(family, supports):
    agent = agent_of(family, ProMP, kl_penalty=1.0)
    batches = rounds(agent, supports)
    collectors = collectors_of(agent, batches)
    loss, divergence = outer_loss(agent, leaves_of(agent), batches, collectors)
    assert abs(divergence.item()) < 1e-14
    # With ratios of 1 the clipped objective is the mean advantage.
    query = batches[-1]
    means = (query.advantage * query.mask).sum(-1) / query.mask.sum(-1)
    assert loss.item() == pytest.approx(-means.mean().item(), rel=1e-12)


def test_its_first_gradient_is_mamls(family):
    agent, maml = agent_of(family, ProMP, kl_penalty=1.0), agent_of(family, MAML)
    batches = rounds(agent)
    theta, query = flatten(maml.learnt).requires_grad_(), batches[-1]
    after = gaussian(maml.through_adaptation(theta, batches[:-1]), query.observation)
    (expected,) = torch.autograd.grad(surrogate(after, query).mean(), theta)
    learnt = leaves_of(agent)
    loss, _ = outer_loss(agent, learnt, batches, collectors_of(agent, batches))
    gradients = torch.autograd.grad(loss, list(tensors_of(learnt)))
    ours = torch.cat([g.reshape(-1) for g in gradients])
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_the_penalty_is_the_divergence_before_the_inner_step(family):
    agent = agent_of(family, ProMP, kl_penalty=2.0)
    batches = rounds(agent)
    batches[-1].advantage.zero_()
    collectors = collectors_of(agent, batches)
    learnt = leaves_of(agent)
    start = learnt["start"]
    # Every mean a standard deviation away, and the deviation doubled. For one
    # component: KL(N(0, 1) || N(1, 2)) = log 2 + (1 + 1) / 8 - 1/2; the action has two.
    start["bias2"] = start["bias2"] + start["log_std"].exp()
    start["log_std"] = start["log_std"] + math.log(2)
    expected = 2 * (math.log(2) - 0.25)
    loss, divergence = outer_loss(agent, learnt, batches, collectors)
    assert divergence.item() == pytest.approx(expected)
    assert loss.item() == pytest.approx(2.0 * expected)


def test_where_the_clip_binds_the_start_is_left_alone(family):
    agent = agent_of(family, ProMP, kl_penalty=0.0)
    batches = rounds(agent)
    query = batches[-1]
    collectors = collectors_of(agent, batches)
    query.advantage = query.advantage.abs()
    query.old_log_prob = query.old_log_prob - 1.0  # ratios of e
    learnt = leaves_of(agent)
    loss, _ = outer_loss(agent, learnt, batches, collectors)
    gradients = torch.autograd.grad(loss, list(tensors_of(learnt)))
    assert all((g == 0).all() for g in gradients)


def test_one_iteration_takes_all_its_adam_steps_and_improves(family):
    config = {"hidden": (16,), "tasks": 4, "episodes": 5, "outer_steps": 4}
    agent = ProMP(family, ProMP.Config(**config), seed=0)
    metrics = agent.train_step(Sampler(family, seed=0))
    assert metrics["improvement"] > 0
    assert metrics["inner_kl"] > 0  # the last step is not at the collecting policy
    steps = {int(entry["step"]) for entry in agent.optimizer.state.values()}
    assert steps == {4}
    assert all(not p.requires_grad for p in tensors_of(agent.learnt))
