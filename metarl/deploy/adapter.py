"""An agent that adapts on one robot, step by step, without a simulator.

adapter = metarl.load(run).adapter(budget=20)
for _ in range(21):                                # 20 episodes to adapt, one after
    observation = robot.reset()
    while not adapter.over:
        action = adapter.act(observation)          # in [-1, 1]
        observation, reward, done = robot.step(action)
        adapter.observe(reward, done)
    adapter.end_episode(observation)
print(adapter.curve)

With the seed of an evaluation it explores with the numbers that the evaluation draws
for its first task. In a simulator both make the same episodes.
"""

import hashlib
import math
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from metarl.deploy.round import Round, empty_round
from metarl.environment.collect import one_torch_thread
from metarl.environment.episodes import Policy
from metarl.errors import InputError, RunError
from metarl.learning.agent import Agent
from metarl.runs import checkpoint
from metarl.runs.robot import Robot
from metarl.tasks.randomness import key

LARGEST_ROUND = 100
"""Episodes of a round at most. Some agents would take any number."""


class Attempt(NamedTuple):
    """An episode on the robot."""

    returned: float
    """Sum of its rewards."""
    seconds: float
    """Robot time."""
    adapting: bool
    """Whether it was spent on adapting; False for one of the deployed policy."""
    held: int
    """Steps in which the last action was repeated, as an observation was bad."""


