"""PPO in simulations that run on, against Stable-Baselines3 and by hand."""

import numpy as np
import pytest
import torch
from carts import Cart
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.running_mean_std import RunningMeanStd

from metarl.agents.baselines import stable_baselines3_names
from metarl.agents.tuning import new_policy
from metarl.environment.gymnasium import action_space, observation_space
from metarl.learning.ppo import ActorCritic, Batch, PPOConfig, layers, ppo_update
from metarl.learning.rollouts import RewardScale, Rollout, Rollouts, advantages
from metarl.tasks.randomness import torch_generator

HIDDEN = (8, 5)


def model(seed=0):
    torch.manual_seed(seed)
    return ActorCritic(layers((3, *HIDDEN, 2), 0.01), layers((3, *HIDDEN, 1), 1), 2, 1)


def rollout(time=6, n=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ended = torch.rand(time, n, generator=generator) < 0.3
    truncated = ended & (torch.rand(time, n, generator=generator) < 0.5)
    return Rollout(
        torch.randn(time, n, 3, generator=generator),
        torch.randn(time, n, 2, generator=generator),
        torch.randn(time, n, generator=generator),
        ended & ~truncated,
        truncated,
        torch.randn(int(truncated.sum()), 3, generator=generator),
        torch.randn(n, 3, generator=generator),
        0,
        [],
    )


def reference(ours: ActorCritic, epochs: int):
    """PPO of Stable-Baselines3 with the same weights."""
    policy = new_policy(3, 2, HIDDEN, 1.0, seed=9)
    names = stable_baselines3_names(len(HIDDEN))
    policy.load_state_dict({names[n]: t for n, t in ours.state_dict().items()})
    ppo = PPO(
        "MlpPolicy",
        None,
        n_steps=6,
        n_epochs=epochs,
        batch_size=24,
        learning_rate=3e-3,
        ent_coef=0.02,
        _init_setup_model=False,
    )
    ppo.observation_space, ppo.action_space = observation_space(3), action_space(2)
    ppo.n_envs = 4
    ppo._setup_model()
    ppo.set_logger(Logger(folder=None, output_formats=[]))
    ppo.policy = policy
    return ppo, names


def test_an_update_is_that_of_stable_baselines3():
    ours, steps = model(), rollout()
    ppo, names = reference(ours, epochs=3)
    advantage, target = advantages(steps, steps.reward, ours.value, 0.99, 0.95)
    buffer = RolloutBuffer(6, ppo.observation_space, ppo.action_space, n_envs=4)
    log_prob = ours.actions(steps.observation).log_prob(steps.action).detach()
    for name, column in (
        ("observations", steps.observation),
        ("actions", steps.action),
        ("log_probs", log_prob),
        ("advantages", advantage.detach()),
        ("returns", target.detach()),
        ("values", (target - advantage).detach()),
    ):
        getattr(buffer, name)[:] = column.numpy()
    buffer.full = True
    ppo.rollout_buffer = buffer
    ppo.train()

    columns = (
        steps.observation,
        steps.observation,
        steps.action,
        log_prob,
        advantage.detach(),
        target.detach(),
    )
    optimizer = torch.optim.Adam(ours.parameters(), lr=3e-3, eps=1e-5)
    kl = ppo_update(
        ours,
        optimizer,
        Batch(*(column.flatten(0, 1) for column in columns)),
        PPOConfig(epochs=3, minibatches=1, entropy=0.02),
        torch_generator(0),
    )
    theirs = ppo.policy.state_dict()
    for name, weight in ours.state_dict().items():
        torch.testing.assert_close(weight, theirs[names[name]], rtol=1e-4, atol=1e-6)
    assert kl == pytest.approx(ppo.logger.name_to_value["train/approx_kl"], rel=1e-3)


def test_advantages_are_those_of_stable_baselines3():
    ours, steps = model(), rollout()
    value = ours.value
    with torch.no_grad():
        advantage, target = advantages(steps, steps.reward, value, 0.9, 0.8)
        buffer = RolloutBuffer(
            6,
            observation_space(3),
            action_space(2),
            gamma=0.9,
            gae_lambda=0.8,
            n_envs=4,
        )
        # Stable-Baselines3 adds what a truncated episode would have brought.
        reward = steps.reward.clone()
        reward[steps.truncated] += 0.9 * value(steps.cut)
        starts = torch.cat([torch.zeros(1, 4, dtype=torch.bool), steps.ended[:-1]])
        buffer.rewards[:] = reward.numpy()
        buffer.values[:] = value(steps.observation).numpy()
        buffer.episode_starts[:] = starts.numpy()
        buffer.compute_returns_and_advantage(
            value(steps.following), steps.ended[-1].numpy()
        )
    assert steps.truncated.any() and steps.terminated.any()
    np.testing.assert_allclose(advantage, buffer.advantages, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(target, buffer.returns, rtol=1e-4, atol=1e-5)


def test_rewards_are_scaled_by_the_deviation_of_discounted_returns():
    scale, steps = RewardScale(4, 0.9), rollout(time=50)
    scaled = scale(steps)
    known, running = RunningMeanStd(epsilon=0, shape=()), np.zeros(4)
    for t in range(50):
        running = running * 0.9 + steps.reward[t].numpy()
        known.update(running)
        running[steps.ended[t].numpy()] = 0
    expected = steps.reward / np.sqrt(known.var + 1e-8)
    torch.testing.assert_close(scaled, expected.float(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scale.running, running, rtol=1e-6)


def test_simulations_run_on_and_take_another_task_of_the_pool():
    family = Cart(horizon=5)
    pool = family.tasks("train", 3)
    rollouts = Rollouts(family, pool, 6, seed=0)
    one = rollouts.collect(lambda step: step.noise, 8, seed=1)
    other = rollouts.collect(lambda step: step.noise, 8, seed=2)
    assert torch.equal(other.observation[0], one.following)
    assert set(rollouts.environment.tasks) <= set(pool)
    # Each ended once in 5 steps, at an age of its own.
    assert (one.ended.sum(0) >= 1).all() and (one.ended.sum(0) <= 2).all()
    assert len({int(i) for i in one.ended.float().argmax(0)}) > 1
    assert one.cut.shape[0] == int(one.truncated.sum())
    assert len(one.returns) == int(one.ended.sum())


def test_what_a_policy_reads_of_the_last_reward_does_not_cross_episodes():
    rollouts = Rollouts(Cart(horizon=4), Cart().tasks("train", 2), 5, seed=0)
    read = []

    def act(step):
        read.append((step.reward[:, 0].clone(), step.first[:, 0].clone()))
        return step.noise

    steps = rollouts.collect(act, 10, seed=0)
    for t in range(1, 10):
        reward, first = read[t]
        assert torch.equal(first, steps.ended[t - 1])
        expected = torch.where(first, 0.0, steps.reward[t - 1])
        assert torch.equal(reward, expected)
    assert read[0][1].all()
