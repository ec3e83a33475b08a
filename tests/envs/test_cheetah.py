"""What the cheetah families promise."""

import gymnasium
import numpy as np
import pytest
import torch
from worlds import actions_of, environment_of, family_of

import metarl
from metarl.errors import InputError
from metarl.simulation.engine import mujoco

CHEETAHS = ("cheetah-direction", "cheetah-velocity", "cheetah-dynamics")


@pytest.mark.parametrize("name", CHEETAHS)
@pytest.mark.parametrize(
    ("timing", "period", "substeps", "cost", "position", "velocity"),
    [("rllab", 0.01, 1, 0.05, 0.01, 0.1), ("v5", 0.05, 5, 0.1, 0.1 / 3**0.5, 0.1)],
)
def test_timings_of_the_cheetah(
    name, timing, period, substeps, cost, position, velocity
):
    family = metarl.make_family(name, timing=timing)
    assert family.control_period == pytest.approx(period)
    assert (family.substeps, family.horizon) == (substeps, 200)
    assert family.options == {"timing": timing, "horizon": 200}
    environment = environment_of(family, [family.task()], 300)
    environment.reset(0)
    sim = environment.sim
    assert sim.qpos.std().item() == pytest.approx(position, rel=0.1)
    assert sim.qvel.std().item() == pytest.approx(velocity, rel=0.1)
    start = sim.qpos[:, 0].clone()
    action = torch.full((300, 6), 0.5)
    action[:150] = 0
    step = environment.step(action)
    assert environment.sim.time[0].item() == pytest.approx(period)
    speed = (sim.qpos[:, 0] - start) / period
    expected = {
        "cheetah-direction": speed,
        "cheetah-velocity": -(speed - 1.0).abs(),
        "cheetah-dynamics": speed,
    }[name] - cost * action.square().sum(-1)
    torch.testing.assert_close(step.reward, expected.float())


def test_the_default_timing_is_the_one_of_maml():
    assert family_of("cheetah-direction").options["timing"] == "rllab"


def test_an_unknown_timing_is_refused():
    with pytest.raises(InputError, match=r"'v6'.*rllab.*v5|'v6'.*v5.*rllab"):
        metarl.make_family("cheetah-direction", timing="v6")


def test_backwards_is_the_reward_of_forwards_turned_round():
    family = family_of("cheetah-direction")
    tasks = [family.task(direction=d) for d in (1, -1)]
    rewards = []
    for task in tasks:
        environment = environment_of(family, [task])
        environment.reset(0)
        rewards.append(environment.step(torch.zeros(1, 6)).reward[0].item())
    assert rewards[0] == pytest.approx(-rewards[1]) and rewards[0] != 0


@pytest.mark.parametrize("timing", ["rllab", "v5"])
def test_the_cheetah_moves_as_in_a_plain_loop_over_gymnasiums_model(timing):
    family = metarl.make_family("cheetah-direction", timing=timing)
    environment = environment_of(family, [family.task()])
    environment.reset(3)
    reference = gymnasium.make("HalfCheetah-v5").unwrapped
    model = reference.model
    assert model.body_mass.sum() == pytest.approx(14.0)
    assert family.models.nominal.body_mass.sum() == pytest.approx(14.0)
    data = mujoco.MjData(model)
    data.qpos[:] = environment.sim.qpos[0]
    data.qvel[:] = environment.sim.qvel[0]
    start = data.qpos[0].copy()
    for action in actions_of(family, 200, 1):
        environment.step(action)
        data.ctrl[:] = action[0].double()
        for _ in range(family.substeps):
            mujoco.mj_step(model, data)
        np.testing.assert_allclose(environment.sim.qpos[0], data.qpos, atol=1e-9)
        np.testing.assert_allclose(environment.sim.qvel[0], data.qvel, atol=1e-8)
    assert abs(data.qpos[0] - start) > 0.01
    ran = environment.outcome()["velocity"][0] * 200 * family.control_period
    assert ran.item() == pytest.approx(data.qpos[0] - start, abs=1e-9)


def test_the_cheetah_of_v5_is_gymnasiums_halfcheetah():
    family = metarl.make_family("cheetah-dynamics", timing="v5")
    environment = environment_of(family, [family.task(friction=0.4)])
    environment.reset(1)
    reference = gymnasium.make("HalfCheetah-v5").unwrapped
    reference.reset(seed=0)
    qpos, qvel = (environment.sim.qpos[0].numpy(), environment.sim.qvel[0].numpy())
    reference.set_state(qpos.copy(), qvel.copy())
    for action in actions_of(family, 50, 1):
        step = environment.step(action)
        seen, reward, *_ = reference.step(action[0].double().numpy())
        np.testing.assert_allclose(environment.sim.qpos[0, 1:], seen[:8], atol=1e-9)
        np.testing.assert_allclose(step.observation[0], seen, rtol=1e-5, atol=1e-5)
        assert step.reward[0].item() == pytest.approx(reward, abs=1e-5)


def test_every_task_has_a_body_of_its_own():
    family = family_of("cheetah-dynamics")
    masses = {family.models(t).body_mass.tobytes() for t in family.tasks("far", 5)}
    assert len(masses) == 5
