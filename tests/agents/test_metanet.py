"""Meta networks: what is written to the memory, how it is read, and its gradient."""

import math

import pytest
import torch
from fixed import STEPS, TASKS, agent_of, batch_of, error_of_gradient

from metarl.agents.gradient import Batch, policy_gradient
from metarl.agents.metanet import MetaNet, attention, augmented
from metarl.errors import InputError
from metarl.learning.agent import Sampler
from metarl.learning.policies import gaussian, leaves, policy_part, stack
from metarl.registry import make_family
from metarl.world.environment import Environment
from metarl.world.rollout import collect

EPISODES = 4
HORIZON = STEPS // EPISODES


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=HORIZON)


def learner_of(family, **config):
    return agent_of(
        family, MetaNet, **{"units": 3, "key": 3, "inner_lr": 0.1, **config}
    )


def start_of(agent):
    return stack(policy_part(agent.parameters), TASKS)


def of_one_task(state):
    """Without the other tasks; the keys' network is everybody's."""
    return {
        name: p if name.startswith(("key/", "sharpness/")) else p[:1]
        for name, p in state.items()
    }


def observations(n=7):
    g = torch.Generator().manual_seed(5)
    return torch.randn(TASKS, n, 2, generator=g, dtype=torch.float64)


def test_an_empty_memory_adds_exactly_nothing(family):
    agent = learner_of(family)
    start, observation = start_of(agent), observations()
    for one, other in zip(
        augmented(start, observation), gaussian(start, observation), strict=True
    ):
        assert torch.equal(one, other)


def test_an_episode_that_blew_up_is_as_if_it_had_not_been(family):
    agent = learner_of(family)
    state = agent.adapted(start_of(agent), batch_of(agent, 0))
    known = state["memory/known"]
    assert known.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    one = of_one_task(state)
    without = {
        name: p[:, :2] if name.startswith(("fast/", "memory/")) else p
        for name, p in one.items()
    }
    observation = observations()[:1]
    torch.testing.assert_close(
        augmented(one, observation)[0], augmented(without, observation)[0]
    )
    # And where all did, nothing is left but the slow weights.
    one["memory/known"] = torch.zeros_like(one["memory/known"])
    torch.testing.assert_close(
        augmented(one, observation)[0], gaussian(one, observation)[0]
    )


def test_support_changes_what_the_policy_does_in_every_task_otherwise(family):
    agent = learner_of(family)
    state = agent.adapted(start_of(agent), batch_of(agent, 0))
    gap = augmented(state, observations())[0] - gaussian(state, observations())[0]
    assert (gap.abs().amax((1, 2)) > 1e-4).all()
    one = augmented(of_one_task(state), observations()[:1])[0]
    torch.testing.assert_close(one, augmented(state, observations())[0][:1])


def test_it_is_told_each_episodes_own_policy_gradient(family):
    agent = learner_of(family)
    batch = batch_of(agent, 0)
    told = agent.told(start_of(agent), batch)
    assert "log_std" not in told
    for episode in range(EPISODES):
        steps = slice(episode * HORIZON, (episode + 1) * HORIZON)
        alone = Batch(**{n: value[:, steps] for n, value in vars(batch).items()})
        gradient = policy_gradient(leaves(start_of(agent)), alone)
        for name, g in told.items():
            torch.testing.assert_close(g[:, episode], gradient[name])


def test_no_gradient_runs_through_what_it_is_told(family):
    agent = learner_of(family)
    slow = {n: p.clone().requires_grad_() for n, p in start_of(agent).items()}
    told = agent.told(slow, batch_of(agent, 0))
    assert not any(g.requires_grad for g in told.values())


def remembering(agent):
    """One task that remembers two episodes, under keys at a right angle."""
    state = of_one_task(agent.adapted(start_of(agent), batch_of(agent, 0)))
    state["memory/key"] = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]]).double()
    state["memory/known"] = torch.ones(1, 2).double()
    state["sharpness/log"] = torch.tensor(math.log(3.0)).double()
    return state


def test_attention_by_hand(family, monkeypatch):
    agent = learner_of(family)
    state = remembering(agent)
    query = torch.tensor([[[5.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.1, 0.0]]]).double()
    monkeypatch.setattr("metarl.agents.metanet.network", lambda parameters, x: x)
    e = math.exp(3.0)  # of cosines 1 and 0
    expected = [[e / (e + 1), 1 / (e + 1)], [0.5, 0.5], [1 / (e + 1), e / (e + 1)]]
    torch.testing.assert_close(
        attention(state, query), torch.tensor([expected]).double()
    )
    state["memory/known"] = torch.tensor([[1.0, 0.0]]).double()
    alone = torch.tensor([[[1.0, 0.0]] * 3]).double()
    torch.testing.assert_close(attention(state, query), alone)


def test_the_layers_by_hand(family):
    """Form the fast weights of every observation, which `augmented` never does."""
    agent = learner_of(family)
    state = agent.adapted(start_of(agent), batch_of(agent, 0))
    observation = observations(5)
    weight, found = attention(state, observation), augmented(state, observation)[0]
    for task in range(TASKS):
        for n in range(5):
            x = observation[task, n]
            for layer in range(3):
                fast, bias = (
                    sum(
                        weight[task, n, j] * state[f"fast/{kind}{layer}"][task, j]
                        for j in range(EPISODES)
                    )
                    for kind in ("weight", "bias")
                )
                slow = x @ state[f"weight{layer}"][task] + state[f"bias{layer}"][task]
                quick = x @ fast + bias
                x = slow + quick if layer == 2 else slow.tanh() + quick.tanh()
            torch.testing.assert_close(found[task, n], x)


