"""Whether this machine can draw, and what to install where it cannot."""

import functools
import os
import subprocess
import sys
import tempfile

from metarl.errors import RunError

_PROBE = """
import os
try:
    import mujoco
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><geom size='1'/></worldbody></mujoco>"
    )
    with mujoco.Renderer(model, 16, 16) as renderer:
        renderer.update_scene(mujoco.MjData(model))
        renderer.render()
except BaseException as error:
    print(f"{type(error).__name__}: {error}", flush=True)
    os._exit(1)
"""

_ADVICE = {
    "linux": "On Linux, `apt-get install libegl1 libopengl0 libgl1-mesa-dri` (or your "
    "system's EGL and Mesa packages) draws without a display or a GPU; then run with "
    "MUJOCO_GL=egl.",
    "darwin": "On macOS, unset MUJOCO_GL and run from a session with a display.",
    "win32": "On Windows, unset MUJOCO_GL and install a graphics driver with OpenGL.",
}


def why_no_gl() -> str | None:
    """Why MuJoCo cannot draw here and what to do about it; None where it can.

    The answer comes from drawing a tiny picture in a process of its own, as a broken
    driver can take down the process that asks. It takes a few seconds the first time
    and is remembered for each value of MUJOCO_GL.
    """
    return _why(os.environ.get("MUJOCO_GL", ""))


def require_gl() -> None:
    """Make sure that MuJoCo can draw.

    Raises:
        RunError: saying what is missing and how to get it.
    """
    if reason := why_no_gl():
        raise RunError(reason)


@functools.cache
def _why(backend: str) -> str | None:
    failure = _failure(backend)
    if failure is None:
        return None
    setting = f"MUJOCO_GL={backend}" if backend else "MUJOCO_GL unset"
    advice = _ADVICE.get(sys.platform, "MuJoCo needs OpenGL to draw.")
    return f"MuJoCo cannot draw here ({setting}): {failure}. {advice}"


def _failure(backend: str) -> str | None:
    """Try to draw; what went wrong, without a full stop."""
    if backend.lower() in ("disable", "disabled", "off", "false", "0"):
        return "drawing is switched off, or OpenGL was not found"
    # The probe imports what this process imports, from a folder of its own.
    paths = [os.path.abspath(path) for path in sys.path if path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryDirectory() as folder:
        try:
            probe = subprocess.run(
                [sys.executable, "-c", _PROBE],
                env=environment,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=120,
            )
        except subprocess.TimeoutExpired:
            return "the OpenGL driver did not answer within 120 s"
    if probe.returncode == 0:
        return None
    if probe.returncode < 0:
        return f"the OpenGL driver crashed (signal {-probe.returncode})"
    said = " ".join((probe.stdout or probe.stderr).split())
    return said[-300:].rstrip(".") or f"the probe exited with {probe.returncode}"
