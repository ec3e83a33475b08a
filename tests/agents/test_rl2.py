"""RL2 learns what only memory can solve, by PPO on whole trials."""

import math

import pytest
import torch

from metarl.agents.rl2 import RL2
from metarl.environment.family import TaskFamily
from metarl.evaluation.protocol import evaluate
from metarl.learning.recurrent_policy import Trial
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
    }
    return Trial(reward=reward, **{**nothing, **parts})


def test_the_baseline_does_not_mix_tasks():
    agent = RL2(TwoButtons(), RL2.Config(tasks=2, episodes=2, units=4), seed=0)
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(4, 8, generator=generator)
    inputs = torch.randn(4, 8, 4, generator=generator)
    other = reward.clone()
    other[2:] *= 100
    one = agent.advantages(trial_of(reward, inputs=inputs), 2)
    changed = agent.advantages(trial_of(other, inputs=inputs), 2)
    torch.testing.assert_close(one[:2], changed[:2])


def test_what_the_phase_of_an_episode_foretells_is_no_advantage():
    """Also where one robot's episode has begun and another's is about to end."""
    agent = RL2(TwoButtons(), RL2.Config(units=4, discount=0.0), seed=0)
    phase = torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 0, 1, 2]]) / 5
    luck = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    expected = agent.advantages(trial_of(luck, phase=phase), 1)
    foretold = 10 * phase - 5 * phase.square()
    found = agent.advantages(trial_of(luck + foretold, phase=phase), 1)
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=0)


def test_a_ratio_beyond_the_clip_pays_no_more():
    agent = RL2(TwoButtons(), RL2.Config(units=4, entropy=0.0), seed=0)
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
