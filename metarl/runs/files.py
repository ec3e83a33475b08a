"""Writing a file whole or not at all."""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metarl.errors import InputError, WriteError, reason


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


def read_json(path: Path | str) -> Any:
    """Read JSON.

    Raises:
        InputError: naming the file, if it is missing, truncated or not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"No file {path}.") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not complete JSON: {error}.") from error


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    with open(path, "rb") as file:
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
