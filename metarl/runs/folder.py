"""A run's folder: what it was asked to do, on which machine, and what came of it.

runs/<family>/<agent>/<seed>-<time>/
    config.json          written before anything is built
    system.json          versions, commit, machine
    robot.json           what a robot must know of the family
    metrics.jsonl        a line per meta-iteration
    lock                 only while a process trains it
    tensorboard/  checkpoints/  evaluation.json  videos/  report.html
"""

import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import metarl
from metarl.environment.family import TaskFamily
from metarl.environment.registry import label, make_family
from metarl.errors import InputError, RunError
from metarl.learning.agent import Agent, find_agent
from metarl.runs import checkpoint
from metarl.runs.files import read_json, replacing, write_json

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
    init: str = ""
    """Folder of the run whose policy it starts from, if any."""
    command: str = ""
    """The command that started the run."""

    def build(self) -> tuple[TaskFamily, Agent]:
        """The family and an untrained agent.

        Raises:
            InputError: for an unknown name or a wrong option.
        """
        family = make_family(self.family, **self.family_options)
        return family, self.build_agent(family)

    def build_agent(self, family: TaskFamily) -> Agent:
        """An untrained agent.

        Raises:
            InputError: for an unknown name or a wrong option.
        """
        agent_class = find_agent(self.agent)
        settings = agent_settings(agent_class, self.agent_config)
        try:
            config = agent_class.Config(**settings)
        except TypeError as error:
            raise InputError(f"Agent {self.agent!r}: {error}.") from error
        agent = agent_class(family, config, self.seed)
        agent.normalizer.enabled = self.normalize_observations
        return agent


