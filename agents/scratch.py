"""Learning from scratch: PPO of Stable-Baselines3 on the target robot alone.

What there is without meta-learning: nothing is trained before, each robot has a random
policy of its own, and every few episodes Stable-Baselines3's PPO (its policy, loss and
optimiser) learns from them. All that it learns costs robot time.

    episodes  ->  PPO update of each task's own policy  ->  episodes  ->  ...

Observations and rewards are scaled by running moments of the robot's own episodes.
`finetune` does the same from a policy that was trained before.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from metarl.agents.tuning import Tuning, TuningConfig, new_policy
from metarl.learning.agent import Agent, Metrics, Sampler
from metarl.randomness import key
from metarl.world.environment import sizes


@dataclass(frozen=True)
class ScratchConfig(TuningConfig):
    """Hyper-parameters of learning from scratch."""

    hidden: tuple[int, ...] = (64, 64)
    """Units of the hidden layers of policy and value networks."""
    initial_std: float = 1.0
    """Standard deviation of the first policy's exploration."""


class Scratch(Agent):
    """PPO on each robot alone, from random weights."""

    Config: ClassVar[type] = ScratchConfig
    trains = False
    normalises = True

    def train_step(self, sampler: Sampler) -> Metrics:
        """Nothing: whatever it learns, it learns on the target robot."""
        return {}

    def adaptation(self, tasks: int) -> "Tuning":
        """A random policy for each task."""
        observation_size, action_size = sizes(self.family)
        policies = [
            new_policy(
                observation_size,
                action_size,
                self.config.hidden,
                self.config.initial_std,
                key(self.seed, "scratch", task),
            )
            for task in range(tasks)
        ]
        return Tuning(self.config, self.seed, policies)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Nothing."""
        return {}, {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Nothing."""
