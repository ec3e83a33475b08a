"""The quadruped stands, and every parameter does what its name says."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from metarl.envs.locomotion.quadruped import QuadrupedVelocity
from metarl.envs.locomotion.quadruped_model import FOOT, HOME, LEGS, LIMB
from metarl.simulation.engine import mujoco
from metarl.simulation.protocol import Simulation
from metarl.tasks.randomness import Streams, key, mix

Values = Mapping[str, Any]


@pytest.fixture(scope="module")
def family() -> QuadrupedVelocity:
    return QuadrupedVelocity()


def start(family: QuadrupedVelocity, cases: Sequence[Values]) -> Simulation:
    """Simulations of exact tasks, at home, without noise."""
    sim = family.simulate([family.task(**case) for case in cases], threads=2)
    sim.reset(torch.ones(sim.n, dtype=torch.bool))
    return sim


def run(
    family: QuadrupedVelocity, sim: Simulation, actions: torch.Tensor
) -> torch.Tensor:
    """States after each of the (time, n, 12) actions, (time, n, 37)."""
    states = []
    for action in actions:
        family.act(sim, action)
        sim.step()
        family.reward(sim, action)
        states.append(torch.cat([sim.qpos, sim.qvel], -1))
    assert not sim.diverged().any()
    return torch.stack(states)


def still(steps: int, n: int) -> torch.Tensor:
    return torch.zeros(steps, n, 12, dtype=torch.float64)


def wiggle(steps: int, n: int) -> torch.Tensor:
    """The same smooth motion for all simulations."""
    time = torch.arange(steps, dtype=torch.float64)[:, None] * 0.02
    phase = torch.arange(12, dtype=torch.float64) * 2.1
    return (9.0 * time + phase).sin()[:, None].expand(steps, n, 12)


ICE: Values = {"friction": 0.1}
EXTREMES: list[Values] = [
    {},
    {"payload": 0.0},
    {"payload": 8.0},
    {"payload_offset": (0.1, 0.1)},
    {"payload_offset": (-0.1, -0.1)},
    ICE,
    {"friction": 0.25},
    {"friction": 3.0},
    {"motor_strength": 0.5},
    {"motor_strength": 1.4},
    {"limb_length": 0.6},
    {"limb_length": 1.4},
    {"latency": 0.04},
    {"slope": 0.1},
    {"slope": -0.1},
]


def test_stands_still_for_ten_seconds(family: QuadrupedVelocity) -> None:
    sim = start(family, EXTREMES)
    spawn = sim.qpos[:, 2].clone()
    states = run(family, sim, still(500, sim.n))
    settled, end = states[100], states[-1]
    assert not family.metrics(sim)["fall"].any()
    for i, case in enumerate(EXTREMES):
        # The motors give way when the weight comes on them, then hold.
        assert end[i, 2] > 0.75 * spawn[i], case
        assert abs(end[i, 2] - settled[i, 2]) < 0.01, case
        if case != ICE:  # where it trembles, and creeps
            assert (end[i, :2] - settled[i, :2]).norm() < 0.03, case
            assert end[i, 19:].abs().max() < 0.1, case


def test_stands_from_noisy_starts(family: QuadrupedVelocity) -> None:
    sim = family.simulate([family.task()], copies=32, threads=2)
    ids = torch.arange(32)
    sim.reset(torch.ones(sim.n, dtype=torch.bool))
    family.reset(sim, ids, Streams(mix(key(0), ids.numpy())))
    assert sim.qpos[:, 7:].std(0).min() > 0.01
    run(family, sim, still(250, 32))
    assert not family.metrics(sim)["fall"].any()


def test_reset_depends_on_the_stream_alone(family: QuadrupedVelocity) -> None:
    def starts(ids: list[int]) -> torch.Tensor:
        sim = start(family, [{}] * 3)
        family.reset(sim, torch.tensor(ids), Streams(mix(key(1), np.array(ids))))
        return torch.cat([sim.qpos, sim.qvel], -1)[ids]

    assert torch.equal(starts([0, 1, 2])[1:], starts([1, 2]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("payload", 6.0),
        ("payload_offset", (0.08, -0.05)),
        ("friction", 0.15),
        ("motor_strength", 0.6),
        ("limb_length", 1.3),
        ("latency", 0.03),
        ("weak_leg", "RR"),
        ("slope", 0.2),
    ],
)
def test_every_parameter_moves_the_trajectory(
    family: QuadrupedVelocity, name: str, value: Any
) -> None:
    sim = start(family, [{}, {}, {name: value}])
    height = sim.qpos[:, 2].clone()
    states = run(family, sim, wiggle(40, 3))
    assert torch.equal(states[:, 0], states[:, 1])
    assert (states[-1, 2, :7] - states[-1, 0, :7]).abs().max() > 5e-3
    assert name == "limb_length" or height[2] == height[0]


def test_the_command_is_seen_and_rewarded(family: QuadrupedVelocity) -> None:
    goal = {"forward_velocity": 0.9, "left_velocity": -0.2, "turn_rate": 0.4}
    sim = start(family, [{}, goal])
    seen = family.observe(sim)
    assert seen.shape == (2, 48)
    assert seen[1, 45:].tolist() == [0.9, -0.2, 0.4]
    assert torch.equal(seen[0, :45], seen[1, :45])
    # At the command on level ground the shaped reward is at its maximum.
    sim.qvel[1, :3] = torch.tensor([0.9, -0.2, 0.0])
    sim.qvel[1, 5] = 0.4
    reward = family.reward(sim, still(1, 2)[0])
    assert reward[1].item() == pytest.approx(0.05 * 2.25)
    assert reward[0] < reward[1]


def test_payload_is_in_the_model_where_it_says(family: QuadrupedVelocity) -> None:
    empty = family.models(family.task(payload=0.0))
    assert empty.body_mass.sum() == pytest.approx(12.7, abs=0.1)
    heavy = family.models(family.task(payload=8.0, payload_offset=(0.05, -0.1)))
    assert heavy.body_mass.sum() - empty.body_mass.sum() == pytest.approx(8.0)
    trunk = heavy.body("trunk").id
    share = 8.0 / heavy.body_mass[trunk]
    shift = heavy.body_ipos[trunk] - empty.body_ipos[trunk]
    assert shift[:2] == pytest.approx([0.05 * share, -0.1 * share])
    sizes = [
        family.models(family.task(payload=mass)).geom("payload").size[0]
        for mass in (1.0, 8.0)
    ]
    assert sizes[1] == pytest.approx(2 * sizes[0])


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
def test_limb_length_scales_the_legs(family: QuadrupedVelocity, factor: float) -> None:
    model = family.models(family.task(limb_length=factor))
    data = mujoco.MjData(model)
    data.qpos[7:] = 0  # straight legs
    mujoco.mj_forward(model, data)
    for leg in LEGS:
        top, foot = data.body(f"{leg}_thigh").xpos, data.geom(f"{leg}_foot").xpos
        assert np.linalg.norm(top - foot) == pytest.approx(2 * LIMB * factor)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    for leg in LEGS:  # all four feet touch the ground at home
        assert data.geom(f"{leg}_foot").xpos[2] == pytest.approx(FOOT)


def test_the_grounds_friction_wins(family: QuadrupedVelocity) -> None:
    # A body slides on a slope steeper than the arc tangent of its friction.
    sim = start(family, [{"slope": 0.2, "friction": mu} for mu in (0.1, 0.3, 3.0)])
    states = run(family, sim, still(150, 3))
    slid = (states[-1, :, 0] - states[50, :, 0]).abs()
    assert slid[0] > 1.0
    assert slid[1] < 0.06
    assert slid[2] < 0.06
    # Uphill is forward: it slid backwards.
    assert states[-1, 0, 0] < states[50, 0, 0]


def test_gravity_is_what_an_imu_would_see(family: QuadrupedVelocity) -> None:
    sim = start(family, [{}, {"slope": 0.2}])
    gravity = family.observe(sim)[:, 6:9]
    assert gravity[0].tolist() == pytest.approx([0, 0, -1])
    assert gravity[1].tolist() == pytest.approx([-np.sin(0.2), 0, -np.cos(0.2)])
    model = family.models(family.task(slope=0.2))
    assert model.opt.gravity == pytest.approx(9.81 * gravity[1].numpy())


def test_body_velocity_matches_mujoco(family: QuadrupedVelocity) -> None:
    sim = start(family, [{}])
    sim.qpos[0, 3:7] = torch.nn.functional.normalize(
        torch.tensor([0.7, 0.3, -0.4, 0.5], dtype=torch.float64), dim=0
    )
    sim.qvel[0, :6] = torch.tensor([0.3, -1.2, 0.8, 2.0, -0.5, 1.0])
    data = mujoco.MjData(family.models.nominal)
    data.qpos[:], data.qvel[:] = sim.qpos[0].numpy(), sim.qvel[0].numpy()
    mujoco.mj_forward(family.models.nominal, data)
    rotation = data.body("trunk").xmat.reshape(3, 3)
    seen = family.observe(sim)[0].numpy()
    assert seen[:3] == pytest.approx(rotation.T @ data.qvel[:3])
    velocity = np.zeros(6)
    mujoco.mj_objectVelocity(
        family.models.nominal, data, mujoco.mjtObj.mjOBJ_XBODY,
        data.body("trunk").id, velocity, 1,
    )  # fmt: skip
    assert seen[:3] == pytest.approx(velocity[3:])
    assert seen[3:6] == pytest.approx(0.25 * velocity[:3])
    assert seen[6:9] == pytest.approx(-rotation[2])


def test_motors_and_joints(family: QuadrupedVelocity) -> None:
    model = family.models.nominal
    assert model.opt.timestep * family.substeps == pytest.approx(0.02)
    names = [model.actuator(i).name for i in range(model.nu)]
    assert names == [
        f"{leg}_{part}" for leg in LEGS for part in ("hip", "thigh", "calf")
    ]
    for name in names:  # radians, not degrees
        low, high = model.joint(name).range
        assert 1.5 < high - low < 5.5
        assert model.joint(name).limited
    home = np.array(HOME * 4)
    assert model.key("home").ctrl == pytest.approx(home)
    assert (model.jnt_range[1:, 0] < home).all() and (
        home < model.jnt_range[1:, 1]
    ).all()
    weak = family.task(motor_strength=0.5, weak_leg="RR", leg_strength=0.2)
    for field in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange"):
        was, now = getattr(model, field), getattr(family.models(weak), field)
        assert now[:9] == pytest.approx(0.5 * was[:9])
        assert now[9:] == pytest.approx(0.1 * was[9:])
    dead = family.models(family.task(weak_leg="RR", leg_strength=0.0))
    assert not dead.actuator_gainprm[9:].any()


def test_latency_delays_the_motion(family: QuadrupedVelocity) -> None:
    sim = start(family, [{}, {"latency": 0.04}])
    before = run(family, sim, still(100, 2))[-1]
    after = run(family, sim, torch.ones(2, 2, 12, dtype=torch.float64))
    moved = (after[:, :, 7:19] - before[:, 7:19]).abs().amax(-1)
    assert moved[0, 0] > 0.02
    assert moved[1, 1] < 0.1 * moved[1, 0]


def test_fall_ends_the_score(family: QuadrupedVelocity) -> None:
    sim = start(family, [{}, {}, {}])
    sim.qpos[1, 3:7] = torch.tensor([0.0, 1.0, 0.0, 0.0])  # on its back
    sim.qpos[2, 2] = 0.05
    assert family.terminated(sim).tolist() == [False, True, True]
    sim.qvel[:, 0] = 0.6
    reward = family.reward(sim, still(1, 3)[0])
    assert reward[1] < reward[0] - 0.9
    sim.qvel[1:, 0] = 100.0  # what comes after a fall does not count
    for _ in range(3):
        family.reward(sim, still(1, 3)[0])
    metrics = family.metrics(sim)
    assert metrics["fall"].tolist() == [0, 1, 1]
    assert metrics["velocity_error"].tolist() == pytest.approx([0, 0, 0])
    assert family.success(sim).tolist() == [1, 0, 0]
    sim.reset(torch.arange(sim.n) == 1)
    assert family.metrics(sim)["fall"].tolist() == [0, 0, 1]


def test_standing_still_is_no_success(family: QuadrupedVelocity) -> None:
    sim = start(family, [{"forward_velocity": 0.3}, {"forward_velocity": 1.0}])
    run(family, sim, still(250, 2))
    metrics = family.metrics(sim)
    assert metrics["velocity_error"].tolist() == pytest.approx([0.3, 1.0], abs=0.06)
    assert family.success(sim).tolist() == [0, 0]


def test_all_splits_step_together(family: QuadrupedVelocity) -> None:
    assert set(family.splits) == {
        "train", "interpolation", "near", "far", "composition", "structure", "switch",
        "drift",
    }  # fmt: skip
    tasks = [t for split in family.splits for t in family.tasks(split, 6, seed=3)]
    sizes = ("nq", "nv", "nu", "na", "nbody", "ngeom", "nhistory", "nM", "nkey")
    models = [family.models(t) for t in tasks] + [family.models.nominal]
    assert len({tuple(getattr(m, s) for s in sizes) for m in models}) == 1
    sim = family.simulate(tasks, threads=2)
    ids = torch.arange(sim.n)
    sim.reset(torch.ones(sim.n, dtype=torch.bool))
    family.reset(sim, ids, Streams(mix(key(0), ids.numpy())))
    run(family, sim, wiggle(50, sim.n))
    assert family.observe(sim).isfinite().all()


def test_slippery_ground_throws_nobody_up(family: QuadrupedVelocity) -> None:
    # It does when the solver has too few iterations for small friction.
    cases = [{"friction": mu} for mu in np.geomspace(0.1, 0.4, 48).tolist()]
    sim = start(family, cases)
    generator = torch.Generator().manual_seed(0)
    actions = 2 * torch.rand(100, 48, 12, dtype=torch.float64, generator=generator) - 1
    states = run(family, sim, actions)
    assert states[:, :, 2].max() < 0.35
    assert states[:, :, 19:22].norm(dim=-1).max() < 3


def test_a_change_in_mid_episode_is_survived(family: QuadrupedVelocity) -> None:
    sim = start(family, [{"limb_length": 0.8}, {}, {}])
    run(family, sim, still(50, 3))
    sim.set_tasks(
        [
            family.task(limb_length=1.2),
            family.task(slope=0.1),
            family.task(payload=3.0, friction=0.4, motor_strength=0.8),
        ]
    )
    run(family, sim, still(150, 3))
    assert not family.metrics(sim)["fall"].any()


def test_pictures_cost_little(family: QuadrupedVelocity) -> None:
    model = family.models.nominal
    assert model.nbuffer < 150_000  # every task of a run has its own copy
    assert model.camera(family.camera).id == 0
    assert model.vis.global_.offwidth >= 640 and model.vis.global_.offheight >= 480
