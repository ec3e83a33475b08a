"""PPO of Stable-Baselines3 on the target task, for `scratch` and `finetune`.

Each task has a policy of its own. Every few episodes Stable-Baselines3's PPO (its
policy, loss and optimizer) learns from them. All tasks act in one batch.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from metarl.environment.collect import one_torch_thread
from metarl.environment.episodes import Episodes, Policy, TimeStep, concatenate
from metarl.environment.gymnasium import action_space, observation_space
from metarl.errors import RunError
from metarl.learning import estimators
from metarl.learning.distributions import Gaussian
from metarl.learning.networks import Parameters
from metarl.learning.normalization import Normalizer
from metarl.tasks.randomness import key


@dataclass(frozen=True)
class PPOAdaptationConfig:
    """Hyper-parameters of PPO on the target task."""

    episodes: int = 5
    """Episodes of each task between updates."""
    tuning_epochs: int = 10
    """Passes over the episodes in an update."""
    tuning_minibatches: int = 4
    """Minibatches a pass."""
    tuning_lr: float = 1e-3
    """Step size of Adam."""
    clip: float = 0.2
    """Clip range of the probability ratio."""
    discount: float = 0.99
    """Discount factor."""
    gae_lambda: float = 0.95
    """Lambda of the generalized advantage estimates."""


def architecture(hidden: tuple[int, ...], initial_std: float) -> dict[str, Any]:
    """Arguments that make a policy of Stable-Baselines3."""
    return {
        "net_arch": list(hidden),
        "activation_fn": torch.nn.ELU,
        "log_std_init": float(np.log(initial_std)),
    }


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, for code that knows no other, and put them back."""
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)


@contextmanager
def refusing_nan() -> Iterator[None]:
    """Say in metarl's words what torch's distributions say of a policy of NaN."""
    try:
        yield
    except ValueError as error:
        if "nan" not in str(error).lower():
            raise
        raise RunError("The policy is NaN. A smaller step size may help.") from error


def new_policy(
    observation_size: int,
    action_size: int,
    hidden: tuple[int, ...],
    initial_std: float,
    seed: int,
) -> ActorCriticPolicy:
    """A random policy and value network of Stable-Baselines3, with a fresh Adam."""
    with seeded(seed):
        return ActorCriticPolicy(
            observation_space(observation_size),
            action_space(action_size),
            lambda _: 0.0,  # PPO sets the step size before every update
            **architecture(hidden, initial_std),
        )


def actor(policy: ActorCriticPolicy) -> nn.Module:
    """The network from normalized observations to the mean action."""
    return nn.Sequential(policy.mlp_extractor.policy_net, policy.action_net)


def critic(policy: ActorCriticPolicy) -> nn.Module:
    """The network from normalized observations to the value."""
    return nn.Sequential(policy.mlp_extractor.value_net, policy.value_net)


def batched(network: nn.Module, parameters: Parameters, inputs: Tensor) -> Tensor:
    """One network with other weights for each row, (rows, n, outputs).

    Args:
        network: gives the structure.
        parameters: of the rows, each (rows, ...).
        inputs: (rows, n, inputs).
    """
    return vmap(lambda p, x: functional_call(network, p, x))(parameters, inputs)


def stacked(networks: list[nn.Module]) -> Parameters:
    """Copies of the parameters of networks of one structure, each (network, ...)."""
    parameters, _ = stack_module_state(networks)
    return {name: p.detach() for name, p in parameters.items()}


class Actors:
    """Acts with a policy of Stable-Baselines3 for each task, all in one batch.

    Args:
        policies: one for each task; later changes to them are not seen.
        normalizer: of observations.
    """

    def __init__(
        self, policies: list[ActorCriticPolicy], normalizer: Normalizer
    ) -> None:
        self.network = actor(policies[0])
        self.parameters = stacked([actor(policy) for policy in policies])
        self.log_std = torch.stack([policy.log_std.detach() for policy in policies])
        self.normalizer = normalizer

    def actions(self, observation: Tensor) -> Gaussian:
        """What it does on observations, (task, n, observation_size)."""
        normalized = self.normalizer(observation)
        mean = batched(self.network, self.parameters, normalized)
        return Gaussian(mean, self.log_std[:, None])

    def explore(self, time_step: TimeStep) -> Tensor:
        """Actions with noise, (task, copy, action_size)."""
        return self.actions(time_step.observation).sample(time_step.noise)

    def act(self, time_step: TimeStep) -> Tensor:
        """Mean actions, (task, copy, action_size)."""
        return self.actions(time_step.observation).mean


@dataclass(frozen=True)
class Scales:
    """Running moments of each task, by which observations and rewards are scaled."""

    observation: Normalizer
    """Each (task, 1, observation_size), or what broadcasts to it."""
    returns: Normalizer
    """Of discounted returns, each (task, 1, 1), or what broadcasts to it."""
    steps: Tensor = field(default_factory=lambda: torch.zeros(()))
    """Steps that they were taken from, (task, 1, 1)."""

    @classmethod
    def unknown(cls) -> "Scales":
        """Before the first episode: nothing is scaled."""
        unit = Normalizer.of(torch.zeros(()), torch.ones(()))
        return cls(unit, unit)

    def extended(self, episodes: Episodes, discount: float) -> "Scales":
        """With more episodes of each task."""
        mask = episodes.mask.flatten(1)[..., None]
        steps = mask.sum(1, keepdim=True)
        share = steps / (self.steps + steps).clamp(min=1)

        def pooled(known: Normalizer, values: Tensor) -> Normalizer:
            weight = mask / steps.clamp(min=1)
            mean = (values * weight).sum(1, keepdim=True)
            variance = ((values - mean).square() * weight).sum(1, keepdim=True)
            apart = share * (1 - share) * (mean - known.mean).square()
            return Normalizer.of(
                (1 - share) * known.mean + share * mean,
                (1 - share) * known.variance + share * variance + apart,
            )

        returns = estimators.discounted_returns(episodes.reward, discount)
        return Scales(
            pooled(self.observation, episodes.observation.flatten(1, 2)),
            pooled(self.returns, returns.flatten(1)[..., None]),
            self.steps + steps,
        )


