"""Meta networks: gradients of a task's episodes become fast weights, kept in a memory.

Munkhdalai and Yu, "Meta networks", 2017. The policy has slow weights, learnt over all
tasks, and fast weights, made for each task from its own episodes. Each of these
episodes is an example j that is written to a memory as a key and a value:

    value   W*_j = g_j d(g_j)         g_j = gradient of its loss at the slow weights
    key     k_j  = mean over its steps of u(o)

The meta learner d is one small network, shared by all weights, that reads the size and
sign of a weight's gradient and returns a step size. (The paper's returns the fast
weight itself. Policy gradients of single episodes are noise for the most part, and
noise cancels where values are proportional to gradients.) To act on an observation o,
the policy attends to the episodes that visited similar states, and each layer adds its
fast path to the slow one:

    a   = softmax over j of sharpness * cosine(u(o), k_j)      W* = sum_j a_j W*_j
    h'  = tanh(W h + b) + tanh(W* h + b*)                      and without tanh at last

The memory is read at every observation, as in the paper. An empty one adds nothing. The
fast path is one product over (episode, input) pairs: W* itself is never formed.

Slow weights, d and u learn by ProMP's outer objective through the memory
(`metarl.learning.proximal`); the support gradients themselves are held constant (first
order). The slow weights alone explore, so that every example is on-policy. The paper's
second meta learner, which makes fast weights for u too, is left out.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from metarl.agents.lstm_optimizer import preprocessed
from metarl.environment.episodes import Episodes, TimeStep
from metarl.environment.family import TaskFamily
from metarl.learning.adam import Adam
from metarl.learning.agent import Agent, Metrics
from metarl.learning.distributions import (
    MIN_LOG_STD,
    Gaussian,
    gaussian,
    gaussian_parameters,
)
from metarl.learning.networks import (
    Learnt,
    Parameters,
    learnt_from,
    leaves,
    named,
    network,
    network_parameters,
    stack,
)
from metarl.learning.normalization import Normalizer
from metarl.learning.optimization import adam_tensors, load_adam, tensors_of
from metarl.learning.policies import parts
from metarl.learning.policy_gradient import Batch, make_batch, surrogate
from metarl.learning.proximal import proximal_steps
from metarl.learning.sampler import Sampler
from metarl.learning.step_adaptation import StepAdaptation
from metarl.learning.warm_start import take_policy
from metarl.tasks.randomness import torch_generator


@dataclass(frozen=True)
class MetaNetConfig:
    """Hyper-parameters of meta networks. Defaults: half-cheetah."""

    inner_lr: float = 0.1
    """Step size that the meta learner returns at first."""
    inner_steps: int = 1
    """Rounds of support in training."""
    tasks: int = 10
    """Tasks a meta-iteration."""
    episodes: int = 10
    """Episodes a task in each round: of support, and of query."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the policy's hidden layers."""
    initial_std: float = 1.0
    """Standard deviation of the first policy's exploration."""
    discount: float = 0.99
    """Discount factor."""
    gae_lambda: float = 0.95
    """Lambda of the generalized advantage estimates."""
    deploy: Literal["sample", "mean"] = "mean"
    """Whether the deployed policy explores or acts by its mean."""
    outer_lr: float = 1e-3
    """Step size of the outer Adam."""
    outer_steps: int = 5
    """Adam steps on the episodes of one iteration."""
    clip: float = 0.3
    """Clip range of the probability ratio at the adapted policies."""
    kl_penalty: float = 5e-4
    """Weight of the divergence from the policies that explore."""
    max_gradient: float = 1.0
    """An outer gradient longer than this is shortened."""
    units: int = 16
    """Hidden units of the meta learner."""
    key: int = 16
    """Numbers in a key."""
    sharpness: float = 5.0
    """First sharpness of attention: 0 weighs all episodes equally."""


@dataclass
class Learner:
    """What an adaptation changes: slow weights, and a memory of episodes."""

    slow: Parameters
    """Of a Gaussian policy, each (task, ...)."""
    key: Tensor
    """(task, episode, key)."""
    known: Tensor
    """1, or 0 where nothing of an episode counts, (task, episode)."""
    fast: Parameters
    """Fast weights that each episode gives, (task, episode, ...)."""


def learner_at(slow: Parameters, key: int) -> Learner:
    """One with an empty memory, for keys of so many numbers."""
    layers = {name: p for name, p in slow.items() if name != "log_std"}
    fast = {name: p.new_zeros(len(p), 0, *p.shape[1:]) for name, p in layers.items()}
    empty = slow["log_std"].new_zeros(len(slow["log_std"]), 0)
    return Learner(slow, empty[..., None].expand(-1, -1, key), empty, fast)


