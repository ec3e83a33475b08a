"""How each parameter of the navigation families is read back and felt."""

import numpy as np
import torch

from metarl.envs.navigation.maze import LAYOUTS, SIZE, layout
from metarl.envs.navigation.rover_model import SIDES, WHEEL, WIRINGS
from metarl.simulation.engine import mujoco
from readings.common import goal_bearing, goal_distance, goal_site, latency, ratio, told


def goal_angle(family, task):
    assert told("goal_angle")(family, task) == task["goal_angle"]
    x, y, _ = family.models(task).site("goal").pos
    angle = np.arctan2(y, x)
    return angle if angle >= -np.pi / 2 else angle + 2 * np.pi


def wiring(family, task):
    """Which wheel each actuator turns, and in which direction."""
    model = family.models(task)
    found = []
    for i in range(model.nu):
        joint = model.joint(int(model.actuator_trnid[i, 0]))
        found += [joint.name, int(model.actuator_gear[i, 0])]
    (name,) = [name for name, wires in WIRINGS.items() if list(wires) == found]
    return name


def motor_gain(family, task):
    """Speed at which no torque is left, for a command of 1, left and right."""
    model = family.models(task)
    gains = {}
    for i in range(model.nu):
        side = model.joint(int(model.actuator_trnid[i, 0])).name
        gains[side] = -model.actuator_gainprm[i, 0] / model.actuator_biasprm[i, 2]
    return tuple(gains[side] for side in SIDES)


def radius_mismatch(family, task):
    left, right = (family.models(task).geom(side).size[0] for side in SIDES)
    assert np.isclose(left + right, 2 * WHEEL)
    return (left - right) / WHEEL


def rover_friction(family, task):
    """Sliding friction of the contacts of the tyres."""
    model = family.models(task)
    data = mujoco.MjData(model)
    for _ in range(100):
        mujoco.mj_step(model, data)
    tyres = {model.geom(side).id for side in SIDES}
    frictions = {
        value
        for contact in data.contact[: data.ncon]
        if tyres & set(contact.geom.tolist())
        for value in contact.friction[:2].tolist()
    }
    (both,) = frictions
    return both


def rover_mass(family, task):
    empty = family.task(**{**dict(task.values), "payload": 0.0})
    return ratio(family.models(empty).body_mass, family.models.nominal.body_mass)


def _load(family, mass, **values):
    """Mass and moment that a payload adds to the chassis."""
    loaded, empty = (
        family.models(family.task(payload=kg, **values)).body("rover")
        for kg in (mass, 0.0)
    )
    moment = loaded.mass[0] * loaded.ipos - empty.mass[0] * empty.ipos
    return loaded.mass[0] - empty.mass[0], moment


def rover_payload(family, task):
    return _load(family, task["payload"])[0]


def rover_payload_offset(family, task):
    mass, moment = _load(family, 8.0, payload_offset=task["payload_offset"])
    return tuple(moment[:2] / mass)


def wind(family, task):
    """The force on the robot, whatever it does."""
    sim = family.simulate([task], threads=1)
    family.act(sim, sim.ctrl + 0.5)
    force = sim.xfrc_applied[0]
    assert (force != 0).sum() <= 2
    return tuple(force[sim.model.body("rover").id, :2].tolist())


def mud(family, task):
    """The force at 1 m/s, beyond that of the wind."""
    sim = family.simulate([task], threads=1)
    patch = sim.model.geom("mud")
    sim.qpos[0, :3], sim.qvel[0, 0] = torch.tensor(patch.pos), 1.0
    family.act(sim, sim.ctrl)
    return task["wind"][0] - sim.xfrc_applied[0, sim.model.body("rover").id, 0].item()


def conveyor(family, task):
    model = family.models(task)
    return model.geom_surfacevel[model.geom("conveyor").id, 1]


def maze_layout(family, task):
    """The layout whose walls are those of the model."""
    model = family.models(task)
    walls = {
        tuple(np.round([*(pos - size)[:2], *(pos + size)[:2]], 6))
        for pos, size, group in zip(
            model.geom_pos, model.geom_size, model.geom_group, strict=True
        )
        if group == 1
    }
    (number,) = [
        number
        for number in range(LAYOUTS)
        if {tuple(np.round([*a, *b], 6)) for a, b in layout(number).walls()} == walls
    ]
    return number


def maze_goal(family, task):
    """The room that is marked."""
    mark = family.models(task).site("goal").pos[:2]
    maze = layout(task["layout"])
    (room,) = [r for r in range(SIZE**2) if np.allclose(maze.centre(r), mark)]
    assert told("goal")(family, task) == room
    return room


READ_BACK = {
    "point-goal": {"goal": goal_site},
    "point-sparse": {"goal_angle": goal_angle},
    "rover-goal": {
        "wiring": wiring,
        "motor_gain": motor_gain,
        "radius_mismatch": radius_mismatch,
        "friction": rover_friction,
        "mass": rover_mass,
        "payload": rover_payload,
        "payload_offset": rover_payload_offset,
        "wind": wind,
        "latency": latency,
        "mud": mud,
        "conveyor": conveyor,
        "goal_distance": goal_distance,
        "goal_bearing": goal_bearing,
    },
    "rover-maze": {
        "layout": maze_layout,
        "goal": maze_goal,
        "motor_gain": motor_gain,
        "friction": rover_friction,
        "latency": latency,
    },
}
ONLY_SENSED = {("rover-maze", "layout")}  # as long as no wall is touched
HELD = {("rover-goal", "payload_offset"): {"payload": 8.0}}
STARTS: dict[str, dict[int, float]] = {
    "point-sparse": {1: -0.9},  # near the goals at both bounds
}
SEEN = {
    "rover-goal": {"goal_distance", "goal_bearing"},  # the goal is in sight
    "rover-maze": {"layout"},  # what the lidar sees of it
}
