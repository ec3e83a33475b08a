"""What can be set for a run: its own options, its family's and its agent's."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

from metarl.environment.family import TaskFamily
from metarl.environment.registry import absolute, find_family
from metarl.errors import InputError
from metarl.learning.agent import find_agent
from metarl.runs.config import agent_settings, read_config, tuples


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Meta-train an agent on a family.

    Also takes --config FILE, a run's config.json, whose values become the defaults.
    """

    seed: int = 0
    """Seed of initial parameters, tasks and exploration."""
    steps: int = 2_000_000
    """Control steps to train for."""
    train_tasks: int = 0
    """Train on so many distinct tasks; 0: ever new ones."""
    drift: float = 0.0
    """Probability, at each control step, that the parameters of a train task change."""
    normalize_observations: bool = True
    """Normalize observations by running statistics, unless they have one scale."""
    backend: str = "mujoco"
    """What simulates: mujoco, or warp (MuJoCo Warp, on a GPU)."""
    device: str = ""
    """Of warp: cuda:0 by default, or cpu."""
    init: str = ""
    """Start from the policy of the run in this folder; its steps count in --steps."""
    out: Path = Path("runs")
    """Folder that holds all runs."""
    checkpoint_seconds: float = 60.0
    """Time between checkpoints."""
    workers: int = 0
    """Collect episodes in so many Ray actors; 0: in this process."""
    shard: int = 100
    """Simulations that a worker steps together; another number changes last bits."""
    cluster: str = "local"
    """Where Ray is: local, auto or an address."""
    trust: bool = False
    """Run code that the run of --init names without asking."""


def defaults(family: str, agent: str, configured: dict[str, Any]) -> RunOptions:
    """`RunOptions` with two more fields, ``family`` and ``agent``, as defaults.

    Args:
        family: the family, which has options of its own.
        agent: the agent, which has a config of its own.
        configured: values that replace defaults; see `config_file`.

    Raises:
        InputError: for an unknown name, or a value that there is no field for.
    """
    options = _options_class(find_family(family))
    kind = find_agent(agent)
    config = kind.Config
    known = {field.name for field in dataclasses.fields(RunOptions)}
    known -= {"trust", "cluster"}
    if configured.get("family") not in (None, family, absolute(family)):
        # Switched off for a family whose observations have one scale; not for others.
        known.discard("normalize_observations")
    made = dataclasses.make_dataclass(
        "Train",
        [
            ("family", options, dataclasses.field(default_factory=options)),
            ("agent", config, dataclasses.field(default_factory=config)),
        ],
        bases=(RunOptions,),
        frozen=True,
    )
    made.__doc__ = RunOptions.__doc__
    return made(
        **{name: value for name, value in configured.items() if name in known},
        family=_filled(options, tuples(configured.get("family_options") or {})),
        agent=_filled(
            config, agent_settings(kind, configured.get("agent_config") or {})
        ),
    )


def _options_class(family: type[TaskFamily]) -> type:
    """A dataclass of a family's arguments, for tyro."""
    fields = [
        (name, kind, dataclasses.field(default=default))
        for name, (kind, default) in family.arguments().items()
        if default is not inspect.Parameter.empty
    ]
    made = dataclasses.make_dataclass("Family", fields, frozen=True)
    made.__doc__ = f"Options of {family.__name__}."
    return made


_CONFIG_TYPES: dict[str, type] = {
    "seed": int,
    "steps": int,
    "train_tasks": int,
    "drift": float,
    "normalize_observations": bool,
    "backend": str,
    "device": str,
    "init": str,
    "workers": int,
    "shard": int,
    "family_options": dict,
    "agent_config": dict,
}


def config_file(arguments: list[str]) -> dict[str, Any]:
    """Remove ``--config FILE`` from the arguments; returns what the file holds.

    Raises:
        InputError: if it is no run's config.
    """
    for place, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag == "--config":
            if not value and place + 1 == len(arguments):
                raise InputError("--config needs a file.")
            value = value or arguments.pop(place + 1)
            del arguments[place]
            return _read_config(value)
    return {}


def _read_config(file: str) -> dict[str, Any]:
    config = read_config(file)
    for name, kind in _CONFIG_TYPES.items():
        if not isinstance(config.get(name, kind()), kind):
            raise InputError(
                f"{file}: {name} is {config[name]!r}, not a {kind.__name__}."
            )
    return config


def _filled(config_class: type, values: dict[str, Any]) -> Any:
    """A config with some values taken from a file."""
    try:
        return config_class(**values)
    except TypeError as error:
        raise InputError(f"--config: {error}.") from error


def changed(config: Any) -> dict[str, Any]:
    """The fields of a frozen config that differ from its class's defaults."""
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != field.default
    }
