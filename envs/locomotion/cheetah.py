"""The half-cheetah of Gymnasium: run backwards, run at a speed, run with an odd body.

Five families share one robot. `cheetah-direction` and `cheetah-velocity` are the
tasks of MAML (Finn et al., 2017), whose dynamics are known in training and met in the
held-out shells only. `cheetah-dynamics` hides the physics of Packer et al.
("Assessing generalization in deep reinforcement learning", 2018), and joint damping;
`cheetah-mass` and `cheetah-body` those of RoML.

Returns of different papers do not compare, because their timings differ:

| timing | control period | reset noise | control cost | used by |
|---|---|---|---|---|
| `rllab` | 0.01 s (one physics step) | .01, .1 | .05 | MAML |
| `v5` | 0.05 s (five physics steps) | .1, .1 | .1 | Gymnasium, ProMP, PEARL |
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium
import torch
from torch import Tensor

from metarl.environment.family import TaskFamily
from metarl.errors import unknown
from metarl.simulation.engine import mujoco
from metarl.simulation.perturbations import MotorStrength
from metarl.simulation.protocol import Simulation
from metarl.tasks.parameter import Choice, Parameter
from metarl.tasks.randomness import Streams
from metarl.tasks.task import Task

MODEL = Path(gymnasium.__file__).parent / "envs/mujoco/assets/half_cheetah.xml"
TOTAL_MASS = 14.0
"""Kilograms, from the model's ``settotalmass``."""

TimingName = Literal["rllab", "v5"]


@dataclass(frozen=True)
class Timing:
    """How a paper timed the same robot."""

    substeps: int
    horizon: int
    control_cost: float
    position_noise: tuple[str, float]
    """Kind and size of the noise on initial joint positions."""


TIMINGS = {
    "rllab": Timing(1, 200, 0.05, ("normal", 0.01)),
    "v5": Timing(5, 200, 0.1, ("uniform", 0.1)),
}

HIDDEN_DYNAMICS = {
    "motor_strength": Parameter(
        1.0,
        train=(0.7, 1.1),
        near=((0.5, 0.7), (1.1, 1.3)),
        far=((0.35, 0.5), (1.3, 1.5)),
        about="Torque of every motor, times its nominal one (Packer's power).",
    ),
    "density": Parameter(
        1000.0,
        train=(750.0, 1250.0),
        near=((500.0, 750.0), (1250.0, 1500.0)),
        far=((300.0, 500.0), (1500.0, 2000.0)),
        unit="kg/m^3",
        about="Density of the body; mass and inertia grow with it.",
    ),
    "friction": Parameter(
        0.8,
        train=(0.5, 1.1),
        near=((0.2, 0.5), (1.1, 1.4)),
        far=((0.1, 0.2), (1.4, 1.8)),
        about="Sliding friction between feet and ground.",
    ),
    "damping": Parameter(
        1.0,
        train=(0.7, 1.4),
        near=((0.45, 0.7), (1.4, 2.2)),
        far=((0.3, 0.45), (2.2, 3.3)),
        scale="log",
        about="Damping of every joint, times its nominal one.",
    ),
}


def _known_in_training(nominal: Mapping[str, float]) -> dict[str, Parameter | Choice]:
    """The same dynamics, nominal in training and met in the shells only."""
    return {
        name: Parameter(
            nominal[name],
            train=(nominal[name], nominal[name]),
            near=tuple(_scale(f, nominal[name]) for f in ((0.7, 0.9), (1.1, 1.4))),
            far=tuple(_scale(f, nominal[name]) for f in ((0.5, 0.7), (1.4, 2.0))),
            unit=hidden.unit,
            scale="log",
            about=hidden.about,
        )
        for name, hidden in HIDDEN_DYNAMICS.items()
    }


def _scale(factors: tuple[float, float], nominal: float) -> tuple[float, float]:
    return factors[0] * nominal, factors[1] * nominal


KNOWN_DYNAMICS = _known_in_training(
    {"motor_strength": 1.0, "density": 1000.0, "friction": 0.4, "damping": 1.0}
)


