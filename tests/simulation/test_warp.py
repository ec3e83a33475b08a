"""MuJoCo Warp on its CPU device: the same physics as MuJoCo's, world by world."""

import numpy as np
import pytest
import torch
from worlds import actions_of

import metarl
from metarl.environment.environment import Environment
from metarl.errors import InputError
from metarl.simulation.engine import mujoco
from metarl.tasks.randomness import Streams, key, mix

warp = pytest.importorskip("mujoco_warp")

from metarl.simulation.mujoco_warp import MujocoWarp  # noqa: E402

CHEETAH = "cheetah-direction"
"""Most tests run on one robot: kernels are compiled for each, in half a minute."""
PARITY = {
    # name: differences of joint positions after ten control steps, median and largest
    CHEETAH: (1e-6, 1e-5),
    "rover-goal": (1e-5, 5e-2),
    "arm-lift": (1e-5, 5e-2),
    "quadruped-velocity": (1e-5, 1e-4),
}
"""A wheel that slips is sensitive to rounding, and a cylinder stands on fewer contacts
than in MuJoCo; where nothing of the kind happens, worlds agree in float32."""


def on_warp(name):
    return metarl.make_family(name).on("warp", "cpu")


def tasks_of(family, count=1):
    splits = [split for split in family.splits if split not in ("drift", "switch")]
    return [task for split in splits for task in family.tasks(split, count)]


def start(family, sim):
    sim.reset(torch.ones(sim.n, dtype=torch.bool))
    keys = mix(key("start"), np.arange(sim.n))
    family.reset(sim, torch.arange(sim.n), Streams(keys, like=sim.qpos))
    sim.refresh()


def both(name):
    """The same tasks and starts by MuJoCo and by MuJoCo Warp."""
    families = metarl.make_family(name), on_warp(name)
    tasks = tasks_of(families[0])
    sims = [family.simulate(tasks, threads=1) for family in families]
    for family, sim in zip(families, sims, strict=True):
        start(family, sim)
    return families, sims


def rollout(family, sim, steps, active=None):
    for action in actions_of(family, steps, sim.n):
        family.act(sim, action.to(sim.qpos))
        sim.step(active)


@pytest.mark.parametrize(
    "name",
    [CHEETAH, *(pytest.param(n, marks=pytest.mark.slow) for n in list(PARITY)[1:])],
)
def test_worlds_move_as_mujoco_moves_them(name):
    families, (real, fast) = both(name)
    assert fast.qpos.dtype is torch.float32
    torch.testing.assert_close(fast.qpos.double(), real.qpos, atol=1e-6, rtol=0)
    for family, sim in zip(families, (real, fast), strict=True):
        rollout(family, sim, 10)
    median, largest = PARITY[name]
    apart = (fast.qpos - real.qpos).abs().max(1).values
    assert apart.median() < median, apart
    assert apart.max() < largest, apart
    seen, exact = (families[i].observe(s) for i, s in ((1, fast), (0, real)))
    assert (seen - exact).abs().median() < 10 * median
    assert not fast.diverged().any()
    assert not any(count.any() for count in fast.warnings().values())


@pytest.mark.slow
def test_each_world_has_a_terrain_of_its_own():
    _, (real, fast) = both("quadruped-terrain")
    places = torch.stack(
        torch.meshgrid(*[torch.linspace(-2, 2, 5)] * 2, indexing="ij"), -1
    )
    above = torch.cat([places.reshape(-1, 2), torch.full((25, 1), 3.0)], 1)
    down = torch.tensor([0.0, 0.0, -1.0])
    heights = []
    for sim in (real, fast):
        rays = [x.expand(sim.n, 25, 3).to(sim.qpos).contiguous() for x in (above, down)]
        heights.append(3 - sim.ray(*rays, groups=range(6)).double())
    assert heights[0].std(0).max() > 0.02  # they differ from task to task
    torch.testing.assert_close(heights[1], heights[0], atol=1e-4, rtol=0)


def test_a_world_has_the_same_bits_whatever_is_beside_it():
    family = on_warp(CHEETAH)
    first, *others = tasks_of(family, 2)
    alone = family.simulate([first])
    crowd = family.simulate([first, *others])
    for sim in (alone, crowd):
        start(family, sim)
        rollout(family, sim, 5)
    assert torch.equal(alone.qpos[0], crowd.qpos[0])
    assert torch.equal(alone.qvel[0], crowd.qvel[0])


