"""Short ways to write parameters whose held-out shells lie around the train range."""

from typing import Any

from metarl.tasks.parameter import Interval, Parameter


def both(
    nominal: Any, *, train: Interval, near: Interval, far: Interval, **more: Any
) -> Parameter:
    """A parameter with shells on both sides of its train range.

    Args:
        nominal: value of the robot as its data sheet describes it.
        train: train range.
        near: outer bounds of the near shell, which reaches to the train range.
        far: outer bounds of the far shell, which reaches to the near one.
        more: of `Parameter`.
    """
    (a, f), (b, e), (c, d) = far, near, train
    return Parameter(
        nominal, train=train, near=((b, c), (d, e)), far=((a, b), (e, f)), **more
    )


def above(
    nominal: Any, *, train: Interval, near: float, far: float, **more: Any
) -> Parameter:
    """A parameter with shells above its train range.

    Args:
        nominal: value of the robot as its data sheet describes it.
        train: train range.
        near: upper bound of the near shell, which begins at the train range.
        far: upper bound of the far shell, which begins at the near one.
        more: of `Parameter`.
    """
    _, high = train
    return Parameter(nominal, train=train, near=(high, near), far=(near, far), **more)
