"""What a robot must know of the family that its agent was trained on.

It is written to a run's folder as ``robot.json``, so that a robot's computer needs
neither MuJoCo nor the file of the family.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metarl.environment.family import Spec, TaskFamily
from metarl.errors import InputError, RunError
from metarl.runs.files import read_json, typed, write_json
from metarl.runs.folder import Run

FORMAT = "metarl-robot/1"
FILE = "robot.json"


@dataclasses.dataclass(frozen=True)
class Robot:
    """Sizes, units and timing. To an agent that adapts, it stands for the family."""

    name: str
    """Of the family."""
    observation_size: int
    action_size: int
    task_size: int
    horizon: int
    """Control steps of an episode."""
    control_period: float
    """Seconds of a control step."""
    observation_names: tuple[str, ...] = ()
    """Components of an observation in order, with units; empty where not known."""
    action_names: tuple[str, ...] = ()
    """Components of an action in order, each in [-1, 1]; empty where not known."""

    @classmethod
    def of(cls, family: TaskFamily) -> "Robot":
        """What a family says.

        Raises:
            InputError: if it names more or fewer components than an observation has.
        """
        size = family.spec.observation_size  # which knows the names of its parts
        names = tuple(family.observation_names)
        if names and len(names) != size:
            raise InputError(
                f"{family.name} has {size} observations, but observation_names of "
                f"{len(names)}."
            )
        return cls(
            family.name,
            *family.spec,
            family.horizon,
            family.control_period,
            names,
            _actuators(family),
        )

    @property
    def spec(self) -> Spec:
        """Sizes of observations, actions and tasks."""
        return Spec(self.observation_size, self.action_size, self.task_size)

    def observation_name(self, index: int) -> str:
        """The name of a component of an observation, or else its index."""
        names = self.observation_names
        return f"{index} ({names[index]})" if names else str(index)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"An agent asks for family.{name}. On a robot there is no family, only "
            f"spec, horizon and what else {FILE} holds."
        )

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Robot":
        """What `to_dict` returned.

        Raises:
            TypeError: for a field too many or too few.
        """
        names = {n: tuple(plain[n]) for n in ("observation_names", "action_names")}
        return cls(**{**plain, **names})


def write_robot(folder: Path, family: TaskFamily) -> Robot:
    """Write ``robot.json`` to a run's folder."""
    robot = Robot.of(family)
    write_json(folder / FILE, {"format": FORMAT, **robot.to_dict()})
    return robot


def robot_of(run: Run) -> Robot:
    """What a run says of its robot; an earlier run is asked for its family.

    Raises:
        InputError: if ``robot.json`` is damaged or of a later version; or if it is
            missing, as in runs of earlier versions, and the family needs MuJoCo.
    """
    path = run.path / FILE
    if not path.exists():
        return _of_earlier(run)
    plain = read_json(path, root=path.parent)
    if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT:
        raise InputError(f"{path}: this metarl reads {FORMAT!r}.")
    return typed(plain, Robot, f"{path} says too little of a robot")


def _of_earlier(run: Run) -> Robot:
    try:
        return Robot.of(run.build_family())
    except (RunError, ImportError) as error:
        raise InputError(
            f"{run.path} has no {FILE}, as earlier versions wrote none, and to make it "
            f"from {run.config.family} needs MuJoCo. Where that is installed, `metarl "
            f"resume {run.path}` writes it; copy it from there."
        ) from error


def _actuators(family: TaskFamily) -> tuple[str, ...]:
    """Names of the actuators, where an action has one component for each."""
    try:
        nominal = family.models.nominal
    except NotImplementedError:
        return ()  # a bridge's family builds no model
    if nominal.nu != family.spec.action_size:
        return ()
    return tuple(nominal.actuator(i).name for i in range(nominal.nu))
