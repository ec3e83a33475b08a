"""RL2: a recurrent policy whose hidden state adapts to the task.

Duan et al., "RL2: fast reinforcement learning via slow reinforcement learning", 2016,
and Wang et al., "Learning to reinforcement learn", 2016. A trial is several episodes of
one task. A GRU reads the observation, the last action, the last reward and whether an
episode begins. Its hidden state is reset with a trial, not with an episode, and returns
cross episodes. So the network learns to explore first and to use later what it found.
Adapting is nothing but acting.

    maximize  E  sum of discounted rewards over the whole trial        by PPO

The policy reads the observation beside the hidden state, and so does a critic, whose
gradient shapes the hidden state, too: see `metarl.learning.heads`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from metarl.environment.episodes import Episodes, TimeStep
from metarl.environment.family import TaskFamily
from metarl.learning import estimators, recurrent
from metarl.learning.adam import Adam
from metarl.learning.agent import Agent, Metrics
from metarl.learning.heads import HeadName
from metarl.learning.optimization import adam_tensors, descend, load_adam
from metarl.learning.ppo import clipped_surrogate, minibatches, value_loss
from metarl.learning.recurrent_policy import (
    FixedStatePolicy,
    Memory,
    RecurrentPolicy,
    RecurrentRollout,
    State,
    Trial,
    in_pieces,
    input_size,
)
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import key, torch_generator


@dataclass(frozen=True)
class RL2Config:
    """Hyper-parameters of RL2, and of other memory-based agents."""

    tasks: int = 20
    """Tasks a meta-iteration."""
    copies: int = 1
    """Trials of each."""
    episodes: int = 5
    """Episodes a trial."""
    units: int = 64
    """Units of the recurrent network."""
    head: HeadName = "skip"
    """What acts on its hidden state: a network that reads the observation beside it, a
    linear layer, or a network whose weights the hidden state makes."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the hidden layers of a skip head, and of a learned critic."""
    generated: int = 16
    """Hidden units of the policy that a hypernetwork makes."""
    critic: Literal["learned", "linear"] = "learned"
    """What advantages are over: a value network, or a linear fit for each task."""
    initial_std: float = 1.0
    """Standard deviation of the first policy's exploration."""
    discount: float = 0.99
    """Discount factor, across the episodes of a trial."""
    gae_lambda: float = 0.95
    """Lambda of the generalized advantage estimates."""
    unroll: int = 200
    """Control steps that gradients flow back through at most: a longer trial is cut."""
    lr: float = 3e-3
    """Step size of Adam."""
    epochs: int = 2
    """Passes over the trials of an iteration."""
    minibatches: int = 4
    """Minibatches a pass, of whole pieces of trials."""
    clip: float = 0.2
    """Clip range of the probability ratio."""
    entropy: float = 0.0
    """Weight of the entropy bonus."""
    max_gradient: float = 1.0
    """A gradient longer than this is shortened."""
    deploy: Literal["sample", "mean"] = "sample"
    """Whether the deployed policy explores, as in training, or acts by its mean.

    It adapts within the episode: without noise it finds no goal of point-goal.
    """


class GRU(Memory):
    """A gated recurrent unit: its hidden state is the memory."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.input_size, self.output_size = inputs, units
        self.gru = recurrent.GRU(inputs, units)

    def initial(self, n: int) -> State:
        """Zeros, (n, units)."""
        return (torch.zeros(n, self.output_size),)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Hidden states of all steps, and the last one."""
        hidden, last = self.gru(inputs, state[0])
        return hidden, (last,)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """The hidden state after one step."""
        hidden = self.gru.step(inputs, state[0])
        return hidden, (hidden,)


