"""Any Gymnasium environment is a family: edited models, black boxes, every command."""

from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.wrappers import TimeLimit
from worlds import actions_of

import metarl
from metarl import Choice, Parameter
from metarl.agents.maml import MAML, MAMLConfig
from metarl.cli import main
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.gymnasium import GymnasiumEnv
from metarl.environment.registry import label
from metarl.envs.gymnasium_bridge import GymnasiumFamily
from metarl.errors import InputError
from metarl.render.recording import Recording
from metarl.runs.folder import Run
from metarl.simulation.perturbations import Latency
from metarl.tasks.randomness import key
from metarl.tasks.task import Switch

THIS = f"{__file__}"


class HopperMass(GymnasiumFamily):
    """Gymnasium's hopper with a heavier or lighter body."""

    env_id = "Hopper-v5"
    parameters = {
        "mass": Parameter(1.0, train=(0.5, 1.5), near=(1.5, 2.0), far=(2.0, 3.0))
    }
    horizon = 40

    def edit(self, model, task):
        model.body_mass *= task["mass"]


class DrawnPole(CartPoleEnv):
    """Draws itself without pygame: a white column where the cart is."""

    def render(self):
        picture = np.zeros((40, 60, 3), np.uint8)
        picture[:, int(np.clip(30 + 10 * self.state[0], 0, 59))] = 255
        return picture + np.uint8(20 * abs(self.state[2]) > 1)


class Pole(GymnasiumFamily):
    """A black box with discrete actions: a cart-pole under unknown gravity."""

    parameters = {
        "gravity": Parameter(9.8, train=(5.0, 15.0), far=(15.0, 25.0), unit="m/s^2"),
        "force": Choice(10.0, train=(10.0, -10.0)),
    }
    horizon = 60

    def make(self, task, **options):
        env = DrawnPole(**options)
        env.gravity, env.force_mag = task["gravity"], task["force"]
        return TimeLimit(env, 50)


class Nothing(GymnasiumFamily):
    """Forgot to say what it is."""

    parameters = {"mass": Parameter(1.0, train=(0.5, 1.5))}


class Steering(Pole):
    """Names a parameter of models that metarl simulates."""

    parameters = {"latency": Parameter(0.0, train=(0.0, 0.1))}
    perturbations = (Latency("latency"),)


