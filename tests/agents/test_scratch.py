"""PPO on each robot alone: what an update changes, and what it is made from."""

import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from metarl.agents.scratch import Scratch
from metarl.agents.tuning import Actors, Scales, actor, critic
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.episodes import Episodes, concatenate
from metarl.environment.registry import make_family
from metarl.learning.normalization import Normalizer

STEPS = 12


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=STEPS)


@pytest.fixture(scope="module")
def world(family):
    return Environment(family, family.tasks("interpolation", 3), 4)


def facing(family, tasks=3, **config):
    defaults = {"episodes": 4, "hidden": (8,)}
    agent = Scratch(family, Scratch.Config(**{**defaults, **config}), seed=0)
    return agent.adaptation(tasks)


def weights(policy):
    return torch.cat([p.detach().reshape(-1) for p in policy.parameters()])


def cut(episodes, tasks):
    """Episodes of some of the tasks."""
    return type(episodes)(
        **{
            name: value[tasks] if torch.is_tensor(value) else value
            for name, value in vars(episodes).items()
        }
    )


def test_all_tasks_act_in_one_batch_as_each_would_alone(family, world):
    adaptation = facing(family)
    observation = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    moments = Normalizer.of(torch.tensor([0.5, -1.0]), torch.tensor([4.0, 0.25]))
    together = Actors(adaptation.policies, moments).actions(observation).mean
    assert together.shape == (3, 4, 2)
    for task, policy in enumerate(adaptation.policies):
        normalized = (observation[task] - moments.mean) / moments.variance.sqrt()
        alone = policy.get_distribution(normalized).mode()
        torch.testing.assert_close(together[task], alone, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(
            critic(policy)(normalized), policy.predict_values(normalized)
        )
        torch.testing.assert_close(actor(policy)(normalized), alone)


def test_an_update_of_one_task_changes_its_policy_and_no_other(family, world):
    adaptation = facing(family)
    before = [weights(policy) for policy in adaptation.policies]
    assert not torch.equal(before[0], before[1])
    episodes = collect(world, adaptation, seed=0)
    episodes.mask[1:] = 0  # as if the others' simulations had blown up
    adaptation.update(episodes)
    changed = [
        not torch.equal(weights(policy), old)
        for policy, old in zip(adaptation.policies, before, strict=True)
    ]
    assert changed == [True, False, False]


def test_a_tasks_update_does_not_depend_on_the_others(family, world):
    together, alone = facing(family), facing(family, tasks=1)
    episodes = collect(world, together, seed=0)
    together.update(episodes)
    alone.update(cut(episodes, slice(0, 1)))
    torch.testing.assert_close(
        weights(together.policies[0]), weights(alone.policies[0]), rtol=1e-3, atol=1e-5
    )


def test_the_same_seed_gives_the_same_bits_and_leaves_global_randomness(family, world):
    found = []
    state, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    for _ in range(2):
        adaptation = facing(family)
        adaptation.update(collect(world, adaptation, seed=0))
        found.append(torch.cat([weights(p) for p in adaptation.policies]))
    assert torch.equal(*found)
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpys).all()


def test_a_round_may_come_in_parts_and_counts_once_whole(family, world):
    whole, parts = facing(family), facing(family)
    episodes = collect(world, whole, seed=0)
    whole.update(episodes)
    single = Environment(family, world.pool, 1)
    shipped = parts.policy()
    for missing in (4, 3, 2, 1):
        assert parts.episodes_per_update == missing
        assert parts.policy() is shipped
        parts.update(collect(single, parts, seed=missing))
    assert parts.episodes_per_update == 4
    assert parts.policy() is not shipped


def test_what_was_shipped_stays_as_it_was(family, world):
    adaptation = facing(family)
    shipped = adaptation.policy()
    before = collect(world, shipped, seed=1).action
    adaptation.update(collect(world, adaptation, seed=0))
    assert torch.equal(collect(world, shipped, seed=1).action, before)
    assert not torch.equal(collect(world, adaptation.policy(), seed=1).action, before)


