"""Models of tasks as MuJoCo Warp takes them: one model, with rows for the worlds.

On a GPU all worlds share the structure of the nominal model: its tree, its kinds of
joints, geoms and actuators. What is a number (a mass, a length, a gain, a delay) has a
row for each world. Two things look like structure and need not be: which joint an
actuator drives (controls are permuted instead) and the terrain of a height field (each
world points to its own). What else differs is refused by name.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import mujoco_warp
import numpy as np
import warp
from numpy.typing import NDArray
from torch import Tensor

from metarl.errors import InputError
from metarl.simulation.engine import mujoco

warp.config.log_level = warp.LOG_WARNING  # compiled kernels would be listed

Array = NDArray[Any]

_DRAWN = ("light_", "mat_", "geom_matid", "geom_rgba", "cam_intrinsic", "skybox")
"""Prefixes of what only pictures show, which MuJoCo draws from the task's own model."""
_UNUSED = ("dof_length", "key_", "actuator_trnid", "flg_", "hfield_", "nhfield")
"""Prefixes of what a model may have of its own, as worlds do not take it from here."""
_FIXED = ("actuator_history", "sensor_history")
"""Prefixes of per-world arrays that are addresses in a world's data."""


def _per_world(kind: type) -> dict[str, Any]:
    """Element types of the arrays that may have a row for each world, by name."""
    found = {}
    for field in dataclasses.fields(kind):
        shape = getattr(field.type, "shape", ())
        if shape and shape[0] == "*" and not field.name.startswith(_DRAWN + _FIXED):
            found[field.name] = field.type.dtype  # type: ignore[union-attr]
    return found


MODEL_FIELDS = {
    name: dtype
    for name, dtype in _per_world(mujoco_warp.Model).items()
    if hasattr(mujoco.MjModel, name)
}
OPTION_FIELDS = {
    name: dtype
    for name, dtype in _per_world(mujoco_warp.Option).items()
    if hasattr(mujoco.MjOption, name)
}

TERRAIN = ("hfield_data", "hfield_size")
"""What each world's height fields have of their own."""


def row(
    nominal: "mujoco.MjModel", model: "mujoco.MjModel", family: str
) -> dict[str, Array]:
    """What one task's world has of its own, by name.

    Fields of the model and its options; ``start/...``, the state at the start of an
    episode before any noise; ``geom_xpos`` and ``geom_xmat``, which Warp leaves as they
    are for geoms that never move; ``order``, the task's actuator that each of the
    nominal ones stands for; and ``control_range`` of each of the task's.

    Raises:
        InputError: naming fields of the model that no row can hold.
    """
    order = _order(nominal, model)
    _check_structure(nominal, model, family, order)
    found = {}
    for name in MODEL_FIELDS:
        value = np.asarray(getattr(model, name))
        found[name] = value[order] if name.startswith("actuator_") else value
    for name in OPTION_FIELDS:
        found[name] = np.asarray(getattr(model.opt, name), float)
    # Read half a step sooner: a delay of whole steps falls between two samples in
    # float32, and on the one or the other by rounding.
    steps = np.ceil(found["actuator_delay"] / model.opt.timestep - 1e-6)
    found["actuator_delay"] = np.maximum(steps - 0.5, 0) * model.opt.timestep
    data = mujoco.MjData(model)
    if model.nkey:
        mujoco.mj_resetDataKeyframe(model, data, 0)
    _rest(model, data)
    mujoco.mj_kinematics(model, data)
    for name in ("time", "qpos", "qvel", "act", "ctrl", "mocap_pos", "mocap_quat"):
        found[f"start/{name}"] = np.array(getattr(data, name))
    found["start/history"] = np.array(data.history)
    found["order"] = order
    found["control_range"] = model.actuator_ctrlrange
    for name in ("geom_xpos", "geom_xmat"):
        found[name] = np.array(getattr(data, name))
    for name in TERRAIN:
        found[name] = np.asarray(getattr(model, name))
    return found


