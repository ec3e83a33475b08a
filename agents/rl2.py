"""RL2: a recurrent policy whose hidden state learns the task.

Duan et al., "RL2: fast reinforcement learning via slow reinforcement learning", 2016,
and Wang et al., "Learning to reinforcement learn", 2016. A trial is several episodes of
one task. A GRU is told observation, last action, last reward and whether an episode
begins; its hidden state is reset with a trial, not with an episode, and the return that
is made large crosses episodes. So the network learns to explore first and to use later
what it found; adapting to a robot is nothing but running.

    maximise  E  sum of discounted rewards over the whole trial        by PPO

The baseline is linear and fitted per task, as in MAML, on observation and time.
"""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from metarl.family import TaskFamily
from metarl.learning import estimators, recurrent
from metarl.learning.agent import Agent, Metrics, Sampler
from metarl.learning.optimization import adam_tensors, descend, load_adam
from metarl.learning.policies import log_probability
from metarl.learning.ppo import clipped_surrogate, gaussian_entropy, minibatches
from metarl.learning.trials import (
    Memory,
    MemoryNetwork,
    Rememberer,
    Settled,
    State,
    Trial,
    input_size,
)
from metarl.randomness import key, torch_generator
from metarl.world.environment import sizes
from metarl.world.rollout import Episodes, Percept


@dataclass(frozen=True)
class RL2Config:
    """Hyper-parameters of RL2, and of other agents that adapt by remembering."""

    tasks: int = 20
    """Tasks a meta-iteration."""
    copies: int = 2
    """Trials of each."""
    episodes: int = 5
    """Episodes a trial."""
    units: int = 64
    """Units of the recurrent network."""
    initial_std: float = 1.0
    """Standard deviation of the first policy's exploration."""
    discount: float = 0.99
    """Discount factor, across the episodes of a trial."""
    gae_lambda: float = 0.95
    """Lambda of the generalised advantage estimates."""
    lr: float = 2e-3
    """Step size of Adam."""
    epochs: int = 5
    """Passes over the trials of an iteration."""
    minibatches: int = 2
    """Minibatches a pass, of whole trials."""
    clip: float = 0.2
    """Clip range of the probability ratio."""
    entropy: float = 0.01
    """Weight of the entropy bonus."""
    max_gradient: float = 1.0
    """A gradient longer than this is shortened."""
    deploy: Literal["sample", "mean"] = "sample"
    """Whether the shipped policy explores, as in training, or acts by its mean.

    It has to find out within the episode: without noise it finds no goal of point-goal.
    """


class GRU(Memory):
    """A gated recurrent unit; its hidden state is all that it knows."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.output_size = units
        self.gru = recurrent.GRU(inputs, units)

    def initial(self, n: int) -> State:
        """Zeros, (n, units)."""
        return (torch.zeros(n, self.output_size),)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Hidden states of all steps, and the last one."""
        hidden, last = self.gru(inputs, state[0])
        return hidden, (last,)


