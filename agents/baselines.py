"""Honest baselines: PPO of Stable-Baselines3 over the train ranges.

`randomized` is domain randomization: one policy trained on tasks drawn from the train
ranges, deployed as it is. `oracle-in-range` is the same policy with the task in its
observation, and `oracle` trains on held-out ranges as well. None adapts; on the scale
of metarl's scores `randomized` is 0 and `oracle` 1.

Observations are normalized by running statistics, which are part of what is learnt
and stand still in evaluation. The step size follows the KL divergence of the update
(Schulman et al., 2017), so that one setting works from a point to a quadruped.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from metarl.environment.collect import one_torch_thread
from metarl.environment.environment import Environment
from metarl.environment.episodes import TimeStep
from metarl.environment.family import TaskFamily
from metarl.environment.gymnasium import action_space, observation_space
from metarl.environment.sb3 import StableBaselinesEnv
from metarl.errors import RunError
from metarl.learning.agent import Adaptation, Agent, Metrics, NoAdaptation
from metarl.learning.normalization import Normalizer
from metarl.learning.optimization import adam_tensors, load_adam
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import Streams, key, mix
from metarl.tasks.task import Task

HELD_OUT = ("near", "far", "composition", "structure")
"""Splits that only the oracle trains on."""
NEVER_EVALUATED = 1_000_000
"""Evaluations draw the first tasks of a split; the oracle trains on tasks from here."""
KL_BAND = 2.0
"""The step size changes where the divergence leaves target / 2 to target * 2."""


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters of the PPO baselines."""

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


