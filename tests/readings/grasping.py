"""How each parameter of the grasping families is read back and felt."""

READ_BACK: dict[str, dict] = {}
ONLY_SENSED: set[tuple[str, str]] = set()
HELD: dict[tuple[str, str], dict] = {}
STARTS: dict[str, dict[int, float]] = {}
SEEN: dict[str, set[str]] = {}
