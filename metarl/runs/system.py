"""Versions, commit and machine."""

import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import metarl


def system() -> dict[str, Any]:
    """Versions, commit and machine, for a run's record."""
    packages = ("torch", "mujoco", "gymnasium", "numpy", "stable-baselines3")
    return {
        "metarl": metarl.__version__,
        "commit": commit(),
        "python": sys.version.split()[0],
        **{name: metadata.version(name) for name in packages},
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def commit() -> str | None:
    """The git commit of metarl's source, marked when it was changed, if any."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(metarl.__file__).parent), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", metarl.__file__)  # or it is another's
        source = [":/*.py", ":/*.xml", ":/*.toml", ":/*.txt"]  # results are none
        changed = git("status", "--porcelain", "--untracked=no", "--", *source)
        dirty = "+changes" if changed else ""
        return git("rev-parse", "--short=12", "HEAD") + dirty
    except (OSError, subprocess.SubprocessError):
        return None
