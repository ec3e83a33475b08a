"""The real arm's model stands, holds by friction and is drawn with its meshes."""

import numpy as np
import pytest
import torch
from hands import move, pinch_and_lift, start

import metarl
from metarl.envs.grasping.arm_model import GAP, HOME, HOME_TIP, JOINTS, RANGES
from metarl.simulation.engine import mujoco

FAMILY = metarl.make_family("panda-lift")
OURS = metarl.make_family("arm-lift")


def test_stands_still_for_ten_seconds() -> None:
    cases = [
        {},
        {"joint_damping": 0.25, "joint_friction": 0.25},
        {"latency": 0.08},
        {"payload": 2.0},
        {"payload": 2.0, "weak_joint": "joint4"},
    ]
    sim = start(FAMILY, cases)
    home = FAMILY.tip(sim).clone()
    move(FAMILY, sim, 100)  # the weak joint and its friction take long to settle
    settled, object_ = FAMILY.tip(sim).clone(), FAMILY.object(sim).clone()
    sag = (settled - home).norm(dim=-1)
    assert sag[:3].max() < 1e-3
    assert 0.005 < sag[3] < 0.03  # gravity is not compensated for the payload
    assert sag[4] > 1.5 * sag[3]
    move(FAMILY, sim, 150)
    assert (FAMILY.tip(sim) - settled).norm(dim=-1).max() < 2e-3
    assert sim.qvel.abs().max() < 2e-3
    assert (FAMILY.object(sim) - object_).norm(dim=-1).max() < 1e-4


def test_a_pinch_holds_where_friction_can_carry() -> None:
    cases = [
        {},
        {"shape": "cylinder"},
        {"shape": "sphere", "half_size": 0.018},
        {"mass": 0.5, "friction": 0.4, "grip_force": 12.0, "half_size": 0.03},
        # Two fingers carry 2 mu F: here half of the weight.
        {"mass": 1.0, "friction": 0.4, "grip_force": 6.0},
        {"mass": 1.0, "friction": 0.2, "grip_force": 12.0, "shape": "sphere"},
    ]
    sim = start(FAMILY, cases)
    pinch_and_lift(FAMILY, sim, seconds=2.0)
    assert FAMILY.success(sim).tolist() == [1, 1, 1, 1, 0, 0]
    assert FAMILY.height(sim)[:4].min() > 0.12
    assert FAMILY.height(sim)[4:].max() < 0.01
    move(FAMILY, sim, 20, gap=1.0)
    assert FAMILY.height(sim).max() < 0.05


def test_it_is_our_arm_to_an_agent() -> None:
    assert list(FAMILY.parameters) == list(OURS.parameters)
    assert FAMILY.action_size == OURS.action_size
    assert FAMILY.control_period == OURS.control_period
    sims = [start(family, [{}]) for family in (FAMILY, OURS)]
    seen = [
        family.observe(sim) for family, sim in zip((FAMILY, OURS), sims, strict=True)
    ]
    assert torch.allclose(*seen, atol=1e-6)
    for name, (low, high) in zip(JOINTS, RANGES, strict=True):
        assert FAMILY.models.nominal.joint(name).range == pytest.approx((low, high))
    assert FAMILY.tip(sims[0])[0].tolist() == pytest.approx(HOME_TIP, abs=1e-6)
    assert sims[0].ctrl[0].tolist() == pytest.approx([*HOME, GAP])
    assert FAMILY.models.nominal.nq == OURS.models.nominal.nq


def test_nothing_but_friction_holds() -> None:
    model = FAMILY.models.nominal
    assert model.neq == 1  # the two fingers are one motor's
    touching = {
        frozenset(
            model.geom(int(geom)).name
            for geom in (model.pair_geom1[i], model.pair_geom2[i])
        )
        for i in range(model.npair)
    }
    pads = [
        {f"{side}_pad", other}
        for side in ("left", "right")
        for other in ("object", "table")
    ]
    assert touching == set(map(frozenset, [*pads, {"object", "table"}]))
    assert not model.geom_contype.any() and not model.geom_conaffinity.any()


def test_it_is_simulated_without_meshes_and_drawn_with_them() -> None:
    task = FAMILY.task(weak_joint="joint2", payload=1.0)
    model, render_model = FAMILY.models(task), FAMILY.render_model(task)
    assert model.nmesh == 0 and render_model.nmesh > 0
    assert (model.nq, model.nu) == (render_model.nq, render_model.nu)
    tips = []
    for drawn in (model, render_model):
        data = mujoco.MjData(drawn)
        mujoco.mj_resetDataKeyframe(drawn, data, 0)
        mujoco.mj_forward(drawn, data)
        tips.append(data.site("tip").xpos.copy())
    np.testing.assert_allclose(*tips)
    dead = render_model.material("dead").id
    painted = {
        int(render_model.geom_bodyid[i])
        for i in range(render_model.ngeom)
        if render_model.geom_matid[i] == dead
    }
    assert painted == {render_model.body("link2").id}
