"""The training loop: one readable screen, resumable to the same bits.

run = train("cheetah-direction", "maml", steps=8_000_000)
resume(run.path)          # goes on where it stopped, or does nothing
"""

import dataclasses
import json
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from metarl.environment.family import TaskFamily
from metarl.environment.registry import absolute, reference_of, source
from metarl.errors import DivergedError, InputError, Interrupted, RunError, WriteError
from metarl.learning.agent import Agent
from metarl.learning.cluster import connected
from metarl.learning.sampler import Sampler
from metarl.learning.shards import SIMULATIONS
from metarl.learning.workers import Workers
from metarl.runs import checkpoint
from metarl.runs.board import Board
from metarl.runs.config import RunConfig, refuse_lost
from metarl.runs.files import append, plain
from metarl.runs.folder import Run, find_run
from metarl.runs.moved import fingerprint
from metarl.runs.progress import Progress
from metarl.runs.robot import write_robot
from metarl.runs.stopping import Stop
from metarl.runs.trust import record
from metarl.runs.warm_start import warm_start
from metarl.simulation.engine import WARNINGS
from metarl.tasks.defaults import own_process

Callback = Callable[[dict[str, Any]], None]
"""Is given the metrics of an iteration, a dictionary of its own each time."""


@own_process()
def train(
    family: str | type[TaskFamily] | TaskFamily,
    agent: str | type[Agent],
    *,
    seed: int = 0,
    steps: int = 2_000_000,
    out: Path | str = "runs",
    train_tasks: int = 0,
    drift: float = 0.0,
    backend: str = "mujoco",
    device: str = "",
    normalize_observations: bool = True,
    family_options: dict[str, Any] | None = None,
    agent_config: dict[str, Any] | None = None,
    init: Path | str = "",
    command: str = "",
    reuse: bool = False,
    checkpoint_seconds: float = 60.0,
    quiet: bool = False,
    trust: bool = False,
    callback: Callback | None = None,
    workers: int = 0,
    shard: int = SIMULATIONS,
    cluster: str = "local",
) -> Run:
    """Meta-train an agent on a family.

    Args:
        family: registered name, ``module:Class`` or ``file.py:Class``; or a class, or
            a family, whose options the run then has.
        agent: name, reference or class of an agent.
        seed: of initial parameters, tasks and exploration.
        steps: control steps to train for.
        out: folder that holds all runs.
        train_tasks: train on so many distinct tasks; 0 draws new ones for ever.
        drift: probability, at each control step of training, that a task's parameters
            are drawn again, but for goals: RMA trains at 0.004 (Kumar et al., 2021).
        backend: what simulates: "mujoco", or "warp" (MuJoCo Warp, on a GPU).
        device: of the backend warp: "cuda:0" by default, or "cpu".
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
        trust: run code that the run ``init`` names without asking. Family and agent,
            given here, are trusted, also later.
        callback: called with the metrics of each iteration, after they are written:
            what a line of ``metrics.jsonl`` holds, ``control_steps`` among it. What it
            raises stops the training, which `resume` goes on with.
        workers: collect episodes in so many Ray actors; 0 does it in this process.
            From one on, their number changes no bit.
        shard: simulations that a worker steps together; of another number, results
            are others in the last bits.
        cluster: where Ray is: see `metarl.learning.cluster.connected`.

    Returns:
        The finished run.

    Raises:
        InputError: for an unknown name, a wrong option or a folder that cannot be
            written.
        Interrupted: after Ctrl-C, SIGTERM or SIGHUP; the run can be resumed.
    """
    if isinstance(family, TaskFamily):
        if family_options:
            raise InputError(
                f"family_options={family_options}: {family.name} is made already. Give "
                "options where you make it."
            )
        family_options = family.options
    family, agent = reference_of("families", family), reference_of("agents", agent)
    counts = {"steps": steps, "train_tasks": train_tasks, "workers": workers}
    _refuse_nonsense(checkpoint_seconds, **counts)
    refuse_lost({**(family_options or {}), **(agent_config or {})})
    config = RunConfig(
        family,
        agent,
        seed,
        steps,
        train_tasks,
        drift,
        backend=backend,
        device=device,
        family_options=family_options or {},
        agent_config=agent_config or {},
        init=str(Path(init).resolve()) if init else "",
        command=command,
        workers=workers,
        shard=shard if workers else 0,
    )
    world, built = config.build()  # a wrong name or option leaves no folder behind
    world.on(backend, device)
    if drift:
        world.tasks("train", 1, drift=drift)  # refused where nothing can change
    config = dataclasses.replace(
        config,
        family=absolute(family),  # it can then be found from any folder
        agent=absolute(agent),
        family_sha256=fingerprint("families", family),
        agent_sha256=fingerprint("agents", agent),
        normalize_observations=normalize_observations
        and world.normalize_observations
        and not built.normalizes,
        # Written in full, so that another default of a later version changes nothing.
        agent_config=dataclasses.asdict(built.config),
    )
    if workers:
        _refuse_workers(config, built)
    built.normalizer.enabled = config.normalize_observations
    warm_start(config, built, _sampler(config, built), trust)
    if reuse and (found := find_run(config, out)):
        return resume(
            found.path,
            steps,
            checkpoint_seconds,
            quiet,
            workers=workers,
            cluster=cluster,
            callback=callback,
        )
    with _ray(workers, cluster):
        run = Run.create(config, out)
        run.trust = trust
        known = config.family_sha256 and family, config.agent_sha256 and agent
        for file in filter(None, map(source, known)):
            record(file, run.path)
        with run.locked(), _resumable(run), Stop(run.path) as stop:
            _loop(run, *_fresh(run), stop, checkpoint_seconds, quiet, workers, callback)
    return run