class Told(gymnasium.Env):
    """Observes the action that it was given."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        return np.zeros(2), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return action.astype(float), 0.0, False, False, {}


class Asking(GymnasiumFamily):
    """A black box whose actions lie in some box."""

    parameters = {"mass": Parameter(1.0, train=(0.5, 1.5))}
    box: gymnasium.spaces.Box

    def make(self, task, **options):
        return Told(self.box)


@pytest.mark.parametrize(
    ("low", "high", "kind", "told"),
    [
        (0, 3, np.int64, [[0, 3], [2, 1], [3, 2]]),
        (-2, 2, np.int32, [[-2, 2], [0, 0], [1, 1]]),
        (0, np.inf, np.float32, [[0, 1], [0.25, 0], [0.7, 0.4]]),
        (-np.inf, 0.5, np.float32, [[-1, 0.5], [0.25, -0.24], [0.5, 0.4]]),
        (0, 0.1, np.float32, [[0, 0.1], [0.0625, 0.038], [0.085, 0.07]]),
    ],
    ids=["integers", "signed", "from below", "from above", "bounded"],
)
def test_actions_lie_in_their_box(low, high, kind, told, monkeypatch):
    box = gymnasium.spaces.Box(low, high, (2,), kind)
    monkeypatch.setattr(Asking, "box", box, raising=False)
    family = Asking()
    environment = Environment(family, [family.task()])
    environment.reset(0)
    for action, expected in zip(
        [[-1.0, 1.0], [0.25, -0.24], [0.7, 0.4]], told, strict=True
    ):
        seen = environment.step(torch.tensor([action])).observation[0]
        assert seen.tolist() == pytest.approx(expected)


@pytest.fixture(params=[HopperMass, Pole])
def family(request):
    return request.param()


def test_it_is_gymnasiums_own_environment_with_another_mass():
    family = HopperMass()
    task = family.task(mass=1.7)
    environment = Environment(family, [task])
    seen = environment.reset(3)
    own = family.make(task)
    assert own.unwrapped.model.body_mass[1:].sum() == pytest.approx(
        1.7 * gymnasium.make("Hopper-v5").unwrapped.model.body_mass[1:].sum()
    )
    expected, _ = own.reset(seed=int(environment.sim.seeds[0]))
    np.testing.assert_allclose(seen[0], expected, rtol=1e-6)
    for action in actions_of(family, 30, 1):
        step = environment.step(action)
        expected, reward, over, *_ = own.step(action[0].numpy())
        np.testing.assert_allclose(step.observation[0], expected, rtol=1e-5, atol=1e-6)
        assert step.reward[0].item() == pytest.approx(reward, rel=1e-5)
        assert bool(step.terminated[0]) == over
        if over:
            break


def test_tasks_differ_and_the_same_seed_gives_the_same_bits(family):
    tasks = family.tasks("train", 4)

    def run(seed):
        environment = Environment(family, tasks, 2)
        seen = [environment.reset(seed)]
        for action in actions_of(family, 20, 8):
            step = environment.step(action)
            seen += [step.observation, step.reward[:, None]]
        return torch.cat(seen, 1)

    once = run(5)
    assert torch.equal(once, run(5))
    assert not torch.equal(once, run(6))
    assert len({tuple(row.tolist()) for row in once}) == 8


class Balanced(Pole):
    """Pushes so weakly that the pole is still up when Gymnasium's limit comes."""

    parameters = {"force": Parameter(1e-3, train=(1e-4, 1e-3))}
    horizon = 10

    def make(self, task, **options):
        env = DrawnPole(**options)
        env.force_mag, env.theta_threshold_radians = task["force"], np.inf
        env.x_threshold = np.inf
        return TimeLimit(env, self.limit)

    limit = 10


@pytest.mark.parametrize("limit", [6, 10])
def test_gymnasiums_own_limit_cuts_off_and_does_not_end(limit, monkeypatch):
    monkeypatch.setattr(Balanced, "limit", limit)
    environment = Environment(Balanced(), [Balanced().task()])
    environment.reset(0)
    for made in range(1, limit + 1):
        step = environment.step(torch.zeros(1, 2))
        assert not step.terminated.any()
        assert bool(step.truncated[0]) == (made == limit)


def test_ended_episodes_rest_while_others_run():
    family = Pole()
    environment = Environment(family, family.tasks("train", 6))
    environment.reset(0)
    ends = torch.zeros(6)
    for _ in range(60):
        before = environment.active.clone()
        step = environment.step(torch.tensor([[0.0, 1.0]]).expand(6, 2))
        ends += step.ended
        assert (step.reward[~before] == 0).all()
    assert (ends == 1).all() and not environment.active.any()


def test_an_episode_goes_on_from_a_saved_state_to_the_same_bits(family):
    tasks = family.tasks("train", 3)
    whole, again = Environment(family, tasks), Environment(family, tasks)
    whole.reset(2)
    actions = actions_of(family, 12, 3)
    for action in actions[:7]:
        whole.step(action)
    seen = again.load_state(*whole.state())
    for action in actions[7:]:
        one, other = whole.step(action), again.step(action)
        assert torch.equal(one.observation, other.observation)
        assert torch.equal(one.reward, other.reward)
    assert seen.isfinite().all()


