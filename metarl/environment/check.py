"""`metarl check`: does a family keep the contract that every part of metarl relies on?

Each check is a function of the family. It returns a line for people or nothing, and
raises `ContractError` with what is wrong and what to do about it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarl.environment import outputs
from metarl.environment.environment import Environment
from metarl.environment.family import TaskFamily
from metarl.environment.gymnasium import GymnasiumEnv, GymnasiumVectorEnv
from metarl.environment.sb3 import StableBaselinesEnv
from metarl.environment.speed import measure_speed, seeded_actions
from metarl.errors import InputError, RunError
from metarl.simulation.engine import WARNINGS, mujoco
from metarl.tasks.parameter import Choice, Parameter
from metarl.tasks.task import Task

LONG = 150
"""Control steps after which a parameter must have been felt."""
LARGEST_REWARD = 1e3
"""A larger reward in one step is most likely a mistake, and hard to learn from."""


Check = Callable[[TaskFamily], str | None]
"""A line for people or nothing; raises `ContractError`."""


class ContractError(Exception):
    """A part of the contract that a family does not keep."""


def check(family: TaskFamily, speed: bool = True, extra: Sequence[Check] = ()) -> int:
    """Run every check and print a line for each.

    Args:
        family: anybody's.
        speed: also measure control steps per second, which takes a few seconds.
        extra: further checks.

    Returns:
        The number of checks that failed.
    """
    broken = 0
    for examine in (*CHECKS, *([is_fast] if speed else []), *extra):
        title = (examine.__doc__ or "").splitlines()[0].rstrip(".")
        try:
            detail = examine(family)
        except (ContractError, InputError, RunError) as problem:
            broken += 1
            print(f"BROKEN  {title}\n        {problem}", flush=True)
            if examine is has_a_model:
                break  # the others would only say it again
        except Exception as error:
            broken += 1
            where = _where(error)
            print(f"BROKEN  {title}\n        {type(error).__name__}: {error}{where}")
        else:
            print(f"ok      {title}{f': {detail}' if detail else ''}", flush=True)
    return broken


def describes_itself(family: TaskFamily) -> str:
    """It says what it is, what varies and what success means."""
    if not (type(family).__doc__ or "").strip():
        raise ContractError("Give the class a docstring: `metarl info` shows it.")
    if not family.parameters:
        raise ContractError("`parameters` is empty: every task would be the same.")
    if not family.success_measure:
        return "no success_measure, so that reports show returns alone"
    return ", ".join(family.parameters)


def has_a_model(family: TaskFamily) -> str:
    """Its nominal model is built, observed and acted on."""
    spec = family.spec
    return f"{spec.observation_size} observations, {spec.action_size} actions"


def splits_are_apart(family: TaskFamily) -> str:
    """Held-out tasks lie outside the train ranges, and no order changes a task."""
    for split in family.splits:
        tasks = family.tasks(split, 16)
        alone = family.tasks(split, 1, start=7)[0]
        if alone != tasks[7]:
            raise ContractError(f"Task 7 of {split!r} depends on how many are drawn.")
        if Task.from_dict(alone.to_dict()) != alone:
            raise ContractError(f"A task of {split!r} does not survive JSON: {alone}.")
        distances = [family.space.distance(task) for task in tasks]
        outside = [distance > 0 for distance in distances]
        if split in ("near", "far", "structure") and not all(outside):
            raise ContractError(
                f"A task of {split!r} lies inside the train ranges: {alone}."
            )
        if split in ("train", "interpolation", "composition") and any(outside):
            raise ContractError(
                f"A task of {split!r} lies outside the train ranges: {alone}."
            )
    return ", ".join(family.splits)


def simulates(family: TaskFamily) -> str:
    """Every split simulates: finite observations, rewards within reason."""
    tasks = [task for split in family.splits for task in family.tasks(split, 4)]
    environment = Environment(family, tasks)
    environment.reset(0)
    low = high = 0.0
    for action in seeded_actions(family, environment.n):
        step = environment.step(action)
        low, high = (
            min(low, float(step.reward.min())),
            max(high, float(step.reward.max())),
        )
        if step.diverged.any():
            index = int(step.diverged.nonzero()[0, 0])
            cause = _not_finite(environment, index, action.to(environment.sim.qpos))
            raise ContractError(
                f"The simulation of {environment.tasks[index]} blew up under random "
                f"actions{cause}. Try a smaller timestep, softer gains or narrower "
                "ranges."
            )
    for kind, count in environment.sim.warnings().items():
        if count.any():
            where = f"{int(count.sum())} times, most often in {tasks[count.argmax()]}"
            raise ContractError(f"MuJoCo warned {where}: {WARNINGS[kind]}.")
    if max(-low, high) > LARGEST_REWARD:
        raise ContractError(
            f"Rewards of a step reach from {low:.3g} to {high:.3g}: scale them to "
            "about 1."
        )
    return f"{len(tasks)} tasks, rewards of a step from {low:.3g} to {high:.3g}"


def is_deterministic(family: TaskFamily) -> None:
    """The same seed gives the same bits, at any number of threads."""
    tasks = family.tasks("train", 3)
    runs = [
        _trace(Environment(family, tasks, 2, threads=threads), seed=5)
        for threads in (1, 1, 2)
    ]
    for run, what in zip(runs[1:], ("twice in a row", "with two threads"), strict=True):
        if not torch.equal(runs[0], run):
            raise ContractError(
                f"The same seed gives another episode {what}. Draw from the `rng` that "
                "reset() gets, and keep what you remember in sim.remember()."
            )


def parameters_are_felt(family: TaskFamily) -> str:
    """Each parameter changes what happens."""
    dull: list[str] = []
    shown: list[str] = []
    unmet: list[str] = []
    for name, parameter in family.parameters.items():
        if (
            isinstance(parameter, Parameter)
            and parameter.bounds[0] == parameter.bounds[1]
        ):
            continue
        start, felt = _apart(family, name, parameter)
        if start:
            shown.append(name)
        if not felt:
            (unmet if _modelled(family, name, parameter) else dull).append(name)
    if dull:
        raise ContractError(
            f"Nothing changes with {', '.join(dull)}: neither models nor states nor "
            "observations nor rewards. Is the value read in build(), observe() or "
            "reward()?"
        )
    notes = [f"visible in the first observation: {', '.join(shown) or 'none'}"]
    if unmet:
        # Pads that never touch anything are not felt, however soft.
        notes.append(f"in the model, but not met by random actions: {', '.join(unmet)}")
    return "; ".join(notes)


def adapters_agree(family: TaskFamily) -> None:
    """Gymnasium, its vector interface and Stable-Baselines3 see the same numbers."""
    task = family.tasks("train", 1)[0]
    single = GymnasiumEnv(family, task)
    vector = GymnasiumVectorEnv(Environment(family, [task]))
    baselines = StableBaselinesEnv(Environment(family, [task]))
    baselines.seed(3)
    seen = [single.reset(seed=3)[0], vector.reset(seed=3)[0][0], baselines.reset()[0]]
    for action in seeded_actions(family, 1)[:20].numpy():
        if not all(np.array_equal(seen[0], other) for other in seen[1:]):
            raise ContractError(
                "The three adapters differ. Does observe() change anything?"
            )
        one = single.step(action[0])
        if one[2] or one[3]:
            break  # the vectors have started a new episode by now
        baselines.step_async(action)
        other = baselines.step_wait()
        seen = [one[0], vector.step(action)[0][0], other[0][0]]
        if abs(one[1] - float(other[1][0])) > 0:
            raise ContractError(
                "The adapters' rewards differ. Does reward() depend on calls?"
            )


def goes_on_from_a_state(family: TaskFamily) -> None:
    """An episode saved in the middle goes on to the same bits."""
    tasks = family.tasks("train", 3)
    whole, again = Environment(family, tasks), Environment(family, tasks)
    whole.reset(1)
    actions = seeded_actions(family, 3)
    for action in actions[:10]:
        seen = whole.step(action).observation
    loaded = again.load_state(*whole.state())
    running = whole.active
    if not torch.equal(loaded[running], seen[running]):
        raise ContractError(
            "Runs could not be resumed: a state that is loaded looks another than it "
            "did. Keep what you remember in sim.remember(name, like), and read forces "
            "and accelerations by sensors: fields such as cfrc_ext are those of the "
            "last physics step."
        )
    for action in actions[10:20]:
        one, other = whole.step(action), again.step(action)
        same = torch.equal(one.observation, other.observation)
        if not (same and torch.equal(one.reward, other.reward)):
            raise ContractError(
                "Runs could not be resumed: something is remembered outside of the "
                "simulation. Keep it in sim.remember(name, like)."
            )


def ends_with_success(family: TaskFamily) -> str:
    """An episode ends with a success in [0, 1] and finite measures."""
    environment = Environment(family, family.tasks("train", 4))
    environment.reset(0)
    actions = seeded_actions(family, 4, family.horizon)
    made = 0
    while environment.active.any():
        environment.step(actions[made % len(actions)])
        made += 1
    outcome = environment.outcome()
    success = outcome.pop("success")
    if family.success_measure and not ((success >= 0) & (success <= 1)).all():
        raise ContractError(f"success() is {success.tolist()}; it must lie in [0, 1].")
    for name, value in outcome.items():
        if value.shape != (4,) or not value.isfinite().all():
            raise ContractError(
                f"metrics() gives {name} = {value}: one finite number each."
            )
    return f"random actions: success {success.mean():.0%}, after {made} steps at most"


def is_fast(family: TaskFamily) -> str:
    """It runs many simulations at a time."""
    rate, physics = measure_speed(family)
    return (
        f"{rate:,.0f} control steps/s with 256 simulations, {physics:.0%} of the time "
        "in the physics"
    )


CHECKS: Sequence[Check] = (
    describes_itself,
    has_a_model,
    splits_are_apart,
    simulates,
    is_deterministic,
    parameters_are_felt,
    adapters_agree,
    goes_on_from_a_state,
    ends_with_success,
)


def _not_finite(environment: Environment, index: int, action: Tensor) -> str:
    """Which of a family's methods gave no number, if the state itself is finite."""
    family, sim = environment.family, environment.sim
    if sim.diverged()[index] or not sim.qpos[index].isfinite().all():
        return ""
    given = {
        "observe": outputs.observation(family, sim),
        "reward": family.reward(sim, action),
    }
    wrong = [f"{m}()" for m, v in given.items() if not v[index].isfinite().all()]
    return f": {' and '.join(wrong)} gave NaN or infinity" if wrong else ""


