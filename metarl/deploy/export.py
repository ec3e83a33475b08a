"""The policy of a run as one ONNX file, for computers without torch and metarl.

path = export("runs/...", after=20, split="far", index=3)       # policy-....onnx
card = json.loads(path.with_suffix(".json").read_text())        # what it is given

The card names all inputs and outputs, with their shapes and what the inputs are at the
beginning of an episode.
"""

import importlib.util
from pathlib import Path
from typing import Any

from torch import Tensor

import metarl
from metarl.deploy.graph import NEXT, Graph, graph
from metarl.deploy.load import Loaded, load
from metarl.environment.environments import Environments
from metarl.environment.episodes import Policy
from metarl.environment.family import TaskFamily
from metarl.environment.registry import label
from metarl.errors import InputError
from metarl.learning.adapt import adapt
from metarl.runs import checkpoint
from metarl.runs.files import replacing, sha256, write_json
from metarl.runs.folder import Run, as_run, video_name
from metarl.runs.robot import Robot
from metarl.runs.system import commit
from metarl.tasks.defaults import own_process

FORMAT = "metarl-policy/1"
ABOUT = {
    "observation": "in the order and units of the family, not normalized",
    "reward": "of the step before; 0 in the first step of an episode",
    "first": "1 in the first step of an episode, then 0",
    "noise": "standard normal numbers, others at each step; zeros act by the mean",
    "action": "each in [-1, 1]: see controls",
}
"""What inputs and outputs are; all others are memory."""


@own_process()
def export(
    run: Run | Path | str,
    out: Path | str | None = None,
    *,
    after: int = 0,
    split: str = "far",
    index: int = 0,
    seed: int = 0,
    adapter: Path | str | None = None,
    family: str = "",
    trust: bool = False,
) -> Path:
    """Write a run's policy as an ONNX file, and a JSON card beside it.

    Args:
        run: a run or its folder.
        out: the file, ending in ``.onnx``; default: one in the run's folder.
        after: episodes of adaptation in simulation before; 0 exports the policy as it
            was trained.
        split: the split of the task that it adapts to.
        index: which task of the split.
        seed: freezes the split and the noise.
        adapter: folder in which an adapter saved what it learnt on a robot: the policy
            is the one that it would deploy then.
        family: what the run's family is now, if that moved.
        trust: run code that the run names without asking: see `metarl.load`.

    Returns:
        The ONNX file.

    Raises:
        InputError: for an oracle, a policy that is no graph of tensors, an unknown
            split, a run without a whole checkpoint, code that is gone or not trusted,
            or a package that is missing.
    """
    run = as_run(run, family, trust)
    name = f"-{video_name(split, index, seed)}-after{after}" if after else ""
    name = "-adapter" if adapter is not None else name
    path = Path(out) if out is not None else run.path / f"policy{name}.onnx"
    if path.suffix != ".onnx":
        raise InputError(f"{path} must end in .onnx: the card beside it in .json.")
    if after < 0 or index < 0:
        raise InputError(f"after={after} and index={index} must be 0 or more.")
    if adapter is not None and after:
        raise InputError(
            f"after={after} is of a simulation, and adapter={adapter} not."
        )
    _require_packages()
    loaded = load(run)
    if loaded.agent.observes_task:
        raise InputError(
            f"{loaded.agent.name} observes the task, which no robot knows."
        )
    if adapter is not None:
        policy, adapted = _on_robot(loaded, Path(adapter))
    elif after:
        policy, adapted = _in_simulation(loaded, after, split, index, seed)
    else:
        policy = loaded.agent.adaptation(1).policy()
        adapted = {"episodes": 0, "about": "as it was trained"}
    robot = (
        loaded.family if isinstance(loaded.family, Robot) else Robot.of(loaded.family)
    )
    made = graph(policy, loaded.agent.name, robot.observation_size, robot.action_size)
    with replacing(path) as temporary:
        temporary.write_bytes(made.model.SerializeToString(deterministic=True))
    write_json(
        path.with_suffix(".json"),
        {
            "format": FORMAT,
            "model": path.name,
            "sha256": sha256(path),
            "family": robot.name,
            "agent": label(run.config.agent),
            "seed": run.config.seed,
            "weights_sha256": checkpoint.weights_sha256(run.checkpoints),
            "metarl": metarl.__version__,
            "commit": commit(),
            "adaptation": adapted,
            "observation_size": robot.observation_size,
            "action_size": robot.action_size,
            "control_period": robot.control_period,
            "horizon": robot.horizon,
            "observation_names": robot.observation_names or None,
            "action_names": robot.action_names or None,
            **_controls(loaded.family),
            **_tensors(made),
        },
    )
    return path


