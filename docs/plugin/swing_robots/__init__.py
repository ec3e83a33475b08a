"""What this package offers to metarl. Nothing is imported before it is asked for."""


def plugin():
    """Names, and where each is found."""
    return {"families": {"pendulum-swing": "swing_robots.pendulum:Pendulum"}}
