"""Checkpoints: safetensors and JSON, written whole or not at all, without pickle.

checkpoints/step_160000/weights.safetensors     every tensor, by name
checkpoints/step_160000/state.json              everything else
"""

import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from metarl.errors import InputError, RunError
from metarl.runs.files import read_json, write_json

FORMAT = "metarl-checkpoint/1"
KEEP = 2
"""The newest so many checkpoints of a run are kept."""


def save(folder: Path, step: int, tensors: dict[str, Tensor], plain: Any) -> Path:
    """Write checkpoint ``folder/step_<step>`` and drop all but the newest.

    Raises:
        RunError: if it cannot be written.
    """
    final = folder / f"step_{step}"
    if final.exists():
        return final  # a finished run that is resumed ends where it was
    temporary = folder / f".step_{step}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".step_*.tmp"):
            shutil.rmtree(leftover)  # of a run that was killed while writing
        temporary.mkdir()
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        # Written here, for safetensors would let nobody else read the file.
        (temporary / "weights.safetensors").write_bytes(serialise(whole))
        write_json(temporary / "state.json", {"format": FORMAT, **plain})
        os.replace(temporary, final)
    except (OSError, SafetensorError) as error:
        raise RunError(f"Cannot write checkpoint {final}: {error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for _, old in checkpoints(folder)[:-KEEP]:
        shutil.rmtree(old)
    return final


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Steps and paths of all checkpoints in a folder, oldest first."""
    found = []
    for path in folder.glob("step_*"):
        number = path.name.removeprefix("step_")
        if number.isdigit():
            found.append((int(number), path))
    return sorted(found)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and plain values of one checkpoint.

    Raises:
        InputError: if it is missing, truncated, or not a checkpoint of metarl.
    """
    if not path.is_dir():
        raise InputError(f"No checkpoint {path}.")
    plain = read_json(path / "state.json")
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise InputError(f"{path} is not a checkpoint of this version of metarl.")
    try:
        tensors = load_file(path / "weights.safetensors")
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"Checkpoint {path / 'weights.safetensors'} is missing or damaged: {error}."
            " Delete its folder to fall back on the one before it."
        ) from error
    return tensors, plain
