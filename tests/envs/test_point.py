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
