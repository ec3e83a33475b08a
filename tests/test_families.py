"""Every family and every parameter: read back from the model, felt, and hidden."""

import functools
import math

import gymnasium
import numpy as np
import pytest
import torch

import metarl
from metarl import registry
from metarl.engine import mujoco
from metarl.errors import InputError
from metarl.parameters import Choice
from metarl.tasks import Task
from metarl.world.environment import Environment
from metarl.world.simulation import Simulation

FAMILIES = list(registry.names("families"))
"""Every family that is registered, so that a new one is tested from its first day."""


@functools.cache
def family_of(name):
    return metarl.make_family(name)


PARAMETERS = [(name, p) for name in FAMILIES for p in family_of(name).parameters]


@pytest.fixture(params=FAMILIES)
def family(request):
    return family_of(request.param)


def ends(parameter):
    """The values to compare: every choice, or both bounds."""
    if isinstance(parameter, Choice):
        return list(parameter.values)
    low, high = parameter.bounds
    if parameter.size == 1:
        return [low, high]
    return [(low,) * parameter.size, (high,) * parameter.size, (low, high)]


def actions_of(family, steps, n, seed=0):
    """The same seeded random actions for all simulations, (steps, n, size)."""
    generator = torch.Generator().manual_seed(seed)
    action = 2 * torch.rand(steps, 1, family.action_size, generator=generator) - 1
    return action.expand(steps, n, family.action_size)


def environment_of(family, tasks, copies=1, **options):
    return Environment(family, tasks, copies, **{"threads": 1, **options})


# -- every parameter is what the compiled model says it is -----------------------------


def ratio(values, nominal):
    """The one factor between two arrays, wherever the nominal one is not zero."""
    used = nominal != 0
    assert used.any()
    assert (values[~used] == 0).all()
    factors = values[used] / nominal[used]
    assert np.ptp(factors) < 1e-9
    return factors[0]


def touching(family, task):
    """Sliding friction of the contacts that the robot makes with the ground."""
    model = family.model(task)
    data = mujoco.MjData(model)
    if model.nkey:
        mujoco.mj_resetDataKeyframe(model, data, 0)
    for _ in range(2000):
        mujoco.mj_step(model, data)
        if data.ncon:
            frictions = {tuple(c.friction[:2]) for c in data.contact[: data.ncon]}
            assert len(frictions) == 1
            (both,) = frictions
            assert both[0] == both[1]
            return both[0]
    raise AssertionError("The robot never touches the ground.")


def strength(family, task):
    model, nominal = family.model(task), family.nominal_model
    factor = ratio(model.actuator_gainprm, nominal.actuator_gainprm)
    for field in ("actuator_biasprm", "actuator_forcerange"):
        before = getattr(nominal, field)
        if before.any():
            assert ratio(getattr(model, field), before) == pytest.approx(factor)
    return factor


def density(family, task):
    model, nominal = family.model(task), family.nominal_model
    factor = ratio(model.body_mass, nominal.body_mass)
    assert ratio(model.body_inertia, nominal.body_inertia) == pytest.approx(factor)
    assert nominal.body_mass.sum() == pytest.approx(14.0)
    return 1000.0 * factor


def damping(family, task):
    return ratio(family.model(task).dof_damping, family.nominal_model.dof_damping)


def payload(family, task):
    mass = family.model(task).body("trunk").mass[0]
    empty = family.model(family.task(payload=0.0)).body("trunk").mass[0]
    return mass - empty


def payload_offset(family, task):
    """Where the payload pulls the trunk's centre of mass."""
    loaded = dict(task.values) | {"payload": 8.0}
    trunk = family.model(family.task(**loaded)).body("trunk")
    empty = family.model(family.task(payload=0.0)).body("trunk")
    moment = trunk.mass[0] * trunk.ipos - empty.mass[0] * empty.ipos
    return tuple(moment[:2] / 8.0)


def limb_length(family, task):
    model, nominal = family.model(task), family.nominal_model
    factors = []
    for leg in ("FL", "FR", "RL", "RR"):
        for one, other in (
            (model.body(f"{leg}_calf").pos, nominal.body(f"{leg}_calf").pos),
            (model.geom(f"{leg}_foot").pos, nominal.geom(f"{leg}_foot").pos),
        ):
            factors.append(one[2] / other[2])
    assert np.ptp(factors) < 1e-9
    return factors[0]


def latency(family, task):
    delays = set(family.model(task).actuator_delay.tolist())
    assert len(delays) == 1
    return delays.pop()


