"""The real robot's model stands, carries and is drawn with its meshes."""

import sys

import numpy as np
import pytest
import torch

import metarl
from metarl.errors import InputError
from metarl.simulation import menagerie
from metarl.simulation.engine import mujoco

FAMILY = metarl.make_family("go1-velocity")
CASES = [
    {},
    {"payload": 8.0},
    {"payload": 8.0, "payload_offset": (-0.1, 0.1)},
    {"limb_length": 0.6},
    {"limb_length": 1.4},
    {"latency": 0.04},
    {"motor_strength": 0.5},
    {"friction": 0.25},
    {"slope": 0.1},
]


def test_it_stands_still_for_ten_seconds():
    sim = FAMILY.simulate([FAMILY.task(**case) for case in CASES], threads=2)
    sim.reset(torch.ones(sim.n, dtype=torch.bool))
    start = sim.qpos[:, 2].clone()
    still = torch.zeros(sim.n, 12, dtype=torch.float64)
    for _ in range(500):
        FAMILY.act(sim, still)
        sim.step()
        FAMILY.reward(sim, still)
    assert not sim.diverged().any()
    assert not FAMILY.metrics(sim)["fall"].any()
    assert (sim.qpos[:, 2] > 0.8 * start).all()
    assert (sim.qvel.abs() < 0.02).all()


def test_it_is_our_quadruped_to_an_agent():
    ours = metarl.make_family("quadruped-velocity")
    assert list(FAMILY.parameters) == list(ours.parameters)
    assert FAMILY.action_size == ours.action_size
    assert FAMILY.control_period == ours.control_period
    mass = FAMILY.models.nominal.body_mass.sum() - 1.0  # of the payload
    assert mass == pytest.approx(ours.models.nominal.body_mass.sum() - 1.0, rel=0.1)


def test_it_is_simulated_without_meshes_and_drawn_with_them():
    task = FAMILY.task(limb_length=1.3)
    model, render_model = FAMILY.models(task), FAMILY.render_model(task)
    assert model.nmesh == 0 and render_model.nmesh > 0
    assert (model.nq, model.nu) == (render_model.nq, render_model.nu)
    feet = []
    for drawn in (model, render_model):
        data = mujoco.MjData(drawn)
        mujoco.mj_resetDataKeyframe(drawn, data, 0)
        mujoco.mj_forward(drawn, data)
        feet.append(data.geom("FL_foot").xpos.copy())
    np.testing.assert_allclose(*feet)


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(menagerie, "_roots", list)
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", None)
    menagerie.model_file.cache_clear()
    with pytest.raises(InputError, match=r"metarl-suite\[robots\]"):
        menagerie.load("unitree_go1", "go1.xml")
    menagerie.model_file.cache_clear()


def test_a_folder_of_ones_own_comes_first(monkeypatch, tmp_path):
    (tmp_path / "robot").mkdir()
    (tmp_path / "robot" / "robot.xml").write_text("<mujoco model='mine'/>")
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    menagerie.model_file.cache_clear()
    assert menagerie.load("robot", "robot.xml").modelname == "mine"
    menagerie.model_file.cache_clear()