def cheetah(
    mass: float,
    damping: float = 1.0,
    friction: float = 0.4,
    torso_length: float = 1.0,
) -> "mujoco.MjModel":
    """Gymnasium's model with another body.

    Args:
        mass: of the whole robot, kg.
        damping: of every joint, times its nominal one.
        friction: sliding friction between feet and ground.
        torso_length: of the torso, times its nominal one.
    """
    spec = mujoco.MjSpec.from_file(str(MODEL))
    spec.compiler.settotalmass = -1  # MuJoCo scales the compiled model instead
    for geom in spec.geoms:
        geom.friction[0] = friction
    torso = spec.geom("torso")
    torso.fromto = [-0.5 * torso_length, 0, 0, 0.5 * torso_length, 0, 0]
    # Legs and head stay at the torso's ends.
    ends = (spec.body("bthigh"), spec.body("fthigh"), spec.geom("head"))
    for part, x in zip(ends, (-0.5, 0.5, 0.5), strict=True):
        part.pos[0] += x * (torso_length - 1)
    model = spec.compile()
    mujoco.mj_setTotalmass(model, mass)
    model.dof_damping[:] *= damping
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


JOINTS = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")


class Cheetah(TaskFamily):
    """What the families share: the robot, its timing and its observation.

    Args:
        timing: whose timing, reset noise and control cost.
        horizon: control steps an episode, in place of the timing's.
    """

    camera = "track"
    compute_kinematics = False
    observation_names = (
        *("height / m", "pitch / rad"),
        *(f"{joint} / rad" for joint in JOINTS),
        *("forward velocity / (m/s)", "upward velocity / (m/s)"),
        "pitch rate / (rad/s)",
        *(f"{joint} rate / (rad/s)" for joint in JOINTS),
    )

    def __init__(
        self, *, timing: TimingName = "rllab", horizon: int | None = None
    ) -> None:
        if timing not in TIMINGS:
            raise unknown("timing", timing, TIMINGS)
        self.timing = TIMINGS[timing]
        self.timing_name = timing
        self.substeps = self.timing.substeps
        self.horizon = self.timing.horizon
        super().__init__(horizon=horizon)

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that make this family again."""
        return {"timing": self.timing_name, "horizon": self.horizon}

    def build(self, task: Task) -> "mujoco.MjModel":
        """Gymnasium's model with the task's density, friction and damping."""
        mass = TOTAL_MASS * task["density"] / 1000.0
        return cheetah(mass, task["damping"], friction=task["friction"])

    def reset(self, sim: Simulation, ids: Tensor, rng: Streams) -> None:
        """Noise on joint positions and velocities, as the timing's source does."""
        kind, size = self.timing.position_noise
        nq, nv = sim.qpos.shape[1], sim.qvel.shape[1]
        if kind == "normal":
            sim.qpos[ids] += size * rng.normal(nq)
        else:
            sim.qpos[ids] += rng.uniform(nq, low=-size, high=size)
        sim.qvel[ids] += 0.1 * rng.normal(nv)
        sim.remember("start", sim.qpos[:, 0])[ids] = sim.qpos[ids, 0]

    def act(self, sim: Simulation, action: Tensor) -> None:
        """Joint torques; keeps where the step began."""
        sim.remember("before", sim.qpos[:, 0]).copy_(sim.qpos[:, 0])
        sim.ctrl.copy_(action)

    def observe(self, sim: Simulation) -> Tensor:
        """Joint positions without the horizontal one, and velocities, (n, 17)."""
        return torch.cat([sim.qpos[:, 1:], sim.qvel], -1)

    def velocity(self, sim: Simulation) -> Tensor:
        """Forward velocity over the step just made in m/s, (n,)."""
        return (sim.qpos[:, 0] - sim.memory["before"]) / self.control_period

    def control_cost(self, action: Tensor) -> Tensor:
        """What the step's torques cost, (n,)."""
        return self.timing.control_cost * action.square().sum(-1)

    def mean_velocity(self, sim: Simulation) -> Tensor:
        """Forward velocity over the episode so far in m/s, (n,)."""
        seconds = sim.time.clamp(min=self.control_period)
        return (sim.qpos[:, 0] - sim.memory["start"]) / seconds

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Mean forward velocity in m/s, and whether it ended on its back."""
        return {
            "velocity": self.mean_velocity(sim),
            "on_its_back": (~self._upright(sim)).to(sim.qpos.dtype),
        }

    def _upright(self, sim: Simulation) -> Tensor:
        pitch = torch.remainder(sim.qpos[:, 2] + math.pi, 2 * math.pi) - math.pi
        return pitch.abs() < math.pi / 2


class CheetahDirection(Cheetah):
    """Run forwards or backwards; which of the two is not observed.

    Reward: velocity in the wanted direction, minus the control cost.
    """

    name = "cheetah-direction"
    parameters = {
        "direction": Choice(1, train=(1, -1), goal=True, about="1 forward, -1 back."),
        **KNOWN_DYNAMICS,
    }
    perturbations = (MotorStrength("motor_strength"),)
    success_measure = "mean velocity in the wanted direction above 1 m/s, upright"

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Velocity in the wanted direction minus control cost, (n,)."""
        wanted = sim.parameters["direction"]
        return wanted * self.velocity(sim) - self.control_cost(action)

    def success(self, sim: Simulation) -> Tensor:
        """1 where it ran faster than 1 m/s the right way and stayed on its feet."""
        speed = sim.parameters["direction"] * self.mean_velocity(sim)
        return ((speed > 1.0) & self._upright(sim)).to(sim.qpos.dtype)


