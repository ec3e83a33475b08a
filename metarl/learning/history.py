"""The last control steps of an episode, from which a policy infers the dynamics.

    history = History(simulations=512, window=16, observation_size=17, action_size=6)
    inputs = history.inputs(observation, first)            # (512, 17 + 16 * 23)
    action = ...
    history.note(observation, action)

A step is a normalized observation and the action that was taken then. Rewards are left
out: a robot has none. Steps before the start of an episode are 0.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from metarl.environment.episodes import PolicyMemory, TimeStep
from metarl.learning.normalization import Normalizer
from metarl.learning.ppo import layers


class History:
    """The last steps of n simulations.

    Args:
        simulations: n.
        window: steps that are kept; 0 for none.
        observation_size: numbers in an observation.
        action_size: action components.
    """

    def __init__(
        self, simulations: int, window: int, observation_size: int, action_size: int
    ) -> None:
        self.steps = torch.zeros(simulations, window, observation_size + action_size)
        """The newest last, (n, window, observation_size + action_size)."""

    def inputs(self, observation: Tensor, first: Tensor | None = None) -> Tensor:
        """Observations with the steps before them, (n, inputs).

        Args:
            observation: normalized, (n, observation_size).
            first: whether an episode begins, (n,) bool. What was before is forgotten.
                Default: none does.
        """
        if first is not None:
            self.steps = self.steps.masked_fill(first[:, None, None], 0.0)
        return torch.cat([observation, self.steps.flatten(1)], -1)

    def note(self, observation: Tensor, action: Tensor) -> None:
        """Keep a step: what was observed, and the action (n, action_size) after it."""
        step = torch.cat([observation, action.clamp(-1, 1)], -1)
        self.steps = torch.cat([self.steps, step[:, None]], 1)[:, 1:]


class HistoryNetwork(nn.Module):
    """A network on an observation and an encoding of the steps before it.

    Args:
        encoder: from the steps, (..., window * step), to the encoding. None reads the
            observation alone.
        trunk: from observation and encoding to the outputs.
        observation_size: numbers in an observation, which come first in the inputs.
    """

    def __init__(
        self, encoder: nn.Module | None, trunk: nn.Module, observation_size: int
    ) -> None:
        super().__init__()
        self.encoder, self.trunk = encoder, trunk
        self.observation_size = observation_size

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs, (..., outputs)."""
        observation = inputs[..., : self.observation_size]
        if self.encoder is not None:
            encoding = self.encoder(inputs[..., self.observation_size :])
            observation = torch.cat([observation, encoding], -1)
        outputs: Tensor = self.trunk(observation)
        return outputs


def step_encoder(window: int, step_size: int, units: int, latent: int) -> nn.Module:
    """An encoder of the last steps: (..., window * step_size) to (..., latent)."""
    return nn.Sequential(
        layers((window * step_size, units, latent)),
        nn.Tanh(),  # bounded, so that an unknown robot's encoding stays near known ones
    )


class HistoryPolicy:
    """Acts by the mean of a policy that reads the last steps of its own episode.

    Args:
        mean: from inputs of `History`, (n, inputs), to actions.
        normalizer: of observations.
        window: steps that it reads.
    """

    def __init__(
        self, mean: Callable[[Tensor], Tensor], normalizer: Normalizer, window: int
    ) -> None:
        self.mean, self.normalizer, self.window = mean, normalizer, window
        self.history: History | None = None

    @torch.no_grad()
    def act(self, time_step: TimeStep) -> Tensor:
        """Actions, (task, copy, action_size)."""
        first = time_step.first.flatten()
        if self.history is None or len(self.history.steps) != len(first):
            self.history = self._no_history(time_step)
        return self._acted(time_step, self.history, first)

    def start(self, time_step: TimeStep) -> PolicyMemory:
        """No step."""
        return {"steps": self._no_history(time_step).steps}

    @torch.no_grad()
    def step(
        self, time_step: TimeStep, memory: PolicyMemory
    ) -> tuple[Tensor, PolicyMemory]:
        """Actions after these steps, and the steps then."""
        history = self._no_history(time_step)
        history.steps = memory["steps"]
        action = self._acted(time_step, history)
        return action, {"steps": history.steps}

    def _acted(
        self, time_step: TimeStep, history: History, first: Tensor | None = None
    ) -> Tensor:
        observation = self.normalizer(time_step.observation).flatten(0, 1)
        action = self.mean(history.inputs(observation, first))
        history.note(observation, action)
        return action.unflatten(0, time_step.first.shape)

    def _no_history(self, time_step: TimeStep) -> History:
        sizes = time_step.observation.shape[-1], time_step.noise.shape[-1]
        return History(time_step.first.numel(), self.window, *sizes)