class Randomized(Agent):
    """PPO over the train ranges, deployed without adaptation."""

    Config: ClassVar[type] = PPOConfig
    kind: ClassVar[str] = "baseline"
    normalizes = True

    def __init__(self, family: TaskFamily, config: PPOConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        observation_size = family.spec.input_size(self.observes_task)
        action_size = family.spec.action_size
        self.learning_rate = config.learning_rate
        self.running = RunningMeanStd(shape=(observation_size,))
        self._ppo: PPO | None = None
        self._callback: Any = None
        self._return = float("nan")
        self._awaiting: tuple[dict[str, Tensor], dict[str, Any]] | None = None
        with seeded(key(seed, "initial policy")):
            self.policy = ActorCriticPolicy(
                observation_space(observation_size),
                action_space(action_size),
                lambda _: config.learning_rate,
                **architecture(config.hidden, config.initial_std),
            )

    def train_step(self, sampler: Sampler) -> Metrics:
        """One rollout of every simulation and one PPO update."""
        ppo = self._ppo or self._start(sampler)
        envs: StableBaselinesEnv = ppo.env.unwrapped
        began = time.perf_counter()
        # Stable-Baselines3 draws from torch's and numpy's global generators.
        with seeded(key(sampler.seed, sampler.iteration, "ppo")), refusing_nan():
            with one_torch_thread():
                ppo.collect_rollouts(
                    ppo.env, self._callback, ppo.rollout_buffer, self.config.rollout
                )
            steps = self.config.rollout * self.config.simulations
            sampler.count(steps, time.perf_counter() - began, envs.diverged)
            envs.diverged = 0
            ppo.train()
        losses = dict(ppo.logger.name_to_value)
        ppo.logger.name_to_value.clear()
        kl = float(losses["train/approx_kl"])
        self._follow(kl)
        if envs.finished:
            self._return = float(np.mean(envs.finished))
            envs.finished.clear()
        return {
            "return": self._return,
            "kl": kl,
            "learning_rate": self.learning_rate,
            "std": float(losses["train/std"]),
            "explained_variance": float(losses["train/explained_variance"]),
        }

    def _follow(self, kl: float) -> None:
        """Change the step size where the update was too large or too small."""
        if kl > KL_BAND * self.config.target_kl:
            self.learning_rate = max(self.learning_rate / 1.5, 1e-5)
        elif kl < self.config.target_kl / KL_BAND:
            self.learning_rate = min(self.learning_rate * 1.5, 1e-2)

    def _start(self, sampler: Sampler) -> PPO:
        """Make environment and learner, or make them again in a resumed run."""
        config = self.config
        environment = Environment(
            self.family,
            sampler.tasks_from(0, config.simulations),
            seed=key(sampler.seed, "robots"),
            observe_task=self.observes_task,
            resample=self.pool(sampler),
        )
        normalized = VecNormalize(
            StableBaselinesEnv(environment), gamma=config.discount
        )
        normalized.obs_rms = self.running
        size = config.rollout * config.simulations
        ppo = PPO(
            "MlpPolicy",
            normalized,
            n_steps=config.rollout,
            batch_size=size // config.minibatches,
            n_epochs=config.epochs,
            gamma=config.discount,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip,
            ent_coef=config.entropy,
            policy_kwargs=architecture(config.hidden, config.initial_std),
            learning_rate=config.learning_rate,
            device="cpu",
        )
        ppo.set_logger(Logger(folder=None, output_formats=[]))
        ppo.policy.load_state_dict(self.policy.state_dict())
        self.policy = ppo.policy
        _, self._callback = ppo._setup_learn(10**12)
        # Episodes of one length would otherwise run in step for ever, and each rollout
        # would show one part of them alone.
        environment.elapsed.copy_(
            Streams(
                mix(key(sampler.seed, "phase"), torch.arange(environment.n))
            ).integers(self.family.horizon)
        )
        ppo.lr_schedule = lambda _: self.learning_rate
        if self._awaiting is not None:
            self._restore(ppo, *self._awaiting)
            self._awaiting = None
        self._ppo = ppo
        return ppo

    def pool(self, sampler: Sampler) -> list[Task]:
        """The tasks that it trains on."""
        return sampler.tasks_from(0, self.config.pool)

    def adaptation(self, tasks: int) -> Adaptation:
        """No adaptation: the same policy at any budget."""
        return NoAdaptation(self.snapshot())

    def act(self, time_step: TimeStep) -> Tensor:
        """The policy's mean action for normalized observations."""
        flat = self.observation_normalizer()(time_step.observation).flatten(0, 1)
        action = self.policy.get_distribution(flat).mode()
        return action.unflatten(0, time_step.observation.shape[:2])

    def observation_normalizer(self) -> Normalizer:
        """What observations are normalized by: VecNormalize's statistics."""
        mean, variance = (
            torch.as_tensor(part, dtype=torch.float32)
            for part in (self.running.mean, self.running.var)
        )
        return Normalizer.of(mean, variance)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Policy, statistics, and what training goes on from: Adam, simulations."""
        if self._awaiting is not None:
            return self._awaiting
        weights = self.policy.state_dict().items()
        tensors = {f"policy/{n}": t.clone() for n, t in weights}
        tensors |= _statistics("observation", self.running)
        plain: dict[str, Any] = {"learning_rate": self.learning_rate}
        if self._ppo is None:
            return tensors, plain
        normalized: VecNormalize = self._ppo.env
        envs: StableBaselinesEnv = normalized.unwrapped
        world, plain["robots"] = envs.environment.state()
        tensors |= {f"robots/{n}": t for n, t in world.items()}
        tensors |= _statistics("return", normalized.ret_rms)
        tensors["discounted_return"] = torch.from_numpy(normalized.returns.copy())
        tensors["running_return"] = envs.running.clone()
        tensors["starts"] = torch.from_numpy(self._ppo._last_episode_starts.copy())
        tensors |= adam_tensors(self.policy.optimizer)
        plain["return"] = self._return
        return tensors, plain

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over a policy; the simulations are made again when training goes on."""
        weights = {
            name.removeprefix("policy/"): tensor
            for name, tensor in tensors.items()
            if name.startswith("policy/")
        }
        self.policy.load_state_dict(weights)
        _load_statistics("observation", self.running, tensors)
        self.learning_rate = plain["learning_rate"]
        self._ppo = None
        self._awaiting = (tensors, plain) if "robots" in plain else None

    def _restore(
        self, ppo: PPO, tensors: dict[str, Tensor], plain: dict[str, Any]
    ) -> None:
        """Put a new learner and its simulations where the checkpoint left them."""
        normalized: VecNormalize = ppo.env
        envs: StableBaselinesEnv = normalized.unwrapped
        world = {
            name.removeprefix("robots/"): tensor
            for name, tensor in tensors.items()
            if name.startswith("robots/")
        }
        raw = envs.environment.load_state(world, plain["robots"]).numpy().copy()
        _load_statistics("observation", normalized.obs_rms, tensors)
        _load_statistics("return", normalized.ret_rms, tensors)
        normalized.returns = tensors["discounted_return"].numpy().copy()
        envs.running.copy_(tensors["running_return"])
        ppo._last_obs = normalized.normalize_obs(raw)
        ppo._last_episode_starts = tensors["starts"].numpy().copy()
        load_adam(self.policy.optimizer, tensors)
        self._return = plain["return"] if plain["return"] is not None else float("nan")


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
            for task in self.family.tasks(split, share, sampler.seed, NEVER_EVALUATED)
        ]
        return sampler.tasks_from(0, self.config.pool - half) + others[:half]


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


def _statistics(name: str, running: RunningMeanStd) -> dict[str, Tensor]:
    return {
        f"statistics/{name}/{part}": torch.as_tensor(
            np.asarray(getattr(running, part)), dtype=torch.float64
        ).clone()
        for part in ("mean", "var", "count")
    }


def _load_statistics(
    name: str, running: RunningMeanStd, tensors: dict[str, Tensor]
) -> None:
    for part in ("mean", "var"):
        setattr(running, part, tensors[f"statistics/{name}/{part}"].numpy().copy())
    running.count = float(tensors[f"statistics/{name}/count"])
