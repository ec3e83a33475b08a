"""A puck on a table with two fans: a first family of your own, ready to be changed.

metarl check FILE:MyRobot                       # does it keep the contract?
metarl train FILE:MyRobot maml --steps 800000   # about a minute
metarl play RUN                                 # set its parameters by sliders
"""

import mujoco
import torch
from torch import Tensor

from metarl import Choice, MotorStrength, Parameter, Task, TaskFamily
from metarl.simulation.protocol import Simulation
from metarl.tasks.randomness import Streams

# Any MJCF will do. A file of its own is read by `mujoco.MjSpec.from_file(path)`.
_XML = """
<mujoco model="puck">
  <option timestep="0.01" integrator="implicitfast"/>
  <visual>
    <headlight ambient=".4 .4 .4" diffuse=".3 .3 .3" specular="0 0 0"/>
  </visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1=".93 .96 1"
      rgb2=".55 .68 .85" width="64" height="384"/>
    <texture name="grid" type="2d" builtin="checker" rgb1=".25 .31 .40"
      rgb2=".21 .26 .34" width="128" height="128"/>
    <material name="table" texture="grid" texrepeat="5 5"/>
    <material name="rail" rgba=".90 .91 .93 1"/>
    <material name="puck" rgba="1 .45 .08 1" specular=".5"/>
    <material name="fan" rgba=".10 .11 .13 1"/>
    <material name="mark" rgba=".15 .75 .40 1"/>
  </asset>
  <worldbody>
    <light pos="-1 -1 3" dir=".3 .3 -1" directional="true" diffuse=".6 .6 .6"/>
    <camera name="table" pos="0 -2.1 1.9" xyaxes="1 0 0 0 .67 .74"/>
    <geom name="table" type="plane" size="1.1 1.1 .1" material="table"/>
    <geom type="box" size="1.15 .03 .05" pos="0 1.12 .05" material="rail"/>
    <geom type="box" size="1.15 .03 .05" pos="0 -1.12 .05" material="rail"/>
    <geom type="box" size=".03 1.15 .05" pos="1.12 0 .05" material="rail"/>
    <geom type="box" size=".03 1.15 .05" pos="-1.12 0 .05" material="rail"/>
    <site name="mark" type="cylinder" size=".15 .002" pos="0 0 .002" material="mark"/>
    <body name="puck" pos="0 0 .05">
      <joint name="x" type="slide" axis="1 0 0" range="-1 1" damping="1"/>
      <joint name="y" type="slide" axis="0 1 0" range="-1 1" damping="1"/>
      <geom name="puck" type="cylinder" size=".09 .04" material="puck"
        contype="0" conaffinity="0"/>
      <geom type="box" size=".07 .012 .04" pos="0 0 .08" material="fan" mass="0"
        contype="0" conaffinity="0"/>
      <geom type="box" size=".012 .07 .04" pos="0 0 .08" material="fan" mass="0"
        contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
    <motor name="east" joint="x" gear="6" ctrlrange="-1 1"/>
    <motor name="north" joint="y" gear="6" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""


class MyRobot(TaskFamily):
    """Stop a puck at the mark, with unknown mass, friction, wind, motors and wiring."""

    # What you do not know about your robot. Training draws from `train`; `near` and
    # `far` are held out and show how it adapts to dynamics that training never drew.
    # `metarl info` shows them as a table.
    parameters = {
        "mass": Parameter(
            1.0, train=(0.5, 2.0), near=(2.0, 3.0), far=(3.0, 4.0), unit="kg"
        ),
        "friction": Parameter(
            0.02, train=(0.0, 0.04), near=(0.04, 0.06), far=(0.06, 0.08)
        ),
        "wind": Parameter(
            (0.0, 0.0),
            train=(-0.4, 0.4),
            near=((-0.7, -0.4), (0.4, 0.7)),
            far=((-1.0, -0.7), (0.7, 1.0)),
            unit="N",
            size=2,  # a vector: both components are drawn from these ranges
        ),
        "motor_strength": Parameter(
            1.0, train=(0.9, 1.0), near=(0.8, 0.9), far=(0.7, 0.8)
        ),
        # A value that training never draws makes the split `structure`.
        "wiring": Choice(
            "straight",
            train=("straight", "backwards"),
            unseen=("crossed",),
            about="of the two fans",
        ),
    }

    # What metarl applies by itself; others are Latency, DeadActuator, ObservationNoise
    # and ObservationBias. All other parameters are up to the methods below.
    perturbations = (MotorStrength("motor_strength"),)

    horizon = 80  # control steps an episode
    substeps = 5  # physics steps a control step, so that this one takes 0.05 s
    compute_kinematics = False  # True if xpos, sensordata, ... are read below
    camera = "table"
    success_measure = "stops within 15 cm of the mark"

    def build(self, task: Task) -> mujoco.MjSpec:
        """The model of a task. Whatever MuJoCo can express may depend on it."""
        spec = mujoco.MjSpec.from_string(_XML)
        spec.geom("puck").mass = task["mass"]
        for name in ("x", "y"):
            weight = 9.81 * task["mass"]
            spec.joint(name).frictionloss = task["friction"] * weight
        east, north = spec.actuators
        if task["wiring"] == "backwards":
            east.gear[0], north.gear[0] = -east.gear[0], -north.gear[0]
        elif task["wiring"] == "crossed":
            east.target, north.target = north.target, east.target
        return spec

    # All that follows is written for n simulations at a time, as torch tensors.

    def reset(self, sim: Simulation, ids: Tensor, rng: Streams) -> None:
        """Start anywhere on the table. Draw from `rng` alone: same seed, same bits."""
        sim.qpos[ids] = rng.uniform(2, low=-0.8, high=0.8)

    def act(self, sim: Simulation, action: Tensor) -> None:
        """Set the motors, (n, 2) in [-1, 1], and let the wind blow."""
        super().act(sim, action)
        sim.qfrc_applied[:] = sim.parameters["wind"]  # (n, 2): each task has its own

    def observe(self, sim: Simulation) -> Tensor:
        """What the robot's sensors measure, (n, 4). The task must not be in here."""
        return torch.cat([sim.qpos, sim.qvel], -1)

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Reward of a control step, about 1 in size, (n,)."""
        return -self._distance(sim) - 0.01 * action.square().sum(-1)

    def success(self, sim: Simulation) -> Tensor:
        """Whether the episode succeeded, at its end, (n,) from 0 to 1."""
        return (self._distance(sim) < 0.15).double()

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Further measures for the report, in m and m/s."""
        speed = torch.linalg.vector_norm(sim.qvel, dim=-1)
        return {"distance": self._distance(sim), "speed": speed}

    def _distance(self, sim: Simulation) -> Tensor:
        """From the mark in metres, (n,)."""
        return torch.linalg.vector_norm(sim.qpos, dim=-1)
