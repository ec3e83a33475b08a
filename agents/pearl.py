"""PEARL: soft actor-critic on a latent variable, which is inferred from transitions.

Rakelly et al., "Efficient off-policy meta-reinforcement learning via probabilistic
context variables", ICML 2019. Each transition of a new task is a Gaussian factor of
what is believed of a latent z; their product with the prior is the posterior, in
whatever order the transitions came:

    q(z | c) = N(0, 1) * prod_i N(z; encoder(o_i, a_i, r_i, o'_i))
    a ~ actor(o, z)                  Q_1, Q_2 = critic(o, z, a)         by SAC

    encoder  minimises  critic loss + 0.01 KL(q(z | c) || N(0, 1))

An episode acts on one sample of z: at first of the prior, then of the posterior of all
episodes so far. So it tries a task out that is still possible (Thompson sampling).

Training is off-policy: steps are kept for each of a pool of tasks and learnt from many
times. The context comes from the latest ones, whose policy is that of today, as at
deployment; actor and critic learn from all.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from metarl.environment.episodes import Episodes, TimeStep
from metarl.environment.family import TaskFamily
from metarl.learning import sac
from metarl.learning.adam import Adam
from metarl.learning.agent import Agent, Metrics
from metarl.learning.distributions import Gaussian
from metarl.learning.networks import (
    Learnt,
    Parameters,
    learnt_from,
    leaves,
    named,
    network,
    network_parameters,
)
from metarl.learning.normalization import Normalizer
from metarl.learning.optimization import adam_tensors, descend, load_adam, tensors_of
from metarl.learning.policies import parts
from metarl.learning.replay import Replay, Transitions, transitions
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import Streams, key, mix, torch_generator


@dataclass(frozen=True)
class PEARLConfig:
    """Hyper-parameters of PEARL."""

    pool: int = 100
    """Training tasks, each with a replay buffer: the first ones of the train split."""
    tasks: int = 10
    """Tasks of the pool that a meta-iteration collects episodes of, in turn."""
    prior_episodes: int = 2
    """Episodes of each with z from the prior."""
    posterior_episodes: int = 2
    """Episodes of each with z from the posterior of these."""
    megabytes: int = 64
    """Of all replay buffers, which are part of every checkpoint."""
    latent: int = 5
    """Numbers in z."""
    hidden: tuple[int, ...] = (128, 128)
    """Units of hidden layers of encoder, actor and critic (paper: three of 300)."""
    updates: int = 100
    """Gradient steps a meta-iteration."""
    meta_batch: int = 8
    """Tasks of a gradient step."""
    context: int = 200
    """Transitions of each that z is inferred from, of those added at its last visit."""
    batch: int = 64
    """Transitions of each that actor and critic learn from."""
    kl: float = 0.01
    """Weight of the divergence of the posterior from the prior. Rewards are five times
    as large in the paper, where it is 0.1: a critic's loss is 25 times as large."""
    lr: float = 1e-3
    """Step size of Adam, of all networks."""
    discount: float = 0.99
    """Discount factor."""
    target_rate: float = 0.02
    """How far the target critic moves towards the critic in a gradient step."""
    temperature: float = 0.02
    """First weight of the entropy."""
    learn_temperature: bool = True
    """Adjust it to an entropy of minus the number of actions."""


def posterior(prior: Gaussian, factors: Gaussian, mask: Tensor) -> Gaussian:
    """The product of a prior and of Gaussian factors, normalized: (task, latent).

    The posterior of some transitions is the prior of the next ones.

    Args:
        prior: (task, latent).
        factors: (task, n, latent).
        mask: 1 for factors that count, (task, n).
    """
    before = torch.exp(-2 * prior.log_std)
    precision = torch.exp(-2 * factors.log_std) * mask[..., None]
    total = before + precision.sum(-2)
    mean = (before * prior.mean + (precision * factors.mean).sum(-2)) / total
    return Gaussian(mean, -0.5 * total.log())


def conditioned(observation: Tensor, z: Tensor) -> Tensor:
    """Inputs of actor and critic: (task, n, size) with z, (task, n or 1, latent)."""
    return torch.cat([observation, z.expand(*observation.shape[:2], -1)], -1)


@dataclass
class LatentPolicy:
    """The actor on a latent variable."""

    actor: Parameters
    normalizer: Normalizer
    z: Tensor
    """(task, copy or 1, latent)."""
    explore: bool = True
    """Sample actions; False acts by the mean, squashed."""
    part = parts("z")

    def act(self, time_step: TimeStep) -> Tensor:
        """Actions in (-1, 1), (task, copy, action_size)."""
        inputs = conditioned(self.normalizer(time_step.observation), self.z)
        actions = sac.actor(self.actor, inputs)
        u = actions.sample(time_step.noise) if self.explore else actions.mean
        return torch.tanh(u)


