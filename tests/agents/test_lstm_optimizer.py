"""The learnt optimiser: what its gates do, what it is told, and its gradient."""

import math

import pytest
import torch
from fixed import STEPS, TASKS, agent_of, batch_of, error_of_gradient

from metarl.agents.lstm_optimizer import LSTMOptimizer, preprocessed
from metarl.agents.maml import MAML
from metarl.learning.agent import Sampler
from metarl.learning.policies import policy_part, stack
from metarl.registry import make_family


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=STEPS)


def learner_of(family, **config):
    agent = agent_of(family, LSTMOptimizer, **{"units": 3, "updates": 2, **config})
    # Weights that are felt, not the small ones that it begins with.
    g = torch.Generator().manual_seed(3)
    for name, p in agent.parameters.items():
        if "/" in name and name != "gate/bias":
            p.copy_(0.5 * torch.randn(p.shape, generator=g, dtype=p.dtype))
    return agent


def start_of(agent):
    return stack(policy_part(agent.parameters), TASKS)


def test_preprocessing_by_hand():
    e = math.e
    values = torch.tensor([1.0, -1.0, e**5, -(e**-5), 0.5 * e**-10, 0.0]).double()
    expected = [[0, 1], [0, -1], [0.5, 1], [-0.5, -1], [-1, 0.5], [-1, 0]]
    torch.testing.assert_close(preprocessed(values), torch.tensor(expected).double())


def test_with_open_forget_and_constant_input_gates_it_is_gradient_descent(family):
    agent = agent_of(family, LSTMOptimizer, updates=1)
    maml = agent_of(family, MAML)
    for name, p in agent.parameters.items():
        if name.startswith("gate/"):
            p.zero_()
    rate = maml.config.inner_lr  # as much as a gate can be open, 0.7
    # A bias of 50 opens the gate to 1 in float64.
    agent.parameters["gate/bias"][:] = torch.tensor([50.0, math.log(rate / (1 - rate))])
    ours, theirs = start_of(agent), stack(maml.parameters, TASKS)
    for seed in range(3):
        batch = batch_of(agent, seed)
        ours, theirs = agent.adapted(ours, batch), maml.adapted(theirs, batch)
    for name, p in theirs.items():
        torch.testing.assert_close(ours[name], p, rtol=1e-6, atol=1e-9)
    assert not torch.equal(ours["weight0"], agent.parameters["weight0"])


def test_its_first_gates_keep_parameters_and_step_against_the_gradient(family):
    agent = agent_of(family, LSTMOptimizer, updates=1)
    batch = batch_of(agent, 0)
    state = agent.adapted(start_of(agent), batch)
    forget, write = state["memory/gates"].unbind(-1)
    torch.testing.assert_close(
        forget, torch.full_like(forget, 1 / (1 + math.exp(-6))), rtol=0, atol=1e-3
    )
    torch.testing.assert_close(
        write, torch.full_like(write, 1 / (1 + math.exp(2))), rtol=0, atol=3e-3
    )


def test_gradient_equals_central_differences_with_the_inputs_held(family, monkeypatch):
    agent = learner_of(family, kl_penalty=0.5)
    batches = [batch_of(agent, seed) for seed in range(3)]
    collectors = [(m + 0.3, s - 0.1) for m, s in agent.collectors(batches[:-1])]
    # First order: what the LSTM is told does not change with what is learnt.
    told, heard = agent.told, []
    monkeypatch.setattr(agent, "told", lambda *a: heard.append(told(*a)) or heard[-1])
    agent.outer_loss(agent.parameters, batches, collectors)
    assert len(heard) == 2 * agent.config.updates
    calls = 0

    def told_again(policy, batch):
        nonlocal calls
        calls += 1
        return heard[(calls - 1) % len(heard)]

    monkeypatch.setattr(agent, "told", told_again)

    def loss(learnt):
        return agent.outer_loss(learnt, batches, collectors)[0]

    assert error_of_gradient(loss, agent.parameters) < 1e-6
    # Every weight is felt.
    learnt = {n: p.clone().requires_grad_() for n, p in agent.parameters.items()}
    loss(learnt).backward()
    for name, p in learnt.items():
        assert (p.grad != 0).all(), name


def test_no_gradient_runs_through_what_it_is_told(family):
    agent = learner_of(family)
    policy = {n: p.clone().requires_grad_() for n, p in start_of(agent).items()}
    assert not any(
        part.requires_grad for part in agent.told(policy, batch_of(agent, 0))
    )


def test_it_remembers_within_an_adaptation_and_not_beyond(family):
    agent = learner_of(family, updates=1)
    batch = batch_of(agent, 0)
    first = agent.adapted(start_of(agent), batch)
    second = agent.adapted(first, batch)
    forgetful = agent.adapted(policy_part(first), batch)
    assert not torch.equal(second["weight0"], forgetful["weight0"])
    assert not any("/" in name for name in agent.adaptation(2).parameters)


def test_a_tasks_update_does_not_depend_on_the_others(family):
    agent = learner_of(family)
    batch = batch_of(agent, 0)
    together = agent.adapted(start_of(agent), batch)
    one = type(batch)(*(v[1:2] for v in vars(batch).values()))
    alone = agent.adapted(stack(policy_part(agent.parameters), 1), one)
    for name, p in together.items():
        torch.testing.assert_close(p[1:2], alone[name])


def test_an_iteration_teaches_the_start_and_the_lstm(family):
    config = {"hidden": (16,), "tasks": 4, "episodes": 5, "units": 4}
    agent = LSTMOptimizer(family, LSTMOptimizer.Config(**config), seed=0)
    before = {name: p.clone() for name, p in agent.parameters.items()}
    metrics = agent.train_step(Sampler(family, seed=0))
    assert metrics["improvement"] > 0
    for name, p in agent.parameters.items():
        assert not torch.equal(p, before[name]), name


def test_a_long_gradient_is_shortened_for_its_task_alone(family):
    agent = agent_of(family, LSTMOptimizer)
    batch = batch_of(agent, 0)
    policy = start_of(agent)
    _, plain = agent.told(policy, batch)
    batch.advantage[1] *= 1e6
    _, shortened = agent.told(policy, batch)
    lengths = shortened.norm(dim=1)
    assert float(lengths[1]) == pytest.approx(agent.config.max_inner_gradient)
    torch.testing.assert_close(shortened[[0, 2]], plain[[0, 2]])
    torch.testing.assert_close(
        shortened[1] / lengths[1], plain[1] / plain[1].norm(), rtol=1e-9, atol=1e-12
    )
