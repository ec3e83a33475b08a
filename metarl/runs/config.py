"""What a run follows from, and its file config.json."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metarl.environment.family import TaskFamily
from metarl.environment.registry import make_family
from metarl.errors import InputError
from metarl.learning.agent import Agent, find_agent
from metarl.runs.files import read_json, typed
from metarl.tasks.defaults import own_process

FORMAT = "metarl-run/2"
"""Of config.json."""


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that a run follows from."""

    family: str
    """Registered name, ``module:Class`` or ``file.py:Class``."""
    agent: str
    """Registered name, ``module:Class`` or ``file.py:Class``."""
    seed: int = 0
    """Seed of initial parameters, tasks and exploration."""
    steps: int = 2_000_000
    """Control steps to train for; the iteration that passes it is the last."""
    train_tasks: int = 0
    """Train on so many distinct tasks; 0 draws new ones for ever."""
    drift: float = 0.0
    """Probability, at each control step, that a train task's parameters change."""
    normalize_observations: bool = False
    """Tell the agent normalized observations; a run that does not say is without."""
    family_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of the family."""
    agent_config: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the agent's config; those that are missing have their defaults.

    A run that was trained holds all of them.
    """
    backend: str = "mujoco"
    """What simulates in training."""
    device: str = ""
    """Of the backend warp."""
    init: str = ""
    """Folder of the run whose policy it starts from, if any."""
    command: str = ""
    """The command that started the run."""
    family_sha256: str = ""
    """Of the family's file at training; empty for one that is registered."""
    agent_sha256: str = ""
    """Of the agent's file."""
    workers: int = 0
    """Ray actors that collected its episodes; 0 for none."""
    shard: int = 0
    """Simulations that were collected together, where there were workers."""

    def __post_init__(self) -> None:
        for name in ("steps", "train_tasks"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}={getattr(self, name)} must not be negative.")
        if not 0 <= self.drift < 1:
            raise InputError(
                f"drift={self.drift} must be a probability: at least 0, below 1."
            )

    def build(self) -> tuple[TaskFamily, Agent]:
        """The family and an untrained agent.

        Raises:
            InputError: for an unknown name or a wrong option.
        """
        family = self.build_family()
        return family, self.build_agent(family)

    @own_process()
    def build_family(self) -> TaskFamily:
        """The family: see `build`."""
        return make_family(self.family, **tuples(self.family_options))

    @own_process()
    def build_agent(self, family: TaskFamily) -> Agent:
        """An untrained agent: see `build`.

        Args:
            family: what it learns on.
        """
        agent_class = find_agent(self.agent)
        settings = agent_settings(agent_class, self.agent_config)
        config = _configured(agent_class.Config, settings, self.agent)
        agent = agent_class(family, config, self.seed)
        agent.normalizer.enabled = self.normalize_observations
        return agent


def _configured(kind: Any, settings: dict[str, Any], agent: str) -> Any:
    """An agent's config, its fields of their types: a plug-in's may be anything."""
    try:
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            return typed(settings, kind, f"Config of agent {agent!r}")
        return kind(**settings)
    except TypeError as error:
        raise InputError(f"Agent {agent!r}: {error}.") from error


def tuples(config: dict[str, Any]) -> dict[str, Any]:
    """JSON lists as the tuples that frozen configs hold."""

    def kept(value: Any) -> Any:
        return tuple(map(kept, value)) if isinstance(value, list | tuple) else value

    return {name: kept(value) for name, value in config.items()}


def refuse_lost(settings: Mapping[str, Any]) -> None:
    """Refuse settings that config.json could not give back.

    Raises:
        InputError: naming the setting and its value.
    """
    for name, value in settings.items():
        try:
            again = json.loads(json.dumps(value, allow_nan=False))
            lost = tuples({name: again}) != tuples({name: value})
        except (TypeError, ValueError):
            lost = True
        if lost:
            raise InputError(
                f"{name}={value!r} cannot be kept in a run's config.json: give text, "
                "a finite number, True, False, None or a list of them."
            )


def read_config(path: Path | str) -> dict[str, Any]:
    """What a config.json holds, in the names of this version.

    The first format, of metarl 0.1, does not name itself and has an earlier name.

    Raises:
        InputError: if it is missing, truncated, no config or of a later format.
    """
    plain = read_json(path, root=Path(path).parent)
    if not isinstance(plain, dict):
        raise InputError(f"{path} is not a config of metarl.")
    kind = plain.pop("format", FORMAT)
    if kind != FORMAT:
        raise InputError(f"{path}: this metarl reads {FORMAT!r}, not {kind!r}.")
    if "normalise" in plain:
        plain["normalize_observations"] = plain.pop("normalise")
    return plain


def agent_settings(agent: type[Agent], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an agent's config from JSON, as this version has them.

    Fields that it no longer has are left out. A config that lacks nothing but fields
    that came later is of an earlier run, and gets their values of then.

    Raises:
        InputError: for one of these whose value no longer holds.
    """
    settings = tuples(dict(plain))
    for name, only in agent.retired_settings.items():
        if settings.pop(name, only) != only:
            raise InputError(
                f"{agent.__name__}: {name}={plain[name]!r} is no longer there; it is "
                f"{only!r} now."
            )
    if earlier := agent.earlier_settings:
        names = {field.name for field in dataclasses.fields(agent.Config)}
        if names == settings.keys() | earlier.keys():
            settings = {**earlier, **settings}
    return settings
