"""The mazes are solvable and distinct, and the lidar measures them."""

import math

import numpy as np
import pytest
import torch
from worlds import actions_of, environment_of, family_of

import metarl
from metarl.envs.navigation.maze import (
    LAYOUTS,
    RANGE,
    RAYS,
    SIZE,
    layout,
    lidar,
)
from metarl.envs.navigation.rover_model import RADIUS

ROOMS = range(SIZE * SIZE)


@pytest.fixture(scope="module")
def family():
    return family_of("rover-maze")


def put(family, cases, places, yaw=0.0):
    """Simulations of exact tasks, the robots at places (n, 2)."""
    environment = environment_of(family, [family.task(**case) for case in cases])
    environment.reset(0)
    sim = environment.sim
    sim.qpos[:, :2] = torch.as_tensor(places, dtype=torch.float64)
    sim.qpos[:, 3:7] = torch.tensor([math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)])
    return environment


def reachable(maze, step=0.02):
    """Places that a disc as wide as the robot reaches from the origin, by flooding."""
    (low_x, *_, high_x), (low_y, *_, high_y) = maze.lines
    x = np.arange(low_x, high_x, step)
    y = np.arange(low_y, high_y, step)
    place = np.stack(np.meshgrid(x, y, indexing="ij"), -1)[:, :, None]
    low, high = np.array(maze.walls()).transpose(1, 0, 2)
    gap = np.linalg.norm(place - place.clip(low, high), axis=-1).min(-1)
    free = gap > RADIUS
    flood = np.zeros_like(free)
    flood[abs(x).argmin(), abs(y).argmin()] = True
    while True:
        grown = flood.copy()
        grown[1:] |= flood[:-1]
        grown[:-1] |= flood[1:]
        grown[:, 1:] |= flood[:, :-1]
        grown[:, :-1] |= flood[:, 1:]
        grown &= free
        if (grown == flood).all():
            return lambda at: flood[abs(x - at[0]).argmin(), abs(y - at[1]).argmin()]
        flood = grown


@pytest.mark.parametrize("number", range(0, LAYOUTS, 4))
def test_the_robot_fits_through_to_every_room(number):
    maze = layout(number)
    reached = reachable(maze)
    assert all(reached(maze.centre(room)) for room in ROOMS)
    assert not reached((maze.lines[0][0], 0.0))  # inside a wall


def test_the_flood_stops_at_closed_doors():
    maze = layout(0)
    shut = type(maze)(maze.lines, maze.doors - {next(iter(maze.doors))})
    reached = reachable(shut)
    assert not all(reached(shut.centre(room)) for room in ROOMS)


def test_layouts_are_distinct_and_have_as_many_walls(family):
    layouts = [layout(number) for number in range(LAYOUTS)]
    assert len({maze.doors for maze in layouts}) == LAYOUTS
    assert len({maze.lines for maze in layouts}) == LAYOUTS
    assert {len(maze.doors) for maze in layouts} == {SIZE**2 - 1}
    assert {len(maze.walls()) for maze in layouts} == {4 + (SIZE - 1) ** 2}
    declared = family.parameters["layout"]
    assert not set(declared.train) & set(declared.unseen)
    assert sorted(declared.values) == list(range(LAYOUTS))


def test_one_way_leads_from_each_room_to_each_other():
    for number in range(LAYOUTS):
        maze = layout(number)
        for goal in ROOMS:
            assert set(maze.ways(goal)) == set(ROOMS)


def test_the_way_to_the_goal_is_from_door_to_door(family):
    maze = layout(7)
    goal = max(family.parameters["goal"].values, key=lambda r: maze.ways(r)[0][1])
    # Walk there by hand: from the origin through the doors of the only way.
    room, length, place = 0, 0.0, (0.0, 0.0)
    came, steps = None, 0
    ways = maze.ways(goal)
    while room != goal:
        door, _ = ways[room]
        length += math.dist(place, door)
        (following,) = [
            sum(pair) - room
            for pair in maze.doors
            if room in pair and maze.door(*pair) == door
        ]
        assert following != came
        came, room, place, steps = room, following, door, steps + 1
    length += math.dist(place, maze.centre(goal))
    assert steps > 3
    environment = put(family, [{"layout": 7, "goal": goal}], [(0.0, 0.0)])
    left = environment.outcome()["distance"]
    assert left.tolist() == pytest.approx([length])