def _trace(environment: Environment, seed: int) -> Tensor:
    """All that happens in an episode, (n, ...)."""
    seen = [environment.reset(seed)]
    for action in seeded_actions(environment.family, environment.n, LONG):
        step = environment.step(action)
        seen += [step.observation, step.reward[:, None], environment.sim.qpos.float()]
    # A sparse reward may be felt by nobody, but the measures know it.
    outcome = torch.stack(list(environment.outcome().values()), 1)
    return torch.cat([*seen, outcome.nan_to_num().float()], 1)


def _apart(
    family: TaskFamily, name: str, parameter: Parameter | Choice
) -> tuple[bool, bool]:
    """Whether a parameter's values differ in the first observation, and at all.

    Some parameters act only together with others (the place of a payload of 0 kg), so
    it is tried on several tasks.
    """
    ends = _ends(parameter)
    at_once, unlike = False, set()
    for base in (family.task(), *family.tasks("train", 6)):
        values = dict(base.values)
        traces = []
        for end in ends:
            task = family.task(**{**values, name: end})
            environment = Environment(family, [task], threads=1)
            size = environment.observation_size
            traces.append(_trace(environment, seed=0))
        first, *others = traces
        at_once |= any(not torch.equal(first[:, :size], t[:, :size]) for t in others)
        unlike |= {i for i, t in enumerate(others) if not torch.equal(first, t)}
        if len(unlike) >= _needed(parameter):
            return at_once, True
    return at_once, False


def _ends(parameter: Parameter | Choice) -> list[Any]:
    """The values to compare: every choice, or both bounds and one between them.

    Bounds may mean the same, as those of an angle do. The one between is no mean of
    them, which could do the same as both.
    """
    if isinstance(parameter, Choice):
        return list(parameter.values)
    low, high = parameter.bounds
    values = [low, low + 0.37 * (high - low), high]
    return values if parameter.size == 1 else [(v,) * parameter.size for v in values]


def _needed(parameter: Parameter | Choice) -> int:
    """How many values must do something else than the first: of a choice, every one."""
    return len(parameter.values) - 1 if isinstance(parameter, Choice) else 1


def _modelled(family: TaskFamily, name: str, parameter: Parameter | Choice) -> bool:
    """Whether its values make other compiled models."""
    models = set()
    for end in _ends(parameter):
        try:
            model = family.models(family.task(**{name: end}))
        except NotImplementedError:
            return False  # a black box has no model
        buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
        mujoco.mj_saveModel(model, None, buffer)
        models.add(buffer.tobytes())
    return len(models) > _needed(parameter)


def _where(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" ({trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno})"
