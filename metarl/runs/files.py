"""Writing a file whole or not at all."""

import dataclasses
import errno
import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from metarl.errors import InputError, WriteError, reason
from metarl.tasks.parsing import parse_json

Made = TypeVar("Made")
LARGEST_TEXT = 2**28
"""Bytes that a text file of metarl may have."""


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path next to ``path`` that takes its place on success.

    A reader never sees half a file, and an exception leaves nothing behind. Missing
    folders are made.

    Raises:
        OSError: naming ``path``, if it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:  # of a full disk names no file, others the temporary one
        said = error.strerror or str(error)
        raise OSError(error.errno, said, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def append(path: Path, data: bytes) -> None:
    """Append to a file. Its folder is made where it is missing.

    Raises:
        WriteError: naming the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            file.write(data)
    except OSError as error:
        raise WriteError(f"Cannot write {path}: {reason(error)}") from error


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON for people and programs; NaN and infinities become null."""
    with replacing(path) as temporary:
        text = json.dumps(plain(value), indent=1, allow_nan=False)
        temporary.write_text(text + "\n")


def read_json(path: Path | str, root: Path | None = None) -> Any:
    """Read JSON: see `read_text` and `parse_json`.

    Raises:
        InputError: naming the file and what is wrong with it.
    """
    return parse_json(read_text(path, root), path)


def read_text(path: Path | str, root: Path | None = None) -> str:
    """Read a text file.

    Args:
        path: the file.
        root: a folder that links may not lead out of: what a run shows is its own.

    Raises:
        InputError: naming the file, if it is missing, no regular file (a pipe or a
            device might never end), too large, outside of ``root``, or not UTF-8.
    """
    path = Path(path)
    try:
        if root is not None and not path.resolve().is_relative_to(root.resolve()):
            raise InputError(f"{path} is a link out of {root}. Copy the file there.")
        # A pipe that nobody writes to would be waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise InputError(f"{path} is no regular file.")
            if about.st_size > LARGEST_TEXT:
                raise InputError(
                    f"{path} has {about.st_size:,} bytes, more than {LARGEST_TEXT:,}: "
                    "metarl did not write it."
                )
            return file.read().decode()
    except FileNotFoundError as error:
        raise InputError(f"No file {path}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not complete JSON: {error}.") from error
    except (OSError, RuntimeError) as error:  # links in a circle are either
        said = reason(error) if isinstance(error, OSError) else "links go in a circle."
        raise InputError(f"Cannot read {path}: {said}") from error


def typed(plain: Any, kind: type[Made], place: Path | str) -> Made:
    """What a JSON object says, as a dataclass whose fields have their types.

    Args:
        plain: the object.
        kind: a dataclass.
        place: what to call it in errors.

    Raises:
        InputError: naming the field, for one that is missing, unknown, or of another
            type.
    """
    if not isinstance(plain, dict):
        raise InputError(f"{place} is not of metarl: a JSON object is expected.")
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if strange := sorted(set(plain) - known):
        raise InputError(f"{place}: {strange[0]!r:.60} is not known.")
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        said = str(error).replace("`", "").replace(" - at $.", ", at ")
        raise InputError(f"{place}: {said[0].lower()}{said[1:]}.") from error


def need_regular(path: Path) -> Path:
    """The path, if a regular file is there.

    Raises:
        OSError: if there is none.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "No regular file", str(path))
    return path


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    with open(need_regular(Path(path)), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain(value: Any) -> Any:
    """The value as JSON can hold it: NaN and infinities as null, tuples as lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value
