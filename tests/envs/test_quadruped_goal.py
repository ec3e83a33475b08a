"""The quadruped knows where it is, not where to go; its reward does."""

import math

import pytest
import torch
from worlds import environment_of, family_of

from metarl.envs.locomotion.quadruped_goal import SPEED, TOLERANCE, TURN


@pytest.fixture(scope="module")
def family():
    return family_of("quadruped-goal")


def put(family, goals, place=(0.0, 0.0), yaw=0.0):
    """Robots at rest at a place, one for each goal (distance, bearing)."""
    tasks = [family.task(goal_distance=d, goal_bearing=b) for d, b in goals]
    environment = environment_of(family, tasks)
    environment.reset(0)
    sim = environment.sim
    sim.qpos[:, :2] = torch.tensor(place, dtype=torch.float64)
    sim.qpos[:, 3:7] = torch.tensor([math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)])
    sim.qvel[:] = 0
    return environment


def test_it_senses_what_the_walking_quadruped_does_and_where_it_is(family):
    environment = put(family, [(1.5, 1.0)], place=(0.4, -0.2), yaw=0.5)
    seen = family.observe(environment.sim)[0]
    velocity = family_of("quadruped-velocity")
    other = environment_of(velocity, [velocity.task()])
    other.reset(0)
    other.sim.qpos[:], other.sim.qvel[:] = environment.sim.qpos, environment.sim.qvel
    assert torch.equal(seen[:45], velocity.observe(other.sim)[0, :45])
    assert seen[45:].tolist() == pytest.approx(
        [0.4, -0.2, math.cos(0.5), math.sin(0.5)]
    )


def test_the_reward_is_largest_for_a_robot_that_turns_and_walks_to_the_goal(family):
    yaw, bearing = 0.7, 1.2
    environment = put(family, [(2.0, bearing)], yaw=yaw)
    sim, still = environment.sim, torch.zeros(1, 12, dtype=torch.float64)
    best = {}
    for way in (bearing, bearing + 1.0, bearing - 1.0, bearing + math.pi):
        sim.qvel[0, :2] = SPEED * torch.tensor([math.cos(way), math.sin(way)])
        sim.qvel[0, 5] = min(bearing - yaw, TURN)
        best[way] = family.reward(sim, still).item()
    assert max(best, key=best.get) == bearing
    # All of the two bonuses; what is lost are the legs' penalties for the start.
    assert best[bearing] == pytest.approx(0.05 * 2.25, abs=1e-3)


def test_at_the_goal_the_reward_wants_it_to_stand(family):
    environment = put(family, [(1.0, 0.0)], place=(1.0, 0.0), yaw=2.0)
    sim, still = environment.sim, torch.zeros(1, 12, dtype=torch.float64)
    standing = family.reward(sim, still).item()
    assert standing == pytest.approx(0.05 * 2.25 + 0.05, abs=1e-3)
    sim.qvel[0, 0] = 0.3
    assert family.reward(sim, still).item() < standing


def test_success_is_to_be_at_the_goal_and_on_its_feet(family):
    goals = [(1.0 + TOLERANCE - 0.01, 0.0), (1.0 + TOLERANCE + 0.01, 0.0)]
    environment = put(family, goals, place=(1.0, 0.0))
    assert environment.outcome()["success"].tolist() == [1.0, 0.0]
    near = environment.outcome()["distance"].tolist()
    assert near == pytest.approx([TOLERANCE - 0.01, TOLERANCE + 0.01])
    environment.sim.qpos[:, 2] = 0.05  # it lies on the ground
    family.reward(environment.sim, torch.zeros(2, 12))
    assert environment.outcome()["success"].tolist() == [0.0, 0.0]
    assert environment.outcome()["fall"].tolist() == [1.0, 1.0]


def test_training_has_no_goal_behind_the_robot(family):
    for split, behind in [("train", False), ("far", True)]:
        tasks = family.tasks(split, 64)
        assert any(math.cos(t["goal_bearing"]) < -0.1 for t in tasks) == behind
