"""The arm stands, reaches and holds by friction; its parameters do what they say."""

import itertools

import numpy as np
import pytest
import torch
from hands import Values, move, pinch_and_lift, send, start

from metarl.envs.grasping.arm import (
    HELD_HEIGHT,
    ArmLift,
    ArmPlace,
    ArmPush,
    ArmReach,
)
from metarl.envs.grasping.arm_family import (
    JOINT_STEP,
    TIP_STEP,
    WORKSPACE,
    YAW_STEP,
    ArmFamily,
)
from metarl.envs.grasping.arm_model import GAP, HOME, HOME_TIP, JOINTS, SHAPES, WEAK
from metarl.errors import InputError
from metarl.simulation.engine import mujoco
from metarl.simulation.protocol import Simulation
from metarl.tasks.randomness import Streams, key, mix

FAMILIES = (ArmReach, ArmPush, ArmLift, ArmPlace)


@pytest.fixture(scope="module")
def lift() -> ArmLift:
    return ArmLift()


@pytest.fixture(scope="module")
def reach() -> ArmReach:
    return ArmReach()


def down(sim: Simulation) -> torch.Tensor:
    """How much the fingers point down: 1 for straight down, (n,)."""
    tip = sim.model.site("tip").id
    return -sim.site_xmat[:, tip].view(-1, 3, 3)[:, 2, 2]


# -- the arm ---------------------------------------------------------------------------

ARMS: list[Values] = [
    {},
    {"joint_damping": 0.25, "joint_friction": 0.25},
    {"joint_damping": 4.0, "joint_friction": 4.0},
    {"latency": 0.04},
    {"payload": 2.0},
    {"payload": 2.0, "weak_joint": "joint2"},
    {"payload": 2.0, "weak_joint": "joint4", "joint_friction": 0.25},
]


def test_stands_still_for_ten_seconds(lift: ArmLift) -> None:
    sim = start(lift, ARMS)
    home = lift.tip(sim).clone()
    move(lift, sim, 50)
    settled, object_ = lift.tip(sim).clone(), lift.object(sim).clone()
    sag = (settled - home).norm(dim=-1)
    assert sag[:4].max() < 1e-3
    assert sag[4] < 0.03  # gravity is not compensated for the payload
    assert sag[5] > 2 * sag[4]
    move(lift, sim, 200)
    assert (lift.tip(sim) - settled).norm(dim=-1).max() < 1e-3
    assert sim.qvel[:, : len(JOINTS)].abs().max() < 2e-3
    assert (lift.object(sim) - object_).norm(dim=-1).max() < 1e-4


@pytest.mark.parametrize("kind", FAMILIES)
def test_stands_still_in_either_action_space(kind: type[ArmFamily]) -> None:
    for space in ("end-effector", "joint"):
        family = kind(action_space=space)
        sim = start(family, [{}])
        action = torch.zeros(1, family.action_size, dtype=torch.float64)
        for _ in range(50):
            family.act(sim, action)
            sim.step()
        assert torch.allclose(sim.qpos[0, :7], sim.qpos.new_tensor(HOME), atol=1e-3)


def test_home_is_where_it_says(lift: ArmLift) -> None:
    sim = start(lift, [{}])
    assert lift.tip(sim)[0].tolist() == pytest.approx(HOME_TIP, abs=1e-6)
    assert down(sim).item() == pytest.approx(1)
    assert lift.gap(sim).item() == pytest.approx(GAP)
    assert sim.ctrl[0].tolist() == pytest.approx([*HOME, GAP])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1, 1])
def test_an_action_moves_the_tip_by_what_it_commands(
    reach: ArmReach, axis: int, sign: int
) -> None:
    sim = start(reach, [{}])
    before = reach.tip(sim).clone()
    move(reach, sim, 5, **{"xyz"[axis]: sign * 0.8})
    move(reach, sim, 15)
    moved = (reach.tip(sim) - before)[0]
    wanted = torch.zeros(3, dtype=torch.float64)
    wanted[axis] = sign * 5 * 0.8 * TIP_STEP
    assert (moved - wanted).norm() < 0.1 * wanted.norm()
    assert down(sim).item() > 0.999


