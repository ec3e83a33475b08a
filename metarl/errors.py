"""Errors that a person can act on: what is wrong, where, and what to do."""

import difflib
import errno
import signal
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")
"""Where Python keeps its own modules and those of packages."""

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


class ActionError(InputError):
    """An action that an environment cannot take."""


class RunError(RuntimeError):
    """A run failed although its input was right. The command line exits with 1."""


class WriteError(RunError):
    """A file of a run could not be written."""


class LockedError(RunError):
    """Another process trains the run."""


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


def described(error: BaseException) -> str:
    """An error in one line: what it is, what it says, and where a user's code is."""
    place = user_frame(error)
    return f"{type(error).__name__}: {error}" + (f" ({place})" if place else "")


def user_frame(error: BaseException) -> str:
    """Where in a user's own code an error was raised, or "" if nowhere.

    That is the innermost function of the traceback which belongs neither to metarl nor
    to an installed package: ``reward(), cart.py, line 31``.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}"
    home = Path(__file__).parent
    others = [*home.iterdir(), *map(Path, (sysconfig.get_path(n) for n in _LIBRARIES))]
    others = [home.resolve(), *(path.resolve() for path in others if path.is_dir())]
    trace, found = error.__traceback__, ""
    while trace is not None:
        code, file = trace.tb_frame.f_code, Path(trace.tb_frame.f_code.co_filename)
        if file.is_file() and not any(o in file.resolve().parents for o in others):
            found = f"{code.co_name}(), {file.name}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return found.removeprefix("<module>(), ")
