"""Whatever MuJoCo can express works in a family, or is refused in one message."""

import pytest
import torch

from metarl.environment.check import check
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.family import TaskFamily
from metarl.errors import InputError
from metarl.simulation.engine import mujoco
from metarl.tasks.parameter import Parameter

MOTOR = '<actuator><motor name="m" joint="j" ctrlrange="-1 1"/></actuator>'
FREE = '<body name="f" pos="1 0 1"><freejoint/><geom size=".1" mass="1"/></body>'
FLOOR = '<geom type="plane" size="3 3 .1"/>'
SERVO = '<actuator><position joint="j" kp="5" inheritrange="1"/></actuator>'
HILLS = """<asset><hfield name="h" nrow="3" ncol="3" size="3 3 .2 .1"
  elevation="0 0 0 0 1 0 0 0 1"/></asset>"""
SOLID = """<asset><mesh name="t" vertex="0 0 0 .1 0 0 0 .1 0 0 0 .1"/></asset>"""
SITES = '<site name="a" pos="0 0 1.5"/><site name="b" pos="0 1 1.5"/>'
TENDONS = """<tendon>
  <spatial name="s" limited="true" range="0 2"><site site="a"/><geom geom="g"/>
    <site site="b"/></spatial>
  <fixed name="t"><joint joint="j" coef="1"/></fixed></tendon>"""


def model(world="", bottom=MOTOR, top="", joint=""):
    return f"""<mujoco>{top}<worldbody>{world}<body name="b" pos="0 0 1">
      <joint name="j" axis="0 1 0" damping=".1" {joint}/>
      <geom name="g" size=".1" mass="1" pos="0 0 -.3"/></body></worldbody>
      {bottom}</mujoco>"""


def actuator(kind):
    return f"<actuator><{kind}/></actuator>"


GOOD = {
    "free": model(FREE + FLOOR),
    "ball": model(FREE.replace("<freejoint/>", '<joint type="ball" damping=".1"/>')),
    "mocap": model(
        '<body name="hand" mocap="true"><geom size=".1" pos="1 0 1"/></body>'
    ),
    "tendons": model(
        SITES, TENDONS + actuator('motor name="m" tendon="t" ctrlrange="-1 1"')
    ),
    "muscle": model(
        "", actuator('muscle joint="j" ctrlrange="0 1" lengthrange="-1 1"')
    ),
    "mesh": model(
        FREE.replace('size=".1"', 'type="mesh" mesh="t"') + FLOOR, MOTOR, SOLID
    ),
    "height field": model(FREE + '<geom type="hfield" hfield="h"/>', MOTOR, HILLS),
    "inheritrange": model("", SERVO, joint='range="-60 60"'),
    "keyframe": model("", MOTOR + '<keyframe><key qpos="1"/></keyframe>'),
    "filter": model(
        "",
        actuator('general joint="j" dyntype="filter" dynprm=".1" ctrlrange="-1 1"'),
    ),
    "integrated": model(
        "", actuator('intvelocity joint="j" kp="5" ctrlrange="-1 1" actrange="-1 1"')
    ),
    "adhesion": model(
        FREE + FLOOR, actuator('adhesion body="f" ctrlrange="0 1" gain="3"')
    ),
    "flex": model(
        '<flexcomp name="cloth" type="grid" count="3 3 1" spacing=".1 .1 .1" '
        'pos="1 0 1" mass=".1" radius=".01"><edge equality="true"/></flexcomp>'
    ),
    "weld": model(FREE, MOTOR + '<equality><weld body1="f" body2="b"/></equality>'),
}
OFTEN = ("free", "muscle", "height field")
BAD = {
    "inheritrange without a range": (
        model("", SERVO),
        "MuJoCo refuses the model .* inheritrange used but target 'j' has no range",
    ),
    "keyframe of another length": (
        model("", MOTOR + '<keyframe><key name="k" qpos="1 2"/></keyframe>'),
        "keyframe 'k': invalid qpos size, expected 1, got 2",
    ),
    "no actuators": (model("", ""), "has no actuators"),
    "no joints": ("<mujoco/>", "has no actuators"),
    "no control range": (model("", actuator('motor joint="j"')), "no control range"),
    "a plug-in": (
        model("", actuator('plugin plugin="no.such" joint="j"')),
        "unrecognized plugin 'no.such'",
    ),
}


def family_of(xml):
    class Tiny(TaskFamily):
        """The smallest family on a model."""

        parameters = {"mass": Parameter(1.0, train=(0.5, 2.0), far=(2.0, 3.0))}
        horizon = 8

        def build(self, task):
            spec = mujoco.MjSpec.from_string(xml)
            if spec.geom("g"):
                spec.geom("g").mass = task["mass"]
            return spec

        def observe(self, sim):
            return torch.cat([sim.qpos, sim.qvel], -1)

        def reward(self, sim, action):
            return -sim.qvel.square().sum(-1).clamp(max=10)

    return Tiny()


class Still:
    def act(self, time_step):
        return torch.zeros_like(time_step.noise)


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(part, marks=() if part in OFTEN else pytest.mark.slow)
        for part in GOOD
    ],
)
def test_a_family_on_any_model_keeps_the_contract(part, capsys):
    family = family_of(GOOD[part])
    assert check(family, speed=False) == 0, capsys.readouterr().out
    episodes = collect(Environment(family, family.tasks("train", 2), 2), Still(), 0)
    assert episodes.length.eq(8).all() and episodes.returns.isfinite().all()


@pytest.mark.parametrize("part", BAD)
def test_what_cannot_work_is_refused_in_one_message(part, capsys):
    xml, said = BAD[part]
    family = family_of(xml)
    with pytest.raises(InputError, match=said) as refused:
        Environment(family, family.tasks("train", 1))
    assert "\n" not in str(refused.value)
    assert check(family, speed=False) == 1
    assert capsys.readouterr().out.count("BROKEN") == 1


def test_nothing_to_observe_is_refused():
    family = family_of(GOOD["free"])
    family.observe = lambda sim: sim.qpos[:, :0]
    with pytest.raises(InputError, match=r"observe\(\) of Tiny gives no number"):
        _ = family.spec
