"""Whose code runs: a run may name Python files, and its folder may be another's.

$XDG_CONFIG_HOME/metarl/trusted.jsonl     files of code that this user trained with

What is registered, or given by the user in person, is trusted. So is a file that was
trained with here, and the code of a run that was trained here; and a copy of that file
elsewhere, if no other code lies beside it. For the rest, a terminal is asked; without
one, ``--trust`` is needed.
"""

import json
import os
import sys
import warnings
from pathlib import Path

from metarl.environment.registry import Kind, is_loaded, names, source
from metarl.errors import InputError, reason
from metarl.runs.files import append, sha256


def require(run: Path, kind: Kind, reference: str, trust: bool = False) -> None:
    """Refuse code that a run names, unless it is trusted.

    Args:
        run: the run's folder.
        kind: "families" or "agents".
        reference: registered name, ``module:Class`` or ``file.py:Class``.
        trust: whether the user said so.

    Raises:
        InputError: naming the reference, if it is not trusted.
    """
    if trust or reference in names(kind) or is_loaded(reference):
        return
    file = source(reference)
    if file is not None and _is_recorded(file, reference, run):
        return
    what = f"{run} names {reference}, Python code that you have not trained with here."
    if _agreed(f"{what} Run it, with all your rights?"):
        if file is not None:
            record(file)
        return
    raise InputError(
        f"{what} It would run with all your rights. Read {file or 'it'}, and if you "
        "trust it, add --trust (in Python: trust=True)."
    )


def record(file: Path, run: Path | None = None) -> None:
    """Trust a file of code from now on.

    Args:
        file: the file.
        run: a run that was trained with it here, which may go on with it although it
            changes.
    """
    entry = {"path": str(file), "sha256": sha256(file)}
    if run is not None:
        entry["run"] = str(run.resolve())
    try:
        append(_record(), (json.dumps(entry) + "\n").encode())
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"Commands on this run will need --trust: {error}",
            RuntimeWarning,
            stacklevel=2,
        )


def _is_recorded(file: Path, reference: str, run: Path) -> bool:
    """Whether these bytes were trained with, or this run with this file."""
    try:
        lines = _record().read_text(errors="replace").splitlines()
        digest = sha256(file)
    except FileNotFoundError:
        return False
    except (OSError, RuntimeError) as error:
        said = reason(error) if isinstance(error, OSError) else str(error)
        warnings.warn(f"No record of trusted files: {said}", stacklevel=2)
        return False
    for line in lines:
        try:
            entry = json.loads(line)
            path, known = entry["path"], entry["sha256"]
            trained = entry.get("run")
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # a line that a crash cut
        here = path == str(file)
        if here and trained == str(run.resolve()):
            return True
        if known == digest and (here or _stands_alone(file, reference)):
            return True
    return False


def _stands_alone(file: Path, reference: str) -> bool:
    """Whether a file, wherever it lies, runs no code but its own and installed one.

    A module runs its package, too, and a file may import what lies beside it.
    """
    if not reference.rpartition(":")[0].endswith(".py"):
        return False
    beside = [path for path in file.parent.iterdir() if path != file]
    return not any(
        path.suffix in (".py", ".pyc", ".so", ".pyd") or any(path.glob("*.py"))
        for path in beside
    )


def _record() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME", "")
    # A relative one would be another in each folder.
    folder = Path(home) if Path(home).is_absolute() else Path.home() / ".config"
    return folder / "metarl" / "trusted.jsonl"


def _agreed(question: str) -> bool:
    """Whether a person at a terminal says yes."""
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