def _require_packages() -> None:
    missing = [p for p in ("onnx", "onnxscript") if not importlib.util.find_spec(p)]
    if missing:
        raise InputError(
            f"To export needs {' and '.join(missing)}: "
            "pip install 'metarl-suite[deploy]'"
        )


def _in_simulation(
    loaded: Loaded, after: int, split: str, index: int, seed: int
) -> tuple[Policy, dict[str, Any]]:
    """The policy after episodes of a task, which are those of an adapter's seed."""
    family, agent = loaded
    if isinstance(family, Robot):
        raise InputError(
            f"after={after} adapts in simulation, which needs MuJoCo: export where it "
            "is installed."
        )
    (task,) = family.tasks(split, 1, seed, start=index)
    purpose = (seed, "evaluation", "support")
    points = adapt(agent.adaptation(1), Environments(family), [task], [after], purpose)
    adapted = {
        "episodes": after,
        "about": f"adapted in simulation to task {index} of {split}: {task}",
        "split": split,
        "index": index,
        "seed": seed,
        "task": task.to_dict(),
    }
    return next(points).policy, adapted


def _on_robot(loaded: Loaded, folder: Path) -> tuple[Policy, dict[str, Any]]:
    """The policy that an adapter would deploy when it saved."""
    adapter = loaded.adapter().resume(folder)
    try:
        adapter.freeze()
    except InputError as error:
        raise InputError(
            f"{folder} was saved in the middle of an episode, of which nothing is "
            "learnt yet. Resume it, call end_episode() and save it again."
        ) from error
    adapted = {"episodes": adapter.spent, "about": "adapted by an adapter, on a robot"}
    return adapter.adaptation.policy(), adapted


def _controls(family: TaskFamily | Robot) -> dict[str, Any]:
    """What -1 and 1 are."""
    if isinstance(family, Robot):
        return {"control_ranges": None, "controls": "see the family's act()"}
    ranges = None
    try:
        nominal = family.models.nominal
    except NotImplementedError:
        pass  # a bridge's family builds no model
    else:
        if nominal.nu == family.spec.action_size:
            ranges = nominal.actuator_ctrlrange.tolist()
    own = type(family).act is not TaskFamily.act
    return {
        "control_ranges": ranges,
        "controls": "the family's act() makes them of an action"
        if own
        else "-1 and 1 are the ends of each control range, in the units of the model",
    }


def _tensors(made: Graph) -> dict[str, Any]:
    """Inputs and outputs, for the card."""
    memory = f"{NEXT}{{}} of the step before; initial where an episode begins"
    return {
        "inputs": [
            {
                **_described(name, tensor),
                "initial": _initial(tensor),
                "about": ABOUT.get(name, memory.format(name)),
            }
            for name, tensor in made.inputs.items()
        ],
        "outputs": [
            {
                **_described(name, tensor),
                "about": ABOUT.get(name, f"{name.removeprefix(NEXT)} of the next step"),
            }
            for name, tensor in made.outputs.items()
        ],
    }


def _described(name: str, tensor: Tensor) -> dict[str, Any]:
    kind = str(tensor.dtype).removeprefix("torch.")
    return {"name": name, "shape": list(tensor.shape), "type": kind}


def _initial(tensor: Tensor) -> Any:
    """A number where all are the same, which zeros are, or else all of them."""
    first = tensor.flatten()[0]
    return first.item() if bool((tensor == first).all()) else tensor.tolist()
