"""Videos of a run: its agent on one task, before and after adaptation."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metarl.errors import InputError, RunError
from metarl.render.gl import require_gl
from metarl.render.growing import film_growing
from metarl.render.recording import Recording, budgets, record, record_growing
from metarl.render.video import film, strip
from metarl.render.video import gif as write_gif
from metarl.runs.folder import Run, as_run, video_name
from metarl.tasks.defaults import own_process


@own_process()
def video(
    run: Run | Path | str,
    *,
    family: str = "",
    trust: bool = False,
    split: str = "far",
    index: int = 0,
    after: Sequence[int] | None = None,
    seed: int = 0,
    grid: int = 0,
    growing: bool = False,
    gif: bool = False,
    camera: str | None = None,
    size: tuple[int, int] | None = None,
    fps: int = 25,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Film a run's agent on one task, before and after adaptation side by side.

    Args:
        run: a run or its folder.
        family: what its family is now, if that moved.
        trust: run code that the run names without asking: see `metarl.load`.
        split: the split of the task.
        index: which task of the split.
        after: episodes of adaptation before each panel; default: none, and one round
            of the agent.
        seed: freezes the split and the noise.
        grid: film so many tasks of the split instead, from ``index`` on, after the
            largest number of episodes.
        growing: film the adaptation itself instead, up to the largest number of
            episodes, beside its growing curve; default: two rounds, at least 10.
        gif: also write a GIF, beside the film.
        camera: a camera of the model; default: the family's.
        size: width and height of each panel in pixels; default: 480 x 360, smaller
            for more than six panels.
        fps: frames per second.
        progress: called with (frames drawn, frames in all).

    Returns:
        The mp4 file. Beside it lies a PNG with five moments of each panel.

    Raises:
        InputError: for an unknown split or camera, a size out of range, a run without
            a whole checkpoint, or code that is gone or not trusted.
        RunError: if this machine cannot draw.
    """
    run = as_run(run, family, trust)
    made, agent, _ = run.load()
    if index < 0:
        raise InputError(f"Task {index} must be 0 or more.")
    if grid < 0 or (grid and growing):
        raise InputError(f"grid={grid} must be 1 or more, and goes without growing.")
    tasks = made.tasks(split, max(grid, 1), seed, start=index)
    missing = run.path / "videos" / "MISSING.txt"
    try:
        require_gl()
    except RunError as error:
        missing.parent.mkdir(exist_ok=True)
        missing.write_text(f"{error}\n")
        raise
    missing.unlink(missing_ok=True)
    about, draw = f"task {index}: {tasks[0]}", film
    name = video_name(split, index, seed)
    recording = Recording(agent, made, tasks, seed)
    if grid:
        (*_, episodes) = budgets(after, [recording.episodes_per_update])
        recording.adapt(episodes)
        takes = recording.record_policy([str(task) for task in tasks])
        about, name = f"tasks after {episodes} episodes of adaptation", f"{name}-grid"
    elif growing:
        (*_, episodes) = budgets(after, [max(2 * recording.episodes_per_update, 10)])
        takes, numbers, curve = record_growing(recording, episodes)
        draw = functools.partial(film_growing, numbers=numbers, curve=curve)
        name += "-growing"
    else:
        takes = record(recording, after)
    look: dict[str, Any] = {
        "heading": f"{run.config.agent} on {made.name}, {split} {about}",
        "control_period": made.control_period,
        "camera": made.camera if camera is None else camera,
    }
    if size is None:
        size = (320, 240) if len(takes) > 6 and not growing else (480, 360)
    path = run.path / "videos" / f"{name}.mp4"
    strip(path.with_suffix(".png"), takes, **look)
    draw(path, takes, **look, size=size, fps=fps, progress=progress)
    if gif:
        write_gif(path)
    return path
