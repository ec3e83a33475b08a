"""Parameters that act by themselves, in every family that declares one.

Some of what is unknown about a robot does not depend on which robot it is. A family
that names one of these parameters need not do anything else:

| name | value | what it does |
|---|---|---|
| `latency` | seconds | delays every control (MuJoCo's actuator delay) |
| `motor_strength` | factor, or one for each actuator | scales gain and force limit |
| `dead_actuator`, `dead_leg`, `dead_joint` | prefix of actuator names | no force |
| `observation_noise` | standard deviation, or one each | added to observations |
| `observation_bias` | offset, or one each | added to observations |

"none" kills no actuator. A name that is an actuator's own means it alone, not those
whose names begin with it. The first three act on the compiled model, the last two in
the environment. A change in mid-episode needs no parameter: see `tasks.Switch`.

A delay lasts whole physics steps, rounded up: 0.011 s at a time step of 0.005 s is
0.015 s. Strength is the actuator's: a limit of its joint (`actuatorfrcrange`) stays.
"""

import copy
import math
from collections.abc import Mapping

import numpy as np

from metarl.engine import mujoco
from metarl.errors import InputError
from metarl.parameters import Choice, Parameter
from metarl.tasks import Task

_PROPORTIONAL_GAINS = (mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtGain.mjGAIN_AFFINE)
_PROPORTIONAL_BIASES = (mujoco.mjtBias.mjBIAS_NONE, mujoco.mjtBias.mjBIAS_AFFINE)
_CONTROLLERS = (mujoco.mjtGain.mjGAIN_PID, mujoco.mjtGain.mjGAIN_DCMOTOR)
_SETPOINTS = int(mujoco.mjtCtrlInput.mjINPUT_POS | mujoco.mjtCtrlInput.mjINPUT_VEL)

DEAD = ("dead_actuator", "dead_leg", "dead_joint")
SENSED = ("observation_noise", "observation_bias")


def disturb(
    source: "mujoco.MjSpec | mujoco.MjModel",
    task: Task,
    parameters: Mapping[str, Parameter | Choice],
) -> "mujoco.MjModel":
    """Compile ``source`` and apply the parameters that act on a model.

    Raises:
        InputError: if a family with `latency` builds no `MjSpec`, if no actuator has
            the name that a task kills, or if the strength of one cannot be scaled.
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
        strength = np.asarray(task["motor_strength"])
        if strength.ndim and len(strength) != model.nactuator:
            raise InputError(
                f"Parameter 'motor_strength' has size={len(strength)}, but the robot "
                f"has {model.nactuator} actuators: give it size=1 or "
                f"size={model.nactuator}."
            )
        scale_actuators(model, strength)
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
        factor: one for each actuator, or a number; -1 is a motor that is wired
            backwards.

    Raises:
        InputError: for an actuator whose parameters do not scale its force.
    """
    column = np.broadcast_to(factor, model.nactuator)[:, None]
    wrong = (column[:, 0] != 1) & ~_proportional(model)
    if wrong.any():
        index = int(wrong.argmax())
        raise InputError(
            f"The strength of actuator {model.actuator(index).name or index!r} cannot "
            "be scaled: it is a muscle, a DC motor driven by voltage, or takes a force "
            "as its control. Change its own parameters in build()."
        )
    model.actuator_gainprm[:] *= column
    model.actuator_biasprm[:] *= column
    model.actuator_forcerange[:] = np.sort(model.actuator_forcerange * column, 1)


def _proportional(model: "mujoco.MjModel") -> np.ndarray:
    """Whether gain and bias parameters scale each actuator's force, (nactuator,) bool.

    Those of a muscle are lengths and speeds, too. Those of a DC motor are its
    resistance and constant, of which the force keeps its share only if a controller
    sets the voltage; what is fed forward passes by any controller's gains.
    """
    gain, bias = model.actuator_gaintype, model.actuator_biastype
    plain = np.isin(gain, _PROPORTIONAL_GAINS) & np.isin(bias, _PROPORTIONAL_BIASES)
    controlled = model.actuator_ctrlspec & ~_SETPOINTS == 0
    return plain | (np.isin(gain, _CONTROLLERS) & controlled)


def _named(model: "mujoco.MjModel", parameter: str, prefix: str) -> np.ndarray:
    """1 for the actuators whose name is or starts with ``prefix``, (nactuator,)."""
    names = [model.actuator(i).name for i in range(model.nactuator)]
    if prefix in names:  # "m1" is not "m10"
        return np.array([name == prefix for name in names], float)
    hits = np.array([name.startswith(prefix) for name in names], float)
    if not hits.any():
        raise InputError(
            f"Parameter {parameter!r} is {prefix!r}, but no actuator's name starts "
            f"with it. Actuators: {', '.join(names)}."
        )
    return hits
