"""The rover stands, rolls as geometry says, and every parameter does what it says."""

import math
from typing import NamedTuple

import pytest
import torch
from worlds import family_of

import metarl
from metarl.envs.navigation.rover import TOLERANCE
from metarl.envs.navigation.rover_model import (
    SERVO,
    TOP_SPEED,
    TRACK,
    WHEEL,
    WIRINGS,
)
from metarl.envs.plane import heading, seen_from_robot

BESIDE = {1: 3.0}
"""Where the robot starts on plain ground, beside mud and belt: y, m."""
FAMILY = metarl.make_family("rover-goal")
TOP = TOP_SPEED * WHEEL
"""Top speed, m/s."""


def start(family, cases, places=BESIDE):
    """Simulations of exact tasks without noise; ``places``: position index -> value."""
    sim = family.simulate([family.task(**case) for case in cases], threads=1)
    sim.reset(torch.ones(sim.n, dtype=torch.bool))
    for place, value in places.items():
        sim.qpos[:, place] = value
    return sim


class Path(NamedTuple):
    """What the simulations did, step by step, (time, n, ...)."""

    place: torch.Tensor
    """m, (time, n, 2)."""
    rolled: torch.Tensor
    """Angle of the wheels, left and right, rad, (time, n, 2)."""
    velocity: torch.Tensor
    """In the world's frame, m/s, (time, n, 2)."""
    turning: torch.Tensor
    """To the left, rad/s, (time, n)."""
    wheels: torch.Tensor
    """Speed of the wheels, left and right, rad/s, (time, n, 2)."""


def drive(sim, commands, seconds):
    """The path under constant commands, (2,) or (n, 2)."""
    action = torch.as_tensor(commands, dtype=torch.float64).expand(sim.n, 2)
    states = []
    for _ in range(round(seconds / FAMILY.control_period)):
        FAMILY.act(sim, action)
        sim.step()
        states.append(torch.cat([sim.qpos, sim.qvel], -1))
    assert not sim.diverged().any()
    state = torch.stack(states)
    return Path(
        state[..., :2],
        state[..., 7:9],
        state[..., 9:11],
        state[..., 14],
        state[..., 15:17],
    )


@pytest.fixture(scope="module")
def family():
    return family_of("rover-goal")


EXTREMES = [
    {},
    {"friction": 0.1},
    {"friction": 2.0},
    {"radius_mismatch": 0.2},
    {"radius_mismatch": -0.2},
    {"mass": 0.3},
    {"mass": 3.0, "payload": 8.0},
    {"payload": 8.0, "payload_offset": (0.07, 0.07)},
    {"payload": 8.0, "payload_offset": (-0.07, -0.07), "mass": 0.3},
    {"latency": 0.2},
]


def test_stands_still_for_ten_seconds(family):
    sim = start(family, EXTREMES)
    path = drive(sim, (0.0, 0.0), 10)
    for i, case in enumerate(EXTREMES):
        assert (path.place[-1, i] - path.place[20, i]).norm() < 1e-3, case
        assert path.velocity[-1, i].abs().max() < 1e-3, case
        assert path.wheels[-1, i].abs().max() < 1e-3, case
        assert tilt(sim)[i] < math.radians(5), case


def tilt(sim):
    """Angle between the robot's axis and the vertical, rad, (n,)."""
    _, x, y, _ = sim.qpos[:, 3:7].T
    return (1 - 2 * (x * x + y * y)).acos()


def test_never_tips_over_however_it_is_driven(family):
    sim = start(family, EXTREMES)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        corner = torch.randint(0, 2, (sim.n, 2), generator=generator) * 2.0 - 1
        drive(sim, corner, 0.4)
        assert tilt(sim).max() < math.radians(20)


