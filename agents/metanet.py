"""Meta networks: a robot's gradients become fast weights, kept in a memory.

Munkhdalai and Yu, "Meta networks", 2017. The policy has slow weights, learnt over all
tasks, and fast weights, made for each robot from what its own episodes say. Each of its
episodes is an example j that is written to a memory as a key and a value:

    value   W*_j = g_j d(g_j)         g_j = gradient of its loss at the slow weights
    key     k_j  = mean over its steps of u(o)

The meta learner d is one small network, shared by all weights, that is told the size
and sign of a weight's gradient and answers with a step size. (The paper's answers with
the fast weight itself. Policy gradients of single episodes are noise for the most part,
and noise cancels where values are proportional to gradients.) To act on an observation
o, the policy attends to the episodes in which the robot was in similar states, and each
layer adds its fast path to the slow one:

    a   = softmax over j of sharpness * cosine(u(o), k_j)      W* = sum_j a_j W*_j
    h'  = tanh(W h + b) + tanh(W* h + b*)                      and without tanh at last

The memory is read at every observation, as in the paper. A layer is linear in its
weights, so the fast path is one matrix product over (episode, input) pairs, and the
weights W* of an observation are never formed. (With 10 episodes in the memory, an outer
step on half-cheetah takes three times as long as with one reading for each task.) An
empty memory adds exactly nothing.

Slow weights, d and u learn by ProMP's outer objective through the memory; the support
gradients themselves are held constant (first order). Robots explore with the slow
weights alone, so that every example is on-policy. The paper's second meta learner,
which makes fast weights for u too, is left out.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from metarl.agents.gradient import Batch, surrogate
from metarl.agents.lstm_optimizer import preprocessed
from metarl.agents.promp import Gaussian, ProMP, ProMPConfig
from metarl.errors import InputError
from metarl.family import TaskFamily
from metarl.learning.policies import (
    MIN_LOG_STD,
    Parameters,
    gaussian,
    leaves,
    log_probability,
    network,
    network_parameters,
    policy_part,
)
from metarl.randomness import torch_generator
from metarl.world.rollout import Episodes, Percept


@dataclass(frozen=True)
class MetaNetConfig(ProMPConfig):
    """Hyper-parameters of meta networks."""

    later_step: float = 1.0
    """Only 1: what is written to the memory is not scaled."""
    episodes: int = 10
    """Episodes a task in each round: of support, and of query."""
    inner_lr: float = 0.1
    """Step size that the meta learner answers with at first."""
    units: int = 16
    """Hidden units of the meta learner."""
    key: int = 16
    """Numbers in a key."""
    sharpness: float = 5.0
    """First sharpness of attention: 0 weighs all episodes alike."""
    max_gradient: float = 1.0
    """An outer gradient longer than this is shortened."""


class MetaNet(ProMP):
    """Learns slow weights, and how gradients become fast ones."""

    Config: ClassVar[type] = MetaNetConfig

    def __init__(self, family: TaskFamily, config: MetaNetConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        if config.later_step != 1:
            raise InputError(
                f"later_step={config.later_step:g} must be 1: what metanet writes to "
                "its memory is not scaled."
            )
        meta = network_parameters(
            (2, config.units, 1), torch_generator(seed, "meta learner"), last_scale=0.1
        )
        keys = network_parameters(
            (len(self.parameters["weight0"]), config.units, config.key),
            torch_generator(seed, "keys"),
        )
        self.parameters |= {f"meta/{name}": p for name, p in meta.items()}
        self.parameters |= {f"key/{name}": p for name, p in keys.items()}
        # The first step size, whatever the gradient.
        self.parameters["meta/bias1"].fill_(-config.inner_lr)
        self.parameters["sharpness/log"] = torch.tensor(math.log(config.sharpness))
        self.optimizer = self._adam()

    def inner_step(
        self, learnt: Parameters, start: Parameters, batch: Batch, create_graph: bool
    ) -> Parameters:
        """Write a round of episodes to the memory; gradients are constants."""
        slow = policy_part(start)
        gradients = self.told(slow, batch)
        written = {
            f"fast/{name}": g * network(part(learnt, "meta"), preprocessed(g))[..., 0]
            for name, g in gradients.items()
        }
        mask = batch.mask.unflatten(1, (-1, self.family.horizon))
        observation = batch.observation.unflatten(1, mask.shape[1:])
        steps = mask.sum(-1)
        keys = network(part(learnt, "key"), observation) * mask[..., None]
        written["memory/key"] = keys.sum(-2) / steps.clamp(min=1)[..., None]
        # An episode that blew up says nothing.
        written["memory/known"] = (steps > 0).to(mask.dtype)
        for name, new in written.items():
            if name in start:
                written[name] = torch.cat([start[name], new], 1)
        reader = {n: p for n, p in learnt.items() if n.startswith(("key/", "sharp"))}
        return {**slow, **reader, **written}

    def told(self, slow: Parameters, batch: Batch) -> Parameters:
        """Gradient of each episode's loss at the slow weights, (task, episode, ...)."""
        horizon = self.family.horizon
        episodes = batch.mask.shape[1] // horizon
        alone = Batch(
            **{n: v.reshape(-1, horizon, *v.shape[2:]) for n, v in vars(batch).items()}
        )
        point = leaves({n: p.repeat_interleave(episodes, 0) for n, p in slow.items()})
        names = [name for name in point if name != "log_std"]
        with torch.enable_grad():
            loss = surrogate(point, alone).sum()
            gradients = torch.autograd.grad(loss, [point[name] for name in names])
        return {
            name: g.unflatten(0, (-1, episodes))
            for name, g in zip(names, gradients, strict=True)
        }

    def distribution(self, state: Parameters, observation: Tensor) -> Gaussian:
        """Mean and log standard deviation of actions with slow and fast weights."""
        return augmented(state, observation)

    def exploring(self, state: Parameters) -> Parameters:
        """The slow weights, so that every example is on-policy."""
        return policy_part(state)

    def policy(self, state: Parameters, explore: bool = True) -> "AugmentedPolicy":
        """What acts in a state of the adaptation."""
        return AugmentedPolicy(state, explore)

    def batch(self, episodes: Episodes, parameters: Parameters) -> Batch:
        """Episodes made ready for the losses, told by whom they were collected."""
        batch = super().batch(episodes, policy_part(parameters))
        with torch.no_grad():
            distribution = self.distribution(parameters, batch.observation)
        old = log_probability(*distribution, batch.action)
        return replace(batch, old_log_probability=old)