def test_one_process_a_simulation_gives_the_same_bits():
    sums = []
    for vectorization in ("sync", "async"):
        family = Pole(vectorization=vectorization)
        environment = Environment(family, family.tasks("train", 2))
        environment.reset(1)
        steps = [environment.step(action) for action in actions_of(family, 10, 2)]
        sums.append(torch.stack([step.observation for step in steps]))
        environment.sim.vector.close()
    assert torch.equal(*sums)


@pytest.mark.slow
def test_an_episode_can_be_seen(family):
    environment = Environment(family, [family.task()])

    class Still:
        def act(self, time_step):
            return torch.zeros(1, 1, family.action_size)

    episodes = collect(environment, Still(), key(0, "film"), record=True)
    frames = family.frames(environment.sim)
    assert len(frames) == int(episodes.length[0, 0])
    assert frames.std() > 1 and not np.array_equal(frames[0], frames[-1])
    face = GymnasiumEnv(family, render_mode="rgb_array")
    face.reset(seed=0)
    face.step(face.action_space.sample())
    assert face.render().shape == frames[0].shape
    face.close()


def test_every_episode_of_an_adaptation_can_be_seen():
    family = Pole()
    agent = MAML(family, MAMLConfig(), seed=0)
    recording = Recording(agent, family, [family.task()])
    takes = recording.adapt(3, kept=(1, 3))
    assert [take.title[-1] for take in takes] == ["1", "3"]
    for take, number in zip(takes, (1, 3), strict=True):
        seconds = len(take.frames) * family.control_period
        assert seconds == pytest.approx(recording.seconds[number - 1])
    assert not np.array_equal(takes[0].frames[-1], takes[1].frames[-1])


@pytest.mark.parametrize("split", ["switch", "drift"])
def test_it_has_no_switch(family, split):
    assert split not in family.splits
    with pytest.raises(InputError, match=f"'{split}'"):
        family.tasks(split)
    task = family.task()
    times = {"switch": (0.1,), "drift": (0.1, 0.2)}[split]
    switched = replace(task, switches=tuple(Switch(t, task.values) for t in times))
    with pytest.raises(InputError, match="tasks have no switch"):
        Environment(family, [switched])
    with pytest.raises(InputError, match=r"drift=0\.1 changes nothing.*Gymnasium"):
        family.tasks("train", drift=0.1)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda: Nothing().action_size, "env_id or its own make"),
        (lambda: Steering(), "Latency.'latency'. acts on"),
        (lambda: Pole(vectorization="threads"), "'threads'"),
    ],
)
def test_what_is_wrong_is_said(wrong, match):
    with pytest.raises(InputError, match=match):
        wrong()


SHOWN = Path(__file__).parents[2] / "experiments/custom_robot"


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["maml", "randomized"])
@pytest.mark.parametrize(
    "reference", [f"{SHOWN}/humanoid.py:HumanoidMass", f"{THIS}:Pole"], ids=label
)
def test_every_command_works_on_it(reference, agent, tmp_path):
    size = {
        "maml": ["--agent.tasks", "2", "--agent.episodes", "3"],
        "randomized": ["--agent.simulations", "8", "--agent.rollout", "16"],
    }[agent]
    where = ["--out", str(tmp_path), *size]
    where += ["--family.horizon", "40"]
    assert main(["train", reference, agent, "--steps", "600", *where]) == 0
    (path,) = tmp_path.glob("*/*/*")
    assert main(["resume", str(path)]) == 0
    evaluate = ["--tasks", "2", "--episodes", "2", "--splits", "far"]
    assert main(["evaluate", str(path), *evaluate]) == 0
    video = ["--split", "far", "--after", "0,2", "--size", "160x120"]
    assert main(["video", str(path), *video]) == 0
    assert main(["report", str(path)]) == 0
    assert (path / "videos" / "far-0.mp4").stat().st_size > 1000
    family, trained, _ = Run(path).load()
    again = metarl.evaluate(path, splits=["far"], tasks=2, budgets=(0, 2))
    assert again.splits["far"].points
    assert trained.family.options == family.options
