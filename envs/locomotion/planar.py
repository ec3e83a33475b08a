"""The hopper and the walker of Gymnasium with bodies of random proportions.

The `rand-params` tasks that ProMP and PEARL report: every link's mass and inertia,
every joint's damping and the ground's friction are multiplied by 1.5^u or 1.3^u with u
uniform in (-3, 3). Rewards, limits and timing are those of Gymnasium's v5
environments, with episodes of 200 steps (1.6 s) as in those papers.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import gymnasium
import numpy as np
import torch
from torch import Tensor

from metarl.environment.family import TaskFamily
from metarl.errors import unknown
from metarl.simulation.engine import mujoco
from metarl.simulation.protocol import Simulation
from metarl.tasks.parameter import Choice, Parameter
from metarl.tasks.randomness import Streams
from metarl.tasks.task import Task

ASSETS = Path(gymnasium.__file__).parent / "envs/mujoco/assets"
INTEGRATORS = {
    "rk4": int(mujoco.mjtIntegrator.mjINT_RK4),
    "implicitfast": int(mujoco.mjtIntegrator.mjINT_IMPLICITFAST),
}
"""RK4 is Gymnasium's own; implicitfast is several times as fast."""
IntegratorName = Literal["rk4", "implicitfast"]


def integrator_number(name: str) -> int:
    """MuJoCo's number of an integrator.

    Raises:
        InputError: for an unknown one.
    """
    if name not in INTEGRATORS:
        raise unknown("integrator", name, INTEGRATORS)
    return INTEGRATORS[name]


def _power(base: float, size: int = 1, about: str = "") -> Parameter:
    """A factor ``base^u``: u in +-3 in training, +-4 and +-5 outside."""
    a, b, c = (base**exponent for exponent in (3, 4, 5))
    return Parameter(
        1.0 if size == 1 else (1.0,) * size,
        train=(1 / a, a),
        near=((1 / b, 1 / a), (a, b)),
        far=((1 / c, 1 / b), (b, c)),
        scale="log",
        size=size,
        about=about,
    )


def _random_body(links: int, joints: int) -> Mapping[str, Parameter | Choice]:
    return {
        "mass": _power(1.5, links, "factor on each link's mass and inertia"),
        "damping": _power(1.3, joints, "factor on each joint's damping"),
        "friction": _power(1.5, about="factor on all sliding friction"),
    }


class Planar(TaskFamily):
    """A robot that runs forward in a vertical plane and must stay upright.

    Reward: forward velocity plus 1 for being healthy minus 0.001 of the squared action.
    Observation: joint positions without the horizontal one, and velocities clipped
    to +-10.

    Args:
        integrator: RK4 as in Gymnasium, or implicitfast.
        horizon: control steps an episode.
    """

    model_file: ClassVar[str]
    healthy_height: ClassVar[tuple[float, float]]
    """Of the torso's centre, m."""
    healthy_angle: ClassVar[float]
    """Largest pitch of the torso, rad."""
    horizon = 200
    substeps = 4
    compute_kinematics = False
    camera = "track"
    success_measure = "mean forward velocity above 0.5 m/s, without a fall"

    def __init__(
        self, *, integrator: IntegratorName = "rk4", horizon: int | None = None
    ) -> None:
        self.integrator = integrator
        self._integrator = integrator_number(integrator)
        super().__init__(horizon=horizon)

    def build(self, task: Task) -> "mujoco.MjModel":
        """Gymnasium's model with the task's masses, damping and friction."""
        model = mujoco.MjModel.from_xml_path(str(ASSETS / self.model_file))
        model.opt.integrator = self._integrator
        mass = np.asarray(task["mass"])  # of each body but the world
        model.body_mass[1:] *= mass
        model.body_inertia[1:] *= mass[:, None]
        # The first three degrees of freedom place the torso.
        model.dof_damping[3:] *= np.asarray(task["damping"])
        model.geom_friction[:, 0] *= task["friction"]
        mujoco.mj_setConst(model, mujoco.MjData(model))
        return model

    def reset(self, sim: Simulation, ids: Tensor, rng: Streams) -> None:
        """Uniform noise of 0.005 on positions and velocities."""
        nq, nv = sim.qpos.shape[1], sim.qvel.shape[1]
        sim.qpos[ids] += rng.uniform(nq, low=-5e-3, high=5e-3)
        sim.qvel[ids] += rng.uniform(nv, low=-5e-3, high=5e-3)
        sim.remember("start", sim.qpos[:, 0])[ids] = sim.qpos[ids, 0]

    def act(self, sim: Simulation, action: Tensor) -> None:
        """Joint torques; keeps where the step began."""
        sim.remember("before", sim.qpos[:, 0]).copy_(sim.qpos[:, 0])
        sim.ctrl.copy_(action)

    def observe(self, sim: Simulation) -> Tensor:
        """Positions without the horizontal one, and velocities, (n, 11 or 17)."""
        return torch.cat([sim.qpos[:, 1:], sim.qvel.clamp(-10, 10)], -1)

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Forward velocity, health, and a small cost of torque, (n,)."""
        velocity = (sim.qpos[:, 0] - sim.memory["before"]) / self.control_period
        return velocity + self._healthy(sim) - 1e-3 * action.square().sum(-1)

    def terminated(self, sim: Simulation) -> Tensor:
        """Whether it has fallen, (n,) bool."""
        return ~self._healthy(sim)

    def success(self, sim: Simulation) -> Tensor:
        """1 where it ran faster than 0.5 m/s and did not fall."""
        fast = self.metrics(sim)["velocity"] > 0.5
        return (fast & self._healthy(sim)).to(sim.qpos.dtype)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Mean forward velocity in m/s; 1 for a robot that fell, else 0. Each (n,)."""
        seconds = sim.time.clamp(min=self.control_period)
        velocity = (sim.qpos[:, 0] - sim.memory["start"]) / seconds
        return {"velocity": velocity, "fall": self.terminated(sim).to(sim.qpos.dtype)}

    def _healthy(self, sim: Simulation) -> Tensor:
        low, high = self.healthy_height
        height, angle = sim.qpos[:, 1], sim.qpos[:, 2]
        return (height > low) & (height < high) & (angle.abs() < self.healthy_angle)


class HopperParams(Planar):
    """Hop forward on one leg whose links, joints and ground are unknown."""

    name = "hopper-params"
    model_file = "hopper.xml"
    healthy_height = (0.7, math.inf)
    healthy_angle = 0.2
    parameters = _random_body(links=4, joints=3)


class WalkerParams(Planar):
    """Walk forward on two legs whose links, joints and ground are unknown."""

    name = "walker-params"
    model_file = "walker2d_v5.xml"
    healthy_height = (0.8, 2.0)
    healthy_angle = 1.0
    parameters = _random_body(links=7, joints=6)
