"""Every family and every parameter: read back from the model, felt, and hidden."""

import math

import pytest
import torch
from readings import HELD, ONLY_SENSED, READ_BACK, SEEN, STARTS
from worlds import actions_of, environment_of, family_of

import metarl
from metarl.environment import registry
from metarl.environment.family import TaskFamily
from metarl.errors import InputError
from metarl.reports.tables import describe
from metarl.simulation.engine import mujoco
from metarl.tasks.parameter import Choice, Parameter
from metarl.tasks.task import Task

FAMILIES = list(registry.names("families"))
"""Every family that is registered, so that a new one is tested from its first day."""


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
    mixed = tuple((low, high)[i % 2] for i in range(parameter.size))
    return [(low,) * parameter.size, (high,) * parameter.size, mixed]


# -- every parameter is what the compiled model says it is -----------------------------


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
    for place, value in STARTS.get(name, {}).items():
        environment.sim.qpos[:, place] = value
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


def test_the_oracle_is_told_the_normalized_task(family):
    tasks = family.tasks("train", 4)
    plain = environment_of(family, tasks)
    visible = environment_of(family, tasks, observe_task=True)
    views = torch.stack([family.space.normalized(task) for task in tasks])
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
    models = {family.models(phase) for task in tasks for phase in task.phases}
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
    if type(family).reset is not TaskFamily.reset:  # else it starts where it did
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


class Marked(TaskFamily):
    """Keep the speed [m/s] in [low, high]."""

    parameters = {
        "mass": Parameter(
            1.0, train=(0.5, 2.0), unit="[kg]", about="of the cart [/kg]"
        ),
        "paint": Choice("[red]", train=("[red]", "[blue]")),
    }
    success_measure = "share of the way [m/m]"

    def build(self, task):
        spec = mujoco.MjSpec.from_string(
            "<mujoco><worldbody><body name='cart'><joint name='x' type='slide'/>"
            "<geom name='cart' size='.1'/></body></worldbody>"
            "<actuator><motor joint='x' ctrlrange='-1 1'/></actuator></mujoco>"
        )
        spec.geom("cart").mass = task["mass"]
        return spec

    def observe(self, sim):
        return sim.qpos.clone()

    def reward(self, sim, action):
        return sim.qpos[:, 0].clone()


def test_square_brackets_are_shown_as_they_are(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    describe(Marked())
    said = capsys.readouterr().out
    for words in (
        *("Keep the speed [m/s] in [low, high].", "share of the way [m/m]"),
        *("[kg]", "of the cart [/kg]", "[red], [blue]"),
    ):
        assert words in said, said


def test_a_family_says_what_it_is(family):
    assert registry.names("families")[family.name]
    assert type(family).__doc__
    assert {"train", "interpolation"} <= set(family.splits)
    assert {"near", "far"} <= set(family.splits)
