"""Episodes begin, go on and end as they should, each on its own."""

import numpy as np
import pytest
import torch
from carts import (
    CART,
    Cart,
    Feeling,
    Finishing,
    Sensing,
    drive,
    environment_of,
    push,
    state,
)

from metarl.errors import InputError
from metarl.simulation.engine import mujoco
from metarl.tasks.parameter import Choice
from metarl.tasks.task import Task


@pytest.mark.parametrize("family", [Finishing(), Sensing()], ids=["plain", "derived"])
def test_an_ended_simulation_stands_still_until_its_reset(family):
    environment = environment_of(family, copies=4)
    environment.reset(0)
    ended = torch.zeros(4, dtype=torch.bool)
    stood = {}
    for _ in range(family.horizon):
        step = environment.step(push(environment))
        assert (step.reward[ended] == 0).all()
        assert not (step.ended & ended).any()
        for i, (time, row) in stood.items():
            assert environment.sim.time[i] == time
            assert torch.equal(environment.sim.qpos[i], row)
        for i in (step.ended & ~ended).nonzero()[:, 0].tolist():
            stood[i] = (float(environment.sim.time[i]), environment.sim.qpos[i].clone())
        ended |= step.ended
    times = [stood[i][0] for i in range(4)]
    assert times == sorted(times) and times[0] < times[-1]
    assert not environment.active.any()
    environment.reset(ids=torch.tensor([1]))
    assert environment.active.tolist() == [False, True, False, False]
    assert environment.sim.time[1] == 0 and environment.sim.time[0] == times[0]


def test_the_horizon_truncates_and_a_terminal_state_terminates():
    environment = environment_of(Cart())
    environment.reset(0)
    steps = drive(environment, 13)
    assert [bool(s.truncated[0]) for s in steps] == [False] * 11 + [True, False]
    assert not any(s.terminated[0] for s in steps)
    environment = environment_of(Finishing())
    environment.reset(0)
    ends = [environment.step(push(environment)) for _ in range(12)]
    assert sum(bool(s.terminated[0]) for s in ends) == 1
    assert not any(s.truncated[0] for s in ends)


def test_a_terminal_state_at_the_horizon_is_terminal():
    family = Finishing()
    environment = environment_of(family)
    environment.reset(0)
    length = 0
    while environment.active.any():
        environment.step(push(environment))
        length += 1
    environment = environment_of(Finishing(horizon=length))
    environment.reset(0)
    last = [environment.step(push(environment)) for _ in range(length)][-1]
    assert last.terminated[0] and not last.truncated[0]


@pytest.mark.parametrize("resample", [False, True], ids=["own task", "resampled"])
@pytest.mark.parametrize("family", [Cart(), Sensing()], ids=["plain", "derived"])
def test_a_partial_reset_touches_only_the_given_simulations(family, resample):
    tasks = family.tasks("train", 3)
    pool = family.tasks("far", 5) if resample else ()
    environment = environment_of(family, tasks, 2, resample=pool)
    environment.reset(0)
    seen = drive(environment, 4)[-1].observation
    before, its_tasks = state(environment), list(environment.tasks)
    ids, others = torch.tensor([1, 4]), torch.tensor([0, 2, 3, 5])
    fresh = environment.reset(ids=ids)
    assert np.array_equal(state(environment)[others], before[others])
    assert torch.equal(fresh[others], seen[others])
    assert not torch.equal(fresh[ids], seen[ids])
    assert environment.elapsed.tolist() == [4, 0, 4, 4, 0, 4]
    assert environment.episode.tolist() == [1, 2, 1, 1, 2, 1]
    assert [environment.tasks[i] for i in others] == [its_tasks[i] for i in others]

    alone = environment_of(family, tasks, 2, resample=pool)
    alone.reset(0)
    drive(alone, 4)
    after, undisturbed = drive(environment, 3, seed=5), drive(alone, 3, seed=5)
    for one, other in zip(after, undisturbed, strict=True):
        assert torch.equal(one.observation[others], other.observation[others])
        assert torch.equal(one.reward[others], other.reward[others])


def test_reset_without_a_seed_starts_another_episode_and_with_one_the_same():
    environment = environment_of(Cart(), copies=3)
    first, second = environment.reset(7), environment.reset()
    assert not torch.equal(first, second)
    assert len(first[:, 0].unique()) == 3
    assert torch.equal(environment.reset(7), first)
    assert torch.equal(environment.reset(), second)
    assert torch.equal(environment_of(Cart(), copies=3, seed=7).reset(), first)
    assert not torch.equal(environment.reset(8), first)


def test_simulations_do_not_depend_on_what_runs_beside_them():
    family = Cart()
    tasks = family.tasks("train", 4)
    whole = environment_of(family, tasks, 3)
    part = environment_of(family, tasks[:2], 2)
    many, few = whole.reset(3).view(4, 3, -1), part.reset(3).view(2, 2, -1)
    assert torch.equal(many[:2, :2], few)
    for _ in range(5):
        many = whole.step(push(whole, 0.3)).observation.view(4, 3, -1)
        few = part.step(push(part, 0.3)).observation.view(2, 2, -1)
    assert torch.equal(many[:2, :2], few)


