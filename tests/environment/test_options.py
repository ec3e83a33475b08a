"""An option of a user's family holds wherever the family goes, or is refused."""

import dataclasses
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from carts import Cart, environment_of

import metarl
from metarl.environment.environment import Environment
from metarl.environment.gymnasium import GymnasiumEnv
from metarl.envs.gymnasium_bridge import GymnasiumFamily
from metarl.errors import InputError
from metarl.tasks.parameter import Parameter

TINY = {"tasks": 2, "episodes": 2, "hidden": (4,)}


class Swing(GymnasiumFamily):
    """A pendulum on any planet, whose options are given in several ways."""

    parameters = {"mass": Parameter(1.0, train=(0.5, 1.5), far=(1.5, 2.5))}
    horizon = 12

    def __init__(self, *, gravity: float = 10.0, **options):
        super().__init__(**options)
        self.gravity = gravity

    def make(self, task, **options):
        env = gymnasium.make("Pendulum-v1", **options)
        env.unwrapped.m, env.unwrapped.g = task["mass"], self.gravity
        return env


class Hidden(Swing):
    """Keeps its option under a name of its own."""

    def __init__(self, *, pull: float = 10.0, vectorization: str = "sync"):
        super().__init__(gravity=2 * pull, vectorization=vectorization)
        self._pull = pull


class Heavy(Cart):
    """A cart with an option that is a list, and one that is a number."""

    def __init__(self, *, start: tuple[float, ...] = (0.0, 0.0), gain=1.0, **options):
        super().__init__(**options)
        self.start, self.gain = start, gain

    def reset(self, sim, ids, rng):
        assert isinstance(self.start, tuple)
        sim.qpos[ids] = torch.tensor(self.start, dtype=torch.float64)

    def reward(self, sim, action):
        return self.gain * super().reward(sim, action)


def observations(family, steps=8):
    """What two tasks show without any action, (steps, n, ...)."""
    environment = Environment(family, family.tasks("train", 2))
    seen = [environment.reset(1)]
    seen += [environment.step(torch.zeros(2, 1)).observation for _ in range(steps)]
    environment.sim.vector.close()
    return torch.stack(seen)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_an_option_reaches_every_simulation(vectorization):
    there = observations(Swing(gravity=0.0, vectorization=vectorization))
    here = observations(Swing(vectorization=vectorization))
    assert torch.equal(there[0], here[0])
    assert not torch.allclose(there, here)
    assert torch.equal(there, observations(Swing(gravity=0.0)))


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_what_is_set_later_and_under_other_names_reaches_them_too(vectorization):
    late = Swing(vectorization=vectorization)
    late.gravity = 3.0
    hidden = Hidden(pull=1.5, vectorization=vectorization)
    wanted = observations(Swing(gravity=3.0))
    assert torch.equal(observations(late), wanted)
    assert torch.equal(observations(hidden), wanted)


def test_options_make_the_family_again():
    swing = Swing(gravity=3.0, horizon=7)
    assert swing.options == {"gravity": 3.0, "horizon": 7, "vectorization": "sync"}
    assert Swing(**swing.options).options == swing.options


def test_an_option_that_would_be_lost_is_named():
    with pytest.raises(
        InputError, match=r"'pull' of Hidden.*self\.pull = pull.*options"
    ):
        _ = Hidden().options


def test_options_are_kept_in_a_run():
    run = metarl.train(
        f"{__file__}:Heavy",
        "maml",
        steps=1,
        family_options={"start": [0.5, 0.25], "gain": 2.0, "horizon": 3},
        agent_config=TINY,
        quiet=True,
    )
    family, _ = metarl.load(run.path)
    assert (family.start, family.gain, family.horizon) == ((0.5, 0.25), 2.0, 3)
    environment = environment_of(family)
    assert environment.reset(0)[0, :2].tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    "value", [Path("robot.xml"), np.float32(0.3), np.zeros(2), float("inf"), {1, 2}]
)
def test_an_option_that_a_run_cannot_keep_is_refused(value):
    with pytest.raises(InputError, match=r"gain=.*config\.json"):
        metarl.train(
            f"{__file__}:Heavy", "maml", family_options={"gain": value}, quiet=True
        )
    with pytest.raises(InputError, match=r"inner_step=.*config\.json"):
        metarl.train("point-goal", "maml", agent_config={"inner_step": value})
    assert not Path("runs").exists()


def test_options_of_a_family_that_is_made_already_are_refused():
    with pytest.raises(InputError, match="gravity: Swing is made already"):
        GymnasiumEnv(Swing(), gravity=0.0)
    with pytest.raises(InputError, match=r"Family .*Swing.*gravty"):
        metarl.make_family(f"{__file__}:Swing", gravty=0.0)


def test_options_passed_on_are_options_of_the_command_line():
    from metarl.cli.options import defaults

    chosen = defaults(f"{__file__}:Swing", "maml", {}).family
    names = {field.name for field in dataclasses.fields(chosen)}
    assert names == {"gravity", "horizon", "vectorization"}
