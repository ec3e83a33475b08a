"""VariBAD: a posterior over tasks, inferred by a variational recurrent encoder.

Zintgraf et al., "VariBAD: a very good method for Bayes-adaptive deep RL via
meta-learning", 2020. A task is a latent vector m. A GRU reads the observation, the last
action, the last reward and whether an episode begins, and gives the Gaussian posterior
q_t of m after step t of a trial. A decoder predicts rewards and transitions from m:

    maximize  E  sum over all steps i of the trial, past and future, of
                 log p(reward_i, observation_i+1 | observation_i, action_i, m),  m ~ q_t
              -  weight KL(q_t || q_t-1)                with the prior N(0, 1) as q_-1

The policy and its critic read mean and log-variance of the posterior beside the inputs
of a step. PPO trains them on trials of several episodes as in `rl2`. Its gradient does
not enter the encoder, which has an optimizer of its own: what can be predicted shapes
the posterior, and exploring can depend on what is still unknown. The posterior is
carried over the episodes of a trial. Adapting is nothing but acting.

The encoder learns from the newest trials alone, where the paper keeps earlier ones. The
steps that are encoded and those that are decoded are drawn at random, and gradients
flow back through ``unroll`` steps; what the posterior was before them is given.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metarl.agents.rl2 import RL2, RL2Config
from metarl.environment.family import TaskFamily
from metarl.learning import recurrent
from metarl.learning.adam import Adam
from metarl.learning.agent import Metrics
from metarl.learning.distributions import Gaussian
from metarl.learning.normalization import Normalizer
from metarl.learning.optimization import adam_tensors, descend, load_adam
from metarl.learning.ppo import layers, minibatches
from metarl.learning.recurrent_policy import Memory, State, Trial, input_size
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import torch_generator

MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -8.0, 2.0
"""Bounds of the posterior's log-variance: a latent known to 0.02 is known."""


@dataclass(frozen=True)
class VariBADConfig(RL2Config):
    """Hyper-parameters of VariBAD; what is not here is as in RL2."""

    tasks: int = 40
    """Tasks a meta-iteration."""
    episodes: int = 2
    """Episodes a trial."""
    latent: int = 5
    """Numbers in the latent vector of a task."""
    unroll: int = 64
    """Control steps that the encoder's gradients flow back through at most."""
    lr: float = 1e-3
    """Step size of the policy's Adam."""
    epochs: int = 4
    """Passes of PPO over the trials of an iteration."""
    decoder_hidden: tuple[int, ...] = (64, 64)
    """Units of the hidden layers of the decoder."""
    vae_lr: float = 1e-3
    """Step size of the Adam of encoder and decoder."""
    vae_epochs: int = 2
    """Their passes over the trials of an iteration."""
    vae_minibatches: int = 16
    """Minibatches a pass, of whole pieces of trials."""
    encoded: int = 4
    """Steps of a piece whose posteriors are decoded."""
    decoded: int = 32
    """Steps of its trial that each of them predicts."""
    kl_weight: float = 1.0
    """Weight of the KL divergence in the ELBO."""


def belief(posterior: Tensor) -> Gaussian:
    """The distribution of mean and log-variance, (..., 2 * latent)."""
    mean, log_variance = posterior.chunk(2, -1)
    return Gaussian(mean, 0.5 * log_variance)


