"""A robot changes in mid-episode."""

import numpy as np
import pytest
import torch
from carts import Cart, Sensing, drive, environment_of, push, state

from metarl.environment.gymnasium import GymnasiumEnv
from metarl.tasks.task import Switch, Task


def switching(family, at, before, after):
    one, other = family.task(**before), family.task(**after)
    return Task(family.name, one.values, Switch(at, other.values))


def drifting(family, phases, start=1.0):
    """A task that starts with a mass and has another from each time on."""
    switches = [Switch(at, family.task(mass=mass).values) for at, mass in phases]
    return Task(family.name, family.task(mass=start).values, tuple(switches))


PHASES = ((0.02, 4.0), (0.03, 0.5), (0.07, 2.0))
MASSES = [1.0, 1.0, 4.0, *[0.5] * 4, *[2.0] * 5]
"""Of a cart with these phases, in each control step."""


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


@pytest.mark.parametrize("visible", [False, True], ids=["hidden", "visible"])
@pytest.mark.parametrize("family", [Cart(), Sensing()], ids=["plain", "derived"])
def test_each_switch_of_a_drift_changes_the_model_at_its_step(family, visible):
    late = switching(family, 0.05, {"mass": 1.0}, {"mass": 4.0})
    tasks = [drifting(family, PHASES), late, family.task(mass=1.0)]
    columns = (MASSES, [1.0] * 5 + [4.0] * 7, [1.0] * 12)
    wanted = [list(masses) for masses in zip(*columns, strict=True)]
    environment = environment_of(family, tasks, observe_task=visible)
    sim, size = environment.sim, family.spec.observation_size

    def check(observation, masses):
        models = [sim.batch.get_model(i) for i in range(3)]
        assert [model.body("cart").mass[0] for model in models] == masses
        assert sim.parameters["mass"].tolist() == masses
        if visible:
            views = [family.space.normalized(family.task(mass=m)) for m in masses]
            assert torch.equal(observation[:, size:], torch.stack(views))

    for _ in range(2):
        check(environment.reset(0), [1.0] * 3)
        sim.qpos[:], sim.qvel[:] = 0, 0
        sim.refresh()
        for masses in wanted:
            before = sim.qvel[:, 0].clone()
            check(environment.step(push(environment, 0.02)).observation, masses)
            speed = sim.qvel[:, 0]
            # Of 20 * 0.02 N; the damping is 0.5 Ns/m, and implicit.
            force = torch.tensor(masses) * (speed - before) / 0.01 + 0.5 * speed
            assert force.tolist() == pytest.approx([0.4] * 3)


def test_switches_within_one_control_step_end_in_the_last():
    family = Cart()
    task = drifting(family, [(0.029, 4.0), (0.031, 0.5), (0.05, 2.0)])
    environment = environment_of(family, [task])
    environment.reset(0)
    seen = [
        (drive(environment, 1), environment.sim.parameters["mass"].item())[1]
        for _ in range(7)
    ]
    assert seen == [1.0] * 3 + [0.5] * 2 + [2.0] * 2


def test_a_partial_reset_starts_one_drift_again_and_leaves_the_other():
    family = Cart()
    environment = environment_of(family, [drifting(family, PHASES)], 2)
    environment.reset(0)
    drive(environment, 5)
    environment.reset(ids=torch.tensor([1]))
    for t in range(7):
        drive(environment, 1)
        assert environment.sim.parameters["mass"].tolist() == [MASSES[5 + t], MASSES[t]]


@pytest.mark.parametrize("visible", [False, True], ids=["hidden", "visible"])
@pytest.mark.parametrize("resample", [False, True], ids=["own task", "resampled"])
def test_a_drift_goes_on_to_the_same_bits_from_any_step(resample, visible):
    family = Sensing()
    tasks = [
        drifting(family, PHASES),
        switching(family, 0.05, {"mass": 1.0}, {"mass": 4.0}),
        family.task(mass=1.5),
    ]
    pool = [*tasks, drifting(family, [(0.01 * t, 0.5 + 0.1 * t) for t in range(1, 9)])]

    def made():
        return environment_of(
            family,
            tasks,
            2,
            seed=4,
            resample=pool if resample else (),
            observe_task=visible,
        )

    def step(environment, t):
        """What the next step reads, the reward, masses, and the state."""
        (found,) = drive(environment, 1, seed=t)
        observation = found.observation
        if found.ended.any():
            observation = environment.reset(ids=found.ended.nonzero()[:, 0])
        masses = environment.sim.parameters["mass"]
        seen = (observation, found.reward, masses, torch.tensor(state(environment)))
        return [tensor.clone() for tensor in seen]

    whole = made()
    before = [(whole.reset(), whole.state())]
    seen = []
    for t in range(20):
        seen.append(step(whole, t))
        before.append((seen[-1][0], whole.state()))
    for start, (observation, stored) in enumerate(before):
        loaded = made()
        assert torch.equal(loaded.load_state(*stored), observation)
        for t in range(start, 20):
            for one, other in zip(step(loaded, t), seen[t], strict=True):
                assert torch.equal(one, other)


def test_drifts_of_a_family_are_frozen_and_change_within_its_episodes():
    family = Cart(horizon=150)
    tasks = family.tasks("drift", 12, seed=3)
    assert family.tasks("drift", 4, seed=3, start=5) == tasks[5:9]
    assert max(len(task.switches) for task in tasks) > 2
    environment = environment_of(family, tasks)
    environment.reset(0)
    changed = [[] for _ in tasks]
    before = [task["mass"] for task in tasks]
    for t in range(150):
        drive(environment, 1)
        now = environment.sim.parameters["mass"].tolist()
        for row, (one, other) in enumerate(zip(before, now, strict=True)):
            if one != other:
                changed[row].append((0.01 * t, other))
        before = now
    for task, found in zip(tasks, changed, strict=True):
        wanted = [(switch.at, dict(switch.values)["mass"]) for switch in task.switches]
        assert found == [pytest.approx(pair) for pair in wanted]


def test_a_picture_shows_the_phase_that_rules():
    family = Cart()
    drawn = []
    family.render = lambda sim, task, index=0: drawn.append(task["mass"])
    env = GymnasiumEnv(family, drifting(family, PHASES), render_mode="rgb_array")
    env.reset()
    env.render()
    for _ in range(12):
        env.step(np.zeros(2, np.float32))
        env.render()
    assert drawn == [1.0, *MASSES]