def test_ppo_is_lent_what_stable_baselines_would_have_collected(
    family, world, monkeypatch
):
    """Its own buffer, filled step by step, has the same advantages and returns."""
    adaptation = facing(family)
    adaptation.update(collect(world, adaptation, seed=0))
    lent = []
    monkeypatch.setattr(
        adaptation, "_train", lambda policy, columns, seed: lent.append(columns)
    )
    episodes = collect(world, adaptation, seed=1)
    adaptation.frozen = True  # scales as they were when the robots acted
    # One ends early, the others at the horizon.
    episodes.terminated[0, 1], episodes.length[0, 1] = True, 5
    episodes.mask[0, 1, 5:] = 0
    episodes.reward[0, 1, 5:] = 0
    adaptation.update(episodes)
    scales = adaptation.scales
    for task, (policy, columns) in enumerate(
        zip(adaptation.policies, lent, strict=True)
    ):
        moments = Normalizer.of(
            scales.observation.mean[task], scales.observation.variance[task]
        )
        normalized = moments(episodes.observation[task])
        final = moments(episodes.final_observation[task])
        reward = episodes.reward[task] / scales.returns.variance[task].sqrt()
        done = 0
        for copy in range(normalized.shape[0]):
            length = int(episodes.length[task, copy])
            buffer = RolloutBuffer(
                length,
                policy.observation_space,
                policy.action_space,
                gae_lambda=0.95,
                gamma=0.99,
            )
            with torch.no_grad():
                for t in range(length):
                    action = episodes.action[task, copy, t : t + 1]
                    value, score, _ = policy.evaluate_actions(
                        normalized[copy, t : t + 1], action
                    )
                    paid = reward[copy, t]
                    if t == length - 1 and not episodes.terminated[task, copy]:
                        paid = paid + 0.99 * policy.predict_values(final[copy][None])[0]
                    buffer.add(
                        normalized[copy, t].numpy(),
                        action.numpy(),
                        paid.numpy(),
                        np.array([t == 0]),
                        value,
                        score,
                    )
                buffer.compute_returns_and_advantage(
                    torch.zeros(1), dones=np.array([True])
                )
            rows = slice(done, done + length)
            done += length
            for name in ("values", "log_probs", "advantages", "returns"):
                theirs = torch.from_numpy(getattr(buffer, name)[:, 0])
                torch.testing.assert_close(
                    columns[name][rows], theirs, rtol=1e-4, atol=1e-4
                )
            ours = columns["observations"][rows]
            torch.testing.assert_close(ours, normalized[copy, :length])
        assert done == len(columns["returns"])


def test_the_first_ratio_is_one_though_scales_are_new(family, world):
    """An untrained policy hardly looks at its observations, however scaled."""
    adaptation = facing(family)
    episodes = collect(world, adaptation, seed=0)
    observation = episodes.observation.flatten(1, 2)
    action = episodes.action.flatten(1, 2)
    moments = Scales.unknown().extended(episodes, 0.99).observation
    scores = [
        actors.actions(observation).log_prob(action)
        for actors in (adaptation.actors, Actors(adaptation.policies, moments))
    ]
    assert (scores[1] - scores[0]).abs().max() < 0.2


def episodes_of(observation, reward, mask):
    """Episodes of one task, of what `Scales` looks at."""
    shape = torch.tensor(mask).shape
    flags = torch.zeros(shape[:1], dtype=torch.bool)[None]
    return Episodes(
        observation=torch.tensor(observation)[None, ..., None],
        action=torch.zeros(1, *shape, 1),
        reward=torch.tensor(reward)[None],
        mask=torch.tensor(mask)[None],
        length=torch.tensor(mask).sum(-1).long()[None],
        terminated=flags,
        diverged=flags,
        success=flags.double(),
    )


def test_scales_by_hand():
    first = episodes_of([[1.0, 3.0, 99.0]], [[4.0, 2.0, 0.0]], [[1.0, 1.0, 0.0]])
    scales = Scales.unknown().extended(first, discount=0.5)
    assert float(scales.observation.mean) == 2
    assert float(scales.observation.variance) == 1
    # Returns from each step on are 5 and 2.
    assert float(scales.returns.mean) == 3.5
    assert float(scales.returns.variance) == 2.25
    assert float(scales.steps) == 2


def test_scales_run_over_all_episodes_and_ignore_what_blew_up():
    parts = [
        episodes_of([[1.0, 3.0]], [[1.0, 0.0]], [[1.0, 1.0]]),
        episodes_of([[9.0, 9.0]], [[9.0, 9.0]], [[0.0, 0.0]]),
        episodes_of([[5.0, -7.0], [0.0, 2.0]], [[0.0, 2.0]] * 2, [[1.0, 1.0]] * 2),
    ]
    nothing = Scales.unknown().extended(parts[1], 0.9)
    assert float(nothing.observation.mean) == 0
    assert float(nothing.returns.variance) == 1
    scales = Scales.unknown()
    for part in parts:
        scales = scales.extended(part, 0.9)
    whole = Scales.unknown().extended(concatenate(parts), 0.9)
    for one, other in (
        (scales.observation, whole.observation),
        (scales.returns, whole.returns),
    ):
        torch.testing.assert_close(one.mean, other.mean)
        torch.testing.assert_close(one.variance, other.variance)
    values = torch.tensor([1.0, 3.0, 5.0, -7.0, 0.0, 2.0])
    assert float(whole.observation.variance) == pytest.approx(float(values.var(False)))


@pytest.mark.slow
def test_fifty_episodes_teach_a_point_to_find_its_goal():
    family = make_family("point-goal")
    tasks = family.tasks("interpolation", 6)
    agent = Scratch(family, Scratch.Config(), seed=0)
    adaptation = agent.adaptation(6)
    world, query = Environment(family, tasks, 5), Environment(family, tasks, 2)
    before = collect(query, adaptation.policy(), seed=1).returns.mean(1)
    for step in range(10):
        adaptation.update(collect(world, adaptation, seed=10 + step))
    after = collect(query, adaptation.policy(), seed=1).returns.mean(1)
    assert (after > before).double().mean() > 0.8
    assert after.mean() > 0.5 * before.mean()  # returns are negative
