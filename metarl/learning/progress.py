"""The progress line of a training run: rich in a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from metarl.registry import label
from metarl.runs.folder import RunConfig

PLAIN_SECONDS = 10.0
"""Time between lines when the output is not a terminal."""


class Progress:
    """Shows returns, speed and the time left.

    Args:
        config: of the run.
        quiet: show nothing.
    """

    def __init__(self, config: RunConfig, quiet: bool) -> None:
        self.total = config.steps
        agent, family = label(config.agent), label(config.family)
        self.label = f"{agent} on {family}"
        self.quiet = quiet
        self.started = self.printed = time.monotonic()
        self.first_steps = 0
        self.bar: Bar | None = None
        if not quiet and sys.stdout.isatty():
            self.bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
                console=Console(),
            )

    def __enter__(self) -> "Progress":
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

    def start(self, control_steps: int) -> None:
        """Begin at a number of control steps (not 0 in a resumed run)."""
        self.first_steps = control_steps
        if self.bar is not None:
            self.line = self.bar.add_task(
                self.label, total=self.total, completed=control_steps
            )

    def update(self, row: dict[str, Any]) -> None:
        """Show the metrics of an iteration."""
        if self.quiet:
            return
        steps = row["control_steps"]
        now = time.monotonic()
        speed = (steps - self.first_steps) / max(now - self.started, 1e-9)
        text = f"{self.label}: {_returns(row)}, {speed / 1000:.0f}k steps/s"
        if self.bar is not None:
            self.bar.update(self.line, description=text, completed=steps)
        elif now - self.printed > PLAIN_SECONDS or steps >= self.total:
            left = max(self.total - steps, 0) / max(speed, 1e-9)
            print(
                f"{text}, {steps:,} of {self.total:,} control steps, "
                f"{left / 60:.1f} min left",
                flush=True,
            )
            self.printed = now


def _returns(row: dict[str, Any]) -> str:
    if "return_before" in row:
        return (
            f"return {row['return_before']:.1f} before, "
            f"{row['return_after']:.1f} after adaptation"
        )
    return f"return {row.get('return', float('nan')):.1f}"
