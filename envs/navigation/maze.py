"""The rover in a maze that it sees by a lidar: layouts, and the family.

A layout is a grid of rooms joined by doors such that one way leads from each room to
each other (a spanning tree), with its grid lines shifted at random: no two layouts are
the same. All have as many walls.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metarl.environment.family import TaskFamily
from metarl.envs.navigation.rover import (
    FRICTION,
    LATENCY,
    MOTOR_GAIN,
    start,
)
from metarl.envs.navigation.rover_model import RADIUS, add_wall, build
from metarl.envs.plane import heading, seen_from_robot
from metarl.envs.scenery import add_goal
from metarl.simulation.engine import mujoco
from metarl.simulation.perturbations import Latency
from metarl.simulation.protocol import Simulation
from metarl.tasks.parameter import Choice
from metarl.tasks.randomness import Streams, key, mix
from metarl.tasks.task import Task

SIZE = 4
"""Rooms along each side. Room ``SIZE * row + column``; the robot starts in room 0."""
ROOM = 1.0
"""Distance of the grid lines before they are shifted, m."""
SHIFT = 0.1
"""Longest shift of a grid line, m."""
THICKNESS = 0.06
"""Of a wall, m."""
LAYOUTS = 32
"""Number of layouts: the last quarter is held out."""
RAYS = 16
"""Rays of the lidar, all around, the first one ahead."""
RANGE = 5.0
"""Longest distance that the lidar measures, m."""
TOLERANCE = 0.3
"""Distance to the goal at the end of an episode that counts as a success, m."""

_LIDAR_HEIGHT = 0.15
_WALLS = (1,)
Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """A maze."""

    lines: tuple[tuple[float, ...], tuple[float, ...]]
    """Where the grid lines cross the x and the y axis, m."""
    doors: frozenset[tuple[int, int]]
    """Pairs of rooms that a door joins, the lower one first."""

    def centre(self, room: int) -> Point:
        """The middle of a room, m."""
        row, column = divmod(room, SIZE)
        x, y = self.lines
        return (x[column] + x[column + 1]) / 2, (y[row] + y[row + 1]) / 2

    def door(self, one: int, other: int) -> Point:
        """The middle of the door (or wall) between two rooms, m."""
        (x, y), (row, column) = self.centre(one), divmod(max(one, other), SIZE)
        if abs(one - other) == 1:
            return self.lines[0][column], y
        return x, self.lines[1][row]

    def walls(self) -> list[tuple[Point, Point]]:
        """Lower and upper corner of every wall, m: the outer ones first."""
        x, y = self.lines
        ends = [
            ((x[0], y[0]), (x[0], y[-1])),
            ((x[-1], y[0]), (x[-1], y[-1])),
            ((x[0], y[0]), (x[-1], y[0])),
            ((x[0], y[-1]), (x[-1], y[-1])),
        ]
        for one, other in _neighbours():
            if (one, other) not in self.doors:
                row, column = divmod(other, SIZE)
                far = (column, row + 1) if other - one == 1 else (column + 1, row)
                ends.append(((x[column], y[row]), (x[far[0]], y[far[1]])))
        half = THICKNESS / 2
        return [
            ((low[0] - half, low[1] - half), (high[0] + half, high[1] + half))
            for low, high in ends
        ]

    def ways(self, goal: int) -> dict[int, tuple[Point, float]]:
        """For each room, where to go next, and how far it is from there to the goal.

        Returns:
            room -> (the next door's middle, or the goal; length in m of the way from
            there, from door to door).
        """
        found = {goal: (self.centre(goal), 0.0)}
        reached = [goal]
        for room in reached:
            ahead, rest = found[room]
            for pair in self.doors:
                if room in pair and sum(pair) - room not in found:
                    door = self.door(*pair)
                    found[sum(pair) - room] = door, math.dist(door, ahead) + rest
                    reached.append(sum(pair) - room)
        return found


def _neighbours() -> list[tuple[int, int]]:
    """Pairs of rooms side by side or one above the other."""
    rooms = range(SIZE * SIZE)
    beside = [(room, room + 1) for room in rooms if (room + 1) % SIZE]
    above = [(room, room + SIZE) for room in rooms if room + SIZE in rooms]
    return beside + above


@functools.cache
def layout(number: int) -> Layout:
    """Layout ``number``, always the same."""
    streams = Streams(mix(key("rover-maze", number)))
    shifts = streams.uniform(2, SIZE + 1, low=-SHIFT, high=SHIFT)[0]
    grid = ROOM * (torch.arange(SIZE + 1) - 0.5)
    x, y = (tuple(line) for line in (grid + shifts).tolist())
    # Kruskal's algorithm: doors in random order, but none between joined rooms.
    pairs = _neighbours()
    order = streams.uniform(len(pairs))[0].argsort().tolist()
    part = list(range(SIZE * SIZE))
    doors = set()
    for one, other in (pairs[i] for i in order):
        if part[one] != part[other]:
            doors.add((one, other))
            old = part[other]
            part = [part[one] if p == old else p for p in part]
    return Layout((x, y), frozenset(doors))


@functools.cache
def _tables(device: torch.device, dtype: torch.dtype) -> Mapping[str, Tensor]:
    """All layouts as tensors.

    Returns:
        ``lines`` (layout, axis, line), ``walls`` (layout, wall, corner, 2), ``centre``
        (layout, room, 2), ``ahead`` (layout, goal, room, 2) and ``rest`` (layout, goal,
        room): see `Layout`. m.
    """
    layouts, rooms = [layout(i) for i in range(LAYOUTS)], range(SIZE * SIZE)
    ways = [[one.ways(goal) for goal in rooms] for one in layouts]
    table: dict[str, Any] = {
        "lines": [one.lines for one in layouts],
        "walls": [one.walls() for one in layouts],
        "centre": [[one.centre(room) for room in rooms] for one in layouts],
        "ahead": [[[to[room][0] for room in rooms] for to in one] for one in ways],
        "rest": [[[to[room][1] for room in rooms] for to in one] for one in ways],
    }
    return {
        name: torch.tensor(v, dtype=dtype, device=device) for name, v in table.items()
    }


class RoverMaze(TaskFamily):
    """Find a hidden goal in a maze with unknown motors, ground and delay.

    Observation, 20 numbers: position from the start (2, m), heading (2, a unit vector),
    distances that the lidar measures, from ahead to the left and all around (16, m).
    A shown goal adds its place in the robot's own frame (forward and left, m).
    Action, 2 numbers: commanded speed of the left and the right wheel in units of
    8 rad/s.
    Reward: 1 for each metre by which a step shortens the way to the goal through the
    doors, 0.05 for each step at the goal, less further away, minus 0.01 for each metre
    that is left, and for each step against a wall.

    Args:
        horizon: control steps an episode.
        shown: whether the robot is shown the goal.
    """

    name = "rover-maze"
    parameters = {
        "layout": Choice(
            0,
            train=tuple(range(3 * LAYOUTS // 4)),
            unseen=tuple(range(3 * LAYOUTS // 4, LAYOUTS)),
            switches=False,
            about="number of the maze",
        ),
        "goal": Choice(
            3,
            train=(1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14),
            unseen=(5, 10, 15),
            goal=True,
            about="room to find; those of the diagonal are held out",
        ),
        "motor_gain": MOTOR_GAIN,
        "friction": FRICTION,
        "latency": LATENCY,
    }
    perturbations = (Latency("latency"),)
    horizon = 200
    substeps = 10
    compute_kinematics = False
    camera = "above"
    success_measure = f"1 if the robot ends within {TOLERANCE * 100:.0f} cm of the goal"

    def __init__(self, *, horizon: int | None = None, shown: bool = False) -> None:
        super().__init__(horizon=horizon)
        self.shown = shown

    def build(self, task: Task) -> "mujoco.MjSpec":
        """The robot in its maze, as an uncompiled spec."""
        maze = layout(task["layout"])
        spec = build(friction=task["friction"], motor_gain=task["motor_gain"])
        add_goal(spec, maze.centre(task["goal"]), TOLERANCE)
        for low, high in maze.walls():
            add_wall(spec, low, high)
        middle = ROOM * (SIZE - 1) / 2
        spec.worldbody.add_camera(
            name="above", pos=[middle, middle, 1.3 * ROOM * SIZE], fovy=47
        )
        return spec

    def reset(self, sim: Simulation, ids: Tensor, rng: Streams) -> None:
        """Start near the origin: +-0.05 m, +-0.1 rad."""
        start(sim, ids, rng)

    def act(self, sim: Simulation, action: Tensor) -> None:
        """Set wheel speeds, (n, 2)."""
        super().act(sim, action)
        sim.remember("way", sim.qpos[:, 0]).copy_(self._way(sim))

    def observe(self, sim: Simulation) -> Tensor:
        """What the robot senses: see the class, (n, 20) or (n, 22)."""
        parts = [sim.qpos[:, :2], heading(sim), lidar(sim)]
        if self.shown:
            parts.append(seen_from_robot(sim, self._goal(sim)))
        return torch.cat(parts, -1)

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Come closer to the goal, be there, and touch no wall, (n,)."""
        way = self._way(sim)
        progress = sim.remember("way", way) - way
        touching = self._touching(sim).to(sim.qpos.dtype)
        sim.remember("touching", touching).add_(touching)
        sim.remember("steps", touching).add_(1)
        there = (-(self._distance(sim) / 0.3).square()).exp()
        return progress + 0.05 * there - 0.01 * (way + touching)

    def success(self, sim: Simulation) -> Tensor:
        """See `success_measure`, (n,) 0 or 1."""
        return (self._distance(sim) < TOLERANCE).to(sim.qpos.dtype)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """How the episode went so far, in physical terms.

        Returns:
            ``distance``: left to the goal along the way through the doors, m;
            ``touching``: share of the time against a wall. Each (n,).
        """
        touching, steps = (
            sim.remember(name, sim.qpos[:, 0]) for name in ("touching", "steps")
        )
        return {"distance": self._way(sim), "touching": touching / steps.clamp(min=1)}

    @staticmethod
    def _tasks(sim: Simulation) -> tuple[Tensor, Tensor]:
        """Layout and goal of each simulation, (n,) int64."""
        return sim.parameters["layout"].long(), sim.parameters["goal"].long()

    def _goal(self, sim: Simulation) -> Tensor:
        return _tables(sim.qpos.device, sim.qpos.dtype)["centre"][self._tasks(sim)]

    def _distance(self, sim: Simulation) -> Tensor:
        return torch.linalg.vector_norm(sim.qpos[:, :2] - self._goal(sim), dim=-1)

    def _way(self, sim: Simulation) -> Tensor:
        """Length of the way to the goal through the doors, m, (n,)."""
        number, goal = self._tasks(sim)
        place, table = sim.qpos[:, :2], _tables(sim.qpos.device, sim.qpos.dtype)
        inner = table["lines"][number, :, 1:-1]
        column, row = (place[:, :, None] > inner).sum(-1).T
        at = number, goal, SIZE * row + column
        ahead = torch.linalg.vector_norm(place - table["ahead"][at], dim=-1)
        return ahead + table["rest"][at]

    def _touching(self, sim: Simulation) -> Tensor:
        """Whether the bumper touches a wall, (n,) bool."""
        number, _ = self._tasks(sim)
        low, high = _tables(sim.qpos.device, sim.qpos.dtype)["walls"][number].unbind(2)
        place = sim.qpos[:, None, :2]
        gap = torch.linalg.vector_norm(place - place.clamp(low, high), dim=-1)
        return gap.min(-1).values < RADIUS + 0.002


def lidar(sim: Simulation) -> Tensor:
    """Distance to the nearest wall along each ray, at most `RANGE`, m, (n, RAYS)."""
    angle = (torch.arange(RAYS, dtype=torch.float64) * (2 * math.pi / RAYS)).to(
        sim.qpos
    )
    cos, sin = heading(sim)[:, :, None].unbind(1)
    x = cos * angle.cos() - sin * angle.sin()
    y = sin * angle.cos() + cos * angle.sin()
    along = torch.stack([x, y, torch.zeros_like(x)], -1)
    origin = sim.qpos[:, None, :3].clone()
    origin[..., 2] = _LIDAR_HEIGHT
    found = sim.ray(origin, along, _WALLS)
    return torch.where(found < 0, RANGE, found).clamp(max=RANGE)