def tuples(config: dict[str, Any]) -> dict[str, Any]:
    """JSON lists as the tuples that frozen configs hold."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config.items()
    }


def read_config(path: Path | str) -> dict[str, Any]:
    """What a config.json holds, in the names of this version.

    The first format, of metarl 0.1, does not name itself and has an earlier name.

    Raises:
        InputError: if it is missing, truncated, no config or of a later format.
    """
    plain = read_json(path)
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


class Run:
    """A run folder that exists.

    Args:
        path: the folder.

    Raises:
        InputError: if it is no run folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not (self.path / "config.json").is_file():
            raise InputError(
                f"{self.path} is not a run folder: it has no config.json. "
                "`metarl train` makes one and prints its path."
            )
        plain = read_config(self.path / "config.json")
        try:
            self.config = RunConfig(**plain)
        except TypeError as error:
            raise InputError(
                f"{self.path / 'config.json'} is not a config of metarl: {error}."
            ) from error

    @classmethod
    def create(cls, config: RunConfig, out: Path | str) -> "Run":
        """Make the folder of a new run and write what it is asked to do.

        Args:
            config: what to do.
            out: folder that holds all runs.

        Raises:
            InputError: if the folder cannot be written.
        """
        family, agent = (label(name) for name in (config.family, config.agent))
        stamp = f"{config.seed}-{datetime.now():%Y%m%d-%H%M%S}"
        for attempt in range(100):
            path = (
                Path(out) / family / agent / (stamp + (f"-{attempt}" * (attempt > 0)))
            )
            try:
                path.mkdir(parents=True)
                _write_config(path, config)
                write_json(path / "system.json", system())
            except FileExistsError:
                if path.is_dir():
                    continue
                raise InputError(f"{path} is in the way of a run folder.") from None
            except OSError as error:
                raise InputError(
                    f"Cannot write the run folder {path}: {error.strerror}. "
                    "Choose another with --out DIR."
                ) from error
            return cls(path)
        raise RunError(f"100 runs have started in {path} within a second.")

    def extend(self, steps: int) -> None:
        """Ask for more control steps than before.

        Raises:
            InputError: if that is fewer than the run was asked for.
        """
        if steps < self.config.steps:
            raise InputError(
                f"{self.path} was asked for {self.config.steps:,} control steps "
                f"already, which is more than {steps:,}."
            )
        self.config = dataclasses.replace(self.config, steps=steps)
        _write_config(self.path, self.config)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process train this run meanwhile: they would mix their rows.

        Raises:
            RunError: if another one does, or the folder cannot be written.
        """
        lock = FileLock(self.path / "lock", timeout=1)
        try:
            lock.acquire()
        except Timeout:
            raise RunError(
                f"{self.path} is being trained by another process. Wait for it, or "
                "stop it and go on with it here."
            ) from None
        except OSError as error:
            raise RunError(f"Cannot lock {self.path}: {error.strerror}.") from error
        try:
            yield
        finally:
            (self.path / "lock").unlink(missing_ok=True)
            lock.release()

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    def load(self) -> tuple[TaskFamily, Agent, dict[str, Any]]:
        """The family, the agent at its newest checkpoint, and the run's state there.

        Raises:
            InputError: if there is no checkpoint, or it is damaged or foreign.
        """
        family = make_family(self.config.family, **self.config.family_options)
        agent, plain = self.load_agent(family)
        return family, agent, plain

    def load_agent(self, family: TaskFamily) -> tuple[Agent, dict[str, Any]]:
        """The agent at its newest checkpoint, and the run's state there.

        Args:
            family: what the agent learns on, or what a robot says in its place.

        Raises:
            InputError: if there is no checkpoint, or it is damaged or foreign.
        """
        found = checkpoint.checkpoints(self.checkpoints)
        if not found:
            raise InputError(
                f"{self.path} has no checkpoint yet. Train it with "
                f"`metarl resume {self.path}`."
            )
        newest = found[-1][1]
        tensors, plain = checkpoint.load(newest)
        agent = self.config.build_agent(family)
        if plain.get("agent_name") != agent.name:
            raise InputError(
                f"Checkpoint {newest} is of a {plain.get('agent_name')}, "
                f"not of a {agent.name}."
            )
        tensors = agent.from_earlier(tensors)
        for name, own in agent.save()[0].items():
            if name not in tensors or tensors[name].shape != own.shape:
                held = tuple(tensors[name].shape) if name in tensors else "missing"
                raise InputError(
                    f"Checkpoint {newest} does not fit this agent: {name} is "
                    f"{held}, not {tuple(own.shape)}."
                )
        try:
            agent.load(tensors, plain["agent"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(
                f"Checkpoint {newest} does not fit this agent: {error}."
            ) from error
        return agent, plain

    def metrics(self) -> list[dict[str, Any]]:
        """A dictionary per meta-iteration; a line cut by a crash is left out."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        rows = []
        for line in path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return rows

    def cut_metrics(self, iteration: int) -> list[dict[str, Any]]:
        """Keep the rows before ``iteration``: a resumed run writes the rest again."""
        rows = [row for row in self.metrics() if row["iteration"] < iteration]
        with replacing(self.path / "metrics.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return rows


def _write_config(folder: Path, config: RunConfig) -> None:
    plain = {"format": FORMAT, **dataclasses.asdict(config)}
    write_json(folder / "config.json", plain)


def as_run(run: Run | Path | str) -> Run:
    """A run, given as such or by its folder."""
    return run if isinstance(run, Run) else Run(run)


def video_name(split: str, index: int, seed: int) -> str:
    """Name of the video of a task; with the seed that drew it where that is not 0."""
    return f"{split}-{index}" + (f"-seed{seed}" if seed else "")


def find_run(config: RunConfig, out: Path | str) -> Run | None:
    """The newest run below ``out`` that is, or is the beginning of, the one asked for.

    The command is not compared: it may name other seeds of the same experiment.
    """

    def essence(config: RunConfig) -> str:
        plain = dataclasses.replace(config, command="", steps=0)
        return json.dumps(dataclasses.asdict(plain), sort_keys=True)

    family, agent = label(config.family), label(config.agent)
    for path in sorted(Path(out).glob(f"{family}/{agent}/*/config.json"), reverse=True):
        run = Run(path.parent)
        if essence(run.config) == essence(config) and run.config.steps <= config.steps:
            return run
    return None


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