class RL2(Agent):
    """Adapts within the activations of a recurrent network."""

    Config: ClassVar[type] = RL2Config
    kind: ClassVar[str] = "memory"
    earlier_settings: ClassVar = {
        "head": "linear",
        "hidden": (64, 64),
        "generated": 16,
        "critic": "linear",
        "unroll": 1_000_000,
    }

    def __init__(self, family: TaskFamily, config: RL2Config, seed: int) -> None:
        super().__init__(family, config, seed)
        observation_size, action_size, _ = family.spec
        # Modules draw their weights from torch's global generator: borrow it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(seed, "initial policy") % 2**63)
            memory = self.memory(input_size(observation_size, action_size))
            self.network = RecurrentPolicy(
                memory,
                action_size,
                config.initial_std,
                config.head,
                config.hidden,
                config.generated,
                critic=config.critic == "learned",
            )
        self.parameters = list(self.network.parameters())
        self.optimizer = self._adam()

    def memory(self, inputs: int) -> Memory:
        """The memory, which reads ``inputs`` numbers a step."""
        return GRU(inputs, self.config.units)

    def train_step(self, sampler: Sampler) -> Metrics:
        """Collect trials of a batch of tasks, then several passes of PPO."""
        config = self.config
        tasks = sampler.tasks(config.tasks)
        policy = RecurrentRollout(
            self.network, self.normalizer, len(tasks), config.copies, record=True
        )
        episodes = []
        for index in range(config.episodes):
            episodes.append(
                sampler.collect(tasks, config.copies, policy, f"episode {index}")
            )
            policy.update(episodes[-1])
        metrics = self.improve(policy.trial(episodes), len(tasks), sampler)
        for collected in episodes:
            self.normalizer.update(collected.observation, collected.mask)
        return {
            "return_before": float(episodes[0].returns.mean()),
            "return_after": float(episodes[-1].returns.mean()),
            "std": float(self.network.log_std.detach().exp().mean()),
            **metrics,
        }

    def improve(self, trial: Trial, tasks: int, sampler: Sampler) -> Metrics:
        """Several passes of PPO over the trials of so many tasks."""
        config = self.config
        features, starts = self.network.replay(trial.inputs, config.unroll)
        self.value(trial, features)
        advantage = in_pieces(self.advantages(trial, tasks), len(starts))
        pieces = trial.pieces(starts)
        shuffle = torch_generator(self.seed, sampler.iteration, "minibatches")
        metrics: Metrics = {}
        for some in minibatches(
            len(advantage), config.minibatches, config.epochs, shuffle
        ):
            loss, metrics = self.loss(pieces.select(some), advantage[some])
            gradients = torch.autograd.grad(  # a memory may not have been asked
                loss, self.parameters, allow_unused=True, materialize_grads=True
            )
            descend(self.optimizer, gradients, config.max_gradient)
        return metrics

    def value(self, trial: Trial, features: Tensor) -> None:
        """Note what the critic expects of a trial, and what it should: lambda-returns.

        Args:
            trial: n trials.
            features: of the memory, (n, time, size).
        """
        critic, config = self.network.critic, self.config
        if critic is None:
            return
        reward, mask = trial.reward, trial.mask
        with torch.no_grad():
            trial.value = critic.scale * critic(features, trial.inputs)
        trial.target = trial.value + estimators.generalized_advantages(
            reward, trial.value, mask, config.discount, config.gae_lambda
        )
        returns = estimators.discounted_returns(reward, config.discount)
        critic.returns.update(returns[..., None], mask)

    def advantages(self, trial: Trial, tasks: int) -> Tensor:
        """Advantages across episodes, normalized for each task, (n, time)."""

        def by_task(values: Tensor) -> Tensor:
            return values.unflatten(0, (tasks, -1))

        if self.network.critic is None:
            advantage = estimators.advantages(
                by_task(torch.cat([trial.inputs, trial.phase[..., None]], -1)),
                by_task(trial.reward),
                by_task(trial.mask),
                self.config.discount,
                self.config.gae_lambda,
            )
        else:
            advantage = estimators.normalized(
                by_task(trial.target - trial.value), by_task(trial.mask)
            )
        return advantage.flatten(0, 1)

    def loss(self, trial: Trial, advantage: Tensor) -> tuple[Tensor, Metrics]:
        """PPO's loss of trials, or pieces of them, unrolled from their start."""
        network, config = self.network, self.config
        count = trial.mask.sum().clamp(min=1)
        features, _ = network.memory(trial.inputs, trial.start)
        actions = network.actions(features, trial.inputs)
        log_ratio = actions.log_prob(trial.action) - trial.log_prob
        gain = clipped_surrogate(log_ratio, advantage, trial.mask, config.clip)
        loss = -gain.sum() / count - config.entropy * actions.entropy()
        with torch.no_grad():
            divergence = (torch.expm1(log_ratio) - log_ratio) * trial.mask
        metrics = {"kl": float(divergence.sum() / count)}
        if network.critic is not None:
            value = network.critic(features, trial.inputs)
            target = trial.target / network.critic.scale
            error = value_loss(value.flatten(), target.flatten(), trial.mask.flatten())
            loss = loss + 0.5 * error
            metrics["value_loss"] = float(error.detach())
        return loss, metrics

    def adaptation(self, tasks: int) -> "RecurrentAdaptation":
        """A trial of each task, from an empty memory."""
        twin = self.snapshot()  # training may go on beside it
        return RecurrentAdaptation(
            RecurrentRollout(twin.network, twin.normalizer, tasks),
            explores=self.config.deploy == "sample",
            kept=self.config.episodes - 1,
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

    def _adam(self) -> Adam:
        return Adam(self.parameters, lr=self.config.lr)


@dataclass
class RecurrentAdaptation:
    """Adapts by acting: every step changes the recurrent state.

    No trial of training was longer than its last episode, so the state after more is
    left to chance. From then on every episode starts from the state as it was at the
    start of that one, and still adapts within itself.
    """

    rollout: RecurrentRollout
    explores: bool
    """Whether the deployed policy samples its actions."""
    kept: int
    """Episodes that change the state: those before the last one of a trial."""
    seen: int = 0
    """Episodes so far, up to ``kept``."""

    def __post_init__(self) -> None:
        self.later = self.rollout.fixed(explore=True)

    @property
    def episodes_per_update(self) -> int:
        """One episode after the other, as long as they change the state."""
        return 1 if self.seen < self.kept else 10**9

    def act(self, time_step: TimeStep) -> Tensor:
        """The policy's action; its state goes on."""
        acting = self.rollout if self.seen < self.kept else self.later
        return acting.act(time_step)

    def update(self, episodes: Episodes) -> None:
        """Note the last reward; everything else is in the state already."""
        if self.seen < self.kept:
            self.rollout.update(episodes)
            self.seen += 1
            self.later = self.rollout.fixed(explore=True)

    def policy(self) -> FixedStatePolicy:
        """The policy with its state as it is now."""
        return self.rollout.fixed(self.explores)
