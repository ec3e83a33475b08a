"""Errors that a person can act on: what is wrong, where, and what to do."""

import difflib
import errno
import signal
from collections.abc import Iterable

STOPPING = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # not every system has all
]
"""Signals that ask a program to stop."""


class Interrupted(KeyboardInterrupt):
    """A signal stopped a command. The command line exits with 128 + its number.

    Args:
        text: what was stopped, and how to go on.
        number: of the signal.
    """

    def __init__(self, text: str = "", number: int = signal.SIGINT) -> None:
        super().__init__(text)
        self.number = number


class InputError(ValueError):
    """Something given by the user is wrong. The command line exits with 2."""


class RunError(RuntimeError):
    """A run failed although its input was right. The command line exits with 1."""


class WriteError(RunError):
    """A file of a run could not be written."""


class DivergedError(RunError):
    """A training arrived at parameters that are not finite."""


def reason(error: OSError) -> str:
    """What the system says about a file, and what to do where there is no room."""
    said = f"{error.strerror or error}.".replace("..", ".")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        said += " Make room there."
    return said


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name closest to ``name``, or ""."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """An error for a name that is not among the known ones, which it lists."""
    known = sorted(known)
    listed = ", ".join(known) if known else "none"
    return InputError(
        f"Unknown {kind} {name!r}.{did_you_mean(name, known)} Known: {listed}."
    )