def test_equal_wheels_drive_a_straight_line_at_the_speed_of_the_wheels(family):
    sim = start(family, [{}])
    x, y = drive(sim, (0.5, 0.5), 6).place[:, 0].T
    assert x[-1] - x[59] == pytest.approx(3 * 0.5 * TOP, rel=0.01)
    assert y[-1] == pytest.approx(3.0, abs=1e-3)
    assert heading(sim)[0, 1] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("wheels", [(0.2, 0.5), (0.6, 0.3), (-0.1, 0.4), (-0.3, -0.5)])
def test_unequal_wheels_drive_the_circle_of_a_differential_drive(family, wheels):
    """Radius b/2 (r + l) / (r - l), positive to the left, at speed w (r - l) / b."""
    path = drive(start(family, [{}]), wheels, 12)
    left, right = (TOP * speed for speed in wheels)
    expected = TRACK / 2 * (right + left) / (right - left)
    turning = path.turning[40:, 0]
    assert turning.numpy() == pytest.approx((right - left) / TRACK, rel=0.03)
    # A circle: the centre that follows from the velocity stays where it is.
    x, y = path.velocity[40:, 0].T
    centre = path.place[40:, 0] + torch.stack([-y, x], -1) / turning[:, None]
    assert (centre - centre.mean(0)).norm(dim=-1).max() < 0.02
    radius = (path.place[40:, 0] - centre.mean(0)).norm(dim=-1)
    assert radius.numpy() == pytest.approx(abs(expected), rel=0.03, abs=0.003)


def test_a_larger_left_wheel_drives_a_circle_to_the_right(family):
    path = drive(start(family, [{"radius_mismatch": 0.1}]), (0.5, 0.5), 6)
    left, right = 0.5 * TOP * 1.05, 0.5 * TOP * 0.95
    turning = path.turning[40:, 0].mean().item()
    assert turning == pytest.approx((right - left) / TRACK, rel=0.03)


def test_a_weak_motor_turns_its_wheel_slower(family):
    path = drive(start(family, [{"motor_gain": (0.6, 1.4)}]), (0.5, 0.5), 4)
    expected = [0.5 * TOP_SPEED * 0.6, 0.5 * TOP_SPEED * 1.4]
    assert path.wheels[-1, 0].tolist() == pytest.approx(expected, rel=0.02)


def test_wheels_spin_on_slippery_ground_and_grip_on_rough(family):
    sim = start(family, [{"friction": 0.1}, {"friction": 1.2}])
    drive(sim, (0.0, 0.0), 0.5)
    speeding = drive(sim, (1.0, 1.0), 0.5)
    rolled = WHEEL * speeding.rolled[-1].mean(-1)
    assert speeding.place[-1, 0, 0] < 0.8 * rolled[0]
    assert speeding.place[-1, 1, 0].item() == pytest.approx(rolled[1].item(), rel=0.05)
    # Braking, the wheels stand long before the robot does.
    drive(sim, (1.0, 1.0), 3)
    braking = drive(sim, (0.0, 0.0), 3)
    slid = braking.place[-1, :, 0] - braking.place[0, :, 0]
    rolled = WHEEL * (braking.rolled[-1] - braking.rolled[0]).mean(-1)
    assert slid[0] > 1.2 * rolled[0]
    assert slid[1].item() == pytest.approx(rolled[1].item(), rel=0.05)


def test_the_conveyor_carries_the_robot_at_its_speed(family):
    cases = [{"conveyor": 0.1}, {"conveyor": -0.2}, {}]
    on_belt = drive(start(family, cases, {0: -0.6, 1: 0.0}), (0.0, 0.0), 2)
    speed = on_belt.velocity[20:, :, 1].mean(0).tolist()
    assert speed == pytest.approx([0.1, -0.2, 0.0], abs=0.01)
    beside = drive(start(family, cases), (0.3, 0.4), 2).place
    assert torch.equal(beside[:, 0], beside[:, 2])


