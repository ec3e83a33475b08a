"""How each parameter of the navigation families is read back and felt."""

from readings.common import goal_site


READ_BACK = {
    "point-goal": {"goal": goal_site},
}
ONLY_SENSED: set[tuple[str, str]] = set()
HELD: dict[tuple[str, str], dict] = {}
STARTS: dict[str, dict[int, float]] = {}
SEEN: dict[str, set[str]] = {}
