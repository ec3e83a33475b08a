"""A rover with two driven wheels that goes to a place it is shown.

Its wheels roll and slip on contacts that MuJoCo computes, on a belt too; wind and mud
are forces. The robot knows where the goal is, as from a camera above, but neither how
its motors are wired nor how fast it or its wheels move: from these speeds a policy
without memory could read the wiring off at once.
"""

import torch
from torch import Tensor

from metarl.environment.family import TaskFamily
from metarl.envs.navigation.rover_model import MUD, WIRINGS, build
from metarl.envs.plane import polar, seen_from_robot
from metarl.envs.ranges import above, both
from metarl.envs.scenery import add_goal
from metarl.simulation.engine import mujoco
from metarl.simulation.perturbations import Latency
from metarl.simulation.protocol import Simulation
from metarl.tasks.parameter import Choice, Parameter
from metarl.tasks.randomness import Streams
from metarl.tasks.task import Task

TOLERANCE = 0.15
"""Distance to the goal at the end of an episode that counts as a success, m."""

_ROVER = 1
"""Id of the robot's body, the first after the world."""

MOTOR_GAIN = both(
    (1.0, 1.0),
    train=(0.8, 1.2),
    near=(0.65, 1.35),
    far=(0.5, 1.5),
    size=2,
    about="speed of left and right motor for a command",
)
FRICTION = both(
    0.8,
    train=(0.3, 1.2),
    near=(0.2, 1.6),
    far=(0.1, 2.0),
    scale="log",
    about="of the tyres' contacts",
)
LATENCY = above(0.0, train=(0, 0.1), near=0.15, far=0.2, unit="s")


class RoverGoal(TaskFamily):
    """Drive to a goal in sight with unknown wiring, motors, wheels, load and ground.

    A patch of mud lies ahead of the start, and a conveyor belt behind it.

    Observation, 4 numbers: the goal in the robot's own frame (forward and left, m), and
    the direction to it, which fades within the last 10 cm (2).
    Action, 2 numbers: commanded wheel speeds in units of 8 rad/s, for the left and the
    right wheel unless the wiring says otherwise.
    Reward: 0.05 for each step at the goal, less further away, minus 0.05 for each metre
    of distance.
    """

    name = "rover-goal"
    parameters = {
        "wiring": Choice(
            "straight",
            train=tuple(WIRINGS)[:5],
            unseen=tuple(WIRINGS)[5:],
            about="which wheel each command drives, and its sign",
        ),
        "motor_gain": MOTOR_GAIN,
        "radius_mismatch": both(
            0.0,
            train=(-0.1, 0.1),
            near=(-0.15, 0.15),
            far=(-0.2, 0.2),
            switches=False,
            about="left minus right wheel radius, in nominal radii",
        ),
        "friction": FRICTION,
        "mass": both(
            1.0, train=(0.5, 2.0), near=(0.4, 2.5), far=(0.3, 3.0), scale="log"
        ),
        "payload": above(
            0.0, train=(0, 4), near=6, far=8, unit="kg", about="on the deck"
        ),
        "payload_offset": both(
            (0.0, 0.0),
            train=(-0.04, 0.04),
            near=(-0.055, 0.055),
            far=(-0.07, 0.07),
            size=2,
            unit="m",
        ),
        "wind": both(
            (0.0, 0.0), train=(-2, 2), near=(-3, 3), far=(-4, 4), size=2, unit="N"
        ),
        "latency": LATENCY,
        "mud": above(
            0.0,
            train=(0, 15),
            near=22,
            far=30,
            unit="Ns/m",
            about="its drag on the robot",
        ),
        "conveyor": both(
            0.0,
            train=(-0.15, 0.15),
            near=(-0.225, 0.225),
            far=(-0.3, 0.3),
            unit="m/s",
            about="speed of the belt, to the left",
        ),
        "goal_distance": above(
            1.2, train=(0.8, 1.6), near=2.0, far=2.5, unit="m", goal=True
        ),
        "goal_bearing": Parameter(0.0, train=(-3.0, 3.0), unit="rad", goal=True),
    }
    perturbations = (Latency("latency"),)
    composition = {"friction": (0.3, 0.5), "wiring": ("swapped", "reversed")}
    horizon = 150
    substeps = 5
    compute_kinematics = False
    camera = "track"
    success_measure = f"1 if the robot ends within {TOLERANCE * 100:.0f} cm of the goal"

    def build(self, task: Task) -> "mujoco.MjSpec":
        """The robot on its ground, as an uncompiled spec."""
        spec = build(
            friction=task["friction"],
            wiring=task["wiring"],
            motor_gain=task["motor_gain"],
            radius_mismatch=task["radius_mismatch"],
            mass=task["mass"],
            payload=task["payload"],
            payload_offset=task["payload_offset"],
            conveyor=task["conveyor"],
        )
        place = polar(task["goal_distance"], task["goal_bearing"])
        add_goal(spec, place.tolist(), TOLERANCE)
        return spec

    def reset(self, sim: Simulation, ids: Tensor, rng: Streams) -> None:
        """Start near the origin: +-0.05 m, +-0.1 rad."""
        start(sim, ids, rng)

    def act(self, sim: Simulation, action: Tensor) -> None:
        """Set wheel speeds, (n, 2), and let wind and mud pull at the robot."""
        super().act(sim, action)
        drag = sim.parameters["mud"] * _within(sim.qpos[:, :2], MUD)
        force = sim.parameters["wind"] - drag[:, None] * sim.qvel[:, :2]
        sim.xfrc_applied[:, _ROVER, :2] = force

    def observe(self, sim: Simulation) -> Tensor:
        """Where the goal is, seen from the robot: see the class, (n, 4)."""
        offset = seen_from_robot(sim, self._goal(sim))
        distance = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
        return torch.cat([offset, offset / (distance + 0.1)], -1)

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Be at the goal, or at least near it, (n,)."""
        distance = self._distance(sim)
        return 0.05 * ((-(distance / 0.3).square()).exp() - distance)

    def success(self, sim: Simulation) -> Tensor:
        """See `success_measure`, (n,) 0 or 1."""
        return (self._distance(sim) < TOLERANCE).to(sim.qpos.dtype)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """``distance``: to the goal at the end, m, (n,)."""
        return {"distance": self._distance(sim)}

    @staticmethod
    def _goal(sim: Simulation) -> Tensor:
        return polar(sim.parameters["goal_distance"], sim.parameters["goal_bearing"])

    def _distance(self, sim: Simulation) -> Tensor:
        return torch.linalg.vector_norm(sim.qpos[:, :2] - self._goal(sim), dim=-1)


def start(sim: Simulation, ids: Tensor, rng: Streams) -> None:
    """Put rovers near the origin: +-0.05 m, +-0.1 rad."""
    yaw = rng.uniform(low=-0.1, high=0.1)
    sim.qpos[ids, :2] += rng.uniform(2, low=-0.05, high=0.05)
    sim.qpos[ids, 3] = (yaw / 2).cos()
    sim.qpos[ids, 6] = (yaw / 2).sin()


def _within(place: Tensor, corners: tuple[tuple[float, float], ...]) -> Tensor:
    """Whether places lie in a rectangle, (n,) bool."""
    low, high = place.new_tensor(corners)
    return ((place > low) & (place < high)).all(-1)
