"""Arguments of a family's class, and members that have another name now."""

import inspect
import typing
import warnings
from typing import Any


def arguments_of(family: type) -> dict[str, tuple[Any, Any]]:
    """Type and default of each argument, also of those that ``**`` passes on."""
    found: dict[str, tuple[Any, Any]] = {}
    for kind in family.__mro__:
        if "__init__" not in kind.__dict__:
            continue
        init: Any = kind.__dict__["__init__"]
        hints = typing.get_type_hints(init)
        _, *own = inspect.signature(init).parameters.values()
        for p in own:
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
                found.setdefault(p.name, (hints.get(p.name, Any), p.default))
        if not any(p.kind == p.VAR_KEYWORD for p in own):
            break
    return found


def warn_renamed(family: type, old: str, new: str) -> None:
    """Say that a member has another name now."""
    warnings.warn(
        f"{family.__name__}.{old} is now {new}. The old name ends with metarl 0.3.",
        DeprecationWarning,
        stacklevel=4,
    )