def dead_leg(family, task):
    model = family.model(task)
    legs = {
        model.actuator(i).name.split("_")[0]
        for i in range(model.nu)
        if not model.actuator_gainprm[i].any() and not model.actuator_biasprm[i].any()
    }
    powerless = [i for i in range(model.nu) if not model.actuator_forcerange[i].any()]
    assert len(powerless) == 3 * len(legs)
    assert len(legs) <= 1
    return legs.pop() if legs else "none"


def slope(family, task):
    gravity = family.model(task).opt.gravity
    assert np.linalg.norm(gravity) == pytest.approx(9.81)
    assert gravity[1] == 0
    return math.atan2(-gravity[0], -gravity[2])


def goal_site(family, task):
    assert told("goal")(family, task) == task["goal"]
    return tuple(family.model(task).site("goal").pos[:2])


def told(name):
    """A parameter of the job: the family reads it while it simulates."""

    def read(family, task):
        value = Simulation(family, [task], threads=1).parameters[name][0].tolist()
        return tuple(value) if isinstance(value, list) else value

    return read


CHEETAH = {
    "motor_strength": strength,
    "density": density,
    "friction": touching,
    "damping": damping,
}
READ_BACK = {
    "point-goal": {"goal": goal_site},
    "cheetah-direction": {"direction": told("direction"), **CHEETAH},
    "cheetah-velocity": {"velocity": told("velocity"), **CHEETAH},
    "cheetah-dynamics": CHEETAH,
    "quadruped-velocity": {
        "payload": payload,
        "payload_offset": payload_offset,
        "friction": touching,
        "motor_strength": strength,
        "limb_length": limb_length,
        "latency": latency,
        "dead_leg": dead_leg,
        "slope": slope,
        "forward_velocity": told("forward_velocity"),
        "left_velocity": told("left_velocity"),
        "turn_rate": told("turn_rate"),
        "velocity_bias": told("velocity_bias"),
    },
}
"""How the value of each parameter is found again in what is simulated."""


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_every_parameter_is_read_back(name, parameter):
    family = family_of(name)
    assert parameter in READ_BACK.get(name, {}), "Say how it is read back."
    read = READ_BACK[name][parameter]
    declared = family.parameters[parameter]
    for value in [*ends(declared), declared.nominal]:
        found = read(family, family.task(**{parameter: value}))
        if isinstance(value, str):
            assert found == value
        else:
            assert found == pytest.approx(value, rel=1e-9, abs=1e-9)


# -- every parameter is felt -----------------------------------------------------------

ONLY_SENSED = {("quadruped-velocity", "velocity_bias")}
"""Parameters of a sensor: the robot moves alike, and observes something else."""

HELD = {("quadruped-velocity", "payload_offset"): {"payload": 8.0}}
"""Values of other parameters without which one cannot be felt."""


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_every_parameter_is_felt(name, parameter):
    family = family_of(name)
    declared = family.parameters[parameter]
    values = ends(declared)
    held = HELD.get((name, parameter), {})
    tasks = [family.task(**held, **{parameter: value}) for value in values]
    environment = environment_of(family, tasks)
    environment.reset(0)
    share_start(environment)
    start, paths, rewards = environment.sim.qpos.clone(), [], []
    observations = []
    for action in actions_of(family, 40, len(tasks)):
        step = environment.step(action)
        paths.append(environment.sim.qpos - start)
        rewards.append(step.reward)
        observations.append(step.observation)
    observations = torch.stack(observations, 1)
    paths, rewards = torch.stack(paths, 1), torch.stack(rewards, 1)
    for i in range(len(tasks)):
        for j in range(i):
            if declared.goal:
                assert torch.equal(paths[i], paths[j])
                assert (rewards[i] - rewards[j]).abs().max() > 1e-6
            elif (name, parameter) in ONLY_SENSED:
                assert torch.equal(paths[i], paths[j])
                assert (observations[i] - observations[j]).abs().max() > 1e-6
            else:
                apart = (paths[i] - paths[j]).abs().max()
                assert apart > 1e-6, f"{values[i]} feels like {values[j]}"


def share_start(environment):
    """Give every simulation the initial noise that it would have if it were alone."""
    for i, task in enumerate(environment.pool):
        alone = environment_of(environment.family, [task])
        alone.reset(0)
        for field in ("qpos", "qvel"):
            getattr(environment.sim, field)[i] = getattr(alone.sim, field)[0]
    environment.sim.refresh()


