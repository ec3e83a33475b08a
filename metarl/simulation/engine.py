"""MuJoCo, imported once and made quiet.

Rendering without a display needs ``MUJOCO_GL=egl`` before MuJoCo is imported, so the
rest of metarl takes MuJoCo from here. MuJoCo's own log is switched off: it would
leave MUJOCO_LOG.TXT in the user's folder and repeat itself from every thread; metarl
counts and reports diverging simulations itself.
"""

import ctypes
import os
import sys


def _backend() -> str:
    """EGL where it is installed; without it, MuJoCo's import would fail."""
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return "disabled"
    return "egl"


if (
    sys.platform.startswith("linux")
    and not os.environ.get("DISPLAY")
    and not os.environ.get("WAYLAND_DISPLAY")
    and not os.environ.get("MUJOCO_GL")
):
    os.environ["MUJOCO_GL"] = _backend()

import mujoco  # noqa: E402

_log = mujoco.MjLogConfig.get()
_log.logto_file = False
_log.logto_console = False
mujoco.MjLogConfig.set(_log)


WARNINGS = {
    "inertia": "mass matrix (nearly) singular: heavier or less extreme bodies help",
    "contacts": "contacts dropped for want of memory: give <size memory=.../> more",
    "constraints": "constraints dropped for want of memory: give <size memory=.../> "
    "more",
    "positions": "positions NaN, infinite or huge: a smaller timestep helps",
    "velocities": "velocities NaN, infinite or huge: a smaller timestep helps",
    "accelerations": "accelerations NaN, infinite or huge: a smaller timestep helps",
    "controls": "controls NaN, infinite or huge: see act()",
    "errors": "steps that MuJoCo refused",
}
"""MuJoCo's own (mjtWarning) in their order, then its errors; in words for people."""


def cores() -> int:
    """Cores that this process may run on: `taskset` and job schedulers give it some."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


__all__ = ["WARNINGS", "cores", "mujoco"]
