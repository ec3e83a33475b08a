"""Disturbances that every family can declare."""

import warnings
from itertools import pairwise

import pytest
import torch
from carts import (
    CART,
    LATENCY,
    Cart,
    drive,
    environment_of,
    noisy,
    push,
    with_parameters,
)

from metarl.errors import InputError
from metarl.simulation.engine import mujoco
from metarl.simulation.perturbations import (
    DeadActuator,
    Latency,
    MotorStrength,
    scale_actuators,
)
from metarl.tasks.parameter import Choice, Parameter


def first_reaction(family, actuator, task):
    """The control step after which a joint first differs from one left alone."""
    environment = environment_of(family, [task], copies=2)
    environment.reset(0)
    environment.sim.qpos[:], environment.sim.qvel[:] = 0, 0
    action = push(environment, 0.0)
    action[0, actuator] = 0.7
    for t in range(family.horizon):
        environment.step(action)
        one, other = environment.sim.qvel[:, actuator].tolist()
        if one != other:
            return t
    return None


@pytest.mark.parametrize("actuator", [0, 1], ids=["motor", "position"])
@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.03, 0.05])
def test_latency_delays_the_first_effect_of_a_control(actuator, seconds):
    family = with_parameters(Cart, **Cart.parameters, latency=LATENCY)
    reaction = first_reaction(family, actuator, family.task(latency=seconds))
    assert reaction == round(seconds / 0.01)


def test_latency_differs_between_simulations_of_one_environment():
    family = with_parameters(Cart, **Cart.parameters, latency=LATENCY)
    tasks = [family.task(latency=seconds) for seconds in (0.0, 0.02, 0.05)]
    environment = environment_of(family, tasks)
    environment.reset(0)
    environment.sim.qpos[:], environment.sim.qvel[:] = 0, 0
    moved = []
    for _ in range(7):
        environment.step(torch.tensor([[0.5, 0.0]]).repeat(3, 1))
        moved.append((environment.sim.qvel[:, 0] != 0).tolist())
    assert [column.index(True) for column in zip(*moved, strict=True)] == [0, 2, 5]


def test_a_delayed_robot_rests_in_its_keyframe_until_its_first_control_arrives():
    class Resting(Cart):
        parameters = {**Cart.parameters, "latency": LATENCY}
        perturbations = (Latency("latency"),)

        def build(self, task):
            spec = super().build(task)
            spec.add_key(name="home", qpos=[0, 0.5], ctrl=[0, 0.5])
            return spec

        def reset(self, sim, ids, rng):
            pass

    family = Resting()
    environment = environment_of(family, [family.task(latency=0.05)])
    for _ in range(2):
        environment.reset()
        angles = []
        for _ in range(10):
            environment.step(push(environment, -1.0))
            angles.append(environment.sim.qpos[0, 1].item())
        assert angles[:5] == [0.5] * 5
        assert angles[5] < 0.5


def test_latency_needs_a_spec():
    class Compiled(Cart):
        parameters = {**Cart.parameters, "latency": LATENCY}
        perturbations = (Latency("latency"),)

        def build(self, task):
            return super().build(task).compile()

    with pytest.raises(InputError, match=r"latency.*MjSpec"):
        environment_of(Compiled())


def test_motor_strength_scales_force_and_its_limit():
    family = with_parameters(
        Cart,
        **Cart.parameters,
        motor_strength=Parameter(1.0, train=(0.5, 2.0)),
    )
    weak, strong = family.task(motor_strength=0.5), family.task(motor_strength=2.0)
    environment = environment_of(family, [weak, family.task(), strong])
    environment.reset(0)
    for size in (0.2, 1.0):
        environment.reset(0)
        environment.sim.qpos[:], environment.sim.qvel[:] = 0, 0
        environment.step(push(environment, size))
        speed = environment.sim.qvel[:, 0]
        assert (speed / speed[1]).tolist() == pytest.approx([0.5, 1.0, 2.0])
    for task, factor in ((weak, 0.5), (strong, 2.0)):
        model = family.models(task)
        assert model.actuator("right").gainprm[0] == 5 * factor
        assert model.actuator("right").biasprm[1:3].tolist() == [
            -5 * factor,
            -0.5 * factor,
        ]
        assert model.actuator("left").forcerange[1] == pytest.approx(0.6 * factor)


