"""Meta-reinforcement learning on robots of unknown physics.

    import metarl

    family = metarl.make_family("cheetah-direction")
    run = metarl.train("cheetah-direction", "maml", steps=6_000_000)
    metarl.evaluate(run, splits=["interpolation", "far"])

To plug in a robot, subclass `metarl.TaskFamily`; to plug in a meta-learner, subclass
`metarl.Agent`. Nothing heavy is imported before it is used.
"""

import importlib
import sys

# Not imported: `python -m metarl` could find another typing.py in the current folder.
TYPE_CHECKING = False

if TYPE_CHECKING:  # what a name is, for type checkers and editors
    from typing import Any

    from metarl.deploy.adapter import Adapter as Adapter
    from metarl.deploy.export import export as export
    from metarl.deploy.load import (
        adapter as adapter,
    )
    from metarl.deploy.load import (
        load as load,
    )
    from metarl.environment.environment import Environment as Environment
    from metarl.environment.family import TaskFamily as TaskFamily
    from metarl.environment.gymnasium import make_vec as make_vec
    from metarl.environment.registry import (
        make_family as make_family,
    )
    from metarl.environment.registry import (
        register_gymnasium as register_gymnasium,
    )
    from metarl.environment.sb3 import StableBaselinesEnv as StableBaselinesEnv
    from metarl.errors import (
        InputError as InputError,
    )
    from metarl.errors import (
        RunError as RunError,
    )
    from metarl.evaluation.results import Evaluation as Evaluation
    from metarl.learning.agent import Agent as Agent
    from metarl.render.run_video import video as video
    from metarl.reports.compare import compare as compare
    from metarl.reports.report import report as report
    from metarl.runs.evaluate import evaluate as evaluate
    from metarl.runs.folder import Run as Run
    from metarl.runs.train import (
        resume as resume,
    )
    from metarl.runs.train import (
        train as train,
    )
    from metarl.simulation.perturbations import (
        DeadActuator as DeadActuator,
    )
    from metarl.simulation.perturbations import (
        Latency as Latency,
    )
    from metarl.simulation.perturbations import (
        MotorStrength as MotorStrength,
    )
    from metarl.simulation.perturbations import (
        ObservationBias as ObservationBias,
    )
    from metarl.simulation.perturbations import (
        ObservationNoise as ObservationNoise,
    )
    from metarl.simulation.sources import robot as robot
    from metarl.tasks.parameter import (
        Choice as Choice,
    )
    from metarl.tasks.parameter import (
        Parameter as Parameter,
    )
    from metarl.tasks.task import Task as Task

__version__ = "0.2.0"

_HOMES = {
    "Adapter": "metarl.deploy.adapter",
    "Agent": "metarl.learning.agent",
    "Choice": "metarl.tasks.parameter",
    "DeadActuator": "metarl.simulation.perturbations",
    "Environment": "metarl.environment.environment",
    "Evaluation": "metarl.evaluation.results",
    "InputError": "metarl.errors",
    "Latency": "metarl.simulation.perturbations",
    "MotorStrength": "metarl.simulation.perturbations",
    "ObservationBias": "metarl.simulation.perturbations",
    "ObservationNoise": "metarl.simulation.perturbations",
    "Parameter": "metarl.tasks.parameter",
    "Run": "metarl.runs.folder",
    "RunError": "metarl.errors",
    "StableBaselinesEnv": "metarl.environment.sb3",
    "Task": "metarl.tasks.task",
    "TaskFamily": "metarl.environment.family",
    "adapter": "metarl.deploy.load",
    "compare": "metarl.reports.compare",
    "evaluate": "metarl.runs.evaluate",
    "export": "metarl.deploy.export",
    "load": "metarl.deploy.load",
    "make_family": "metarl.environment.registry",
    "make_vec": "metarl.environment.gymnasium",
    "register_gymnasium": "metarl.environment.registry",
    "report": "metarl.reports.report",
    "resume": "metarl.runs.train",
    "robot": "metarl.simulation.sources",
    "train": "metarl.runs.train",
    "video": "metarl.render.run_video",
}
"""Where each public name is found."""

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> "Any":
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'metarl' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _register() -> None:
    registry = importlib.import_module("metarl.environment.registry")
    registry.register_gymnasium(built_in=True)


class _AfterGymnasium:
    """Registers the families as soon as anybody imports gymnasium."""

    def find_spec(self, name: str, path: "Any", target: "Any" = None) -> "Any":
        """Gymnasium's own spec, whose loader registers afterwards."""
        if name != "gymnasium":
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: "Any") -> None:
                execute(module)
                _register()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


# `import gymnasium, metarl` in any order is enough for gymnasium.make("metarl/..."). An
# import of gymnasium here would only make the command line slow.
if "gymnasium" in sys.modules:
    _register()
else:
    sys.meta_path.insert(0, _AfterGymnasium())
