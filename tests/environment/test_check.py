"""`metarl check` finds each promise that a family breaks, and says what to do."""

import pytest
import torch
from carts import Cart

from metarl import Parameter
from metarl.cli import main
from metarl.environment.check import CHECKS, ContractError, check


class Silent(Cart):
    parameters = {**Cart.parameters, "unused": Parameter(0.0, train=(0.0, 1.0))}


class Forgetful(Cart):
    """Remembers outside of the simulation."""

    steps = 0

    def observe(self, sim):
        self.steps += 1
        return super().observe(sim) + self.steps


class Late(Cart):
    """Sees what is left of the last physics step."""

    compute_kinematics = True

    def observe(self, sim):
        return torch.cat([super().observe(sim), sim.qfrc_constraint, sim.qacc], -1)


class Rich(Cart):
    """Pays too much."""

    def reward(self, sim, action):
        return 1e6 * super().reward(sim, action)


class Blind(Cart):
    """Sees nothing after a while."""

    def observe(self, sim):
        seen = super().observe(sim)
        return torch.where(sim.time[:, None] > 0.05, torch.nan, seen)


class Proud(Cart):
    """Is always twice successful."""

    success_measure = "more than all"

    def success(self, sim):
        return torch.full((sim.n,), 2.0, dtype=torch.float64)


class Broken(Cart):
    """Raises."""

    def reward(self, sim, action):
        raise KeyError("speed")


def said_of(family, capsys):
    count = check(family, speed=False)
    lines = capsys.readouterr().out
    assert lines.count("BROKEN") == count
    return lines


@pytest.mark.parametrize(
    ("family", "words"),
    [
        (Silent, ["docstring", "Nothing changes with unused: neither"]),
        (Forgetful, ["sim.remember()", "could not be resumed"]),
        (Late, ["looks another than it did", "by sensors"]),
        (Rich, ["scale them to about 1"]),
        (Blind, ["blew up"]),
        (Proud, ["must lie in [0, 1]"]),
        (Broken, ["KeyError: 'speed'", "test_check.py, line"]),
    ],
)
def test_a_broken_promise_is_named(family, words, capsys):
    lines = said_of(family(), capsys)
    for word in words:
        assert word in lines, lines


def test_a_good_family_keeps_all(capsys):
    assert check(Cart(), speed=False) == 0
    assert "BROKEN" not in capsys.readouterr().out


class Compass(Cart):
    """Its goal is a direction: both ends of the range are one."""

    parameters = {
        **Cart.parameters,
        "way": Parameter(0.0, train=(-torch.pi, torch.pi), goal=True, unit="rad"),
    }

    def reward(self, sim, action):
        return super().reward(sim, action) + torch.cos(sim.parameters["way"])


def test_an_angle_may_mean_the_same_at_both_ends(capsys):
    check(Compass())
    assert "Nothing changes" not in capsys.readouterr().out


def test_the_speed_is_measured(capsys):
    assert check(Cart()) == 0
    assert "control steps/s" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cheetah-body", "quadruped-battery"])
def test_families_of_the_suite_keep_all(name):
    assert main(["check", name, "--no-speed"]) == 0


def test_a_broken_family_fails_the_command(tmp_path):
    assert main(["check", f"{__file__}:Rich", "--no-speed"]) == 1
    assert main(["check", "point-gaol"]) == 2


def test_each_check_has_a_title():
    assert len({examine.__doc__ for examine in CHECKS}) == len(CHECKS)
    assert issubclass(ContractError, Exception)