# -- what an agent is told -------------------------------------------------------------

SEEN = {
    "quadruped-velocity": {
        "forward_velocity",  # commands are observed by declaration
        "left_velocity",
        "turn_rate",
        "slope",  # the direction of gravity in the trunk's frame, from an IMU
        "velocity_bias",  # an error of the estimate that is observed
    },
}
"""Parameters that the robot senses in its first observation, standing still."""


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_the_first_observation_does_not_tell_the_task(name, parameter):
    family = family_of(name)
    held = HELD.get((name, parameter), {})
    first = [
        environment_of(family, [family.task(**held, **{parameter: value})]).reset(0)
        for value in ends(family.parameters[parameter])
    ]
    same = all(torch.equal(one, first[0]) for one in first)
    assert same != (parameter in SEEN.get(name, ()))


@pytest.mark.parametrize(
    ("name", "parameter"),
    [pair for pair in PARAMETERS if pair[1] not in SEEN.get(pair[0], ())],
)
def test_an_observation_is_of_the_state_alone(name, parameter):
    """Robots in the same state see the same, whatever is hidden about them."""
    family = family_of(name)
    values = ends(family.parameters[parameter])
    tasks = [family.task(**{parameter: value}) for value in values]
    environment = environment_of(family, tasks)
    environment.reset(0)
    for action in actions_of(family, 5, len(tasks)):
        environment.step(action)
    environment.sim.batch.state[:] = environment.sim.batch.state[0]
    environment.sim.refresh()
    observation = family.observe(environment.sim)
    assert torch.equal(observation, observation[:1].expand_as(observation))


def test_the_oracle_is_told_the_normalised_task(family):
    tasks = family.tasks("train", 4)
    plain = environment_of(family, tasks)
    visible = environment_of(family, tasks, visible=True)
    views = torch.stack([family.space.normalised(task) for task in tasks])
    assert visible.observation_size == plain.observation_size + views.shape[1]
    pairs = [(plain.reset(0), visible.reset(0))]
    for action in actions_of(family, 3, 4):
        pairs.append((plain.step(action).observation, visible.step(action).observation))
    for hidden, told_ in pairs:
        size = plain.observation_size
        assert torch.equal(told_[:, :size], hidden)
        assert torch.equal(told_[:, size:], views)
    assert views.abs().max() <= 1 + 1e-6


# -- every split of every family -------------------------------------------------------

SIZES = ("nq", "nv", "nu", "na", "nbody", "ngeom", "nsite", "nsensordata", "nhistory")


def test_every_split_simulates(family):
    tasks = [task for split in family.splits for task in family.tasks(split, 3)]
    models = {
        family.model(half) for t in tasks for half in (t.before_switch, t.after_switch)
    }
    for size in SIZES:
        assert len({getattr(model, size) for model in models}) == 1, size
    environment = environment_of(family, tasks)
    observation = environment.reset(0)
    assert observation.shape == (len(tasks), environment.observation_size)
    assert observation.dtype == torch.float32
    for action in actions_of(family, 50, len(tasks)):
        assert observation.isfinite().all()
        step = environment.step(action)
        observation = step.observation
        assert step.reward.shape == (len(tasks),)
        assert step.reward.dtype == torch.float32
        assert step.reward.isfinite().all()
        assert not step.diverged.any()
    assert (environment.elapsed > 1).all()


def run(family, threads, seed):
    tasks = family.tasks("train", 3)
    if "switch" in family.splits:
        tasks += family.tasks("switch", 2)
    environment = environment_of(family, tasks, 2, threads=threads)
    seen = [environment.reset(seed)]
    for action in actions_of(family, 30, environment.n):
        step = environment.step(action)
        seen += [step.observation, step.reward[:, None], step.ended[:, None]]
    return torch.cat([part.double() for part in seen], 1)


def test_the_same_seed_gives_the_same_bits_at_any_number_of_threads(family):
    once = run(family, threads=1, seed=5)
    assert torch.equal(once, run(family, threads=1, seed=5))
    assert torch.equal(once, run(family, threads=2, seed=5))
    if family.name != "point-goal":  # which always starts at the same place
        assert not torch.equal(once, run(family, threads=1, seed=6))


def test_the_horizon_truncates(family):
    short = metarl.make_family(family.name, horizon=3)
    assert short.options["horizon"] == 3
    environment = environment_of(short, short.tasks("train", 2))
    environment.reset(0)
    for t in range(3):
        step = environment.step(torch.zeros(2, short.action_size))
        assert step.truncated.tolist() == [t == 2] * 2
        assert not step.terminated.any()


