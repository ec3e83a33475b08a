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


def load(run: Run | Path | str) -> Loaded:
    """The family of a run, and its agent as trained so far.

    Where MuJoCo is not installed, ``family`` is no more than the run's ``robot.json``,
    which suffices to adapt.

    Raises:
        InputError: if it is no run, or has no whole checkpoint.
    """
    run = as_run(run)
    if importlib.util.find_spec("mujoco") is None:
        return _on_robot(run)
    family, agent, _ = run.load()
    return Loaded(family, agent)


def adapter(run: Run | Path | str, **options: Any) -> Adapter:
    """Let the agent of a run adapt on a robot.

    It reads the run's folder alone, and imports neither MuJoCo nor the family.

    Args:
        run: a run or its folder.
        options: ``budget``, ``seed``, ``on_bad``, ``most_held``: see
            `metarl.deploy.adapter.Adapter`.

    Raises:
        InputError: if it is no run, has no whole checkpoint, or is an oracle's; or for
            a wrong option.
    """
    return _on_robot(as_run(run)).adapter(**options)


def _on_robot(run: Run) -> Loaded:
    family = cast(TaskFamily, robot_of(run))
    agent, _ = run.load_agent(family)
    return Loaded(family, agent)