@own_process()
def resume(
    path: Path | str,
    steps: int | None = None,
    checkpoint_seconds: float = 60.0,
    quiet: bool = False,
    *,
    family: str = "",
    trust: bool = False,
    callback: Callback | None = None,
    workers: int | None = None,
    cluster: str = "local",
) -> Run:
    """Go on with a run from its newest checkpoint, to the bits of an unbroken one.

    Args:
        path: the run's folder.
        steps: ask for more control steps than the run was started with.
        checkpoint_seconds: time between checkpoints.
        quiet: print nothing.
        family: what the run's family is now, if that moved.
        trust: run code that the run names without asking: see `metarl.load`.
        callback: called with the metrics of each further iteration: see `train`.
        workers: collect episodes in so many Ray actors, whose number changes no bit; 0
            does it in this process. Default: as it was trained.
        cluster: where Ray is: see `metarl.learning.cluster.connected`.

    Raises:
        InputError: if it is no run, its checkpoint is damaged or foreign, its code is
            gone or not trusted, or it is to have workers and had none.
        RunError: if another process is training it.
    """
    _refuse_nonsense(checkpoint_seconds, steps=steps or 0, workers=workers or 0)
    run = Run(path, family=family, trust=trust)
    workers = run.config.workers if workers is None else workers
    if workers and not run.config.shard:
        raise InputError(
            f"{run.path} was trained without workers, where rounding differs: its bits "
            "would change. Leave out --workers."
        )
    with (
        _ray(workers, cluster),
        run.locked(),
        _resumable(run),
        Stop(run.path) as stop,
    ):
        if steps is not None and steps != run.config.steps:
            run.extend(steps)
        if not checkpoint.checkpoints(run.checkpoints):
            agent, sampler = _fresh(run)
        else:
            _, agent, state = run.load()
            sampler = _sampler(run.config, agent)
            sampler.load_state(state["sampler"])
        _loop(run, agent, sampler, stop, checkpoint_seconds, quiet, workers, callback)
    return run


def _refuse_workers(config: RunConfig, agent: Agent) -> None:
    if config.shard < 1:
        raise InputError(f"shard={config.shard} must be 1 or more.")
    if config.backend != "mujoco":
        raise InputError(f"Workers simulate by mujoco, not by {config.backend}.")
    reason = "its simulations run on from one iteration to the next, in one process"
    if not agent.trains:
        reason = "there is nothing to train"
    if agent.continues or not agent.trains:
        raise InputError(
            f"{config.agent} cannot use workers: {reason}. Leave out --workers."
        )


