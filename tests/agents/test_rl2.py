"""RL2 learns what only memory can solve."""

import pytest
import torch

from metarl.agents.rl2 import RL2
from metarl.engine import mujoco
from metarl.evaluation.protocol import evaluate
from metarl.family import TaskFamily
from metarl.learning.agent import Sampler
from metarl.learning.trials import Trial
from metarl.parameters import Choice


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
        torch.tensor(point["return"]).mean()
        for point in result["splits"]["interpolation"]["points"]
    )
    assert after > 3.0 and later > 3.0  # of 4
    assert before < after - 0.5  # its first press is a guess


def test_the_baseline_does_not_mix_tasks():
    family = TwoButtons()
    agent = RL2(family, RL2.Config(tasks=2, episodes=2, units=4), seed=0)
    n, time = 4, 8
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(n, time, generator=generator)

    def trial_of(reward):
        return Trial(
            inputs=torch.randn(n, time, 4, generator=torch.Generator().manual_seed(1)),
            action=torch.zeros(n, time, 1),
            log_probability=torch.zeros(n, time),
            reward=reward,
            mask=torch.ones(n, time),
            phase=torch.zeros(n, time),
        )

    other = reward.clone()
    other[2:] *= 100
    one = agent.advantages(trial_of(reward), 2)
    changed = agent.advantages(trial_of(other), 2)
    torch.testing.assert_close(one[:2], changed[:2])
