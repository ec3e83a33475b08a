"""Adapting what domain randomization found: two baselines without meta-learning.

Both train as `randomized` does, one policy over the train ranges, and know nothing of
adaptation in training. On a new task they go on from its weights:

    finetune          PPO of Stable-Baselines3 on the task's own episodes
    finetune-climb    the batch hill climbing of `hill-climb`, on perturbed weights

They show what meta-training gains: `scratch`, `finetune` and `hill-climb` have the
same adaptation from another start. Observations stay normalized as in training.
"""

import math
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from metarl.agents.baselines import Randomized, stable_baselines3_names
from metarl.agents.es_maml import ESAdaptation
from metarl.agents.hill_climb import climbed, perturbations
from metarl.agents.tuning import (
    PPOAdaptation,
    PPOAdaptationConfig,
    Scales,
    batched,
    new_policy,
    stacked,
)
from metarl.environment.episodes import TimeStep
from metarl.learning.networks import Parameters
from metarl.learning.normalization import Normalizer
from metarl.learning.optimization import flatten
from metarl.learning.ppo import PPOConfig


@dataclass(frozen=True)
class FinetuneConfig(PPOAdaptationConfig, PPOConfig):
    """Hyper-parameters of domain randomization and of PPO on the target task."""

    tuning_std: float = 0.6
    """Least standard deviation with which it explores on a new task. A policy that
    training made sure of itself would find nothing new there."""


class Finetune(Randomized):
    """The randomized policy, tuned to each task by PPO."""

    Config: ClassVar[type] = FinetuneConfig

    def adaptation(self, tasks: int) -> PPOAdaptation:
        """Every task starts from the trained policy and value network."""
        twin = self.snapshot()
        layers = (*self.family.spec[:2], self.config.hidden, self.config.initial_std)
        policies = [new_policy(*layers, seed=0) for _ in range(tasks)]
        weights = twin.model.state_dict()
        names = stable_baselines3_names(len(self.config.hidden))
        for policy in policies:
            policy.load_state_dict({names[n]: t for n, t in weights.items()})
            with torch.no_grad():
                policy.log_std.clamp_(min=math.log(self.config.tuning_std))
        # The value network has learnt returns in these units.
        returns = self.learner.scale.returns
        variance = returns.variance[0].float() if returns.count else torch.ones(())
        scales = Scales(twin.observed, Normalizer.of(torch.zeros(()), variance))
        return PPOAdaptation(self.config, self.seed, policies, scales, deployed=twin)


@dataclass(frozen=True)
class FinetuneClimbConfig(PPOConfig):
    """Hyper-parameters of domain randomization and of hill climbing."""

    trials: int = 5
    """Episodes of an adaptation step: the pivot's, and one of each perturbation."""
    inner_sigma: float = 0.02
    """Standard deviation of the perturbations."""


class FinetuneClimb(Randomized):
    """The randomized policy's weights, moved by hill climbing; it acts by its mean."""

    Config: ClassVar[type] = FinetuneClimbConfig

    def adaptation(self, tasks: int) -> ESAdaptation:
        """Starts from the trained weights for each task."""
        climber = Climber(self)
        return ESAdaptation(climber, climber.start.expand(tasks, -1))


class Climber:
    """Hill climbing on the weights of a policy network, as `ESAdaptation` asks for it.

    Args:
        agent: where it starts; later training is not seen.
    """

    def __init__(self, agent: FinetuneClimb) -> None:
        self.seed = agent.seed
        self.episodes_per_update = int(agent.config.trials)
        self.trained_steps = 2  # as `hill-climb`, although nothing was trained for it
        self.sigma = agent.config.inner_sigma
        self.statistics = deepcopy(agent.observed)
        self.network = deepcopy(agent.model.actor)
        self.weights = stacked([self.network])
        self.start = flatten(self.weights)

    def directions(self, generator: torch.Generator, rows: int) -> Tensor:
        """Perturbations of one step, the first of them none, (rows, round, ...)."""
        return perturbations(rows, self.episodes_per_update, len(self.start), generator)

    def moved(self, pivot: Tensor, directions: Tensor, returns: Tensor) -> Tensor:
        """The best policy of those that were tried; the pivot where it is the best."""
        return climbed(pivot, directions, returns, self.sigma)

    def tried(self, pivot: Tensor, directions: Tensor) -> "VectorActors":
        """The policies of an adaptation step."""
        return self.policy(pivot[:, None] + self.sigma * directions)

    def policy(self, vectors: Tensor) -> "VectorActors":
        """Policies of (task, copy or 1, parameters) vectors."""
        rows = vectors.flatten(0, 1)
        parts = rows.split([p.numel() for p in self.weights.values()], 1)
        parameters = {
            name: part.view(len(rows), *p.shape[1:])
            for part, (name, p) in zip(parts, self.weights.items(), strict=True)
        }
        return VectorActors(self.network, parameters, self.statistics)


@dataclass
class VectorActors:
    """Deterministic policies, one for each task or for each copy."""

    network: nn.Module
    """Gives the structure."""
    parameters: Parameters
    """Each (task, ...) or (task * copy, ...)."""
    statistics: Normalizer

    def act(self, time_step: TimeStep) -> Tensor:
        """Mean actions, (task, copy, action_size)."""
        observation = self.statistics(time_step.observation)
        rows = len(next(iter(self.parameters.values())))
        action = batched(
            self.network,
            self.parameters,
            observation.reshape(rows, -1, observation.shape[-1]),
        )
        return action.view(*observation.shape[:2], -1)