def _ray(workers: int, cluster: str) -> AbstractContextManager[object]:
    return connected(cluster, workers) if workers else nullcontext()


@contextmanager
def _resumable(run: Run) -> Iterator[None]:
    """Say how to go on after a file could not be written."""
    try:
        yield
    except WriteError as error:
        raise RunError(f"{error} Go on with: metarl resume {run.path}") from error


def _refuse_nonsense(checkpoint_seconds: float, **counts: int) -> None:
    for name, count in counts.items():
        if count < 0:
            raise InputError(f"{name}={count} must not be negative.")
    if not checkpoint_seconds >= 0:
        raise InputError(f"checkpoint_seconds={checkpoint_seconds} must be at least 0.")


def _sampler(config: RunConfig, agent: Agent) -> Sampler:
    return Sampler(
        agent.family.on(config.backend, config.device),
        config.seed,
        agent.observes_task,
        config.train_tasks,
        config.steps,
        config.drift,
        config.shard,
    )


def _fresh(run: Run) -> tuple[Agent, Sampler]:
    _, agent = run.build()
    sampler = _sampler(run.config, agent)
    warm_start(run.config, agent, sampler, run.trust)
    return agent, sampler


def _loop(
    run: Run,
    agent: Agent,
    sampler: Sampler,
    stop: Stop,
    checkpoint_seconds: float,
    quiet: bool,
    workers: int,
    callback: Callback | None,
) -> None:
    """Iterate until the steps are spent."""
    if workers:
        sampler.workers = Workers(sampler.family, sampler.observe_task, workers)
    run.cut_metrics(sampler.iteration)
    # Hides what was written after the checkpoint, but not at it.
    board = Board(run.path / "tensorboard", sampler.control_steps + 1)
    write_robot(run.path, agent.family)
    saved = time.monotonic()
    warned: set[str] = set()
    with Progress(run.config, quiet) as progress:
        progress.start(sampler.control_steps)
        while agent.trains and sampler.control_steps < run.config.steps:
            began, sampled = time.perf_counter(), sampler.seconds
            computed = _cpu_seconds(sampler)
            with stop.iteration():
                metrics = agent.train_step(sampler)
            wall = time.perf_counter() - began
            sampling = sampler.seconds - sampled
            row = {
                "iteration": sampler.iteration,
                "control_steps": sampler.control_steps,
                **metrics,
                "diverged": sampler.diverged,
                "warnings": sum(sampler.warnings.values()),
                **{f"warnings/{k}": count for k, count in sampler.warnings.items()},
                "sampling_seconds": sampling,
                "update_seconds": wall - sampling,
                "wall_seconds": wall,
                "cpu_seconds": _cpu_seconds(sampler) - computed,
            }
            if sampler.iteration == 0:
                _warn_if_not_normalized(agent)
            for kind in sampler.warnings.keys() - warned:
                said = f"MuJoCo warns in training: {WARNINGS.get(kind, kind)}."
                warnings.warn(said, RuntimeWarning, stacklevel=2)
            warned |= sampler.warnings.keys()
            sampler.iteration += 1
            line = json.dumps(plain(row)) + "\n"
            append(run.path / "metrics.jsonl", line.encode())
            board.add(sampler.control_steps, row)
            progress.update(row)
            if callback is not None:
                callback(dict(row))
            if stop.number:
                break
            if time.monotonic() - saved > checkpoint_seconds:
                _save(run, agent, sampler)
                saved = time.monotonic()
    _save(run, agent, sampler)
    if stop.number:
        raise Interrupted(
            f"Stopped at {sampler.control_steps:,} control steps. "
            f"Go on with: metarl resume {run.path}",
            stop.number,
        )


def _cpu_seconds(sampler: Sampler) -> float:
    elsewhere = 0.0 if sampler.workers is None else sampler.workers.cpu_seconds
    return time.process_time() + elsewhere


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