def test_the_way_shrinks_as_the_robot_goes_there(family):
    maze = layout(3)
    case = {"layout": 3, "goal": 15}
    door, rest = maze.ways(15)[0]
    places = [(0.0, 0.0), (0.5 * door[0], 0.5 * door[1]), door, maze.centre(15)]
    environment = put(family, [case] * 4, places)
    left = environment.outcome()["distance"].tolist()
    assert left[0] > left[1] > left[2] > left[3] == 0
    assert left[2] == pytest.approx(rest, abs=1e-6)
    reward = environment.step(torch.zeros(4, 2)).reward
    assert (reward.diff() > 0).all()
    assert environment.outcome()["success"].tolist() == [0, 0, 0, 1]
    # To drive a metre closer is worth one metre.
    before = environment.outcome()["distance"]
    reward = sum(environment.step(torch.full((4, 2), 0.2)).reward for _ in range(5))
    closer = before - environment.outcome()["distance"]
    assert closer[0] > 0.04
    rest = 0.01 * 5 * environment.outcome()["distance"][:3]
    assert (reward - closer)[:3].tolist() == pytest.approx((-rest).tolist(), abs=0.01)


def hand_made(maze, x, y, dx, dy):
    """Distance from a place to the nearest wall along a direction, by slabs."""
    best = RANGE
    for low, high in maze.walls():
        enter, leave = 0.0, math.inf
        for at, way, a, b in ((x, dx, low[0], high[0]), (y, dy, low[1], high[1])):
            if abs(way) < 1e-12:
                if not a <= at <= b:
                    leave = -1.0
                continue
            first, last = sorted(((a - at) / way, (b - at) / way))
            enter, leave = max(enter, first), min(leave, last)
        if enter <= leave:
            best = min(best, enter)
    return best


@pytest.mark.parametrize("yaw", [0.0, 0.3, -2.0])
def test_the_lidar_measures_the_distance_to_the_walls(family, yaw):
    numbers = [0, 5, LAYOUTS - 1]
    places = [(0.1, -0.05), (0.0, 0.2), layout(LAYOUTS - 1).centre(6)]
    environment = put(family, [{"layout": n} for n in numbers], places, yaw)
    found = lidar(environment.sim)
    assert found.shape == (3, RAYS)
    for i, (number, (x, y)) in enumerate(zip(numbers, places, strict=True)):
        for ray in range(RAYS):
            angle = yaw + 2 * math.pi * ray / RAYS
            expected = hand_made(layout(number), x, y, math.cos(angle), math.sin(angle))
            assert found[i, ray].item() == pytest.approx(expected, abs=1e-6)


def test_the_lidar_looks_to_the_outer_wall_behind_the_start(family):
    environment = put(family, [{}], [(0.0, 0.0)])
    wall = layout(0).lines[0][0] + 0.03
    assert lidar(environment.sim)[0, RAYS // 2].item() == pytest.approx(-wall)


def test_walls_stop_the_robot_and_are_counted(family):
    environment = put(family, [{}, {}], [(0.0, 0.0)] * 2, yaw=math.pi)
    for _ in range(30):
        environment.step(torch.tensor([[0.6, 0.6], [0.0, 0.0]]))
    x = environment.sim.qpos[:, 0].tolist()
    wall = layout(0).lines[0][0] + 0.03
    assert x[0] - wall == pytest.approx(RADIUS, abs=0.005)
    assert environment.sim.qpos[0, 2] < 0.1  # neither climbs nor tips over
    touching = environment.outcome()["touching"].tolist()
    assert touching[0] > 0.5 and touching[1] == 0


def test_a_shown_goal_is_seen_from_the_robot():
    family = metarl.make_family("rover-maze", shown=True)
    hidden = family_of("rover-maze")
    case = {"layout": 2, "goal": 9}
    seen = put(family, [case], [(0.1, 0.1)], yaw=math.pi / 2)
    blind = put(hidden, [case], [(0.1, 0.1)], yaw=math.pi / 2)
    observation = family.observe(seen.sim)[0]
    assert torch.equal(observation[:20], hidden.observe(blind.sim)[0])
    x, y = layout(2).centre(9)
    assert observation[20:].tolist() == pytest.approx([y - 0.1, 0.1 - x])
    assert metarl.make_family("rover-maze", **family.options).shown


def test_robots_that_drive_at_random_stay_in_their_maze(family):
    environment = environment_of(family, family.tasks("structure", 8))
    environment.reset(0)
    for action in actions_of(family, 60, 8).repeat_interleave(3, 0):
        environment.step(action)
    lines = torch.tensor([layout(t["layout"]).lines for t in environment.tasks])
    place = environment.sim.qpos[:, :2]
    assert (place > lines[:, :, 0] + 0.9 * RADIUS).all()
    assert (place < lines[:, :, -1] - 0.9 * RADIUS).all()
