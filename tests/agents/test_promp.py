"""ProMP's outer objective: its gradient, its clip, and where its terms vanish."""

import math

import pytest
import torch
from fixed import STEPS, TASKS, agent_of, batch_of, error_of_gradient

from metarl.agents.gradient import surrogate
from metarl.agents.maml import MAML
from metarl.agents.promp import ProMP
from metarl.learning.agent import Sampler
from metarl.learning.optimization import flatten
from metarl.learning.policies import gaussian, leaves, log_probability, stack
from metarl.registry import make_family


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=STEPS)


def rounds(agent, supports=1):
    """Batches with the old log-probabilities of the policies that act in each."""
    state, batches = stack(agent.parameters, TASKS), []
    for seed in range(supports + 1):
        batch = batch_of(agent, seed)
        batch.old_log_probability = log_probability(
            *gaussian(state, batch.observation), batch.action
        )
        batches.append(batch)
        state = agent.adapted(state, batch)
    return batches


@pytest.mark.parametrize("supports", [1, 2])
def test_meta_gradient_equals_central_differences(family, supports):
    agent = agent_of(family, ProMP, kl_penalty=0.5)
    batches = [batch_of(agent, seed) for seed in range(supports + 1)]
    collectors = [
        (mean + 0.3, log_std - 0.1)
        for mean, log_std in agent.collectors(batches[:supports])
    ]

    def loss(learnt):
        return agent.outer_loss(learnt, batches, collectors)[0]

    assert error_of_gradient(loss, agent.parameters) < 1e-6


@pytest.mark.parametrize("supports", [1, 2])
def test_at_first_the_ratio_is_one_and_the_penalty_nothing(family, supports):
    agent = agent_of(family, ProMP, kl_penalty=1.0)
    batches = rounds(agent, supports)
    collectors = agent.collectors(batches[:-1])
    loss, divergence = agent.outer_loss(leaves(agent.parameters), batches, collectors)
    assert abs(divergence.item()) < 1e-14
    # With ratios of 1 the clipped objective is the mean advantage.
    query = batches[-1]
    means = (query.advantage * query.mask).sum(-1) / query.mask.sum(-1)
    assert loss.item() == pytest.approx(-means.mean().item(), rel=1e-12)


def test_its_first_gradient_is_mamls(family):
    agent, maml = agent_of(family, ProMP, kl_penalty=1.0), agent_of(family, MAML)
    batches = rounds(agent)
    theta = flatten(maml.parameters).requires_grad_()
    after = maml.through_adaptation(theta, batches[:-1])
    (expected,) = torch.autograd.grad(surrogate(after, batches[-1]).mean(), theta)
    learnt = leaves(agent.parameters)
    loss, _ = agent.outer_loss(learnt, batches, agent.collectors(batches[:-1]))
    gradients = torch.autograd.grad(loss, list(learnt.values()))
    ours = torch.cat([g.reshape(-1) for g in gradients])
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_the_penalty_is_the_divergence_before_the_inner_step(family):
    agent = agent_of(family, ProMP, kl_penalty=2.0)
    batches = rounds(agent)
    batches[-1].advantage.zero_()
    collectors = agent.collectors(batches[:-1])
    learnt = leaves(agent.parameters)
    # Every mean a standard deviation away, and the deviation doubled. For one
    # component: KL(N(0, 1) || N(1, 2)) = log 2 + (1 + 1) / 8 - 1/2; the action has two.
    learnt["bias2"] = learnt["bias2"] + learnt["log_std"].exp()
    learnt["log_std"] = learnt["log_std"] + math.log(2)
    expected = 2 * (math.log(2) - 0.25)
    loss, divergence = agent.outer_loss(learnt, batches, collectors)
    assert divergence.item() == pytest.approx(expected)
    assert loss.item() == pytest.approx(2.0 * expected)


def test_where_the_clip_binds_the_start_is_left_alone(family):
    agent = agent_of(family, ProMP, kl_penalty=0.0)
    batches = rounds(agent)
    query = batches[-1]
    collectors = agent.collectors(batches[:-1])
    query.advantage = query.advantage.abs()
    query.old_log_probability = query.old_log_probability - 1.0  # ratios of e
    learnt = leaves(agent.parameters)
    loss, _ = agent.outer_loss(learnt, batches, collectors)
    gradients = torch.autograd.grad(loss, list(learnt.values()))
    assert all((g == 0).all() for g in gradients)


def test_one_iteration_takes_all_its_adam_steps_and_improves(family):
    config = {"hidden": (16,), "tasks": 4, "episodes": 5, "outer_steps": 4}
    agent = ProMP(family, ProMP.Config(**config), seed=0)
    metrics = agent.train_step(Sampler(family, seed=0))
    assert metrics["improvement"] > 0
    assert metrics["inner_kl"] > 0  # the last step is not at the collecting policy
    steps = {int(entry["step"]) for entry in agent.optimizer.state.values()}
    assert steps == {4}
    assert all(not p.requires_grad for p in agent.parameters.values())
