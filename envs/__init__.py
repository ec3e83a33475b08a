"""Task families. Each file is one robot; `plugin` names all of them."""

if __name__ != "metarl.envs":
    raise ImportError("Import the families as metarl.envs, not as envs.")


def plugin() -> dict[str, dict[str, str]]:
    """What this package registers: see `metarl.registry`."""
    return {
        "families": {
            "point-goal": "metarl.envs.navigation.point:PointGoal",
            "cheetah-direction": "metarl.envs.locomotion.cheetah:CheetahDirection",
            "cheetah-velocity": "metarl.envs.locomotion.cheetah:CheetahVelocity",
            "cheetah-dynamics": "metarl.envs.locomotion.cheetah:CheetahDynamics",
            "quadruped-velocity": (
                "metarl.envs.locomotion.quadruped:QuadrupedVelocity"
            ),
        }
    }
