"""Environments that are made once for each number of tasks and copies.

environments = Environments(family)
environment = environments(tasks, copies=20)     # as many again: only other tasks
"""

from collections.abc import Sequence

from metarl.environment.environment import Environment
from metarl.environment.family import TaskFamily
from metarl.tasks.task import Task


class Environments:
    """Environments of a family: one for each number of tasks and copies, made once.

    Args:
        family: the task family.
        observe_task: append the task to observations.
        threads: threads of the physics; 0 takes all cores.
    """

    def __init__(
        self, family: TaskFamily, observe_task: bool = False, threads: int = 0
    ) -> None:
        self.family = family
        self.observe_task = observe_task
        self.threads = threads
        self._made: dict[tuple[int, int], Environment] = {}

    def __call__(self, tasks: Sequence[Task], copies: int) -> Environment:
        """The environment with copies of these tasks."""
        shape = (len(tasks), copies)
        if shape not in self._made:
            self._made[shape] = Environment(
                self.family,
                tasks,
                copies,
                observe_task=self.observe_task,
                threads=self.threads,
            )
        elif self._made[shape].pool != list(tasks):
            self._made[shape].set_tasks(tasks)
        return self._made[shape]
