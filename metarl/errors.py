"""Errors that a person can act on: what is wrong, where, and what to do."""

import difflib
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")
"""Where Python keeps its own modules and those of packages."""


class InputError(ValueError):
    """Something given by the user is wrong. The command line exits with 2."""


class ActionError(InputError):
    """An action that an environment cannot take."""


class RunError(RuntimeError):
    """A run failed although its input was right. The command line exits with 1."""


class DivergedError(RunError):
    """A training arrived at parameters that are not finite."""


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
