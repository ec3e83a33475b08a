"""Meta-reinforcement learning on robots of unknown physics.

    import metarl

    family = metarl.make_family("cheetah-direction")
    run = metarl.train("cheetah-direction", "maml", steps=6_000_000)
    metarl.evaluate(run, splits=["interpolation", "far"])

To plug in a robot, subclass `metarl.TaskFamily`; to plug in a way of learning to
learn, subclass `metarl.Agent`. Nothing heavy is imported before it is used.
"""

import importlib
import sys
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Agent": "metarl.learning.agent",
    "Choice": "metarl.parameters",
    "Environment": "metarl.world.environment",
    "InputError": "metarl.errors",
    "Parameter": "metarl.parameters",
    "Run": "metarl.runs.folder",
    "RunError": "metarl.errors",
    "Task": "metarl.tasks",
    "TaskFamily": "metarl.family",
    "evaluate": "metarl.api",
    "load": "metarl.api",
    "make_family": "metarl.registry",
    "make_vec": "metarl.api",
    "register_gymnasium": "metarl.registry",
    "report": "metarl.api",
    "resume": "metarl.learning.training",
    "train": "metarl.learning.training",
    "video": "metarl.api",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'metarl' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if "gymnasium" in sys.modules:
    # `import gymnasium, metarl` is enough for gymnasium.make("metarl/..."); without
    # gymnasium, its import would only make the command line slow.
    importlib.import_module("metarl.registry").register_gymnasium(built_in=True)