def attention(learnt: Learnt, learner: Learner, observation: Tensor) -> Tensor:
    """Weights of the episodes in the memory at observations, (task, n, episode)."""
    query = nn.functional.normalize(network(learnt["key"], observation), dim=-1)
    keys = nn.functional.normalize(learner.key, dim=-1)
    known = learner.known[:, None]
    score = learnt["sharpness"]["log"].exp() * query @ keys.mT
    return torch.softmax(score.masked_fill(known == 0, -1e9), -1) * known


def augmented(learnt: Learnt, learner: Learner, observation: Tensor) -> Gaussian:
    """Actions of slow and fast weights together.

    Args:
        learnt: with the network of the keys and the sharpness.
        learner: of every task.
        observation: (task, n, observation_size).
    """
    weight = attention(learnt, learner, observation)
    slow, fast = learner.slow, learner.fast
    x, layers = observation, len(fast) // 2  # each has weights and biases
    for layer in range(layers):
        usual = x @ slow[f"weight{layer}"] + slow[f"bias{layer}"][:, None]
        # sum_j a_j (x W*_j + b*_j): one product over pairs of episode and input.
        pairs = (weight[..., None] * x[..., None, :]).flatten(-2)
        quick = pairs @ fast[f"weight{layer}"].flatten(1, 2)
        quick = quick + weight @ fast[f"bias{layer}"]
        x = usual + quick if layer == layers - 1 else usual.tanh() + quick.tanh()
    return Gaussian(x, slow["log_std"].clamp(min=MIN_LOG_STD)[:, None])


@dataclass
class AugmentedPolicy:
    """Acts with slow and fast weights, one policy and one memory per task."""

    learnt: Learnt
    learner: Learner
    normalizer: Normalizer
    explore: bool = True
    """Sample actions; False acts by the mean."""
    part = parts("learner")

    def act(self, time_step: TimeStep) -> Tensor:
        """Actions, (task, copy, action_size)."""
        observation = self.normalizer(time_step.observation)
        actions = augmented(self.learnt, self.learner, observation)
        return actions.sample(time_step.noise) if self.explore else actions.mean


