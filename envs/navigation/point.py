"""A point that walks to a hidden goal, after MAML and after PEARL, in MuJoCo.

Positions move by the action, at most 0.1 m a step along each axis. The families differ
in where goals are, and in what the reward tells of them.
"""

import math

import torch
from torch import Tensor

from metarl.environment.family import TaskFamily
from metarl.simulation.engine import mujoco
from metarl.simulation.protocol import Simulation
from metarl.tasks.parameter import Parameter
from metarl.tasks.task import Task

STEP = 0.1
"""Longest move in one control step along each axis, in metres."""
PERIOD = 0.1
"""Control period in seconds, so that the top speed is 1 m/s."""
RADIUS = 0.2
"""Distance within which the sparse reward is felt, m."""

_XML = f"""
<mujoco model="point">
  <option timestep="{PERIOD}" gravity="0 0 0" integrator="implicitfast"/>
  <visual>
    <global offwidth="640" offheight="480"/>
    <headlight ambient=".4 .4 .4" diffuse=".2 .2 .2" specular="0 0 0"/>
  </visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1=".95 .97 1"
      rgb2=".6 .7 .85" width="64" height="64"/>
    <texture name="grid" type="2d" builtin="checker" rgb1=".96 .96 .96"
      rgb2=".80 .84 .9" width="256" height="256"/>
    <material name="grid" texture="grid" texrepeat="8 8"/>
  </asset>
  <worldbody>
    <light pos="0 0 3" dir="0 0 -1" directional="true" diffuse=".4 .4 .4"
      specular="0 0 0"/>
    <camera name="above" pos="0 0 3" xyaxes="1 0 0 0 1 0"/>
    <geom name="floor" type="plane" size="1.25 1.25 .1" material="grid"
      contype="0" conaffinity="0"/>
    <site name="goal" type="cylinder" size=".04 .002" rgba=".1 .6 .3 1"/>
    <body name="point" pos="0 0 .04">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="y" type="slide" axis="0 1 0"/>
      <geom name="point" type="sphere" size=".035" mass="1" rgba=".85 .3 .2 1"
        contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
    <velocity name="x" joint="x" kv="1e8" ctrlrange="-1 1"/>
    <velocity name="y" joint="y" kv="1e8" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""
# The stiff servo reaches the commanded velocity within one step to nine digits, so
# that a step is exactly the paper's `position += action`.


class Point(TaskFamily):
    """What the point families share: the plane, the point and its position."""

    compute_kinematics = False
    normalize_observations = False
    camera = "above"
    observation_names = ("x / m", "y / m")
    mark = 0.04
    """Radius of the goal's marker, m."""

    def build(self, task: Task) -> "mujoco.MjSpec":
        """The plane with a goal marker; only the marker differs between tasks."""
        spec = mujoco.MjSpec.from_string(_XML)
        marker = spec.site("goal")
        marker.pos, marker.size[0] = [*self.place(task), 0.002], self.mark
        return spec

    def place(self, task: Task) -> tuple[float, float]:
        """Where the goal of a task is, m."""
        raise NotImplementedError

    def goal(self, sim: Simulation) -> Tensor:
        """Where the goal of each simulation is, m, (n, 2)."""
        raise NotImplementedError

    def observe(self, sim: Simulation) -> Tensor:
        """Position in metres, (n, 2)."""
        return sim.qpos

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Final distance to the goal in metres."""
        return {"distance": self._distance(sim)}

    def _distance(self, sim: Simulation) -> Tensor:
        return torch.linalg.vector_norm(sim.qpos - self.goal(sim), dim=-1)


class PointGoal(Point):
    """Find a goal in the plane from the reward alone: MAML's 2D navigation.

    Finn et al., 2017: the reward is minus the distance to the goal; an episode stops
    within 0.01 of it or after 100 steps.
    """

    name = "point-goal"
    parameters = {
        "goal": Parameter(
            (0.3, 0.3),
            train=(-0.5, 0.5),
            near=((-0.75, -0.5), (0.5, 0.75)),
            far=((-1.0, -0.75), (0.75, 1.0)),
            unit="m",
            size=2,
            goal=True,
            about="Where to go.",
        )
    }
    horizon = 100
    success_measure = "stops within 5 cm of the goal"

    def place(self, task: Task) -> tuple[float, float]:
        """Where the goal of a task is, m."""
        x, y = task["goal"]
        return x, y

    def goal(self, sim: Simulation) -> Tensor:
        """Where the goal of each simulation is, m, (n, 2)."""
        return sim.parameters["goal"]

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Minus the distance to the goal in metres, (n,)."""
        return -self._distance(sim)

    def terminated(self, sim: Simulation) -> Tensor:
        """Whether it is within 0.01 m of the goal along both axes."""
        offset = (sim.qpos - self.goal(sim)).abs()
        return (offset < 0.01).all(-1)

    def success(self, sim: Simulation) -> Tensor:
        """1 where the point ended within 5 cm of the goal."""
        return (self._distance(sim) < 0.05).to(sim.qpos.dtype)


class PointSparse(Point):
    """Find a goal on a circle of radius 1 m by a reward that is felt only close to it.

    PEARL's sparse 2D navigation (Rakelly et al., 2019): goals on the upper half circle,
    20 steps, no early end; within 0.2 m of the goal the reward is 1 minus the distance,
    elsewhere 0. Goals on the lower half are held out here. PEARL trains its networks on
    minus the distance and explores with the sparse reward: ``dense`` is the former.

    Args:
        horizon: control steps an episode.
        dense: reward minus the distance to the goal.
    """

    name = "point-sparse"
    parameters = {
        "goal_angle": Parameter(
            0.5 * math.pi,
            train=(0, math.pi),
            near=((-0.25 * math.pi, 0), (math.pi, 1.25 * math.pi)),
            far=((-0.49 * math.pi, -0.25 * math.pi), (1.25 * math.pi, 1.49 * math.pi)),
            unit="rad",
            goal=True,
            about="Where on the circle to go.",
        )
    }
    horizon = 20
    mark = RADIUS
    success_measure = f"ends within {100 * RADIUS:.0f} cm of the goal"

    def __init__(self, *, horizon: int | None = None, dense: bool = False) -> None:
        super().__init__(horizon=horizon)
        self.dense = dense

    def place(self, task: Task) -> tuple[float, float]:
        """Where the goal of a task is, m."""
        return math.cos(task["goal_angle"]), math.sin(task["goal_angle"])

    def goal(self, sim: Simulation) -> Tensor:
        """Where the goal of each simulation is, m, (n, 2)."""
        angle = sim.parameters["goal_angle"]
        return torch.view_as_real(torch.polar(torch.ones_like(angle), angle))

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """1 minus the distance within `RADIUS` of the goal, elsewhere 0, (n,)."""
        distance = self._distance(sim)
        if self.dense:
            return -distance
        return torch.where(distance <= RADIUS, 1 - distance, 0.0)

    def success(self, sim: Simulation) -> Tensor:
        """1 where the point ended within `RADIUS` of the goal."""
        return (self._distance(sim) <= RADIUS).to(sim.qpos.dtype)
