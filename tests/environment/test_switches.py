"""A robot changes in mid-episode."""

import numpy as np
import pytest
import torch
from carts import Cart, Sensing, drive, environment_of, push, state

from metarl.tasks.task import Switch, Task


def switching(family, at, before, after):
    one, other = family.task(**before), family.task(**after)
    return Task(family.name, one.values, Switch(at, other.values))


@pytest.mark.parametrize("family", [Cart(), Sensing()], ids=["plain", "derived"])
def test_a_switch_changes_the_model_at_its_step_and_a_reset_undoes_it(family):
    late = switching(family, 0.05, {"mass": 1.0}, {"mass": 4.0})
    plain = family.task(mass=1.0)
    environment = environment_of(family, [late, plain])

    def masses():
        batch = environment.sim.batch
        return [batch.get_model(i).body("cart").mass[0] for i in range(2)]

    def accelerations():
        before = environment.sim.qvel[:, 0].clone()
        environment.step(push(environment, 0.1))
        return (environment.sim.qvel[:, 0] - before).tolist()

    for _ in range(2):
        environment.reset(0)
        environment.sim.qvel[:] = 0
        environment.sim.refresh()
        assert masses() == [1.0, 1.0]
        for t in range(8):
            switched, steady = accelerations()
            if t < 5:
                assert switched == steady
                assert masses() == [1.0, 1.0]
            else:
                assert switched < 0.5 * steady
                assert masses() == [4.0, 1.0]
                assert environment.sim.parameters["mass"].tolist() == [4.0, 1.0]


def test_a_switch_carries_the_state_over():
    family = Cart()
    same = switching(family, 0.05, {"mass": 2.0}, {"mass": 2.0})
    environment = environment_of(family, [same, family.task(mass=2.0)])
    environment.reset(0)
    environment.sim.qpos[:], environment.sim.qvel[:] = 0, 0
    for _ in range(10):
        environment.step(push(environment, 0.4))
    one, other = state(environment)
    assert np.array_equal(one, other)


def test_a_partial_reset_undoes_one_switch_and_leaves_the_other():
    family = Cart()
    late = switching(family, 0.03, {"mass": 1.0}, {"mass": 4.0})
    environment = environment_of(family, [late], 2)
    environment.reset(0)
    drive(environment, 5)
    environment.reset(ids=torch.tensor([1]))
    assert environment.sim.parameters["mass"].tolist() == [4.0, 1.0]
    drive(environment, 5)
    assert environment.sim.parameters["mass"].tolist() == [4.0, 4.0]


def test_the_oracle_is_told_about_a_switch():
    family = Cart()
    late = switching(family, 0.05, {"mass": 1.0}, {"mass": 4.0})
    environment = environment_of(family, [late], observe_task=True)
    views = [environment.reset(0)[0, 4:]]
    views += [step.observation[0, 4:] for step in drive(environment, 8)]
    before, after = (
        family.space.normalized(half)
        for half in (late.before_switch, late.after_switch)
    )
    assert torch.equal(views[0], before)
    assert torch.equal(views[-1], after)


@pytest.mark.parametrize("resample", [False, True], ids=["own task", "resampled"])
def test_a_partial_reset_leaves_what_the_oracle_knows_of_the_others(resample):
    family = Cart()
    late = switching(family, 0.03, {"mass": 1.0}, {"mass": 4.0})
    pool = [late] if resample else []
    environment = environment_of(family, [late], 2, resample=pool, observe_task=True)
    environment.reset(0)
    drive(environment, 5)
    one, other = environment.reset(ids=torch.tensor([1]))[:, 4:]
    assert torch.equal(one, family.space.normalized(late.after_switch))
    assert torch.equal(other, family.space.normalized(late.before_switch))
