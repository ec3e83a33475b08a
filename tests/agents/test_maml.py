"""The meta-gradient, proven three ways, and MAML on a task whose optimum is known."""

import dataclasses
import itertools

import pytest
import torch
import torchopt
from fixed import STEPS, TASKS, agent_of, batch_of, error_of_gradient
from torch import nn

from metarl.agents.maml import FOMAML, MAML
from metarl.environment.registry import make_family
from metarl.learning.distributions import Gaussian, gaussian
from metarl.learning.networks import leaves, named, stack
from metarl.learning.optimization import flatten, unflatten
from metarl.learning.policy_gradient import Batch, surrogate
from metarl.learning.sampler import Sampler


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=STEPS)


def meta_loss(agent, theta, supports, query):
    adapted = agent.through_adaptation(theta, supports)
    return surrogate(gaussian(adapted, query.observation), query).mean()


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_meta_gradient_equals_central_differences(family, inner_steps):
    agent = agent_of(family, MAML)
    supports = [batch_of(agent, seed) for seed in range(inner_steps)]
    query = batch_of(agent, 9)

    def loss(learnt):
        return meta_loss(agent, flatten(learnt), supports, query)

    assert error_of_gradient(loss, agent.learnt) < 1e-6


def test_first_order_differs_and_ignores_the_second_derivative(family):
    agent, first = agent_of(family, MAML), agent_of(family, FOMAML)
    support, query = batch_of(agent, 0), batch_of(agent, 9)
    theta = flatten(agent.learnt).requires_grad_()
    (exact,) = torch.autograd.grad(meta_loss(agent, theta, [support], query), theta)
    (short,) = torch.autograd.grad(meta_loss(first, theta, [support], query), theta)
    # First order: the mean over tasks of the gradient at the adapted parameters.
    adapted = leaves(agent.through_adaptation(theta, [support]))
    loss = surrogate(gaussian(adapted, query.observation), query).mean()
    gradients = torch.autograd.grad(loss, list(adapted.values()))
    expected = torch.cat([g.sum(0).reshape(-1) for g in gradients])
    torch.testing.assert_close(short, expected)
    assert (exact - short).norm() / exact.norm() > 1e-3


class Net(nn.Module):
    """The same policy as a module, for TorchOpt."""

    def __init__(self, parameters):
        super().__init__()
        self.held = nn.ParameterDict(
            {name: nn.Parameter(p.clone()) for name, p in parameters.items()}
        )

    def loss(self, batch, task):
        one = Batch(*(getattr(batch, f.name)[task] for f in dataclasses.fields(batch)))
        x = one.observation
        x = torch.tanh(x @ self.held["weight0"] + self.held["bias0"])
        x = torch.tanh(x @ self.held["weight1"] + self.held["bias1"])
        mean = x @ self.held["weight2"] + self.held["bias2"]
        normal = torch.distributions.Normal(mean, self.held["log_std"].exp())
        log_ratio = normal.log_prob(one.action).sum(-1) - one.old_log_prob
        gain = log_ratio.exp() * one.advantage * one.mask
        return -gain.sum() / one.mask.sum()


def test_meta_gradient_equals_torchopt(family):
    agent = agent_of(family, MAML)
    support, query = batch_of(agent, 0), batch_of(agent, 9)
    theta = flatten(agent.learnt).requires_grad_()
    (ours,) = torch.autograd.grad(meta_loss(agent, theta, [support], query), theta)

    net = Net(agent.learnt["start"])
    optimizer = torchopt.MetaSGD(net, lr=agent.config.inner_lr)
    weights = list(net.parameters())
    names = [name.removeprefix("held.") for name, _ in net.named_parameters()]
    start = torchopt.extract_state_dict(net), torchopt.extract_state_dict(optimizer)
    losses = []
    for task in range(TASKS):
        optimizer.step(net.loss(support, task))
        losses.append(net.loss(query, task))
        torchopt.recover_state_dict(net, start[0])
        torchopt.recover_state_dict(optimizer, start[1])
    gradients = torch.autograd.grad(torch.stack(losses).mean(), weights)
    named = dict(zip(names, gradients, strict=True))
    theirs = torch.cat([named[name].reshape(-1) for name in agent.learnt["start"]])
    assert (ours - theirs).norm() / theirs.norm() < 1e-10


@pytest.mark.parametrize("kind", [MAML, FOMAML])
def test_fisher_product_is_the_hessian_of_the_kl_at_the_adapted_policies(family, kind):
    agent = agent_of(family, kind, cg_damping=0.0, fisher_stride=1)
    batches = [batch_of(agent, 0), batch_of(agent, 9)]
    theta = flatten(agent.learnt).requires_grad_()
    product = agent.fisher(theta, batches)

    adapted = agent.through_adaptation(theta, batches[:1])
    new = gaussian(adapted, batches[1].observation)
    old = Gaussian(new.mean.detach(), new.log_std.detach())
    mask = batches[1].mask
    kl = (old.kl(new) * mask).sum(-1) / mask.sum(-1)
    (slope,) = torch.autograd.grad(kl.mean(), theta, create_graph=True)
    assert slope.norm() < 1e-12
    g = torch.Generator().manual_seed(1)
    for _ in range(3):
        v = torch.randn(len(theta), generator=g, dtype=torch.float64)
        (hessian_v,) = torch.autograd.grad(slope @ v, theta, retain_graph=True)
        torch.testing.assert_close(product(v), hessian_v, rtol=1e-9, atol=1e-12)


