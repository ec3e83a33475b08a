"""The progress of a film: a bar with the time left, or lines without a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_SECONDS = 5.0
"""Time between lines when the output is not a terminal."""


@contextmanager
def film_progress() -> Iterator[Callable[[int, int], None]]:
    """Yield a function to be called with (frames drawn, frames in all).

    Until the first call, the agent is said to adapt.
    """
    if sys.stdout.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(), transient=True) as bar:
            line = bar.add_task("adapting", total=None)

            def show(done: int, total: int) -> None:
                bar.update(line, description="filming", completed=done, total=total)

            yield show
        return
    began = printed = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal began, printed
        now = time.monotonic()
        began = began or now
        printed = printed or now
        if now - printed > PLAIN_SECONDS:
            left = (now - began) * (total - done) / done
            print(f"filming: {done} of {total} frames, {left:.0f} s left", flush=True)
            printed = now

    yield tell
