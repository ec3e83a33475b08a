"""Learning from scratch: PPO of Stable-Baselines3 on the target task alone.

What there is without meta-learning: nothing is trained before, each task has a random
policy of its own, and every few episodes Stable-Baselines3's PPO (its policy, loss and
optimizer) learns from them. All of it costs robot time.

    episodes  ->  PPO update of each task's own policy  ->  episodes  ->  ...

Observations and rewards are scaled by running moments of the task's own episodes.
`finetune` does the same from a policy that was trained before.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from metarl.agents.tuning import PPOAdaptation, PPOAdaptationConfig, new_policy
from metarl.learning.agent import Agent, Metrics
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import key


@dataclass(frozen=True)
class ScratchConfig(PPOAdaptationConfig):
    """Hyper-parameters of learning from scratch."""

    hidden: tuple[int, ...] = (64, 64)
    """Units of the hidden layers of policy and value networks."""
    initial_std: float = 1.0
    """Standard deviation of the first policy's exploration."""


class Scratch(Agent):
    """PPO on each task alone, from random weights."""

    Config: ClassVar[type] = ScratchConfig
    kind: ClassVar[str] = "baseline"
    trains = False
    normalizes = True

    def train_step(self, sampler: Sampler) -> Metrics:
        """Nothing: whatever it learns, it learns on the target task."""
        return {}

    def adaptation(self, tasks: int) -> "PPOAdaptation":
        """A random policy for each task."""
        observation_size, action_size, _ = self.family.spec
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
        return PPOAdaptation(self.config, self.seed, policies)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Nothing."""
        return {}, {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Nothing."""