def test_gradient_equals_central_differences_with_the_gradients_held(
    family, monkeypatch
):
    agent = learner_of(family, kl_penalty=0.5)
    # Weights that are felt, not the small ones that it begins with.
    agent.parameters["meta/weight1"].mul_(5)
    batches = [batch_of(agent, seed) for seed in range(2)]
    collectors = [(m + 0.3, s - 0.1) for m, s in agent.collectors(batches[:-1])]
    told = agent.told(start_of(agent), batches[0])
    monkeypatch.setattr(agent, "told", lambda slow, batch: told)

    def loss(learnt):
        return agent.outer_loss(learnt, batches, collectors)[0]

    assert error_of_gradient(loss, agent.parameters) < 1e-6
    # Everything is felt: the meta learner, the keys and the sharpness.
    learnt = {n: p.clone().requires_grad_() for n, p in agent.parameters.items()}
    loss(learnt).backward()
    for name, p in learnt.items():
        assert p.grad.abs().max() > 0, name


def test_rounds_add_up_in_the_memory(family):
    agent = learner_of(family)
    state = start_of(agent)
    for seed in range(2):
        state = agent.adapted(state, batch_of(agent, seed))
    assert state["memory/key"].shape == (TASKS, 2 * EPISODES, 3)
    assert state["fast/weight0"].shape == (TASKS, 2 * EPISODES, 2, 5)


def test_a_robot_explores_with_slow_weights_and_ships_both(family):
    config = MetaNet.Config(hidden=(8,), episodes=4, deploy="sample")
    agent = MetaNet(family, config, seed=0)
    world = Environment(family, family.tasks("interpolation", 3), 2)
    adaptation = agent.adaptation(3)
    explored = collect(world, adaptation, seed=0)
    before = collect(world, adaptation.deployed(), seed=0)
    assert torch.equal(explored.action, before.action)
    adaptation.absorb(explored)  # half a round
    assert adaptation.round == 2
    assert torch.equal(collect(world, adaptation, seed=0).action, explored.action)
    half = collect(world, adaptation.deployed(), seed=0)
    assert not torch.equal(half.action, before.action)
    adaptation.absorb(collect(world, adaptation, seed=1))
    assert adaptation.round == 4
    assert torch.equal(collect(world, adaptation, seed=0).action, explored.action)
    whole = collect(world, adaptation.deployed(), seed=0)
    assert not torch.equal(whole.action, half.action)


def test_training_does_not_reach_into_an_adaptation_that_has_begun(family):
    agent = MetaNet(family, MetaNet.Config(hidden=(8,), tasks=3, episodes=2), seed=0)
    world = Environment(family, family.tasks("interpolation", 3), 2)
    adaptations = [agent.adaptation(3) for _ in range(2)]
    episodes = collect(world, adaptations[0], seed=0)
    adaptations[0].absorb(episodes)
    agent.train_step(Sampler(family, seed=0))
    adaptations[1].absorb(episodes)
    actions = [collect(world, a.deployed(), seed=1).action for a in adaptations]
    assert torch.equal(*actions)


def test_at_first_the_outer_ratio_is_one(family):
    """Then the loss is the mean advantage, which is nothing."""
    config = MetaNet.Config(hidden=(8,), tasks=4, episodes=3, inner_lr=1.0)
    agent = MetaNet(family, config, seed=0)
    metrics = agent.train_step(Sampler(family, seed=0))
    assert abs(metrics["loss"]) < 1e-6


def test_an_iteration_teaches_slow_weights_meta_learner_and_keys(family):
    agent = MetaNet(family, MetaNet.Config(hidden=(8,), tasks=4, episodes=3), seed=0)
    before = {name: p.clone() for name, p in agent.parameters.items()}
    metrics = agent.train_step(Sampler(family, seed=0))
    assert metrics["improvement"] > 0
    for name, p in agent.parameters.items():
        assert not torch.equal(p, before[name]), name


def test_in_training_too_it_explores_with_slow_weights_in_every_round(family):
    config = MetaNet.Config(hidden=(8,), tasks=3, episodes=2, inner_steps=2)
    agent, sampler = MetaNet(family, config, seed=0), Sampler(family, seed=0)
    slow = policy_part(agent.parameters)
    acted, collected = [], sampler.collect

    def watched(tasks, copies, policy, purpose):
        acted.append(policy.state)
        return collected(tasks, copies, policy, purpose)

    sampler.collect = watched
    metrics = agent.train_step(sampler)
    assert abs(metrics["loss"]) < 1e-6  # all ratios are 1, all divergences 0
    *support, query = acted
    assert len(support) == 2
    for state in support:
        assert set(state) == set(slow)
        assert all(torch.equal(p[0], slow[name]) for name, p in state.items())
    assert query["memory/key"].shape[:2] == (3, 4)


def test_a_scale_of_later_steps_is_refused(family):
    with pytest.raises(InputError, match=r"later_step=0\.5 must be 1"):
        MetaNet(family, MetaNet.Config(later_step=0.5), seed=0)
