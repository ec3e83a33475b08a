"""Proximal policy optimization (Schulman et al., 2017).

Pure functions, whose shapes are (..., steps): leading axes, such as tasks, share
nothing.

    log_ratio = log_probability(mean, log_std, action) - old_log_probability
    gain = masked_mean(clipped_surrogate(log_ratio, advantage, mask, 0.2), mask)
    loss = -gain.mean() + 0.5 * value_loss(value, target, mask).mean()

And the update of one policy on a rollout, equal to that of Stable-Baselines3:

    kl = ppo_update(model, optimizer, batch, config, generator)
    learning_rate = followed(learning_rate, kl, config.target_kl)
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from metarl.learning.adam import Adam
from metarl.learning.distributions import Gaussian
from metarl.learning.estimators import masked_mean

KL_BAND = 2.0
"""The step size changes where the divergence leaves target / 2 to target * 2."""
MAX_GRADIENT = 0.5
"""A gradient longer than this is shortened."""


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters of PPO on simulations that run on."""

    simulations: int = 512
    """Robots that run at a time."""
    rollout: int = 32
    """Control steps of each simulation between updates."""
    pool: int = 1024
    """Distinct train tasks; each episode draws one of them."""
    epochs: int = 4
    """Passes over a rollout."""
    minibatches: int = 4
    """Minibatches a pass."""
    hidden: tuple[int, ...] = (128, 128, 64)
    """Units of the hidden layers of policy and value networks."""
    activation: Literal["elu", "tanh"] = "elu"
    """Between the layers; gradient-based agents can only start from tanh: `--init`."""
    initial_std: float = 1.0
    """Standard deviation of the first policy's exploration."""
    discount: float = 0.99
    """Discount factor."""
    gae_lambda: float = 0.95
    """Lambda of the generalized advantage estimates."""
    clip: float = 0.2
    """Clip range of the probability ratio."""
    entropy: float = 0.0
    """Coefficient of the entropy bonus."""
    learning_rate: float = 1e-3
    """First step size."""
    target_kl: float = 0.01
    """The step size is changed to keep the update's KL divergence near this."""


def clipped_surrogate(
    log_ratio: Tensor, advantage: Tensor, mask: Tensor, clip: float
) -> Tensor:
    """The pessimistic objective of every step, to be made large, (..., steps).

    Args:
        log_ratio: new minus old log-probability, (..., steps).
        advantage: (..., steps).
        mask: 1 where a step counts, (..., steps).
        clip: half width of the range of ratios that still pay.

    Returns:
        ``min(ratio A, clip(ratio) A)``, 0 where masked. The ratio is 1 and its
        gradient is the policy gradient where the policy collected the steps.
    """
    # What is masked may overflow, and infinity times 0 is NaN.
    ratio = torch.exp(torch.where(mask > 0, log_ratio, 0.0))
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return torch.minimum(ratio * advantage, clipped * advantage) * mask


def value_loss(value: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over the steps that count, (...)."""
    return masked_mean((value - target).square(), mask)


def minibatches(
    items: int, count: int, epochs: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Indices of minibatches: every epoch visits each item once, in a new order.

    Args:
        items: what there is to visit.
        count: minibatches an epoch; their sizes differ by one at most.
        epochs: passes over the items.
        generator: draws the orders: from `metarl.tasks.randomness.torch_generator`.
    """
    for _ in range(epochs if items else 0):
        order = torch.randperm(items, generator=generator)
        yield from order.tensor_split(min(count, items))


class ActorCritic(nn.Module):
    """A Gaussian policy and a value network, each of inputs of its own.

    Args:
        actor: from its inputs, (..., inputs), to the mean action.
        critic: from its inputs to the value, (..., 1).
        action_size: number of action components.
        initial_std: standard deviation of the first policy's exploration.
    """

    def __init__(
        self, actor: nn.Module, critic: nn.Module, action_size: int, initial_std: float
    ) -> None:
        super().__init__()
        self.log_std = nn.Parameter(torch.full((action_size,), math.log(initial_std)))
        self.actor, self.critic = actor, critic

    def actions(self, inputs: Tensor) -> Gaussian:
        """Distributions of actions, (..., action_size)."""
        return Gaussian(self.actor(inputs), self.log_std)

    def value(self, inputs: Tensor) -> Tensor:
        """Values, (...)."""
        value: Tensor = self.critic(inputs).squeeze(-1)
        return value


def layers(
    sizes: Sequence[int],
    last_gain: float = math.sqrt(2),
    activation: Literal["elu", "tanh"] = "elu",
) -> nn.Sequential:
    """A network with orthogonal weights.

    Args:
        sizes: units of each layer, the inputs first.
        last_gain: gain of the last layer's weights; the others have sqrt(2).
        activation: between the layers.
    """
    between = {"elu": nn.ELU, "tanh": nn.Tanh}[activation]
    modules: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        layer = nn.Linear(inputs, outputs)
        last = index == len(sizes) - 2
        nn.init.orthogonal_(layer.weight, last_gain if last else math.sqrt(2))
        nn.init.zeros_(layer.bias)
        modules += [layer] if last else [layer, between()]
    return nn.Sequential(*modules)


@dataclass
class Batch:
    """Control steps to learn from, each (steps, ...)."""

    actor_inputs: Tensor
    critic_inputs: Tensor
    action: Tensor
    log_prob: Tensor
    """Of the action, by the policy that took it."""
    advantage: Tensor
    target: Tensor
    """Of the value."""

    def select(self, index: Tensor) -> "Batch":
        """Some of the steps."""
        return Batch(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def ppo_loss(
    model: ActorCritic, batch: Batch, clip: float, entropy: float
) -> tuple[Tensor, Tensor]:
    """Loss of a minibatch, and the divergence from the policy that acted, ().

    As in Stable-Baselines3: advantages have mean 0 and deviation 1 in each minibatch,
    and the value's squared error counts half.
    """
    actions = model.actions(batch.actor_inputs)
    log_ratio = actions.log_prob(batch.action) - batch.log_prob
    advantage = batch.advantage
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    everywhere = torch.ones_like(advantage)
    gain = clipped_surrogate(log_ratio, advantage, everywhere, clip).mean()
    error = (model.value(batch.critic_inputs) - batch.target).square().mean()
    loss = -gain + 0.5 * error - entropy * actions.entropy()
    with torch.no_grad():
        kl = (torch.expm1(log_ratio) - log_ratio).mean()
    return loss, kl


def ppo_update(
    model: ActorCritic,
    optimizer: Adam,
    batch: Batch,
    config: PPOConfig,
    generator: torch.Generator,
) -> float:
    """Several passes over the steps; returns the last one's mean KL divergence."""
    parameters = list(model.parameters())
    divergences = []
    steps = len(batch.target)
    for index in minibatches(steps, config.minibatches, config.epochs, generator):
        loss, kl = ppo_loss(model, batch.select(index), config.clip, config.entropy)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT)
        optimizer.step()
        divergences.append(kl)
    return float(torch.stack(divergences[-config.minibatches :]).mean())


def followed(learning_rate: float, kl: float, target: float) -> float:
    """The next step size, after an update whose divergence was too large or small."""
    if kl > KL_BAND * target:
        return max(learning_rate / 1.5, 1e-5)
    if kl < target / KL_BAND:
        return min(learning_rate * 1.5, 1e-2)
    return learning_rate
