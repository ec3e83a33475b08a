"""MAML for reinforcement learning, and its first-order kin.

Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast adaptation of deep
networks", 2017. The policy's initial parameters are learnt such that one policy
gradient step on a few episodes of a new task makes it good at that task:

    theta'_i = theta - inner_lr * grad loss_i(theta; support_i)        for every task
    theta    = TRPO step on  mean_i loss_i(theta'_i; query_i)          through theta'

Every task has its own parameters along a leading axis, so all tasks adapt in the same
few matrix products. The losses of tasks are summed before the inner gradient is taken
(they share nothing, so each gets its own gradient) and averaged only in the outer one.
`fomaml` treats the inner gradient as a constant.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from metarl.environment.episodes import Episodes
from metarl.environment.family import TaskFamily
from metarl.learning.agent import Agent, Metrics
from metarl.learning.distributions import Gaussian, gaussian, gaussian_parameters
from metarl.learning.estimators import masked_mean
from metarl.learning.networks import (
    Learnt,
    Parameters,
    detached,
    learnt_from,
    leaves,
    named,
    stack,
)
from metarl.learning.optimization import (
    backtrack,
    conjugate_gradient,
    fisher_product,
    flatten,
    unflatten,
)
from metarl.learning.policies import GaussianPolicy
from metarl.learning.policy_gradient import (
    Batch,
    make_batch,
    policy_gradient,
    surrogate,
)
from metarl.learning.sampler import Sampler
from metarl.learning.step_adaptation import StepAdaptation
from metarl.learning.warm_start import take_policy
from metarl.tasks.randomness import torch_generator


@dataclass(frozen=True)
class MAMLConfig:
    """Hyper-parameters of MAML. Defaults: half-cheetah."""

    inner_lr: float = 0.1
    """Step size of the policy gradient step that adapts."""
    inner_steps: int = 1
    """Adaptation steps in training."""
    later_step: float = 0.25
    """Share of a step that is taken after as many as in training.

    The paper has 0.5. On `point-goal`, a second step of that length overshoots.
    """
    tasks: int = 10
    """Tasks a meta-iteration."""
    episodes: int = 20
    """Episodes a task in each round: before, between and after adaptation steps."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the policy's hidden layers."""
    initial_std: float = 1.0
    """Standard deviation of the first policy's exploration."""
    discount: float = 0.99
    """Discount factor."""
    gae_lambda: float = 0.95
    """Lambda of the generalized advantage estimates; MAML's paper has 1.

    With 1, an action is credited with the noise of all that follows. On half-cheetah,
    first-order MAML then hardly learnt in 8M steps.
    """
    deploy: Literal["sample", "mean"] = "mean"
    """Whether the deployed policy explores, as in MAML's paper, or acts by its mean."""
    max_kl: float = 0.01
    """KL limit of the outer step, at the adapted policies."""
    cg_iterations: int = 10
    """Conjugate gradient steps for the natural gradient."""
    cg_damping: float = 1e-3
    """Added to the diagonal of the Fisher matrix."""
    fisher_stride: int = 8
    """Fisher products use one time step of so many."""
    second_order: bool = True
    """Differentiate through the inner gradient."""


