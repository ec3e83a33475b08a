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
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout
from torch import Tensor

from metarl.environment.family import TaskFamily
from metarl.environment.registry import absolute, label
from metarl.errors import InputError, LockedError, RunError
from metarl.evaluation.results import Evaluation
from metarl.learning.agent import Agent
from metarl.runs import checkpoint
from metarl.runs.config import FORMAT, RunConfig, read_config
from metarl.runs.files import read_json, replacing, typed, write_json
from metarl.runs.metrics import read_metrics
from metarl.runs.moved import locate, warn_if_changed
from metarl.runs.system import system
from metarl.runs.trust import require
from metarl.tasks.defaults import own_process

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]

Table = Literal["evaluation", "metrics"]

_MISFIT = (LookupError, ArithmeticError, RuntimeError, TypeError, ValueError)
"""What an agent raises of a state that is not one of its own."""


class Run:
    """A run folder that exists.

    Args:
        path: the folder.
        family: what its family is now, if that moved: a registered name,
            ``module:Class`` or ``file.py:Class``.
        trust: run code that it names without asking; see `metarl.runs.trust`.

    Raises:
        InputError: if it is no run folder.
    """

    def __init__(
        self, path: Path | str, *, family: str = "", trust: bool = False
    ) -> None:
        self.path = Path(path)
        self.family = absolute(family)
        self.trust = trust
        if not (self.path / "config.json").is_file():
            raise InputError(
                f"{self.path} is not a run folder: it has no config.json. "
                "`metarl train` makes one and prints its path."
            )
        config = self.path / "config.json"
        what = f"{config} is not a config of metarl"
        self.config = typed(read_config(config), RunConfig, what)

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
            LockedError: if another one does.
            RunError: if the folder cannot be written.
        """
        lock = FileLock(self.path / "lock", timeout=1)
        try:
            lock.acquire()
        except Timeout:
            raise LockedError(
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

    def build(self) -> tuple[TaskFamily, Agent]:
        """The family and an untrained agent, of code that is trusted.

        Raises:
            InputError: for code that is gone or not trusted, or a wrong option.
        """
        family = self.build_family()
        return family, self.build_agent(family)

    def build_family(self) -> TaskFamily:
        """The family, of code that is trusted: see `build`."""
        config = self.config
        if self.family:  # given in person
            reference = self.family
            warn_if_changed(self.path, "families", reference, config.family_sha256)
        else:
            recorded = config.family_sha256
            reference = locate(self.path, "families", config.family, recorded)
            require(self.path, "families", reference, self.trust)
        return dataclasses.replace(config, family=reference).build_family()

    def build_agent(self, family: TaskFamily) -> Agent:
        """An untrained agent, of code that is trusted: see `build`.

        Args:
            family: what the agent learns on, or what a robot says in its place.
        """
        config = self.config
        agent = locate(self.path, "agents", config.agent, config.agent_sha256)
        require(self.path, "agents", agent, self.trust)
        return dataclasses.replace(config, agent=agent).build_agent(family)

    @own_process()
    def load(self) -> tuple[TaskFamily, Agent, dict[str, Any]]:
        """The family, the agent at its newest checkpoint, and the run's state there.

        Raises:
            InputError: if there is no checkpoint, or it is damaged or foreign, and
                what `build` raises.
        """
        family = self.build_family()
        return family, *self.load_agent(family)

    @own_process()
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
        typed(plain, checkpoint.State, newest / "state.json")
        agent = self.build_agent(family)
        if plain.get("agent_name") != agent.name:
            raise InputError(
                f"Checkpoint {newest} is of a {plain.get('agent_name')}, "
                f"not of a {agent.name}."
            )
        tensors = agent.from_earlier(tensors)
        for name, own in agent.save()[0].items():
            held = _kind(tensors[name]) if name in tensors else "missing"
            if held != _kind(own):
                raise InputError(
                    f"Checkpoint {newest} does not fit this agent: {name} is "
                    f"{held}, not {_kind(own)}."
                )
        checkpoint.verify(newest)
        try:
            agent.load(tensors, plain["agent"])
        except _MISFIT as error:
            raise InputError(
                f"Checkpoint {newest} does not fit this agent: {error}."
            ) from error
        return agent, plain

    def metrics(self) -> list[dict[str, Any]]:
        """A dictionary per meta-iteration; a line cut by a crash is left out."""
        return read_metrics(self.path / "metrics.jsonl")

    def rows(self, table: Table = "evaluation") -> list[dict[str, Any]]:
        """What the run's files hold, as rows of one table.

        Each begins with run, family, agent and seed. Nothing of the run is executed.

        Args:
            table: "evaluation": a row per split, task and budget of the newest one;
                "metrics": a row per meta-iteration.

        Raises:
            InputError: if there is none, or the file is damaged.
        """
        config = self.config
        if table not in ("evaluation", "metrics"):
            raise InputError(f"table={table!r} is neither 'evaluation' nor 'metrics'.")
        if table == "evaluation":
            path = self.path / "evaluation.json"
            if not path.exists():
                raise InputError(
                    f"{self.path} was not evaluated. Do it with "
                    f"`metarl evaluate {self.path}`."
                )
            return Evaluation.from_dict(read_json(path, self.path), path).rows()
        name, family = label(config.agent), label(config.family)
        own = {"run": name, "family": family, "agent": config.agent}
        rows = [{**own, "seed": config.seed, **row} for row in self.metrics()]
        if not rows:
            raise InputError(f"{self.path} has no metrics: it was not trained.")
        return rows

    def to_frame(self, table: Table = "evaluation") -> "pandas.DataFrame":
        """The same `rows` as a pandas table.

        Raises:
            InputError: what `rows` raises, or if pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise InputError("to_frame() needs pandas: pip install pandas") from error
        return pandas.DataFrame(self.rows(table))

    def cut_metrics(self, iteration: int) -> list[dict[str, Any]]:
        """Keep the rows before ``iteration``: a resumed run writes the rest again."""
        rows = [row for row in self.metrics() if row["iteration"] < iteration]
        with replacing(self.path / "metrics.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return rows


def _kind(tensor: Tensor) -> str:
    """The dtype and the shape of a tensor, in words."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _write_config(folder: Path, config: RunConfig) -> None:
    plain = {"format": FORMAT, **dataclasses.asdict(config)}
    for optional in ("family_sha256", "agent_sha256", "workers", "shard"):
        if not plain[optional]:
            del plain[optional]
    write_json(folder / "config.json", plain)


def as_run(run: Run | Path | str, family: str = "", trust: bool = False) -> Run:
    """A run, given as such or by its folder; see `Run` for the rest."""
    if not isinstance(run, Run):
        return Run(run, family=family, trust=trust)
    if family or trust:
        return Run(run.path, family=family or run.family, trust=trust or run.trust)
    return run


def video_name(split: str, index: int, seed: int) -> str:
    """Name of the video of a task; with the seed that drew it where that is not 0."""
    return f"{split}-{index}" + (f"-seed{seed}" if seed else "")


def find_run(config: RunConfig, out: Path | str) -> Run | None:
    """The newest run below ``out`` that is, or is the beginning of, the one asked for.

    The command is not compared: it may name other seeds of the same experiment.
    """

    def essence(config: RunConfig, earlier: bool) -> str:
        plain = dataclasses.replace(config, command="", steps=0, workers=0)
        if earlier:  # its files were not recorded
            plain = dataclasses.replace(plain, family_sha256="", agent_sha256="")
        return json.dumps(dataclasses.asdict(plain), sort_keys=True)

    family, agent = label(config.family), label(config.agent)
    for path in sorted(Path(out).glob(f"{family}/{agent}/*/config.json"), reverse=True):
        run = Run(path.parent)
        earlier = not (run.config.family_sha256 or run.config.agent_sha256)
        same = essence(run.config, earlier) == essence(config, earlier)
        if same and run.config.steps <= config.steps:
            return run
    return None
