"""Bases of robots, held or free, and links that overlap by construction."""

import numpy as np

from metarl.errors import InputError
from metarl.simulation.engine import mujoco

_FREE = 7  # numbers in the position of a free joint


def set_base(spec: "mujoco.MjSpec", source: str, fixed: bool | None) -> None:
    """Hold a robot's base, or let it move freely; keyframes go along.

    A base that becomes free stands with its lowest point on the plane z = 0, unless a
    keyframe says where it is.

    Args:
        spec: changed in place.
        source: what to name it by in messages.
        fixed: None to leave it as it is.

    Raises:
        InputError: if the base has joints of another kind, or there is none.
    """
    if fixed is None:
        return
    free = mujoco.mjtJoint.mjJNT_FREE
    base = next((b for b in spec.worldbody.bodies if b.find_all("joint")), None)
    base = base or next(iter(spec.worldbody.bodies), None)
    if base is None:
        raise InputError(f"{source} has no body whose base could be fixed or free.")
    own = list(base.joints)
    is_free = any(joint.type == free for joint in own)
    if is_free == (not fixed):
        return
    if own and not is_free:
        if fixed:
            return
        raise InputError(
            f"The base {base.name!r} of {source} moves by the joint {own[0].name!r}, "
            "so it cannot be free as well."
        )
    old = spec.compile()
    if is_free:
        (joint,) = (joint for joint in own if joint.type == free)
        first, speed = old.jnt_qposadr[joint.id], old.jnt_dofadr[joint.id]
        spec.delete(joint)
        set_keys(
            spec,
            old,
            qpos=np.delete(old.key_qpos, np.s_[first : first + _FREE], 1),
            qvel=np.delete(old.key_qvel, np.s_[speed : speed + _FREE - 1], 1),
        )
        return
    base.add_freejoint(name=f"{base.name or 'base'}_free")
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    joint = model.body_jntadr[base.id]
    first, speed = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
    if not spec.keys:
        base.pos[2] += 1e-3 - _lowest(model, data, base.id)
        return
    qpos = np.insert(old.key_qpos, [first] * _FREE, data.qpos[first : first + _FREE], 1)
    qvel = np.insert(old.key_qvel, [speed] * (_FREE - 1), 0.0, 1)
    set_keys(spec, old, qpos=qpos, qvel=qvel)


def set_keys(
    spec: "mujoco.MjSpec", old: "mujoco.MjModel", **changed: np.ndarray
) -> None:
    """Give keyframes back what a change of joints or actuators takes from them.

    Args:
        spec: after the change.
        old: its model before.
        changed: fields in place of the old ones, (keyframes, ...).
    """
    for index, key in enumerate(spec.keys):
        for name in ("qpos", "qvel", "act", "ctrl", "mpos", "mquat"):
            rows = changed.get(name, getattr(old, f"key_{name}"))
            setattr(key, name, np.ravel(rows[index]))


def exclude_overlaps(spec: "mujoco.MjSpec") -> None:
    """Let links not collide that overlap by construction.

    Those are a link and the fixed links that it is mounted on, which MuJoCo would let
    collide, and links that overlap where all joints are at rest.
    """
    model = spec.compile()
    data = mujoco.MjData(model)
    for joint in range(model.njnt):
        if model.jnt_limited[joint]:
            at = model.jnt_qposadr[joint]
            data.qpos[at] = np.clip(data.qpos[at], *model.jnt_range[joint])
    mujoco.mj_forward(model, data)
    pairs = set()
    for body in range(1, model.nbody):
        parent = model.body_parentid[body]
        if model.body_weldid[body] != 0 and model.body_weldid[parent] == 0:
            while parent:
                pairs.add((int(parent), body))
                parent = model.body_parentid[parent]
    for contact in data.contact:
        one, other = sorted(int(model.geom_bodyid[geom]) for geom in contact.geom)
        if one and contact.dist < 0:
            pairs.add((one, other))
    for one, other in sorted(pairs):
        exclude = spec.add_exclude()
        exclude.bodyname1 = model.body(one).name
        exclude.bodyname2 = model.body(other).name


def _lowest(model: "mujoco.MjModel", data: "mujoco.MjData", root: int) -> float:
    """Height of the lowest point of a robot, m; that of its base without geoms."""
    mine = model.body_rootid[model.geom_bodyid] == root
    if not mine.any():
        return float(data.xpos[root, 2])
    centre, half = np.split(model.geom_aabb[mine], 2, axis=1)
    down = data.geom_xmat[mine].reshape(-1, 3, 3)[:, 2]
    heights = data.geom_xpos[mine, 2] + (down * centre).sum(1)
    return float((heights - (np.abs(down) * half).sum(1)).min())
