"""The training loop: one readable screen, resumable to the same bits.

run = train("cheetah-direction", "maml", steps=8_000_000)
resume(run.path)          # goes on where it stopped, or does nothing
"""

import dataclasses
import json
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from metarl.environment.registry import absolute
from metarl.errors import DivergedError, InputError
from metarl.learning.agent import Agent
from metarl.learning.sampler import Sampler
from metarl.runs import checkpoint
from metarl.runs.files import plain
from metarl.runs.folder import Run, RunConfig, find_run
from metarl.runs.progress import Progress
from metarl.runs.robot import write_robot


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C after a checkpoint. Says how to go on."""


def train(
    family: str,
    agent: str,
    *,
    seed: int = 0,
    steps: int = 2_000_000,
    out: Path | str = "runs",
    train_tasks: int = 0,
    drift: float = 0.0,
    normalize_observations: bool = True,
    family_options: dict[str, Any] | None = None,
    agent_config: dict[str, Any] | None = None,
    init: Path | str = "",
    command: str = "",
    reuse: bool = False,
    checkpoint_seconds: float = 60.0,
    quiet: bool = False,
) -> Run:
    """Meta-train an agent on a family.

    Args:
        family: registered name, ``module:Class`` or ``file.py:Class``.
        agent: the same, of an agent.
        seed: of initial parameters, tasks and exploration.
        steps: control steps to train for.
        out: folder that holds all runs.
        train_tasks: train on so many distinct tasks; 0 draws new ones for ever.
        drift: probability, at each control step of training, that a task's parameters
            are drawn again, but for goals: RMA trains at 0.004 (Kumar et al., 2021).
        normalize_observations: give the agent normalized observations, unless it
            normalizes them
            by itself or they have one scale already.
        family_options: arguments of the family.
        agent_config: fields of the agent's config.
        init: folder of a run whose policy the agent starts from, and whose control
            steps count in ``steps``.
        command: what a person typed, for the record.
        reuse: if ``out`` holds this run or its beginning, go on with it.
        checkpoint_seconds: time between checkpoints.
        quiet: print nothing.

    Returns:
        The finished run.

    Raises:
        InputError: for an unknown name, a wrong option or a folder that cannot be
            written.
        Interrupted: after Ctrl-C; the run can be resumed.
    """
    _refuse_nonsense(checkpoint_seconds, steps=steps, train_tasks=train_tasks)
    if not 0 <= drift < 1:
        raise InputError(f"drift={drift} must be a probability: at least 0, below 1.")
    config = RunConfig(
        family,
        agent,
        seed,
        steps,
        train_tasks,
        drift,
        family_options=family_options or {},
        agent_config=agent_config or {},
        init=str(Path(init).resolve()) if init else "",
        command=command,
    )
    world, built = config.build()  # a wrong name or option leaves no folder behind
    if drift:
        world.tasks("train", 1, drift=drift)  # refused where nothing can change
    config = dataclasses.replace(
        config,
        family=absolute(family),  # it can then be found from any folder
        agent=absolute(agent),
        normalize_observations=normalize_observations
        and world.normalize_observations
        and not built.normalizes,
        # Written in full, so that another default of a later version changes nothing.
        agent_config=dataclasses.asdict(built.config),
    )
    built.normalizer.enabled = config.normalize_observations
    _warm_start(config, built, _sampler(config, built))
    if reuse and (found := find_run(config, out)):
        return resume(found.path, steps, checkpoint_seconds, quiet)
    run = Run.create(config, out)
    with run.locked():
        _loop(run, *_fresh(run), checkpoint_seconds, quiet)
    return run


def resume(
    path: Path | str,
    steps: int | None = None,
    checkpoint_seconds: float = 60.0,
    quiet: bool = False,
) -> Run:
    """Go on with a run from its newest checkpoint, to the bits of an unbroken one.

    Args:
        path: the run's folder.
        steps: ask for more control steps than the run was started with.
        checkpoint_seconds: time between checkpoints.
        quiet: print nothing.

    Raises:
        InputError: if it is no run, or its checkpoint is damaged or foreign.
        RunError: if another process is training it.
    """
    _refuse_nonsense(checkpoint_seconds, steps=steps or 0)
    run = Run(path)
    with run.locked():
        if steps is not None and steps != run.config.steps:
            run.extend(steps)
        if not checkpoint.checkpoints(run.checkpoints):
            agent, sampler = _fresh(run)
        else:
            _, agent, state = run.load()
            sampler = _sampler(run.config, agent)
            sampler.load_state(state["sampler"])
        _loop(run, agent, sampler, checkpoint_seconds, quiet)
    return run


def _refuse_nonsense(checkpoint_seconds: float, **counts: int) -> None:
    for name, count in counts.items():
        if count < 0:
            raise InputError(f"{name}={count} must not be negative.")
    if not checkpoint_seconds >= 0:
        raise InputError(f"checkpoint_seconds={checkpoint_seconds} must be at least 0.")


def _sampler(config: RunConfig, agent: Agent) -> Sampler:
    return Sampler(
        agent.family,
        config.seed,
        agent.observes_task,
        config.train_tasks,
        config.steps,
        config.drift,
    )


def _fresh(run: Run) -> tuple[Agent, Sampler]:
    _, agent = run.config.build()
    sampler = _sampler(run.config, agent)
    _warm_start(run.config, agent, sampler)
    return agent, sampler


def _warm_start(config: RunConfig, agent: Agent, sampler: Sampler) -> None:
    """Let an agent start from another run's policy, at the cost of that run."""
    if not config.init:
        return
    source = Run(config.init)
    family, trained, state = source.load()
    if absolute(source.config.family) != config.family or (
        family.options != agent.family.options
    ):
        raise InputError(
            f"--init {source.path} was trained on {source.config.family} "
            f"{source.config.family_options or ''}, not on the same family."
        )
    agent.warm_start(trained)
    sampler.control_steps = state["sampler"]["control_steps"]
    if sampler.control_steps >= config.steps:
        raise InputError(
            f"--init {source.path} took {sampler.control_steps:,} control steps, which "
            f"count: --steps {config.steps} leaves none to train."
        )


