"""Signals that ask a training to stop: answered where nothing is half done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self

from metarl.errors import STOPPING, Interrupted


class Stop:
    """A context in which a training learns of Ctrl-C, SIGTERM and SIGHUP.

    The first signal waits until the training looks at `number`, at the end of an
    iteration. A second one cuts an iteration short; while a file is written it waits,
    too. SIGHUP stays ignored where it was, as under ``nohup``.

    Args:
        run: the folder that messages name.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.number = 0
        """Of the first signal that asked to stop; 0 for none."""
        self._iterating = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # or none arrive
            for number in STOPPING:
                before = signal.getsignal(number)
                if before is not signal.SIG_IGN or number == signal.SIGINT:
                    signal.signal(number, self._note)
                    self._before[number] = before
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_DFL if before is None else before)

    @contextmanager
    def iteration(self) -> Iterator[None]:
        """What a second signal cuts short."""
        self._iterating = True
        try:
            yield
        finally:
            self._iterating = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number and self._iterating:
            self._iterating = False  # a third one waits
            raise Interrupted(
                f"Stopped at once. Go on with: metarl resume {self.run}", number
            )
        self.number = self.number or number
