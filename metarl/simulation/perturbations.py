"""What is unknown about any robot: latency, motors, dead actuators, sensors.

A family declares what of it applies, beside the parameters that say how much:

    parameters = {
        "latency": Parameter(0.0, train=(0.0, 0.02), unit="s"),
        "motor_strength": Parameter(1.0, train=(0.8, 1.2)),
    }
    perturbations = (Latency("latency"), MotorStrength("motor_strength"))

| class | value of its parameter | what it does |
|---|---|---|
| `Latency` | seconds | delays every control (MuJoCo's actuator delay) |
| `MotorStrength` | factor, or one for each actuator | scales gain and force limit |
| `DeadActuator` | prefix of actuator names, or "none" | no force |
| `ObservationNoise` | standard deviation, or one each | added to observations |
| `ObservationBias` | offset, or one each | added to observations |

The first three act on the compiled model, the last two on what `observe` returns. All
act in the order in which they are declared. A change in mid-episode needs none of them:
see `metarl.tasks.task.Switch`.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from metarl.errors import InputError, unknown
from metarl.simulation.engine import mujoco
from metarl.tasks.parameter import Choice, Parameter


@dataclass(frozen=True)
class Perturbation:
    """Something that a parameter does to any robot."""

    parameter: str
    """Name of the parameter that says how much."""


class ModelPerturbation(Perturbation):
    """A perturbation of models. By default it changes nothing."""

    def edit_spec(
        self,
        source: "mujoco.MjSpec | mujoco.MjModel",
        value: Any,
        parameter: Parameter | Choice,
    ) -> None:
        """Change what `build` returned, before it is compiled.

        Args:
            source: changed in place.
            value: of the task.
            parameter: the whole range, as all models must have the same sizes.
        """

    def edit_model(self, model: "mujoco.MjModel", value: Any) -> None:
        """Change the compiled model in place for a task's value."""


class Latency(ModelPerturbation):
    """Delays every control by so many seconds.

    A delay lasts whole physics steps, rounded up: 0.011 s at a time step of 0.005 s is
    0.015 s.
    """

    def edit_spec(
        self,
        source: "mujoco.MjSpec | mujoco.MjModel",
        value: Any,
        parameter: Parameter | Choice,
    ) -> None:
        """Give every actuator a delay.

        Raises:
            InputError: if the family builds no `MjSpec`.
        """
        if not isinstance(source, mujoco.MjSpec):
            raise InputError(
                f"A family with Latency({self.parameter!r}) must return an MjSpec from "
                "build(): a compiled model has no room for delayed controls."
            )
        # Every task gets a buffer for the longest delay, so that all models of the
        # family have the same sizes.
        longest = (
            max(parameter.values)
            if isinstance(parameter, Choice)
            else parameter.bounds[1]
        )
        room = math.ceil(longest / source.option.timestep) + 1
        for actuator in source.actuators:
            actuator.nsample = room
            actuator.delay = value


class MotorStrength(ModelPerturbation):
    """Scales gain and force limit of all actuators, or of each by its own factor.

    Strength is the actuator's: a limit of its joint (`actuatorfrcrange`) stays. A
    factor of -1 is a motor that is wired backwards.
    """

    def edit_model(self, model: "mujoco.MjModel", value: Any) -> None:
        """Scale the actuators.

        Raises:
            InputError: if there are not as many factors as actuators, or if the
                strength of one cannot be scaled.
        """
        strength = np.asarray(value)
        if strength.ndim and len(strength) != model.nactuator:
            raise InputError(
                f"Parameter {self.parameter!r} has size={len(strength)}, but the robot "
                f"has {model.nactuator} actuators: give it size=1 or "
                f"size={model.nactuator}."
            )
        scale_actuators(model, strength)


class DeadActuator(ModelPerturbation):
    """Takes all force from the actuators whose names begin with a prefix.

    "none" takes it from no actuator. A name that is an actuator's own means it alone,
    not those whose names begin with it.
    """

    def edit_model(self, model: "mujoco.MjModel", value: Any) -> None:
        """Scale the dead actuators to nothing.

        Raises:
            InputError: if no actuator has such a name, or its strength cannot be
                scaled.
        """
        if value != "none":
            scale_actuators(model, 1.0 - _named(model, self.parameter, str(value)))


