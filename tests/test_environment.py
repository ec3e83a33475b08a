"""Episodes begin, go on, change, blow up and end as they should, each on its own."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from metarl.engine import mujoco
from metarl.errors import InputError
from metarl.family import TaskFamily
from metarl.parameters import Choice, Parameter
from metarl.tasks import Switch, Task
from metarl.world.disturbances import scale_actuators
from metarl.world.environment import Environment
from metarl.world.rollout import collect, concatenate

CART = """
<mujoco>
  <option timestep="0.01" gravity="0 0 0" integrator="implicitfast"/>
  <worldbody>
    <body name="cart">
      <joint name="slide" type="slide" axis="1 0 0" damping="0.5"/>
      <geom name="cart" size="0.1" mass="1" contype="0" conaffinity="0"/>
    </body>
    <body name="other" pos="0 1 0">
      <joint name="turn" type="hinge" axis="0 0 1"/>
      <geom name="other" size="0.1" mass="1" pos="0.3 0 0"
        contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
    <motor name="left" joint="slide" gear="20" ctrlrange="-1 1" forcelimited="true"
      forcerange="-0.6 0.6"/>
    <position name="right" joint="turn" kp="5" kv="0.5" ctrlrange="-2 1"/>
  </actuator>
  <sensor><framepos name="place" objtype="body" objname="cart"/></sensor>