class CheetahVelocity(Cheetah):
    """Run forward at a speed that is not observed.

    Reward: minus the velocity error, minus the control cost.
    """

    name = "cheetah-velocity"
    parameters = {
        "velocity": Parameter(
            1.0,
            train=(0.0, 2.0),
            near=(2.0, 2.5),
            far=(2.5, 3.0),
            unit="m/s",
            goal=True,
            about="Wanted forward velocity.",
        ),
        **KNOWN_DYNAMICS,
    }
    perturbations = (MotorStrength("motor_strength"),)
    success_measure = "mean velocity within 0.3 m/s of the wanted one, upright"

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Minus the velocity error in m/s and the control cost, (n,)."""
        error = (self.velocity(sim) - sim.parameters["velocity"]).abs()
        return -error - self.control_cost(action)

    def success(self, sim: Simulation) -> Tensor:
        """1 where the mean velocity was right and it stayed on its feet."""
        error = (self.mean_velocity(sim) - sim.parameters["velocity"]).abs()
        return ((error < 0.3) & self._upright(sim)).to(sim.qpos.dtype)


class CheetahForward(Cheetah):
    """Run forward. Reward: forward velocity, minus the control cost."""

    success_measure = "mean forward velocity above 1 m/s, upright"

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Forward velocity minus control cost, (n,)."""
        return self.velocity(sim) - self.control_cost(action)

    def success(self, sim: Simulation) -> Tensor:
        """1 where it ran faster than 1 m/s and stayed on its feet."""
        return ((self.mean_velocity(sim) > 1.0) & self._upright(sim)).to(sim.qpos.dtype)


class CheetahDynamics(CheetahForward):
    """Run forward with motors, body, ground and joints of unknown physics."""

    name = "cheetah-dynamics"
    parameters = HIDDEN_DYNAMICS
    perturbations = (MotorStrength("motor_strength"),)
    composition = {"motor_strength": (0.7, 0.8), "density": (1125.0, 1250.0)}


def _doubled(unit: str = "1", nominal: float = 1.0, **more: Any) -> Parameter:
    """Log-uniform between half and double; shells up to a quarter and four times."""
    return Parameter(
        nominal,
        train=(nominal / 2, nominal * 2),
        near=((nominal / 3, nominal / 2), (nominal * 2, nominal * 3)),
        far=((nominal / 4, nominal / 3), (nominal * 3, nominal * 4)),
        scale="log",
        unit=unit,
        **more,
    )


class CheetahMass(CheetahForward):
    """Run forward with a body of unknown mass, as in RoML (Greenberg et al., 2023)."""

    name = "cheetah-mass"
    parameters = {"mass": _doubled("kg", TOTAL_MASS, about="Of the whole robot.")}

    def build(self, task: Task) -> "mujoco.MjModel":
        """Gymnasium's model with the task's mass; inertia grows with it."""
        return cheetah(task["mass"])


class CheetahBody(CheetahForward):
    """Run forward with a body of unknown mass, damping and torso, as in RoML."""

    name = "cheetah-body"
    parameters = {
        "mass": _doubled("kg", TOTAL_MASS, about="Of the whole robot."),
        "damping": _doubled(about="Of every joint, times its nominal one."),
        "torso_length": Parameter(
            1.0,
            train=(0.75, 1.33),
            near=((0.6, 0.75), (1.33, 1.6)),
            far=((0.5, 0.6), (1.6, 2.0)),
            scale="log",
            switches=False,
            about="Length of the torso, times its nominal one.",
        ),
    }

    def build(self, task: Task) -> "mujoco.MjModel":
        """Gymnasium's model with the task's mass, damping and torso."""
        return cheetah(task["mass"], task["damping"], torso_length=task["torso_length"])