class WorldModels:
    """MuJoCo Warp's model of n worlds.

    Args:
        nominal: the compiled model whose structure they share.
        row: of the nominal model: see `row`.
        n: number of worlds.
        device: where they are.

    Raises:
        InputError: for what MuJoCo Warp does not simulate.
    """

    def __init__(
        self, nominal: "mujoco.MjModel", row: dict[str, Array], n: int, device: str
    ) -> None:
        self.nominal, self.n, self.device = nominal, n, device
        self._row = row
        self._varying: set[str] = set()
        self._flags = flags([nominal])
        self.model = self._put()
        """MuJoCo Warp's own."""

    def admit(
        self, rows: Sequence[dict[str, Array]], models: "Sequence[mujoco.MjModel]"
    ) -> bool:
        """Make room for what differs from the nominal model for the first time.

        Returns:
            Whether the model's arrays are others now.
        """
        new = {
            name
            for name in (*MODEL_FIELDS, *OPTION_FIELDS)
            if name not in self._varying
            and any(not np.array_equal(r[name], self._row[name]) for r in rows)
        }
        needed = {n: on or self._flags[n] for n, on in flags(models).items()}
        if not new and needed == self._flags:
            return False
        kept = {name: live.clone() for name, live in self.rows().items()}
        self._varying |= new
        self._flags = needed
        self.model = self._put()
        for name, live in self.rows().items():
            if name in kept:
                live.copy_(kept[name])
        return True

    def rows(self) -> dict[str, Tensor]:
        """What each world has of its own, live, (n, ...)."""
        found = {}
        for name in self._varying:
            holder = self.model if name in MODEL_FIELDS else self.model.opt
            found[name] = warp.to_torch(getattr(holder, name))
        if self.nominal.nhfield:
            for name in TERRAIN:
                found[name] = warp.to_torch(getattr(self.model, name)).view(self.n, -1)
        return found

    def _put(self) -> Any:
        """The nominal model on the device, with rows in the varying fields."""
        late = self.nominal.sensor_needstage == mujoco.mjtStage.mjSTAGE_ACC
        if late.any():  # a step ends before forces are known: they would read 0
            name = self.nominal.sensor(int(late.argmax())).name
            raise InputError(
                f"Sensor {name!r} measures a force or an acceleration, which this "
                "backend does not know at the end of a step. Use --backend mujoco."
            )
        rows = {name: self.n for name in self._varying if name in MODEL_FIELDS}
        with warp.ScopedDevice(self.device):
            try:
                made = mujoco_warp.put_model(self.nominal, batch_sizes=rows)
            except (NotImplementedError, ValueError) as error:
                raise InputError(
                    f"MuJoCo Warp cannot simulate this model: {error} "
                    "Use --backend mujoco."
                ) from error
            made.opt.warn_overflow = 0  # counted for each world instead
            if self.nominal.nhfield:
                self._own_terrain(made)
            for name in self._varying - rows.keys():
                shared = getattr(made.opt, name)
                value = np.broadcast_to(
                    shared.numpy(), (self.n, *shared.numpy().shape[1:])
                )
                setattr(made.opt, name, warp.array(value.copy(), dtype=shared.dtype))
        for name, on in self._flags.items():
            setattr(made, name, on or getattr(made, name))
        return made

    def _own_terrain(self, made: Any) -> None:
        """Give each world height fields of its own, one after the other."""
        n, fields = self.n, self.nominal.nhfield
        for name in ("hfield_nrow", "hfield_ncol", *TERRAIN):
            array = getattr(made, name)
            value = np.concatenate([array.numpy()] * n)
            setattr(made, name, warp.array(value, dtype=array.dtype))
        starts = np.arange(n)[:, None] * self.nominal.nhfielddata
        starts = starts + self.nominal.hfield_adr
        made.hfield_adr = warp.array(starts.ravel(), dtype=int)
        made.nhfield = n * fields
        own = np.repeat(self.nominal.geom_dataid[None], n, 0)
        of_terrain = self.nominal.geom_type == mujoco.mjtGeom.mjGEOM_HFIELD
        own[:, of_terrain] += fields * np.arange(n)[:, None]
        made.geom_dataid = warp.array(own, dtype=int)


