"""How each parameter of the legged families is read back and felt."""

import math

import numpy as np
import pytest

from readings.common import damping, latency, ratio, strength, told, touching


def density(family, task):
    model, nominal = family.model(task), family.nominal_model
    factor = ratio(model.body_mass, nominal.body_mass)
    assert ratio(model.body_inertia, nominal.body_inertia) == pytest.approx(factor)
    assert nominal.body_mass.sum() == pytest.approx(14.0)
    return 1000.0 * factor


def payload(family, task):
    mass = family.model(task).body("trunk").mass[0]
    empty = family.model(family.task(payload=0.0)).body("trunk").mass[0]
    return mass - empty


def payload_offset(family, task):
    """Where the payload pulls the trunk's centre of mass."""
    loaded = dict(task.values) | {"payload": 8.0}
    trunk = family.model(family.task(**loaded)).body("trunk")
    empty = family.model(family.task(payload=0.0)).body("trunk")
    moment = trunk.mass[0] * trunk.ipos - empty.mass[0] * empty.ipos
    return tuple(moment[:2] / 8.0)


def limb_length(family, task):
    model, nominal = family.model(task), family.nominal_model
    factors = []
    for leg in ("FL", "FR", "RL", "RR"):
        for one, other in (
            (model.body(f"{leg}_calf").pos, nominal.body(f"{leg}_calf").pos),
            (model.geom(f"{leg}_foot").pos, nominal.geom(f"{leg}_foot").pos),
        ):
            factors.append(one[2] / other[2])
    assert np.ptp(factors) < 1e-9
    return factors[0]


def dead_leg(family, task):
    model = family.model(task)
    legs = {
        model.actuator(i).name.split("_")[0]
        for i in range(model.nu)
        if not model.actuator_gainprm[i].any() and not model.actuator_biasprm[i].any()
    }
    powerless = [i for i in range(model.nu) if not model.actuator_forcerange[i].any()]
    assert len(powerless) == 3 * len(legs)
    assert len(legs) <= 1
    return legs.pop() if legs else "none"


def slope(family, task):
    gravity = family.model(task).opt.gravity
    assert np.linalg.norm(gravity) == pytest.approx(9.81)
    assert gravity[1] == 0
    return math.atan2(-gravity[0], -gravity[2])


CHEETAH = {
    "motor_strength": strength,
    "density": density,
    "friction": touching,
    "damping": damping,
}
READ_BACK = {
    "cheetah-direction": {"direction": told("direction"), **CHEETAH},
    "cheetah-velocity": {"velocity": told("velocity"), **CHEETAH},
    "cheetah-dynamics": CHEETAH,
    "quadruped-velocity": {
        "payload": payload,
        "payload_offset": payload_offset,
        "friction": touching,
        "motor_strength": strength,
        "limb_length": limb_length,
        "latency": latency,
        "dead_leg": dead_leg,
        "slope": slope,
        "forward_velocity": told("forward_velocity"),
        "left_velocity": told("left_velocity"),
        "turn_rate": told("turn_rate"),
        "velocity_bias": told("velocity_bias"),
    },
}
ONLY_SENSED = {("quadruped-velocity", "velocity_bias")}
HELD = {("quadruped-velocity", "payload_offset"): {"payload": 8.0}}
SEEN = {
    "quadruped-velocity": {
        "forward_velocity",  # commands are observed by declaration
        "left_velocity",
        "turn_rate",
        "slope",  # the direction of gravity in the trunk's frame, from an IMU
        "velocity_bias",  # an error of the estimate that is observed
    },
}
