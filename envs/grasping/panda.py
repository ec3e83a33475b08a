"""A Franka Emika Panda as MuJoCo Menagerie models it, at the job of our own arm."""

from metarl.envs.grasping.arm import ArmLift
from metarl.envs.grasping.arm_family import ActionSpace
from metarl.envs.grasping.arm_model import (
    JOINT_FRICTION,
    JOINTS,
    WEAK,
    Arm,
    Object,
    add_payload,
    add_spindle,
    furnish,
    set_table,
)
from metarl.simulation import menagerie
from metarl.simulation.engine import mujoco
from metarl.simulation.models import DRAWN, TaskModels
from metarl.tasks.task import Task


def panda(
    arm: Arm, thing: Object | None, goal: tuple[float, ...] | None
) -> "mujoco.MjSpec":
    """The Menagerie's robot at our table: see `arm_model.build`."""
    spec = menagerie.load("franka_emika_panda", "mjx_panda.xml")
    for mesh in spec.meshes:  # in some copies from the model, not from `meshdir`
        mesh.file = mesh.file.removeprefix("assets/")
    furnish(spec)
    for body in spec.body("link0").find_all("body"):
        body.gravcomp = 1
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = 0  # pairs say what touches
    for i, name in enumerate(JOINTS):
        joint, motor = spec.joint(name), spec.actuator(f"actuator{i + 1}")
        joint.damping[0] *= arm.joint_damping
        joint.frictionloss = arm.joint_friction * JOINT_FRICTION[i]
        motor.name = name
        if name == arm.weak_joint:
            for numbers in (motor.gainprm, motor.biasprm, motor.forcerange):
                numbers *= WEAK
        if name in (arm.weak_joint, arm.dead_joint):
            for geom in joint.parent.geoms:
                geom.material = "dead"
    for side in ("left", "right"):
        spec.geom(f"{side}_finger_pad").name = f"{side}_pad"
    # Its gripper is driven by one finger; ours by the gap between both.
    for item in (spec.actuator("actuator8"), *spec.equalities, *spec.sites):
        spec.delete(item)
    hand = spec.body("hand")
    add_payload(hand, arm.payload)
    add_spindle(spec, hand, ("finger_joint1", "finger_joint2"), arm.grip_force)
    set_table(spec, thing, goal)
    return spec


class PandaLift(ArmLift):
    """Grasp and hold up with a real robot's model; the same is unknown.

    Gains, damping and inertias are those of the Menagerie's model for MJX, whose
    fingertips are boxes. Dry friction of the joints, which it lacks, and the drive of
    the gripper are our arm's. Needs the extra `robots`.
    """

    name = "panda-lift"
    assemble = staticmethod(panda)

    def __init__(
        self,
        *,
        action_space: ActionSpace = "end-effector",
        horizon: int | None = None,
    ) -> None:
        super().__init__(action_space=action_space, horizon=horizon)
        self._drawn = TaskModels(self._with_meshes, (), self.space, DRAWN)

    def build(self, task: Task) -> "mujoco.MjSpec":
        """The robot at its table, without its meshes."""
        spec = super().build(task)
        spec.compiler.discardvisual = True
        return spec

    def _with_meshes(self, task: Task) -> "mujoco.MjSpec":
        return super().build(task)

    def render_model(self, task: Task) -> "mujoco.MjModel":
        """The robot with its meshes."""
        return self._drawn(task)
