"""Parameter spaces, and the splits that draw tasks from them.

    space = ParameterSpace("pendulum", {
        "mass": Parameter(1.0, train=(0.5, 2.0), far=(2.0, 4.0), unit="kg"),
    })
    space.task(mass=1.7)                                # an exact task
    space.draw("far", index=0, seed=0, duration=2.0)    # mass in (2, 4) kg

Draws are keyed by (seed, split, index, parameter), so task i is the same task whatever
the number of tasks, their order or the worker.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from metarl.errors import InputError, unknown
from metarl.tasks.parameter import Choice, Parameter
from metarl.tasks.randomness import Streams, key, mix
from metarl.tasks.task import Switch, Task, short

SPLITS = (
    "train",
    "interpolation",
    "near",
    "far",
    "composition",
    "structure",
    "switch",
    "drift",
)
"""Every split that a family may have, in the order in which results are shown."""
CHANGING = ("switch", "drift")
"""Splits whose tasks change within an episode."""
IN_RANGE = ("interpolation", *CHANGING)
"""Splits of new tasks that lie in the train ranges, as their combinations do."""
DRIFT_PROBABILITY = 0.01
"""Of a change at each control step of `drift`: as when RMA is tested (Kumar et al.,
2021), which trains at 0.004."""


class ParameterSpace:
    """The named parameters of a family, and the splits that they allow.

    Args:
        family: name of the family, for its tasks.
        parameters: what varies, by name.
        composition: the held-out corner of the train ranges: an interval or a tuple of
            values for two or more parameters. Training never draws a task with all
            of them in there, though it draws each of them alone.
    """

    def __init__(
        self,
        family: str,
        parameters: Mapping[str, Parameter | Choice],
        composition: Mapping[str, Any] | None = None,
    ) -> None:
        self.family = family
        self.parameters = dict(parameters)
        self.composition = dict(composition or {})
        for name, parameter in self.parameters.items():
            parameter.validate(name)
        self._validate_composition()

    def _validate_composition(self) -> None:
        if self.composition and len(self.composition) < 2:
            raise InputError("composition names two or more parameters.")
        for name, part in self.composition.items():
            if name not in self.parameters:
                raise unknown("parameter in composition:", name, self.parameters)
            parameter = self.parameters[name]
            if not parameter.is_part(part):
                raise InputError(
                    f"composition[{name!r}]={part!r} must be a true part of "
                    f"train={parameter.train!r}."
                )

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that these parameters allow."""
        every = self.parameters.values()
        allowed = {
            "train": True,
            "interpolation": True,
            "near": any(p.shell("near") for p in every),
            "far": any(p.shell("far") for p in every),
            "composition": bool(self.composition),
            "structure": any(p.shell("structure") for p in every),
            "switch": bool(self._switching()),
            "drift": bool(self._switching()),
        }
        return tuple(split for split in SPLITS if allowed[split])

    def _switching(self) -> list[str]:
        """Parameters of the dynamics that can change in mid-episode."""
        return [
            name
            for name, p in self.parameters.items()
            if p.switches and p.varies and not p.goal
        ]

    def task(self, **values: Any) -> Task:
        """An exact task: the given values, and nominal ones for the rest.

        Raises:
            InputError: for an unknown name or a value out of bounds.
        """
        for name in values:
            if name not in self.parameters:
                raise unknown("parameter", name, self.parameters)
        return Task(
            self.family,
            tuple(
                (name, p.coerce(name, values.get(name, p.nominal)))
                for name, p in self.parameters.items()
            ),
        )

    def check(self, task: Task) -> Task:
        """Return the task if it belongs to this space.

        Raises:
            InputError: naming the parameter, the value and the bound; or what a
                switch changes, though it cannot change in mid-episode; or switches
                out of order.
        """
        if task.family != self.family:
            raise InputError(
                f"A task of family {task.family!r} is no task of {self.family!r}."
            )
        checked = self.task(**dict(task.values))
        switches = [self._checked_switch(switch, checked) for switch in task.switches]
        for one, other in itertools.pairwise(switches):
            if one.at >= other.at:
                raise InputError(
                    f"A switch at {one.at} s comes before one at {other.at} s: they "
                    "must be in the order of their times."
                )
        return replace(checked, switches=tuple(switches))

    def _checked_switch(self, switch: Switch, task: Task) -> Switch:
        """The switch of a checked task if it is one of this space."""
        after = self.task(**dict(switch.values))
        if not (math.isfinite(switch.at) and switch.at >= 0):
            raise InputError(f"Switch at {switch.at} s must be 0 or later.")
        for name, p in self.parameters.items():
            if (p.goal or not p.switches) and after[name] != task[name]:
                show = short if short(after[name]) != short(task[name]) else str
                raise InputError(
                    f"A switch changes {name!r} from {show(task[name])} to "
                    f"{show(after[name])}, but "
                    f"{'a goal' if p.goal else 'this'} stays for the whole episode."
                )
        return Switch(switch.at, after.values)

    def draw(
        self,
        split: str,
        index: int,
        seed: int,
        duration: float,
        control_period: float | None = None,
        drift: float = 0.0,
    ) -> Task:
        """Task ``index`` of a split under a seed.

        Args:
            split: one of `splits`.
            index: any integer from 0.
            seed: the seed that freezes the split.
            duration: length of an episode in seconds, for the times of switches.
            control_period: seconds a control step, which a drift needs.
            drift: probability, at each control step, that the parameters are drawn
                again from the train ranges; the split `drift` has its own.

        Raises:
            InputError: for a split that is unknown or that the family has not; for
                a drift in less than two control steps; or for a drift of parameters
                that cannot change in mid-episode.
        """
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        if split not in self.splits:
            raise InputError(
                f"Family {self.family!r} has no split {split!r}: no parameter allows "
                f"it. It has: {', '.join(self.splits)}."
            )
        if drift and not self._switching():
            raise InputError(
                f"drift={drift:g} changes nothing: no parameter of {self.family!r} may "
                "change in mid-episode."
            )
        values = self._inside(split, index, seed)
        if split in ("near", "far", "structure"):
            for name in self._leaving(split, index, seed):
                streams = _streams(seed, split, index, name, "outside")
                parameter = self.parameters[name]
                values[name] = parameter.draw(streams, parameter.shell(split))
        elif split == "composition":
            for name, part in self.composition.items():
                streams = _streams(seed, split, index, name, "corner")
                values[name] = self.parameters[name].draw_part(streams, part)
        task = self.task(**values)
        if split == "switch":
            unit = float(_streams(seed, split, index, "", "time").uniform())
            times, phases = [(0.25 + 0.5 * unit) * duration], ["switch, afterwards"]
        elif split == "drift" or drift:
            steps = _drift_steps(duration, control_period)
            if split == "drift":
                coins = _streams(seed, split, index, "", "coins").uniform(steps)[0]
                due = (coins < DRIFT_PROBABILITY).nonzero()[:, 0]
                if not len(due):  # a task of this split changes at least once
                    due = _streams(seed, split, index, "", "the one").integers(steps)
            else:
                coins = _streams(seed, split, index, "", "drift").uniform(steps)[0]
                due = (coins < drift).nonzero()[:, 0]
            times = [(1 + step) * (control_period or 0.0) for step in due.tolist()]
            phases = [f"{split}, change {number}" for number in range(len(times))]
        else:
            return task
        switching = self._switching()
        stays = {name: v for name, v in values.items() if name not in switching}
        later = [self._inside(phase, index, seed, stays) for phase in phases]
        switches = [
            Switch(at, self.task(**changed).values)
            for at, changed in zip(times, later, strict=True)
        ]
        return replace(task, switches=tuple(switches))

    def _inside(
        self, split: str, index: int, seed: int, stays: Mapping[str, Any] = {}
    ) -> dict[str, Any]:
        """Values inside the train ranges and outside their held-out corner.

        Those that stay are taken as they are.
        """
        for attempt in range(1000):
            values = {}
            for name, p in self.parameters.items():
                streams = _streams(seed, split, index, name, attempt)
                values[name] = p.draw(streams, p.trained)
            values.update(stays)
            if not self.in_corner(values):
                return values
        raise InputError(f"The composition of {self.family!r} leaves no train task.")

    def in_corner(self, values: Mapping[str, Any]) -> bool:
        """Whether values lie in the corner that training never draws."""
        return bool(self.composition) and all(
            self.parameters[name].in_part(values[name], part)
            for name, part in self.composition.items()
        )

    def _leaving(self, split: str, index: int, seed: int) -> list[str]:
        """The parameters that leave the train ranges: each by a coin, at least one."""
        able = [name for name, p in self.parameters.items() if p.shell(split)]
        coins = _streams(seed, split, index, "", "leaving").uniform(len(able))[0]
        chosen = [name for name, c in zip(able, coins.tolist(), strict=True) if c < 0.5]
        return chosen or [able[int(coins.argmin())]]

    def distance(self, task: Task) -> float:
        """Distance from the train ranges: Euclidean, in train widths (0 inside).

        A task with switches is as far as its furthest phase.
        """
        return max(
            math.hypot(*(p.distance(phase[n]) for n, p in self.parameters.items()))
            for phase in task.phases
        )

    def normalized(self, task: Task) -> Tensor:
        """The task as a vector for an agent that may see it, (size,) float32."""
        parts = [p.normalized(task[name]) for name, p in self.parameters.items()]
        values = [item for part in parts for item in part]
        return torch.tensor(values, dtype=torch.float32, device="cpu")

    def columns(self, tasks: Sequence[Task]) -> dict[str, Tensor]:
        """Values of every parameter as tensors, (n,) or (n, size) float64.

        A choice of numbers gives these numbers; a choice of strings gives the index
        into its `values`.
        """
        columns = {}
        for name, p in self.parameters.items():
            values = [task[name] for task in tasks]
            if isinstance(p, Choice) and any(isinstance(v, str) for v in p.values):
                values = [p.values.index(value) for value in values]
            columns[name] = torch.tensor(values, dtype=torch.float64, device="cpu")
        return columns


def _streams(
    seed: int, split: str, index: int, name: str, purpose: str | int
) -> Streams:
    return Streams(mix(key(seed, split, index, name, purpose)))


def _drift_steps(duration: float, control_period: float | None) -> int:
    """Control steps of an episode at which a drift may change the task.

    That is each but the first.
    """
    steps = round(duration / control_period) if control_period else 0
    if steps < 2:
        raise InputError(
            f"A drift needs two control steps or more: duration={duration:g} s and "
            f"control_period={control_period} s give {steps}."
        )
    return steps - 1
