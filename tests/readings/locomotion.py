"""How each parameter of the legged families is read back and felt."""

import math

import numpy as np
import pytest
import torch

from metarl.envs.locomotion.quadruped import SIDE
from metarl.envs.locomotion.quadruped_model import JOINTS, NOMINAL_VOLTAGE
from metarl.envs.locomotion.terrain import KINDS, LEVEL, RUN, height
from metarl.simulation.engine import mujoco
from readings.common import (
    damping,
    goal_bearing,
    goal_distance,
    goal_site,
    latency,
    ratio,
    strength,
    told,
    touching,
)


def density(family, task):
    model, nominal = family.models(task), family.models.nominal
    factor = ratio(model.body_mass, nominal.body_mass)
    assert ratio(model.body_inertia, nominal.body_inertia) == pytest.approx(factor)
    assert nominal.body_mass.sum() == pytest.approx(14.0)
    return 1000.0 * factor


def payload(family, task):
    empty = family.models(family.task(payload=0.0))
    return family.models(task).body_mass.sum() - empty.body_mass.sum()


def payload_offset(family, task):
    """Where the payload pulls the centre of mass."""
    loaded = family.task(**dict(task.values) | {"payload": 8.0})
    empty = family.task(**dict(task.values) | {"payload": 0.0})
    pull = moment(family.models(loaded)) - moment(family.models(empty))
    return tuple(pull[:2] / 8.0)


