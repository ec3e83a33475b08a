"""Short ways to write the ranges of parameters."""

from typing import Any

from metarl.parameters import Parameter


def both(nominal: Any, bounds: tuple[float, ...], **more: Any) -> Parameter:
    """A parameter with shells on both sides: far, near, train, near, far.

    Args:
        nominal: value of the robot as its data sheet describes it.
        bounds: the six bounds of these five ranges, in ascending order.
        more: of `Parameter`.
    """
    a, b, c, d, e, f = bounds
    near, far = ((b, c), (d, e)), ((a, b), (e, f))
    return Parameter(nominal, train=(c, d), near=near, far=far, **more)


def above(nominal: Any, bounds: tuple[float, ...], **more: Any) -> Parameter:
    """A parameter with shells on its upper side: train, near, far.

    Args:
        nominal: value of the robot as its data sheet describes it.
        bounds: the four bounds of these three ranges, in ascending order.
        more: of `Parameter`.
    """
    a, b, c, d = bounds
    return Parameter(nominal, train=(a, b), near=(b, c), far=(c, d), **more)