class SensorPerturbation(Perturbation):
    """A perturbation of observations."""

    noisy: bool = False
    """Whether it needs random numbers."""

    def disturb(
        self, observation: Tensor, value: Tensor, noise: Tensor | None
    ) -> Tensor:
        """Observations as the sensors give them, (n, observation_size).

        Args:
            observation: as they are, (n, observation_size).
            value: of each simulation's task, (n, 1) or (n, observation_size).
            noise: standard normal numbers of the observations' shape, if `noisy`.
        """
        raise NotImplementedError


class ObservationNoise(SensorPerturbation):
    """Adds Gaussian noise of a standard deviation, drawn anew at every step."""

    noisy = True

    def disturb(
        self, observation: Tensor, value: Tensor, noise: Tensor | None
    ) -> Tensor:
        """Observations with noise."""
        assert noise is not None
        return observation + value * noise


class ObservationBias(SensorPerturbation):
    """Adds an offset that stays for the whole episode."""

    def disturb(
        self, observation: Tensor, value: Tensor, noise: Tensor | None
    ) -> Tensor:
        """Observations with an offset."""
        return observation + value


_BY_NAME: Mapping[str, type[Perturbation]] = {
    "latency": Latency,
    "motor_strength": MotorStrength,
    "dead_actuator": DeadActuator,
    "dead_leg": DeadActuator,
    "dead_joint": DeadActuator,
    "observation_noise": ObservationNoise,
    "observation_bias": ObservationBias,
}


def declared(
    family: str,
    perturbations: Sequence[Perturbation] | None,
    parameters: Mapping[str, Parameter | Choice],
) -> tuple[Perturbation, ...]:
    """The perturbations of a family, checked.

    A family that declares none at all has those that its parameters' names imply, as
    in metarl 0.1, with a `DeprecationWarning` that says what to declare.

    Args:
        family: its name, for messages.
        perturbations: as the family declares them; None for not at all.
        parameters: of the family.

    Raises:
        InputError: for something else, or for a parameter that the family has not.
    """
    if perturbations is None:
        implied = [n for n in _BY_NAME if n in parameters]
        if implied:
            lines = ", ".join(f'{_BY_NAME[n].__name__}("{n}")' for n in implied)
            warnings.warn(
                f"Parameters of {family} act by their names. That ends with metarl "
                f"0.3. Declare them in the family: perturbations = ({lines},), all of "
                "which `from metarl import ...` has; or perturbations = () if they "
                "have no effect of their own.",
                DeprecationWarning,
                stacklevel=4,
            )
        return tuple(_BY_NAME[name](name) for name in implied)
    for perturbation in perturbations:
        if not isinstance(perturbation, ModelPerturbation | SensorPerturbation):
            raise InputError(
                f"{family}: {perturbation!r} in perturbations is not a perturbation, "
                'such as Latency("latency").'
            )
        if perturbation.parameter not in parameters:
            raise unknown(
                f"parameter in perturbations of {family}:",
                perturbation.parameter,
                parameters,
            )
    return tuple(perturbations)


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
    gains, biases, inputs = mujoco.mjtGain, mujoco.mjtBias, mujoco.mjtCtrlInput
    gain, bias = model.actuator_gaintype, model.actuator_biastype
    plain = np.isin(gain, (gains.mjGAIN_FIXED, gains.mjGAIN_AFFINE))
    plain &= np.isin(bias, (biases.mjBIAS_NONE, biases.mjBIAS_AFFINE))
    setpoints = int(inputs.mjINPUT_POS | inputs.mjINPUT_VEL)
    controlled = model.actuator_ctrlspec & ~setpoints == 0
    controllers = np.isin(gain, (gains.mjGAIN_PID, gains.mjGAIN_DCMOTOR))
    return plain | (controllers & controlled)


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
