"""Checkpoints: safetensors and JSON, written whole or not at all, without pickle.

checkpoints/step_160000/weights.safetensors     every tensor, by name
checkpoints/step_160000/state.json              everything else, and checksums of both
"""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from metarl.errors import InputError, WriteError, reason
from metarl.runs.files import need_regular, read_json, sha256, write_json
from metarl.runs.files import plain as json_values

FORMAT = "metarl-checkpoint/1"
KEEP = 2
"""The newest so many checkpoints of a run are kept."""


def save(folder: Path, step: int, tensors: dict[str, Tensor], plain: Any) -> Path:
    """Write checkpoint ``folder/step_<step>`` and drop all but the newest.

    Raises:
        WriteError: if it cannot be written.
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
        weights = sha256(temporary / "weights.safetensors")
        state = {"format": FORMAT, **plain}
        checksums = {"weights": weights, "state": _sha256_of(state)}
        write_json(temporary / "state.json", {**state, "sha256": checksums})
        os.replace(temporary, final)
    except OSError as error:
        raise WriteError(f"Cannot write checkpoint {final}: {reason(error)}") from error
    except SafetensorError as error:
        raise WriteError(f"Cannot write checkpoint {final}: {error}.") from error
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


@dataclasses.dataclass(frozen=True)
class Counts:
    """How far a sampler has come: see `Sampler.state`."""

    iteration: int
    drawn: int
    control_steps: int
    diverged: int
    warnings: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class State:
    """What the state.json of a run holds beside its checksums."""

    format: str
    agent_name: str
    agent: dict[str, Any]
    """What the agent keeps beside its tensors."""
    sampler: Counts


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
        tensors = load_file(need_regular(path / "weights.safetensors"))
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"Checkpoint {path / 'weights.safetensors'} is missing or damaged: {error}."
            " Delete its folder to fall back on the one before it."
        ) from error
    plain.pop("sha256", None)
    return tensors, plain


def verify(path: Path) -> None:
    """Compare a checkpoint with its checksums, if it has any: earlier ones have none.

    Raises:
        InputError: if weights or state are other than those that were written.
    """
    state = read_json(path / "state.json")
    kept = state.pop("sha256", None)
    if kept is None:
        return
    weights = sha256(path / "weights.safetensors")
    found = {"weights": weights, "state": _sha256_of(state)}
    if kept != found:
        changed = [
            n for n in found if not isinstance(kept, dict) or kept.get(n) != found[n]
        ]
        raise InputError(
            f"Checkpoint {path} is damaged: its {' and '.join(changed) or 'checksums'} "
            "changed since it was written (another SHA-256). Delete its folder to fall "
            "back on the one before it."
        )


def weights_sha256(folder: Path) -> str:
    """The SHA-256 of the newest checkpoint's weights; "" where there is none."""
    found = checkpoints(folder)
    weights = found[-1][1] / "weights.safetensors" if found else folder / "none"
    return sha256(weights) if weights.is_file() else ""


def _sha256_of(state: dict[str, Any]) -> str:
    text = json.dumps(json_values(state), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