class PPOAdaptation:
    """Adapts by PPO: each task's own policy is updated whenever a round is in.

    What it deploys in the middle of a round is the policy of the last whole one: PPO on
    an episode or two would follow their noise.

    Args:
        config: says how to update.
        seed: of the order of minibatches.
        policies: one for each task; they are changed.
        scales: of observations and rewards; default: those of the task's own episodes.
        deployed: before the first update; default: the policies.
    """

    def __init__(
        self,
        config: PPOAdaptationConfig,
        seed: int,
        policies: list[ActorCriticPolicy],
        scales: Scales | None = None,
        deployed: Policy | None = None,
    ) -> None:
        self.config, self.seed = config, seed
        self.policies = policies
        self.frozen = scales is not None
        self.scales = scales or Scales.unknown()
        self.actors = Actors(policies, self.scales.observation)
        self.deployed = deployed or self.actors
        self.learner = self._learner()
        self.updates = 0
        self.waiting: list[Episodes] = []

    @property
    def episodes_per_update(self) -> int:
        """Episodes missing until the next update."""
        seen = sum(part.reward.shape[1] for part in self.waiting)
        return max(1, int(self.config.episodes) - seen)

    def act(self, time_step: TimeStep) -> Tensor:
        """Sample from the current policies."""
        return self.actors.explore(time_step)

    def update(self, episodes: Episodes) -> None:
        """Keep the episodes; update once the round is full."""
        full = episodes.reward.shape[1] >= self.episodes_per_update
        self.waiting.append(episodes)
        if full:
            with one_torch_thread():
                self._update()
            self.waiting = []

    def policy(self) -> Policy:
        """The policies after the last update, by their means."""
        return self.deployed

    def _update(self) -> None:
        """One PPO update of every task on the waiting episodes."""
        discount = self.config.discount
        episodes = concatenate(self.waiting)
        mask = episodes.mask
        observation = episodes.observation.flatten(1, 2)
        # By the policies that acted, whatever the scales become.
        old = self.actors.actions(observation).log_prob(episodes.action.flatten(1, 2))
        if not self.frozen:
            self.scales = self.scales.extended(episodes, discount)
        scales = self.scales
        normalized = scales.observation(observation)

        network = critic(self.policies[0])
        parameters = stacked([critic(policy) for policy in self.policies])
        value = batched(network, parameters, normalized).view_as(mask)
        # As Stable-Baselines3 does, the horizon is not taken for an end.
        final = torch.cat([cast(Tensor, p.final_observation) for p in self.waiting], 1)
        after = batched(network, parameters, scales.observation(final))
        after = discount * after * ~episodes.terminated[..., None]
        last = (episodes.length - 1).clamp(min=0)[..., None]
        reward = episodes.reward / torch.sqrt(scales.returns.variance + 1e-8)
        advantage = estimators.generalized_advantages(
            reward.scatter_add(-1, last, after),
            value,
            mask,
            discount,
            self.config.gae_lambda,
        )
        columns = {
            "observations": normalized,
            "actions": episodes.action.flatten(1, 2),
            "values": value.flatten(1),
            "log_probs": old,
            "advantages": advantage.flatten(1),
            "returns": (advantage + value).flatten(1),
        }
        for task, policy in enumerate(self.policies):
            kept = mask[task].flatten() > 0
            self._train(
                policy,
                {name: column[task][kept] for name, column in columns.items()},
                key(self.seed, "tuning", task, self.updates),
            )
        self.updates += 1
        self.actors = self.deployed = Actors(self.policies, scales.observation)

    def _train(
        self, policy: ActorCriticPolicy, columns: dict[str, Tensor], seed: int
    ) -> None:
        """PPO's update of one policy on the steps of its own episodes."""
        steps = len(columns["returns"])
        if steps < 2:
            return  # its simulations blew up: there is nothing to learn from
        learner = self.learner
        buffer = RolloutBuffer(
            steps, policy.observation_space, policy.action_space, device="cpu"
        )
        for name, column in columns.items():
            setattr(buffer, name, column[:, None].numpy())
        buffer.full = True
        learner.policy, learner.rollout_buffer = policy, buffer
        learner.batch_size = math.ceil(steps / self.config.tuning_minibatches)
        # The buffer shuffles by numpy's global generator.
        with seeded(seed), refusing_nan(), torch.enable_grad():
            learner.train()
        learner.logger.name_to_value.clear()

    def _learner(self) -> PPO:
        """PPO without environments: it is given policies and filled buffers."""
        config, policy = self.config, self.policies[0]
        ppo = PPO(
            "MlpPolicy",
            None,
            n_steps=1,
            n_epochs=config.tuning_epochs,
            learning_rate=config.tuning_lr,
            clip_range=config.clip,
            device="cpu",
            _init_setup_model=False,
        )
        ppo.observation_space = policy.observation_space
        ppo.action_space = policy.action_space
        ppo.n_envs = 1
        with seeded(0):  # of a policy that is replaced before anything is learnt
            ppo._setup_model()
        ppo.set_logger(Logger(folder=None, output_formats=[]))
        return ppo
