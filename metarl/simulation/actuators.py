"""Actuators for robots whose file has none, by kind: motor, position, velocity."""

import fnmatch
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from metarl.errors import InputError, unknown
from metarl.simulation.bases import set_keys
from metarl.simulation.engine import mujoco

Words = str | Mapping[str, str]
Numbers = float | Mapping[str, float]
"""One for all joints, or by patterns of their names: {"*_hip": 40, "*": 20}."""

KINDS = ("motor", "position", "velocity")
_AT_FULL = 0.1  # of a joint's range: the error at which a servo gives all its force
_FASTEST = 0.2  # rad a physics step: of a servo's default natural frequency
_NO_RANGE = math.pi  # rad or m: how far a joint without limits is sent either way


def actuate(
    spec: "mujoco.MjSpec",
    source: str,
    kinds: Words,
    *,
    kp: Numbers | None = None,
    kv: Numbers | None = None,
    effort: Numbers | None = None,
    velocity: Numbers | None = None,
    limits: Mapping[str, float] | None = None,
) -> None:
    """Replace a model's actuators by one for each joint that is asked for.

    Args:
        spec: changed in place.
        source: what to name it by in messages.
        kinds: "motor", "position" or "velocity"; joints that no pattern fits stay
            passive, as do free, ball and mimicking joints.
        kp: gain of servos, N m/rad, N/m or N m s/rad; default: all force at an error
            of a tenth of the range of positions or velocities, or as much as the time
            step can follow.
        kv: damping of position servos, N m s/rad; default: critical.
        effort: largest force, N m or N; default: the joint's own limit.
        velocity: largest velocity, rad/s or m/s; default: the file's limit.
        limits: the file's limits of velocity by joint.

    Raises:
        InputError: naming the joint that has no limit that is needed, or the pattern
            that fits no joint.
    """
    joints = _actuated(spec, source)
    if not joints:
        raise InputError(
            f"{source} has no hinge or slide joint to actuate: give actuators='none' "
            "and move it in act(), or add actuators in build()."
        )
    given = {"kp": kp, "kv": kv, "effort": effort, "velocity": velocity}
    for what, each in {"actuators": kinds, **given}.items():
        _check(each, what, joints, source)
    model = spec.compile()
    before = {
        model.joint(int(model.actuator_trnid[i, 0])).name: _largest(model, i)
        for i in range(model.nu)
        if model.actuator_trntype[i] == int(mujoco.mjtTrn.mjTRN_JOINT)
    }
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    made = []
    for name in joints:
        kind = chosen(kinds, name)
        if kind is None:
            continue
        if kind not in KINDS:
            raise unknown(f"kind of actuator for {name!r} of {source}:", kind, KINDS)
        joint = model.joint(name)
        own = model.jnt_actfrcrange[joint.id, 1] or before.get(name, 0.0)
        wanted = {what: chosen(each, name) for what, each in given.items()}
        force = wanted["effort"] or own
        if not 0 < force < math.inf and (kind == "motor" or not wanted["kp"]):
            raise InputError(
                f"Joint {name!r} of {source} has no limit of effort. Give it one in "
                f"the file, or say effort={{{name!r}: ...}} in N m or N."
            )
        fastest = wanted["velocity"] or (limits or {}).get(name, 0.0)
        if kind == "velocity" and not 0 < fastest < math.inf:
            raise InputError(
                f"Joint {name!r} of {source} has no limit of velocity. Give it one in "
                f"the file, or say velocity={{{name!r}: ...}} in rad/s or m/s."
            )
        inertia = float(model.dof_M0[model.jnt_dofadr[joint.id]])
        low, high = -_NO_RANGE, _NO_RANGE
        if model.jnt_limited[joint.id]:
            low, high = model.jnt_range[joint.id]
        actuator = spec.add_actuator(name=name, target=name)
        actuator.trntype = mujoco.mjtTrn.mjTRN_JOINT
        actuator.ctrllimited = True
        if 0 < force < math.inf:
            actuator.forcelimited, actuator.forcerange = True, [-force, force]
        # The actuator has the limit now, and a parameter may make it stronger.
        spec.joint(name).actfrclimited = False
        if kind == "motor":
            actuator.set_to_motor()
            actuator.ctrlrange = [-force, force]
        elif kind == "position":
            # Files may say 50 kN m of a finger: no time step would do for that.
            stable = inertia * (_FASTEST / model.opt.timestep) ** 2
            gain = wanted["kp"] or min(force / (_AT_FULL * (high - low)), stable)
            damping = {"dampratio": 1.0} if wanted["kv"] is None else {}
            damping |= {} if wanted["kv"] is None else {"kv": wanted["kv"]}
            actuator.set_to_position(kp=gain, **damping)
            actuator.ctrlrange = [low, high]
        else:
            stable = inertia * _FASTEST / model.opt.timestep
            gain = wanted["kp"] or min(force / (_AT_FULL * fastest), stable)
            actuator.set_to_velocity(kv=gain)
            actuator.ctrlrange = [-fastest, fastest]
        made.append((kind, int(joint.qposadr[0])))
    # A servo holds the posture; a motor rests.
    held = [at if kind == "position" else -1 for kind, at in made]
    qpos = np.pad(model.key_qpos, ((0, 0), (0, 1)))
    set_keys(spec, model, ctrl=qpos[:, held], act=np.zeros((model.nkey, 0)))