def test_yaw_turns_the_hand_and_leaves_the_tip(reach: ArmReach) -> None:
    sim = start(reach, [{}])
    before = reach.tip(sim).clone()
    move(reach, sim, 8, yaw=1.0)
    move(reach, sim, 15)
    heading = torch.atan2(*reach.observe(sim)[0, [18, 17]])
    assert heading.item() == pytest.approx(8 * YAW_STEP, rel=0.1)
    assert (reach.tip(sim) - before).norm() < 0.01


def test_joint_actions_move_each_joint_by_what_they_command() -> None:
    family = ArmReach(action_space="joint")
    assert family.options["action_space"] == "joint"
    sim = start(family, [{}] * 7)
    action = torch.cat([torch.eye(7), torch.zeros(7, 1)], 1).double()
    for i in range(15):
        family.act(sim, action if i < 3 else 0 * action)
        sim.step()
    moved = sim.qpos[:, :7] - sim.qpos.new_tensor(HOME)
    assert torch.allclose(moved, 3 * JOINT_STEP * action[:, :7], atol=5e-3)


def test_an_unknown_action_space_is_refused() -> None:
    with pytest.raises(InputError, match="joint"):
        ArmReach(action_space="joints")  # type: ignore[arg-type]


def test_the_jacobian_is_mujocos(lift: ArmLift) -> None:
    sim = start(lift, [{}] * 3)
    sim.qpos[:, :7] += torch.linspace(-0.4, 0.4, 21).view(3, 7)
    sim.refresh()
    tip = lift.tip(sim)
    hand = sim.model.body("hand").id
    linear, angular = sim.batch.jac(hand, tip.numpy())
    expected = np.concatenate([linear, angular], 1)[:, :, :7]
    assert lift.jacobian(sim).numpy() == pytest.approx(expected, abs=1e-9)


def test_reaches_within_a_centimetre(reach: ArmReach) -> None:
    corners = list(itertools.product((-0.12, 0.12), repeat=3))
    cases = [{"goal": corner, **arm} for corner in corners for arm in ARMS]
    sim = start(reach, cases)
    goal = sim.parameters["goal"] + sim.qpos.new_tensor(HOME_TIP)
    send(reach, sim, goal, reach.horizon)
    distance = reach.distance(sim)
    # A memoryless script does not make up for what sags under two kilograms.
    light = torch.tensor([case.get("payload", 0.0) == 0 for case in cases])
    assert distance[light].max() < 0.01
    assert reach.success(sim)[light].all()


def test_the_tip_stays_in_its_workspace(reach: ArmReach) -> None:
    for axis, sign in itertools.product("xyz", (-1, 1)):
        sim = start(reach, [{}])
        move(reach, sim, 60, **{axis: sign})
        low, high = sim.qpos.new_tensor(WORKSPACE)
        assert (reach.tip(sim) > low - 0.01).all()
        assert (reach.tip(sim) < high + 0.01).all()


def test_a_dead_joint_carries_nothing_and_a_weak_one_little(reach: ArmReach) -> None:
    cases = ({}, {"weak_joint": "joint7"}, {"dead_joint": "joint7"})
    sim = start(reach, cases)
    sim.ctrl[:, 6] += 0.02
    sim.batch.step()
    torque = sim.actuator_force[:, 6].abs()
    assert torque[0].item() == pytest.approx(300 * 0.02)
    assert torque[1] == WEAK * torque[0]
    assert torque[2] == 0
    for _ in range(25):
        sim.step()
    moved = (sim.qpos[:, 6] - HOME[6]).abs()
    assert moved[0] > 0.015
    assert moved[1] < 0.9 * moved[0]
    assert moved[2] < 1e-6


