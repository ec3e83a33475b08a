"""`metarl info`: a family as a table."""

from tyro.conf import Positional


def info(family: Positional[str]) -> None:
    """Show a family's parameters, splits and timing.

    Args:
        family: registered name, module:Class or file.py:Class.
    """
    from metarl.environment.registry import make_family
    from metarl.reports.tables import describe

    describe(make_family(family))
