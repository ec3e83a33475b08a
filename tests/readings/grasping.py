"""How each parameter of the grasping families is read back and felt."""

import numpy as np
import pytest

from metarl.envs.grasping.arm_model import JOINTS, SHAPES, WEAK
from metarl.simulation.engine import mujoco
from readings.common import latency, ratio, told


def payload(family, task):
    return family.models(task).body("payload").mass[0]


def _of_joints(family, task, field):
    values = [
        [getattr(model.joint(name), field)[0] for name in JOINTS]
        for model in (family.models(task), family.models.nominal)
    ]
    return ratio(*map(np.array, values))


def joint_damping(family, task):
    return _of_joints(family, task, "damping")


def joint_friction(family, task):
    return _of_joints(family, task, "frictionloss")


def _strengths(family, task):
    """What is left of each joint's gain, bias and torque, by name."""
    model, nominal = family.models(task), family.models.nominal
    left = {}
    for name in JOINTS:
        one, other = model.actuator(name), nominal.actuator(name)
        left[name] = ratio(one.gainprm, other.gainprm)
        for field in ("biasprm", "forcerange"):
            found = ratio(getattr(one, field), getattr(other, field))
            assert found == pytest.approx(left[name])
    return left


def _joint_left_with(share):
    def read(family, task):
        left = _strengths(family, task)
        hit = [name for name in JOINTS if left[name] == pytest.approx(share)]
        assert len(hit) <= 1
        assert all(left[name] == 1 for name in JOINTS if name not in hit)
        return hit[0] if hit else "none"

    return read


def mass(family, task):
    return family.models(task).body("object").mass[0]


def half_size(family, task):
    """Half the height of the object where it lies."""
    model = family.models(task)
    assert model.key("home").qpos[-5] == model.geom("object").size[0]
    return model.key("home").qpos[-5]


def shape(family, task):
    kind = family.models(task).geom("object").type[0]
    (name,) = (name for name, each in SHAPES.items() if int(each.kind) == kind)
    return name


def com_offset(family, task):
    return tuple(family.models(task).body("object").ipos[:2])


def _pair(name):
    """Contact of the object with a geom: friction and time constant."""

    def read(model):
        ids = {model.geom(name).id, model.geom("object").id}
        (pair,) = (
            i
            for i in range(model.npair)
            if {int(model.pair_geom1[i]), int(model.pair_geom2[i])} == ids
        )
        return model.pair_friction[pair, :2].tolist(), model.pair_solref[pair, 0]

    return read


_TOUCHES = [_pair(name) for name in ("left_pad", "right_pad", "table")]


def friction(family, task):
    model = family.models(task)
    values = {value for touch in _TOUCHES for value in touch(model)[0]}
    assert len(values) == 1
    return values.pop()


def pad_compliance(family, task):
    model = family.models(task)
    values = {touch(model)[1] for touch in _TOUCHES[:2]}
    assert len(values) == 1
    return values.pop()


def grip_force(family, task):
    low, high = family.models(task).actuator("gripper").forcerange
    assert low == -high
    return high


def _goal(raised):
    """The goal as the family is told it, which is where the marker stands."""

    def read(family, task):
        goal = told("goal")(family, task)
        model = family.models(task)
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        mujoco.mj_forward(model, data)
        start = data.site("tip").xpos
        found = (model.site("goal").pos - start)[: len(goal)]
        assert found == pytest.approx(goal, abs=1e-6)
        if raised:
            height = model.site("goal").pos[2] - task["half_size"]
            assert height == pytest.approx(task["goal_height"])
        return goal

    return read


ARM = {
    "payload": payload,
    "joint_damping": joint_damping,
    "joint_friction": joint_friction,
    "latency": latency,
    "weak_joint": _joint_left_with(WEAK),
    "dead_joint": _joint_left_with(0.0),
}
OBJECT = {
    "mass": mass,
    "friction": friction,
    "half_size": half_size,
    "shape": shape,
    "com_offset": com_offset,
    "camera_offset": told("camera_offset"),
}
GRIP = {"grip_force": grip_force, "pad_compliance": pad_compliance}
READ_BACK = {
    "arm-reach": {"goal": _goal(raised=False), **ARM},
    "arm-push": {"goal": _goal(raised=False), **OBJECT, **ARM},
    "arm-lift": {**OBJECT, **GRIP, **ARM},
    "panda-lift": {**OBJECT, **GRIP, **ARM},
    "arm-place": {
        "goal": _goal(raised=True),
        "goal_height": told("goal_height"),
        **OBJECT,
        **GRIP,
        **ARM,
    },
}
_WITH_OBJECT = ("arm-push", "arm-lift", "arm-place", "panda-lift")
ONLY_SENSED = {(family, "camera_offset") for family in _WITH_OBJECT}
HELD: dict[tuple[str, str], dict] = {}
# Fingertips around the object: an arm that starts above may not find it in time.
_LOW = {0: 0.0, 1: 0.459, 2: 0.0, 3: -2.366, 4: 0.0, 5: 2.825, 9: 0.5, 10: 0.0}
STARTS: dict[str, dict[int, float]] = dict.fromkeys(_WITH_OBJECT, _LOW)
SEEN = {
    # The camera sees how high the object's middle lies, and is wrong about its place.
    "arm-push": {"half_size", "camera_offset"},
    "arm-lift": {"half_size", "camera_offset"},
    "panda-lift": {"half_size", "camera_offset"},
    # The command is observed by declaration.
    "arm-place": {"half_size", "camera_offset", "goal", "goal_height"},
}
