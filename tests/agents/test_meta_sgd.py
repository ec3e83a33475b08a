"""Meta-SGD's gradient, by start and by step sizes, and what it shares with MAML."""

import pytest
import torch
import torchopt
from fixed import STEPS, TASKS, agent_of, batch_of, error_of_gradient

from metarl.agents.maml import MAML
from metarl.agents.meta_sgd import MetaSGD
from metarl.environment.registry import make_family
from metarl.learning.distributions import gaussian
from metarl.learning.networks import named, stack
from metarl.learning.optimization import flatten
from metarl.learning.policy_gradient import Batch, surrogate
from metarl.learning.sampler import Sampler


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=STEPS)


def with_rates(agent, spread):
    """The agent with rates around its inner_lr, which float32 would round."""
    g = torch.Generator().manual_seed(5)
    for p in agent.learnt.get("rate", {}).values():
        noise = torch.randn(p.shape, generator=g, dtype=p.dtype)
        p.copy_(agent.config.inner_lr + spread * noise)
    return agent


def meta_loss(agent, theta, supports, query):
    adapted = agent.through_adaptation(theta, supports)
    return surrogate(gaussian(adapted, query.observation), query).mean()


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_meta_gradient_equals_central_differences(family, inner_steps):
    agent = with_rates(agent_of(family, MetaSGD), spread=0.5)
    supports = [batch_of(agent, seed) for seed in range(inner_steps)]
    query = batch_of(agent, 9)

    def loss(learnt):
        return meta_loss(agent, flatten(learnt), supports, query)

    assert len(flatten(agent.learnt)) == 2 * len(flatten(agent.learnt["start"]))
    assert error_of_gradient(loss, agent.learnt) < 1e-6


def test_with_all_rates_equal_the_gradient_by_the_start_is_mamls(family):
    gradients = {}
    for kind in (MAML, MetaSGD):
        agent = with_rates(agent_of(family, kind), spread=0.0)
        supports, query = [batch_of(agent, 0), batch_of(agent, 1)], batch_of(agent, 9)
        theta = flatten(agent.learnt).requires_grad_()
        loss = meta_loss(agent, theta, supports, query)
        (gradients[kind],) = torch.autograd.grad(loss, theta)
    start = gradients[MAML]
    assert torch.equal(gradients[MetaSGD][: len(start)], start)
    assert gradients[MetaSGD][len(start) :].norm() > 0


def test_gradient_by_one_rate_for_all_equals_torchopt(family):
    """TorchOpt's differentiable SGD, with a step size that is itself a tensor."""
    agent = with_rates(agent_of(family, MetaSGD), spread=0.0)
    support, query = batch_of(agent, 0), batch_of(agent, 9)
    theta = flatten(agent.learnt).requires_grad_()
    loss = meta_loss(agent, theta, [support], query)
    (gradient,) = torch.autograd.grad(loss, theta)
    count = len(theta) // 2
    ours = gradient[count:].sum()  # the rates move together

    rate = torch.tensor(agent.config.inner_lr, dtype=torch.float64, requires_grad=True)
    losses = []
    for task in range(TASKS):
        one, other = (
            Batch(*(v[task : task + 1] for v in vars(b).values()))
            for b in (support, query)
        )
        start = {
            n: p.unsqueeze(0).requires_grad_() for n, p in agent.learnt["start"].items()
        }
        optimizer = torchopt.FuncOptimizer(torchopt.sgd(lr=1.0))
        inner = surrogate(gaussian(start, one.observation), one).sum()
        # SGD of rate 1 on rate * loss: the step size enters as a factor.
        stepped = optimizer.step(rate * inner, start)
        actions = gaussian(stepped, other.observation)
        losses.append(surrogate(actions, other).sum())
    (theirs,) = torch.autograd.grad(torch.stack(losses).mean(), rate)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)


def test_each_parameter_steps_at_its_own_rate(family):
    agent = agent_of(family, MetaSGD)
    batch = batch_of(agent, 0)
    start = stack(agent.learnt["start"], TASKS)
    before = agent.stepped(agent.learnt, start, batch)
    agent.learnt["rate"]["weight1"][2, 3] = 0.0
    agent.learnt["rate"]["bias0"] *= -2
    after = agent.stepped(agent.learnt, start, batch)
    assert torch.equal(after["weight1"][:, 2, 3], start["weight1"][:, 2, 3])
    assert not torch.equal(before["weight1"][:, 2, 3], start["weight1"][:, 2, 3])
    torch.testing.assert_close(
        after["bias0"] - start["bias0"], -2 * (before["bias0"] - start["bias0"])
    )
    for name in ("weight0", "weight2", "log_std"):
        assert torch.equal(before[name], after[name])


def test_the_outer_step_moves_start_and_rates_within_the_kl_limit(family):
    agent = MetaSGD(family, MetaSGD.Config(hidden=(16,), tasks=4, episodes=5), seed=0)
    before = named(agent.learnt)
    metrics = agent.train_step(Sampler(family, seed=0))
    assert metrics["improvement"] > 0
    assert 0 < metrics["kl"] <= agent.config.max_kl
    for name, p in named(agent.learnt).items():
        assert not torch.equal(p, before[name]), name