def test_worlds_that_rest_stay_as_they_are_and_a_reset_touches_no_other():
    family = on_warp(CHEETAH)
    sim = family.simulate(tasks_of(family))
    start(family, sim)
    rollout(family, sim, 3)
    mask = torch.zeros(sim.n, dtype=torch.bool)
    mask[1] = True
    names = ("qpos", "qvel", "time", "qacc_warmstart", "xpos")
    before = {name: getattr(sim, name).clone() for name in names}
    rollout(family, sim, 2, active=mask)
    for name in names:
        assert torch.equal(getattr(sim, name)[~mask], before[name][~mask]), name
        assert not torch.equal(getattr(sim, name)[mask], before[name][mask]), name
    sim.reset(mask)
    sim.refresh()
    for name in names:
        assert torch.equal(getattr(sim, name)[~mask], before[name][~mask]), name
    assert sim.qvel[mask].abs().max() == 0


def test_a_state_that_is_restored_goes_on_with_the_same_bits():
    family = on_warp(CHEETAH)
    environment = Environment(family, tasks_of(family), seed=3)
    environment.reset()
    actions = actions_of(family, 6, environment.n)
    for action in actions[:3]:
        environment.step(action)
    state = environment.state()
    went_on = [environment.step(action).observation for action in actions[3:]]
    again = Environment(family, tasks_of(family))
    again.reset()
    again.load_state(*state)
    for action, expected in zip(actions[3:], went_on, strict=True):
        assert torch.equal(again.step(action).observation, expected)


def test_physics_change_in_mid_episode_as_they_do_in_mujoco():
    late = metarl.make_family(CHEETAH).task(density=1400.0)
    families, (real, fast) = both(CHEETAH)
    for family, sim in zip(families, (real, fast), strict=True):
        rollout(family, sim, 2)
        sim.set_tasks([late], [0])
        rollout(family, sim, 5)
    assert (fast.qpos - real.qpos).abs().max() < 1e-4
    assert fast.parameters["density"][1] != 1400.0
    assert fast.parameters["density"][0] == 1400.0


def test_too_little_room_is_counted_said_and_mended():
    family = on_warp(CHEETAH)
    sim = MujocoWarp(
        family.models, family.space, tasks_of(family), device="cpu", room=(1, 4)
    )
    start(family, sim)
    sim.substeps = family.substeps
    rollout(family, sim, 40)  # falls on its belly
    counts = sim.warnings()
    assert sum(int(count.sum()) for count in counts.values()) > 0
    with pytest.warns(RuntimeWarning, match="room for 2 contacts and 8 constraints"):
        sim.reset(torch.ones(sim.n, dtype=torch.bool))


def test_what_blows_up_is_counted_and_does_not_touch_the_others():
    family = on_warp(CHEETAH)
    sim = family.simulate(tasks_of(family))
    start(family, sim)
    sim.qvel[0] = torch.nan
    sim.step()
    assert sim.diverged().tolist() == [1] + [0] * (sim.n - 1)
    assert sim.qpos[1:].isfinite().all()
    mask = torch.zeros(sim.n, dtype=torch.bool)
    mask[0] = True
    sim.reset(mask)
    sim.step()
    assert sim.qpos.isfinite().all()
    assert sim.diverged()[0] == 1


@pytest.mark.parametrize(
    ("backend", "device", "message"),
    [
        ("wrap", "", "warp"),
        ("mujoco", "cuda:0", "--backend"),
        ("warp", "mps", "cuda:0 or cpu"),
        ("warp", "nonsense", "cuda:0 or cpu"),
        ("warp", "cuda:77", "no GPU cuda:77"),
    ],
)
def test_a_backend_or_device_that_is_none_is_refused(backend, device, message):
    with pytest.raises(InputError, match=message):
        metarl.make_family(CHEETAH).on(backend, device)


def test_a_sensor_that_would_read_nothing_is_refused_by_name():
    class Pushed(metarl.TaskFamily):
        def build(self, task):
            return mujoco.MjSpec.from_string(
                "<mujoco><worldbody><body><joint type='slide'/><geom size='.1'/>"
                "<site name='s'/></body></worldbody>"
                "<sensor><accelerometer name='felt' site='s'/></sensor></mujoco>"
            )

    family = Pushed().on("warp", "cpu")
    with pytest.raises(InputError, match="Sensor 'felt'"):
        family.simulate([family.task()])


def test_structure_that_differs_between_tasks_is_refused_by_name():
    class Shapes(metarl.TaskFamily):
        parameters = {"shape": metarl.Choice("box", train=("box", "sphere"))}

        def build(self, task):
            spec = mujoco.MjSpec()
            body = spec.worldbody.add_body()
            body.add_joint(type=mujoco.mjtJoint.mjJNT_SLIDE)
            kind = getattr(mujoco.mjtGeom, f"mjGEOM_{task['shape'].upper()}")
            body.add_geom(type=kind, size=[0.1, 0.1, 0.1])
            return spec

    family = Shapes().on("warp", "cpu")
    with pytest.raises(InputError, match="Shapes differ in geom_type"):
        family.simulate([family.task(), family.task(shape="sphere")])