def moment(model):
    """Mass times centre of mass, robot upright, kg m."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model.body_mass @ data.xipos


def limb_length(family, task):
    model, nominal = family.models(task), family.models.nominal
    factors = []
    for leg in ("FL", "FR", "RL", "RR"):
        for one, other in (
            (model.body(f"{leg}_calf").pos, nominal.body(f"{leg}_calf").pos),
            (model.geom(f"{leg}_foot").pos, nominal.geom(f"{leg}_foot").pos),
        ):
            factors.append(one[2] / other[2])
    assert np.ptp(factors) < 1e-9
    return factors[0]


def leg_shares(family, task):
    """What each leg has of the strength that all motors have in this task."""
    even = family.models(family.task(**dict(task.values) | {"weak_leg": "none"}))
    model, shares = family.models(task), {}
    for i in range(model.nu):
        leg = model.actuator(i).name.split("_")[0]
        for field in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange"):
            share = ratio(getattr(model, field)[i], getattr(even, field)[i])
            assert share == pytest.approx(shares.setdefault(leg, share))
    assert len(shares) == 4
    return shares


def weak_leg(family, task):
    weak = [leg for leg, share in leg_shares(family, task).items() if share < 1]
    assert len(weak) <= 1
    return weak[0] if weak else "none"


def leg_strength(family, task):
    weak = family.task(**dict(task.values) | {"weak_leg": "RL"})
    return leg_shares(family, weak)["RL"]


def strongest(family, task):
    """The strength of all motors, from a robot whose legs are alike."""
    return strength(family, family.task(**dict(task.values) | {"weak_leg": "none"}))


def slope(family, task):
    gravity = family.models(task).opt.gravity
    assert np.linalg.norm(gravity) == pytest.approx(9.81)
    assert gravity[1] == 0
    return math.atan2(-gravity[0], -gravity[2])


def mass(family, task):
    model, nominal = family.models(task), family.models.nominal
    factor = ratio(model.body_mass, nominal.body_mass)
    assert ratio(model.body_inertia, nominal.body_inertia) == pytest.approx(factor)
    return model.body_mass.sum()


def total_mass(family, task):
    return family.models(task).body_mass.sum()


def torso_length(family, task):
    model = family.models(task)
    # The legs are joined to the ends of the torso.
    hips = model.body("fthigh").pos[0] - model.body("bthigh").pos[0]
    assert 2 * model.geom("torso").size[1] == pytest.approx(hips)
    return hips


def link_masses(family, task):
    model, nominal = family.models(task), family.models.nominal
    factors = model.body_mass[1:] / nominal.body_mass[1:]
    inertia = model.body_inertia[1:] / nominal.body_inertia[1:]
    np.testing.assert_allclose(inertia, np.tile(factors[:, None], 3))
    return tuple(factors)


def joint_dampings(family, task):
    model, nominal = family.models(task), family.models.nominal
    np.testing.assert_array_equal(model.dof_damping[:3], 0)
    return tuple(model.dof_damping[3:] / nominal.dof_damping[3:])


def frictions(family, task):
    model, nominal = family.models(task), family.models.nominal
    return ratio(model.geom_friction[:, 0], nominal.geom_friction[:, 0])


def ant_density(family, task):
    model, nominal = family.models(task), family.models.nominal
    factor = ratio(model.body_mass, nominal.body_mass)
    assert ratio(model.body_inertia, nominal.body_inertia) == pytest.approx(factor)
    return 5.0 * factor


def dead_motors(family, task):
    model = family.models(task)
    dead = {
        model.actuator(i).name.removesuffix("_hip").removesuffix("_ankle")
        for i in range(model.nu)
        if not model.actuator_gainprm[i].any()
    }
    assert len(dead) <= 1
    assert (~model.actuator_gainprm.any(1)).sum() == 2 * len(dead)
    return dead.pop() if dead else "none"


def voltage(family, task):
    """The drive voltage, from the torque of a stalled motor that is far off."""
    model = family.models(task)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    data.ctrl[:] = model.actuator_ctrlrange[:, 1]
    mujoco.mj_forward(model, data)
    thigh = [i for i in range(model.nu) if model.actuator(i).name.endswith("thigh")]
    assert np.ptp(data.actuator_force[thigh]) < 1e-9
    return NOMINAL_VOLTAGE * data.actuator_force[thigh[0]] / JOINTS["thigh"][2]


def side_load(family, task):
    model = family.models(task)
    trunk, bare = model.body("trunk"), family.models.nominal.body("trunk")
    load = trunk.mass[0] - bare.mass[0]
    side = (trunk.mass[0] * trunk.ipos[1] - bare.mass[0] * bare.ipos[1]) / SIDE
    assert abs(side) == pytest.approx(load)
    return side


def joint_friction(family, task):
    losses = family.models(task).dof_frictionloss
    assert (losses[:6] == 0).all()
    assert np.ptp(losses[6:]) == 0
    return losses[6]


def terrain(family, task):
    """Which of the kinds the height field is, seen from above."""
    found = [kind for kind in KINDS if shape(family, task, kind) < 0.2 * task["relief"]]
    assert len(found) == 1
    return found[0]


def relief(family, task):
    """From the heights of rough ground, which no other relief gives."""
    values = dict(task.values) | {"terrain": "rough"}
    assert shape(family, family.task(**values), "rough") < 0.2 * task["relief"]
    return task["relief"]


def shape(family, task, kind):
    """Largest distance in m between the height field and its function, away from
    the steps of stairs."""
    model = family.models(task)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    ground = model.geom("ground").id
    worst = 0.0
    for x in LEVEL + RUN * (np.arange(0, 30, 3) + 0.5):
        for y in (-1.0, 0.0, 2.0):
            far = mujoco.mj_rayHfield(
                model, data, ground, np.array([x, y, 5.0]), np.array([0.0, 0, -1]), None
            )
            where = [torch.tensor(float(v)) for v in (x, y, KINDS.index(kind))]
            expected = height(*where, torch.tensor(task["relief"]))
            worst = max(worst, abs(5.0 - far - float(expected)))
    return worst


CHEETAH = {
    "motor_strength": strength,
    "density": density,
    "friction": touching,
    "damping": damping,
}
ANT = {
    "motor_strength": strength,
    "density": ant_density,
    "friction": touching,
    "damping": damping,
}
PLANAR = {"mass": link_masses, "damping": joint_dampings, "friction": frictions}
QUADRUPED = {
    "payload": payload,
    "payload_offset": payload_offset,
    "friction": touching,
    "motor_strength": strongest,
    "limb_length": limb_length,
    "latency": latency,
    "weak_leg": weak_leg,
    "leg_strength": leg_strength,
    "slope": slope,
    "forward_velocity": told("forward_velocity"),
    "left_velocity": told("left_velocity"),
    "turn_rate": told("turn_rate"),
    "velocity_bias": told("velocity_bias"),
}
READ_BACK = {
    "cheetah-mass": {"mass": mass},
    "cheetah-body": {
        "mass": total_mass,
        "damping": damping,
        "torso_length": torso_length,
    },
    "hopper-params": PLANAR,
    "walker-params": PLANAR,
    "ant-direction": {"direction": told("direction"), **ANT},
    "ant-goal": {"goal": goal_site, **ANT},
    "ant-crippled": {"dead_leg": dead_motors, **ANT},
    "go1-velocity": QUADRUPED,
    "quadruped-battery": {
        "voltage": voltage,
        "side_load": side_load,
        "friction": touching,
        "joint_friction": joint_friction,
        "latency": latency,
    },
    "quadruped-goal": {
        "payload": payload,
        "friction": touching,
        "motor_strength": strength,
        "goal_distance": goal_distance,
        "goal_bearing": goal_bearing,
    },
    "quadruped-terrain": {
        "terrain": terrain,
        "relief": relief,
        "friction": touching,
        "payload": payload,
        "forward_velocity": told("forward_velocity"),
    },
    "cheetah-direction": {"direction": told("direction"), **CHEETAH},
    "cheetah-velocity": {"velocity": told("velocity"), **CHEETAH},
    "cheetah-dynamics": CHEETAH,
    "quadruped-velocity": QUADRUPED,
}
ONLY_SENSED = {
    ("quadruped-velocity", "velocity_bias"),
    ("go1-velocity", "velocity_bias"),
}
HELD: dict[tuple[str, str], dict] = {
    ("quadruped-velocity", "payload_offset"): {"payload": 8.0},
    ("go1-velocity", "payload_offset"): {"payload": 8.0},
    ("quadruped-velocity", "leg_strength"): {"weak_leg": "RL"},
    ("go1-velocity", "leg_strength"): {"weak_leg": "RL"},
    ("quadruped-terrain", "relief"): {"terrain": "rough"},
}
SENSED = {
    "forward_velocity",  # commands are observed by declaration
    "left_velocity",
    "turn_rate",
    "slope",  # the direction of gravity in the trunk's frame, from an IMU
    "velocity_bias",  # an error of the estimate that is observed
}
STARTS = {"quadruped-terrain": {0: 1.0, 2: 0.6}}
SEEN = {
    "quadruped-terrain": {"forward_velocity"},
    "quadruped-velocity": SENSED,
    "go1-velocity": SENSED,
}
