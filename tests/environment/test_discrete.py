"""A family of MuJoCo's may choose among discrete actions in `act`."""

import torch
from carts import Cart

from metarl.environment.check import check


class Choosing(Cart):
    """Pushes one way, not at all, or the other way."""

    action_size = 3

    def act(self, sim, action):
        sim.ctrl[:, 0] = action.argmax(-1) - 1.0


def test_the_largest_component_is_chosen():
    family = Choosing()
    assert family.spec.action_size == 3
    sim = family.simulate(family.tasks("train", 2), threads=1)
    family.act(sim, torch.tensor([[0.1, 0.9, -1.0], [-0.9, -1.0, 0.3]]))
    assert sim.ctrl[:, 0].tolist() == [0.0, 1.0]
    assert check(family, speed=False) == 0
