"""Ways to find a parameter's value again in what is simulated."""

import numpy as np
import pytest

from metarl.simulation.engine import mujoco


def ratio(values, nominal):
    """The one factor between two arrays, wherever the nominal one is not zero."""
    used = nominal != 0
    assert used.any()
    assert (values[~used] == 0).all()
    factors = values[used] / nominal[used]
    assert np.ptp(factors) < 1e-9
    return factors[0]


def touching(family, task):
    """Sliding friction of the contacts that the robot makes with the ground."""
    model = family.models(task)
    data = mujoco.MjData(model)
    if model.nkey:
        mujoco.mj_resetDataKeyframe(model, data, 0)
    for _ in range(2000):
        mujoco.mj_step(model, data)
        if data.ncon:
            frictions = {tuple(c.friction[:2]) for c in data.contact[: data.ncon]}
            assert len(frictions) == 1
            (both,) = frictions
            assert both[0] == both[1]
            return both[0]
    raise AssertionError("The robot never touches the ground.")


def strength(family, task):
    model, nominal = family.models(task), family.models.nominal
    factor = ratio(model.actuator_gainprm, nominal.actuator_gainprm)
    for field in ("actuator_biasprm", "actuator_forcerange"):
        before = getattr(nominal, field)
        if before.any():
            assert ratio(getattr(model, field), before) == pytest.approx(factor)
    return factor


def damping(family, task):
    return ratio(family.models(task).dof_damping, family.models.nominal.dof_damping)


def latency(family, task):
    delays = set(family.models(task).actuator_delay.tolist())
    assert len(delays) == 1
    return delays.pop()


def told(name):
    """A parameter of the job: the family reads it while it simulates."""

    def read(family, task):
        value = family.simulate([task], threads=1).parameters[name][0].tolist()
        return tuple(value) if isinstance(value, list) else value

    return read


def goal_site(family, task):
    assert told("goal")(family, task) == task["goal"]
    return tuple(family.models(task).site("goal").pos[:2])


def goal_distance(family, task):
    assert told("goal_distance")(family, task) == task["goal_distance"]
    return np.linalg.norm(family.models(task).site("goal").pos[:2])


def goal_bearing(family, task):
    assert told("goal_bearing")(family, task) == task["goal_bearing"]
    x, y, _ = family.models(task).site("goal").pos
    return np.arctan2(y, x)