def test_latency_delays_the_motion(reach: ArmReach) -> None:
    sim = start(reach, [{}, {"latency": 0.08}])
    before = reach.tip(sim).clone()
    move(reach, sim, 2, x=1.0)
    moved = (reach.tip(sim) - before).norm(dim=-1)
    assert moved[0] > 5e-3
    assert moved[1] < 0.05 * moved[0]


def test_joint_ranges_and_torques_are_a_frankas(reach: ArmReach) -> None:
    model = reach.models.nominal
    assert model.opt.timestep * reach.substeps == pytest.approx(0.04)
    for name, home in zip(JOINTS, HOME, strict=True):  # radians, not degrees
        low, high = model.joint(name).range
        assert 2.9 < high - low < 5.9
        assert low < home < high
        assert model.actuator(name).ctrlrange == pytest.approx((low, high))
    limits = [model.actuator(name).forcerange[1] for name in JOINTS]
    assert limits == [87.0] * 4 + [12.0] * 3
    assert 15 < model.body_mass.sum() < 19


# -- the grasp -------------------------------------------------------------------------

LIGHT_OR_FIRM = [
    {
        "mass": mass,
        "friction": friction,
        "grip_force": force,
        "half_size": half_size,
        "shape": shape,
        "pad_compliance": compliance,
    }
    for mass, friction, force, half_size, shape, compliance in itertools.product(
        (0.05, 0.5),
        (0.4, 1.2),
        (12.0, 28.0),
        (0.018, 0.03),
        ("box", "cylinder", "sphere"),
        (0.01, 0.02),
    )
]


@pytest.mark.slow
def test_a_pinch_holds_at_every_corner_of_the_train_box(lift: ArmLift) -> None:
    sim = start(lift, LIGHT_OR_FIRM)
    pinch_and_lift(lift, sim)
    height = lift.height(sim)
    for case, reached in zip(LIGHT_OR_FIRM, height.tolist(), strict=True):
        assert reached > 0.12, case
    assert lift.success(sim).all()
    assert lift.off_hand(sim).max() < 0.03


def test_a_pinch_fails_where_friction_cannot_carry(lift: ArmLift) -> None:
    # Two fingers carry 2 mu F: here half of the weight.
    cases = [
        {"mass": 1.0, "friction": 0.4, "grip_force": 6.0},
        {"mass": 0.5, "friction": 0.15, "grip_force": 8.0},
        {"mass": 0.5, "friction": 0.15, "grip_force": 8.0, "shape": "cylinder"},
        {"mass": 1.0, "friction": 0.2, "grip_force": 12.0, "shape": "sphere"},
    ]
    sim = start(lift, cases)
    pinch_and_lift(lift, sim, seconds=1.0)
    assert lift.height(sim).max() < 0.01
    assert not lift.success(sim).any()


def test_what_is_held_falls_when_the_fingers_open(lift: ArmLift) -> None:
    sim = start(lift, [{"shape": shape} for shape in SHAPES])
    pinch_and_lift(lift, sim, seconds=1.0)
    assert lift.success(sim).all()
    move(lift, sim, 20, gap=1.0)
    assert lift.height(sim).max() < 0.05
    assert not lift.success(sim).any()


def test_a_slippery_heavy_object_must_be_lifted_slowly(lift: ArmLift) -> None:
    cases = [
        {"mass": 0.5, "friction": 0.4, "grip_force": 12.0, "com_offset": (0.01, 0.01)},
        {"mass": 0.05, "friction": 1.2, "grip_force": 28.0},
    ]
    held = []
    for speed in (0.3, 1.0):
        sim = start(lift, cases)
        pinch_and_lift(lift, sim, speed)
        held.append((lift.height(sim) > HELD_HEIGHT).tolist())
    assert held == [[True, True], [False, True]]


