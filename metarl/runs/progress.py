"""Progress of a training or a video: a bar in a terminal, plain lines elsewhere.

with ProgressDisplay("adapting", "frames") as progress:
    progress.show(done, total, "rendering")
"""

import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from metarl.environment.registry import label
from metarl.runs.config import RunConfig

PLAIN_SECONDS = 10.0
"""Time between lines when the output is not a terminal."""


class ProgressDisplay:
    """Shows what is going on, how fast, and the time left. A context.

    Args:
        text: what is going on at first.
        unit: what is counted, in the plural.
        quiet: show nothing.
    """

    def __init__(self, text: str, unit: str, quiet: bool = False) -> None:
        self.unit, self.quiet = unit, quiet
        self.first: int | None = None
        self.bar: Bar | None = None
        if not quiet and sys.stdout.isatty():
            self.bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
                console=Console(),
            )
            self.line = self.bar.add_task(text, total=None)

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def begin(self, done: int) -> None:
        """Measure speed from now on, with so much done before."""
        self.first = done
        self.started = self.printed = time.monotonic()

    def show(self, done: int, total: int, text: str) -> None:
        """Show that so much is done; the first call begins, if `begin` did not.

        Args:
            done: units so far.
            total: units in all.
            text: what is going on.
        """
        if self.quiet:
            return
        if self.first is None:
            self.begin(done)
        assert self.first is not None
        now = time.monotonic()
        speed = (done - self.first) / max(now - self.started, 1e-9)
        text = f"{text}, {_thousands(speed)} {self.unit}/s"
        if self.bar is not None:
            self.bar.update(self.line, description=text, completed=done, total=total)
        elif now - self.printed > PLAIN_SECONDS or done >= total:
            left = max(total - done, 0) / max(speed, 1e-9)
            print(
                f"{text}, {done:,} of {total:,}, {left / 60:.1f} min left", flush=True
            )
            self.printed = now


class Progress(ProgressDisplay):
    """Shows the returns of a training run, too.

    Args:
        config: of the run.
        quiet: show nothing.
    """

    def __init__(self, config: RunConfig, quiet: bool) -> None:
        self.name = f"{label(config.agent)} on {label(config.family)}"
        self.total = config.steps
        super().__init__(self.name, "control steps", quiet)

    def start(self, control_steps: int) -> None:
        """Begin at a number of control steps (not 0 in a resumed run)."""
        self.begin(control_steps)

    def update(self, row: dict[str, Any]) -> None:
        """Show the metrics of an iteration."""
        self.show(row["control_steps"], self.total, f"{self.name}: {_returns(row)}")


def _returns(row: dict[str, Any]) -> str:
    if "return_before" in row:
        return (
            f"return {row['return_before']:.1f} before, "
            f"{row['return_after']:.1f} after adaptation"
        )
    return f"return {row.get('return', float('nan')):.1f}"


def _thousands(value: float) -> str:
    return f"{value / 1000:.0f}k" if value >= 10_000 else f"{value:.0f}"
