"""MuJoCo, imported when it is first used, and made quiet.

A robot runs a trained agent without MuJoCo, which need not be installed there.

Rendering without a display needs ``MUJOCO_GL=egl`` before MuJoCo is imported, so the
rest of metarl takes MuJoCo from here. MuJoCo's own log is switched off: it would
leave MUJOCO_LOG.TXT in the user's folder and repeat itself from every thread; metarl
counts and reports diverging simulations itself.
"""

import ctypes
import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from metarl.errors import RunError


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
    # A script that imported MuJoCo before metarl has made another choice with it.
    if made := sys.modules.get("mujoco.rendering.classic.gl_context"):
        importlib.reload(made)


class _Lazy(ModuleType):
    """MuJoCo's names, each looked up on its first use."""

    def __getattr__(self, name: str) -> Any:
        try:
            module = importlib.import_module("mujoco")
        except ModuleNotFoundError as error:
            if error.name != "mujoco":
                raise
            raise RunError(
                "This needs a simulator, and MuJoCo is not installed: pip install "
                "mujoco. A robot needs none: metarl.adapter(RUN)."
            ) from error
        if "MjLogConfig" not in self.__dict__:
            self.MjLogConfig = module.MjLogConfig
            log = module.MjLogConfig.get()
            log.logto_file = log.logto_console = False
            module.MjLogConfig.set(log)
        value = getattr(module, name)
        setattr(self, name, value)
        return value


if TYPE_CHECKING:
    import mujoco
else:
    mujoco = _Lazy("mujoco")


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
