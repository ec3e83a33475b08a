"""The learnt optimizer: what its gates do, what they read, and its gradient."""

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

from metarl.agents.lstm_optimizer import LSTMOptimizer, learner_at, preprocessed
from metarl.agents.maml import MAML
from metarl.environment.registry import make_family
from metarl.learning.networks import leaves, named, stack
from metarl.learning.proximal import proximal_loss
from metarl.learning.sampler import Sampler


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=STEPS)


def learner_of(family, **config):
    agent = agent_of(family, LSTMOptimizer, **{"units": 3, "updates": 2, **config})
    # Weights of some size, not the small ones that it begins with.
    g = torch.Generator().manual_seed(3)
    lstm, gate = agent.learnt["lstm"], agent.learnt["gate"]
    for p in [*lstm.values(), gate["hidden"], gate["parameter"], gate["previous"]]:
        p.copy_(0.5 * torch.randn(p.shape, generator=g, dtype=p.dtype))
    return agent


def policies_of(agent, tasks=TASKS):
    return stack(agent.learnt["start"], tasks)


def start_of(agent, tasks=TASKS):
    return learner_at(policies_of(agent, tasks), agent.config.units)


def test_preprocessing_by_hand():
    e = math.e
    values = torch.tensor([1.0, -1.0, e**5, -(e**-5), 0.5 * e**-10, 0.0]).double()
    expected = [[0, 1], [0, -1], [0.5, 1], [-0.5, -1], [-1, 0.5], [-1, 0]]
    torch.testing.assert_close(preprocessed(values), torch.tensor(expected).double())


def test_with_open_forget_and_constant_input_gates_it_is_gradient_descent(family):
    agent = agent_of(family, LSTMOptimizer, updates=1)
    maml = agent_of(family, MAML)
    for p in agent.learnt["gate"].values():
        p.zero_()
    rate = maml.config.inner_lr  # as much as a gate can be open, 0.7
    # A bias of 50 opens the gate to 1 in float64.
    bias = torch.tensor([50.0, math.log(rate / (1 - rate))])
    agent.learnt["gate"]["bias"][:] = bias
    ours, theirs = start_of(agent), policies_of(maml)
    for seed in range(3):
        batch = batch_of(agent, seed)
        ours = agent.stepped(ours, batch)
        theirs = maml.stepped(maml.learnt, theirs, batch)
    for name, p in theirs.items():
        torch.testing.assert_close(ours.policy[name], p, rtol=1e-6, atol=1e-9)
    assert not torch.equal(ours.policy["weight0"], policies_of(agent)["weight0"])


def test_its_first_gates_keep_parameters_and_step_against_the_gradient(family):
    agent = agent_of(family, LSTMOptimizer, updates=1)
    batch = batch_of(agent, 0)
    forget, write = agent.stepped(start_of(agent), batch).gates.unbind(-1)
    torch.testing.assert_close(
        forget, torch.full_like(forget, 1 / (1 + math.exp(-6))), rtol=0, atol=1e-3
    )
    torch.testing.assert_close(
        write, torch.full_like(write, 1 / (1 + math.exp(2))), rtol=0, atol=3e-3
    )


def test_gradient_equals_central_differences_with_the_inputs_held(family, monkeypatch):
    agent = learner_of(family)
    batches = [batch_of(agent, seed) for seed in range(3)]
    collectors = moved(collectors_of(agent, batches))
    # First order: what the LSTM reads does not change with what is learnt.
    gradients, read = agent.gradients, []
    monkeypatch.setattr(
        agent, "gradients", lambda *a: read.append(gradients(*a)) or read[-1]
    )
    agent.through_adaptation(agent.learnt, batches)
    assert len(read) == 2 * agent.config.updates
    calls = 0

    def read_again(policy, batch):
        nonlocal calls
        calls += 1
        return read[(calls - 1) % len(read)]

    monkeypatch.setattr(agent, "gradients", read_again)

    def loss(learnt):
        actions = agent.through_adaptation(learnt, batches)
        return proximal_loss(actions, collectors, batches, 0.3, kl_penalty=0.5)[0]

    assert error_of_gradient(loss, agent.learnt) < 1e-6
    # Every weight has an effect.
    learnt = leaves_of(agent)
    loss(learnt).backward()
    for group, parameters in learnt.items():
        for name, p in parameters.items():
            assert (p.grad != 0).all(), (group, name)


def test_no_gradient_runs_through_what_it_reads(family):
    agent = learner_of(family)
    read = agent.gradients(leaves(policies_of(agent)), batch_of(agent, 0))
    assert not any(part.requires_grad for part in read)


def test_its_state_lasts_for_an_adaptation_and_not_beyond(family):
    agent = learner_of(family, updates=1)
    batch = batch_of(agent, 0)
    first = agent.stepped(start_of(agent), batch)
    second = agent.stepped(first, batch)
    fresh = agent.stepped(learner_at(first.policy, agent.config.units), batch)
    assert not torch.equal(second.policy["weight0"], fresh.policy["weight0"])
    new = agent.adaptation(2).state
    assert not any(part.any() for part in (new.hidden, new.cell, new.gates))


def test_a_tasks_update_does_not_depend_on_the_others(family):
    agent = learner_of(family)
    batch = batch_of(agent, 0)
    together = agent.stepped(start_of(agent), batch)
    one = type(batch)(*(v[1:2] for v in vars(batch).values()))
    alone = agent.stepped(start_of(agent, 1), one)
    for name, p in together.policy.items():
        torch.testing.assert_close(p[1:2], alone.policy[name])
    for name in ("hidden", "cell", "gates"):
        torch.testing.assert_close(getattr(together, name)[1:2], getattr(alone, name))


def test_an_iteration_moves_the_start_and_the_lstm(family):
    config = {"hidden": (16,), "tasks": 4, "episodes": 5, "units": 4}
    agent = LSTMOptimizer(family, LSTMOptimizer.Config(**config), seed=0)
    before = named(agent.learnt)
    metrics = agent.train_step(Sampler(family, seed=0))
    assert metrics["improvement"] > 0
    for name, p in named(agent.learnt).items():
        assert not torch.equal(p, before[name]), name


def test_a_long_gradient_is_shortened_for_its_task_alone(family):
    agent = agent_of(family, LSTMOptimizer)
    batch = batch_of(agent, 0)
    policy = policies_of(agent)
    _, plain = agent.gradients(policy, batch)
    batch.advantage[1] *= 1e6
    _, shortened = agent.gradients(policy, batch)
    lengths = shortened.norm(dim=1)
    assert float(lengths[1]) == pytest.approx(agent.config.max_inner_gradient)
    torch.testing.assert_close(shortened[[0, 2]], plain[[0, 2]])
    torch.testing.assert_close(
        shortened[1] / lengths[1], plain[1] / plain[1].norm(), rtol=1e-9, atol=1e-12
    )
