"""The quadruped that walks to a place."""

import torch
from torch import Tensor

from metarl.envs.locomotion.quadruped import Quadruped
from metarl.envs.locomotion.quadruped_model import build
from metarl.envs.plane import heading, polar, seen_from_robot
from metarl.envs.ranges import above, both
from metarl.envs.scenery import add_goal
from metarl.simulation.engine import mujoco
from metarl.simulation.perturbations import MotorStrength
from metarl.simulation.protocol import Simulation
from metarl.tasks.task import Task

SPEED = 0.5
"""At which the reward wants the robot to walk, m/s; slower in the last half metre."""
TURN = 0.5
"""Fastest turn towards the goal that the reward wants, rad/s."""
TOLERANCE = 0.25
"""Distance to the goal at the end of an episode that counts as a success, m."""


class QuadrupedGoal(Quadruped):
    """Walk to a hidden goal while load, motors and ground are unknown.

    The reward is that of `QuadrupedVelocity` for a command that is hidden: to turn and
    walk straight to the goal, and to stand there; 0.05 more for each step at the goal,
    less further away. Robot, actions and senses are the same, but in place of the
    command the robot knows where it is.

    Observation, 49 numbers: the first 45 of `Quadruped`, position from the start (2, m)
    and heading (2, a unit vector).
    """

    name = "quadruped-goal"
    parameters = {
        "payload": above(
            1.0, train=(0, 3), near=5, far=8, unit="kg", about="on the back"
        ),
        "friction": both(
            0.8, train=(0.4, 1.2), near=(0.25, 1.8), far=(0.1, 3.0), scale="log"
        ),
        "motor_strength": both(1.0, train=(0.8, 1.2), near=(0.65, 1.3), far=(0.5, 1.4)),
        "goal_distance": above(
            1.5, train=(1.0, 2.0), near=2.5, far=3.0, unit="m", goal=True
        ),
        "goal_bearing": both(
            0.0,
            train=(-1.6, 1.6),
            near=(-2.2, 2.2),
            far=(-3.0, 3.0),
            unit="rad",
            goal=True,
            about="to the left; training has no goal behind the robot",
        ),
    }
    perturbations = (MotorStrength("motor_strength"),)
    horizon = 400
    success_measure = (
        "1 if the robot did not fall and ends within "
        f"{TOLERANCE * 100:.0f} cm of the goal"
    )

    def build(self, task: Task) -> "mujoco.MjSpec":
        """The robot and the marked goal, as an uncompiled spec."""
        spec = build(payload=task["payload"], friction=task["friction"])
        place = polar(task["goal_distance"], task["goal_bearing"])
        add_goal(spec, place.tolist(), TOLERANCE)
        return spec

    def observe(self, sim: Simulation) -> Tensor:
        """What the robot senses, and where it is: see the class, (n, 49)."""
        sensed = super().observe(sim)[:, :45]  # without the command
        return torch.cat([sensed, sim.qpos[:, :2], heading(sim)], -1)

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Walk to the goal, level and smoothly, and stay; 1 less for a fall, (n,)."""
        # Following alone would pay nearly as much for standing a little beside it.
        there = (-(self._offset(sim) / 0.3).square().sum(-1)).exp()
        return super().reward(sim, action) + 0.05 * there

    def success(self, sim: Simulation) -> Tensor:
        """See `success_measure`, (n,) 0 or 1."""
        score = self.metrics(sim)
        return ((score["distance"] < TOLERANCE) & (score["fall"] == 0)).to(
            sim.qpos.dtype
        )

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """How the episode went so far, in physical terms.

        Returns:
            ``distance``: to the goal, m; ``fall``: 1 for a robot that fell, else 0.
            Each (n,).
        """
        distance = torch.linalg.vector_norm(self._offset(sim), dim=-1)
        return {"distance": distance, "fall": super().metrics(sim)["fall"]}

    def _command(self, sim: Simulation) -> Tensor:
        """Forward, left and turning velocity that lead to the goal, (n, 3)."""
        offset = self._offset(sim)
        distance = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
        planar = SPEED * offset / distance.clamp(min=0.5)
        # Close to the goal its direction says nothing.
        bearing = torch.atan2(offset[:, 1], offset[:, 0])
        turn = torch.where(distance[:, 0] > TOLERANCE, bearing.clamp(-TURN, TURN), 0.0)
        return torch.cat([planar, turn[:, None]], -1)

    @staticmethod
    def _offset(sim: Simulation) -> Tensor:
        """The goal in the robot's own frame: forward and left, m, (n, 2)."""
        distance, bearing = (
            sim.parameters[name] for name in ("goal_distance", "goal_bearing")
        )
        return seen_from_robot(sim, polar(distance, bearing))
