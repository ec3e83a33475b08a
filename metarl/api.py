"""The public functions on runs: load, evaluate, film and report."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metarl.errors import InputError, RunError
from metarl.evaluation import protocol
from metarl.family import TaskFamily
from metarl.files import read_json
from metarl.learning.agent import Agent
from metarl.pictures.gl import require_gl
from metarl.pictures.growing import film_growing
from metarl.pictures.record import Recording, budgets, record, record_growing
from metarl.pictures.report import write_report
from metarl.pictures.results import film_name
from metarl.pictures.video import film, strip
from metarl.pictures.video import gif as write_gif
from metarl.registry import make_family
from metarl.runs.folder import Run
from metarl.tasks import Task
from metarl.world.environment import Environment
from metarl.world.faces import GymnasiumVectorEnv


def _run(run: Run | Path | str) -> Run:
    return run if isinstance(run, Run) else Run(run)


def load(run: Run | Path | str) -> tuple[TaskFamily, Agent]:
    """The family of a run, and its agent as trained so far.

    Raises:
        InputError: if it is no run, or has no whole checkpoint.
    """
    family, agent, _ = _run(run).load()
    return family, agent


def make_vec(
    family: TaskFamily | str,
    tasks: Sequence[Task],
    copies: int = 1,
    *,
    seed: int = 0,
    visible: bool = False,
) -> GymnasiumVectorEnv:
    """Many tasks as a `gymnasium.vector.VectorEnv`.

    Args:
        family: a family or its name.
        tasks: its tasks.
        copies: simulations of each task.
        seed: of initial states and noise.
        visible: append the task to the observation.

    Raises:
        InputError: if a task does not belong to the family.
    """
    if isinstance(family, str):
        family = make_family(family)
    return GymnasiumVectorEnv(
        Environment(family, tasks, copies, seed=seed, visible=visible)
    )


def evaluate(run: Run | Path | str, **options: Any) -> dict[str, Any]:
    """Judge a run by the protocol and write its evaluation.json.

    Args:
        run: a run or its folder.
        options: ``splits``, ``tasks``, ``budgets``, ``query_episodes``, ``seed``: see
            `metarl.evaluation.protocol.evaluate`.

    Raises:
        InputError: for an unknown split, or a run without a whole checkpoint.
    """
    return protocol.evaluate_run(_run(run), **options)


def video(
    run: Run | Path | str,
    *,
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
        progress: told (frames drawn, frames in all).

    Returns:
        The mp4 file. Beside it lies a PNG with five moments of each panel.

    Raises:
        InputError: for an unknown split or camera, a size out of range, or a run
            without a whole checkpoint.
        RunError: if this machine cannot draw.
    """
    run = _run(run)
    family, agent, _ = run.load()
    if index < 0:
        raise InputError(f"Task {index} must be 0 or more.")
    if grid < 0 or (grid and growing):
        raise InputError(f"grid={grid} must be 1 or more, and goes without growing.")
    tasks = family.tasks(split, max(grid, 1), seed, start=index)
    missing = run.path / "videos" / "MISSING.txt"
    try:
        require_gl()
    except RunError as error:
        missing.parent.mkdir(exist_ok=True)
        missing.write_text(f"{error}\n")
        raise
    missing.unlink(missing_ok=True)
    about, draw = f"task {index}: {tasks[0]}", film
    name = film_name(split, index, seed)
    recording = Recording(agent, family, tasks, seed)
    if grid:
        (*_, episodes) = budgets(after, [recording.round])
        recording.adapt(episodes)
        takes = recording.deployed([str(task) for task in tasks])
        about, name = f"tasks after {episodes} episodes of adaptation", f"{name}-grid"
    elif growing:
        (*_, episodes) = budgets(after, [max(2 * recording.round, 10)])
        takes, numbers, curve = record_growing(recording, episodes)
        draw = functools.partial(film_growing, numbers=numbers, curve=curve)
        name += "-growing"
    else:
        takes = record(recording, after)
    look: dict[str, Any] = {
        "heading": f"{run.config.agent} on {family.name}, {split} {about}",
        "control_period": family.control_period,
        "camera": family.camera if camera is None else camera,
    }
    if size is None:
        size = (320, 240) if len(takes) > 6 and not growing else (480, 360)
    path = run.path / "videos" / f"{name}.mp4"
    strip(path.with_suffix(".png"), takes, **look)
    draw(path, takes, **look, size=size, fps=fps, progress=progress)
    if gif:
        write_gif(path)
    return path


def median_task(run: Run | Path | str, split: str) -> int:
    """The evaluated task of a split whose gain by adaptation is the median one."""
    evaluation = read_json(_run(run).path / "evaluation.json")
    points = evaluation["splits"][split]["points"]
    before, after = points[0]["return"], points[-1]["return"]
    gains = [b - a for a, b in zip(before, after, strict=True)]
    return sorted(range(len(gains)), key=gains.__getitem__)[len(gains) // 2]


def report(runs: Sequence[Run | Path | str], out: Path | str | None = None) -> Path:
    """One self-contained HTML page about one or more runs.

    Args:
        runs: runs or their folders.
        out: the file; default: report.html in the first run's folder.

    Raises:
        InputError: if one is no run, or the file cannot be written.
    """
    paths = [_run(run).path for run in runs]
    if not paths:
        raise InputError("A report needs at least one run.")
    path = Path(out) if out else paths[0] / "report.html"
    try:
        return write_report(paths, path)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}.") from error
