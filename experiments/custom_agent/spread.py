"""An agent of your own: it learns how good linear policies spread over the tasks."""

from dataclasses import dataclass

import torch

from metarl.learning.agent import Agent
from metarl.learning.normalization import Normalizer
from metarl.tasks.randomness import torch_generator


@dataclass(frozen=True)
class SpreadConfig:
    """Options on the command line: ``--agent.tries 30``."""

    tasks: int = 20
    """Tasks a meta-iteration."""
    tries: int = 20
    """Policies tried on each."""


class Spread(Agent):
    """Learns mean and deviation of what works; adapts by trying draws from them."""

    Config = SpreadConfig

    def __init__(self, family, config, seed):
        super().__init__(family, config, seed)
        observation_size, action_size, _ = family.spec
        self.mean = torch.zeros(observation_size + 1, action_size)
        self.std = torch.ones_like(self.mean)

    def drawn(self, tasks, tries, *purpose):
        generator = torch_generator(self.seed, *purpose)
        g = torch.randn(tasks, tries, *self.mean.shape, generator=generator)
        return self.mean + self.std * g

    def train_step(self, sampler):
        tasks, tries = sampler.tasks(self.config.tasks), self.config.tries
        weights = self.drawn(len(tasks), tries, "training", sampler.iteration)
        policy = Linear(weights, self.normalizer)
        episodes = sampler.collect(tasks, tries, policy, "tries")
        returns = episodes.returns
        best = returns.topk(max(2, tries // 5)).indices
        good = weights[torch.arange(len(tasks))[:, None], best].flatten(0, 1)
        self.mean, self.std = good.mean(0), good.std(0)
        self.normalizer.update(episodes.observation, episodes.mask)
        return {"return": float(returns.mean()), "best": float(returns.amax(1).mean())}

    def adaptation(self, tasks):
        return Trying(self, tasks)

    def state(self):
        return {"mean": self.mean, "std": self.std}, {}

    def load_state(self, tensors, plain):
        self.mean, self.std = tensors["mean"].clone(), tensors["std"].clone()


@dataclass
class Linear:
    """A linear policy for each episode, (task, copy or 1, observation + 1, action)."""

    weights: torch.Tensor
    normalizer: Normalizer

    def act(self, time_step):
        observation = self.normalizer(time_step.observation)
        inputs = torch.cat([observation, torch.ones_like(observation[..., :1])], -1)
        return (inputs[..., None, :] @ self.weights).squeeze(-2)


class Trying:
    """Tries policies on unknown tasks and deploys the best of each."""

    episodes_per_update = 10  # they may run side by side

    def __init__(self, agent, tasks):
        self.agent = agent.snapshot()  # training may go on beside it
        self.best = agent.mean.expand(tasks, 1, *agent.mean.shape)
        self.highest = torch.full((tasks, 1), -torch.inf)
        self.seen = 0

    def act(self, time_step):
        if time_step.first.all():
            tasks, copies = time_step.reward.shape
            self.tried = self.agent.drawn(tasks, copies, "adaptation", self.seen)
        return Linear(self.tried, self.agent.normalizer).act(time_step)

    def update(self, episodes):
        highest, index = episodes.returns.max(1, keepdim=True)
        winner = self.tried[torch.arange(len(index))[:, None], index]
        better = highest > self.highest
        self.best = torch.where(better[..., None, None], winner, self.best)
        self.highest = torch.where(better, highest, self.highest)
        self.seen += episodes.returns.shape[1]

    def policy(self):
        return Linear(self.best, self.agent.normalizer)
