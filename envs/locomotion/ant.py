"""The ant of Gymnasium: run a hidden way, to a hidden place, or on three legs.

Reward, control cost and survival bonus are those of Gymnasium's v5 ant without contact
forces: velocity + 1 - 0.5 |action|^2, in control steps of 0.05 s. Papers differ in the
last two, so returns compare only where these agree. (Gymnasium takes the velocity from
positions that are a substep old; here they are current.)
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from metarl.environment.family import TaskFamily
from metarl.envs.locomotion.planar import (
    ASSETS,
    IntegratorName,
    integrator_number,
)
from metarl.simulation.engine import mujoco
from metarl.simulation.perturbations import DeadActuator, MotorStrength
from metarl.simulation.protocol import Simulation
from metarl.tasks.parameter import Choice, Parameter
from metarl.tasks.randomness import Streams
from metarl.tasks.task import Task

LEGS = ("front_left", "front_right", "back_left", "back_right")
"""In the order of the model's joint numbers."""
HEALTHY_HEIGHT = (0.2, 1.0)
"""Of the torso's centre, m: outside, the episode ends."""
SURVIVAL, CONTROL_COST = 1.0, 0.5


def _dynamics(train: float) -> Mapping[str, Parameter]:
    """Unknown physics: each quantity times or divided by at most ``train``.

    With 1, they are known in training and met in the shells only.
    """

    def around(nominal: float, **more: Any) -> Parameter:
        def shell(low: float, high: float) -> tuple[tuple[float, float], ...]:
            return (nominal / high, nominal / low), (nominal * low, nominal * high)

        return Parameter(
            nominal,
            train=(nominal / train, nominal * train),
            near=shell(max(train, 1.1), 1.5),
            far=shell(1.5, 2.0),
            scale="log",
            **more,
        )

    return {
        "motor_strength": around(1.0, about="torque of every motor"),
        "density": around(5.0, unit="kg/m^3", about="mass and inertia grow with it"),
        "friction": around(1.0, about="sliding, between feet and ground"),
        "damping": around(1.0, about="factor on the damping of every joint"),
    }


class Ant(TaskFamily):
    """What the ant families share: robot, senses, health and control cost.

    Observation, 27 numbers: height, orientation and joint angles (13), velocities (14).

    Args:
        integrator: RK4 as in Gymnasium, or implicitfast, which is four times as fast.
        horizon: control steps an episode.
    """

    horizon = 200
    substeps = 5
    compute_kinematics = False
    camera = "track"

    def __init__(
        self, *, integrator: IntegratorName = "rk4", horizon: int | None = None
    ) -> None:
        self.integrator = integrator
        self._integrator = integrator_number(integrator)
        super().__init__(horizon=horizon)

    def build(self, task: Task) -> "mujoco.MjSpec":
        """Gymnasium's model with the task's density, friction and damping."""
        spec = mujoco.MjSpec.from_file(str(ASSETS / "ant.xml"))
        spec.option.integrator = self._integrator
        for geom in spec.geoms:
            geom.friction[0] = task["friction"]
            if geom.name != "floor":
                geom.density = task["density"]
        for joint in spec.joints:
            joint.damping[0] *= task["damping"]
        for motor in spec.actuators:
            part, number = motor.target.split("_")
            motor.name = f"{LEGS[int(number) - 1]}_{part}"
        start = [0, 0, 0.75, 1, 0, 0, 0, 0, 1, 0, -1, 0, -1, 0, 1]
        spec.add_key(name="home", qpos=start)
        return spec

    def reset(self, sim: Simulation, ids: Tensor, rng: Streams) -> None:
        """Noise of 0.1: uniform on positions, normal on velocities."""
        sim.qpos[ids] += rng.uniform(15, low=-0.1, high=0.1)
        sim.qvel[ids] += 0.1 * rng.normal(14)
        sim.remember("start", sim.qpos[:, :2])[ids] = sim.qpos[ids, :2]

    def act(self, sim: Simulation, action: Tensor) -> None:
        """Joint torques; keeps where the step began."""
        sim.remember("before", sim.qpos[:, :2]).copy_(sim.qpos[:, :2])
        sim.ctrl.copy_(action)

    def observe(self, sim: Simulation) -> Tensor:
        """State without the place in the plane, (n, 27)."""
        return torch.cat([sim.qpos[:, 2:], sim.qvel], -1)

    def terminated(self, sim: Simulation) -> Tensor:
        """Whether the torso is too low or too high, (n,) bool."""
        low, high = HEALTHY_HEIGHT
        return (sim.qpos[:, 2] < low) | (sim.qpos[:, 2] > high)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """1 for a robot whose episode ended early, else 0, (n,)."""
        return {"fall": self.terminated(sim).to(sim.qpos.dtype)}

    def upkeep(self, sim: Simulation, action: Tensor) -> Tensor:
        """Survival bonus minus control cost, (n,)."""
        alive = (~self.terminated(sim)).to(sim.qpos.dtype)
        return SURVIVAL * alive - CONTROL_COST * action.square().sum(-1)

    def velocity(self, sim: Simulation) -> Tensor:
        """Velocity over the step just made in m/s, (n, 2)."""
        return (sim.qpos[:, :2] - sim.memory["before"]) / self.control_period

    def mean_velocity(self, sim: Simulation) -> Tensor:
        """Velocity over the episode so far in m/s, (n, 2)."""
        seconds = sim.time.clamp(min=self.control_period)[:, None]
        return (sim.qpos[:, :2] - sim.memory["start"]) / seconds


