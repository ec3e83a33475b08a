"""Where Ray runs: in this machine alone, or on a cluster that is there.

with connected("auto"):
    ...
"""

import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from metarl.errors import InputError

STORE_BYTES = 256 * 2**20
"""Of a local Ray's object store. Episodes of an iteration are smaller; others spill."""
PROBE_SECONDS = 5.0
"""How long an address may take to answer."""


def ray_module() -> ModuleType:
    """The package `ray`, which is an extra.

    Raises:
        InputError: if it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Workers would give way to whatever else runs on the machine.
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        import ray
    except ImportError:
        raise InputError(
            "Workers and clusters need an extra: pip install 'metarl-suite[ray]'"
        ) from None
    module: ModuleType = ray
    return module


@contextmanager
def connected(cluster: str = "local", cpus: int = 1) -> Iterator[ModuleType]:
    """Ray, for as long as the context lasts. One that runs already is used as it is.

    Args:
        cluster: "local" starts a Ray of this process's own; "auto" joins the one that
            runs on this machine or that ``RAY_ADDRESS`` names; else its address.
        cpus: cores of a local one.

    Raises:
        InputError: if Ray is not installed, or none answers at the address.
    """
    ray = ray_module()
    if ray.is_initialized():  # in whoever's process this is
        yield ray
        return
    folder = tempfile.mkdtemp(prefix="metarl-") if cluster == "local" else ""
    quiet = {"log_to_driver": False, "logging_level": "error"}
    try:
        with _own_signals():
            if folder:
                ray.init(
                    "local",
                    num_cpus=cpus,
                    num_gpus=0,
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    _temp_dir=folder,
                    **quiet,
                )
            else:
                _join(ray, cluster, quiet)
        yield ray
    finally:
        with _own_signals():
            ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _join(ray: ModuleType, cluster: str, quiet: dict[str, object]) -> None:
    try:
        address = os.environ.get("RAY_ADDRESS", "") if cluster == "auto" else cluster
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if host and port.isdecimal():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), PROBE_SECONDS).close()
        ray.init(cluster, **quiet)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"No Ray cluster can be joined at {cluster!r}: {said}. Start one with "
            "`ray start --head`, or use --cluster local."
        ) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Answer SIGTERM as before: Ray would exit at once, without a checkpoint."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
