"""Meta networks: what is written to the memory, how it is read, and its gradient."""

import dataclasses
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

from metarl.agents.metanet import MetaNet, attention, augmented, learner_at
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.registry import make_family
from metarl.errors import InputError
from metarl.learning.distributions import gaussian
from metarl.learning.networks import leaves, named, stack
from metarl.learning.policy_gradient import Batch, policy_gradient
from metarl.learning.proximal import proximal_loss
from metarl.learning.sampler import Sampler
from metarl.runs.config import RunConfig

EPISODES = 4
HORIZON = STEPS // EPISODES


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=HORIZON)


def learner_of(family, **config):
    return agent_of(
        family, MetaNet, **{"units": 3, "key": 3, "inner_lr": 0.1, **config}
    )


def slow_of(agent):
    return stack(agent.learnt["start"], TASKS)


def start_of(agent):
    return learner_at(slow_of(agent), agent.config.key)


def after_a_round(agent):
    return agent.stepped(start_of(agent), batch_of(agent, 0))


def of_one_task(learner):
    """Without the other tasks."""
    return dataclasses.replace(
        learner,
        slow={name: p[:1] for name, p in learner.slow.items()},
        key=learner.key[:1],
        known=learner.known[:1],
        fast={name: p[:1] for name, p in learner.fast.items()},
    )


def of_two_episodes(learner):
    """Without the other episodes in the memory."""
    return dataclasses.replace(
        learner,
        key=learner.key[:, :2],
        known=learner.known[:, :2],
        fast={name: p[:, :2] for name, p in learner.fast.items()},
    )


def observations(n=7):
    g = torch.Generator().manual_seed(5)
    return torch.randn(TASKS, n, 2, generator=g, dtype=torch.float64)


def test_an_empty_memory_adds_exactly_nothing(family):
    agent = learner_of(family)
    both = augmented(agent.learnt, start_of(agent), observations())
    slow = gaussian(slow_of(agent), observations())
    assert torch.equal(both.mean, slow.mean)
    assert torch.equal(both.log_std, slow.log_std)


def test_an_episode_that_diverged_is_as_if_it_had_not_been(family):
    agent = learner_of(family)
    learner = after_a_round(agent)
    assert learner.known.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    one = of_one_task(learner)
    observation = observations()[:1]
    torch.testing.assert_close(
        augmented(agent.learnt, one, observation).mean,
        augmented(agent.learnt, of_two_episodes(one), observation).mean,
    )
    # And where all did, nothing is left but the slow weights.
    one.known = torch.zeros_like(one.known)
    torch.testing.assert_close(
        augmented(agent.learnt, one, observation).mean,
        gaussian(one.slow, observation).mean,
    )


def test_support_changes_what_the_policy_does_in_every_task_otherwise(family):
    agent = learner_of(family)
    learner = after_a_round(agent)
    both = augmented(agent.learnt, learner, observations()).mean
    gap = both - gaussian(learner.slow, observations()).mean
    assert (gap.abs().amax((1, 2)) > 1e-4).all()
    one = augmented(agent.learnt, of_one_task(learner), observations()[:1]).mean
    torch.testing.assert_close(one, both[:1])


def test_it_reads_each_episodes_own_policy_gradient(family):
    agent = learner_of(family)
    batch = batch_of(agent, 0)
    read = agent.gradients(slow_of(agent), batch)
    assert "log_std" not in read
    for episode in range(EPISODES):
        steps = slice(episode * HORIZON, (episode + 1) * HORIZON)
        alone = Batch(**{n: value[:, steps] for n, value in vars(batch).items()})
        gradient = policy_gradient(leaves(slow_of(agent)), alone)
        for name, g in read.items():
            torch.testing.assert_close(g[:, episode], gradient[name])


def test_no_gradient_runs_through_what_it_reads(family):
    agent = learner_of(family)
    read = agent.gradients(leaves(slow_of(agent)), batch_of(agent, 0))
    assert not any(g.requires_grad for g in read.values())


def test_attention_by_hand(family, monkeypatch):
    agent = learner_of(family, sharpness=3.0)
    # Two episodes of one task, with keys at a right angle.
    learner = of_two_episodes(of_one_task(after_a_round(agent)))
    learner.key = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]]).double()
    learner.known = torch.ones(1, 2).double()
    agent.learnt["sharpness"]["log"] = torch.tensor(math.log(3.0)).double()
    query = torch.tensor([[[5.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.1, 0.0]]]).double()
    monkeypatch.setattr("metarl.agents.metanet.network", lambda parameters, x: x)
    e = math.exp(3.0)  # of cosines 1 and 0
    expected = [[e / (e + 1), 1 / (e + 1)], [0.5, 0.5], [1 / (e + 1), e / (e + 1)]]
    torch.testing.assert_close(
        attention(agent.learnt, learner, query), torch.tensor([expected]).double()
    )
    learner.known = torch.tensor([[1.0, 0.0]]).double()
    alone = torch.tensor([[[1.0, 0.0]] * 3]).double()
    torch.testing.assert_close(attention(agent.learnt, learner, query), alone)


def test_the_layers_by_hand(family):
    """Form the fast weights of every observation, which `augmented` never does."""
    agent = learner_of(family)
    learner = after_a_round(agent)
    observation = observations(5)
    weight = attention(agent.learnt, learner, observation)
    found = augmented(agent.learnt, learner, observation).mean
    for task in range(TASKS):
        for n in range(5):
            x = observation[task, n]
            for layer in range(3):
                fast, bias = (
                    sum(
                        weight[task, n, j] * learner.fast[f"{kind}{layer}"][task, j]
                        for j in range(EPISODES)
                    )
                    for kind in ("weight", "bias")
                )
                slow = learner.slow[f"weight{layer}"], learner.slow[f"bias{layer}"]
                usual = x @ slow[0][task] + slow[1][task]
                quick = x @ fast + bias
                x = usual + quick if layer == 2 else usual.tanh() + quick.tanh()
            torch.testing.assert_close(found[task, n], x)