def test_nothing_but_friction_holds(lift: ArmLift) -> None:
    model = lift.models.nominal
    assert model.neq == 1  # the two fingers are one motor's
    assert int(model.eq_type[0]) == int(mujoco.mjtEq.mjEQ_JOINT)
    pairs = {
        frozenset(
            (
                model.geom(int(model.pair_geom1[i])).name,
                model.geom(int(model.pair_geom2[i])).name,
            )
        )
        for i in range(model.npair)
    }
    assert pairs == {
        frozenset(("left_pad", "table")),
        frozenset(("right_pad", "table")),
        frozenset(("left_pad", "object")),
        frozenset(("right_pad", "object")),
        frozenset(("object", "table")),
    }
    assert not model.geom_contype.any()


def test_the_grip_is_as_strong_as_it_says(lift: ArmLift) -> None:
    cases = [{"grip_force": force} for force in (6.0, 20.0, 40.0)]
    sim = start(lift, cases)
    pinch_and_lift(lift, sim, seconds=0.4)
    data = [sim.batch.get_data(i) for i in range(3)]
    for case, each in zip(cases, data, strict=True):
        force = np.zeros(6)
        normal = 0.0
        for i in range(each.ncon):
            mujoco.mj_contactForce(sim.model, each, i, force)
            normal += force[0]
        # Both fingers press, each with the force of the gripper.
        assert normal == pytest.approx(2 * case["grip_force"], rel=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_weighs_and_turns_as_a_solid(lift: ArmLift, shape: str) -> None:
    model = lift.models(lift.task(shape=shape, mass=0.3, half_size=0.03))
    spec = mujoco.MjSpec()
    body = spec.worldbody.add_body()
    body.add_freejoint()
    geom = model.geom("object")
    body.add_geom(type=int(geom.type[0]), size=geom.size, mass=0.3, quat=geom.quat)
    solid = spec.compile().body(1)
    found = model.body("object")
    assert found.mass[0] == pytest.approx(0.3)
    assert sorted(found.inertia) == pytest.approx(sorted(solid.inertia), rel=1e-3)


@pytest.mark.parametrize("half_size", [0.014, 0.036])
def test_every_shape_lies_still_where_it_starts(
    lift: ArmLift, half_size: float
) -> None:
    sim = start(lift, [{"shape": s, "half_size": half_size} for s in SHAPES])
    before = lift.object(sim).clone()
    move(lift, sim, 50)
    assert (lift.object(sim) - before).abs().max() < 1e-3


# -- jobs ------------------------------------------------------------------------------


def test_reset_depends_on_the_stream_alone(lift: ArmLift) -> None:
    def starts(ids: list[int]) -> torch.Tensor:
        sim = start(lift, [{}] * 3)
        lift.reset(sim, torch.tensor(ids), Streams(mix(key(1), np.array(ids))))
        return torch.cat([sim.qpos, sim.qvel], -1)[ids]

    first = starts([0, 1, 2])
    assert torch.equal(first[1:], starts([1, 2]))
    assert first.std(0)[9:11].min() > 1e-3


def test_the_camera_is_wrong_by_its_offset(lift: ArmLift) -> None:
    sim = start(lift, [{}, {"camera_offset": (0.02, -0.01)}])
    seen = lift.observe(sim)
    assert torch.equal(seen[0, :26], seen[1, :26])
    place, from_tip = seen[:, 26:29], seen[:, 29:32]
    for part in (place, from_tip):
        assert (part[1] - part[0]).tolist() == pytest.approx([0.02, -0.01, 0])
    assert torch.equal(lift.object(sim)[0], lift.object(sim)[1])


@pytest.mark.parametrize("kind", [ArmReach, ArmPush])
def test_a_hidden_goal_is_rewarded_and_not_seen(kind: type[ArmFamily]) -> None:
    family = kind()
    size = family.parameters["goal"].size
    sim = start(family, [{"goal": (0.1,) * size}, {"goal": (-0.1,) * size}])
    seen = family.observe(sim)
    assert torch.equal(seen[0], seen[1])
    if isinstance(family, ArmPush):
        sim.qpos[:, 9:12] = family.tip(sim)
        sim.qpos[:, 9:11] += 0.1
        sim.site_xpos[:, sim.model.site("tip").id, :2] += 0.1
    else:
        send(family, sim, family.tip(sim) + 0.1, 60)
    reward = family.reward(sim, torch.zeros(2, 5))
    assert reward[0] > reward[1] + 0.3
    assert family.success(sim).tolist() == [1, 0]


def test_a_commanded_goal_is_seen(lift: ArmLift) -> None:
    family = ArmPlace()
    sim = start(family, [{}, {"goal": (-0.1, 0.05), "goal_height": 0.2}])
    seen = family.observe(sim)
    assert seen.shape[1] == lift.observe(start(lift, [{}])).shape[1] + 6
    assert seen[1, -6:-3].tolist() == pytest.approx([-0.1, 0.05, 0.2 + 0.024 - 0.2])
    assert torch.equal(seen[0, :-6], seen[1, :-6])
    goal = family.goal(sim)
    sim.qpos[:, 9:12] = goal
    assert family.success(sim).tolist() == [1, 1]
    assert family.metrics(sim)["distance"].max() < 1e-9


def test_the_first_millimetre_pays(lift: ArmLift) -> None:
    sim = start(lift, [{}] * 4)
    target = lift.object(sim).clone()
    send(lift, sim, target, 40)
    send(lift, sim, target, 12, gap=-1.0)
    lifted = torch.tensor([0.0, 0.001, 0.01, 0.1], dtype=torch.float64)
    # As if the hand had gone up with it.
    sim.qpos[:, 11] = sim.parameters["half_size"] + lifted
    sim.site_xpos[:, sim.model.site("tip").id, 2] += lifted
    reward = lift.reward(sim, torch.zeros(4, 5))
    gains = (reward - reward[0])[1:].tolist()
    assert gains == sorted(gains)
    # A millimetre of ten centimetres is a tenth of the whole, not a hundredth.
    assert gains[0] > 0.09 * gains[2]


def test_a_lift_counts_only_when_it_is_held_at_the_end(lift: ArmLift) -> None:
    sim = start(lift, [{}])
    pinch_and_lift(lift, sim, seconds=0.0)
    sim.memory["held"].zero_()
    move(lift, sim, 12, gap=-1.0)
    assert lift.success(sim).tolist() == [0]
    move(lift, sim, 1, gap=-1.0)
    assert lift.success(sim).tolist() == [1]
    move(lift, sim, 12, gap=1.0)
    assert lift.success(sim).tolist() == [0]


def test_all_splits_step_together() -> None:
    for kind in FAMILIES:
        family = kind()
        expected = {"train", "interpolation", "near", "far", "structure", "switch"}
        assert expected <= set(family.splits)
        tasks = [t for split in family.splits for t in family.tasks(split, 4, seed=3)]
        sim = family.simulate(tasks, threads=2)
        ids = torch.arange(sim.n)
        sim.reset(torch.ones(sim.n, dtype=torch.bool))
        family.reset(sim, ids, Streams(mix(key(0), ids.numpy())))
        sim.refresh()
        generator = torch.Generator().manual_seed(0)
        for _ in range(40):
            action = torch.rand(sim.n, 5, dtype=torch.float64, generator=generator)
            family.act(sim, 2 * action - 1)
            sim.step()
            assert sim.qvel.abs().max() < 50
        assert family.observe(sim).isfinite().all()
        assert not sim.diverged().any()


def test_pictures_cost_little(lift: ArmLift) -> None:
    model = lift.models.nominal
    assert model.nbuffer < 150_000  # every task of a run has its own copy
    assert model.camera(lift.camera).id == 0