class MetaNet(Agent):
    """Learns slow weights, and how gradients become fast ones."""

    Config: ClassVar[type] = MetaNetConfig
    kind: ClassVar[str] = "fast-weights"
    retired_settings: ClassVar = {"later_step": 1.0}

    def __init__(self, family: TaskFamily, config: MetaNetConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        start = gaussian_parameters(
            *family.spec[:2],
            config.hidden,
            torch_generator(seed, "initial policy"),
            config.initial_std,
        )
        meta = network_parameters(
            (2, config.units, 1), torch_generator(seed, "meta learner"), last_scale=0.1
        )
        # The first step size, whatever the gradient.
        meta["bias1"].fill_(-config.inner_lr)
        key = network_parameters(
            (family.spec.observation_size, config.units, config.key),
            torch_generator(seed, "keys"),
        )
        self.learnt: Learnt = {
            "start": start,
            "meta": meta,
            "key": key,
            "sharpness": {"log": torch.tensor(math.log(config.sharpness))},
        }
        self.optimizer = self.adam()

    def warm_start(self, source: Agent) -> None:
        """Begin from the policy of `randomized`."""
        take_policy(self, source, self.learnt["start"], self.normalizer)

    def train_step(self, sampler: Sampler) -> Metrics:
        """Fill the memories of a batch of tasks, then several outer steps."""
        config = self.config
        tasks = sampler.tasks(config.tasks)
        slow = stack(self.learnt["start"], len(tasks))
        start = learner = learner_at(slow, config.key)
        rounds, batches = [], []
        for step in range(config.inner_steps + 1):
            acting = start if step < config.inner_steps else learner
            policy = AugmentedPolicy(self.learnt, acting, self.normalizer)
            episodes = sampler.collect(tasks, config.episodes, policy, f"round {step}")
            rounds.append(episodes)
            batches.append(self.batch(episodes, acting))
            if step < config.inner_steps:
                learner = self.stepped(learner, batches[-1])
        metrics = self.outer_step(batches)
        for episodes in rounds:
            self.normalizer.update(episodes.observation, episodes.mask)
        return {
            "return_before": float(rounds[0].returns.mean()),
            "return_after": float(rounds[-1].returns.mean()),
            "std": float(self.learnt["start"]["log_std"].exp().mean()),
            **metrics,
        }

    def batch(self, episodes: Episodes, learner: Learner) -> Batch:
        """A round of episodes that this learner collected, for the losses."""
        return make_batch(
            episodes,
            self.normalizer,
            lambda observation: augmented(self.learnt, learner, observation),
            self.config.discount,
            self.config.gae_lambda,
        )

    # -- inside: adapting to a task --------------------------------------------------

    def gradients(self, slow: Parameters, batch: Batch) -> Parameters:
        """Gradient of each episode's loss by the slow weights, (task, episode, ...)."""
        horizon = self.family.horizon
        episodes = batch.mask.shape[1] // horizon
        each = {n: v.reshape(-1, horizon, *v.shape[2:]) for n, v in vars(batch).items()}
        alone = Batch(**each)
        point = leaves({n: p.repeat_interleave(episodes, 0) for n, p in slow.items()})
        names = [name for name in point if name != "log_std"]
        with torch.enable_grad():
            loss = surrogate(gaussian(point, alone.observation), alone).sum()
            gradients = torch.autograd.grad(loss, [point[name] for name in names])
        return {
            name: g.unflatten(0, (-1, episodes))
            for name, g in zip(names, gradients, strict=True)
        }

    def inner_step(self, learnt: Learnt, learner: Learner, batch: Batch) -> Learner:
        """Write a round of episodes of the slow weights to the memory."""
        fast = {
            name: g * network(learnt["meta"], preprocessed(g))[..., 0]
            for name, g in self.gradients(learner.slow, batch).items()
        }
        mask = batch.mask.unflatten(1, (-1, self.family.horizon))
        observation = batch.observation.unflatten(1, mask.shape[1:])
        steps = mask.sum(-1)
        keys = network(learnt["key"], observation) * mask[..., None]
        key = keys.sum(-2) / steps.clamp(min=1)[..., None]
        # An episode without a step that counts says nothing.
        known = (steps > 0).to(mask.dtype)
        return Learner(
            learner.slow,
            torch.cat([learner.key, key], 1),
            torch.cat([learner.known, known], 1),
            {n: torch.cat([p, fast[n]], 1) for n, p in learner.fast.items()},
        )

    @torch.no_grad()
    def stepped(self, learner: Learner, batch: Batch) -> Learner:
        """`inner_step` without a graph, for collecting and deploying."""
        return self.inner_step(self.learnt, learner, batch)

    # -- outside: learning how to adapt ------------------------------------------------

    def through_adaptation(
        self, learnt: Learnt, batches: list[Batch]
    ) -> list[Gaussian]:
        """Actions of the policies of each round, differentiable by what is learnt."""
        *supports, query = batches
        slow = stack(learnt["start"], len(query.observation))
        learner = learner_at(slow, self.config.key)
        actions = []
        for support in supports:
            actions.append(gaussian(slow, support.observation))
            learner = self.inner_step(learnt, learner, support)
        return [*actions, augmented(learnt, learner, query.observation)]

    def outer_step(self, batches: list[Batch]) -> Metrics:
        """Several Adam steps through the memory; the last round is the query."""
        return proximal_steps(
            self.learnt,
            self.optimizer,
            lambda learnt: self.through_adaptation(learnt, batches),
            batches,
            self.config,
        )

    def adam(self) -> Adam:
        """A fresh optimizer of all that is learnt."""
        return Adam(list(tensors_of(self.learnt)), lr=self.config.outer_lr)

    # -- the contract ------------------------------------------------------------------

    def adaptation(self, tasks: int) -> StepAdaptation[Learner]:
        """Every task begins with the slow weights and an empty memory."""
        twin, config = self.snapshot(), self.config
        start = learner_at(stack(twin.learnt["start"], tasks), config.key)

        def step(learner: Learner, episodes: Episodes, before: int) -> Learner:
            return twin.stepped(learner, twin.batch(episodes, start))

        def policy(learner: Learner, explore: bool = True) -> AugmentedPolicy:
            return AugmentedPolicy(twin.learnt, learner, twin.normalizer, explore)

        return StepAdaptation(
            start,
            config.episodes,
            explore=lambda _: policy(start),
            deploy=lambda learner: policy(learner, config.deploy == "sample"),
            step=step,
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that is learnt, and Adam."""
        return named(self.learnt) | adam_tensors(self.optimizer), {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.learnt = learnt_from(tensors, self.learnt)
        self.optimizer = self.adam()
        load_adam(self.optimizer, tensors)
