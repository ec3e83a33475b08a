"""A black box that raises ends its own episode, or the work with one message."""

import os

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import metarl
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.envs.gymnasium_bridge import GymnasiumFamily
from metarl.errors import InputError, RunError
from metarl.tasks.parameter import Parameter


class Box(gymnasium.Env):
    """Counts its steps, and breaks in one of several ways."""

    metadata = {"render_fps": 20, "render_modes": ["rgb_array"]}
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, breaks, render_mode=None):
        self.breaks, self.render_mode = breaks, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.made, self.doomed = 0, self.np_random.random() < 0.5
        if self.breaks == "reset":
            raise RuntimeError("no connection to the simulator")
        return np.zeros(2), {}

    def step(self, action):
        self.made += 1
        if self.breaks == "now and then" and self.doomed and self.made == 3:
            raise FloatingPointError("mjWARN_BADQACC")
        if self.breaks == "its limit" and self.made > 4:
            raise ValueError("Maximum path length")
        if self.breaks == "always":
            return self.nothing, 0.0, False, False, {}
        if self.breaks == "another size":
            return np.zeros(3), 0.0, False, False, {}
        if self.breaks == "its process":
            os._exit(1)
        return np.full(2, self.made), 1.0, False, False, {}

    def render(self):
        return np.full((4, 4, 3), self.made, np.uint8)


class Boxed(GymnasiumFamily):
    """A box of some weight."""

    parameters = {"mass": Parameter(1.0, train=(0.5, 1.5))}
    horizon = 8

    def __init__(self, breaks="never", *, vectorization="sync"):
        super().__init__(vectorization=vectorization)
        self.breaks = breaks

    def make(self, task, **options):
        if self.breaks == "make":
            raise OSError("no license")
        return None if self.breaks == "nothing" else Box(self.breaks, **options)


class Still:
    def act(self, time_step):
        return 0.1 * time_step.noise


def environment(breaks, vectorization="sync", n=6):
    family = Boxed(breaks, vectorization=vectorization)
    return Environment(family, family.tasks("train", n))


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_one_that_raises_counts_as_diverged_and_starts_anew(vectorization):
    made = environment("now and then", vectorization)
    ended = 0
    for seed in range(3):
        with pytest.warns(RuntimeWarning, match=r"step\(\) of Boxed.*mjWARN_BADQACC"):
            episodes = collect(made, Still(), seed)
        lost = episodes.diverged[:, 0]
        ended += int(lost.sum())
        assert 0 < lost.sum() < 6
        assert episodes.length[:, 0].tolist() == [3 if d else 8 for d in lost]
        assert episodes.returns[:, 0].tolist() == [2.0 if d else 8.0 for d in lost]
        assert episodes.mask[lost].sum() == 0
        assert episodes.observation.isfinite().all()
    assert int(made.sim.diverged().sum()) == ended
    made.sim.vector.close()


def test_the_rest_goes_on_as_without_it():
    with pytest.warns(RuntimeWarning):
        some = collect(environment("now and then"), Still(), 1)
    every = collect(environment("never"), Still(), 1)
    kept = ~some.diverged[:, 0]
    assert torch.equal(some.reward[kept], every.reward[kept])
    assert torch.equal(some.observation[kept], every.observation[kept])


@pytest.mark.filterwarnings("ignore:step.. of Boxed")
@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        ("its limit", r"after 5 steps: ValueError: Maximum path.*shorter horizon"),
        ("always", r"after 1 steps: AttributeError.*\(step\(\), test_gymnasium_f"),
        ("another size", "an observation has 3 numbers, but its space has 2"),
    ],
)
def test_where_every_episode_fails_the_work_stops(breaks, said):
    made = environment(breaks)
    collect(made, Still(), 0)
    with pytest.raises(RunError, match=rf"step\(\) of Boxed raised in each.*{said}"):
        for seed in range(1, 3):
            collect(made, Still(), seed)


@pytest.mark.parametrize(
    ("breaks", "error", "said"),
    [
        ("reset", RunError, r"reset\(\) of Boxed.*mass=.*no connection"),
        ("make", InputError, r"make\(\) of Boxed raised OSError: no license"),
        ("nothing", InputError, r"make\(\) of Boxed must return a gymnasium.Env"),
    ],
)
def test_one_that_cannot_begin_is_refused(breaks, error, said):
    with pytest.raises(error, match=said):
        collect(environment(breaks), Still(), 0)


def test_a_process_that_ends_is_said():
    made = environment("its process", "async", n=2)
    with pytest.raises(RunError, match="A process of Boxed has ended"):
        collect(made, Still(), 0)


@pytest.mark.filterwarnings("ignore:step.. of Boxed")
def test_an_episode_that_failed_is_drawn_until_then():
    made = environment("now and then")
    episodes = collect(made, Still(), 1)
    lost = int(episodes.diverged[:, 0].nonzero()[0, 0])
    frames = made.family.frames(made.sim, lost)
    assert frames[:, 0, 0, 0].tolist() == [1, 2, 2]


@pytest.mark.filterwarnings("ignore:step.. of Boxed")
def test_a_training_goes_on():
    run = metarl.train(
        f"{__file__}:Boxed",
        "maml",
        steps=150,
        quiet=True,
        family_options={"breaks": "now and then"},
        agent_config={"tasks": 2, "episodes": 4, "hidden": (4,)},
    )
    assert run.metrics()[-1]["diverged"] > 0