@pytest.mark.parametrize("horizon", [0, -1])
def test_a_horizon_without_steps_is_refused(family, horizon):
    with pytest.raises(InputError, match=f"horizon={horizon}"):
        metarl.make_family(family.name, horizon=horizon)


def test_options_make_the_same_family_again(family):
    again = metarl.make_family(family.name, **family.options)
    assert again.options == family.options
    assert again.control_period == family.control_period
    assert again.tasks("train", 2) == family.tasks("train", 2)


def test_an_episode_ends_with_success_and_metrics(family):
    short = metarl.make_family(family.name, horizon=20)
    tasks = short.tasks("train", 4)
    environment = environment_of(short, tasks, 2)
    environment.reset(0)
    for action in actions_of(short, 20, environment.n):
        environment.step(action)
    assert not environment.active.any()
    outcome = environment.outcome()
    assert ((outcome["success"] >= 0) & (outcome["success"] <= 1)).all()
    assert short.success_measure
    for name, value in outcome.items():
        assert value.shape == (environment.n,), name
        assert value.dtype == torch.float64, name
        assert value.isfinite().all(), name


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_a_task_out_of_its_box_is_refused(name, parameter):
    family = family_of(name)
    declared = family.parameters[parameter]
    if isinstance(declared, Choice):
        outside = ["nonsense"]
    else:
        low, high = declared.bounds
        room = 0.01 * (high - low)
        outside = [low - room, high + room, math.nan, math.inf]
    for value in outside:
        if getattr(declared, "size", 1) > 1:
            value = (declared.nominal[0],) * (declared.size - 1) + (value,)
        with pytest.raises(InputError, match=f"'{parameter}'"):
            family.task(**{parameter: value})
        values = dict(family.task().values) | {parameter: value}
        with pytest.raises(InputError, match=f"'{parameter}'"):
            environment_of(family, [Task(family.name, tuple(values.items()))])


def test_a_family_says_what_it_is(family):
    assert registry.names("families")[family.name]
    assert type(family).__doc__
    assert {"train", "interpolation"} <= set(family.splits)
    assert {"near", "far"} <= set(family.splits)


# -- what each family promises ---------------------------------------------------------


def test_a_point_moves_by_its_clipped_action():
    family = family_of("point-goal")
    goal = (0.95, -0.95)
    environment = environment_of(family, [family.task(goal=goal)])
    place = np.zeros(2)
    np.testing.assert_array_equal(environment.reset(0)[0], place)
    generator = np.random.default_rng(0)
    for _ in range(60):
        action = generator.uniform(-1.5, 1.5, 2)
        step = environment.step(torch.from_numpy(action)[None])
        place = place + 0.1 * np.clip(action, -1, 1)
        np.testing.assert_allclose(environment.sim.qpos[0], place, atol=1e-6)
        np.testing.assert_allclose(step.observation[0], place, atol=1e-6)
        assert step.reward[0] == pytest.approx(-np.linalg.norm(place - goal), abs=1e-6)


def test_a_point_stops_at_its_goal():
    family = family_of("point-goal")
    environment = environment_of(family, [family.task(goal=(0.25, -0.1))])
    environment.reset(0)
    for action, stops in [
        ((1.0, -1.0), False),
        ((1.0, 0.0), False),
        ((0.38, 0.0), False),
        ((0.03, 0.095), True),
    ]:
        step = environment.step(torch.tensor([action]))
        assert bool(step.terminated[0]) == stops
    assert environment.outcome()["success"].tolist() == [1.0]
    assert environment.outcome()["distance"][0] < 0.015
    assert family.horizon == 100


def test_a_point_that_stops_elsewhere_has_not_succeeded():
    family = metarl.make_family("point-goal", horizon=1)
    environment = environment_of(family, [family.task(goal=(0.3, 0.3))])
    environment.reset(0)
    step = environment.step(torch.ones(1, 2))
    assert step.truncated[0]
    assert environment.outcome()["success"].tolist() == [0.0]


CHEETAHS = [name for name in FAMILIES if name.startswith("cheetah")]


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
    assert family.nominal_model.body_mass.sum() == pytest.approx(14.0)
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
    masses = {family.model(t).body_mass.tobytes() for t in family.tasks("far", 5)}
    assert len(masses) == 5
