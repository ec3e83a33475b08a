"""ES-MAML: evolution strategies through an adaptation operator, without gradients.

Song et al., "ES-MAML: simple Hessian-free meta learning", 2020. What is learnt is a
start theta from which an operator U adapts to a task by trying out perturbed policies:

    U(theta, i)  = theta + inner_lr * ES gradient of the return on task i, from episodes
    theta        = theta + lr * mean_j [F(theta + sigma g_j) - F(theta - sigma g_j)] g_j
                   with F(phi) = return of U(phi, i) on task i

Both gradients are antithetic. The two of a pair meet the same task, the same initial
states and the same inner perturbations (common random numbers), so that their
difference is due to g alone. Returns are standardized before they weigh anything, and
observations are normalized by statistics that belong to the start: adaptation does not
change them. All perturbations of all tasks run in one batch of simulations.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from metarl.environment.episodes import (
    Episodes,
    Policy,
    TimeStep,
    returns_with_diverged_as_worst,
)
from metarl.environment.family import TaskFamily
from metarl.errors import InputError
from metarl.learning.adam import Adam
from metarl.learning.agent import Agent, Metrics
from metarl.learning.networks import network, network_parameters
from metarl.learning.normalization import Normalizer
from metarl.learning.optimization import adam_tensors, descend, load_adam
from metarl.learning.policies import parts
from metarl.learning.sampler import Sampler
from metarl.learning.warm_start import take_policy
from metarl.tasks.randomness import torch_generator


@dataclass(frozen=True)
class ESMAMLConfig:
    """Hyper-parameters of evolutionary meta-learning."""

    pairs: int = 20
    """Antithetic pairs of perturbed starts a meta-iteration, each with its own task."""
    inner_steps: int = 1
    """Adaptation steps in training."""
    trials: int = 10
    """Episodes of an adaptation step, each of another perturbation; even."""
    queries: int = 2
    """Episodes that evaluate an adapted policy in training."""
    sigma: float = 0.1
    """Standard deviation of the outer perturbations."""
    inner_sigma: float = 0.1
    """Standard deviation of the perturbations that adapt."""
    inner_lr: float = 0.05
    """Step size of the ES gradient that adapts."""
    lr: float = 0.05
    """Step size of the outer Adam."""
    hidden: tuple[int, ...] = ()
    """Units of the policy's hidden layers; none is a linear policy."""
    squash: bool = True
    """Actions are the tanh of the network's output; without, they are clipped."""


@dataclass
class VectorPolicy:
    """Deterministic policies, one for each task or for each copy, given as vectors."""

    vectors: Tensor
    """(task, copy or 1, parameters)."""
    shapes: dict[str, torch.Size]
    """Of the network's tensors, in the vector's order."""
    normalizer: Normalizer
    squash: bool = True
    """Whether actions are the tanh of the network's output."""
    part = parts("vectors")

    def act(self, time_step: TimeStep) -> Tensor:
        """Actions, (task, copy, action_size)."""
        lead = self.vectors.shape[:-1]
        parts = self.vectors.split([s.numel() for s in self.shapes.values()], -1)
        parameters = {
            name: part.view(*lead, *shape)
            for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)
        }
        observation = self.normalizer(time_step.observation)
        action = network(parameters, observation[..., None, :]).squeeze(-2)
        return torch.tanh(action) if self.squash else action


