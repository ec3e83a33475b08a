"""Small families with known physics, and what tests do with them."""

import torch

from metarl.environment.environment import Environment
from metarl.environment.family import TaskFamily
from metarl.simulation.engine import mujoco
from metarl.simulation.perturbations import (
    DeadActuator,
    Latency,
    MotorStrength,
    ObservationBias,
    ObservationNoise,
)
from metarl.tasks.parameter import Parameter

LATENCY = Parameter(0.0, train=(0.0, 0.03), far=(0.03, 0.05), unit="s")
CART = """
<mujoco>
  <option timestep="0.01" gravity="0 0 0" integrator="implicitfast"/>
  <worldbody>
    <body name="cart">
      <joint name="slide" type="slide" axis="1 0 0" damping="0.5"/>
      <geom name="cart" size="0.1" mass="1" contype="0" conaffinity="0"/>
    </body>
    <body name="other" pos="0 1 0">
      <joint name="turn" type="hinge" axis="0 0 1"/>
      <geom name="other" size="0.1" mass="1" pos="0.3 0 0"
        contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
    <motor name="left" joint="slide" gear="20" ctrlrange="-1 1" forcelimited="true"
      forcerange="-0.6 0.6"/>
    <position name="right" joint="turn" kp="5" kv="0.5" ctrlrange="-2 1"/>
  </actuator>
  <sensor><framepos name="place" objtype="body" objname="cart"/></sensor>
</mujoco>
"""


class Cart(TaskFamily):
    """A cart that slides and an arm that turns; the smallest family."""

    parameters = {
        "mass": Parameter(1.0, train=(0.5, 2.0), far=(2.0, 4.0), unit="kg"),
        "goal": Parameter(0.5, train=(-1.0, 1.0), goal=True, unit="m"),
    }
    horizon = 12
    compute_kinematics = False

    def build(self, task):
        spec = mujoco.MjSpec.from_string(CART)
        spec.geom("cart").mass = task["mass"]
        return spec

    def reset(self, sim, ids, rng):
        sim.qpos[ids] = 0.002 * rng.normal(2)

    def observe(self, sim):
        return torch.cat([sim.qpos, sim.qvel], -1)

    def reward(self, sim, action):
        return -(sim.qpos[:, 0] - sim.parameters["goal"]).abs()

    def success(self, sim):
        return ((sim.qpos[:, 0] - sim.parameters["goal"]).abs() < 1).double()

    def metrics(self, sim):
        return {"place": sim.qpos[:, 0].clone()}


class Finishing(Cart):
    """Ends an episode where the cart has gone far enough."""

    def terminated(self, sim):
        return sim.qpos[:, 0] > 0.02 * (1 + torch.arange(sim.n))


class Sensing(Finishing):
    """Reads what MuJoCo derives from the state."""

    compute_kinematics = True

    def observe(self, sim):
        return torch.cat([sim.sensor("place"), sim.xpos[:, 2], sim.qvel], -1)


class Feeling(Cart):
    """Reads an acceleration, which MuJoCo computes last."""

    compute_kinematics = True

    def build(self, task):
        spec = super().build(task)
        spec.option.gravity = [0, 0, -9.81]
        spec.body("cart").add_site(name="chip")
        spec.add_sensor(
            name="felt",
            type=mujoco.mjtSensor.mjSENS_ACCELEROMETER,
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            objname="chip",
        )
        return spec

    def observe(self, sim):
        return sim.sensor("felt").clone()


class Exploding(Cart):
    """Simulation 0 leaves physics in its third step; afterwards it sees nonsense."""

    def act(self, sim, action):
        super().act(sim, action)
        steps = sim.remember("steps", sim.qpos[:, 0])
        steps += 1
        if steps[0] == 3:
            sim.qvel[0, 0] = 1e300


class Nonsense(Cart):
    """What simulation 0 senses is no number from its third step on."""

    what = "observation"

    def act(self, sim, action):
        super().act(sim, action)
        sim.remember("steps", sim.qpos[:, 0]).add_(1)

    def observe(self, sim):
        seen = super().observe(sim)
        return self._spoil(sim, seen) if self.what == "observation" else seen

    def reward(self, sim, action):
        reward = super().reward(sim, action)
        return self._spoil(sim, reward) if self.what == "reward" else reward

    def _spoil(self, sim, values):
        if sim.remember("steps", sim.qpos[:, 0])[0] >= 3:
            values = values.clone()
            values[0] = torch.nan
        return values


PERTURBATIONS = {
    "latency": Latency,
    "motor_strength": MotorStrength,
    "dead_actuator": DeadActuator,
    "dead_leg": DeadActuator,
    "dead_joint": DeadActuator,
    "observation_noise": ObservationNoise,
    "observation_bias": ObservationBias,
}


def with_parameters(base, **parameters):
    """A family with these parameters, and the perturbations that go by their names."""
    perturbations = [PERTURBATIONS[n](n) for n in parameters if n in PERTURBATIONS]
    members = {"parameters": parameters, "perturbations": perturbations}
    return type(base.__name__, (base,), members)()


def environment_of(family, tasks=None, copies=1, **options):
    if tasks is None:
        tasks = [family.task()]
    return Environment(family, tasks, copies, threads=1, **options)


def drive(environment, steps, seed=0):
    """Step with actions that depend on seed, time and simulation; list the steps."""
    found = []
    for t in range(steps):
        generator = torch.Generator().manual_seed(1000 * seed + t)
        action = torch.rand(64, environment.action_size, generator=generator) * 2 - 1
        found.append(environment.step(action[: environment.n]))
    return found


def push(environment, size=1.0):
    return torch.full((environment.n, environment.action_size), size)


def state(environment):
    return environment.sim.batch.state.copy()


def noisy():
    return with_parameters(
        Cart,
        **Cart.parameters,
        observation_noise=Parameter(0.0, train=(0.0, 0.5)),
    )


class Still:
    """A policy of small actions that depend on what it sees."""

    def act(self, time_step):
        return 0.1 * time_step.noise + 0.01 * time_step.observation[..., :1]


def nonsense(what):
    family = Nonsense()
    family.what = what
    return family


BLOWING = {
    "physics": Exploding(),
    "observation": nonsense("observation"),
    "reward": nonsense("reward"),
}
