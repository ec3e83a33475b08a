"""How each parameter of the navigation families is read back and felt."""

from readings.common import told


def goal_site(family, task):
    assert told("goal")(family, task) == task["goal"]
    return tuple(family.model(task).site("goal").pos[:2])


READ_BACK = {
    "point-goal": {"goal": goal_site},
}
ONLY_SENSED: set[tuple[str, str]] = set()
HELD: dict[tuple[str, str], dict] = {}
SEEN: dict[str, set[str]] = {}
