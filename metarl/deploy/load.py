"""Trained agents, for a desk with a simulator and for a robot without one."""

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple, cast

from metarl.deploy.adapter import Adapter
from metarl.environment.family import TaskFamily
from metarl.learning.agent import Agent
from metarl.runs.folder import Run, as_run
from metarl.runs.robot import Robot, robot_of


class Loaded(NamedTuple):
    """A trained agent, and the family that it was trained on."""

    family: TaskFamily
    agent: Agent

    def adapter(self, **options: Any) -> Adapter:
        """Let the agent adapt on a robot.

        Args:
            options: ``budget``, ``seed``, ``on_bad``, ``most_held``: see
                `metarl.deploy.adapter.Adapter`.

        Raises:
            InputError: for an oracle, or a wrong option.
        """
        family = self.family
        robot = family if isinstance(family, Robot) else Robot.of(family)
        return Adapter(self.agent, robot, **options)


def load(run: Run | Path | str, *, family: str = "", trust: bool = False) -> Loaded:
    """The family of a run, and its agent as trained so far.

    Where MuJoCo is not installed, ``family`` is no more than the run's ``robot.json``,
    which suffices to adapt.

    Args:
        run: a run or its folder.
        family: what its family is now, if that moved: a registered name,
            ``module:Class`` or ``file.py:Class``.
        trust: run code that the run names without asking. Code that you trained with
            on this machine needs no question.

    Raises:
        InputError: if it is no run, or has no whole checkpoint, or names code that is
            gone or not trusted.
    """
    run = as_run(run, family, trust)
    if importlib.util.find_spec("mujoco") is None:
        return _on_robot(run)
    made, agent, _ = run.load()
    return Loaded(made, agent)


def adapter(run: Run | Path | str, *, trust: bool = False, **options: Any) -> Adapter:
    """Let the agent of a run adapt on a robot.

    It reads the run's folder alone, and imports neither MuJoCo nor the family.

    Args:
        run: a run or its folder.
        trust: run the code of an agent that the run names without asking.
        options: ``budget``, ``seed``, ``on_bad``, ``most_held``: see
            `metarl.deploy.adapter.Adapter`.

    Raises:
        InputError: if it is no run, has no whole checkpoint, or is an oracle's; for
            an agent that is not trusted; or for a wrong option.
    """
    return _on_robot(as_run(run, trust=trust)).adapter(**options)


def _on_robot(run: Run) -> Loaded:
    family = cast(TaskFamily, robot_of(run))
    agent, _ = run.load_agent(family)
    return Loaded(family, agent)