class PEARL(Agent):
    """Infers a latent variable of the task; acts by soft actor-critic on it."""

    Config: ClassVar[type] = PEARLConfig
    kind: ClassVar[str] = "inference"

    def __init__(self, family: TaskFamily, config: PEARLConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        observation_size, action_size, _ = family.spec
        inputs, hidden = observation_size + config.latent, config.hidden
        transition = 2 * observation_size + action_size + 1
        self.learnt: Learnt = {
            "encoder": network_parameters(
                (transition, *hidden, 2 * config.latent),
                torch_generator(seed, "encoder"),
            ),
            "actor": sac.actor_parameters(
                inputs, action_size, hidden, torch_generator(seed, "actor")
            ),
            "critic": sac.critic_parameters(
                inputs, action_size, hidden, torch_generator(seed, "critic")
            ),
            "temperature": {"log": torch.tensor(config.temperature).log()},
        }
        self.target = {n: p.clone() for n, p in self.learnt["critic"].items()}
        self.rewards = Normalizer(1)
        """Statistics of rewards."""
        self.replay = Replay(
            config.pool, (observation_size, action_size), config.megabytes
        )
        self.optimizer = self._adam()

    # -- inferring the task ------------------------------------------------------------

    def prior(self, tasks: int) -> Gaussian:
        """What is believed of unknown tasks: N(0, 1), (task, latent)."""
        zeros = torch.zeros(tasks, self.config.latent)
        return Gaussian(zeros, zeros)

    def scaled(self, reward: Tensor) -> Tensor:
        """Rewards in units of their root mean square in training."""
        if not self.rewards.count:
            return reward
        square = self.rewards.variance + self.rewards.mean.square()
        return reward / square.sqrt().clamp(min=1e-6).float()

    def factors(self, encoder: Parameters, steps: Transitions) -> Gaussian:
        """What each transition says of z, (task, n, latent)."""
        now, then = map(self.normalizer, (steps.observation, steps.following))
        rows = torch.cat([now, steps.action, self.scaled(steps.reward), then], -1)
        mean, spread = network(encoder, rows, torch.relu).chunk(2, -1)
        return Gaussian(mean, 0.5 * softplus(spread).clamp(min=1e-7).log())

    def inferred(self, before: Gaussian, episodes: Episodes) -> Gaussian:
        """What is believed after some more episodes, (task, latent)."""
        steps, mask = transitions(episodes)
        return posterior(before, self.factors(self.learnt["encoder"], steps), mask)

    def exploring(
        self, belief: Gaussian, copies: int, *purpose: int | str
    ) -> LatentPolicy:
        """A policy with a sample of z for each episode, named by its purpose."""
        tasks = torch.arange(len(belief.mean))
        keys = mix(key(self.seed, *purpose), tasks[:, None], torch.arange(copies))
        noise = Streams(keys.reshape(-1), belief.mean).normal(self.config.latent)
        wide = Gaussian(belief.mean[:, None], belief.log_std[:, None])
        z = wide.sample(noise.view(len(tasks), copies, -1))
        return LatentPolicy(self.learnt["actor"], self.normalizer, z)

    # -- training ----------------------------------------------------------------------

    def train_step(self, sampler: Sampler) -> Metrics:
        """Collect with z from prior and posterior, then learn from all that is kept."""
        config, iteration = self.config, sampler.iteration
        distinct = min(config.pool, sampler.train_tasks or config.pool)
        pool = sampler.tasks_from(0, distinct)
        count = min(config.tasks, len(pool))
        some = (iteration * count + torch.arange(count)) % len(pool)
        tasks = [pool[index] for index in some.tolist()]
        belief, rounds = self.prior(count), []
        for name in ("prior", "posterior"):
            copies = getattr(config, f"{name}_episodes")
            policy = self.exploring(belief, copies, iteration, name)
            episodes = sampler.collect(tasks, copies, policy, name)
            belief = self.inferred(belief, episodes)
            rounds.append(episodes)
        for episodes in rounds:
            self.replay.add(some, episodes)
            self.normalizer.update(episodes.observation, episodes.mask)
            self.rewards.update(episodes.reward[..., None], episodes.mask)
        return {
            "return_before": float(rounds[0].returns.mean()),
            "return_after": float(rounds[1].returns.mean()),
            **self.learn(torch_generator(self.seed, iteration, "learning")),
        }

    def learn(self, generator: torch.Generator) -> Metrics:
        """Gradient steps of all networks together, each on a few tasks."""
        config, known = self.config, self.replay.known()
        episodes = config.prior_episodes + config.posterior_episodes
        visit = episodes * self.family.horizon
        losses: dict[str, Tensor] = {}
        for _ in range(config.updates if len(known) else 0):  # 0 if all diverged
            order = torch.randperm(len(known), generator=generator)
            some = known[order[: config.meta_batch]]
            context = self.replay.sample(some, config.context, generator, visit)
            batch = self.replay.sample(some, config.batch, generator)
            learnt = {group: leaves(p) for group, p in self.learnt.items()}
            losses = self.losses(learnt, context, batch, generator)
            gradients = torch.autograd.grad(
                torch.stack(list(losses.values())).sum(),
                list(tensors_of(learnt)),
                allow_unused=True,  # a fixed temperature has none
                materialize_grads=True,
            )
            descend(self.optimizer, gradients)
            critic = self.learnt["critic"]
            self.target = sac.soft_update(self.target, critic, config.target_rate)
        return {
            **{f"{name}_loss": float(loss.detach()) for name, loss in losses.items()},
            "alpha": float(self.learnt["temperature"]["log"].exp()),
        }

    def losses(
        self,
        learnt: Learnt,
        context: Transitions,
        batch: Transitions,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The loss of each part, whose sum has no gradient but their own.

        Args:
            learnt: leaves, in the groups of ``self.learnt``.
            context: of m tasks, what z is inferred from.
            batch: of the same tasks, what actor and critic learn from.
            generator: draws z and actions.
        """
        config = self.config
        prior = self.prior(len(context.reward))
        factors = self.factors(learnt["encoder"], context)
        belief = posterior(prior, factors, torch.ones_like(context.reward[..., 0]))
        noise = torch.randn(belief.mean.shape, generator=generator)
        z = belief.sample(noise)[:, None]
        steps = sac.Steps(
            conditioned(self.normalizer(batch.observation), z).flatten(0, 1),
            batch.action.flatten(0, 1),
            self.scaled(batch.reward).flatten(),
            conditioned(self.normalizer(batch.following), z).flatten(0, 1),
            batch.continues.flatten(),
        )
        losses = sac.losses(learnt, self.target, steps, generator, config.discount)
        if not config.learn_temperature:
            del losses["temperature"]
        return {"kl": config.kl * belief.kl(prior).mean(), **losses}

    # -- the contract ------------------------------------------------------------------

    def adaptation(self, tasks: int) -> "PEARLAdaptation":
        """Nothing is known of the tasks: the prior."""
        return PEARLAdaptation(self.snapshot(), self.prior(tasks))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Networks, Adam, statistics of rewards, and the replay buffers."""
        return {
            **named({**self.learnt, "target": self.target}),
            **adam_tensors(self.optimizer),
            **self.rewards.tensors("rewards"),
            **self.replay.tensors("replay"),
        }, {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.learnt = learnt_from(tensors, {**self.learnt, "target": self.target})
        self.target = self.learnt.pop("target")
        self.optimizer = self._adam()
        load_adam(self.optimizer, tensors)
        self.rewards.load(tensors, "rewards")
        self.replay.load(tensors, "replay")

    def _adam(self) -> Adam:
        return Adam(list(tensors_of(self.learnt)), self.config.lr)


@dataclass
class PEARLAdaptation:
    """Adapts by inference: the belief narrows with every episode."""

    agent: PEARL
    belief: Gaussian
    """Of z, (task, latent)."""
    seen: int = 0
    """Episodes of each task so far."""
    episodes_per_update: int = 1
    trying: LatentPolicy = field(init=False)

    def act(self, time_step: TimeStep) -> Tensor:
        """Act on one sample of z for the whole episode."""
        if time_step.first.all():
            purpose, copies = ("adaptation", self.seen), time_step.first.shape[1]
            self.trying = self.agent.exploring(self.belief, copies, *purpose)
        return self.trying.act(time_step)

    def update(self, episodes: Episodes) -> None:
        """Multiply the belief by the factors of the new transitions."""
        self.belief = self.agent.inferred(self.belief, episodes)
        self.seen += episodes.reward.shape[1]

    def policy(self) -> LatentPolicy:
        """The actor on the mean of what is believed, without noise."""
        agent, z = self.agent, self.belief.mean[:, None]
        return LatentPolicy(agent.learnt["actor"], agent.normalizer, z, explore=False)
