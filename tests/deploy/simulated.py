"""A robot for tests: one episode of a simulator, stepped from outside."""

import torch

from metarl.environment.environments import Environments
from metarl.tasks.randomness import key

SUPPORT, QUERY = "support", "query"


class SimulatedRobot:
    """Copy ``copy`` of a task, which begins as an evaluation of ``seed`` does."""

    def __init__(self, family, task, seed=0):
        self.environments, self.task, self.seed = Environments(family), task, seed

    def reset(self, purpose, copies, copy):
        self.copy = copy
        self.environment = self.environments([self.task], copies)
        observation = self.environment.reset(key(self.seed, "evaluation", *purpose))
        self.environment.active[:] = torch.arange(copies) == copy  # the others rest
        return observation[copy].numpy().copy()

    def step(self, action):
        """Observation, reward, whether it terminated, whether the episode ended."""
        actions = torch.zeros(self.environment.n, self.environment.action_size)
        actions[self.copy] = torch.as_tensor(action)
        step = self.environment.step(actions)
        return (
            step.observation[self.copy].numpy().copy(),
            float(step.reward[self.copy]),
            bool(step.terminated[self.copy]),
            bool(step.ended[self.copy]),
        )


def drive(adapter, observation, robot, steps=10**9):
    """Go on with an episode to its end, or for so many steps; what follows them."""
    while not adapter.over and steps:
        action = adapter.act(observation)
        observation, reward, done, _ = robot.step(action)
        adapter.observe(reward, done)
        steps -= 1
    return observation


def episode(adapter, robot, purpose, copies=1, copy=0):
    observation = robot.reset(purpose, copies, copy)
    return adapter.end_episode(drive(adapter, observation, robot))


def adapt(adapter, robot, episodes):
    """Episodes of adaptation, in the rounds of an evaluation up to each budget."""
    adapter.extend(episodes - adapter.budget)
    while adapter.adapting:
        start, copies = adapter.spent, adapter.round_size
        for copy in range(copies):
            episode(adapter, robot, (SUPPORT, start), copies, copy)
