"""Compiled models of tasks, and the cache that keeps them.

models = TaskModels(family.build, family.perturbations, family.space)
models(task)          # the compiled model of a task, perturbations included
models.nominal        # of the robot as its data sheet describes it
"""

import copy
import functools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from metarl.errors import InputError
from metarl.simulation.engine import mujoco
from metarl.simulation.perturbations import ModelPerturbation
from metarl.tasks.defaults import own_defaults
from metarl.tasks.space import ParameterSpace
from metarl.tasks.task import Task

LARGEST_CACHE = 2**30
"""Bytes of the models that are kept. Those in use are held by their simulations."""
DRAWN = 2**27
"""Bytes of models with meshes that are kept for drawing."""


class TaskModels:
    """Compiles the model of a task, and keeps those that were asked for last.

    Args:
        build: gives the `MjSpec` or the compiled model of a task.
        perturbations: act on models, in this order.
        space: of the tasks.
        limit: bytes of models that are kept.
    """

    def __init__(
        self,
        build: Callable[[Task], "mujoco.MjSpec | mujoco.MjModel"],
        perturbations: Sequence[ModelPerturbation],
        space: ParameterSpace,
        limit: int = LARGEST_CACHE,
    ) -> None:
        self.build = build
        self.perturbations = tuple(perturbations)
        self.space = space
        self.limit = limit
        self.bytes = 0
        """Of all models that are kept."""
        self._kept: OrderedDict[Task, mujoco.MjModel] = OrderedDict()

    def __call__(self, task: Task) -> "mujoco.MjModel":
        """The compiled model of a task as it is before its switches.

        It is shared: do not edit it.

        Raises:
            InputError: if `build` returns no model, for one that MuJoCo refuses, or
                for a perturbation that does not fit it.
        """
        if task in self._kept:
            self._kept.move_to_end(task)
            return self._kept[task]
        model = self._compile(task)
        self._kept[task] = model
        self.bytes += mujoco.mj_sizeModel(model)
        while self.bytes > self.limit and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self.bytes -= mujoco.mj_sizeModel(oldest)
        return model

    @functools.cached_property
    def nominal(self) -> "mujoco.MjModel":
        """The compiled model of the robot as its data sheet describes it."""
        return self(self.space.task())

    @own_defaults()
    def _compile(self, task: Task) -> "mujoco.MjModel":
        source = self.build(task)
        if not isinstance(source, mujoco.MjSpec | mujoco.MjModel):
            raise InputError(
                f"build() of {self.space.family} must return an MjSpec or an MjModel, "
                f"not a {type(source).__name__}."
            )
        for perturbation in self.perturbations:
            parameter = self.space.parameters[perturbation.parameter]
            perturbation.edit_spec(source, task[perturbation.parameter], parameter)
        # A copy, as the family may keep what it built.
        compiled = isinstance(source, mujoco.MjModel)
        model = copy.copy(source) if compiled else self._compiled(source, task)
        for perturbation in self.perturbations:
            perturbation.edit_model(model, task[perturbation.parameter])
        return model

    def _compiled(self, spec: "mujoco.MjSpec", task: Task) -> "mujoco.MjModel":
        try:
            return spec.compile()
        except ValueError as error:
            said = " ".join(str(error).removeprefix("Error: ").split())
            raise InputError(
                f"MuJoCo refuses the model that build() of {self.space.family} gives "
                f"for the task {task}: {said}."
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        """All but the models, which another process compiles for itself."""
        kept = {"_kept": OrderedDict(), "bytes": 0}
        state = {**self.__dict__, **kept}
        state.pop("nominal", None)
        return state
