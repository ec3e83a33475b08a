"""Learning by comparison: what the four comparators share.

No gradient adapts these agents. An encoder embeds support episodes; episodes of the
same task shall lie together. A new robot's episodes are compared with those of a bank
of training tasks, and the mean of the bank's prototypes, weighed by the comparison, is
the task embedding on which one policy is conditioned:

    e_j = encoder(episode j)                      mean over steps of (o, a, r, o')
    w_k = softmax of score(support, task k of the bank)
    z   = sum_k w_k c_k                           c_k = mean embedding of task k,
                                                  standardised over the bank
    a   ~ policy(o, z, 1)                         and policy(o, 0, 0) without support

Without support the policy explores with noise that does not shrink: as it grew sure of
itself, so would its episodes grow alike, whatever the task.

The encoder learns from the comparison alone: some episodes of each task of a batch are
the classes, the others are to be assigned to them. The policy learns by PPO. The
comparators differ in score and loss, and in nothing else: see `comparators`.
"""

import abc
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from metarl.agents.support import (
    Conditioned,
    Steps,
    Support,
    likelihood,
    steps_of,
    transitions,
)
from metarl.errors import InputError
from metarl.family import TaskFamily
from metarl.learning.agent import Agent, Metrics, Sampler
from metarl.learning.normalisation import Statistics
from metarl.learning.optimization import adam_tensors, descend, load_adam
from metarl.learning.policies import (
    Parameters,
    gaussian_parameters,
    network,
    network_parameters,
)
from metarl.learning.ppo import clipped_surrogate, gaussian_entropy, minibatches
from metarl.randomness import torch_generator
from metarl.world.environment import sizes
from metarl.world.rollout import Episodes, Percept


@dataclass(frozen=True)
class MetricConfig:
    """Hyper-parameters of the metric-based agents."""

    tasks: int = 20
    """Tasks a meta-iteration."""
    support: int = 4
    """Support episodes of each, half of which are the classes of the comparison."""
    queries: int = 8
    """Episodes of each with the task embedding."""
    explore_std: float = 1.0
    """Standard deviation of actions in support episodes, which does not shrink."""
    bank: int = 300
    """Training tasks that a new robot is compared with: the latest ones."""
    embedding: int = 8
    """Numbers in an embedding."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the hidden layers of encoder and policy."""
    steps: int = 40
    """Steps of an episode that the encoder sees, evenly spaced."""
    encoder_lr: float = 3e-3
    """First step size of the encoder's Adam."""
    encoder_settles: int = 10
    """Meta-iterations after which that has halved; it goes on falling, so that
    embeddings come to rest and the policy can learn what they mean."""
    encoder_updates: int = 60
    """Steps of the encoder a meta-iteration."""
    ways: int = 40
    """Tasks of the bank that each of them tells apart."""
    initial_std: float = 1.0
    """Standard deviation of the first policy's exploration."""
    discount: float = 0.99
    """Discount factor."""
    gae_lambda: float = 0.95
    """Lambda of the generalised advantage estimates."""
    lr: float = 3e-3
    """Step size of the policy's Adam."""
    epochs: int = 5
    """Passes over the steps of an iteration."""
    minibatches: int = 8
    """Minibatches a pass."""
    clip: float = 0.2
    """Clip range of the probability ratio."""
    entropy: float = 0.005
    """Weight of the entropy bonus."""
    max_gradient: float = 1.0
    """A policy gradient longer than this is shortened."""
    deploy: Literal["sample", "mean"] = "mean"
    """Whether the shipped policy explores, as in training, or acts by its mean."""


