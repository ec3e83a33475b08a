"""Independent pieces of a study, each a Ray task: on this machine or on a cluster.

    for index, outcome in results(jobs, "auto", cpus=1, describe=text):
        ...

A job whose process or node is killed is begun again elsewhere, as often as it takes. It
must therefore go on where it stopped: what it trains is in a folder that all nodes
share.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metarl.errors import InputError, LockedError, RunError
from metarl.learning.cluster import connected

LOCK_SECONDS = 600.0
"""How long a job waits for a process that trains its run: one of a node that is taken
for dead may live on for a while, and a network folder keeps its locks longer."""
WATCH_SECONDS = 2.0
LINE_SECONDS = 10.0
"""Time between lines of progress; in a terminal it is one line, always new."""


class Job(NamedTuple):
    """A call in another process."""

    call: Callable[..., Any]
    """A function of a module, whose result can be pickled."""
    arguments: tuple[Any, ...]
    after: int | None = None
    """Place of the job that it waits for, as both use one run."""


def results(
    jobs: Sequence[Job], cluster: str, cpus: int, describe: Callable[[int], str]
) -> Iterator[tuple[int, Any]]:
    """What the jobs return, or the `RunError` that they raise, as they are done.

    Args:
        jobs: what to call; later ones begin later.
        cluster: where Ray is: see `metarl.learning.cluster.connected`.
        cpus: cores of a job.
        describe: says in a line how all are doing, of which so many are done.

    Yields:
        The place of a job, and its result.

    Raises:
        InputError: if a job does, there is no Ray, or it has too few CPUs.
    """
    if cpus < 1:
        raise InputError(f"{cpus} CPUs for each are too few: give 1 or more.")
    with connected(cluster, len(os.sched_getaffinity(0))) as ray:
        most = max(node["Resources"].get("CPU", 0) for node in ray.nodes())
        if cluster == "local" and most < cpus:
            raise InputError(f"There are {most:.0f} CPUs here, not {cpus} for each.")
        call = ray.remote(num_cpus=cpus, max_retries=-1)(_call)
        running: dict[Any, int] = {}
        references: list[Any] = []
        for index, job in enumerate(jobs):
            before = None if job.after is None else references[job.after]
            references.append(call.remote(os.getcwd(), cpus, job[:2], before))
            running[references[-1]] = index
        shown = time.monotonic()
        while running:
            done, _ = ray.wait(list(running), num_returns=1, timeout=WATCH_SECONDS)
            for reference in done:
                try:
                    outcome = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                yield running.pop(reference), outcome
            line = describe(len(jobs) - len(running))
            if sys.stdout.isatty():
                print(f"\r\033[K{line}", end="\n" if not running else "", flush=True)
            elif time.monotonic() - shown > LINE_SECONDS or not running:
                print(line, flush=True)
                shown = time.monotonic()


def _call(folder: str, cpus: int, job: tuple[Any, ...], before: object) -> Any:
    """In a process of Ray's: the result of a job, or its `RunError` as a value."""
    import torch

    torch.set_num_threads(cpus)
    # A node that is to go ends its processes by it; what is saved then is enough.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if not Path(folder).is_dir():
        return RunError(f"{os.uname().nodename} has no folder {folder}: share it.")
    os.chdir(folder)
    call, arguments = job
    began = time.monotonic()
    while True:
        try:
            return call(*arguments)
        except LockedError as error:
            if time.monotonic() - began > LOCK_SECONDS:
                return error
            time.sleep(1)
        except RunError as error:
            return error
        except KeyboardInterrupt:  # Ray would take it for a cancelled job
            os._exit(1)