ELECTRIC = '<dcmotor name="m" joint="slide" nominal="12 2 30" {}/>'


@pytest.mark.parametrize(
    "actuator",
    [
        '<muscle name="m" joint="slide" lengthrange="0 1" force="100"/>',
        ELECTRIC.format(""),
        ELECTRIC.format('input="pos ff" controller="50 0 0 0 0 12"'),
    ],
    ids=["muscle", "voltage", "feed-forward"],
)
def test_a_motor_without_a_strength_to_scale_is_refused(actuator):
    model = mujoco.MjModel.from_xml_string(
        CART.replace("</actuator>", f"{actuator}</actuator>")
    )
    scale_actuators(model, [0.5, 2.0, 1.0])
    with pytest.raises(InputError, match=r"'m' cannot be scaled.*muscle.*voltage"):
        scale_actuators(model, [1.0, 1.0, 0.5])


@pytest.mark.parametrize(
    "actuator",
    [
        '<position name="m" joint="slide" kp="9" kv="2"/>',
        '<velocity name="m" joint="slide" kv="3"/>',
        '<intvelocity name="m" joint="slide" kp="3" actrange="-1 1"/>',
        '<pid name="m" joint="slide" kp="9" kv="2" input="pos"/>',
        ELECTRIC.format('input="pos" controller="50 0 0 0 0 12"'),
    ],
    ids=["position", "velocity", "intvelocity", "pid", "electric"],
)
def test_a_controllers_force_is_scaled(actuator):
    forces = []
    for factor in (1.0, 0.5):
        model = mujoco.MjModel.from_xml_string(
            CART.replace("</actuator>", f"{actuator}</actuator>")
        )
        scale_actuators(model, factor)
        data = mujoco.MjData(model)
        data.ctrl[2], data.qpos[0], data.qvel[0] = 0.3, 0.1, 0.2
        mujoco.mj_forward(model, data)
        forces.append(data.actuator_force[2])
    assert forces[0] != 0
    assert forces[1] == pytest.approx(0.5 * forces[0])


def test_motor_strengths_of_another_number_than_the_actuators_are_refused():
    family = with_parameters(
        Cart,
        **Cart.parameters,
        motor_strength=Parameter((1.0,) * 3, size=3, train=(0.5, 2.0)),
    )
    with pytest.raises(InputError, match=r"'motor_strength' has size=3.*2 actuators"):
        environment_of(family)


def test_motor_strength_may_differ_between_actuators():
    family = with_parameters(
        Cart,
        **Cart.parameters,
        motor_strength=Parameter((1.0, 1.0), size=2, train=(0.5, 2.0)),
    )
    model = family.models(family.task(motor_strength=(0.5, 2.0)))
    assert model.actuator_gainprm[:, 0].tolist() == [0.5, 10.0]


def test_disturbances_do_not_edit_a_model_that_the_family_keeps():
    class Keeping(Cart):
        parameters = {
            **Cart.parameters,
            "motor_strength": Parameter(1.0, train=(0.5, 2.0)),
        }
        perturbations = (MotorStrength("motor_strength"),)
        kept = mujoco.MjModel.from_xml_string(CART)

        def build(self, task):
            return self.kept

    family = Keeping()
    gains = [
        family.models(family.task(motor_strength=s)).actuator_gainprm[0, 0]
        for s in (0.5, 2.0, 1.0)
    ]
    assert gains == [0.5, 2.0, 1.0]