class Metric(Agent):
    """What the four comparators share. They define `score` and `loss`."""

    Config: ClassVar[type] = MetricConfig

    def __init__(self, family: TaskFamily, config: MetricConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        if config.support < 2:  # a query, and what it is compared with
            raise InputError(f"support={config.support} must be 2 or more.")
        observation_size, action_size = sizes(family)
        size = 2 * observation_size + action_size + 1
        self.parameters = gaussian_parameters(
            observation_size + config.embedding + 1,
            action_size,
            config.hidden,
            torch_generator(seed, "initial policy"),
            config.initial_std,
        )
        generator = torch_generator(seed, "encoder")
        self.encoder = network_parameters((size, *config.hidden), generator)
        self.encoder["head"] = network_parameters(
            (config.hidden[-1], config.embedding), generator
        )["weight0"]
        self.encoder |= self.comparator(generator)
        self.statistics = Statistics.nothing(size)
        shape = (config.bank, config.support, min(config.steps, family.horizon))
        self.bank = Support(torch.zeros(*shape, size), torch.zeros(shape))
        self._fresh_optimizers()

    # -- what the comparators define ------------------------------------------------

    def comparator(self, generator: torch.Generator) -> Parameters:
        """What the comparison itself has to learn, beside the encoder."""
        return {}

    @abc.abstractmethod
    def score(self, parameters: Parameters, new: Tensor, known: Tensor) -> Tensor:
        """Logarithmic weights of known tasks for each new one, (new, known).

        Args:
            parameters: the encoder's and the comparator's.
            new: embedded episodes, (new, episode, embedding).
            known: embedded episodes, (known, episode, embedding).
        """

    def loss(self, parameters: Parameters, queries: Tensor, classes: Tensor) -> Tensor:
        """Loss of assigning query episodes to their own tasks: cross-entropy.

        Args:
            parameters: the encoder's and the comparator's.
            queries: embedded episodes, (task, episode, embedding).
            classes: others of the same tasks in the same order.
        """
        tasks, episodes, _ = queries.shape
        alone = queries.flatten(0, 1)[:, None]
        target = torch.arange(tasks).repeat_interleave(episodes)
        return nn.functional.cross_entropy(
            self.score(parameters, alone, classes), target
        )

    # -- embedding -------------------------------------------------------------------

    def embed(self, parameters: Parameters, support: Support) -> Tensor:
        """Embeddings of episodes, (task, episode, embedding)."""
        told = self.statistics.normalised(support.transition)
        layers = {n: p for n, p in parameters.items() if n[-1].isdigit()}
        hidden = torch.tanh(network(layers, told.float()))
        weight = support.mask[..., None]
        pooled = (hidden * weight).sum(-2) / weight.sum(-2).clamp(min=1)
        return pooled @ parameters["head"]

    @torch.no_grad()
    def task_embedding(self, support: Support) -> Tensor:
        """What the comparison with the bank says of new tasks, (task, embedding).

        In deviations of the bank's prototypes from their mean: the scale of an
        embedding grows as the encoder learns, and the policy shall not notice.
        """
        known = self.embed(self.encoder, self.bank.filled())
        new = self.embed(self.encoder, support)
        weight = torch.softmax(self.score(self.encoder, new, known), -1)
        prototypes = known.mean(1)
        centred = prototypes - prototypes.mean(0)
        scale = centred.square().mean(0).sqrt().clamp(min=1e-6)
        return weight @ (centred / scale)

    def conditioned(self, support: Support | None, tasks: int) -> Conditioned:
        """The policy with what support tells, or without any."""
        if support is None or not self.bank.mask.any():
            empty = torch.zeros(tasks, self.config.embedding)
            return Conditioned(self.parameters, empty, torch.zeros(tasks))
        known = support.mask.flatten(1).any(1).float()  # not if all episodes blew up
        embedding = self.task_embedding(support) * known[:, None]
        return Conditioned(self.parameters, embedding, known)

    def exploring(self, tasks: int) -> Conditioned:
        """The policy without support, with enough noise to find out what there is."""
        std = torch.tensor(self.config.explore_std)
        return replace(self.conditioned(None, tasks), std=std)

    # -- training --------------------------------------------------------------------

    def train_step(self, sampler: Sampler) -> Metrics:
        """Collect without and with the embedding, then learn to compare and to act."""
        config = self.config
        tasks = sampler.tasks(config.tasks)
        unaware = self.exploring(len(tasks))
        before = sampler.collect(tasks, config.support, unaware, "support")
        support = transitions(before, config.steps)
        knows = bool(self.bank.mask.any())  # not in the first iteration
        aware = self.conditioned(support, len(tasks)) if knows else unaware
        aware.std = unaware.std
        after = sampler.collect(tasks, config.queries, aware, "query")
        self._extend_bank(support, sampler.train_tasks)
        generator = torch_generator(self.seed, sampler.iteration, "learning")
        metrics = self._learn_to_compare(generator, sampler.iteration)
        metrics |= self._learn_to_act([(unaware, before), (aware, after)], generator)
        return {
            "return_before": float(before.returns.mean()),
            "return_after": float(after.returns.mean()),
            "std": float(self.parameters["log_std"].detach().exp().mean()),
            **metrics,
        }

    def _extend_bank(self, support: Support, distinct: int) -> None:
        self.statistics = self.statistics.extended(support.transition, support.mask)
        joined = self.bank.joined(support, 0)
        # Tasks come again after so many: none may be in the bank twice.
        latest = slice(-min(self.config.bank, distinct or self.config.bank), None)
        self.bank = Support(joined.transition[latest], joined.mask[latest])

    def _learn_to_compare(self, generator: torch.Generator, time: int = 0) -> Metrics:
        """Assign episodes of the bank to their tasks, a few tasks at a time."""
        config = self.config
        rate = config.encoder_lr / (1 + time / config.encoder_settles)
        self.encoder_optimizer.param_groups[0]["lr"] = rate
        bank = self.bank.filled()
        tasks, episodes = bank.mask.shape[:2]
        loss, matched = torch.zeros(()), torch.zeros(())
        for _ in range(config.encoder_updates if tasks else 0):  # 0 if all blew up
            leaves = {n: p.detach().requires_grad_() for n, p in self.encoder.items()}
            some = torch.randperm(tasks, generator=generator)[: config.ways]
            order = torch.randperm(episodes, generator=generator)
            queries, classes = order.split([episodes // 2, episodes - episodes // 2])
            drawn = Support(bank.transition[some], bank.mask[some])
            embedded = self.embed(leaves, drawn)
            loss = self.loss(leaves, embedded[:, queries], embedded[:, classes])
            gradients = torch.autograd.grad(loss, list(leaves.values()))
            descend(self.encoder_optimizer, gradients)
            with torch.no_grad():
                score = self.score(leaves, embedded[:, queries], embedded[:, classes])
            matched = (score.argmax(-1) == torch.arange(len(some))).double().mean()
        return {"comparison_loss": float(loss.detach()), "matched": float(matched)}

    def _learn_to_act(
        self, rounds: list[tuple[Conditioned, Episodes]], generator: torch.Generator
    ) -> Metrics:
        """PPO on all steps, with the embeddings that they were made with."""
        config = self.config
        std = config.explore_std
        with torch.no_grad():
            parts = [
                steps_of(policy, episodes, config.discount, config.gae_lambda, std)
                for policy, episodes in rounds
            ]
        steps = Steps(*(torch.cat(column) for column in zip(*parts, strict=True)))
        divergence = torch.zeros(())
        for some in minibatches(
            len(steps.told), config.minibatches, config.epochs, generator
        ):
            told, action, advantage, old = (column[some] for column in steps)
            leaves = {
                n: p.detach().requires_grad_() for n, p in self.parameters.items()
            }
            new, log_std = likelihood(leaves, told, action, std)
            log_ratio = new - old
            ones = torch.ones_like(log_ratio)
            gain = clipped_surrogate(log_ratio, advantage, ones, config.clip)
            loss = -gain.mean() - config.entropy * gaussian_entropy(log_std)
            gradients = torch.autograd.grad(loss, list(leaves.values()))
            descend(self.optimizer, gradients, config.max_gradient)
            divergence = (torch.expm1(log_ratio) - log_ratio).mean().detach()
        return {"kl": float(divergence)}

    # -- the contract ------------------------------------------------------------------

    def adaptation(self, tasks: int) -> "Comparing":
        """No support yet."""
        return Comparing(self.copied(), tasks)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Policy, encoder, statistics, bank and both optimisers."""
        return {
            **{f"policy/{n}": p.clone() for n, p in self.parameters.items()},
            **{f"encoder/{n}": p.clone() for n, p in self.encoder.items()},
            **self.statistics.tensors(),
            "bank/transition": self.bank.transition.clone(),
            "bank/mask": self.bank.mask.clone(),
            **adam_tensors(self.optimizer),
            **adam_tensors(self.encoder_optimizer, "encoder_adam"),
        }, {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.parameters = {n: tensors[f"policy/{n}"].clone() for n in self.parameters}
        self.encoder = {n: tensors[f"encoder/{n}"].clone() for n in self.encoder}
        self.statistics = Statistics.of_tensors(tensors)
        self.bank = Support(
            tensors["bank/transition"].clone(), tensors["bank/mask"].clone()
        )
        self._fresh_optimizers()
        load_adam(self.optimizer, tensors)
        load_adam(self.encoder_optimizer, tensors, "encoder_adam")

    def _fresh_optimizers(self) -> None:
        adam = torch.optim.Adam
        self.optimizer = adam(list(self.parameters.values()), self.config.lr)
        self.encoder_optimizer = adam(
            list(self.encoder.values()), self.config.encoder_lr
        )


@dataclass
class Comparing:
    """Adapts by looking up whom a robot resembles."""

    agent: Metric
    tasks: int
    support: Support | None = None
    round: int = 10**9
    """It explores without the embedding, as in training: all at once if need be."""

    def act(self, percept: Percept) -> Tensor:
        """Explore, as the support episodes of the bank were made."""
        return self.agent.exploring(self.tasks).act(percept)

    def absorb(self, episodes: Episodes) -> None:
        """More support."""
        new = transitions(episodes, self.agent.config.steps)
        self.support = new if self.support is None else self.support.joined(new, 1)

    def deployed(self) -> Conditioned:
        """The policy, told whom each robot resembles."""
        policy = self.agent.conditioned(self.support, self.tasks)
        policy.explore = self.agent.config.deploy == "sample"
        return policy
