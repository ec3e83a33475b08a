"""Honest baselines: PPO over the train ranges.

`randomized` is domain randomization: one policy trained on tasks drawn from the train
ranges, deployed as it is. `oracle-in-range` is the same policy with the task in its
observation, and `oracle` trains on held-out ranges as well. None adapts; on the scale
of metarl's scores `randomized` is 0 and an oracle 1.

Observations are normalized by running statistics, which are part of what is learnt
and stand still in evaluation. The step size follows the KL divergence of the update
(Schulman et al., 2017), so that one setting works from a point to a quadruped.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metarl.environment.episodes import TimeStep
from metarl.environment.family import TaskFamily
from metarl.errors import InputError
from metarl.learning.agent import Adaptation, Agent, Metrics, NoAdaptation
from metarl.learning.networks import Parameters
from metarl.learning.normalization import Normalizer
from metarl.learning.on_policy import PPOLearner
from metarl.learning.optimization import load_module, module_tensors
from metarl.learning.ppo import ActorCritic, PPOConfig, layers
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import key
from metarl.tasks.task import Task

HELD_OUT = ("near", "far", "composition", "structure")
"""Splits that only the oracle trains on."""
NEVER_EVALUATED = 1_000_000
"""Evaluations draw the first tasks of a split; the oracle trains on tasks from here."""


class Randomized(Agent):
    """PPO over the train ranges, deployed without adaptation."""

    Config: ClassVar[type] = PPOConfig
    kind: ClassVar[str] = "baseline"
    continues = True
    normalizes = True

    def __init__(self, family: TaskFamily, config: PPOConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        size = family.spec.input_size(self.observes_task)
        action_size = family.spec.action_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(seed, "initial policy") % 2**63)
            self.model = ActorCritic(
                layers((size, *config.hidden, action_size), 0.01, config.activation),
                layers((size, *config.hidden, 1), 1.0, config.activation),
                action_size,
                config.initial_std,
            )
        self.observed = Normalizer(size, floor=0.0, epsilon=1e-8)
        self.learner = PPOLearner(self.model, family, config, self.observes_task)

    def train_step(self, sampler: Sampler) -> Metrics:
        """One rollout of every simulation and one PPO update."""
        rollouts = self.learner.start(sampler, self.pool)
        self.observed.begin(rollouts.observation)
        inputs = []

        def act(time_step: TimeStep) -> Tensor:
            inputs.append(self.observed(time_step.observation))
            return self.model.actions(inputs[-1]).sample(time_step.noise)

        rollout = self.learner.collect(act, sampler)
        metrics = self.learner.update(
            rollout, torch.cat(inputs, 1).transpose(0, 1), self.observed, sampler
        )
        self.observed.update(rollout.observation, torch.ones_like(rollout.reward))
        return metrics

    def pool(self, sampler: Sampler) -> list[Task]:
        """The tasks that it trains on."""
        return sampler.tasks_from(0, self.config.pool)

    def adaptation(self, tasks: int) -> Adaptation:
        """No adaptation: the same policy at any budget."""
        return NoAdaptation(self.snapshot())

    def act(self, time_step: TimeStep) -> Tensor:
        """The policy's mean action for normalized observations."""
        mean: Tensor = self.model.actor(self.observed(time_step.observation))
        return mean

    def from_earlier(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Policies that were trained by Stable-Baselines3 are read."""
        return from_stable_baselines3(tensors, len(self.config.hidden))

    def policy_parameters(self) -> tuple[Parameters, Normalizer]:
        """The policy as gradient-based and evolutionary agents have theirs."""
        if self.config.activation != "tanh" and self.config.hidden:
            raise InputError(
                f"The policy of this {self.name} has ELU between its layers. Train one "
                "to start from with --agent.activation tanh."
            )
        given: Parameters = {"log_std": self.model.log_std}
        parts = self.model.actor.children()
        linear = [part for part in parts if isinstance(part, nn.Linear)]
        for layer, part in enumerate(linear):
            given |= {f"weight{layer}": part.weight.mT, f"bias{layer}": part.bias}
        return given, self.observed

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Policy, statistics, and what training goes on from."""
        tensors, plain = self.learner.state()
        tensors |= module_tensors(self.model, "policy")
        return tensors | self.observed.tensors("statistics/observation"), plain

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over a policy; the simulations are made again when training goes on."""
        load_module(self.model, tensors, "policy")
        self.observed.load(tensors, "statistics/observation")
        self.learner.load_state(tensors, plain)


class OracleInRange(Randomized):
    """The same policy on the same tasks, which it observes: what identifying gains."""

    observes_task = True


class Oracle(OracleInRange):
    """An oracle that covers held-out tasks, too: a bound on every split.

    Half of the tasks that it trains on are held-out ones, though none that an
    evaluation draws. To an oracle of train ranges alone, a dead leg that it never met
    is an input that was always 0: it would be no bound on held-out splits.
    """

    def pool(self, sampler: Sampler) -> list[Task]:
        """Train tasks, and as many of the other splits in turn."""
        held_out = [s for s in self.family.splits if s in HELD_OUT]
        if not held_out:
            return super().pool(sampler)
        half = self.config.pool // 2
        share = -(-half // len(held_out))
        others = [
            task
            for split in held_out
            for task in sampler.drawn_from(split, share, NEVER_EVALUATED)
        ]
        return sampler.tasks_from(0, self.config.pool - half) + others[:half]


def stable_baselines3_names(depth: int) -> dict[str, str]:
    """What Stable-Baselines3's policy calls the weights of ours, in our order.

    Args:
        depth: hidden layers of each network.
    """
    names = {"log_std": "log_std"}
    for ours, hidden, last in (
        ("actor", "mlp_extractor.policy_net", "action_net"),
        ("critic", "mlp_extractor.value_net", "value_net"),
    ):
        for layer in range(depth + 1):
            theirs = f"{hidden}.{2 * layer}" if layer < depth else last
            for part in ("weight", "bias"):
                names[f"{ours}.{2 * layer}.{part}"] = f"{theirs}.{part}"
    return names


def from_stable_baselines3(tensors: dict[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Read a checkpoint of an earlier version, which trained by Stable-Baselines3.

    Args:
        tensors: of any version.
        depth: hidden layers of each network.
    """
    if "policy/action_net.weight" not in tensors:
        return tensors
    renamed = {"running_return": "running", "starts": "first"}
    read = {renamed.get(name, name): tensor for name, tensor in tensors.items()}
    names = stable_baselines3_names(depth)
    for ours, theirs in names.items():
        read[f"policy/{ours}"] = read.pop(f"policy/{theirs}")
    # Their parameters came in another order: hidden layers before last ones.
    last = ("action_net", "value_net")
    order = sorted(names.values(), key=lambda name: name.startswith(last))
    for index, theirs in enumerate(names.values()):
        for entry in ("step", "exp_avg", "exp_avg_sq"):
            if (known := f"adam/{order.index(theirs)}/{entry}") in tensors:
                read[f"adam/{index}/{entry}"] = tensors[known]
    for name in ("statistics/observation", "statistics/return"):
        if f"{name}/var" in read:
            read[f"{name}/square"] = read.pop(f"{name}/var") * read[f"{name}/count"]
    if "first" in read:
        read["first"] = read["first"].bool()
        read["reward"] = torch.zeros_like(read["running"])
    for part in ("mean", "square"):  # of numbers, where ours are vectors of one
        if (known := f"statistics/return/{part}") in read:
            read[known] = read[known].reshape(1)
    return read
