"""Task families. Each file is one robot; `plugin` names all of them."""

if __name__ != "metarl.envs":
    raise ImportError("Import the families as metarl.envs, not as envs.")


def plugin() -> dict[str, dict[str, str]]:
    """What this package registers: see `metarl.registry`."""
    return {
        "families": {
            "point-goal": "metarl.envs.navigation.point:PointGoal",
            "rover-goal": "metarl.envs.navigation.rover:RoverGoal",
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
            "quadruped-velocity": (
                "metarl.envs.locomotion.quadruped:QuadrupedVelocity"
            ),
            "quadruped-battery": "metarl.envs.locomotion.quadruped:QuadrupedBattery",
            "quadruped-terrain": "metarl.envs.locomotion.quadruped:QuadrupedTerrain",
        }
    }
