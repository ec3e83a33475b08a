"""Actions reach from end to end of the control ranges that a task's own model has."""

import numpy as np
import pytest
import torch
from carts import CART, Cart, environment_of, push

from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.simulation.engine import mujoco
from metarl.tasks.parameter import Parameter
from metarl.tasks.task import Switch, Task

LIMIT = Parameter(1.0, train=(0.5, 1.0), far=(1.0, 2.0))


class Ranged(Cart):
    """The task gives the range of the first actuator, in one way or another."""

    parameters = {"limit": LIMIT}

    def reward(self, sim, action):
        return -sim.qpos[:, 0].abs()

    def success(self, sim):
        return sim.qpos[:, 0] > 0

    def build(self, task):
        spec = mujoco.MjSpec.from_string(CART)
        self.set_range(spec, task["limit"])
        return spec


class Symmetric(Ranged):
    def set_range(self, spec, limit):
        spec.actuator("left").ctrlrange = (-limit, limit)

    def ends(self, limit):
        return -limit, limit


class OneSided(Ranged):
    def set_range(self, spec, limit):
        spec.actuator("left").ctrlrange = (0.25, 3 * limit)

    def ends(self, limit):
        return 0.25, 3 * limit


class Compiled(Symmetric):
    """A compiled model is edited in place of its description."""

    def build(self, task):
        model = mujoco.MjModel.from_xml_string(CART)
        model.actuator_ctrlrange[0] = self.ends(task["limit"])
        return model


class Inherited(Ranged):
    """A servo takes the range of its joint."""

    def build(self, task):
        limit = task["limit"]
        old = '<position name="right" joint="turn" kp="5" kv="0.5" ctrlrange="-2 1"/>'
        new = '<position name="right" joint="slide" kp="5" inheritrange="2"/>'
        assert old in CART
        robot = CART.replace(old, new)
        ranged = f'type="slide" range="{-limit} {limit}"'
        return mujoco.MjSpec.from_string(robot.replace('type="slide"', ranged))

    def ends(self, limit):
        return -2 * limit, 2 * limit


FAMILIES = [Symmetric, OneSided, Compiled, Inherited]
LIMITS = (0.5, 1.0, 2.0)


def place(family):
    """Of the actuator whose range the task gives."""
    return int(isinstance(family, Inherited))


@pytest.mark.parametrize("kind", FAMILIES)
def test_an_action_of_one_is_the_end_of_each_tasks_range(kind):
    family = kind()
    environment = environment_of(family, [family.task(limit=v) for v in LIMITS], 2)
    for size, end in ((-1.0, 0), (1.0, 1), (7.0, 1)):
        environment.reset(0)
        environment.step(push(environment, size))
        wanted = np.repeat([family.ends(limit)[end] for limit in LIMITS], 2)
        assert np.allclose(environment.sim.ctrl[:, place(family)], wanted, atol=1e-12)
    other = 1 - place(family)
    assert (environment.sim.ctrl[:, other] == 1.0).all()  # as the nominal one


@pytest.mark.parametrize("kind", FAMILIES)
def test_tasks_that_are_set_later_have_their_own_ranges(kind):
    family = kind()
    environment = environment_of(family)
    environment.set_tasks([family.task(limit=2.0)])
    environment.reset(0)
    environment.step(push(environment))
    assert environment.sim.ctrl[0, place(family)] == family.ends(2.0)[1]


def test_a_switch_changes_the_range_with_the_rest():
    family = Symmetric()
    later = family.task(limit=2.0)
    task = family.task(limit=0.5)
    switch = Switch(3 * family.control_period, later.values)
    environment = environment_of(family, [Task(task.family, task.values, switch)])
    environment.reset(0)
    given = []
    for _ in range(5):
        environment.step(push(environment))
        given.append(float(environment.sim.ctrl[0, 0]))
    assert given == [0.5, 0.5, 0.5, 2.0, 2.0]


def test_resampled_tasks_have_their_own_ranges():
    family = Symmetric()
    pool = family.tasks("far", 5)
    environment = Environment(family, pool[:4], resample=pool, threads=1)
    environment.reset(3)
    environment.step(push(environment))
    wanted = [task["limit"] for task in environment.tasks]
    assert environment.sim.ctrl[:, 0].tolist() == wanted


def test_a_wider_range_is_felt():
    class Full:
        def act(self, time_step):
            return torch.ones(*time_step.reward.shape, 2)

    class Strong(Symmetric):
        def set_range(self, spec, limit):
            super().set_range(spec, limit)
            spec.actuator("left").forcelimited = False

        def metrics(self, sim):
            return {"speed": sim.qvel[:, 0].clone()}

    family = Strong()
    tasks = [family.task(limit=v) for v in LIMITS]
    speed = collect(Environment(family, tasks), Full(), seed=0).metrics["speed"][:, 0]
    assert torch.allclose(speed / speed[1], torch.tensor(LIMITS).double(), rtol=0.02)
