"""What a family's methods return works, or is refused at once by the method's name."""

import numpy as np
import pytest
import torch
from carts import Cart, Still, drive, environment_of, push

from metarl.environment.check import check
from metarl.environment.collect import collect
from metarl.errors import InputError, RunError


def family_with(**methods):
    """A cart of which some methods give what is made of their usual value."""

    def wrapped(name, change):
        def method(self, sim, *arguments):
            return change(getattr(Cart, name)(self, sim, *arguments), sim)

        return method

    members = {name: wrapped(name, change) for name, change in methods.items()}
    return type("Odd", (Cart,), members)()


def spoilt(value, row=0):
    value = value.clone()
    value[row] = torch.nan
    return value


REFUSED = {
    "a column": ("reward", lambda v, s: v[:, None], r"reward\(\).*\(4,\).*\(4, 1\)"),
    "one number": ("reward", lambda v, s: v.sum(), r"reward\(\).*of shape \(\)"),
    "an array": ("reward", lambda v, s: v.numpy(), r"reward\(\).*a ndarray"),
    "a float": ("reward", lambda v, s: 0.5, r"reward\(\).*a float"),
    "no reward": ("reward", lambda v, s: None, r"reward\(\).*a NoneType"),
    "complex": ("reward", lambda v, s: v * 1j, r"reward\(\).*complex128"),
    "an ending": ("terminated", lambda v, s: v.double(), r"terminated\(\).*float64"),
    "a count": ("truncated", lambda v, s: v.long(), r"truncated\(\).*int64"),
    "one flag": ("terminated", lambda v, s: v.any(), r"terminated\(\).*\(4,\)"),
    "endings": ("truncated", lambda v, s: v[:, None], r"truncated\(\).*\(4, 1\)"),
    "a bool": ("terminated", lambda v, s: False, r"terminated\(\).*a bool"),
    "a row": ("observe", lambda v, s: v[0], r"observe\(\).*of shape \(4,\)"),
    "too many": ("observe", lambda v, s: torch.cat([v, v]), r"observe\(\).*\(2, 4\)"),
    "no tensor": ("observe", lambda v, s: v.tolist(), r"observe\(\).*a list"),
    "of n": ("observe", lambda v, s: v[:, : s.n], r"observe\(\).*\(4, 1\).*\(4, 4\)"),
    "nan": ("observe", lambda v, s: spoilt(v), r"observe\(\).*NaN.*mass=1"),
    "infinity": ("reward", lambda v, s: v / 0.0, r"reward\(\).*infinity.*mass=1"),
    "a nan": ("reward", lambda v, s: spoilt(v, -1), r"reward\(\).*NaN.*goal=0.5"),
}
"""Refused in the first step; simulations are 4."""


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_at_the_first_step_by_its_name(kind):
    method, change, said = REFUSED[kind]
    with pytest.raises(InputError, match=said):
        environment = environment_of(family_with(**{method: change}), copies=4)
        environment.reset(0)
        environment.step(push(environment))


@pytest.mark.parametrize("kind", ["a column", "an ending", "nan", "infinity"])
def test_it_is_an_error_of_the_input_when_a_policy_acts(kind):
    method, change, said = REFUSED[kind]
    with pytest.raises(InputError, match=said):
        collect(environment_of(family_with(**{method: change}), copies=4), Still(), 0)


@pytest.mark.parametrize(
    ("method", "change", "said"),
    [
        ("success", lambda v, s: v[:, None], r"success\(\).*\(4,\).*\(4, 1\)"),
        ("success", lambda v, s: True, r"success\(\).*a bool"),
        ("metrics", lambda v, s: v["place"], r"metrics\(\).*dictionary.*float64"),
        ("metrics", lambda v, s: None, r"metrics\(\).*dictionary.*NoneType"),
        ("metrics", lambda v, s: {"speed": 3.0}, r"metrics\(\)\['speed'\].*a float"),
        ("metrics", lambda v, s: {"x": s.qpos}, r"metrics\(\)\['x'\].*\(4, 2\)"),
        ("metrics", lambda v, s: {"success": s.qpos[:, 0]}, "none of them named"),
    ],
)
def test_an_outcome_of_another_shape_is_refused_by_its_name(method, change, said):
    family = family_with(**{method: change})
    with pytest.raises(InputError, match=said):
        collect(environment_of(family, copies=4), Still(), 0)


def test_flags_and_counts_are_numbers():
    family = family_with(
        success=lambda v, s: s.qpos[:, 0] > 10,
        reward=lambda v, s: s.qpos[:, 0] > -10,
        metrics=lambda v, s: {
            "there": s.qpos[:, 0] > 10,
            "wheels": torch.full((s.n,), 4),
            "half": torch.ones(s.n, dtype=torch.float16),
        },
        observe=lambda v, s: (v > 0).long(),
    )
    episodes = collect(environment_of(family, copies=3), Still(), 0)
    assert episodes.returns.tolist() == [[12.0] * 3]
    assert episodes.success.tolist() == [[0.0] * 3]
    assert episodes.observation.dtype == torch.float32
    found = {name: value.tolist() for name, value in episodes.metrics.items()}
    assert found == {"there": [[0.0] * 3], "wheels": [[4.0] * 3], "half": [[1.0] * 3]}


def test_counts_of_what_blew_up_are_nan():
    class Bang(Cart):
        def act(self, sim, action):
            sim.qvel[0, 0] = 1e300

        def metrics(self, sim):
            return {"wheels": torch.full((sim.n,), 4)}

        def success(self, sim):
            return torch.ones(sim.n, dtype=torch.bool)

    episodes = collect(environment_of(Bang(), copies=2), Still(), 0)
    assert episodes.success.tolist() == [[0.0, 1.0]]
    assert np.array_equal(episodes.metrics["wheels"], [[np.nan, 4]], equal_nan=True)


def test_nan_after_the_first_step_counts_as_diverged():
    late = family_with(reward=lambda v, s: torch.where(s.time > 0.015, torch.nan, v))
    environment = environment_of(late, copies=2)
    environment.reset(0)
    one, other = drive(environment, 2)
    assert not one.diverged.any()
    assert other.diverged.all()


def test_a_policys_nan_is_not_the_familys():
    class Lost:
        def act(self, time_step):
            return time_step.noise * torch.nan

    with pytest.raises(RunError, match=r"An action is NaN.*smaller step size"):
        collect(environment_of(Cart()), Lost(), 0)


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("reward", lambda v, s: v[:, None]),
        ("terminated", lambda v, s: v.double()),
        ("success", lambda v, s: 0.5),
        ("metrics", lambda v, s: {"place": s.qpos}),
        ("reward", lambda v, s: torch.where(s.time > 0.1, torch.inf, v)),
        ("observe", lambda v, s: v[0]),
    ],
)
def test_check_names_the_method(method, change, capsys):
    assert check(family_with(**{method: change}), speed=False) > 0
    lines = capsys.readouterr().out.splitlines()
    details = [line for line in lines if line.startswith("        ")]
    assert details
    assert any(f"{method}()" in line for line in details)


@pytest.mark.parametrize("built", [None, "<mujoco/>"])
def test_what_is_no_model_is_refused(built):
    class Empty(Cart):
        def build(self, task):
            return built

    with pytest.raises(InputError, match=r"build\(\) of Empty must return an MjSpec"):
        environment_of(Empty())
