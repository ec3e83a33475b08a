"""Memory-based agents: policies whose recurrent state adapts, episode after episode.

Several episodes of one task make a trial. A `Memory` is a module with a state: a
recurrent network, or one with an external memory. It reads the observation, the last
action and reward, and whether an episode begins, and gives features, which a Gaussian
policy acts on:

    policy = RecurrentRollout(network, normalizer, tasks=20, copies=2, record=True)
    episodes = [collect(environment, policy, seed) for seed in seeds]    # one trial
    trial = policy.trial(episodes)                                       # for learning

The state is carried over the episodes of a trial. It rests while a simulation waits for
the others to finish, so that a trial is the same whatever runs beside it.
"""

import abc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from metarl.environment.episodes import Episodes, PolicyMemory, TimeStep
from metarl.learning.distributions import MIN_LOG_STD, Gaussian
from metarl.learning.heads import Critic, HeadName, Sizes, make_head
from metarl.learning.normalization import Normalizer

State = tuple[Tensor, ...]
"""What a memory holds, each (n, ...)."""


class Memory(nn.Module, abc.ABC):
    """A module with a state."""

    input_size: int
    """Number of inputs that it reads a step: see `input_size`."""
    output_size: int
    """Number of features that it gives."""

    @abc.abstractmethod
    def initial(self, n: int) -> State:
        """The state of n simulations at the start of a trial."""

    @abc.abstractmethod
    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Features (n, time, output_size) and the state after them, differentiable.

        Args:
            inputs: (n, time, input_size).
            state: before the first of them.
        """

    @abc.abstractmethod
    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Features (n, output_size) of one step and the state after it, for acting.

        Args:
            inputs: (n, input_size).
            state: before it.
        """


