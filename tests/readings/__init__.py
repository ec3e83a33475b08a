"""How the tests find each parameter of each family again; one module a room.

A new family adds its parameters to the tables of its room.
"""

from typing import Any

from readings import grasping, locomotion, navigation

_ROOMS = (grasping, locomotion, navigation)


def _joined(table: str) -> dict[Any, Any]:
    return {
        key: value for room in _ROOMS for key, value in getattr(room, table).items()
    }


READ_BACK = _joined("READ_BACK")
"""How the value of each parameter is found again in what is simulated:
family -> parameter -> function of (family, task)."""
ONLY_SENSED = {pair for room in _ROOMS for pair in room.ONLY_SENSED}
"""(family, parameter) of a sensor: the robot moves alike, and observes something
else."""
HELD = _joined("HELD")
"""Values of other parameters without which one cannot be felt:
(family, parameter) -> values."""
STARTS = _joined("STARTS")
"""Where to start for parameters to be felt soon: family -> joint position -> value."""
SEEN = _joined("SEEN")
"""Parameters that the robot senses in its first observation, standing still:
family -> names."""