class AntDirection(Ant):
    """Run a way in the plane that is not observed; the ways behind are held out."""

    name = "ant-direction"
    parameters = {
        "direction": Parameter(
            0.0,
            train=(-2.0, 2.0),
            near=((-2.6, -2.0), (2.0, 2.6)),
            far=((-3.1, -2.6), (2.6, 3.1)),
            unit="rad",
            goal=True,
            about="way to run, from the x axis to the left",
        ),
        **_dynamics(1.0),
    }
    perturbations = (MotorStrength("motor_strength"),)
    success_measure = "mean velocity in the wanted direction above 0.5 m/s, no fall"

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Velocity in the wanted direction, survival and control cost, (n,)."""
        return self._along(sim, self.velocity(sim)) + self.upkeep(sim, action)

    def success(self, sim: Simulation) -> Tensor:
        """1 where it ran faster than 0.5 m/s the right way and did not fall."""
        fast = self._along(sim, self.mean_velocity(sim)) > 0.5
        return (fast & ~self.terminated(sim)).to(sim.qpos.dtype)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Mean velocity in the wanted direction in m/s, and falls; each (n,)."""
        along = self._along(sim, self.mean_velocity(sim))
        return {"velocity": along, **super().metrics(sim)}

    @staticmethod
    def _along(sim: Simulation, velocity: Tensor) -> Tensor:
        direction = sim.parameters["direction"]
        return velocity[:, 0] * direction.cos() + velocity[:, 1] * direction.sin()


class AntGoal(Ant):
    """Run to a place in the plane that is not observed.

    Reward: minus the distance in metres, in place of the velocity. The place of the
    robot is part of the observation: 29 numbers.
    """

    name = "ant-goal"
    parameters = {
        "goal": Parameter(
            (2.0, 0.0),
            train=(-2, 2),
            near=((-3, -2), (2, 3)),
            far=((-4, -3), (3, 4)),
            unit="m",
            size=2,
            goal=True,
            about="where to go",
        ),
        **_dynamics(1.0),
    }
    perturbations = (MotorStrength("motor_strength"),)
    success_measure = "ends within 0.5 m of the goal, no fall"

    def build(self, task: Task) -> "mujoco.MjSpec":
        """Gymnasium's model with a marker on the goal."""
        spec = super().build(task)
        size = [0.25, 0.01, 0]
        marker = spec.worldbody.add_site(name="goal", size=size)
        marker.type = mujoco.mjtGeom.mjGEOM_CYLINDER
        marker.pos, marker.rgba = [*task["goal"], 0.01], [0.1, 0.6, 0.3, 1]
        return spec

    def observe(self, sim: Simulation) -> Tensor:
        """The whole state, (n, 29)."""
        return torch.cat([sim.qpos, sim.qvel], -1)

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Minus the distance, survival and control cost, (n,)."""
        return -self._distance(sim) + self.upkeep(sim, action)

    def success(self, sim: Simulation) -> Tensor:
        """1 where it ended within 0.5 m of the goal and did not fall."""
        return ((self._distance(sim) < 0.5) & ~self.terminated(sim)).to(sim.qpos.dtype)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Distance to the goal in m, and falls; each (n,)."""
        return {"distance": self._distance(sim), **super().metrics(sim)}

    @staticmethod
    def _distance(sim: Simulation) -> Tensor:
        offset = sim.qpos[:, :2] - sim.parameters["goal"]
        return torch.linalg.vector_norm(offset, dim=-1)


class AntCrippled(Ant):
    """Run forward though a leg may be dead; one of the four is never dead in training.

    After Nagabandi et al., "Learning to adapt in dynamic, real-world environments
    through meta-reinforcement learning", 2019.
    """

    name = "ant-crippled"
    parameters = {
        "dead_leg": Choice(
            "none",
            train=("none", *LEGS[:3]),
            unseen=LEGS[3:],
            about="leg without torque",
        ),
        **_dynamics(1.25),
    }
    perturbations = (
        MotorStrength("motor_strength"),
        DeadActuator("dead_leg"),
    )
    success_measure = "mean forward velocity above 0.5 m/s, no fall"

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Forward velocity, survival and control cost, (n,)."""
        return self.velocity(sim)[:, 0] + self.upkeep(sim, action)

    def success(self, sim: Simulation) -> Tensor:
        """1 where it ran forward faster than 0.5 m/s and did not fall."""
        fast = self.mean_velocity(sim)[:, 0] > 0.5
        return (fast & ~self.terminated(sim)).to(sim.qpos.dtype)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Mean forward velocity in m/s, and falls; each (n,)."""
        return {"velocity": self.mean_velocity(sim)[:, 0], **super().metrics(sim)}