def test_mud_slows_the_robot(family):
    cases = [{"mud": mud} for mud in (0.0, 10.0, 30.0)]
    leftward = {0: 0.6, 1: -0.6, 3: math.sqrt(0.5), 6: math.sqrt(0.5)}
    in_mud = drive(start(family, cases, leftward), (1.0, 1.0), 1.5)
    speed = in_mud.velocity[-1, :, 1].tolist()
    # Both motors' force, gain (top speed - v / r) / r each, is the drag mud v.
    pull = 2 * SERVO / WHEEL**2
    expected = [TOP * pull / (pull + case["mud"]) for case in cases]
    assert speed == pytest.approx(expected, rel=0.03)
    beside = drive(start(family, cases), (1.0, 1.0), 1).place
    assert torch.equal(beside[:, 0], beside[:, 2])


def test_wind_pushes_a_robot_that_has_no_grip(family):
    light = {"friction": 0.1, "mass": 0.3}
    sim = start(family, [{"wind": (0.0, 4.0), **light}, light, {"wind": (0.0, 4.0)}])
    y = drive(sim, (0.0, 0.0), 2).place[-1, :, 1].tolist()
    assert y[0] > 3.2
    assert y[1:] == pytest.approx([3.0, 3.0], abs=5e-3)
    # Where the tyres grip, it slows a robot that drives against it.
    sim = start(family, [{"wind": (-4.0, 0.0)}, {}])
    x = drive(sim, (0.5, 0.5), 3).place[-1, :, 0]
    assert x[0] < x[1] - 0.02


@pytest.mark.parametrize("wiring", WIRINGS)
def test_a_wiring_turns_the_wheel_that_it_names(family, wiring):
    sim = start(family, [{"wiring": wiring}])
    wheels = drive(sim, (0.2, 0.5), 3).wheels[-1, 0] / TOP_SPEED
    first, first_sign, second, second_sign = WIRINGS[wiring]
    expected = {first: 0.2 * first_sign, second: 0.5 * second_sign}
    found = dict(zip(("left", "right"), wheels.tolist(), strict=True))
    assert found == pytest.approx(expected, abs=0.01)


def test_wirings_are_all_ways_to_connect_two_motors():
    assert len(set(WIRINGS.values())) == 8
    assert {frozenset((a, b)) for a, _, b, _ in WIRINGS.values()} == {
        frozenset(("left", "right"))
    }


def test_latency_delays_the_wheels(family):
    sim = start(family, [{"latency": 0.1}, {}])
    speed = drive(sim, (1.0, 1.0), 1).wheels[..., 0]
    assert abs(speed[1, 0]) < 0.1 and speed[1, 1] > 2
    assert speed[2:, 0].tolist() == pytest.approx(speed[:-2, 1].tolist(), abs=0.3)


def test_the_goal_is_seen_from_the_robot(family):
    sim = start(
        family, [{"goal_distance": 2.0, "goal_bearing": 0.0}], {0: 1.0, 1: -1.0}
    )
    sim.qpos[0, 3], sim.qpos[0, 6] = math.cos(math.pi / 4), math.sin(math.pi / 4)
    # The robot looks to the left; the goal is one metre ahead and one to the right.
    assert family.observe(sim)[0, :2].tolist() == pytest.approx([1, -1])
    there = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert seen_from_robot(sim, there)[0].tolist() == pytest.approx([1, 0])


def test_a_robot_at_its_goal_has_succeeded(family):
    case = {"goal_distance": 1.0, "goal_bearing": 0.0}
    sim = start(family, [case] * 2, {1: 0.0})
    sim.qpos[0, 0], sim.qpos[1, 0] = 1.0 + TOLERANCE - 0.01, 1.0 + TOLERANCE + 0.01
    assert family.success(sim).tolist() == [1.0, 0.0]
    assert family.metrics(sim)["distance"].tolist() == pytest.approx([0.14, 0.16])
    reward = family.reward(sim, torch.zeros(2, 2))
    assert reward[0] > reward[1] > 0