</mujoco>
"""


class Cart(TaskFamily):
    """A cart that slides and an arm that turns; the smallest family."""

    parameters = {
        "mass": Parameter(1.0, train=(0.5, 2.0), far=(2.0, 4.0), unit="kg"),
        "goal": Parameter(0.5, train=(-1.0, 1.0), goal=True, unit="m"),
    }
    horizon = 12
    derived = False

    def build(self, task):
        spec = mujoco.MjSpec.from_string(CART)
        spec.geom("cart").mass = task["mass"]
        return spec

    def reset(self, sim, ids, rng):
        sim.qpos[ids] = 0.002 * rng.normal(2)

    def observe(self, sim):
        return torch.cat([sim.qpos, sim.qvel], -1)

    def reward(self, sim, action):
        return -(sim.qpos[:, 0] - sim.parameters["goal"]).abs()

    def success(self, sim):
        return ((sim.qpos[:, 0] - sim.parameters["goal"]).abs() < 1).double()

    def metrics(self, sim):
        return {"place": sim.qpos[:, 0].clone()}


class Finishing(Cart):
    """Ends an episode where the cart has gone far enough."""

    def terminated(self, sim):
        return sim.qpos[:, 0] > 0.02 * (1 + torch.arange(sim.n))


class Sensing(Finishing):
    """Reads what MuJoCo derives from the state."""

    derived = True

    def observe(self, sim):
        return torch.cat([sim.sensor("place"), sim.xpos[:, 2], sim.qvel], -1)


class Feeling(Cart):
    """Reads an acceleration, which MuJoCo computes last."""

    derived = True

    def build(self, task):
        spec = super().build(task)
        spec.option.gravity = [0, 0, -9.81]
        spec.body("cart").add_site(name="chip")
        spec.add_sensor(
            name="felt",
            type=mujoco.mjtSensor.mjSENS_ACCELEROMETER,
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            objname="chip",
        )
        return spec

    def observe(self, sim):
        return sim.sensor("felt").clone()


class Exploding(Cart):
    """Simulation 0 leaves physics in its third step; afterwards it sees nonsense."""

    def act(self, sim, action):
        super().act(sim, action)
        steps = sim.remember("steps", sim.qpos[:, 0])
        steps += 1
        if steps[0] == 3:
            sim.qvel[0, 0] = 1e300


class Nonsense(Cart):
    """What simulation 0 senses is no number from its third step on."""

    what = "observation"

    def act(self, sim, action):
        super().act(sim, action)
        sim.remember("steps", sim.qpos[:, 0]).add_(1)

    def observe(self, sim):
        seen = super().observe(sim)
        return self._spoil(sim, seen) if self.what == "observation" else seen

    def reward(self, sim, action):
        reward = super().reward(sim, action)
        return self._spoil(sim, reward) if self.what == "reward" else reward

    def _spoil(self, sim, values):
        if sim.remember("steps", sim.qpos[:, 0])[0] >= 3:
            values = values.clone()
            values[0] = torch.nan
        return values


def with_parameters(base, **parameters):
    return type(base.__name__, (base,), {"parameters": parameters})()


def environment_of(family, tasks=None, copies=1, **options):
    if tasks is None:
        tasks = [family.task()]
    return Environment(family, tasks, copies, threads=1, **options)


def drive(environment, steps, seed=0):
    """Step with actions that depend on seed, time and simulation; list the steps."""
    found = []
    for t in range(steps):
        generator = torch.Generator().manual_seed(1000 * seed + t)
        action = torch.rand(64, environment.action_size, generator=generator) * 2 - 1
        found.append(environment.step(action[: environment.n]))
    return found


def push(environment, size=1.0):
    return torch.full((environment.n, environment.action_size), size)


def state(environment):
    return environment.sim.batch.state.copy()


# -- episodes --------------------------------------------------------------------------


@pytest.mark.parametrize("family", [Finishing(), Sensing()], ids=["plain", "derived"])
def test_an_ended_simulation_stands_still_until_its_reset(family):
    environment = environment_of(family, copies=4)
    environment.reset(0)
    ended = torch.zeros(4, dtype=torch.bool)
    stood = {}
    for _ in range(family.horizon):
        step = environment.step(push(environment))
        assert (step.reward[ended] == 0).all()
        assert not (step.ended & ended).any()
        for i, (time, row) in stood.items():
            assert environment.sim.time[i] == time
            assert torch.equal(environment.sim.qpos[i], row)
        for i in (step.ended & ~ended).nonzero()[:, 0].tolist():
            stood[i] = (float(environment.sim.time[i]), environment.sim.qpos[i].clone())
        ended |= step.ended
    times = [stood[i][0] for i in range(4)]
    assert times == sorted(times) and times[0] < times[-1]
    assert not environment.active.any()
    environment.reset(ids=torch.tensor([1]))
    assert environment.active.tolist() == [False, True, False, False]
    assert environment.sim.time[1] == 0 and environment.sim.time[0] == times[0]


def test_the_horizon_truncates_and_a_terminal_state_terminates():
    environment = environment_of(Cart())
    environment.reset(0)
    steps = drive(environment, 13)
    assert [bool(s.truncated[0]) for s in steps] == [False] * 11 + [True, False]
    assert not any(s.terminated[0] for s in steps)
    environment = environment_of(Finishing())
    environment.reset(0)
    ends = [environment.step(push(environment)) for _ in range(12)]
    assert sum(bool(s.terminated[0]) for s in ends) == 1
    assert not any(s.truncated[0] for s in ends)


def test_a_terminal_state_at_the_horizon_is_terminal():
    family = Finishing()
    environment = environment_of(family)
    environment.reset(0)
    length = 0
    while environment.active.any():
        environment.step(push(environment))
        length += 1
    environment = environment_of(Finishing(horizon=length))
    environment.reset(0)
    last = [environment.step(push(environment)) for _ in range(length)][-1]
    assert last.terminated[0] and not last.truncated[0]


@pytest.mark.parametrize("resample", [False, True], ids=["own task", "resampled"])
@pytest.mark.parametrize("family", [Cart(), Sensing()], ids=["plain", "derived"])
def test_a_partial_reset_touches_only_the_given_simulations(family, resample):
    tasks = family.tasks("train", 3)
    pool = family.tasks("far", 5) if resample else ()
    environment = environment_of(family, tasks, 2, resample=pool)
    environment.reset(0)
    seen = drive(environment, 4)[-1].observation
    before, its_tasks = state(environment), list(environment.tasks)
    ids, others = torch.tensor([1, 4]), torch.tensor([0, 2, 3, 5])
    fresh = environment.reset(ids=ids)
    assert np.array_equal(state(environment)[others], before[others])
    assert torch.equal(fresh[others], seen[others])
    assert not torch.equal(fresh[ids], seen[ids])
    assert environment.elapsed.tolist() == [4, 0, 4, 4, 0, 4]
    assert environment.episode.tolist() == [1, 2, 1, 1, 2, 1]
    assert [environment.tasks[i] for i in others] == [its_tasks[i] for i in others]

    alone = environment_of(family, tasks, 2, resample=pool)
    alone.reset(0)
    drive(alone, 4)
    after, undisturbed = drive(environment, 3, seed=5), drive(alone, 3, seed=5)
    for one, other in zip(after, undisturbed, strict=True):
        assert torch.equal(one.observation[others], other.observation[others])
        assert torch.equal(one.reward[others], other.reward[others])


def test_reset_without_a_seed_starts_another_episode_and_with_one_the_same():
    environment = environment_of(Cart(), copies=3)
    first, second = environment.reset(7), environment.reset()
    assert not torch.equal(first, second)
    assert len(first[:, 0].unique()) == 3
    assert torch.equal(environment.reset(7), first)
    assert torch.equal(environment.reset(), second)
    assert torch.equal(environment_of(Cart(), copies=3, seed=7).reset(), first)
    assert not torch.equal(environment.reset(8), first)


def test_simulations_do_not_depend_on_what_runs_beside_them():
    family = Cart()
    tasks = family.tasks("train", 4)
    whole = environment_of(family, tasks, 3)
    part = environment_of(family, tasks[:2], 2)
    many, few = whole.reset(3).view(4, 3, -1), part.reset(3).view(2, 2, -1)
    assert torch.equal(many[:2, :2], few)
    for _ in range(5):
        many = whole.step(push(whole, 0.3)).observation.view(4, 3, -1)
        few = part.step(push(part, 0.3)).observation.view(2, 2, -1)
    assert torch.equal(many[:2, :2], few)


def test_actions_are_clipped_and_span_the_control_range():
    environment = environment_of(Cart(), copies=2)
    environment.reset(0)
    environment.step(torch.tensor([[-7.0, -7.0], [1.0, 9.0]]))
    assert environment.sim.ctrl.tolist() == [[-1.0, -2.0], [1.0, 1.0]]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_an_action_that_is_no_number_is_refused(value):
    environment = environment_of(Cart(), copies=2)
    environment.reset(0)
    before = state(environment)
    action = push(environment, 0.0)
    action[1, 1] = value
    with pytest.raises(InputError, match=r"action.*(NaN|finite)"):
        environment.step(action)
    assert np.array_equal(state(environment), before)
    assert environment.elapsed.tolist() == [0, 0]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_ended_episode_has_no_use_for_an_action(value):
    environment = environment_of(Finishing(), copies=2)
    environment.reset(0)
    while environment.active.all():
        environment.step(push(environment))
    assert environment.active.tolist() == [False, True]
    action = push(environment)
    action[0] = value
    step = environment.step(action)
    assert step.observation.isfinite().all() and step.reward[1] != 0
    assert np.isfinite(state(environment)).all()
    action = push(environment)
    action[1, 0] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        environment.step(action)


@pytest.mark.parametrize("where", ["tasks", "set_tasks", "resample"])
def test_a_task_out_of_bounds_is_refused(where):
    family = Cart()
    wrong = [Task("Cart", (("mass", 9.0), ("goal", 0.0)))]
    with pytest.raises(InputError, match="'mass' is 9 kg, above its upper bound 4 kg"):
        if where == "tasks":
            environment_of(family, wrong)
        elif where == "set_tasks":
            environment_of(family).set_tasks(wrong)
        else:
            environment_of(family, resample=wrong)


def test_no_tasks_or_another_number_of_tasks_is_refused():
    with pytest.raises(InputError, match="At least one task"):
        environment_of(Cart(), [])
    with pytest.raises(InputError, match="holds 1 tasks, got 2"):
        environment_of(Cart()).set_tasks(Cart().tasks("train", 2))


def test_new_tasks_rule_after_the_next_reset():
    family = Cart()
    tasks = family.tasks("far", 3)
    environment = environment_of(family, family.tasks("train", 3), visible=True)
    environment.reset(0)
    environment.set_tasks(tasks)
    assert not environment.active.any()
    other = environment_of(family, tasks, visible=True)
    assert torch.equal(environment.reset(4), other.reset(4))
    one, same = drive(environment, 6), drive(other, 6)
    assert torch.equal(one[-1].observation, same[-1].observation)
    assert torch.equal(one[-1].reward, same[-1].reward)


def test_resampling_draws_a_task_of_the_pool_at_each_reset():
    family = Cart()
    pool = family.tasks("far", 4)
    environment = environment_of(
        family, family.tasks("train", 8), resample=pool, visible=True
    )
    drawn = set()
    for _ in range(6):
        observation = environment.reset()
        drawn |= set(environment.tasks)
        assert set(environment.tasks) <= set(pool)
        for i, task in enumerate(environment.tasks):
            assert torch.equal(observation[i, 4:], family.space.normalised(task))
            mass = environment.sim.batch.get_model(i).body("cart").mass[0]
            assert mass == pytest.approx(task["mass"])
            assert environment.sim.parameters["mass"][i] == task["mass"]
    assert drawn == set(pool)


def test_an_acceleration_is_sensed_from_the_start():
    environment = environment_of(Feeling(), copies=2)
    first = environment.reset(0)
    assert first[:, 2].tolist() == pytest.approx([9.81] * 2)
    drive(environment, 3)
    assert torch.equal(environment.reset(0), first)


class Growing(Cart):
    """Some robots have two geoms more."""

    parameters = {"more": Choice(0, train=(0, 2))}

    def build(self, task):
        spec = mujoco.MjSpec.from_string(CART)
        for _ in range(task["more"]):
            spec.body("cart").add_geom(size=[0.1, 0, 0])
        return spec


def test_models_of_other_sizes_are_refused():
    family = Growing()
    tasks = [family.task(), family.task(more=2)]
    with pytest.raises(InputError, match=r"more=2.*ngeom = 4 instead of 2.*same sizes"):
        environment_of(family, tasks)


# -- change in mid-episode -------------------------------------------------------------


def switching(family, at, before, after):
    one, other = family.task(**before), family.task(**after)
    return Task(family.name, one.values, Switch(at, other.values))


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
    environment = environment_of(family, [late], visible=True)
    views = [environment.reset(0)[0, 4:]]
    views += [step.observation[0, 4:] for step in drive(environment, 8)]
    before, after = (
        family.space.normalised(half)
        for half in (late.before_switch, late.after_switch)
    )
    assert torch.equal(views[0], before)
    assert torch.equal(views[-1], after)


@pytest.mark.parametrize("resample", [False, True], ids=["own task", "resampled"])
def test_a_partial_reset_leaves_what_the_oracle_knows_of_the_others(resample):
    family = Cart()
    late = switching(family, 0.03, {"mass": 1.0}, {"mass": 4.0})
    pool = [late] if resample else []
    environment = environment_of(family, [late], 2, resample=pool, visible=True)
    environment.reset(0)
    drive(environment, 5)
    one, other = environment.reset(ids=torch.tensor([1]))[:, 4:]
    assert torch.equal(one, family.space.normalised(late.after_switch))
    assert torch.equal(other, family.space.normalised(late.before_switch))


def test_a_state_brings_back_the_memory_of_its_time():
    """Also where what is remembered now had not been thought of then."""

    class Counting(Cart):
        def reward(self, sim, action):
            count = sim.remember("count", sim.qpos[:, 0])
            count += 1
            return count.clone()

    family = Counting()
    first, late = environment_of(family), environment_of(family)
    first.reset(0), late.reset(0)
    state = first.state()
    drive(late, 5)
    late.load_state(*state)
    assert drive(late, 1)[0].reward.tolist() == [1]


def test_an_actuator_that_no_action_moves_is_refused():
    class Idle(Cart):
        def build(self, task):
            spec = super().build(task)
            spec.actuator("left").ctrlrange = (0, 0)
            return spec

    class Own(Idle):
        def act(self, sim, action):
            sim.ctrl[:] = action

    with pytest.raises(InputError, match=r"'left' of Idle has no control range.*act"):
        environment_of(Idle())
    environment_of(Own())


def test_a_reversed_motor_of_one_side_pulls():
    model = mujoco.MjModel.from_xml_string(CART)
    model.actuator_forcerange[0] = (0, 0.6)
    scale_actuators(model, -1.0)
    assert model.actuator_forcerange[0].tolist() == [-0.6, 0]
    assert model.actuator_gainprm[0, 0] == -1


# -- simulations that blow up ----------------------------------------------------------


class Still:
    """A policy of small actions that depend on what it sees."""

    def act(self, percept):
        return 0.1 * percept.noise + 0.01 * percept.observation[..., :1]


def nonsense(what):
    family = Nonsense()
    family.what = what
    return family


BLOWING = {
    "physics": Exploding(),
    "observation": nonsense("observation"),
    "reward": nonsense("reward"),
}


@pytest.mark.parametrize("kind", BLOWING)
def test_a_diverging_simulation_ends_its_episode_alone(kind):
    family = BLOWING[kind]
    environment, sane = (
        environment_of(family, copies=3),
        environment_of(Cart(), copies=3),
    )
    environment.reset(0), sane.reset(0)
    for t in range(family.horizon):
        step, right = (e.step(push(e, 0.3)) for e in (environment, sane))
        assert step.observation.isfinite().all()
        assert step.reward.isfinite().all()
        assert torch.equal(step.observation[1:], right.observation[1:])
        assert torch.equal(step.reward[1:], right.reward[1:])
        assert step.diverged.tolist() == [t == 2, False, False]
        assert bool(step.terminated[0]) == (t == 2)
        if t >= 2:
            assert step.reward[0] == 0
            assert not environment.active[0]
    assert environment.reset().isfinite().all()


@pytest.mark.parametrize("kind", BLOWING)
def test_a_diverged_episode_never_reaches_a_gradient(kind):
    family = BLOWING[kind]
    episodes = collect(environment_of(family, copies=3), Still(), seed=0)
    assert episodes.diverged.tolist() == [[True, False, False]]
    assert episodes.terminated.tolist() == [[True, False, False]]
    assert episodes.length.tolist() == [[3, 12, 12]]
    assert episodes.mask[0, 0].sum() == 0
    assert episodes.mask[0, 1:].sum() == 24
    assert episodes.control_steps == 27
    assert episodes.reward[0, 0, 2:].abs().sum() == 0
    for name in ("observation", "action", "reward", "mask", "success"):
        assert getattr(episodes, name).isfinite().all(), name
    assert episodes.final_observation.isfinite().all()
    sane = collect(environment_of(Cart(), copies=3), Still(), seed=0)
    assert torch.equal(episodes.reward[0, 1:], sane.reward[0, 1:])
    assert torch.equal(episodes.observation[0, 1:], sane.observation[0, 1:])


@pytest.mark.parametrize("kind", BLOWING)
def test_a_diverged_episode_is_no_success(kind):
    episodes = collect(environment_of(BLOWING[kind], copies=3), Still(), seed=0)
    assert episodes.success[0].tolist() == [0.0, 1.0, 1.0]


# -- disturbances that every family can declare ----------------------------------------

LATENCY = Parameter(0.0, train=(0.0, 0.03), far=(0.03, 0.05), unit="s")


def first_reaction(family, actuator, task):
    """The control step after which a joint first differs from one left alone."""
    environment = environment_of(family, [task], copies=2)
    environment.reset(0)
    environment.sim.qpos[:], environment.sim.qvel[:] = 0, 0
    action = push(environment, 0.0)
    action[0, actuator] = 0.7
    for t in range(family.horizon):
        environment.step(action)
        one, other = environment.sim.qvel[:, actuator].tolist()
        if one != other:
            return t
    return None


@pytest.mark.parametrize("actuator", [0, 1], ids=["motor", "position"])
@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.03, 0.05])
def test_latency_delays_the_first_effect_of_a_control(actuator, seconds):
    family = with_parameters(Cart, **Cart.parameters, latency=LATENCY)
    reaction = first_reaction(family, actuator, family.task(latency=seconds))
    assert reaction == round(seconds / 0.01)


def test_latency_differs_between_simulations_of_one_environment():
    family = with_parameters(Cart, **Cart.parameters, latency=LATENCY)
    tasks = [family.task(latency=seconds) for seconds in (0.0, 0.02, 0.05)]
    environment = environment_of(family, tasks)
    environment.reset(0)
    environment.sim.qpos[:], environment.sim.qvel[:] = 0, 0
    moved = []
    for _ in range(7):
        environment.step(torch.tensor([[0.5, 0.0]]).repeat(3, 1))
        moved.append((environment.sim.qvel[:, 0] != 0).tolist())
    assert [column.index(True) for column in zip(*moved, strict=True)] == [0, 2, 5]


def test_a_delayed_robot_rests_in_its_keyframe_until_its_first_control_arrives():
    class Resting(Cart):
        parameters = {**Cart.parameters, "latency": LATENCY}

        def build(self, task):
            spec = super().build(task)
            spec.add_key(name="home", qpos=[0, 0.5], ctrl=[0, 0.5])
            return spec

        def reset(self, sim, ids, rng):
            pass

    family = Resting()
    environment = environment_of(family, [family.task(latency=0.05)])
    for _ in range(2):
        environment.reset()
        angles = []
        for _ in range(10):
            environment.step(push(environment, -1.0))
            angles.append(environment.sim.qpos[0, 1].item())
        assert angles[:5] == [0.5] * 5
        assert angles[5] < 0.5


def test_latency_needs_a_spec():
    class Compiled(Cart):
        parameters = {**Cart.parameters, "latency": LATENCY}

        def build(self, task):
            return super().build(task).compile()

    with pytest.raises(InputError, match=r"latency.*MjSpec"):
        environment_of(Compiled())


def test_motor_strength_scales_force_and_its_limit():
    family = with_parameters(
        Cart,
        **Cart.parameters,
        motor_strength=Parameter(1.0, train=(0.5, 2.0)),
    )
    weak, strong = family.task(motor_strength=0.5), family.task(motor_strength=2.0)
    environment = environment_of(family, [weak, family.task(), strong])
    environment.reset(0)
    for size in (0.2, 1.0):
        environment.reset(0)
        environment.sim.qpos[:], environment.sim.qvel[:] = 0, 0
        environment.step(push(environment, size))
        speed = environment.sim.qvel[:, 0]
        assert (speed / speed[1]).tolist() == pytest.approx([0.5, 1.0, 2.0])
    for task, factor in ((weak, 0.5), (strong, 2.0)):
        model = family.model(task)
        assert model.actuator("right").gainprm[0] == 5 * factor
        assert model.actuator("right").biasprm[1:3].tolist() == [
            -5 * factor,
            -0.5 * factor,
        ]
        assert model.actuator("left").forcerange[1] == pytest.approx(0.6 * factor)


ELECTRIC = '<dcmotor name="m" joint="slide" nominal="12 2 30" {}/>'


@pytest.mark.parametrize(
    "actuator",
    [
        '<muscle name="m" joint="slide" lengthrange="0 1" force="100"/>',
        ELECTRIC.format(""),
        ELECTRIC.format('input="pos ff" controller="50 0 0 0 0 12"'),
    ],
    ids=["muscle", "voltage", "feed-forward"],
)
def test_a_motor_without_a_strength_to_scale_is_refused(actuator):
    model = mujoco.MjModel.from_xml_string(
        CART.replace("</actuator>", f"{actuator}</actuator>")
    )
    scale_actuators(model, [0.5, 2.0, 1.0])
    with pytest.raises(InputError, match=r"'m' cannot be scaled.*muscle.*voltage"):
        scale_actuators(model, [1.0, 1.0, 0.5])


@pytest.mark.parametrize(
    "actuator",
    [
        '<position name="m" joint="slide" kp="9" kv="2"/>',
        '<velocity name="m" joint="slide" kv="3"/>',
        '<intvelocity name="m" joint="slide" kp="3" actrange="-1 1"/>',
        '<pid name="m" joint="slide" kp="9" kv="2" input="pos"/>',
        ELECTRIC.format('input="pos" controller="50 0 0 0 0 12"'),
    ],
    ids=["position", "velocity", "intvelocity", "pid", "electric"],
)
def test_a_controllers_force_is_scaled(actuator):
    forces = []
    for factor in (1.0, 0.5):
        model = mujoco.MjModel.from_xml_string(
            CART.replace("</actuator>", f"{actuator}</actuator>")
        )
        scale_actuators(model, factor)
        data = mujoco.MjData(model)
        data.ctrl[2], data.qpos[0], data.qvel[0] = 0.3, 0.1, 0.2
        mujoco.mj_forward(model, data)
        forces.append(data.actuator_force[2])
    assert forces[0] != 0
    assert forces[1] == pytest.approx(0.5 * forces[0])


def test_motor_strengths_of_another_number_than_the_actuators_are_refused():
    family = with_parameters(
        Cart,
        **Cart.parameters,
        motor_strength=Parameter((1.0,) * 3, size=3, train=(0.5, 2.0)),
    )
    with pytest.raises(InputError, match=r"'motor_strength' has size=3.*2 actuators"):
        environment_of(family)


def test_motor_strength_may_differ_between_actuators():
    family = with_parameters(
        Cart,
        **Cart.parameters,
        motor_strength=Parameter((1.0, 1.0), size=2, train=(0.5, 2.0)),
    )
    model = family.model(family.task(motor_strength=(0.5, 2.0)))
    assert model.actuator_gainprm[:, 0].tolist() == [0.5, 10.0]


def test_disturbances_do_not_edit_a_model_that_the_family_keeps():
    class Keeping(Cart):
        parameters = {
            **Cart.parameters,
            "motor_strength": Parameter(1.0, train=(0.5, 2.0)),
        }
        kept = mujoco.MjModel.from_xml_string(CART)

        def build(self, task):
            return self.kept

    family = Keeping()
    gains = [
        family.model(family.task(motor_strength=s)).actuator_gainprm[0, 0]
        for s in (0.5, 2.0, 1.0)
    ]
    assert gains == [0.5, 2.0, 1.0]


@pytest.mark.parametrize("name", ["dead_actuator", "dead_leg", "dead_joint"])
def test_a_dead_actuator_gives_no_force(name):
    family = with_parameters(
        Cart,
        **Cart.parameters,
        **{name: Choice("none", train=("none", "left"), unseen=("right",))},
    )
    tasks = [family.task(**{name: value}) for value in ("none", "left", "right")]
    environment = environment_of(family, tasks)
    environment.reset(0)
    environment.sim.qpos[:], environment.sim.qvel[:] = 0, 0
    environment.step(push(environment))
    assert (environment.sim.qvel[:, 0] != 0).tolist() == [True, False, True]
    assert (environment.sim.qvel[:, 1] != 0).tolist() == [True, True, False]


def test_the_name_of_a_dead_actuator_means_no_longer_one():
    class Numbered(Cart):
        parameters = {
            **Cart.parameters,
            "dead_actuator": Choice("none", train=("none", "m1", "m")),
        }

        def build(self, task):
            spec = super().build(task)
            for name, number in (("left", "m1"), ("right", "m10")):
                spec.actuator(name).name = number
            return spec

    family = Numbered()
    gains = {
        name: family.model(family.task(dead_actuator=name)).actuator_gainprm[:, 0]
        for name in ("m1", "m")
    }
    assert gains["m1"].tolist() == [0.0, 5.0]
    assert gains["m"].tolist() == [0.0, 0.0]


def test_a_dead_actuator_that_does_not_exist_is_refused():
    family = with_parameters(
        Cart,
        **Cart.parameters,
        dead_actuator=Choice("none", train=("none", "middle")),
    )
    with pytest.raises(InputError, match=r"'dead_actuator'.*'middle'.*left, right"):
        family.model(family.task(dead_actuator="middle"))


def noisy():
    return with_parameters(
        Cart,
        **Cart.parameters,
        observation_noise=Parameter(0.0, train=(0.0, 0.5)),
    )


def test_observation_noise_has_its_size_and_leaves_the_physics_alone():
    family = noisy()
    tasks = [family.task(), family.task(observation_noise=0.5)]
    environment = environment_of(family, tasks, 500)
    clean, dirty = environment.reset(0).view(2, 500, -1)
    assert clean.std() < 0.02
    errors = [dirty]
    for _ in range(3):
        observation = environment.step(push(environment, 0.0)).observation
        truth = torch.cat([environment.sim.qpos, environment.sim.qvel], -1)
        error = (observation - truth).view(2, 500, -1)
        assert error[0].abs().max() < 1e-6
        assert error[1].std().item() == pytest.approx(0.5, rel=0.1)
        assert abs(error[1].mean().item()) < 0.05
        assert not torch.equal(error[1], errors[-1])
        errors.append(error[1])
    for one, other in pairwise(errors):
        assert abs((one * other).mean().item()) < 0.05
    assert torch.equal(environment.reset(0).view(2, 500, -1)[1], dirty)


def test_observation_noise_does_not_depend_on_what_runs_beside_it():
    family = noisy()
    tasks = [family.task(observation_noise=0.5, goal=g / 9) for g in range(4)]
    many = environment_of(family, tasks, 3)
    few = environment_of(family, tasks[:2], 2)
    for environment in (many, few):
        environment.reset(0)
        drive(environment, 0)
    for _ in range(3):
        one, other = (
            e.step(push(e, 0.2)).observation.view(len(e.pool), e.copies, -1)
            for e in (many, few)
        )
        assert torch.equal(one[:2, :2], other)


def test_observation_noise_may_differ_between_components():
    family = with_parameters(
        Cart,
        **Cart.parameters,
        observation_noise=Parameter((0.0,) * 4, size=4, train=(0.0, 0.5)),
    )
    loud = family.task(observation_noise=(0.0, 0.1, 0.2, 0.5))
    observation = environment_of(family, [family.task(), loud], 500).reset(0)
    clean, dirty = observation.view(2, 500, 4)
    assert clean.std() < 0.02
    assert dirty.std(0)[1:].tolist() == pytest.approx([0.1, 0.2, 0.5], rel=0.1)
    assert dirty.std(0)[0] < 0.02


@pytest.mark.parametrize("name", ["observation_noise", "observation_bias"])
def test_disturbances_of_another_number_than_the_observations_are_refused(name):
    family = with_parameters(
        Cart,
        **Cart.parameters,
        **{name: Parameter((0.0, 0.0), size=2, train=(0.0, 0.5))},
    )
    with pytest.raises(InputError, match=rf"'{name}' has size=2.*4 observations"):
        environment_of(family)


@pytest.mark.parametrize("size", [1, 4])
def test_observation_bias_is_constant(size):
    bias = 0.3 if size == 1 else (0.1, -0.2, 0.3, -0.4)
    family = with_parameters(
        Cart,
        **Cart.parameters,
        observation_bias=Parameter(
            0.0 if size == 1 else (0.0,) * 4, size=size, train=(-0.5, 0.5)
        ),
    )
    environment = environment_of(family, [family.task(observation_bias=bias)], 3)
    observation = environment.reset(0)
    for _ in range(3):
        truth = torch.cat([environment.sim.qpos, environment.sim.qvel], -1)
        error = (observation - truth).float()
        torch.testing.assert_close(error, torch.tensor(bias).expand(3, 4).contiguous())
        observation = environment.step(push(environment)).observation


# -- state -----------------------------------------------------------------------------


def disturbed(base):
    return type(
        base.__name__,
        (base,),
        {
            "parameters": {
                **base.parameters,
                "latency": LATENCY,
                "observation_noise": Parameter(0.0, train=(0.0, 0.5)),
            },
            "horizon": 9,
            "act": remembering_act,
        },
    )()


def remembering_act(self, sim, action):
    Cart.act(self, sim, action)
    sim.remember("sum", sim.ctrl).add_(action)
    sim.ctrl += 0.1 * sim.memory["sum"].tanh()


def restarted(environment, steps, seed):
    """Drive with a reset of whatever ended, as learners on endless streams do."""
    found = []
    for step in (drive(environment, 1, 100 * seed + t)[0] for t in range(steps)):
        if step.ended.any():
            environment.reset(ids=step.ended.nonzero()[:, 0])
        found.append(step)
    return found


@pytest.mark.parametrize("visible", [False, True], ids=["hidden", "visible"])
@pytest.mark.parametrize("split", ["train", "switch"])
@pytest.mark.parametrize("resample", [False, True], ids=["own task", "resampled"])
@pytest.mark.parametrize(
    "base", [Finishing, Sensing, Feeling], ids=["plain", "derived", "felt"]
)
def test_a_stored_state_goes_on_to_the_same_bits(base, resample, split, visible):
    family = disturbed(base)
    tasks = family.tasks(split, 3)
    pool = family.tasks(split, 5, seed=1) if resample else ()

    def made():
        return environment_of(family, tasks, 2, seed=4, resample=pool, visible=visible)

    whole = made()
    whole.reset()
    seen = restarted(whole, 7, seed=1)[-1].observation
    kept = {name: tensor.clone() for name, tensor in whole.state()[0].items()}
    plain = whole.state()[1]
    rest = restarted(whole, 12, seed=2)

    loaded = made()
    observation = loaded.load_state(kept, plain)
    running = loaded.active
    assert torch.equal(observation[running], seen[running])
    for one, other in zip(restarted(loaded, 12, seed=2), rest, strict=True):
        assert torch.equal(one.observation, other.observation)
        assert torch.equal(one.reward, other.reward)
        assert torch.equal(one.ended, other.ended)
    assert np.array_equal(state(loaded), state(whole))
    assert loaded.tasks == whole.tasks


def test_a_stored_state_survives_what_happens_afterwards():
    environment = environment_of(Cart(), copies=2)
    environment.reset(0)
    drive(environment, 3)
    tensors, _ = environment.state()
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    drive(environment, 3)
    assert all(torch.equal(tensors[name], before[name]) for name in before)


# -- rollouts --------------------------------------------------------------------------


def test_rollouts_record_what_happened():
    family = Finishing()
    tasks = family.tasks("train", 2)
    environment = environment_of(family, tasks, 3)

    class Push:
        seen = []

        def act(self, percept):
            self.seen.append(percept)
            return 2 + 0 * percept.noise

    policy = Push()
    episodes = collect(environment, policy, seed=1, record=True)
    assert episodes.observation.shape == (2, 3, 12, 4)
    assert episodes.action.shape == (2, 3, 12, 2)
    assert episodes.states.shape == (2, 3, 12, 2)
    assert (episodes.length < 12).any() and episodes.terminated.any()
    assert (episodes.action[episodes.mask.bool()] == 2).all()
    first = policy.seen[0]
    assert first.begins.all() and not any(p.begins.any() for p in policy.seen[1:])
    assert (first.reward == 0).all()
    for t, percept in enumerate(policy.seen):
        assert torch.equal(percept.observation, episodes.observation[:, :, t])
        if t:
            assert torch.equal(percept.reward, episodes.reward[:, :, t - 1])
    time = torch.arange(12)
    assert torch.equal(episodes.mask, (time < episodes.length[..., None]).float())
    assert (episodes.reward[episodes.mask == 0] == 0).all()
    assert torch.equal(episodes.returns, episodes.reward.sum(-1))
    assert episodes.control_steps == int(episodes.mask.sum())
    last = episodes.length - 1
    ends = episodes.states[torch.arange(2)[:, None], torch.arange(3), last]
    assert torch.equal(episodes.metrics["place"], ends[..., 0])
    assert torch.equal(episodes.final_observation[..., :2], ends.float())


def test_rollouts_have_noise_of_their_own_whatever_runs_beside_them():
    family = noisy()
    tasks = [family.task(observation_noise=0.2, mass=0.5 + m) for m in range(4)]
    whole = collect(environment_of(family, tasks, 5), Still(), seed=9)
    part = collect(environment_of(family, tasks[:2], 2), Still(), seed=9)
    for name in ("observation", "action", "reward", "mask", "success"):
        many, few = getattr(whole, name), getattr(part, name)
        assert torch.equal(many[:2, :2], few), name
    assert len(whole.action[:, :, 0, 0].unique()) == 20
    other = collect(environment_of(family, tasks, 5), Still(), seed=10)
    assert not torch.equal(whole.action, other.action)


def test_rollouts_repeat_from_their_seed_in_a_used_environment():
    environment = environment_of(Cart(), Cart().tasks("train", 2), 2)
    one = collect(environment, Still(), seed=2)
    collect(environment, Still(), seed=3)
    again = collect(environment, Still(), seed=2)
    assert torch.equal(one.reward, again.reward)
    assert torch.equal(one.action, again.action)


def test_episodes_of_the_same_tasks_join_along_the_copies():
    environment = environment_of(Finishing(), Finishing().tasks("train", 2), 3)
    one, other = (collect(environment, Still(), seed=s) for s in (0, 1))
    joined = concatenate([one, other])
    assert joined.reward.shape == (2, 6, 12)
    assert torch.equal(joined.observation[:, :3], one.observation)
    assert torch.equal(joined.length[:, 3:], other.length)
    assert joined.control_steps == one.control_steps + other.control_steps


def test_torch_has_its_threads_back_after_a_rollout():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        collect(environment_of(Cart()), Still(), seed=0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