def flags(models: "Sequence[mujoco.MjModel]") -> dict[str, bool]:
    """What must be computed for one of the models, which others may do without."""

    def some(*names: str) -> bool:
        return any(np.any(getattr(model, n)) for model in models for n in names)

    def option(*names: str) -> bool:
        return any(np.any(getattr(model.opt, n)) for model in models for n in names)

    return {
        "flg_surfacevel": some("geom_surfacevel"),
        "has_fluid": option("wind", "density", "viscosity"),
        "has_tendon_stiffness": some("tendon_stiffness", "tendon_stiffnesspoly"),
        "has_tendon_damping": some("tendon_damping", "tendon_dampingpoly"),
    }


def wanted_room(model: "mujoco.MjModel") -> tuple[int, int]:
    """Contacts and constraint rows to make room for in a world.

    Rows of limits, dry friction and equalities, and those of two contacts a moving body
    or twelve, whichever is more. Where that is too little, `MujocoWarp` doubles it.
    """
    contacts = max(12, 2 * (model.nbody - 1)) + 40 * (model.nhfield > 0)
    limits = int(model.jnt_limited.sum() + model.tendon_limited.sum())
    dry = model.nv + model.ntendon
    rows = dry + 6 * model.neq + 2 * limits + 6 * contacts
    return contacts, -(-rows // 16) * 16


def _rest(model: "mujoco.MjModel", data: "mujoco.MjData") -> None:
    """Fill buffers of delayed controls as if the start's had always been sent."""
    for i in range(model.nu):
        size = int(model.actuator_history[i, 0])
        if size:
            times = model.opt.timestep * np.arange(-size, 0)
            mujoco.mj_initCtrlHistory(
                model, data, i, times, np.full(size, data.ctrl[i])
            )


def _order(nominal: "mujoco.MjModel", model: "mujoco.MjModel") -> Array:
    """Which of a task's actuators drives what each of the nominal ones drives.

    As they are numbered, where the task's drive something else.
    """
    wanted = list(map(tuple, nominal.actuator_trnid))
    given = list(map(tuple, model.actuator_trnid))
    if wanted == given or sorted(wanted) != sorted(given) or len(set(given)) < model.nu:
        return np.arange(model.nactuator)
    return np.array([given.index(pair) for pair in wanted])


def _check_structure(
    nominal: "mujoco.MjModel", model: "mujoco.MjModel", family: str, order: Array
) -> None:
    """Refuse a model that differs from the nominal one in what all worlds share."""
    differing = []
    for name in ("actuator_trnid", *SHARED):
        here, there = getattr(model, name), getattr(nominal, name)
        if name.startswith("actuator_") and not name.endswith("adr"):
            here = here[order]
        if not np.array_equal(here, there):
            differing.append(name)
    if model.na and not np.array_equal(order, np.arange(model.nactuator)):
        differing.append("actuator_trnid of actuators with states")
    if model.nhfield and not np.array_equal(model.geom_dataid, nominal.geom_dataid):
        differing.append("geom_dataid beside height fields")
    for name in ("integrator", "cone", "solver", "iterations", "ls_iterations"):
        if getattr(model.opt, name) != getattr(nominal.opt, name):
            differing.append(f"option {name}")
    if differing:
        raise InputError(
            f"Tasks of {family} differ in {', '.join(differing)}, which all worlds of "
            "MuJoCo Warp share. Use --backend mujoco, or let build() give all tasks "
            "the same structure and make what one has not tiny or massless."
        )


def _shared() -> tuple[str, ...]:
    names = []
    for field in dataclasses.fields(mujoco_warp.Model):
        shape = getattr(field.type, "shape", None)
        per_world = shape and shape[0] == "*"
        if per_world or field.name == "opt" or field.name.startswith(_UNUSED + _DRAWN):
            continue
        if hasattr(mujoco.MjModel, field.name):
            names.append(field.name)
    return tuple(names)


SHARED = _shared()
"""What all worlds share: arrays and numbers without a row for each."""
