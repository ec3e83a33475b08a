"""Episodes that one robot makes one after the other, as if side by side.

An adaptation asks for a round of k episodes before it learns again. A simulator makes
them in k copies; a robot has one. Here the copies wait for each other: in a time step,
one of them is active, and the others hold zeros. So an agent acts, explores and learns
on a robot as it does in an evaluation.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from metarl.environment.collect import exploration_noise, one_torch_thread
from metarl.environment.episodes import Episodes, Policy, TimeStep
from metarl.runs.robot import Robot

_RECORDED = (
    *("observation", "action", "reward", "mask", "length", "terminated"),
    "final_observation",
)
"""Parts of episodes that a robot fills."""


@dataclass
class Round:
    """Up to k episodes of one task, and how far they are."""

    episodes: Episodes
    """Of one task and k copies; zeros where nothing was done yet."""
    held: Tensor
    """Steps in which the last action was repeated, (k, time) bool. The policy did not
    act in them."""
    asked: list[int]
    """Actions that were asked for in each episode."""
    noise: Tensor
    """To explore with, (time, 1, k, action_size)."""
    index: int = 0
    """Of the present episode; k after the last one."""
    step: int = 0
    """Control steps of the present episode that are over."""
    terminated: bool = False
    """Whether the present episode terminated."""

    @property
    def acting(self) -> bool:
        """Whether an action was given whose reward is not known yet."""
        return not self.full and self.asked[self.index] > self.step

    @property
    def full(self) -> bool:
        """Whether all episodes are over."""
        return self.index == len(self.asked)

    def time_step(self, index: int, step: int) -> TimeStep:
        """What the policy reads in a step of an episode; the other copies wait."""
        copies = len(self.asked)
        observation = torch.zeros(1, copies, self.episodes.observation.shape[-1])
        observation[0, index] = self.episodes.observation[0, index, step]
        reward = torch.zeros(1, copies)
        if step:
            reward[0, index] = self.episodes.reward[0, index, step - 1]
        active = torch.zeros(1, copies, dtype=torch.bool)
        active[0, index] = True
        first = torch.full((1, copies), step == 0)
        return TimeStep(observation, reward, first, active, self.noise[step])

    @torch.no_grad()
    def replay(self, policy: Policy) -> None:
        """Let a policy act in all steps again, for what it keeps of them."""
        with one_torch_thread():
            for index, asked in enumerate(self.asked):
                for step in range(asked):
                    if not self.held[index, step]:
                        policy.act(self.time_step(index, step))

    def end(self, final: Tensor) -> None:
        """End the present episode with its last observation, (observation_size,)."""
        episodes = self.episodes
        assert episodes.final_observation is not None
        episodes.final_observation[0, self.index] = final
        episodes.length[0, self.index] = self.step
        episodes.terminated[0, self.index] = self.terminated
        self.index, self.step, self.terminated = self.index + 1, 0, False

    def finished(self) -> Episodes:
        """The episodes that are over, (1, index, ...)."""
        parts: dict[str, Any] = {
            field.name: value[:, : self.index]
            for field in fields(Episodes)
            if isinstance(value := getattr(self.episodes, field.name), Tensor)
        }
        return Episodes(**parts)

    def tensors(self) -> dict[str, Tensor]:
        """What happened, for a file: the episodes so far, the present one included."""
        used = min(self.index + 1, len(self.asked))
        return {
            name: getattr(self.episodes, name)[:, :used].clone() for name in _RECORDED
        } | {
            "held": self.held[:used].clone(),
            "asked": torch.tensor(self.asked[:used]),
            "over": torch.tensor(self.terminated),
        }

    def load(self, tensors: dict[str, Tensor], index: int, step: int) -> None:
        """Take over what `tensors` returned.

        Raises:
            KeyError, RuntimeError: if it is of other sizes.
        """
        used = tensors["held"].shape[0]
        for name in _RECORDED:
            getattr(self.episodes, name)[:, :used] = tensors[name]
        self.held[:used] = tensors["held"]
        self.asked[:used] = tensors["asked"].tolist()
        self.terminated = bool(tensors["over"])
        self.index, self.step = index, step


def empty_round(robot: Robot, copies: int, seed: int, first: int = 0) -> Round:
    """A round in which nothing has happened.

    Args:
        robot: gives the sizes.
        copies: episodes of the round.
        seed: of the exploration.
        first: episodes before that explored with the same seed.
    """
    horizon, (observation_size, action_size, _) = robot.horizon, robot.spec
    grid = (1, copies)
    nothing = torch.zeros(grid, dtype=torch.bool)
    ids = torch.zeros(1, dtype=torch.int64), torch.arange(first, first + copies)
    return Round(
        Episodes(
            observation=torch.zeros(*grid, horizon, observation_size),
            action=torch.zeros(*grid, horizon, action_size),
            reward=torch.zeros(*grid, horizon),
            mask=torch.zeros(*grid, horizon),
            length=torch.zeros(grid, dtype=torch.int64),
            terminated=nothing.clone(),
            diverged=nothing,
            success=torch.full(grid, torch.nan, dtype=torch.float64),
            final_observation=torch.zeros(*grid, observation_size),
        ),
        held=torch.zeros(copies, horizon, dtype=torch.bool),
        asked=[0] * copies,
        noise=exploration_noise(seed, *ids, horizon, action_size),
    )
