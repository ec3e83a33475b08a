"""Finding families and agents: by name, by ``module:Class`` or by ``file.py:Class``.

Built-ins and plug-ins register in the same way: a package offers a function through
the entry-point group ``metarl.plugins``, which returns ``{"families": {name:
"module:Class"}, "agents": {...}}``. Nothing is imported before it is asked for. A
plug-in that raises is left out with a warning.
"""

import functools
import importlib
import importlib.util
import inspect
import os
import sys
import warnings
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from metarl.errors import InputError, unknown

if TYPE_CHECKING:
    from metarl.environment.family import TaskFamily

Kind = Literal["families", "agents"]

_BUILT_IN = ("metarl.envs:plugin", "metarl.agents:plugin")
_NOUNS = {"families": "a TaskFamily", "agents": "an Agent"}
_SINGULAR = {"families": "family", "agents": "agent"}


@functools.cache
def _registered() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {"families": {}, "agents": {}}
    offers = [_import(reference)() for reference in _BUILT_IN]
    for point in entry_points(group="metarl.plugins"):
        try:
            offers.append(dict(point.load()()))
        except Exception as error:
            warnings.warn(
                f"The plug-in {point.name!r} ({point.value}) is left out: "
                f"{type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
    for offer in offers:
        for kind, entries in offer.items():
            if kind not in found:
                raise InputError(f"A plug-in offers {kind!r}; known: {list(found)}.")
            for name, reference in entries.items():
                if found[kind].setdefault(name, reference) != reference:
                    raise InputError(
                        f"Two plug-ins register the {_SINGULAR[kind]} {name!r}: "
                        f"{found[kind][name]} and {reference}."
                    )
    return found


def names(kind: Kind) -> dict[str, str]:
    """Registered names and where each is found, in order of registration."""
    return dict(_registered()[kind])


def absolute(reference: str) -> str:
    """A ``file.py:Class`` that means the same from any folder."""
    place, colon, attribute = reference.rpartition(":")
    if place.endswith(".py"):
        return f"{Path(place).resolve()}{colon}{attribute}"
    return reference


def label(reference: str) -> str:
    """The short name of a reference: ``my_robots.py:Walker`` is "Walker"."""
    return reference.rpartition(":")[2]


def source(reference: str) -> Path | None:
    """The file behind ``module:Class`` or ``file.py:Class``, found without running it.

    None if there is none, or none that a plain import would find.
    """
    place = reference.rpartition(":")[0]
    if place.endswith(".py"):
        return Path(place).resolve() if Path(place).is_file() else None
    spec, search, name = None, None, ""
    try:
        for part in place.split("."):
            name = f"{name}.{part}".strip(".")
            found = (finder.find_spec(name, search) for finder in sys.meta_path)
            spec = next(filter(None, found), None)
            if spec is None and search is None:
                spec = PathFinder.find_spec(name, [os.getcwd()])
            search = list(spec.submodule_search_locations or []) if spec else []
    except (KeyError, ValueError):  # a package that is no file, or no name at all
        return None
    file = Path(spec.origin or "") if spec is not None else Path()
    return file.resolve() if file.is_file() else None


def is_loaded(reference: str) -> bool:
    """Whether the module behind a reference runs in this process already."""
    place = reference.rpartition(":")[0]
    if not place.endswith(".py"):
        return place in sys.modules
    module = sys.modules.get(f"metarl_user.{Path(place).stem}")
    return module is not None and module.__file__ == str(Path(place).resolve())


def find(kind: Kind, reference: str, base: type) -> Any:
    """The class behind a registered name, ``module:Class`` or ``file.py:Class``.

    Args:
        kind: "families" or "agents".
        reference: see this module.
        base: what it must be a subclass of.

    Raises:
        InputError: if there is none.
    """
    known = _registered()[kind]
    target = known.get(reference, reference)
    if ":" not in target:
        raise unknown(_SINGULAR[kind], reference, known)
    if reference not in known and not {"", os.getcwd()} & {*sys.path}:
        sys.path.append(os.getcwd())  # last: no file there stands for an installed one
    found = _with_own_defaults(target)
    if not inspect.isclass(found):
        raise InputError(f"{reference!r} is not a class.")
    if not issubclass(found, base):
        raise InputError(f"{reference!r} is not {_NOUNS[kind]}.")
    return found


def reference_of(kind: Kind, given: Any) -> str:
    """What names a family or an agent that is given as such, by its class or in words.

    Args:
        kind: "families" or "agents".
        given: a reference, a class, or an instance.

    Raises:
        InputError: for a class that no other process could find.
    """
    if isinstance(given, str):
        return given
    cls = given if inspect.isclass(given) else type(given)
    for name, target in names(kind).items():
        if target == f"{cls.__module__}:{cls.__qualname__}":
            return name
    if "." in cls.__qualname__:
        raise InputError(
            f"{cls.__qualname__} is defined within something else, where a run could "
            "not find it again: define it at the top of a file or notebook."
        )
    place = cls.__module__
    if place.startswith("metarl_user."):
        place = str(sys.modules[place].__file__)
    return f"{place}:{cls.__qualname__}"


def find_family(reference: str) -> "type[TaskFamily]":
    """The class of a family: see `find`."""
    from metarl.environment.family import TaskFamily  # which imports torch

    family: type[TaskFamily] = find("families", reference, TaskFamily)
    return family


def make_family(reference: str, **options: Any) -> "TaskFamily":
    """A family by its name, ``module:Class`` or ``file.py:Class``.

    Args:
        reference: see this module.
        options: arguments of the family, such as ``horizon=100``.

    Raises:
        InputError: for an unknown name or option.
    """
    family = find_family(reference)
    try:
        return family(**options)
    except TypeError as error:
        raise InputError(f"Family {reference!r}: {error}.") from error


def gymnasium_id(name: str) -> str:
    """The gymnasium id of a registered family: "point-goal" is metarl/PointGoal-v0."""
    return "metarl/" + "".join(p.capitalize() for p in name.split("-")) + "-v0"


def register_gymnasium(built_in: bool = False) -> None:
    """Register families with gymnasium. None is imported before `gymnasium.make`.

    Args:
        built_in: leave out the families of plug-ins. `import metarl` does: a plug-in
            may be what imports it.
    """
    import gymnasium

    families = _import(_BUILT_IN[0])()["families"] if built_in else names("families")
    for name in families:
        if gymnasium_id(name) not in gymnasium.registry:
            gymnasium.register(
                gymnasium_id(name),
                entry_point="metarl.environment.gymnasium:GymnasiumEnv",
                vector_entry_point="metarl.environment.gymnasium:vector_entry_point",
                kwargs={"family": name},
            )


def _import(reference: str) -> Any:
    """The object named by ``module:name`` or ``path/to/file.py:name``."""
    place, _, attribute = reference.rpartition(":")
    if place.endswith(".py"):
        module = _import_file(Path(place))
    else:
        try:
            module = importlib.import_module(place)
        except (ModuleNotFoundError, TypeError, ValueError) as error:
            missing = getattr(error, "name", None) or ""
            if isinstance(error, ModuleNotFoundError) and not place.startswith(missing):
                raise  # the module is there, but something that it imports is not
            raise InputError(
                f"No module {place!r} (for {reference!r}), neither installed nor in "
                f"{Path.cwd()}. Add its folder to PYTHONPATH, or name its file: "
                "path/to/file.py:Class."
            ) from error
    if not hasattr(module, attribute):
        offered = [name for name in vars(module) if not name.startswith("_")]
        raise unknown(f"name in {place}:", attribute, offered)
    return getattr(module, attribute)


def _with_own_defaults(reference: str) -> Any:
    """`_import`, but torch's defaults that a user's file sets are as before."""
    import torch  # which a command without any family does not need

    from metarl.tasks.defaults import own_defaults

    before = torch.get_default_dtype(), torch.get_default_device()
    with own_defaults():
        found = _import(reference)
        now = torch.get_default_dtype(), torch.get_default_device()
    if now not in (before, (torch.float32, torch.device("cpu"))):
        warnings.warn(
            f"{reference} sets torch's default dtype and device to {now[0]} and "
            f"{now[1]}. metarl keeps {before[0]} and {before[1]}: make tensors from "
            "those that are there, such as sim.qpos.new_zeros(sim.n).",
            RuntimeWarning,
            stacklevel=4,
        )
    return found


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"No file {path} (looked in {Path.cwd()}).")
    name = f"metarl_user.{path.stem}"
    if name in sys.modules and sys.modules[name].__file__ == str(path.resolve()):
        return sys.modules[name]
    import cloudpickle  # of gymnasium: a command without any family does not need it

    _search_first(path.resolve().parent)  # as `python file.py` has it
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    # Another process cannot import the module by its name: its classes go along whole.
    cloudpickle.register_pickle_by_value(module)
    return module


_SEARCHED: set[Path] = set()
"""Users' folders in which modules were looked for."""


def _search_first(folder: Path) -> None:
    """Find modules in a user's folder before any others.

    Files of two folders may each have a module of one name beside them: those of the
    folders before are then imported anew.
    """
    for top in [name for name in sys.modules if _home(name) in _SEARCHED - {folder}]:
        if (folder / f"{top}.py").exists() or (folder / top / "__init__.py").exists():
            for name in [n for n in sys.modules if f"{n}.".startswith(f"{top}.")]:
                del sys.modules[name]
    _SEARCHED.add(folder)
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()


def _home(name: str) -> Path | None:
    """The folder in which a module of a user's, not of a package, was found."""
    file = getattr(sys.modules[name], "__file__", None)
    if file is None or "." in name or name == __name__.partition(".")[0]:
        return None
    parents = Path(file).parents
    return parents[1] if Path(file).name == "__init__.py" else parents[0]