@pytest.mark.parametrize("name", ["dead_actuator", "dead_leg", "dead_joint"])
def test_a_dead_actuator_gives_no_force(name):
    family = with_parameters(
        Cart,
        **Cart.parameters,
        **{name: Choice("none", train=("none", "left"), unseen=("right",))},
    )
    tasks = [family.task(**{name: value}) for value in ("none", "left", "right")]
    environment = environment_of(family, tasks)
    environment.reset(0)
    environment.sim.qpos[:], environment.sim.qvel[:] = 0, 0
    environment.step(push(environment))
    assert (environment.sim.qvel[:, 0] != 0).tolist() == [True, False, True]
    assert (environment.sim.qvel[:, 1] != 0).tolist() == [True, True, False]


def test_the_name_of_a_dead_actuator_means_no_longer_one():
    class Numbered(Cart):
        parameters = {
            **Cart.parameters,
            "dead_actuator": Choice("none", train=("none", "m1", "m")),
        }
        perturbations = (DeadActuator("dead_actuator"),)

        def build(self, task):
            spec = super().build(task)
            for name, number in (("left", "m1"), ("right", "m10")):
                spec.actuator(name).name = number
            return spec

    family = Numbered()
    gains = {
        name: family.models(family.task(dead_actuator=name)).actuator_gainprm[:, 0]
        for name in ("m1", "m")
    }
    assert gains["m1"].tolist() == [0.0, 5.0]
    assert gains["m"].tolist() == [0.0, 0.0]


def test_a_dead_actuator_that_does_not_exist_is_refused():
    family = with_parameters(
        Cart,
        **Cart.parameters,
        dead_actuator=Choice("none", train=("none", "middle")),
    )
    with pytest.raises(InputError, match=r"'dead_actuator'.*'middle'.*left, right"):
        family.models(family.task(dead_actuator="middle"))


def test_observation_noise_has_its_size_and_leaves_the_physics_alone():
    family = noisy()
    tasks = [family.task(), family.task(observation_noise=0.5)]
    environment = environment_of(family, tasks, 500)
    clean, dirty = environment.reset(0).view(2, 500, -1)
    assert clean.std() < 0.02
    errors = [dirty]
    for _ in range(3):
        observation = environment.step(push(environment, 0.0)).observation
        truth = torch.cat([environment.sim.qpos, environment.sim.qvel], -1)
        error = (observation - truth).view(2, 500, -1)
        assert error[0].abs().max() < 1e-6
        assert error[1].std().item() == pytest.approx(0.5, rel=0.1)
        assert abs(error[1].mean().item()) < 0.05
        assert not torch.equal(error[1], errors[-1])
        errors.append(error[1])
    for one, other in pairwise(errors):
        assert abs((one * other).mean().item()) < 0.05
    assert torch.equal(environment.reset(0).view(2, 500, -1)[1], dirty)


def test_observation_noise_does_not_depend_on_what_runs_beside_it():
    family = noisy()
    tasks = [family.task(observation_noise=0.5, goal=g / 9) for g in range(4)]
    many = environment_of(family, tasks, 3)
    few = environment_of(family, tasks[:2], 2)
    for environment in (many, few):
        environment.reset(0)
        drive(environment, 0)
    for _ in range(3):
        one, other = (
            e.step(push(e, 0.2)).observation.view(len(e.pool), e.copies, -1)
            for e in (many, few)
        )
        assert torch.equal(one[:2, :2], other)


def test_observation_noise_may_differ_between_components():
    family = with_parameters(
        Cart,
        **Cart.parameters,
        observation_noise=Parameter((0.0,) * 4, size=4, train=(0.0, 0.5)),
    )
    loud = family.task(observation_noise=(0.0, 0.1, 0.2, 0.5))
    observation = environment_of(family, [family.task(), loud], 500).reset(0)
    clean, dirty = observation.view(2, 500, 4)
    assert clean.std() < 0.02
    assert dirty.std(0)[1:].tolist() == pytest.approx([0.1, 0.2, 0.5], rel=0.1)
    assert dirty.std(0)[0] < 0.02


