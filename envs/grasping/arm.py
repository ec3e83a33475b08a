"""A seven-joint arm with a gripper: reach, push, grasp and lift, pick and place.

Four families share one robot. What they hide is what a real cell hides: the object's
mass, friction, size, shape and centre of mass, how hard the gripper closes, what hangs
on the hand, worn and weak joints, latency, and where the camera really stands.

| family | job | the goal is |
|---|---|---|
| `arm-reach` | bring the fingertips to a point | hidden |
| `arm-push` | bring the object to a place on the table | hidden |
| `arm-lift` | grasp the object and hold it up | always the same |
| `arm-place` | grasp the object and hold it at a point in the air | commanded |

The first two goals are to be found from the reward, as in ML1 of Meta-World (Yu et al.,
2019); in the last two jobs the dynamics are difficulty enough.
"""

import torch
from torch import Tensor

from metarl.envs.grasping.arm_family import ARM, GRIP, OBJECT, ArmFamily, Handling
from metarl.envs.grasping.arm_model import HOME_TIP
from metarl.envs.ranges import both
from metarl.simulation.protocol import Simulation
from metarl.tasks.parameter import Parameter
from metarl.tasks.task import Task

TOLERANCE = 0.02
"""Distance to the goal that counts as a success, m."""
HELD_HEIGHT, HELD_SECONDS = 0.1, 0.5
"""How high and for how long a lifted object must be held at the end, m and s."""

_HOME_TIP = torch.tensor(HOME_TIP, dtype=torch.float64)


class ToGoal(ArmFamily):
    """Something is to end at a goal: success and final distance."""

    def distance(self, sim: Simulation) -> Tensor:
        """From the goal in m, (n,)."""
        raise NotImplementedError

    def success(self, sim: Simulation) -> Tensor:
        """1 where the distance is less than `TOLERANCE`."""
        return (self.distance(sim) < TOLERANCE).to(sim.qpos.dtype)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Final distance to the goal in m."""
        return {"distance": self.distance(sim)}


class ArmReach(ToGoal):
    """Bring the fingertips to a point that is found from the reward alone.

    The goal is an offset from where the fingertips start. Reward, each step: closeness
    of the fingertips to the goal, with a peak within the tolerance.
    """

    name = "arm-reach"
    parameters = {
        "goal": both(
            (0.1, 0.1, 0.05),
            train=(-0.12, 0.12),
            near=(-0.15, 0.15),
            far=(-0.18, 0.18),
            size=3,
            unit="m",
            goal=True,
            about="from where the fingertips start",
        ),
        **ARM,
    }
    success_measure = "the fingertips end within 2 cm of the goal"

    def marker(self, task: Task) -> tuple[float, ...]:
        """The goal."""
        return tuple(a + b for a, b in zip(HOME_TIP, task["goal"], strict=True))

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Closeness to the goal, (n,)."""
        return _closeness(self.distance(sim))

    def distance(self, sim: Simulation) -> Tensor:
        """From the fingertips to the goal in m, (n,)."""
        tip = self.tip(sim)
        offset = tip - _HOME_TIP.to(tip) - sim.parameters["goal"]
        return torch.linalg.vector_norm(offset, dim=-1)