class ESMAML(Agent):
    """Learns a start from which an evolution strategy adapts fast."""

    Config: ClassVar[type] = ESMAMLConfig
    kind: ClassVar[str] = "evolutionary"
    normalizes = True

    def __init__(self, family: TaskFamily, config: ESMAMLConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        observation_size, action_size, _ = family.spec
        layers = (observation_size, *config.hidden, action_size)
        generator = torch_generator(seed, "initial policy")
        parameters = network_parameters(layers, generator, last_scale=0.1)
        self.shapes = {name: p.shape for name, p in parameters.items()}
        self.start = torch.cat([p.reshape(-1) for p in parameters.values()])
        self.statistics = Normalizer(observation_size)
        self.optimizer = self._adam()

    def warm_start(self, source: Agent) -> None:
        """Begin from the mean actions of `randomized`, which no tanh bounds.

        Raises:
            InputError: if it cannot.
        """
        if self.config.squash:
            raise InputError("To start from another run, pass --agent.no-squash.")
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = zip(self.shapes.items(), self.start.split(sizes), strict=True)
        start = {name: part.view(shape) for (name, shape), part in parts}
        take_policy(self, source, start, self.statistics)

    # -- the adaptation operator: what HillClimb replaces --------------------------

    @property
    def episodes_per_update(self) -> int:
        """Episodes of an adaptation step."""
        return int(self.config.trials)

    @property
    def trained_steps(self) -> int:
        """Adaptation steps in training; later perturbations are smaller."""
        return int(self.config.inner_steps)

    def directions(self, generator: torch.Generator, rows: int) -> Tensor:
        """Perturbations of one adaptation step, (rows, round, parameters).

        Each is followed by its negative.
        """
        half = math.ceil(self.episodes_per_update / 2)
        g = torch.randn(rows, half, len(self.start), generator=generator)
        return torch.stack([g, -g], 2).flatten(1, 2)[:, : self.episodes_per_update]

    def moved(self, pivot: Tensor, directions: Tensor, returns: Tensor) -> Tensor:
        """One adaptation step, of a whole round of episodes or of its beginning.

        Args:
            pivot: adapted so far, (rows, parameters).
            directions: what was tried, (rows, k, parameters).
            returns: of the episodes, (rows, k).
        """
        if returns.shape[1] < 2:
            return pivot  # one return is neither high nor low
        weight = standardized(returns)
        step = (weight[..., None] * directions).mean(1) / self.config.inner_sigma
        # The beginning of a round says less, and moves less.
        share = returns.shape[1] / self.episodes_per_update
        return pivot + share * self.config.inner_lr * step

    # -- what all evolutionary agents share -----------------------------------------

    def tried(self, pivot: Tensor, directions: Tensor) -> VectorPolicy:
        """The policies of an adaptation step."""
        vectors = pivot[:, None] + self.config.inner_sigma * directions
        return self.policy(vectors)

    def policy(self, vectors: Tensor) -> VectorPolicy:
        """Policies of (task, copy or 1, parameters) vectors."""
        normalizer, squash = self.statistics, self.config.squash
        return VectorPolicy(vectors, self.shapes, normalizer, squash)

    def train_step(self, sampler: Sampler) -> Metrics:
        """Perturb, adapt and evaluate all pairs, then one step of the start."""
        config = self.config
        tasks = [t for t in sampler.tasks(config.pairs) for _ in range(2)]
        pair = torch.arange(config.pairs).repeat_interleave(2)
        generator = torch_generator(self.seed, sampler.iteration, "perturbations")
        g = torch.randn(config.pairs, len(self.start), generator=generator)
        signs = torch.tensor([1.0, -1.0])
        pivot = self.start + config.sigma * (g[:, None] * signs[:, None]).flatten(0, 1)
        online = []
        for step in range(config.inner_steps):
            directions = self.directions(generator, config.pairs)[pair]
            policy = self.tried(pivot, directions)
            episodes = sampler.collect(
                tasks, self.episodes_per_update, policy, f"step {step}", pair
            )
            online.append(
                returns_with_diverged_as_worst(episodes.returns, episodes.diverged)
            )
            pivot = self.moved(pivot, directions, online[-1])
        query = sampler.collect(
            tasks, config.queries, self.policy(pivot[:, None]), "query", pair
        )
        fitness = returns_with_diverged_as_worst(
            query.returns, query.diverged, across_tasks=True
        ).mean(1)
        gradient = es_gradient(fitness, g, config.sigma)
        norm = descend(self.optimizer, [-gradient])
        self.statistics.update(query.observation, query.mask)
        return {
            "return_before": float(online[0].mean()),
            "return_after": float(fitness.mean()),
            "gradient": norm,
        }

    def adaptation(self, tasks: int) -> "ESAdaptation":
        """Starts from the learnt vector for each task."""
        twin = self.snapshot()  # training may go on beside it
        return ESAdaptation(twin, twin.start.expand(tasks, -1))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The start, its observation statistics, and Adam."""
        return {
            "start": self.start.clone(),
            **self.statistics.tensors("statistics"),
            **adam_tensors(self.optimizer),
        }, {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.start = tensors["start"].clone()
        self.statistics.load(tensors, "statistics")
        self.optimizer = self._adam()
        load_adam(self.optimizer, tensors)

    def _adam(self) -> Adam:
        return Adam([self.start], lr=self.config.lr)


def standardized(returns: Tensor) -> Tensor:
    """Returns with mean 0 and deviation 1 over the last axis; 0 where all are equal."""
    centred = returns - returns.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True).sqrt() + 1e-8)


def es_gradient(fitness: Tensor, g: Tensor, sigma: float) -> Tensor:
    """Antithetic estimate of the gradient of the fitness, in its standard deviations.

    Args:
        fitness: of start + sigma g and start - sigma g in turn, (2 * pairs,).
        g: perturbations, (pairs, parameters).
        sigma: their standard deviation.
    """
    weight = standardized(fitness).unflatten(0, (-1, 2))
    difference = (weight[:, 0] - weight[:, 1]) / (2 * sigma)
    return (difference[:, None] * g).mean(0)


class Operator(Protocol):
    """What `ESAdaptation` asks of an agent; `ESMAML` says what each is."""

    seed: int

    @property
    def episodes_per_update(self) -> int:
        """See `ESMAML.episodes_per_update`."""
        ...

    @property
    def trained_steps(self) -> int:
        """See `ESMAML.trained_steps`."""
        ...

    def directions(self, generator: torch.Generator, rows: int) -> Tensor:
        """See `ESMAML.directions`."""
        ...

    def moved(self, pivot: Tensor, directions: Tensor, returns: Tensor) -> Tensor:
        """See `ESMAML.moved`."""
        ...

    def tried(self, pivot: Tensor, directions: Tensor) -> Any:
        """See `ESMAML.tried`."""
        ...

    def policy(self, vectors: Tensor) -> Any:
        """See `ESMAML.policy`."""
        ...


class ESAdaptation:
    """Adapts by trying out perturbed policies, one each episode.

    After as many steps as in training, perturbations shrink with the root of the
    steps. Where little is left to gain, the noise of returns would go on to move the
    pivot by whole steps: on half-cheetah, 50 episodes then made it worse by a fifth.

    Args:
        agent: gives the operator.
        pivot: the start of each task, (tasks, parameters).
    """

    def __init__(self, agent: Operator, pivot: Tensor) -> None:
        self.agent = agent
        self.pivot = pivot
        self.steps = itertools.count()
        self.returns: Tensor
        self.diverged: Tensor
        self._begin()

    @property
    def episodes_per_update(self) -> int:
        """Episodes that are left of the present step."""
        return self.agent.episodes_per_update - self.returns.shape[1]

    def act(self, time_step: TimeStep) -> Tensor:
        """Actions of the perturbed policies whose turn it is."""
        tried = self.returns.shape[1]
        turn = self.directions[:, tried : tried + time_step.reward.shape[1]]
        actions: Tensor = self.agent.tried(self.pivot, turn).act(time_step)
        return actions

    def update(self, episodes: Episodes) -> None:
        """Note the returns; with a whole round of them, move the pivot."""
        self.returns = torch.cat([self.returns, episodes.returns], 1)
        self.diverged = torch.cat([self.diverged, episodes.diverged], 1)
        if self.episodes_per_update == 0:
            self.pivot = self._moved()
            self._begin()

    def policy(self) -> Policy:
        """The pivot, moved by what is known so far of the present step."""
        deployed: Policy = self.agent.policy(self._moved()[:, None])
        return deployed

    def _begin(self) -> None:
        rows = len(self.pivot)
        step = next(self.steps)
        generator = torch_generator(self.agent.seed, "adaptation", step)
        size = math.sqrt(min(1.0, self.agent.trained_steps / (step + 1)))
        self.directions = size * self.agent.directions(generator, rows)
        self.returns = torch.zeros(rows, 0)
        self.diverged = torch.zeros(rows, 0, dtype=torch.bool)

    def _moved(self) -> Tensor:
        tried = self.returns.shape[1]
        if tried == 0:
            return self.pivot
        # All of a step together, in whatever parts they came: alone, one that blew up
        # would be its own worst.
        returns = returns_with_diverged_as_worst(self.returns, self.diverged)
        return self.agent.moved(self.pivot, self.directions[:, :tried], returns)
