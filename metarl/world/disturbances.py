"""Parameters that act by themselves, in every family that declares one.

Some of what is unknown about a robot does not depend on which robot it is. A family
that names one of these parameters need not do anything else:

| name | value | what it does |
|---|---|---|
| `latency` | seconds | delays every control (MuJoCo's actuator delay) |
| `motor_strength` | factor, or one for each actuator | scales gain and force limit |
| `dead_actuator`, `dead_leg`, `dead_joint` | prefix of actuator names | no force |
| `observation_noise` | standard deviation | added to every observation |
| `observation_bias` | offset | added to every observation |

"none" kills no actuator. The first three act on the compiled model, the last two in
the environment. A change in mid-episode needs no parameter: see `tasks.Switch`.
"""

import copy
import math
from collections.abc import Mapping

import numpy as np

from metarl.engine import mujoco
from metarl.errors import InputError
from metarl.parameters import Choice, Parameter
from metarl.tasks import Task

DEAD = ("dead_actuator", "dead_leg", "dead_joint")
SENSED = ("observation_noise", "observation_bias")


def disturb(
    source: "mujoco.MjSpec | mujoco.MjModel",
    task: Task,
    parameters: Mapping[str, Parameter | Choice],
) -> "mujoco.MjModel":
    """Compile ``source`` and apply the parameters that act on a model.

    Raises:
        InputError: if a family with `latency` builds no `MjSpec`, or if no actuator
            has the name that a task kills.
    """
    if "latency" in parameters:
        if not isinstance(source, mujoco.MjSpec):
            raise InputError(
                "A family with the parameter 'latency' must return an MjSpec from "
                "build(): a compiled model has no room for delayed controls."
            )
        _delay(source, task["latency"], parameters["latency"])
    # A copy, as the family may keep what it built.
    compiled = isinstance(source, mujoco.MjModel)
    model = copy.copy(source) if compiled else source.compile()
    if "motor_strength" in parameters:
        scale_actuators(model, np.asarray(task["motor_strength"]))
    for name in DEAD:
        if name in parameters and task[name] != "none":
            scale_actuators(model, 1.0 - _named(model, name, str(task[name])))
    return model


def _delay(
    spec: "mujoco.MjSpec", seconds: float, parameter: Parameter | Choice
) -> None:
    # Every task gets a buffer for the longest delay, so that all models of the
    # family have the same sizes.
    longest = (
        max(parameter.values)
        if isinstance(parameter, Choice)
        else (parameter.bounds[1])
    )
    room = math.ceil(longest / spec.option.timestep) + 1
    for actuator in spec.actuators:
        actuator.nsample = room
        actuator.delay = seconds


def scale_actuators(model: "mujoco.MjModel", factor: "np.ndarray | float") -> None:
    """Scale what actuators deliver: gain, bias and force limit.

    Args:
        model: changed in place.
        factor: (nu,) or a number; -1 is a motor that is wired backwards.
    """
    column = np.broadcast_to(factor, model.nu)[:, None]
    model.actuator_gainprm[:] *= column
    model.actuator_biasprm[:] *= column
    model.actuator_forcerange[:] = np.sort(model.actuator_forcerange * column, 1)


def _named(model: "mujoco.MjModel", parameter: str, prefix: str) -> np.ndarray:
    """1 for the actuators whose name starts with ``prefix``, (nu,) float."""
    names = [model.actuator(i).name for i in range(model.nu)]
    hits = np.array([name.startswith(prefix) for name in names], float)
    if not hits.any():
        raise InputError(
            f"Parameter {parameter!r} is {prefix!r}, but no actuator's name starts "
            f"with it. Actuators: {', '.join(names)}."
        )
    return hits