def test_actions_are_clipped_and_span_the_control_range():
    environment = environment_of(Cart(), copies=2)
    environment.reset(0)
    environment.step(torch.tensor([[-7.0, -7.0], [1.0, 9.0]]))
    assert environment.sim.ctrl.tolist() == [[-1.0, -2.0], [1.0, 1.0]]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_an_action_that_is_no_number_is_refused(value):
    environment = environment_of(Cart(), copies=2)
    environment.reset(0)
    before = state(environment)
    action = push(environment, 0.0)
    action[1, 1] = value
    with pytest.raises(InputError, match=r"action.*(NaN|finite)"):
        environment.step(action)
    assert np.array_equal(state(environment), before)
    assert environment.elapsed.tolist() == [0, 0]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_ended_episode_has_no_use_for_an_action(value):
    environment = environment_of(Finishing(), copies=2)
    environment.reset(0)
    while environment.active.all():
        environment.step(push(environment))
    assert environment.active.tolist() == [False, True]
    action = push(environment)
    action[0] = value
    step = environment.step(action)
    assert step.observation.isfinite().all() and step.reward[1] != 0
    assert np.isfinite(state(environment)).all()
    action = push(environment)
    action[1, 0] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        environment.step(action)


@pytest.mark.parametrize("where", ["tasks", "set_tasks", "resample"])
def test_a_task_out_of_bounds_is_refused(where):
    family = Cart()
    wrong = [Task("Cart", (("mass", 9.0), ("goal", 0.0)))]
    with pytest.raises(InputError, match="'mass' is 9 kg, above its upper bound 4 kg"):
        if where == "tasks":
            environment_of(family, wrong)
        elif where == "set_tasks":
            environment_of(family).set_tasks(wrong)
        else:
            environment_of(family, resample=wrong)


def test_no_tasks_or_another_number_of_tasks_is_refused():
    with pytest.raises(InputError, match="At least one task"):
        environment_of(Cart(), [])
    with pytest.raises(InputError, match="holds 1 tasks, got 2"):
        environment_of(Cart()).set_tasks(Cart().tasks("train", 2))


def test_new_tasks_rule_after_the_next_reset():
    family = Cart()
    tasks = family.tasks("far", 3)
    environment = environment_of(family, family.tasks("train", 3), observe_task=True)
    environment.reset(0)
    environment.set_tasks(tasks)
    assert not environment.active.any()
    other = environment_of(family, tasks, observe_task=True)
    assert torch.equal(environment.reset(4), other.reset(4))
    one, same = drive(environment, 6), drive(other, 6)
    assert torch.equal(one[-1].observation, same[-1].observation)
    assert torch.equal(one[-1].reward, same[-1].reward)


def test_resampling_draws_a_task_of_the_pool_at_each_reset():
    family = Cart()
    pool = family.tasks("far", 4)
    environment = environment_of(
        family, family.tasks("train", 8), resample=pool, observe_task=True
    )
    drawn = set()
    for _ in range(6):
        observation = environment.reset()
        drawn |= set(environment.tasks)
        assert set(environment.tasks) <= set(pool)
        for i, task in enumerate(environment.tasks):
            assert torch.equal(observation[i, 4:], family.space.normalized(task))
            mass = environment.sim.batch.get_model(i).body("cart").mass[0]
            assert mass == pytest.approx(task["mass"])
            assert environment.sim.parameters["mass"][i] == task["mass"]
    assert drawn == set(pool)


def test_an_acceleration_is_sensed_from_the_start():
    environment = environment_of(Feeling(), copies=2)
    first = environment.reset(0)
    assert first[:, 2].tolist() == pytest.approx([9.81] * 2)
    drive(environment, 3)
    assert torch.equal(environment.reset(0), first)


class Growing(Cart):
    """Some robots have two geoms more."""

    parameters = {"more": Choice(0, train=(0, 2))}

    def build(self, task):
        spec = mujoco.MjSpec.from_string(CART)
        for _ in range(task["more"]):
            spec.body("cart").add_geom(size=[0.1, 0, 0])
        return spec


def test_models_of_other_sizes_are_refused():
    family = Growing()
    tasks = [family.task(), family.task(more=2)]
    with pytest.raises(InputError, match=r"more=2.*ngeom = 4 instead of 2.*same sizes"):
        environment_of(family, tasks)


def test_an_actuator_that_no_action_moves_is_refused():
    class Idle(Cart):
        def build(self, task):
            spec = super().build(task)
            spec.actuator("left").ctrlrange = (0, 0)
            return spec

    class Own(Idle):
        def act(self, sim, action):
            sim.ctrl[:] = action

    with pytest.raises(InputError, match=r"'left' of Idle has no control range.*act"):
        environment_of(Idle())
    environment_of(Own())


TRIANGLES = {
    "coarse": ([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1], [0, 2, 1, 0, 1, 3, 0, 3, 2]),
    "fine": (
        [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1],
        [0, 2, 1, 0, 1, 3, 0, 3, 2, 1, 2, 3],
    ),
}


class Shelled(Cart):
    """Carts in shells of different meshes: all of them in each model, or their own."""

    parameters = {"shell": Choice("fine", train=("fine", "coarse"))}
    every = False

    def reward(self, sim, action):
        return sim.qpos[:, 0]

    def success(self, sim):
        return sim.qpos[:, 0] > 0

    def build(self, task):
        spec = mujoco.MjSpec.from_string(CART)
        for name, (points, faces) in TRIANGLES.items():
            if self.every or name == task["shell"]:
                mesh = spec.add_mesh(name=name, uservert=points, userface=faces)
                mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
        spec.body("cart").add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=task["shell"],
            contype=0,
            conaffinity=0,
            mass=0.01,
        )
        return spec


def test_meshes_of_other_sizes_are_refused_with_what_to_do():
    family = Shelled()
    tasks = [family.task(), family.task(shell="coarse")]
    with pytest.raises(InputError, match=r"Meshes.*shell=coarse.*in every task.*draw"):
        environment_of(family, tasks)


def test_tasks_choose_among_meshes_that_all_have():
    family = Shelled()
    family.every = True
    tasks = [family.task(), family.task(shell="coarse")]
    environment = environment_of(family, tasks)
    environment.reset(0)
    assert environment.step(push(environment)).observation.isfinite().all()
