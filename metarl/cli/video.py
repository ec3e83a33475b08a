"""`metarl video`: what a run does before and after adaptation."""

import re
from pathlib import Path

from tyro.conf import Positional

from metarl.errors import InputError


def video(
    run: Positional[Path],
    split: str = "far",
    task: int = 0,
    after: str = "",
    grid: int = 0,
    growing: bool = False,
    gif: bool = False,
    camera: str | None = None,
    size: str = "",
    fps: int = 25,
    seed: int = 0,
    family: str = "",
    trust: bool = False,
) -> None:
    """Record a run before and after adaptation, side by side.

    Args:
        run: the run's folder.
        split: the split of the task.
        task: which task of the split.
        after: episodes of adaptation before each panel, separated by commas; default:
            0 and one update of the agent.
        grid: show so many tasks after the largest number of episodes instead.
        growing: show the adaptation itself instead, beside its growing curve.
        gif: also write a GIF.
        camera: a camera of the model; default: the family's.
        size: width and height of each panel in pixels, such as 640x480.
        fps: frames per second.
        seed: freezes the split and the noise.
        family: what the run's family is now, if that moved.
        trust: run code that the run names without asking.
    """
    import metarl
    from metarl.runs.pretrained import fetch
    from metarl.runs.progress import ProgressDisplay

    budgets, panel = _numbers(after), _size(size)
    with ProgressDisplay("adapting", "frames") as progress:
        path = metarl.video(
            fetch(run),
            split=split,
            index=task,
            after=budgets,
            grid=grid,
            growing=growing,
            gif=gif,
            camera=camera,
            size=panel,
            fps=fps,
            seed=seed,
            family=family,
            trust=trust,
            progress=lambda done, total: progress.show(done, total, "rendering"),
        )
    print(f"Written: {path}")
    if gif:
        print(f"Written: {path.with_suffix('.gif')}")


def _numbers(after: str) -> list[int] | None:
    words = after.replace(",", " ").split()
    if not all(word.isdecimal() for word in words):
        raise InputError(f"--after takes numbers like 0,1,5, got {after!r}.")
    return [int(word) for word in words] or None


def _size(size: str) -> tuple[int, int] | None:
    if not size:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", size)
    if not found:
        raise InputError(f"--size takes pixels like 640x480, got {size!r}.")
    return int(found[1]), int(found[2])
