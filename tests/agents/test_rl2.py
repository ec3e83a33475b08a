"""RL2 learns what only memory can solve, by PPO on whole trials."""

import math

import pytest
import torch

from metarl.agents.rl2 import RL2
from metarl.environment.family import TaskFamily
from metarl.evaluation.protocol import evaluate
from metarl.learning.recurrent_policy import Trial, in_pieces
from metarl.learning.sampler import Sampler
from metarl.simulation.engine import mujoco
from metarl.tasks.parameter import Choice


class TwoButtons(TaskFamily):
    """Press the button that pays; which one is found out by pressing."""

    parameters = {"pays": Choice(1, train=(1, -1), goal=True)}
    horizon = 4

    def build(self, task):
        return mujoco.MjSpec.from_string(
            "<mujoco><worldbody><body><joint name='j' type='slide'/><geom size='.1' "
            "mass='1'/></body></worldbody><actuator><motor joint='j' "
            "ctrlrange='-1 1'/></actuator></mujoco>"
        )

    def observe(self, sim):
        return torch.zeros(sim.n, 1)

    def reward(self, sim, action):
        return sim.parameters["pays"] * action[:, 0]


@pytest.mark.slow
def test_it_learns_to_use_what_the_first_episode_told():
    """Without memory the best return is 0; with it, all but the first press pay."""
    family = TwoButtons()
    config = RL2.Config(tasks=16, episodes=3, units=16, lr=5e-3)
    agent, sampler = RL2(family, config, seed=0), Sampler(family, 0)
    for _ in range(60):
        agent.train_step(sampler)
        sampler.iteration += 1
    result = evaluate(
        agent, family, splits=["interpolation"], tasks=16, budgets=(0, 1, 2)
    )
    before, after, later = (
        torch.tensor(point.returns).mean()
        for point in result.splits["interpolation"].points
    )
    assert after > 3.0 and later > 3.0  # of 4
    assert before < after - 0.5  # its first press is a guess


def trial_of(reward, **parts):
    """A trial, (n, time), in which nothing happened but what is given."""
    n, time = reward.shape
    nothing = {
        "inputs": torch.zeros(n, time, 4),
        "action": torch.zeros(n, time, 1),
        "log_prob": torch.zeros(n, time),
        "mask": torch.ones(n, time),
        "phase": torch.zeros(n, time),
        "value": torch.zeros(n, time),
        "target": torch.zeros(n, time),
        "start": (torch.zeros(n, 4),),
    }
    return Trial(reward=reward, **{**nothing, **parts})


@pytest.mark.parametrize("critic", ["linear", "learned"])
def test_the_baseline_does_not_mix_tasks(critic):
    config = RL2.Config(tasks=2, episodes=2, units=4, critic=critic)
    agent = RL2(TwoButtons(), config, seed=0)
    features = torch.zeros(4, 8, 4)
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(4, 8, generator=generator)
    inputs = torch.randn(4, 8, 4, generator=generator)
    other = reward.clone()
    other[2:] *= 100
    trial, another = (trial_of(r, inputs=inputs) for r in (reward, other))
    agent.value(trial, features)
    one = agent.advantages(trial, 2)
    agent = RL2(TwoButtons(), config, seed=0)
    agent.value(another, features)
    changed = agent.advantages(another, 2)
    torch.testing.assert_close(one[:2], changed[:2])
    assert not torch.allclose(one[:2], torch.zeros(2, 8))


def test_what_the_phase_of_an_episode_foretells_is_no_advantage():
    """Also where one robot's episode has begun and another's is about to end."""
    config = RL2.Config(units=4, discount=0.0, critic="linear")
    agent = RL2(TwoButtons(), config, seed=0)
    phase = torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 0, 1, 2]]) / 5
    luck = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    expected = agent.advantages(trial_of(luck, phase=phase), 1)
    foretold = 10 * phase - 5 * phase.square()
    found = agent.advantages(trial_of(luck + foretold, phase=phase), 1)
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=0)


def test_a_ratio_beyond_the_clip_pays_no_more():
    config = RL2.Config(units=4, entropy=0.0, critic="linear")
    agent = RL2(TwoButtons(), config, seed=0)
    trial = trial_of(torch.zeros(2, 8))
    actions, _ = agent.network(trial.inputs, agent.network.memory.initial(2))
    now = actions.log_prob(trial.action).detach()
    trial.log_prob = now - math.log(2)
    loss, _ = agent.loss(trial, torch.ones(2, 8))
    assert loss.item() == pytest.approx(-1.2)
    gradients = torch.autograd.grad(loss, agent.parameters)
    assert all((g == 0).all() for g in gradients)


def test_entropy_is_a_bonus():
    agent = RL2(TwoButtons(), RL2.Config(units=4, entropy=0.5), seed=0)
    loss, _ = agent.loss(trial_of(torch.zeros(2, 8)), torch.zeros(2, 8))
    (gradient,) = torch.autograd.grad(loss, agent.network.log_std)
    assert gradient.item() == -0.5  # a nat more of deviation is one of entropy


def drawn_trial(seed=0, **parts):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(4, 8, 4, generator=generator)
    reward = 3 + inputs[..., 0] + torch.randn(4, 8, generator=generator)
    return trial_of(reward, inputs=inputs, **parts)


