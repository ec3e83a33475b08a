"""A Unitree Go1 as MuJoCo Menagerie models it, at the job of our own quadruped."""

import math

from metarl.envs.locomotion.quadruped import QuadrupedVelocity
from metarl.envs.locomotion.quadruped_model import (
    HOME,
    LEGS,
    LIMB,
    add_payload,
    add_view,
    furnish,
    weaken,
)
from metarl.simulation import menagerie
from metarl.simulation.engine import mujoco
from metarl.simulation.models import DRAWN, TaskModels
from metarl.tasks.task import Task


class Go1Velocity(QuadrupedVelocity):
    """Walk at a commanded velocity with a real robot's model; the same is unknown.

    Gains, damping and inertias are the Menagerie's. Joints are in its order: FR, FL,
    RR, RL, each hip, thigh, calf. Needs the extra `robots`.
    """

    name = "go1-velocity"

    def __init__(self, *, horizon: int | None = None) -> None:
        super().__init__(horizon=horizon)
        self._drawn = TaskModels(go1, (), self.space, DRAWN)

    def build(self, task: Task) -> "mujoco.MjSpec":
        """The robot on its ground, without its meshes."""
        spec = go1(task)
        spec.compiler.discardvisual = True
        return spec

    def render_model(self, task: Task) -> "mujoco.MjModel":
        """The robot with its meshes."""
        return self._drawn(task)


def go1(task: Task) -> "mujoco.MjSpec":
    """The Menagerie's robot with the task's load, legs and ground."""
    spec = menagerie.load("unitree_go1", "go1.xml")
    furnish(spec, task["slope"], task["friction"])
    height = 0.023 + 2 * LIMB * task["limb_length"] * math.cos(HOME[1])
    trunk = spec.body("trunk")
    trunk.pos = [0, 0, height]
    for geom in spec.geoms:
        if geom.name != "ground":  # only the ground accepts contacts
            geom.conaffinity, geom.priority = 0, 0
    # A body of its own: the trunk's inertia is given, whatever it is made of.
    load = trunk.add_body(name="load")
    add_payload(load, task["payload"], task["payload_offset"])
    add_view(trunk, task["slope"])
    for leg in LEGS:
        _lengthen(spec, leg, task["limb_length"])
    for mesh in spec.meshes:
        if mesh.name.startswith(("thigh", "calf")):
            mesh.scale[2] *= task["limb_length"]
    weaken(spec, task["weak_leg"], task["leg_strength"])
    for key in list(spec.keys):
        spec.delete(key)
    home = [*HOME] * len(LEGS)
    spec.add_key(name="home", qpos=[0, 0, height, 1, 0, 0, 0, *home], ctrl=home)
    return spec


def _lengthen(spec: "mujoco.MjSpec", leg: str, factor: float) -> None:
    """Scale the lengths of a thigh and a calf; their masses stay."""
    calf = spec.body(f"{leg}_calf")
    calf.pos[2] *= factor
    for body in (spec.body(f"{leg}_thigh"), calf):
        body.ipos[2] *= factor
        for geom in body.geoms:
            if not math.isnan(geom.fromto[0]):
                geom.fromto[[2, 5]] *= factor
    foot = next(geom for geom in calf.geoms if geom.name == leg)
    foot.name, foot.condim = f"{leg}_foot", 3
    foot.pos[2] *= factor