class ArmPush(ToGoal, Handling):
    """Bring the object to a place on the table that is found from the reward alone.

    The goal is an offset from the middle of where the object starts. The hand may push
    or drag. Reward, each step: closeness of the fingertips to the object, a firm grip
    on it, and closeness of the object to the goal, most of it with the hand there.
    """

    name = "arm-push"
    parameters = {
        "goal": both(
            (0.1, 0.1),
            train=(-0.14, 0.14),
            near=(-0.17, 0.17),
            far=(-0.2, 0.2),
            size=2,
            unit="m",
            goal=True,
            about="from the middle of where the object starts",
        ),
        **OBJECT,
        **ARM,
    }
    composition = {"mass": (0.25, 0.5), "friction": (0.8, 1.2)}
    success_measure = "the object ends within 2 cm of the goal"

    def marker(self, task: Task) -> tuple[float, ...]:
        """The goal, on the table."""
        x, y = task["goal"]
        return HOME_TIP[0] + x, HOME_TIP[1] + y, 0.0

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Reach, grip and bring to the goal, (n,)."""
        # Without the hand, closeness counts little: where the goal happens to be would
        # drown what the first steps of learning are about.
        close = _closeness(self.distance(sim))
        return 0.1 * (self.grip(sim) + (0.5 + 3 * self.in_hand(sim)) * close)

    def distance(self, sim: Simulation) -> Tensor:
        """From the object to the goal along the table in m, (n,)."""
        place = self.object(sim)
        offset = (place - _HOME_TIP.to(place))[:, :2] - sim.parameters["goal"]
        return torch.linalg.vector_norm(offset, dim=-1)


class ArmLift(Handling):
    """Grasp the object and hold it up while object, gripper and arm are unknown.

    Reward, each step: closeness of the fingertips to the object, a firm grip on it, and
    height, steepest at the first millimetre.
    """

    name = "arm-lift"
    parameters = {**OBJECT, **GRIP, **ARM}
    composition = {"mass": (0.25, 0.5), "friction": (0.4, 0.6)}
    success_measure = (
        f"the object was held above {100 * HELD_HEIGHT:.0f} cm "
        f"for the last {HELD_SECONDS} s"
    )

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Reach, grip and lift, (n,)."""
        height = self.height(sim)
        held = sim.remember("held", height)
        held.add_(self.control_period).mul_(height > HELD_HEIGHT)
        # A root rewards the first millimetre as a line would reward a centimetre.
        up = (height / (1.3 * HELD_HEIGHT)).clamp(0, 1).sqrt()
        return 0.1 * (self.grip(sim) + 3 * self.in_hand(sim) * up)

    def success(self, sim: Simulation) -> Tensor:
        """1 where the object was held up for the last while."""
        held = sim.remember("held", sim.qpos[:, 0])
        return (held > HELD_SECONDS - 1e-6).to(sim.qpos.dtype)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Final height of the object and its distance from the fingertips, m."""
        return {"height": self.height(sim), "off_hand": self.off_hand(sim)}


class ArmPlace(ToGoal, Handling):
    """Grasp the object and hold it at a commanded point above the table.

    The observation ends with the command (3, m, from home) and its distance from the
    object as the camera has it (3, m). Reward, each step: closeness of the fingertips
    to the object, a firm grip, height up to the goal's, and closeness to the goal.
    """

    name = "arm-place"
    parameters = {
        "goal": Parameter(
            (0.08, 0.08),
            train=(-0.12, 0.12),
            unit="m",
            size=2,
            goal=True,
            about="from the middle of where the object starts",
        ),
        "goal_height": Parameter(
            0.1, train=(0.05, 0.2), unit="m", goal=True, about="of the object, raised"
        ),
        **OBJECT,
        **GRIP,
        **ARM,
    }
    composition = {"mass": (0.25, 0.5), "friction": (0.4, 0.6)}
    success_measure = "the object ends within 2 cm of the commanded point"

    def marker(self, task: Task) -> tuple[float, ...]:
        """The goal."""
        x, y = task["goal"]
        z = task["goal_height"] + task["half_size"]
        return HOME_TIP[0] + x, HOME_TIP[1] + y, z

    def observe(self, sim: Simulation) -> Tensor:
        """What the robot senses, and its command: see the class."""
        goal = self.goal(sim)
        seen = [
            super().observe(sim),
            goal - _HOME_TIP.to(goal),
            goal - self.seen_object(sim),
        ]
        return torch.cat(seen, -1)

    def reward(self, sim: Simulation, action: Tensor) -> Tensor:
        """Reach, grip, lift and bring to the goal, (n,)."""
        raised = self.height(sim) / sim.parameters["goal_height"]
        carried = self.in_hand(sim) * raised.clamp(0, 1).sqrt()
        close = _closeness(self.distance(sim))
        return 0.1 * (self.grip(sim) + 0.5 * close + carried * (1 + 3 * close))

    def goal(self, sim: Simulation) -> Tensor:
        """Where the object's middle should be in m, (n, 3)."""
        place = _HOME_TIP[:2].to(sim.qpos) + sim.parameters["goal"]
        height = sim.parameters["goal_height"] + sim.parameters["half_size"]
        return torch.cat([place, height[:, None]], -1)

    def distance(self, sim: Simulation) -> Tensor:
        """From the object to the goal in m, (n,)."""
        return torch.linalg.vector_norm(self.object(sim) - self.goal(sim), dim=-1)

    def metrics(self, sim: Simulation) -> dict[str, Tensor]:
        """Final distance of the object to the goal and from the fingertips, m."""
        return {**super().metrics(sim), "off_hand": self.off_hand(sim)}


def _closeness(distance: Tensor) -> Tensor:
    """From 0 far away to 1 at the goal, half of it for the last centimetres, (n,)."""
    return 0.5 * (1 - torch.tanh(8 * distance)) + 0.5 * (-(distance / 0.03)).exp()
