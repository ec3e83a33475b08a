"""Where the code of a run is now: files move, and change."""

import warnings
from pathlib import Path

from metarl.environment.registry import Kind, names, source
from metarl.errors import InputError
from metarl.runs.files import sha256


def fingerprint(kind: Kind, reference: str) -> str:
    """The SHA-256 of the file behind a reference; "" for one that is registered."""
    file = None if reference in names(kind) else source(reference)
    return "" if file is None else sha256(file)


def locate(run: Path, kind: Kind, reference: str, recorded: str) -> str:
    """What refers to a run's code now.

    A file that is gone is looked for by its name in the run's folder, the one around
    it, the one that holds all runs, and the current one; and taken if its bytes are
    those that the run was trained with.

    Args:
        run: the run's folder.
        kind: "families" or "agents".
        reference: as the run names it.
        recorded: SHA-256 of the file when the run was trained; "" if unknown.

    Raises:
        InputError: if the file is gone; says where it was looked for.
    """
    place, _, name = reference.rpartition(":")
    file = Path(place)
    if not place.endswith(".py") or file.is_file():
        warn_if_changed(run, kind, reference, recorded)
        return reference
    folder = run.resolve()
    around = [folder, folder.parent, *folder.parents[3:4], Path.cwd()]
    looked = list(dict.fromkeys(around))
    same_name = [p / file.name for p in looked if (p / file.name).is_file()]
    for found in same_name:
        if recorded and sha256(found) == recorded:
            return f"{found}:{name}"
    bytes_ = "bytes, or they were not recorded" if same_name else ""
    raise InputError(
        f"{run} was trained with {file}, which is gone or moved. Looked for "
        f"{file.name} in {', '.join(map(str, looked))}. "
        + (f"{same_name[0]} has other {bytes_}. " if same_name else "")
        + "Put it into one of these folders as it was"
        + (f", or add --family FILE.py:{name}." if kind == "families" else ".")
    )


def warn_if_changed(run: Path, kind: Kind, reference: str, recorded: str) -> None:
    """Warn where the file behind a reference is not what a run was trained with."""
    found = fingerprint(kind, reference) if recorded else ""
    if found != recorded:
        warnings.warn(
            f"{source(reference) or reference} has changed since {run} was trained "
            "with it: results may differ.",
            RuntimeWarning,
            stacklevel=4,
        )