def chosen(which: Tensor, new: State, old: State) -> State:
    """The new state where ``which``, (n,), says so, and the old one elsewhere."""
    # The usual case, which costs nothing then. A graph has no such branch.
    if not torch.compiler.is_exporting() and which.all():
        return new

    def both(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(which.view(-1, *[1] * (new.ndim - 1)), new, old)

    return tuple(both(a, b) for a, b in zip(new, old, strict=True))


def input_size(observation_size: int, action_size: int) -> int:
    """Observation, last action, last reward and whether an episode begins."""
    return observation_size + action_size + 2


class RecurrentPolicy(nn.Module):
    """A Gaussian policy on the features of a memory, and perhaps a critic.

    Args:
        memory: the module with a state.
        action_size: number of action components.
        initial_std: standard deviation of the first policy's exploration.
        head: how features and inputs become mean actions: see `metarl.learning.heads`.
        hidden: units of the hidden layers of a skip head, and of the critic.
        generated: hidden units of the policy that a hypernetwork makes.
        critic: learn values of steps, too.
    """

    def __init__(
        self,
        memory: Memory,
        action_size: int,
        initial_std: float,
        head: HeadName = "skip",
        hidden: Sequence[int] = (64, 64),
        generated: int = 16,
        critic: bool = False,
    ) -> None:
        super().__init__()
        self.action_size = action_size
        observation_size = memory.input_size - input_size(0, action_size)
        sizes = Sizes(
            memory.output_size, memory.input_size, observation_size, action_size
        )
        self.memory = memory
        self.mean = make_head(head, sizes, hidden, generated)
        self.critic = Critic(sizes, hidden) if critic else None
        self.log_std = nn.Parameter(torch.full((action_size,), math.log(initial_std)))

    def forward(self, inputs: Tensor, state: State) -> tuple[Gaussian, State]:
        """Actions of all steps, means (n, time, action_size), and the last state."""
        features, state = self.memory(inputs, state)
        return self.actions(features, inputs), state

    def step(self, inputs: Tensor, state: State) -> tuple[Gaussian, State]:
        """Actions of one step, means (n, action_size), and the state after it."""
        features, state = self.memory.step(inputs, state)
        return self.actions(features, inputs), state

    def actions(self, features: Tensor, inputs: Tensor) -> Gaussian:
        """Actions, means (..., action_size), from what the memory gave and read."""
        return Gaussian(self.mean(features, inputs), self.clamped_log_std)

    @torch.no_grad()
    def replay(self, inputs: Tensor, unroll: int) -> tuple[Tensor, list[State]]:
        """Features of all steps of trials, and states for `Trial.pieces`.

        Args:
            inputs: (n, time, input_size).
            unroll: steps of a piece at most.
        """
        time = inputs.shape[1]
        length = math.ceil(time / math.ceil(time / unroll))
        state = self.memory.initial(len(inputs))
        features, starts = [], []
        for piece in inputs.split(length, 1):
            starts.append(state)
            found, state = self.memory(piece, state)
            features.append(found)
        return torch.cat(features, 1), starts

    @property
    def clamped_log_std(self) -> Tensor:
        """Logarithm of the standard deviation of actions, (action_size,)."""
        return self.log_std.clamp(min=MIN_LOG_STD)


@dataclass
class Trial:
    """Trials of n simulations, ready for learning, each (n, time, ...).

    The steps that were made come first, without gaps between episodes.
    """

    inputs: Tensor
    """What the network read."""
    action: Tensor
    """What it did."""
    log_prob: Tensor
    """Of the actions, when they were taken."""
    reward: Tensor
    """What it got; 0 after the end."""
    mask: Tensor
    """1 where a step was made that may be learnt from."""
    phase: Tensor
    """Share of the horizon of the episode that had passed."""
    value: Tensor
    """Discounted return that a critic expected; 0 without one."""
    target: Tensor
    """What it should have expected."""
    start: State
    """Of the memory before the first step."""

    def select(self, index: Tensor) -> "Trial":
        """Some of the trials."""
        start = tuple(part[index] for part in self.start)
        return self._each(lambda values: values[index], start)

    def pieces(self, starts: list[State]) -> "Trial":
        """Each trial in as many parts of one length as there are states to start from.

        Args:
            starts: of the memory before each part, of all trials.
        """
        start = tuple(
            torch.stack(p, 1).flatten(0, 1) for p in zip(*starts, strict=True)
        )
        return self._each(lambda values: in_pieces(values, len(starts)), start)

    def _each(self, change: Callable[[Tensor], Tensor], start: State) -> "Trial":
        names = (field.name for field in fields(self) if field.name != "start")
        return Trial(
            **{name: change(getattr(self, name)) for name in names}, start=start
        )


def in_pieces(values: Tensor, count: int) -> Tensor:
    """(n, time, ...) as (n * count, length, ...); zeros fill the last piece."""
    n, time, *rest = values.shape
    zeros = values.new_zeros(n, -time % count, *rest)
    return torch.cat([values, zeros], 1).view(n * count, -1, *rest)


class RecurrentRollout:
    """A recurrent policy through the episodes of a trial.

    Args:
        network: the memory and the policy on it.
        normalizer: of observations.
        tasks: number of tasks.
        copies: simulations of each.
        explore: sample actions; False acts by the mean.
        record: keep what `trial` needs.
    """

    def __init__(
        self,
        network: RecurrentPolicy,
        normalizer: Normalizer,
        tasks: int,
        copies: int = 1,
        explore: bool = True,
        record: bool = False,
    ) -> None:
        self.network, self.normalizer = network, normalizer
        self.explore, self.record = explore, record
        self.grid = (tasks, copies)
        n = tasks * copies
        self.state = network.memory.initial(n)
        self.last_action = torch.zeros(n, network.action_size)
        self.last_reward = torch.zeros(n)
        self.read: list[Tensor] = []
        self.scores: list[Tensor] = []
        self.ran: list[Tensor] = []

    @torch.no_grad()
    def act(self, time_step: TimeStep) -> Tensor:
        """Actions, (task, copy, action_size); the state goes on by one step."""
        active = time_step.active.reshape(-1)
        first = time_step.first.reshape(-1)
        reward = torch.where(first, self.last_reward, time_step.reward.reshape(-1))
        inputs = torch.cat(
            [
                self.normalizer(time_step.observation).flatten(0, 1),
                self.last_action,
                reward[:, None],
                first[:, None].float(),
            ],
            -1,
        )
        actions, state = self.network.step(inputs, self.state)
        noise = time_step.noise.flatten(0, 1)
        action = actions.sample(noise) if self.explore else actions.mean
        self.state = chosen(active, state, self.state)
        self.last_action = torch.where(active[:, None], action, self.last_action)
        if self.record:
            self.read.append(inputs)
            self.scores.append(actions.log_prob(action))
            self.ran.append(active)
        return action.view(*self.grid, -1)

    def part(self, tasks: slice) -> "RecurrentRollout":
        """The memories of some of the tasks, as they are now."""
        count, copies = len(range(self.grid[0])[tasks]), self.grid[1]
        part = RecurrentRollout(
            self.network, self.normalizer, count, copies, self.explore, self.record
        )
        some = slice(tasks.start * copies, tasks.stop * copies)
        part.state = tuple(s[some] for s in self.state)
        part.last_action = self.last_action[some]
        part.last_reward = self.last_reward[some]
        return part

    def take(self, parts: Sequence["RecurrentRollout"]) -> None:
        """Take over what its parts became while they acted, all tasks in order.

        Those that were done sooner have nothing more to record: the others' steps
        are not active there.
        """
        self.state = tuple(
            torch.cat(s) for s in zip(*(p.state for p in parts), strict=True)
        )
        self.last_action = torch.cat([p.last_action for p in parts])
        steps = max(len(part.ran) for part in parts)
        for name in ("read", "scores", "ran"):
            recorded = [getattr(part, name) for part in parts]
            for t in range(steps):
                at = [r[t] if t < len(r) else torch.zeros_like(r[0]) for r in recorded]
                getattr(self, name).append(torch.cat(at))

    def update(self, episodes: Episodes) -> None:
        """Note the reward of each episode's last step, which no time step holds."""
        last = (episodes.length - 1).clamp(min=0)[..., None]
        self.last_reward = episodes.reward.gather(-1, last).reshape(-1)

    def trial(self, episodes: list[Episodes]) -> Trial:
        """What happened since it was made, with the same episodes in the same order.

        A trial of which an episode diverged is left out as a whole: the advantages of
        what came before follow from what came after.
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
            inputs=packed(torch.stack(self.read, 1)),
            action=packed(joined("action")),
            log_prob=packed(torch.stack(self.scores, 1)),
            reward=packed(joined("reward")),
            mask=packed(joined("mask")) * whole[:, None],
            phase=packed(phase.expand(len(ran), -1)),
            value=torch.zeros(ran.shape),
            target=torch.zeros(ran.shape),
            start=self.network.memory.initial(len(ran)),
        )

    def fixed(self, explore: bool) -> "FixedStatePolicy":
        """The policy as it is now: every episode starts from the present state."""
        return FixedStatePolicy(self, explore)


class FixedStatePolicy:
    """A recurrent policy whose every episode starts from the same state.

    Args:
        source: has the state of one simulation of each task.
        explore: sample actions; False acts by the mean.
    """

    def __init__(self, source: RecurrentRollout, explore: bool) -> None:
        self.source, self.explore = source, explore
        self.state = source.state
        self.last = (source.last_action, source.last_reward)
        self.acting: RecurrentRollout | None = None

    def act(self, time_step: TimeStep) -> Tensor:
        """Actions, (task, copy, action_size)."""
        if self.acting is None or bool(time_step.first.all()):
            self.acting = self._from(self.start(time_step), time_step)
        return self.acting.act(time_step)

    def start(self, time_step: TimeStep) -> PolicyMemory:
        """The state that every episode starts from."""
        last_action, last_reward = self.last
        memory = {"last_action": last_action, "last_reward": last_reward}
        memory |= {f"state_{i}": part for i, part in enumerate(self.state)}
        copies = time_step.reward.shape[1]
        return {n: part.repeat_interleave(copies, 0) for n, part in memory.items()}

    def step(
        self, time_step: TimeStep, memory: PolicyMemory
    ) -> tuple[Tensor, PolicyMemory]:
        """Actions after this state, and the state then."""
        acting = self._from(memory, time_step)
        action = acting.act(time_step)
        parts = (acting.last_action, acting.last_reward, *acting.state)
        return action, dict(zip(memory, parts, strict=True))

    def _from(self, memory: PolicyMemory, time_step: TimeStep) -> RecurrentRollout:
        """A rollout that goes on from a memory."""
        source, (tasks, copies) = self.source, time_step.reward.shape
        acting = RecurrentRollout(
            source.network, source.normalizer, tasks, copies, self.explore
        )
        acting.last_action, acting.last_reward, *state = memory.values()
        acting.state = tuple(state)
        return acting