def _loop(
    run: Run, agent: Agent, sampler: Sampler, checkpoint_seconds: float, quiet: bool
) -> None:
    """Iterate until the steps are spent."""
    run.cut_metrics(sampler.iteration)
    write_robot(run.path, agent.family)
    saved = time.monotonic()
    with (
        _stopping() as stopped,
        open(run.path / "metrics.jsonl", "a") as metrics_file,
        SummaryWriter(
            # Hides what was written after the checkpoint, but not at it.
            str(run.path / "tensorboard"),
            purge_step=sampler.control_steps + 1,
        ) as board,
        Progress(run.config, quiet) as progress,
    ):
        progress.start(sampler.control_steps)
        while agent.trains and sampler.control_steps < run.config.steps:
            began, sampled = time.perf_counter(), sampler.seconds
            computed = time.process_time()
            metrics = agent.train_step(sampler)
            wall = time.perf_counter() - began
            sampling = sampler.seconds - sampled
            row = {
                "iteration": sampler.iteration,
                "control_steps": sampler.control_steps,
                **metrics,
                "diverged": sampler.diverged,
                "sampling_seconds": sampling,
                "update_seconds": wall - sampling,
                "wall_seconds": wall,
                "cpu_seconds": time.process_time() - computed,
            }
            if sampler.iteration == 0:
                _warn_if_not_normalized(agent)
            sampler.iteration += 1
            metrics_file.write(json.dumps(plain(row)) + "\n")
            metrics_file.flush()
            for name, value in row.items():
                board.add_scalar(name, value, sampler.control_steps)
            progress.update(row)
            if stopped():
                _save(run, agent, sampler)
                raise Interrupted(
                    f"Stopped at {sampler.control_steps:,} control steps. "
                    f"Go on with: metarl resume {run.path}"
                )
            if time.monotonic() - saved > checkpoint_seconds:
                _save(run, agent, sampler)
                saved = time.monotonic()
    _save(run, agent, sampler)


def _warn_if_not_normalized(agent: Agent) -> None:
    if agent.normalizer.enabled and not agent.normalizer.count:
        warnings.warn(
            f"{agent.name} trains on observations as they are: it does not update its "
            "normalizer. Call self.normalizer.update(episodes.observation, "
            "episodes.mask) at the end of train_step, and pass observations through "
            "self.normalizer; or train with --no-normalize-observations.",
            RuntimeWarning,
            stacklevel=3,
        )


def _save(run: Run, agent: Agent, sampler: Sampler) -> None:
    tensors, others = agent.save()
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            kept = checkpoint.checkpoints(run.checkpoints)
            raise DivergedError(
                f"{name} is not finite after {sampler.control_steps:,} control steps. "
                + (f"The newest good checkpoint is kept: {kept[-1]}. " if kept else "")
                + "A smaller step size may help."
            )
    checkpoint.save(
        run.checkpoints,
        sampler.control_steps,
        tensors,
        {
            "agent_name": agent.name,
            "agent": others,
            "sampler": sampler.state(),
        },
    )


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C was pressed.

    The first one lets the iteration finish, so that the checkpoint is whole; a second
    one stops at once, and the newest checkpoint stands.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals belong to the main thread
        return
    pressed = False
    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