def test_targets_are_lambda_returns():
    config = RL2.Config(units=4, discount=0.9, gae_lambda=0.8)
    agent = RL2(TwoButtons(), config, seed=0)
    mask = torch.tensor([[1.0] * 8, [1.0] * 5 + [0.0] * 3])
    trial = trial_of(mask.clone(), mask=mask, inputs=torch.randn(2, 8, 4))
    agent.value(trial, torch.randn(2, 8, 4))
    assert trial.value.std() > 0
    for row, length in enumerate((8, 5)):  # nothing is expected after a trial's end
        value, target = 0.0, 0.0
        for t in reversed(range(length)):
            target = 1 + 0.9 * (0.2 * value + 0.8 * target)
            assert trial.target[row, t].item() == pytest.approx(target, abs=1e-5)
            value = trial.value[row, t].item()


def test_values_are_in_deviations_of_the_returns_so_far():
    agent = RL2(TwoButtons(), RL2.Config(units=4, discount=0.5), seed=0)
    reward, features = torch.zeros(1, 2), torch.randn(1, 2, 4)
    reward[0, 1] = 8.0  # so that the returns are 4 and 8
    trial = trial_of(reward)
    agent.value(trial, features)
    small = trial.value
    assert agent.network.critic.scale == 2.0
    agent.value(trial, features)
    torch.testing.assert_close(trial.value, 2 * small)
    _, metrics = agent.loss(trial, torch.zeros(1, 2))
    agent.network.critic.returns.square *= 100
    trial.target = 10 * trial.target
    assert agent.loss(trial, torch.zeros(1, 2))[1] == pytest.approx(metrics)


def test_advantages_are_over_what_the_critic_expects():
    agent = RL2(TwoButtons(), RL2.Config(units=4, gae_lambda=1.0), seed=0)
    trial = drawn_trial()
    returns = torch.zeros(4, 9)
    for t in reversed(range(8)):
        returns[:, t] = trial.reward[:, t] + 0.99 * returns[:, t + 1]
    agent.value(trial, torch.randn(4, 8, 4))
    better = (returns[:, :8] - trial.value).view(2, 2, 8)
    std, mean = torch.std_mean(better, (1, 2), correction=0, keepdim=True)
    expected = ((better - mean) / std).view(4, 8)
    torch.testing.assert_close(agent.advantages(trial, 2), expected)


def test_the_critic_learns_a_fixed_batch():
    agent = RL2(TwoButtons(), RL2.Config(units=4), seed=0)
    trial = drawn_trial()
    agent.value(trial, torch.zeros(4, 8, 4))
    optimizer = torch.optim.Adam(agent.network.parameters(), lr=1e-2)
    losses = []
    for _ in range(100):
        loss, metrics = agent.loss(trial, torch.zeros(4, 8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(metrics["value_loss"])
    assert losses[-1] < 0.2 * losses[0]


def test_the_loss_of_values_counts_half_and_shapes_the_memory():
    agent = RL2(TwoButtons(), RL2.Config(units=4, entropy=0.0), seed=0)
    trial = drawn_trial(target=torch.ones(4, 8))
    loss, metrics = agent.loss(trial, torch.zeros(4, 8))
    assert loss.item() == pytest.approx(0.5 * metrics["value_loss"])
    gradients = torch.autograd.grad(loss, list(agent.network.memory.parameters()))
    assert all((g != 0).any() for g in gradients)


def test_the_gradient_of_a_hypernetwork_reaches_the_memory_once_it_makes_a_difference():
    family = TwoButtons()
    config = RL2.Config(tasks=4, episodes=2, units=4, head="hypernetwork")
    agent = RL2(family, config, seed=0)
    inputs = torch.randn(1, 1, 4)
    states = torch.randn(2, 1, 4)

    def means():
        return [agent.network(inputs, (s,))[0].mean for s in states]

    assert torch.equal(*means())
    agent.train_step(Sampler(family, 0))
    assert not torch.equal(*means())


def test_a_trial_in_pieces_is_trained_on_like_a_whole_one_but_for_the_gradient():
    """Losses agree where the weights are those that acted."""
    agent = RL2(TwoButtons(), RL2.Config(units=4), seed=0)
    trial, advantage = drawn_trial(target=torch.randn(4, 8)), torch.randn(4, 8)
    whole, _ = agent.loss(trial, advantage)
    _, starts = agent.network.replay(trial.inputs, 3)
    cut, _ = agent.loss(trial.pieces(starts), in_pieces(advantage, len(starts)))
    torch.testing.assert_close(cut, whole)


def test_an_episode_of_training_begins_with_the_last_reward_of_the_one_before():
    trials = []

    class Watched(RL2):
        def advantages(self, trial, tasks):
            trials.append(trial)
            return super().advantages(trial, tasks)

    family = TwoButtons()
    agent = Watched(family, RL2.Config(tasks=2, episodes=3, units=4), seed=0)
    agent.train_step(Sampler(family, 0))
    (trial,) = trials
    assert torch.equal(trial.inputs[:, [4, 8], -2], trial.reward[:, [3, 7]])


def test_a_long_gradient_is_shortened():
    family = TwoButtons()
    once = {"epochs": 1, "minibatches": 1, "max_gradient": 1e-3}
    agent = RL2(family, RL2.Config(tasks=2, episodes=2, units=4, **once), seed=0)
    agent.train_step(Sampler(family, 0))
    kept = [entry["exp_avg"] for entry in agent.optimizer.state.values()]
    # Adam's first average is a tenth of the gradient.
    assert torch.nn.utils.get_total_norm(kept).item() == pytest.approx(1e-4)