class Decoder(nn.Module):
    """Predicts the outcome of a step: change of the observation, and reward.

    Args:
        latent: numbers in the latent vector.
        observation_size: numbers in an observation.
        action_size: action components.
        hidden: units of its hidden layers.
    """

    def __init__(
        self,
        latent: int,
        observation_size: int,
        action_size: int,
        hidden: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.of_latent = nn.Linear(latent, hidden[0])
        self.of_step = nn.Linear(observation_size + action_size, hidden[0], bias=False)
        sizes = (*hidden, observation_size + 1)
        self.rest = nn.Sequential(nn.ELU(), layers(sizes, last_gain=0.01))

    def forward(self, latent: Tensor, step: Tensor) -> Tensor:
        """Outcomes of each step under each latent vector.

        Args:
            latent: (n, k, latent).
            step: normalized observation and action, (n, time, size).

        Returns:
            (n, k, time, observation_size + 1), in standard deviations.
        """
        first = self.of_latent(latent)[:, :, None] + self.of_step(step)[:, None]
        outcome: Tensor = self.rest(first)
        return outcome


class VariationalMemory(Memory):
    """A recurrent encoder, whose features are the posterior, and its decoder.

    Its state is the GRU's hidden state and the posterior. That of a trial's start is
    the prior: mean 0 and log-variance 0.

    Args:
        observation_size: numbers in an observation.
        action_size: action components.
        config: sizes.
    """

    def __init__(
        self, observation_size: int, action_size: int, config: VariBADConfig
    ) -> None:
        super().__init__()
        self.units, self.observation_size = config.units, observation_size
        self.input_size = input_size(observation_size, action_size)
        self.output_size = 2 * config.latent
        self.gru = recurrent.GRU(self.input_size, config.units)
        self.posterior = layers((config.units, self.output_size), last_gain=1.0)
        self.decoder = Decoder(
            config.latent, observation_size, action_size, config.decoder_hidden
        )
        self.outcomes = Normalizer(observation_size + 1, floor=1e-3)

    def initial(self, n: int) -> State:
        """No step read, and the prior."""
        return torch.zeros(n, self.units), torch.zeros(n, self.output_size)

    @torch.no_grad()
    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Posteriors as the policy reads them: its gradient ends here."""
        return self.encode(inputs, state)

    def encode(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Posteriors after each step, (n, time, 2 * latent), differentiable."""
        hidden, last = self.gru(inputs, state[0])
        found = self.bounded(hidden)
        return found, (last, found[:, -1])

    @torch.no_grad()
    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """The posterior after one step."""
        hidden = self.gru.step(inputs, state[0])
        found = self.bounded(hidden)
        return found, (hidden, found)

    def bounded(self, hidden: Tensor) -> Tensor:
        """Mean and log-variance of hidden states."""
        mean, log_variance = self.posterior(hidden).chunk(2, -1)
        bounded = log_variance.clamp(MIN_LOG_VARIANCE, MAX_LOG_VARIANCE)
        return torch.cat([mean, bounded], -1)

    def examples(self, trial: Trial) -> "Examples":
        """What there is to predict in trials; its scale is that of the trials so far.

        The observation after an episode's last step is not known to a trial.
        """
        observation = trial.inputs[..., : self.observation_size]
        change = torch.zeros_like(observation)
        change[:, :-1] = observation.diff(dim=1)
        goes_on = torch.zeros_like(trial.mask)
        first = trial.inputs[:, 1:, -1]
        goes_on[:, :-1] = trial.mask[:, :-1] * trial.mask[:, 1:] * (1 - first)
        outcome = torch.cat([change, trial.reward[..., None]], -1)
        self.outcomes.update(outcome, goes_on)
        known = goes_on[..., None].expand_as(change)
        return Examples(
            torch.cat([observation, trial.action.clamp(-1, 1)], -1),
            self.outcomes(outcome),
            torch.cat([known, trial.mask[..., None]], -1),
        )


@dataclass
class Examples:
    """Steps of n trials and what came of them, each (n, time, ...)."""

    step: Tensor
    """Observation and action."""
    outcome: Tensor
    """Change of the observation, and reward, in standard deviations."""
    known: Tensor
    """1 where a number of the outcome counts, of the same shape."""

    def select(self, trials: Tensor, times: Tensor) -> "Examples":
        """Some of the trials at some times."""
        index = trials[:, None], times
        return Examples(self.step[index], self.outcome[index], self.known[index])


def reconstruction(predicted: Tensor, examples: Examples) -> Tensor:
    """Negative log-likelihood of outcomes with unit variance, but for a constant.

    Args:
        predicted: under each latent vector, (n, k, time, size).
        examples: n trials.

    Returns:
        Mean over the steps of the sum over what is known of each, (n, k).
    """
    error = (predicted - examples.outcome[:, None]).square() * examples.known[:, None]
    return 0.5 * error.sum(-1).mean(-1)


def divergence(posterior: Tensor, start: Tensor) -> Tensor:
    """KL of each posterior to the one of the step before, (n, time).

    Args:
        posterior: (n, time, 2 * latent).
        start: before the first step, (n, 2 * latent).
    """
    before = torch.cat([start[:, None], posterior[:, :-1]], 1)
    return belief(posterior).kl(belief(before))


class VariBAD(RL2):
    """Acts on a posterior over tasks, which rewards and transitions shape."""

    Config: ClassVar[type] = VariBADConfig
    earlier_settings: ClassVar = {}

    def __init__(self, family: TaskFamily, config: VariBADConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        assert isinstance(self.network.memory, VariationalMemory)
        self.vae = self.network.memory
        own = {id(p) for p in self.vae.parameters()}
        self.parameters = [p for p in self.parameters if id(p) not in own]
        self.optimizer = self._adam()
        self.vae_optimizer = self._vae_adam()

    def memory(self, inputs: int) -> Memory:
        """The encoder, with its decoder."""
        observation_size, action_size, _ = self.family.spec
        return VariationalMemory(observation_size, action_size, self.config)

    def improve(self, trial: Trial, tasks: int, sampler: Sampler) -> Metrics:
        """PPO's update of policy and critic, then that of encoder and decoder.

        The posterior stands still while PPO learns, so that its ratios begin at 1.
        """
        metrics = super().improve(trial, tasks, sampler)
        config = self.config
        _, starts = self.network.replay(trial.inputs, config.unroll)
        pieces, examples = trial.pieces(starts), self.vae.examples(trial)
        generator = torch_generator(self.seed, sampler.iteration, "posterior")
        losses: list[Metrics] = []
        for some in minibatches(
            len(pieces.mask), config.vae_minibatches, config.vae_epochs, generator
        ):
            loss, parts = self.negative_elbo(
                pieces.select(some), examples, some // len(starts), generator
            )
            gradients = torch.autograd.grad(loss, list(self.vae.parameters()))
            descend(self.vae_optimizer, gradients, config.max_gradient)
            losses.append(parts)
        return metrics | {
            name: sum(parts[name] for parts in losses) / len(losses)
            for name in losses[0]
        }

    def negative_elbo(
        self,
        piece: Trial,
        examples: Examples,
        trials: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Metrics]:
        """Minus the ELBO of pieces of trials, divided by the steps of a trial.

        Args:
            piece: n pieces of trials.
            examples: of all trials.
            trials: which trial each piece is of, (n,).
            generator: draws times and samples of the posterior.
        """
        config, time = self.config, examples.step.shape[1]
        posterior, _ = self.vae.encode(piece.inputs, piece.start)

        def drawn(steps: int, count: int) -> Tensor:
            return torch.randperm(steps, generator=generator)[:count]

        at = drawn(posterior.shape[1], config.encoded)
        seen = examples.select(trials, drawn(time, config.decoded))
        chosen = posterior[:, at]
        noise = torch.randn(*chosen.shape[:2], config.latent, generator=generator)
        latent = belief(chosen).sample(noise)
        error = reconstruction(self.vae.decoder(latent, seen.step), seen)
        error = mean_where(error, piece.mask[:, at])
        kl = mean_where(divergence(posterior, piece.start[1]), piece.mask)
        with torch.no_grad():
            variance = 2 * belief(posterior).log_std
            metrics = {
                "reconstruction": float(error),
                "posterior_kl": float(kl),
                "posterior_variance": float(
                    mean_where(variance.exp().mean(-1), piece.mask)
                ),
            }
        return error + config.kl_weight * kl / time, metrics

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights and statistics of all networks, and both Adams."""
        tensors, plain = super().state()
        return tensors | adam_tensors(self.vae_optimizer, "vae_adam"), plain

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        super().load_state(tensors, plain)
        self.vae_optimizer = self._vae_adam()
        load_adam(self.vae_optimizer, tensors, "vae_adam")

    def _vae_adam(self) -> Adam:
        return Adam(self.vae.parameters(), lr=self.config.vae_lr)


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values that count, of the mask's shape; 0 if none does."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
