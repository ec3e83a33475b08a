"""What the point families promise."""

import numpy as np
import pytest
import torch
from worlds import environment_of, family_of

import metarl


def test_a_point_moves_by_its_clipped_action():
    family = family_of("point-goal")
    goal = (0.95, -0.95)
    environment = environment_of(family, [family.task(goal=goal)])
    place = np.zeros(2)
    np.testing.assert_array_equal(environment.reset(0)[0], place)
    generator = np.random.default_rng(0)
    for _ in range(60):
        action = generator.uniform(-1.5, 1.5, 2)
        step = environment.step(torch.from_numpy(action)[None])
        place = place + 0.1 * np.clip(action, -1, 1)
        np.testing.assert_allclose(environment.sim.qpos[0], place, atol=1e-6)
        np.testing.assert_allclose(step.observation[0], place, atol=1e-6)
        assert step.reward[0] == pytest.approx(-np.linalg.norm(place - goal), abs=1e-6)


def test_a_point_stops_at_its_goal():
    family = family_of("point-goal")
    environment = environment_of(family, [family.task(goal=(0.25, -0.1))])
    environment.reset(0)
    for action, stops in [
        ((1.0, -1.0), False),
        ((1.0, 0.0), False),
        ((0.38, 0.0), False),
        ((0.03, 0.095), True),
    ]:
        step = environment.step(torch.tensor([action]))
        assert bool(step.terminated[0]) == stops
    assert environment.outcome()["success"].tolist() == [1.0]
    assert environment.outcome()["distance"][0] < 0.015
    assert family.horizon == 100


def test_a_point_that_stops_elsewhere_has_not_succeeded():
    family = metarl.make_family("point-goal", horizon=1)
    environment = environment_of(family, [family.task(goal=(0.3, 0.3))])
    environment.reset(0)
    step = environment.step(torch.ones(1, 2))
    assert step.truncated[0]
    assert environment.outcome()["success"].tolist() == [0.0]


@pytest.fixture
def beside_the_goal():
    """Points at 0.1, 0.19, 0.21 and 1 m from a goal at the top of the circle."""

    def place(**options):
        family = metarl.make_family("point-sparse", **options)
        environment = environment_of(family, [family.task()], 4)
        environment.reset(0)
        environment.sim.qpos[:, 1] = 1 - torch.tensor([0.1, 0.19, 0.21, 1.0])
        return environment, environment.step(torch.zeros(4, 2))

    return place


def test_the_sparse_reward_is_felt_close_to_the_goal_only(beside_the_goal):
    environment, step = beside_the_goal()
    assert step.reward.tolist() == pytest.approx([0.9, 0.81, 0.0, 0.0])
    assert environment.outcome()["success"].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert not step.ended.any()


def test_the_dense_reward_is_minus_the_distance(beside_the_goal):
    _, step = beside_the_goal(dense=True)
    assert step.reward.tolist() == pytest.approx([-0.1, -0.19, -0.21, -1.0])


def test_goals_lie_on_the_circle_and_held_out_ones_on_its_lower_half():
    family = family_of("point-sparse")
    assert family.horizon == 20
    for split, low, high in [("train", 0, 1), ("near", -0.71, 0), ("far", -1, -0.7)]:
        sim = environment_of(family, family.tasks(split, 32)).sim
        goal = family.goal(sim)
        assert goal.norm(dim=-1).numpy() == pytest.approx(1)
        assert ((goal[:, 1] >= low) & (goal[:, 1] <= high)).all()
        assert goal[:, 0].min() < 0 < goal[:, 0].max()
