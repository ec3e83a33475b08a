"""Hopper, walker and ant are Gymnasium's own where nothing is changed."""

import gymnasium
import numpy as np
import pytest
import torch
from worlds import actions_of, environment_of

import metarl
from metarl.errors import InputError
from metarl.simulation.engine import mujoco

ROBOTS = {
    "hopper-params": "Hopper-v5",
    "walker-params": "Walker2d-v5",
    "ant-crippled": "Ant-v5",
}


@pytest.mark.parametrize(("name", "known"), ROBOTS.items())
def test_the_nominal_robot_is_gymnasiums(name, known):
    family = metarl.make_family(name)
    more = {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0}
    reference = gymnasium.make(known, **(more if known == "Ant-v5" else {})).unwrapped
    assert family.control_period == pytest.approx(reference.dt)
    environment = environment_of(family, [family.task()])
    environment.reset(1)
    reference.reset(seed=0)
    qpos, qvel = (environment.sim.qpos[0].numpy(), environment.sim.qvel[0].numpy())
    reference.set_state(qpos.copy(), qvel.copy())
    made = 0
    for action in actions_of(family, 60, 1):
        before = reference.data.qpos[0]
        step = environment.step(0.3 * action)
        seen, reward, fell, _, info = reference.step(0.3 * action[0].double().numpy())
        if known == "Ant-v5":
            # Gymnasium's ant reads positions that are one substep old.
            fresh = (reference.data.qpos[0] - before) / reference.dt
            reward += fresh - info["x_velocity"]
        np.testing.assert_allclose(step.observation[0], seen, rtol=1e-4, atol=1e-4)
        assert step.reward[0].item() == pytest.approx(reward, abs=1e-4)
        assert bool(step.terminated[0]) == fell
        made += 1
        if fell:
            break
    assert made > 5


@pytest.mark.parametrize("name", [*ROBOTS, "ant-direction", "ant-goal"])
def test_the_integrator_is_an_option(name):
    family = metarl.make_family(name, integrator="implicitfast")
    assert family.options["integrator"] == "implicitfast"
    assert family.models.nominal.opt.integrator != (
        metarl.make_family(name).models.nominal.opt.integrator
    )
    with pytest.raises(InputError, match="'euler'"):
        metarl.make_family(name, integrator="euler")


@pytest.mark.parametrize("name", ["ant-direction", "ant-goal", "ant-crippled"])
def test_the_ant_stands_for_ten_seconds(name):
    family = metarl.make_family(name)
    environment = environment_of(family, [family.task()])
    environment.reset(0)
    for _ in range(200):
        step = environment.step(torch.zeros(1, 8))
        assert not step.terminated
    assert environment.sim.qvel.abs().max() < 0.05


def test_the_ant_is_paid_for_its_own_direction():
    family = metarl.make_family("ant-direction")
    angles = (0.0, 1.2, -1.9, 3.0)
    environment = environment_of(family, [family.task(direction=a) for a in angles])
    environment.reset(0)
    before = environment.sim.qpos[:, :2].clone()
    action = actions_of(family, 1, 4)[0]
    step = environment.step(action)
    velocity = ((environment.sim.qpos[:, :2] - before) / 0.05).numpy()
    for i, angle in enumerate(angles):
        along = velocity[i] @ [np.cos(angle), np.sin(angle)]
        cost = 0.5 * float(action[i].square().sum())
        assert step.reward[i].item() == pytest.approx(along + 1 - cost, abs=1e-5)


def test_a_dead_leg_of_the_ant_does_not_push():
    family = metarl.make_family("ant-crippled")
    legs = ("none", "front_left", "front_right", "back_left", "back_right")
    names = [family.models.nominal.actuator(i).name for i in range(8)]
    for leg in legs:
        model = family.models(family.task(dead_leg=leg))
        data = mujoco.MjData(model)
        data.ctrl[:] = 1.0
        mujoco.mj_forward(model, data)
        pairs = zip(names, data.actuator_force, strict=True)
        powerless = {name for name, force in pairs if force == 0}
        assert powerless == {n for n in names if n.startswith(leg)}
    # Its first pair of motors drives the back right leg, as in Gymnasium.
    assert names[:2] == ["back_right_hip", "back_right_ankle"]


def test_every_link_has_a_mass_of_its_own():
    family = metarl.make_family("walker-params")
    factors = np.stack(
        [
            family.models(t).body_mass[1:] / family.models.nominal.body_mass[1:]
            for t in family.tasks("train", 50)
        ]
    )
    assert factors.min() > 1.5**-3 - 1e-9 and factors.max() < 1.5**3 + 1e-9
    assert (np.ptp(factors, 0) > 1).all()
    correlation = np.corrcoef(np.log(factors).T) - np.eye(7)
    assert np.abs(correlation).max() < 0.6


def test_a_longer_torso_takes_its_legs_along():
    family = metarl.make_family("cheetah-body")
    model = family.models(family.task(torso_length=1.5))
    assert model.body("bthigh").pos[0] == pytest.approx(-0.75)
    assert model.body("fthigh").pos[0] == pytest.approx(0.75)
    assert model.geom("head").pos[0] == pytest.approx(0.85)
    assert model.body_mass.sum() == pytest.approx(14.0)
