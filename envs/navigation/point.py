"""A point that walks to a goal it is not told: MAML's 2D navigation, in MuJoCo.

Finn et al., 2017: positions move by the action, at most 0.1 a step; the reward is
minus the distance to the goal; an episode stops within 0.01 of it or after 100 steps.
"""

import torch
from torch import Tensor

from metarl.engine import mujoco
from metarl.family import TaskFamily
from metarl.parameters import Parameter
from metarl.tasks import Task
from metarl.world.simulation import Simulation

STEP = 0.1
"""Longest move in one control step along each axis, in metres."""
PERIOD = 0.1
"""Control period in seconds, so that the top speed is 1 m/s."""

_XML = f"""
<mujoco model="point">
  <option timestep="{PERIOD}" gravity="0 0 0" integrator="implicitfast"/>
  <visual><global offwidth="640" offheight="480"/></visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1=".95 .97 1"
      rgb2=".6 .7 .85" width="64" height="64"/>
    <texture name="grid" type="2d" builtin="checker" rgb1=".93 .93 .93"
      rgb2=".85 .87 .9" width="256" height="256"/>
    <material name="grid" texture="grid" texrepeat="8 8"/>
  </asset>
  <worldbody>
    <light pos="0 0 3" dir="0 0 -1" directional="true"/>
    <camera name="above" pos="0 0 2.7" xyaxes="1 0 0 0 1 0"/>
    <geom name="floor" type="plane" size="1.1 1.1 .1" material="grid"
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


class PointGoal(TaskFamily):
    """Find a goal in the plane from the reward alone."""

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
    derived = False
    camera = "above"
    success_measure = "stops within 5 cm of the goal"

    def build(self, task: Task) -> "mujoco.MjSpec":
        """The plane with a goal marker; only the marker differs between tasks."""
        spec = mujoco.MjSpec.from_string(_XML)
        spec.site("goal").pos = [*task["goal"], 0.002]
        return spec

    def observe(self, sim: Simulation) -> Tensor:
        """Position in metres, (n, 2)."""
        return sim.qpos

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Minus the distance to the goal in metres, (n,)."""
        return -self._distance(sim)

    def terminated(self, sim: Simulation) -> Tensor:
        """Whether it is within 0.01 m of the goal along both axes."""
        offset = (sim.qpos - sim.parameters["goal"]).abs()
        return (offset < 0.01).all(-1)

    def success(self, sim: Simulation) -> Tensor:
        """1 where the point ended within 5 cm of the goal."""
        return (self._distance(sim) < 0.05).double()

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Final distance to the goal in metres."""
        return {"distance": self._distance(sim)}

    def _distance(self, sim: Simulation) -> Tensor:
        return torch.linalg.vector_norm(sim.qpos - sim.parameters["goal"], dim=-1)
