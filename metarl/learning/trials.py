"""Agents that adapt by remembering: several episodes of one task make a trial.

Whatever remembers, a recurrent network or an external memory, is a `Memory`: a module
with a state. It is told its observation, its last action and reward, and whether an
episode begins, and it is asked for features on which a Gaussian policy acts:

    policy = Rememberer(network, tasks=20, copies=2, record=True)
    episodes = [collect(environment, policy, seed) for seed in seeds]    # one trial
    trial = policy.trial(episodes)                                       # for learning

The state is carried over the episodes of a trial. It rests while a robot waits for the
others to finish, so that a trial is the same whatever runs beside it.
"""

import abc
import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from metarl.learning.policies import MIN_LOG_STD, log_probability
from metarl.world.rollout import Episodes, Percept

State = tuple[Tensor, ...]
"""What a memory holds, each (n, ...)."""


class Memory(nn.Module, abc.ABC):
    """Something that remembers."""

    output_size: int
    """Number of features that it gives."""

    @abc.abstractmethod
    def initial(self, n: int) -> State:
        """The state of n robots of which nothing is known yet."""

    @abc.abstractmethod
    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Features (n, time, output_size) and the state after them.

        Args:
            inputs: (n, time, input_size).
            state: before the first of them.
        """


def chosen(which: Tensor, new: State, old: State) -> State:
    """The new state of the robots of ``which``, (n,), and the old one of the others."""
    if which.all():  # the usual case, which costs nothing then
        return new

    def both(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(which.view(-1, *[1] * (new.ndim - 1)), new, old)

    return tuple(both(a, b) for a, b in zip(new, old, strict=True))


def input_size(observation_size: int, action_size: int) -> int:
    """Observation, last action, last reward and whether an episode begins."""
    return observation_size + action_size + 2


class MemoryNetwork(nn.Module):
    """A Gaussian policy on the features of a memory.

    Args:
        memory: what remembers.
        action_size: number of action components.
        initial_std: standard deviation of the first policy's exploration.
    """

    def __init__(self, memory: Memory, action_size: int, initial_std: float) -> None:
        super().__init__()
        self.memory = memory
        self.mean = nn.Linear(memory.output_size, action_size)
        with torch.no_grad():  # so that the first policy hardly prefers anything
            self.mean.weight.mul_(0.01)
            self.mean.bias.zero_()
        self.log_std = nn.Parameter(torch.full((action_size,), math.log(initial_std)))

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """Means (n, time, action_size), log deviations (action_size,) and the state."""
        features, state = self.memory(inputs, state)
        return self.mean(features), self.log_std.clamp(min=MIN_LOG_STD), state


@dataclass
class Trial:
    """Trials of n robots, ready for learning, each (n, time, ...).

    The steps that were made come first, without gaps between episodes.
    """

    inputs: Tensor
    """What the network was told."""
    action: Tensor
    """What it did."""
    log_probability: Tensor
    """Of the actions, when they were taken."""
    reward: Tensor
    """What it got; 0 after the end."""
    mask: Tensor
    """1 where a step was made that may be learnt from."""
    phase: Tensor
    """Share of the horizon of the episode that had passed."""

    def select(self, index: Tensor) -> "Trial":
        """Some of the robots."""
        return Trial(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


class Rememberer:
    """A policy with memory that faces robots through the episodes of a trial.

    Args:
        network: the memory and the policy on it.
        tasks: number of tasks.
        copies: robots of each.
        explore: sample actions; False acts by the mean.
        record: keep what `trial` needs.
    """

    def __init__(
        self,
        network: MemoryNetwork,
        tasks: int,
        copies: int = 1,
        explore: bool = True,
        record: bool = False,
    ) -> None:
        self.network = network
        self.explore, self.record = explore, record
        self.grid = (tasks, copies)
        n = tasks * copies
        self.state = network.memory.initial(n)
        self.last_action = torch.zeros(n, network.mean.out_features)
        self.last_reward = torch.zeros(n)
        self.told: list[Tensor] = []
        self.scores: list[Tensor] = []
        self.ran: list[Tensor] = []

    @torch.no_grad()
    def act(self, percept: Percept) -> Tensor:
        """Actions, (task, copy, action_size); the state goes on by one step."""
        running = percept.running.reshape(-1)
        begins = percept.begins.reshape(-1)
        reward = torch.where(begins, self.last_reward, percept.reward.reshape(-1))
        inputs = torch.cat(
            [
                percept.observation.flatten(0, 1),
                self.last_action,
                reward[:, None],
                begins[:, None].float(),
            ],
            -1,
        )
        mean, log_std, state = self.network(inputs[:, None], self.state)
        action = mean[:, 0]
        if self.explore:
            action = action + log_std.exp() * percept.noise.flatten(0, 1)
        self.state = chosen(running, state, self.state)
        self.last_action = torch.where(running[:, None], action, self.last_action)
        if self.record:
            score = log_probability(mean, log_std, action[:, None])[:, 0]
            self.told.append(inputs)
            self.scores.append(score)
            self.ran.append(running)
        return action.view(*self.grid, -1)

    def absorb(self, episodes: Episodes) -> None:
        """Note the reward of each episode's last step, which no percept tells."""
        last = (episodes.length - 1).clamp(min=0)[..., None]
        self.last_reward = episodes.reward.gather(-1, last).reshape(-1)

    def trial(self, episodes: list[Episodes]) -> Trial:
        """What happened since it was made, with the same episodes in the same order.

        A trial of which an episode blew up is left out as a whole: what came before is
        judged by what came after.
        """
        steps = [int(e.length.max()) for e in episodes]

        def joined(name: str) -> Tensor:
            """(task, copy, horizon, ...) of each episode to (n, time, ...)."""
            parts = [getattr(e, name) for e in episodes]
            cut = [p.flatten(0, 1)[:, :s] for p, s in zip(parts, steps, strict=True)]
            return torch.cat(cut, 1)

        horizon = episodes[0].reward.shape[-1]
        phase = torch.cat([torch.arange(s) / horizon for s in steps])
        ran = torch.stack(self.ran, 1)
        whole = ~torch.stack([e.diverged.flatten() for e in episodes]).any(0)
        # A stable sort brings the steps that were made to the front, in order.
        order = torch.argsort((~ran).byte(), dim=1, stable=True)

        def packed(values: Tensor) -> Tensor:
            index = order.view(*order.shape, *[1] * (values.ndim - 2))
            return values.gather(1, index.expand(*order.shape, *values.shape[2:]))

        return Trial(
            inputs=packed(torch.stack(self.told, 1)),
            action=packed(joined("action")),
            log_probability=packed(torch.stack(self.scores, 1)),
            reward=packed(joined("reward")),
            mask=packed(joined("mask")) * whole[:, None],
            phase=packed(phase.expand(len(ran), -1)),
        )

    def settled(self, explore: bool) -> "Settled":
        """The policy as it is now: every episode starts from the present state."""
        return Settled(self, explore)


class Settled:
    """A policy with memory whose every episode starts from the same state.

    Args:
        source: has learnt what it knows of one robot of each task.
        explore: sample actions; False acts by the mean.
    """

    def __init__(self, source: Rememberer, explore: bool) -> None:
        self.source, self.explore = source, explore
        self.state = source.state
        self.last = (source.last_action, source.last_reward)
        self.acting: Rememberer | None = None

    def act(self, percept: Percept) -> Tensor:
        """Actions, (task, copy, action_size)."""
        if self.acting is None or bool(percept.begins.all()):
            tasks, copies = percept.reward.shape
            acting = Rememberer(self.source.network, tasks, copies, self.explore)
            acting.state = tuple(s.repeat_interleave(copies, 0) for s in self.state)
            acting.last_action, acting.last_reward = (
                value.repeat_interleave(copies, 0) for value in self.last
            )
            self.acting = acting
        return self.acting.act(percept)