@pytest.mark.parametrize("name", ["observation_noise", "observation_bias"])
def test_disturbances_of_another_number_than_the_observations_are_refused(name):
    family = with_parameters(
        Cart,
        **Cart.parameters,
        **{name: Parameter((0.0, 0.0), size=2, train=(0.0, 0.5))},
    )
    with pytest.raises(InputError, match=rf"'{name}' has size=2.*4 observations"):
        environment_of(family)


@pytest.mark.parametrize("size", [1, 4])
def test_observation_bias_is_constant(size):
    bias = 0.3 if size == 1 else (0.1, -0.2, 0.3, -0.4)
    family = with_parameters(
        Cart,
        **Cart.parameters,
        observation_bias=Parameter(
            0.0 if size == 1 else (0.0,) * 4, size=size, train=(-0.5, 0.5)
        ),
    )
    environment = environment_of(family, [family.task(observation_bias=bias)], 3)
    observation = environment.reset(0)
    for _ in range(3):
        truth = torch.cat([environment.sim.qpos, environment.sim.qvel], -1)
        error = (observation - truth).float()
        torch.testing.assert_close(error, torch.tensor(bias).expand(3, 4).contiguous())
        observation = environment.step(push(environment)).observation


def test_a_reversed_motor_of_one_side_pulls():
    model = mujoco.MjModel.from_xml_string(CART)
    model.actuator_forcerange[0] = (0, 0.6)
    scale_actuators(model, -1.0)
    assert model.actuator_forcerange[0].tolist() == [-0.6, 0]
    assert model.actuator_gainprm[0, 0] == -1


def undeclared(**members):
    """A family whose parameter has a name that meant something in metarl 0.1."""
    parameters = {"motor_strength": Parameter(1.0, train=(0.5, 2.0))}
    return type("Named", (Cart,), {"parameters": parameters, **members})


def test_names_that_act_alone_still_do_and_say_what_to_declare():
    with pytest.warns(DeprecationWarning) as warned:
        family = undeclared(build=lambda self, task: mujoco.MjSpec.from_string(CART))()
    (message,) = {str(w.message) for w in warned}
    assert 'perturbations = (MotorStrength("motor_strength"),)' in message
    gains = [
        family.models(family.task(motor_strength=s)).actuator_gainprm[0, 0]
        for s in (0.5, 1.0)
    ]
    assert gains[0] == gains[1] / 2


def test_a_family_may_say_that_nothing_acts():
    kind = undeclared(
        build=lambda self, task: mujoco.MjSpec.from_string(CART), perturbations=()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        family = kind()
    model = family.models(family.task(motor_strength=0.5))
    assert model.actuator_gainprm[0, 0] == family.models.nominal.actuator_gainprm[0, 0]


def test_a_parameter_of_another_name_may_act():
    parameters = {"worn": Parameter(1.0, train=(0.5, 1.0))}
    perturbations = (MotorStrength("worn"),)
    kind = undeclared(
        build=lambda self, task: mujoco.MjSpec.from_string(CART),
        parameters=parameters,
        perturbations=perturbations,
    )
    family = kind()
    model = family.models(family.task(worn=0.5))
    assert model.actuator_gainprm[0, 0] == (
        family.models.nominal.actuator_gainprm[0, 0] / 2
    )


@pytest.mark.parametrize(
    ("perturbations", "words"),
    [
        ((MotorStrength("motor_strenght"),), "Did you mean 'motor_strength'"),
        (("motor_strength",), "is not a perturbation"),
    ],
)
def test_a_wrong_declaration_is_refused(perturbations, words):
    with pytest.raises(InputError, match=words):
        undeclared(perturbations=perturbations)()
