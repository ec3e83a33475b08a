"""The battery drains, the ground is uneven: what the other quadruped jobs promise."""

import pytest
import torch

from metarl.envs.locomotion.quadruped import (
    FALL_HEIGHT,
    SIDE,
    QuadrupedBattery,
    QuadrupedTerrain,
)
from metarl.envs.locomotion.quadruped_model import (
    JOINTS,
    NO_LOAD_SPEED,
    NOMINAL_VOLTAGE,
)
from metarl.envs.locomotion.terrain import KINDS, LEVEL, RUN, height
from metarl.simulation.engine import mujoco

BATTERY = QuadrupedBattery()
TERRAIN = QuadrupedTerrain()


def standing(family, cases, steps=500):
    """Simulations of exact tasks after ten seconds under the home command."""
    sim = family.simulate([family.task(**case) for case in cases], threads=2)
    sim.reset(torch.ones(sim.n, dtype=torch.bool))
    still = torch.zeros(sim.n, 12, dtype=torch.float64)
    for _ in range(steps):
        family.act(sim, still)
        sim.step()
        family.reward(sim, still)
    assert not sim.diverged().any()
    return sim


EMPTY = [
    {},
    *({name: value} for name, p in BATTERY.parameters.items() for value in p.bounds),
]
GROUNDS = [
    {"terrain": kind, "relief": relief}
    for kind in KINDS
    for relief in TERRAIN.parameters["relief"].bounds
]


@pytest.mark.parametrize(("family", "cases"), [(BATTERY, EMPTY), (TERRAIN, GROUNDS)])
def test_stands_still_for_ten_seconds(family, cases):
    sim = standing(family, cases)
    assert (sim.qpos[:, 2] > 0.2).all()
    assert not family.metrics(sim)["fall"].any()
    slippery = torch.tensor([case.get("friction", 1.0) < 0.3 for case in cases])
    assert (sim.qvel[~slippery].abs() < 0.01).all()


def stalled_torque(voltage, speed):
    """Torque of the front left motors whose targets are far off, at a joint speed."""
    model = BATTERY.models(BATTERY.task(voltage=voltage))
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    data.ctrl[:] = model.actuator_ctrlrange[:, 1] + 10
    data.qvel[6:] = speed
    model_unclipped = model.__copy__()
    model_unclipped.actuator_ctrllimited[:] = False
    mujoco.mj_forward(model_unclipped, data)
    return data.actuator_force[:3]


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_voltage_limits_torque_and_speed(share):
    voltage = share * NOMINAL_VOLTAGE
    limits = [limit for _, _, limit in JOINTS.values()]
    assert stalled_torque(voltage, 0.0) == pytest.approx(
        [share * limit for limit in limits]
    )
    # Half the torque is left at half the no-load speed, none at all of it.
    for i, (part, limit) in enumerate(zip(JOINTS, limits, strict=True)):
        top = share * NO_LOAD_SPEED[part]
        half = stalled_torque(voltage, top / 2)[i]
        assert half == pytest.approx(share * limit / 2, rel=1e-3)
        assert stalled_torque(voltage, top)[i] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("load", [2.0, -2.0])
def test_a_side_load_leans_the_robot_to_its_side(load):
    sim = standing(BATTERY, [{}, {"side_load": load}], steps=250)
    box = BATTERY.models(BATTERY.task(side_load=load)).geom("payload")
    assert box.pos[1] == pytest.approx(SIDE if load > 0 else -SIDE)
    roll = 2 * sim.qpos[:, 4]  # of a small angle; positive leans to the right
    assert abs(roll[0]) < 0.01
    assert roll[1] * load < -0.01


def test_the_height_field_is_the_height_function():
    points = [(x, y) for x in (-1.3, 0.0, 0.9, 3.3, 8.1) for y in (-2.0, 0.1, 1.7)]
    for case in GROUNDS:
        model = TERRAIN.models(TERRAIN.task(**case))
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        for x, y in points:
            expected = height(
                *(torch.tensor(v) for v in (x, y, KINDS.index(case["terrain"]))),
                torch.tensor(case["relief"]),
            )
            far, _ = ray_down(model, data, x, y)
            assert 5.0 - far == pytest.approx(float(expected), abs=0.008), (case, x, y)


def ray_down(model, data, x, y):
    geom = torch.full((1,), -1, dtype=torch.int32).numpy()
    ground = [0, 0, 0, 0, 0, 0]
    ground[model.geom("ground").group[0]] = 1
    data.qpos[:2] = 100.0  # out of the way
    mujoco.mj_forward(model, data)
    far = mujoco.mj_ray(
        model, data, [x, y, 5.0], [0.0, 0.0, -1.0], ground, 1, -1, geom, None
    )
    return far, int(geom[0])


def test_the_start_is_level_and_stairs_are_steps():
    angle = torch.linspace(0, 6.28, 20)
    for radius in (0.0, 0.15, 0.24):
        for kind in range(len(KINDS)):
            rim = height(
                radius * angle.cos(),
                radius * angle.sin(),
                torch.tensor(kind),
                torch.tensor(0.08),
            )
            assert (rim == 0).all()
    x = LEVEL + RUN * torch.tensor([-0.5, 0.5, 0.9, 1.1, 9.5])
    stairs = height(x, torch.tensor(0.0), torch.tensor(3), torch.tensor(0.05))
    torch.testing.assert_close(stairs, torch.tensor([0.0, 0.05, 0.05, 0.1, 0.5]))


def test_no_stair_begins_early_for_a_rounding_error():
    x = torch.linspace(-4.0, 12.0, 321, dtype=torch.float64)  # the field's columns
    stairs = height(x, torch.tensor(0.0), torch.tensor(3), torch.tensor(1.0))
    # The riser of stair k lies on a column, LEVEL + k RUN, which is still below it.
    risers = ((LEVEL + RUN * torch.arange(30) + 4) / 0.05).round().long()
    assert stairs[risers].tolist() == list(range(30))
    assert stairs[risers + 1].tolist() == list(range(1, 31))


def test_a_fall_is_measured_from_the_ground_below():
    case = {"terrain": "stairs", "relief": 0.08}
    sim = standing(TERRAIN, [case, case], steps=1)
    sim.qpos[:, 0] = LEVEL + 4.5 * RUN  # on the fifth stair, 0.4 m up
    sim.qpos[:, 2] = torch.tensor([0.4 + FALL_HEIGHT + 0.01, 0.4 + FALL_HEIGHT - 0.01])
    assert TERRAIN.terminated(sim).tolist() == [False, True]