class RL2(Agent):
    """Learns to learn within the activations of a recurrent network."""

    Config: ClassVar[type] = RL2Config

    def __init__(self, family: TaskFamily, config: RL2Config, seed: int) -> None:
        super().__init__(family, config, seed)
        observation_size, action_size = sizes(family)
        # Modules draw their weights from torch's global generator: borrow it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(seed, "initial policy") % 2**63)
            memory = self.memory(input_size(observation_size, action_size))
            self.network = MemoryNetwork(memory, action_size, config.initial_std)
        self.parameters = list(self.network.parameters())
        self.optimizer = self._adam()

    def memory(self, inputs: int) -> Memory:
        """What remembers, of ``inputs`` numbers a step."""
        return GRU(inputs, self.config.units)

    def train_step(self, sampler: Sampler) -> Metrics:
        """Collect trials of a batch of tasks, then several passes of PPO."""
        config = self.config
        tasks = sampler.tasks(config.tasks)
        policy = Rememberer(self.network, len(tasks), config.copies, record=True)
        episodes = []
        for index in range(config.episodes):
            episodes.append(
                sampler.collect(tasks, config.copies, policy, f"episode {index}")
            )
            policy.absorb(episodes[-1])
        trial = policy.trial(episodes)
        advantage = self.advantages(trial, len(tasks))
        shuffle = torch_generator(self.seed, sampler.iteration, "minibatches")
        metrics: Metrics = {}
        for some in minibatches(
            len(advantage), config.minibatches, config.epochs, shuffle
        ):
            loss, metrics = self.loss(trial.select(some), advantage[some])
            gradients = torch.autograd.grad(  # a memory may not have been asked
                loss, self.parameters, allow_unused=True, materialize_grads=True
            )
            descend(self.optimizer, gradients, config.max_gradient)
        return {
            "return_before": float(episodes[0].returns.mean()),
            "return_after": float(episodes[-1].returns.mean()),
            "std": float(self.network.log_std.detach().exp().mean()),
            **metrics,
        }

    def advantages(self, trial: Trial, tasks: int) -> Tensor:
        """Advantages over a baseline for each task, across episodes, (n, time)."""
        reward, mask, inputs, phase = (
            value.unflatten(0, (tasks, -1))
            for value in (trial.reward, trial.mask, trial.inputs, trial.phase)
        )
        returns = estimators.discounted_returns(reward, self.config.discount)
        known = torch.cat([inputs, phase[..., None]], -1)
        value = estimators.linear_baseline(known, returns, mask)
        advantage = estimators.generalised_advantages(
            reward, value, mask, self.config.discount, self.config.gae_lambda
        )
        return estimators.normalised(advantage, mask).flatten(0, 1)

    def loss(self, trial: Trial, advantage: Tensor) -> tuple[Tensor, Metrics]:
        """PPO's loss of whole trials, unrolled from their start."""
        initial = self.network.memory.initial(len(advantage))
        mean, log_std, _ = self.network(trial.inputs, initial)
        new = log_probability(mean, log_std, trial.action)
        log_ratio = new - trial.log_probability
        gain = clipped_surrogate(log_ratio, advantage, trial.mask, self.config.clip)
        entropy = gaussian_entropy(log_std)
        count = trial.mask.sum().clamp(min=1)
        loss = -gain.sum() / count - self.config.entropy * entropy
        with torch.no_grad():
            divergence = (torch.expm1(log_ratio) - log_ratio) * trial.mask
        return loss, {"kl": float(divergence.sum() / count)}

    def adaptation(self, tasks: int) -> "Remembering":
        """A trial of each task, from an empty memory."""
        network = copy.deepcopy(self.network)  # training may go on beside it
        explores = self.config.deploy == "sample"
        return Remembering(
            Rememberer(network, tasks), explores, kept=self.config.episodes - 1
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights, and Adam."""
        weights = {n: t.clone() for n, t in self.network.state_dict().items()}
        return {**weights, **adam_tensors(self.optimizer)}, {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        names = self.network.state_dict().keys()
        self.network.load_state_dict({name: tensors[name] for name in names})
        self.optimizer = self._adam()
        load_adam(self.optimizer, tensors)

    def _adam(self) -> torch.optim.Adam:
        return torch.optim.Adam(self.parameters, lr=self.config.lr)


@dataclass
class Remembering:
    """Adapts by running: what it sees goes into its memory at every step.

    No trial of training was longer than its last episode, so what a memory makes of
    more is left to chance. From then on every episode starts from the memory as it was
    at the start of that one, and still adapts within itself.
    """

    policy: Rememberer
    explores: bool
    """Whether the deployed policy samples its actions."""
    kept: int
    """Episodes that are remembered: those before the last one of a trial."""
    seen: int = 0
    """Episodes remembered so far."""

    def __post_init__(self) -> None:
        self.later = self.policy.settled(explore=True)

    @property
    def round(self) -> int:
        """One episode after the other, as long as they are remembered."""
        return 1 if self.seen < self.kept else 10**9

    def act(self, percept: Percept) -> Tensor:
        """The policy's action; it learns as it goes."""
        acting = self.policy if self.seen < self.kept else self.later
        return acting.act(percept)

    def absorb(self, episodes: Episodes) -> None:
        """Note the last reward; everything else is in the memory already."""
        if self.seen < self.kept:
            self.policy.absorb(episodes)
            self.seen += 1
            self.later = self.policy.settled(explore=True)

    def deployed(self) -> Settled:
        """The policy with its memory as it is now."""
        return self.policy.settled(self.explores)