def chosen(each: Any, name: str) -> Any:
    """What is meant for a joint: the first pattern that fits it; None for nothing."""
    if not isinstance(each, Mapping):
        return each
    fits = (v for p, v in each.items() if fnmatch.fnmatchcase(name, p))
    return next(fits, None)


def _largest(model: "mujoco.MjModel", actuator: int) -> float:
    """The largest force of an actuator on its joint, 0 if there is no limit."""
    gear = abs(float(model.actuator_gear[actuator, 0]))
    if model.actuator_forcelimited[actuator]:
        return gear * float(model.actuator_forcerange[actuator, 1])
    plain = model.actuator_biastype[actuator] == int(mujoco.mjtBias.mjBIAS_NONE)
    if plain and model.actuator_ctrllimited[actuator]:
        largest = (
            model.actuator_gainprm[actuator, 0] * model.actuator_ctrlrange[actuator]
        )
        return gear * float(np.abs(largest).max())
    return 0.0


def _actuated(spec: "mujoco.MjSpec", source: str) -> list[str]:
    """Names of the joints that an actuator may drive."""
    plain = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)
    tied = {
        equality.name1
        for equality in spec.equalities
        if equality.type == mujoco.mjtEq.mjEQ_JOINT and equality.name2
    }
    joints = [joint for joint in spec.joints if joint.type in plain]
    unnamed = next((joint for joint in joints if not joint.name), None)
    if unnamed is not None:
        raise InputError(
            f"A joint of the body {unnamed.parent.name!r} of {source} has no name, "
            "which an actuator needs."
        )
    return [joint.name for joint in joints if joint.name not in tied]


def _check(each: Any, what: str, joints: Iterable[str], source: str) -> None:
    """Refuse patterns that fit no joint, and numbers that are none or not positive."""
    patterns = each if isinstance(each, Mapping) else {}
    for pattern in patterns:
        if not fnmatch.filter(joints, pattern):
            raise unknown(f"joint in {what} of {source}:", pattern, joints)
    if what == "actuators" or each is None:
        return
    for value in patterns.values() if isinstance(each, Mapping) else [each]:
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise InputError(f"{what}={value!r} must be a number that is not negative.")


def resting_controls(model: "mujoco.MjModel") -> "np.ndarray":
    """Controls that hold a robot where its episodes start, (nu,).

    They are the first keyframe's. Where there is none, servos are sent to where they
    are, and motors rest.
    """
    if model.nkey:
        return model.key_ctrl[0].copy()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    gain, bias = model.actuator_gainprm[:, 0], model.actuator_biasprm
    servo = (bias[:, 1] != 0) & (gain != 0)
    wanted = -(bias[:, 0] + bias[:, 1] * data.actuator_length)
    return np.divide(wanted, gain, out=np.zeros(model.nu), where=servo)