class Adapter:
    """One robot and an agent that adapts to it.

    Args:
        agent: trained. It stays as it is.
        robot: sizes, units and timing.
        budget: episodes to adapt. After them the deployed policy acts.
        seed: of exploration.
        on_bad: what follows an observation or a reward that is NaN, infinite or of
            another shape. "raise" refuses it, and nothing has changed: the same call
            may be made again with another one. "hold" repeats the last action, or
            takes the last reward for it; the first observation of an episode is always
            refused.
        most_held: steps in a row in which "hold" repeats the last action; the next one
            is refused.

    Raises:
        InputError: for an oracle, which observes what no robot knows, or a number that
            means nothing.
    """

    def __init__(
        self,
        agent: Agent,
        robot: Robot,
        *,
        budget: int = 20,
        seed: int = 0,
        on_bad: Literal["raise", "hold"] = "raise",
        most_held: int = 10,
    ) -> None:
        if agent.observes_task:
            raise InputError(f"{agent.name} observes the task, which no robot knows.")
        if on_bad not in ("raise", "hold"):
            raise InputError(f"on_bad={on_bad!r} is neither 'raise' nor 'hold'.")
        for name, count in (("budget", budget), ("most_held", most_held)):
            if count < 0:
                raise InputError(f"{name}={count} must be 0 or more.")
        self.agent, self.robot = agent, robot
        self.on_bad, self.most_held = on_bad, most_held
        self.budget, self.seed = budget, seed
        self.spent = 0
        """Episodes of adaptation that are over."""
        self.curve: list[Attempt] = []
        """All episodes that are over."""
        self._start()

    # -- the loop of a driver ----------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether the present episode is over: it terminated, or its time is up."""
        return self._round.terminated or self._round.step >= self.robot.horizon

    @property
    def adapting(self) -> bool:
        """Whether the present episode is one of adaptation."""
        return self._policy is self.adaptation

    @property
    def round_size(self) -> int:
        """Episodes after which it learns or, if it does not adapt, 1."""
        return len(self._round.asked)

    @torch.no_grad()
    def act(self, observation: ArrayLike) -> NDArray[np.float32]:
        """The action after an observation, clipped to [-1, 1], (action_size,).

        Args:
            observation: (observation_size,), in the order and units of the family.

        Raises:
            InputError: if the observation is bad (see ``on_bad``), the episode is over,
                or the reward of the action before is missing.
            RunError: if the policy's action is NaN or infinite.
        """
        now, index, step = self._round, self._round.index, self._round.step
        if now.acting:
            raise InputError("observe(reward) comes between one act() and the next.")
        if self.over:
            raise InputError(
                f"The episode is over after {step} control steps: call end_episode()."
            )
        seen, wrong = self._checked(observation)
        if wrong:
            self._refuse_unless_held(wrong)
            last = now.episodes.observation[0, index, step - 1]
            action = now.episodes.action[0, index, step - 1]
            now.episodes.observation[0, index, step] = last
            now.held[index, step] = True
        else:
            now.episodes.observation[0, index, step] = seen
            with one_torch_thread():  # as in an evaluation: others round otherwise
                action = self._policy.act(now.time_step(index, step))[0, index]
            if not np.isfinite(action.numpy()).all():
                raise RunError("The policy's action is NaN or infinite.")
        now.episodes.action[0, index, step] = action
        now.asked[index] = step + 1
        return np.minimum(np.maximum(action.numpy(), -1.0), 1.0)

    def observe(self, reward: float, done: bool = False) -> None:
        """What followed the last action.

        Args:
            reward: of the step.
            done: whether the episode terminated for a reason of its own: it fell, it
                arrived. Not for one that somebody stops: call `end_episode` then.

        Raises:
            InputError: without an action before, or for a reward that is NaN or
                infinite (see ``on_bad``).
        """
        now, index, step = self._round, self._round.index, self._round.step
        if not now.acting:
            raise InputError("act(observation) comes before observe(reward).")
        reward = float(reward)
        rewards = now.episodes.reward[0, index]
        if not math.isfinite(reward):
            if self.on_bad == "raise":
                raise InputError(f"The reward is {reward}.")
            reward = float(rewards[step - 1]) if step else 0.0
        rewards[step] = reward
        now.episodes.mask[0, index, step] = 1.0
        now.terminated = bool(done)
        now.step += 1

    def end_episode(self, observation: ArrayLike | None = None) -> Attempt:
        """End the episode; the agent learns if its round is full.

        That may take longer than a control step. A last action without a reward does
        not count.

        Args:
            observation: after the last step. Some agents learn from it; by default,
                that of the last `act`.

        Raises:
            InputError: if no step was made, or the observation is bad.
        """
        now, index = self._round, self._round.index
        if not now.step:
            raise InputError("An episode needs at least one act() and observe().")
        final = now.episodes.observation[0, index, now.asked[index] - 1]
        if observation is not None:
            seen, wrong = self._checked(observation)
            if wrong and self.on_bad == "raise":
                raise InputError(wrong)
            final = final if wrong else seen
        attempt = Attempt(
            float(now.episodes.reward[0, index].sum()),
            now.step * self.robot.control_period,
            self.adapting,
            int(now.held[index].sum()),
        )
        self.curve.append(attempt)
        now.end(final)
        if self.adapting:
            self.spent += 1
        if now.full:
            self._close()
            self._begin()
        return attempt

    # -- whether it adapts -------------------------------------------------------------

    def freeze(self) -> None:
        """Stop adapting: the deployed policy acts from now on.

        Raises:
            InputError: in the middle of an episode.
        """
        self._between_episodes("freeze")
        self.budget = self.spent
        if self.adapting:
            self._close()
            self._begin()

    def extend(self, episodes: int) -> None:
        """Adapt for so many episodes more.

        Raises:
            InputError: in the middle of an episode, or for a negative number.
        """
        self._between_episodes("extend")
        if episodes < 0:
            raise InputError(f"episodes={episodes} must be 0 or more.")
        self.budget += episodes
        if not self.adapting:
            self._begin()

    # -- going on another day ----------------------------------------------------------

    def save(self, folder: Path | str) -> Path:
        """Write all that happened, in the middle of an episode, too: tensors and JSON.

        Args:
            folder: of this robot's saves; the newest two are kept.

        Raises:
            RunError: if it cannot be written.
        """
        folder = Path(folder)
        rounds = [*self._closed, self._round]
        tensors = {
            f"round_{i}/{name}": tensor
            for i, each in enumerate(rounds)
            for name, tensor in each.tensors().items()
        }
        plain = {
            "agent": self.agent.name,
            "weights": _digest(self.agent),
            "seed": self.seed,
            "budget": self.budget,
            "adapting": self.adapting,
            "rounds": [[len(each.asked), each.index, each.step] for each in rounds],
            "curve": self.curve,
        }
        saves = checkpoint.checkpoints(folder)
        number = saves[-1][0] + 1 if saves else 1
        return checkpoint.save(folder, number, tensors, {"adapter": plain})

    def resume(self, folder: Path | str) -> Self:
        """Take over the newest save of a folder: the next action has the same bits.

        The agent acts and learns once more as it did, which takes a moment.

        Raises:
            InputError: if there is none, it is damaged, or it is of another agent.
        """
        saves = checkpoint.checkpoints(Path(folder))
        if not saves:
            raise InputError(f"{folder} holds nothing that an adapter has saved.")
        tensors, state = checkpoint.load(saves[-1][1])
        plain = state.get("adapter")
        if plain is None:
            raise InputError(f"{saves[-1][1]} is a checkpoint, not of an adapter.")
        own = (self.agent.name, _digest(self.agent))
        if (plain["agent"], plain["weights"]) != own:
            raise InputError(
                f"{saves[-1][1]} is of a {plain['agent']} with other weights than this "
                f"{self.agent.name}: load the run that it was made with."
            )
        self.seed, self.budget = plain["seed"], plain["budget"]
        self.curve = [Attempt(*row) for row in plain["curve"]]
        self.spent = 0
        self._start()
        *closed, _ = plain["rounds"]
        for i, (copies, index, step) in enumerate(plain["rounds"]):
            if i == len(closed) and not plain["adapting"]:
                self._deploy()
            else:
                self._explore(copies)
            own_tensors = {
                name.removeprefix(f"round_{i}/"): tensor
                for name, tensor in tensors.items()
                if name.startswith(f"round_{i}/")
            }
            self._round.load(own_tensors, index, step)
            self._round.replay(self._policy)
            if self.adapting:
                self.spent += index
            if i < len(closed):
                self._close()
        return self

    # -- inside ------------------------------------------------------------------------

    def _start(self) -> None:
        self.adaptation = self.agent.adaptation(1)
        self._closed: list[Round] = []
        """Rounds that the agent has learnt from, in order."""
        self._deployed: Policy | None = None
        self._begin()

    def _begin(self) -> None:
        """Whatever comes next: a round of adaptation, or a deployed episode."""
        left = self.budget - self.spent
        if left > 0:
            wanted = self.adaptation.episodes_per_update
            self._explore(min(wanted, left, LARGEST_ROUND))
        else:
            self._deploy()

    def _explore(self, copies: int) -> None:
        seed = key(self.seed, "evaluation", "support", self.spent)
        self._round = empty_round(self.robot, copies, seed)
        self._policy: Policy = self.adaptation
        self._deployed = None

    def _deploy(self) -> None:
        if self._deployed is None:
            self._deployed = self.adaptation.policy()
        seed = key(self.seed, "evaluation", "query")
        before = len(self.curve) - self.spent
        self._round = empty_round(self.robot, 1, seed, before)
        self._policy = self._deployed

    def _close(self) -> None:
        """Let the agent learn from what there is of its round."""
        if self.adapting and self._round.index:
            self.adaptation.update(self._round.finished())
            self._closed.append(self._round)

    def _checked(self, observation: ArrayLike) -> tuple[Tensor, str]:
        """An observation, and what is wrong with it, if anything."""
        size = self.robot.observation_size
        try:
            with np.errstate(over="ignore"):
                seen = np.array(observation, np.float32)
        except (TypeError, ValueError):
            return torch.empty(0), f"The observation is not {size} numbers."
        if seen.shape != (size,):
            return torch.empty(0), (
                f"The observation has shape {seen.shape} instead of ({size},)."
            )
        finite = np.isfinite(seen)
        if finite.all():
            return torch.from_numpy(seen), ""
        bad = np.flatnonzero(~finite).tolist()
        named = ", ".join(f"{self.robot.observation_name(i)}: {seen[i]}" for i in bad)
        return torch.empty(0), f"Not finite in the observation, component {named}."

    def _refuse_unless_held(self, wrong: str) -> None:
        """Refuse a bad observation, unless the last action may be repeated."""
        index, step = self._round.index, self._round.step
        if self.on_bad == "raise" or not step:
            raise InputError(wrong)
        since = max(0, step - self.most_held)
        if step - since == self.most_held and self._round.held[index, since:step].all():
            raise InputError(f"{wrong} {self.most_held} were held before it.")

    def _between_episodes(self, call: str) -> None:
        if self._round.step or self._round.acting:
            raise InputError(f"{call}() comes between episodes: call end_episode().")


def _digest(agent: Agent) -> str:
    """A number that follows from all that an agent has learnt."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(agent.save()[0].items()):
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