def part(parameters: Parameters, prefix: str) -> Parameters:
    """The entries under a prefix, without it."""
    start = f"{prefix}/"
    return {
        name.removeprefix(start): p
        for name, p in parameters.items()
        if name.startswith(start)
    }


def attention(state: Parameters, observation: Tensor) -> Tensor:
    """Weights of the episodes in the memory, (task, n, episode).

    Args:
        state: with a memory.
        observation: (task, n, observation_size).
    """
    query = nn.functional.normalize(network(part(state, "key"), observation), dim=-1)
    keys = nn.functional.normalize(state["memory/key"], dim=-1)
    known = state["memory/known"][:, None]
    score = state["sharpness/log"].exp() * query @ keys.mT
    return torch.softmax(score.masked_fill(known == 0, -1e9), -1) * known


def augmented(state: Parameters, observation: Tensor) -> Gaussian:
    """Means, (task, n, action_size), and log deviations of the augmented policy.

    Args:
        state: slow weights, (task, ...), and a memory, if anything was written.
        observation: (task, n, observation_size).
    """
    if "memory/key" not in state:
        return gaussian(state, observation)
    weight = attention(state, observation)
    fast = part(state, "fast")
    layers = sum(name.startswith("weight") for name in fast)
    x = observation
    for layer in range(layers):
        slow = x @ state[f"weight{layer}"] + state[f"bias{layer}"][:, None]
        # sum_j a_j (x W*_j + b*_j): one product over pairs of episode and input.
        pairs = (weight[..., None] * x[..., None, :]).flatten(-2)
        quick = pairs @ fast[f"weight{layer}"].flatten(1, 2)
        quick = quick + weight @ fast[f"bias{layer}"]
        last = layer == layers - 1
        x = slow + quick if last else torch.tanh(slow) + torch.tanh(quick)
    return x, state["log_std"].clamp(min=MIN_LOG_STD)


@dataclass
class AugmentedPolicy:
    """Acts with slow and fast weights, one policy and one memory per task."""

    state: Parameters
    explore: bool = True
    """Sample actions; False acts by the mean."""

    def act(self, percept: Percept) -> Tensor:
        """Actions, (task, copy, action_size)."""
        mean, log_std = augmented(self.state, percept.observation)
        if not self.explore:
            return mean
        return mean + torch.exp(log_std).unsqueeze(-2) * percept.noise
