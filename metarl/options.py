"""What can be set for a run: its own options, its family's and its agent's."""

import dataclasses
import inspect
import typing
from pathlib import Path
from typing import Annotated, Any

import tyro

from metarl.errors import InputError
from metarl.files import read_json
from metarl.registry import absolute, find
from metarl.runs.folder import tuples


def settings(family: str, agent: str, configured: dict[str, Any]) -> type:
    """A dataclass of all that can be set for a run, for tyro.

    Args:
        family: the family, which has options of its own.
        agent: the agent, which has a config of its own.
        configured: values that replace defaults.
    """
    options = _options_class(find("families", family))
    config = find("agents", agent).Config
    if configured.get("family") not in (None, family, absolute(family)):
        # Switched off where a family has one scale: no wish for another family.
        configured = {k: v for k, v in configured.items() if k != "normalise"}
    fields = [
        ("seed", int, 0, "seed of initial parameters, tasks and exploration"),
        ("steps", int, 2_000_000, "control steps to train for"),
        ("train_tasks", int, 0, "train on so many distinct tasks; 0: ever new ones"),
        ("normalise", bool, True, "tell the agent normalised observations"),
        ("out", Path, Path("runs"), "folder that holds all runs"),
        ("checkpoint_seconds", float, 60.0, "time between checkpoints"),
    ]
    made = dataclasses.make_dataclass(
        "Train",
        [
            *(
                (
                    name,
                    Annotated[kind, tyro.conf.arg(help=about)],
                    dataclasses.field(default=configured.get(name, default)),
                )
                for name, kind, default, about in fields
            ),
            ("family", options, _filled(options, configured.get("family_options"))),
            ("agent", config, _filled(config, configured.get("agent_config"))),
        ],
        frozen=True,
    )
    made.__doc__ = (
        "Meta-train an agent on a family. Also takes --config FILE, a run's "
        "config.json, whose values become the defaults."
    )
    return made


def _options_class(family: type) -> type:
    """A dataclass of a family's arguments, for tyro."""
    hints = typing.get_type_hints(family.__init__)  # type: ignore[misc]
    fields = [
        (name, hints.get(name, Any), dataclasses.field(default=parameter.default))
        for name, parameter in inspect.signature(family).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    ]
    made = dataclasses.make_dataclass("Family", fields, frozen=True)
    made.__doc__ = f"Options of {family.__name__}."
    return made


_CONFIG_TYPES: dict[str, type] = {
    "seed": int,
    "steps": int,
    "train_tasks": int,
    "normalise": bool,
    "family_options": dict,
    "agent_config": dict,
}


def config_file(arguments: list[str]) -> dict[str, Any]:
    """Take ``--config FILE`` out of the arguments and read the file."""
    for place, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag == "--config":
            if not value and place + 1 == len(arguments):
                raise InputError("--config needs a file.")
            value = value or arguments.pop(place + 1)
            del arguments[place]
            config = read_json(value)
            if not isinstance(config, dict):
                raise InputError(f"{value} is not a run's config.")
            for name, kind in _CONFIG_TYPES.items():
                if not isinstance(config.get(name, kind()), kind):
                    raise InputError(
                        f"{value}: {name} is {config[name]!r}, not a {kind.__name__}."
                    )
            return config
    return {}


def _filled(config_class: type, values: dict[str, Any] | None) -> Any:
    """A config with some values taken from a file."""
    try:
        return config_class(**tuples(values or {}))
    except TypeError as error:
        raise InputError(f"--config: {error}.") from error


def changed(config: Any) -> dict[str, Any]:
    """The fields of a frozen config that differ from its class's defaults."""
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != field.default
    }
