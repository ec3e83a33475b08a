"""An observation may be a dictionary: agents get its parts side by side."""

import pytest
import torch
from carts import Cart

from metarl.environment.check import check
from metarl.environment.environment import Environment
from metarl.errors import InputError
from metarl.runs.robot import Robot


class Named(Cart):
    """Gives parts by name."""

    compute_kinematics = True

    def observe(self, sim):
        return {
            "position": sim.qpos,
            "cart / m/s": sim.qvel[:, 0],
            "turned": sim.qpos[:, 1:] > 0,
        }


def test_parts_are_side_by_side_and_named():
    family = Named()
    assert family.spec.observation_size == 4
    names = ("position[0]", "position[1]", "cart / m/s", "turned")
    assert family.observation_names == names
    assert Robot.of(Named()).observation_names == names
    assert Robot.of(Named()).observation_name(2) == "2 (cart / m/s)"
    environment = Environment(family, family.tasks("train", 3))
    seen = environment.reset(0)
    assert seen.dtype is torch.float32
    torch.testing.assert_close(
        seen[:, :2].double(), environment.sim.qpos, rtol=1e-6, atol=0
    )
    assert check(family, speed=False) == 0


def test_names_that_are_declared_stay():
    class Declared(Named):
        observation_names = ("a", "b", "c", "d")

    assert Robot.of(Declared()).observation_names == ("a", "b", "c", "d")
    assert Named.observation_names == ()


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (
            lambda sim: {"a": sim.qpos[:, :1], "b": None},
            r"\['b'\].*NoneType",
        ),
        (lambda sim: {"a": sim.qpos[:1].T}, r"observe\(\)\['a'\].*\(2, 1\)"),
        (lambda sim: {"a": sim.qpos[:, :, None]}, r"observe\(\)\['a'\]"),
        (lambda sim: {}, "gives no number to observe"),
    ],
)
def test_parts_of_other_shapes_are_refused_by_name(seen, said):
    family = Cart()
    family.observe = seen
    with pytest.raises(InputError, match=said):
        _ = family.spec


def test_parts_must_stay():
    family = Named()
    environment = Environment(family, family.tasks("train", 2))
    family.observe = lambda sim: {"position": sim.qpos, "other": sim.qvel}
    with pytest.raises(InputError, match="Their names, sizes and order must stay"):
        environment.reset(0)