def test_gradient_equals_central_differences_with_the_gradients_held(
    family, monkeypatch
):
    agent = learner_of(family)
    # Weights of some size, not the small ones that it begins with.
    agent.learnt["meta"]["weight1"].mul_(5)
    batches = [batch_of(agent, seed) for seed in range(2)]
    collectors = moved(collectors_of(agent, batches))
    read = agent.gradients(slow_of(agent), batches[0])
    monkeypatch.setattr(agent, "gradients", lambda slow, batch: read)

    def loss(learnt):
        actions = agent.through_adaptation(learnt, batches)
        return proximal_loss(actions, collectors, batches, 0.3, kl_penalty=0.5)[0]

    assert error_of_gradient(loss, agent.learnt) < 1e-6
    # Everything has an effect: the meta learner, the keys and the sharpness.
    learnt = leaves_of(agent)
    loss(learnt).backward()
    for group, parameters in learnt.items():
        for name, p in parameters.items():
            assert p.grad.abs().max() > 0, (group, name)


def test_rounds_add_up_in_the_memory(family):
    agent = learner_of(family)
    learner = start_of(agent)
    for seed in range(2):
        learner = agent.stepped(learner, batch_of(agent, seed))
    assert learner.key.shape == (TASKS, 2 * EPISODES, 3)
    assert learner.fast["weight0"].shape == (TASKS, 2 * EPISODES, 2, 5)


def test_it_explores_with_slow_weights_and_deploys_both(family):
    config = MetaNet.Config(hidden=(8,), episodes=4, deploy="sample")
    agent = MetaNet(family, config, seed=0)
    world = Environment(family, family.tasks("interpolation", 3), 2)
    adaptation = agent.adaptation(3)
    explored = collect(world, adaptation, seed=0)
    before = collect(world, adaptation.policy(), seed=0)
    assert torch.equal(explored.action, before.action)
    adaptation.update(explored)  # half a round
    assert adaptation.episodes_per_update == 2
    assert torch.equal(collect(world, adaptation, seed=0).action, explored.action)
    half = collect(world, adaptation.policy(), seed=0)
    assert not torch.equal(half.action, before.action)
    adaptation.update(collect(world, adaptation, seed=1))
    assert adaptation.episodes_per_update == 4
    assert torch.equal(collect(world, adaptation, seed=0).action, explored.action)
    whole = collect(world, adaptation.policy(), seed=0)
    assert not torch.equal(whole.action, half.action)


def test_training_does_not_reach_into_an_adaptation_that_has_begun(family):
    agent = MetaNet(family, MetaNet.Config(hidden=(8,), tasks=3, episodes=2), seed=0)
    world = Environment(family, family.tasks("interpolation", 3), 2)
    adaptations = [agent.adaptation(3) for _ in range(2)]
    episodes = collect(world, adaptations[0], seed=0)
    adaptations[0].update(episodes)
    agent.train_step(Sampler(family, seed=0))
    adaptations[1].update(episodes)
    actions = [collect(world, a.policy(), seed=1).action for a in adaptations]
    assert torch.equal(*actions)


def test_at_first_the_outer_ratio_is_one(family):
    """Then the loss is the mean advantage, which is nothing."""
    config = MetaNet.Config(hidden=(8,), tasks=4, episodes=3, inner_lr=1.0)
    agent = MetaNet(family, config, seed=0)
    metrics = agent.train_step(Sampler(family, seed=0))
    assert abs(metrics["loss"]) < 1e-6


def test_an_iteration_moves_slow_weights_meta_learner_and_keys(family):
    agent = MetaNet(family, MetaNet.Config(hidden=(8,), tasks=4, episodes=3), seed=0)
    before = named(agent.learnt)
    metrics = agent.train_step(Sampler(family, seed=0))
    assert metrics["improvement"] > 0
    for name, p in named(agent.learnt).items():
        assert not torch.equal(p, before[name]), name


def test_in_training_too_it_explores_with_slow_weights_in_every_round(family):
    config = MetaNet.Config(hidden=(8,), tasks=3, episodes=2, inner_steps=2)
    agent, sampler = MetaNet(family, config, seed=0), Sampler(family, seed=0)
    slow = named({"start": agent.learnt["start"]})
    acted, collected = [], sampler.collect

    def watched(tasks, copies, policy, purpose):
        weights = {name: p[0].clone() for name, p in policy.learner.slow.items()}
        acted.append((policy.learner, weights))
        return collected(tasks, copies, policy, purpose)

    sampler.collect = watched
    metrics = agent.train_step(sampler)
    assert abs(metrics["loss"]) < 1e-6  # all ratios are 1, all divergences 0
    *support, query = acted
    assert len(support) == 2
    for learner, weights in support:
        assert learner.key.shape[:2] == (3, 0)
        assert all(torch.equal(p, slow[name]) for name, p in weights.items())
    assert query[0].key.shape[:2] == (3, 4)


def test_a_scale_of_later_steps_is_refused():
    """Run folders of earlier versions hold one, which had to be 1."""
    config = {"hidden": [8], "later_step": 1.0}
    _, agent = RunConfig("point-goal", "metanet", agent_config=config).build()
    assert agent.config.hidden == (8,)
    config["later_step"] = 0.5
    with pytest.raises(InputError, match=r"later_step=0\.5"):
        RunConfig("point-goal", "metanet", agent_config=config).build()
