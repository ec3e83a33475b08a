"""Small meta-trained agents that come with metarl, for the first minute.

metarl list checkpoints
metarl video point-goal-maml --after 0,1,20

A shipped run is a run folder like any other. It is copied to ``runs/shipped/`` when it
is first asked for, so that films and reports lie where the user works.
"""

import shutil
from pathlib import Path

from metarl.errors import InputError
from metarl.runs import checkpoint
from metarl.runs.folder import Run

HOME = Path(__file__).parent / "shipped"
LARGEST = 300_000
"""Bytes of the weights of a shipped run."""


def names() -> dict[str, str]:
    """Names of the shipped runs, and what each is."""
    found = {}
    for path in sorted(HOME.glob("*/config.json")):
        config = Run(path.parent).config
        found[path.parent.name] = (
            f"{config.agent} on {config.family}, {config.steps:,} control steps"
        )
    return found


def fetch(run: Path | str, out: Path | str = "runs/shipped") -> Path:
    """The folder of a run: as it is, or a copy of the shipped run of that name.

    Args:
        run: a folder, or the name of a shipped run.
        out: where copies go.
    """
    path = Path(run)
    name = str(run)
    if path.exists() or not (HOME / name / "config.json").is_file():
        return path  # if it is no run, whoever reads it says so
    copy = Path(out) / name
    if not copy.exists():
        temporary = copy.with_name(f".{name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            shutil.copytree(HOME / name, temporary)
            temporary.rename(copy)
        except OSError as error:
            raise InputError(f"Cannot copy {name} to {copy}: {error}.") from error
    return copy


def ship(run: Run, name: str) -> Path:
    """Make a run part of the package: what it is, what it learnt and how it did.

    Raises:
        InputError: if its weights are too large to ship.
    """
    step, newest = checkpoint.checkpoints(run.checkpoints)[-1]
    size = (newest / "weights.safetensors").stat().st_size
    if size > LARGEST:
        raise InputError(f"{newest} has {size:,} bytes of weights; {LARGEST:,} ship.")
    home = HOME / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for file in (
        *("config.json", "system.json", "robot.json"),
        *("metrics.jsonl", "evaluation.json"),
    ):
        if (run.path / file).exists():
            shutil.copyfile(run.path / file, home / file)
    shutil.copytree(newest, home / "checkpoints" / f"step_{step}")
    return home
