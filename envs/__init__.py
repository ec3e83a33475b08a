"""Task families. Each file is one robot; `plugin` names all of them."""

if __name__ != "metarl.envs":
    raise ImportError("Import the families as metarl.envs, not as envs.")


def plugin() -> dict[str, dict[str, str]]:
    """What this package registers: see `metarl.environment.registry`."""
    return {
        "families": {
            "point-goal": "metarl.envs.navigation.point:PointGoal",
            "point-sparse": "metarl.envs.navigation.point:PointSparse",
            "rover-goal": "metarl.envs.navigation.rover:RoverGoal",
            "rover-maze": "metarl.envs.navigation.maze:RoverMaze",
            "cheetah-direction": "metarl.envs.locomotion.cheetah:CheetahDirection",
            "cheetah-velocity": "metarl.envs.locomotion.cheetah:CheetahVelocity",
            "cheetah-dynamics": "metarl.envs.locomotion.cheetah:CheetahDynamics",
            "cheetah-mass": "metarl.envs.locomotion.cheetah:CheetahMass",
            "cheetah-body": "metarl.envs.locomotion.cheetah:CheetahBody",
            "hopper-params": "metarl.envs.locomotion.planar:HopperParams",
            "walker-params": "metarl.envs.locomotion.planar:WalkerParams",
            "ant-direction": "metarl.envs.locomotion.ant:AntDirection",
            "ant-goal": "metarl.envs.locomotion.ant:AntGoal",
            "ant-crippled": "metarl.envs.locomotion.ant:AntCrippled",
            "arm-reach": "metarl.envs.grasping.arm:ArmReach",
            "arm-push": "metarl.envs.grasping.arm:ArmPush",
            "arm-lift": "metarl.envs.grasping.arm:ArmLift",
            "arm-place": "metarl.envs.grasping.arm:ArmPlace",
            "panda-lift": "metarl.envs.grasping.panda:PandaLift",
            "quadruped-velocity": (
                "metarl.envs.locomotion.quadruped:QuadrupedVelocity"
            ),
            "quadruped-battery": "metarl.envs.locomotion.quadruped:QuadrupedBattery",
            "quadruped-terrain": "metarl.envs.locomotion.quadruped:QuadrupedTerrain",
            "go1-velocity": "metarl.envs.locomotion.go1:Go1Velocity",
            "quadruped-goal": "metarl.envs.locomotion.quadruped_goal:QuadrupedGoal",
        }
    }
