"""What a user's own code raises is one message that says where; metarl's is not."""

import operator

import pytest

from metarl import cli

CART = """
import mujoco
import torch
from metarl import Parameter, TaskFamily

XML = '''
<mujoco><worldbody><body name="cart"><joint name="x" type="slide"/>
<geom name="cart" size=".1"/></body></worldbody>
<actuator><motor joint="x" ctrlrange="-1 1"/></actuator></mujoco>
'''


class Cart(TaskFamily):
    parameters = {"mass": Parameter(1.0, train=(0.5, 2.0))}
    horizon = 5

    def build(self, task):
        spec = mujoco.MjSpec.from_string(XML)
        spec.geom("cart").mass = task["mass"]
        return spec

    def observe(self, sim):
        return torch.cat([sim.qpos, sim.qvel], -1)

    def reward(self, sim, action):
        return -sim.qpos[:, 0].abs()
"""
TINY = ["--steps", "10", "--agent.tasks", "2", "--agent.episodes", "2"]


def train(capsys, file):
    """Train what the text of a file says; returns the exit code and the message."""
    with open("cart.py", "w") as opened:
        opened.write(file)
    code = cli.main(["train", "cart.py:Cart", "maml", *TINY, "--agent.hidden", "4"])
    return code, capsys.readouterr().err


def test_a_users_file_trains(capsys):
    assert train(capsys, CART)[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("import torch", "import no_such_library", "'no_such_library' (cart.py, line"),
        ("import torch", "import torch torch", "invalid syntax (cart.py, line"),
        ('spec.geom("cart")', 'spec.geom("car")', "(build(), cart.py, line 19)"),
        ("[sim.qpos, sim.qvel]", "[sim.qpos, sim.qvil]", "(observe(), cart.py, line"),
        ("sim.qpos[:, 0].abs()", "sim.qpos[:, 9].abs()", "(reward(), cart.py, line"),
    ],
)
def test_what_it_raises_is_one_message_with_its_place(capsys, old, new, said):
    code, message = train(capsys, CART.replace(old, new, 1))
    assert code == 1
    assert said in message
    assert message.startswith("metarl train: ")
    assert message.count("\n") == 1


def test_a_mistake_of_metarls_own_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(cli, "run", operator.truediv)  # no function of a user's
    with pytest.raises(TypeError):
        cli.main(["list"])