def test_a_tasks_inner_step_does_not_depend_on_the_others(family):
    agent = agent_of(family, MAML)
    batch = batch_of(agent, 0)
    stacked = stack(agent.learnt["start"], TASKS)
    together = agent.stepped(agent.learnt, stacked, batch)
    alone = agent.stepped(
        agent.learnt,
        {n: p[1:2] for n, p in stacked.items()},
        Batch(*(v[1:2] for v in vars(batch).values())),
    )
    for name, p in together.items():
        torch.testing.assert_close(p[1:2], alone[name])


def test_outer_step_improves_within_the_kl_limit(family):
    agent = MAML(family, MAML.Config(hidden=(16,), tasks=4, episodes=5), seed=0)
    sampler = Sampler(family, seed=0)
    before = flatten(agent.learnt)
    metrics = agent.train_step(sampler)
    assert metrics["improvement"] > 0
    assert 0 < metrics["kl"] <= agent.config.max_kl
    assert not torch.equal(before, flatten(agent.learnt))


def test_every_round_of_training_is_collected_by_what_adapted_so_far(family):
    config = MAML.Config(hidden=(4,), tasks=2, episodes=1, inner_steps=2)
    agent, rounds = MAML(family, config, seed=0), []

    class Watching(Sampler):
        def collect(self, tasks, copies, policy, purpose):
            episodes = super().collect(tasks, copies, policy, purpose)
            rounds.append((policy.parameters, episodes))
            return episodes

    agent.train_step(Watching(family, seed=0))
    for (before, episodes), (after, _) in itertools.pairwise(rounds):
        batch = agent.batch(episodes, before)
        adapted = agent.stepped(agent.learnt, before, batch)
        for name, p in adapted.items():
            assert torch.equal(after[name], p) and not torch.equal(before[name], p)


def test_deployed_policy_learns_from_every_episode_so_far(family):
    agent = MAML(family, MAML.Config(hidden=(8,), episodes=4), seed=0)
    sampler = Sampler(family, seed=0)
    tasks = sampler.tasks(3)
    adaptation = agent.adaptation(3)
    start = adaptation.policy().parameters["bias0"]
    one = sampler.collect(tasks, 1, adaptation, "a")
    adaptation.update(one)
    assert adaptation.episodes_per_update == 3
    provisional = adaptation.policy().parameters["bias0"]
    assert not torch.equal(start, provisional)
    # Collection goes on with the start until the round is full.
    assert torch.equal(adaptation.state["bias0"], start)
    adaptation.update(sampler.collect(tasks, 3, adaptation, "b"))
    assert adaptation.episodes_per_update == 4
    assert torch.equal(
        adaptation.state["bias0"], adaptation.policy().parameters["bias0"]
    )


def test_steps_beyond_those_of_training_are_shorter(family):
    """What a second whole step would do, and half of it."""
    agents = [
        MAML(family, MAML.Config(hidden=(8,), episodes=2, later_step=share), seed=0)
        for share in (1.0, 0.5)
    ]
    assert MAML.Config().later_step == 0.25
    sampler = Sampler(family, seed=0)
    tasks = sampler.tasks(3)
    adaptations = [agent.adaptation(3) for agent in agents]
    first, second = (
        sampler.collect(tasks, 2, adaptations[0], name) for name in ("a", "b")
    )
    for adaptation in adaptations:
        adaptation.update(first)
    once, same = (a.state["weight0"] for a in adaptations)
    assert torch.equal(once, same)
    for adaptation in adaptations:
        adaptation.update(second)
    whole, half = (a.state["weight0"] for a in adaptations)
    assert not torch.equal(whole, once)
    torch.testing.assert_close(half, (once + whole) / 2)


def test_unflatten_keeps_names(family):
    learnt = agent_of(family, MAML).learnt
    assert list(named(unflatten(flatten(learnt), learnt))) == list(named(learnt))


def test_what_comes_after_an_end_never_makes_a_loss_infinite(family):
    agent = agent_of(family, MAML)
    batch = batch_of(agent, 0)
    over = torch.zeros_like(batch.mask)
    over[:, 0] = 1  # nothing counts but the first step
    absurd = torch.where(over > 0, batch.old_log_prob, -1e6)
    batch = dataclasses.replace(batch, mask=over, old_log_prob=absurd)
    start = leaves(agent.learnt["start"])
    loss = surrogate(gaussian(start, batch.observation), batch).mean()
    gradients = torch.autograd.grad(loss, list(start.values()))
    assert loss.isfinite() and all(g.isfinite().all() for g in gradients)
