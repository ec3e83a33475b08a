"""What a crash left in run folders: half-written files and checkpoints, locks."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
"""Names of files that are being written, with the process that writes them."""
_WHOLE = {"weights.safetensors", "state.json"}


def leftovers(folder: Path | str) -> Iterator[Path]:
    """Files and folders that no process needs any more, anywhere below a folder.

    Runs that a process trains now are left out, and so is what a process of this
    machine may still be writing.
    """
    for place, folders, files in os.walk(folder):
        here = Path(place)
        if "lock" in files and "config.json" in files:
            if _held(here / "lock"):
                folders.clear()
                continue
            yield here / "lock"
        for name in [*folders, *files]:
            found = _TEMPORARY.fullmatch(name)
            if found and not _lives(int(found[1])):
                yield here / name
        if here.name == "checkpoints" and (here.parent / "config.json").is_file():
            for name in folders:
                whole = {path.name for path in (here / name).iterdir()} >= _WHOLE
                if re.fullmatch(r"step_\d+", name) and not whole:
                    yield here / name


def remove(path: Path) -> None:
    """Remove a file or a folder; a link, and not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _held(lock: Path) -> bool:
    """Whether a process holds a lock, or nobody can say."""
    try:
        FileLock(lock).acquire(timeout=0).lock.release()
    except (Timeout, OSError):
        return True
    return False


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is another user's
    return True
