"""`metarl check`: does a family keep the contract?"""

from tyro.conf import Positional


def check(
    family: Positional[str],
    speed: bool = True,
    backend: str = "mujoco",
    device: str = "",
) -> int:
    """Check that a family keeps the contract, and say what to do where not.

    Args:
        family: registered name, module:Class or file.py:Class.
        speed: measure control steps per second.
        backend: what simulates: mujoco, or warp (MuJoCo Warp, on a GPU).
        device: of warp: cuda:0 by default, or cpu.
    """
    from metarl.environment.check import check as run_checks
    from metarl.environment.registry import make_family
    from metarl.render.check import can_be_drawn

    made = make_family(family).on(backend, device)
    broken = run_checks(made, speed, extra=(can_be_drawn,))
    if broken:
        print(f"{made.name} breaks {broken} of its promises.")
    return int(broken > 0)