class MAML(Agent):
    """Learns initial parameters from which one gradient step goes far."""

    Config: ClassVar[type] = MAMLConfig
    kind: ClassVar[str] = "gradient"

    def __init__(self, family: TaskFamily, config: MAMLConfig, seed: int) -> None:
        super().__init__(family, config, seed)
        start = gaussian_parameters(
            *family.spec[:2],
            config.hidden,
            torch_generator(seed, "initial policy"),
            config.initial_std,
        )
        self.learnt: Learnt = {"start": start}

    def warm_start(self, source: Agent) -> None:
        """Begin from the policy of `randomized`."""
        take_policy(self, source, self.learnt["start"], self.normalizer)

    def train_step(self, sampler: Sampler) -> Metrics:
        """Collect and adapt on a batch of tasks, then one outer step."""
        config = self.config
        tasks = sampler.tasks(config.tasks)
        parameters = stack(self.learnt["start"], len(tasks))
        rounds, batches = [], []
        for step in range(config.inner_steps + 1):
            policy = GaussianPolicy(parameters, self.normalizer)
            episodes = sampler.collect(tasks, config.episodes, policy, f"round {step}")
            rounds.append(episodes)
            batches.append(self.batch(episodes, parameters))
            if step < config.inner_steps:
                parameters = self.stepped(self.learnt, parameters, batches[-1])
        metrics = self.outer_step(batches)
        for episodes in rounds:
            self.normalizer.update(episodes.observation, episodes.mask)
        return {
            "return_before": float(rounds[0].returns.mean()),
            "return_after": float(rounds[-1].returns.mean()),
            "std": float(self.learnt["start"]["log_std"].exp().mean()),
            **metrics,
        }

    def batch(self, episodes: Episodes, parameters: Parameters) -> Batch:
        """A round of episodes of the policies with these parameters, for the losses."""

        def acted(observation: Tensor) -> Gaussian:
            return gaussian(parameters, observation)

        config = self.config
        return make_batch(
            episodes, self.normalizer, acted, config.discount, config.gae_lambda
        )

    # -- inside: adapting to a task --------------------------------------------------

    def inner_step(
        self,
        learnt: Learnt,
        parameters: Parameters,
        batch: Batch,
        second_order: bool = False,
    ) -> Parameters:
        """One policy gradient step of every task.

        Args:
            learnt: all that is learnt, as it may say how to step.
            parameters: of each task, part of a graph.
            batch: collected with them.
            second_order: keep the gradient differentiable.
        """
        gradient = policy_gradient(parameters, batch, second_order)
        return {
            n: p - self.config.inner_lr * gradient[n] for n, p in parameters.items()
        }

    def stepped(
        self, learnt: Learnt, parameters: Parameters, batch: Batch
    ) -> Parameters:
        """`inner_step` without a graph, for collecting and deploying."""
        with torch.enable_grad():
            return detached(self.inner_step(learnt, leaves(parameters), batch))

    # -- outside: learning how to adapt ------------------------------------------------

    def through_adaptation(self, theta: Tensor, supports: list[Batch]) -> Parameters:
        """Adapted parameters of every task as a differentiable function of ``theta``.

        Args:
            theta: all that is learnt, as a vector.
            supports: a round before each inner step.
        """
        learnt = unflatten(theta, self.learnt)
        parameters = stack(learnt["start"], len(supports[0].observation))
        for support in supports:
            parameters = self.inner_step(
                learnt, parameters, support, self.config.second_order
            )
        return parameters

    def outer_step(self, batches: list[Batch]) -> Metrics:
        """TRPO through the adaptation: the KL limit holds at the adapted policies.

        Args:
            batches: a round before each inner step, and one after the last.
        """
        config = self.config
        *supports, query = batches
        theta = flatten(self.learnt).requires_grad_()
        actions = gaussian(self.through_adaptation(theta, supports), query.observation)
        loss = surrogate(actions, query).mean()
        (gradient,) = torch.autograd.grad(loss, theta)
        before = float(loss.detach())
        old = Gaussian(actions.mean.detach(), actions.log_std.detach())
        del actions

        product = self.fisher(theta, batches)
        direction = conjugate_gradient(product, -gradient, config.cg_iterations)
        curvature = float(direction @ product(direction))
        if not (curvature > 0 and torch.isfinite(direction).all()):
            return {"loss": before, "kl": 0.0, "skipped": 1.0}
        step = direction * (2 * config.max_kl / curvature) ** 0.5

        def evaluate(point: Tensor) -> tuple[float, float]:
            learnt = unflatten(point, self.learnt)
            parameters = stack(learnt["start"], len(query.observation))
            for support in supports:
                parameters = self.stepped(learnt, parameters, support)
            with torch.no_grad():
                new = gaussian(parameters, query.observation)
                return (
                    float(surrogate(new, query).mean()),
                    float(masked_mean(old.kl(new), query.mask).mean()),
                )

        point, new_loss, kl = backtrack(
            evaluate, theta.detach(), step, before, config.max_kl
        )
        self.learnt = unflatten(point.clone(), self.learnt)
        return {"loss": before, "improvement": before - new_loss, "kl": kl}

    def fisher(self, theta: Tensor, batches: list[Batch]) -> Any:
        """Products with the Fisher matrix at the adapted policies, on fewer steps."""
        config = self.config
        *supports, query = [
            batch.thinned(config.fisher_stride, self.family.horizon)
            for batch in batches
        ]
        adapted = self.through_adaptation(theta, supports)
        actions = gaussian(adapted, query.observation)
        # Mean over tasks of the masked mean over steps, as in the KL limit. The
        # Fisher matrix of a diagonal Gaussian: 1 / std^2 for the mean, 2 for log std.
        tasks = len(actions.mean)
        counted = query.mask.sum(-1, keepdim=True).clamp(min=1) * tasks
        share = (query.mask / counted).unsqueeze(-1)
        metric = torch.cat(
            [
                (share * torch.exp(-2 * actions.log_std)).reshape(-1),
                torch.full_like(actions.log_std, 2 / tasks).reshape(-1),
            ]
        ).detach()
        outputs = torch.cat([actions.mean.reshape(-1), actions.log_std.reshape(-1)])
        return fisher_product(outputs, theta, metric, config.cg_damping)

    # -- the contract ------------------------------------------------------------------

    def adaptation(self, tasks: int) -> StepAdaptation[Parameters]:
        """Every task starts from the learnt parameters."""
        twin, config = self.snapshot(), self.config
        samples = config.deploy == "sample"

        def step(parameters: Parameters, episodes: Episodes, before: int) -> Parameters:
            batch = twin.batch(episodes, parameters)
            stepped = twin.stepped(twin.learnt, parameters, batch)
            if before < config.inner_steps or config.later_step == 1:
                return stepped
            return {
                n: p.lerp(stepped[n], config.later_step) for n, p in parameters.items()
            }

        return StepAdaptation(
            stack(twin.learnt["start"], tasks),
            config.episodes,
            explore=lambda p: GaussianPolicy(p, twin.normalizer),
            deploy=lambda p: GaussianPolicy(p, twin.normalizer, explore=samples),
            step=step,
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that is learnt."""
        return named(self.learnt), {}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.learnt = learnt_from(tensors, self.learnt)


@dataclass(frozen=True)
class FOMAMLConfig(MAMLConfig):
    """Hyper-parameters of first-order MAML."""

    second_order: bool = False
    """Differentiate through the inner gradient."""


class FOMAML(MAML):
    """MAML with the inner gradient held constant: cheaper, and often as good."""

    Config: ClassVar[type] = FOMAMLConfig
