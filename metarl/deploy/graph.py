"""A policy as an ONNX graph: tensors in, tensors out, normalization included.

A graph has no state and no branch. What a policy keeps from one step to the next goes
out with an action and in with the next observation. Numbers are float32 throughout,
but for those that count.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from metarl.environment.collect import one_torch_thread
from metarl.environment.episodes import MemoryPolicy, Policy, TimeStep
from metarl.errors import InputError
from metarl.learning.normalization import Normalizer
from metarl.tasks.randomness import torch_generator

NEXT = "next_"
"""Begins the name of an output that is an input of the next step."""
CHECKED_EPISODES, CHECKED_STEPS = 2, 6
"""What is compared of a graph and its policy."""
LARGEST_ERROR = 1e-4
"""Of an action, at which they would differ."""

Tensors = dict[str, Tensor]


@dataclass
class Graph:
    """What a policy computes, and what it has to be given."""

    model: Any
    """An ``onnx.ModelProto``."""
    inputs: Tensors
    """By name, as they are at the beginning of an episode. The observation, and noise
    if there is any, are others at each step."""
    outputs: Tensors
    """By name: the action, and the memory after it."""


def graph(policy: Policy, name: str, observation_size: int, action_size: int) -> Graph:
    """The graph of a policy.

    Args:
        policy: of one task.
        name: what errors call it.
        observation_size: numbers that it reads.
        action_size: numbers in an action.

    Raises:
        InputError: if it is no graph, or the graph does other than the policy does.
    """
    every = {
        "observation": torch.zeros(1, observation_size),
        "reward": torch.zeros(1),
        "first": torch.ones(1),
        "noise": torch.zeros(1, action_size),
    }
    with torch.no_grad(), one_torch_thread(), _frozen(policy, every):
        if isinstance(policy, MemoryPolicy):
            memory = policy.start(_time_step(every))
            every |= {name: part.clone() for name, part in memory.items()}
        names = [name for name, part in every.items() if part.numel()]
        with _refusing(name):
            step = _Step(policy, every, names)
            step = _Step(policy, every, _read(step))
            traced = torch.export.export(step, tuple(step.inputs.values()))
        _compare(traced.module(), step, policy, name)
        with _refusing(name):
            model = _onnx(step, traced)
        outputs = dict(zip(step.outputs, step(*step.inputs.values()), strict=True))
    return Graph(model, step.inputs, outputs)


class _Step(nn.Module):
    """A step of a policy of one robot, as a function of some of what it may read.

    Args:
        policy: acts.
        every: all that it may read, and the memory that it begins with.
        names: of what it is given; the rest is as in ``every``.
    """

    def __init__(self, policy: Policy, every: Tensors, names: list[str]) -> None:
        super().__init__()
        self.policy, self.every = policy, every
        self.inputs = {name: every[name] for name in names}
        self.memory = [name for name in every if name not in TimeStep._fields]
        self.kept = [name for name in self.memory if name in names]
        self.outputs = ["action", *(NEXT + name for name in self.kept)]

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        """The action, clipped, and the memory after it."""
        given = {**self.every, **dict(zip(self.inputs, values, strict=True))}
        time_step = _time_step(given)
        if not isinstance(self.policy, MemoryPolicy):
            return (self.policy.act(time_step)[0].clamp(-1, 1),)
        memory = {name: given[name] for name in self.memory}
        action, memory = self.policy.step(time_step, memory)
        return (action[0].clamp(-1, 1), *(memory[name] for name in self.kept))


def _time_step(given: Tensors) -> TimeStep:
    """What a policy reads, of one task and one copy."""
    return TimeStep(
        given["observation"][None],
        given["reward"][None],
        given["first"][None] > 0.5,
        torch.ones(1, 1, dtype=torch.bool),
        given["noise"][None],
    )


def _read(step: _Step) -> list[str]:
    """Names of the inputs that actions depend on, now or later."""
    traced = torch.export.export(step, tuple(step.inputs.values()))
    nodes = {node.name: node for node in traced.graph.nodes}
    signature = traced.graph_signature
    places = dict(zip(signature.user_inputs, step.inputs, strict=True))
    sources = dict(zip(step.outputs, signature.user_outputs, strict=True))
    read: set[str] = set()
    asked = ["action"]
    while asked:
        source = sources[asked.pop()]
        seen, ahead = set(), [nodes[source]] if source in nodes else []
        while ahead:
            node = ahead.pop()
            if node not in seen:
                seen.add(node)
                ahead += node.all_input_nodes
        new = {places[node.name] for node in seen if node.name in places} - read
        read |= new
        asked += [NEXT + name for name in new if NEXT + name in sources]
    return [name for name in step.inputs if name in read or name == "observation"]


def _onnx(step: _Step, traced: torch.export.ExportedProgram) -> Any:
    """The model, without the paths and the traces of the machine that wrote it."""
    program = torch.onnx.export(
        traced,
        input_names=list(step.inputs),
        output_names=step.outputs,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    for part in (
        *(model, model.graph, *model.graph.node, *model.graph.value_info),
        *(*model.graph.input, *model.graph.output, *model.graph.initializer),
    ):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


@contextlib.contextmanager
def _frozen(policy: Policy, every: Tensors) -> Iterator[None]:
    """Replace what a policy's normalizers compute by constants of float32."""
    found: dict[Normalizer, None] = {}

    def note(module: nn.Module, _: Any) -> None:
        if isinstance(module, Normalizer):
            found[module] = None

    hook = register_module_forward_pre_hook(note)
    try:
        policy.act(_time_step(every))
    finally:
        hook.remove()
    try:
        for normalizer in found:
            object.__setattr__(normalizer, "forward", _constants(normalizer))
        yield
    finally:
        for normalizer in found:
            object.__delattr__(normalizer, "forward")


def _constants(normalizer: Normalizer) -> Callable[[Tensor], Tensor]:
    """What a normalizer does, without its branches.

    The mean is the sum of two numbers: the first difference does not round where an
    observation is near it, so that float32 suffices.
    """
    if not normalizer.enabled or normalizer.count < 2:
        return lambda observation: observation
    mean = normalizer.mean.float()
    rest = (normalizer.mean - mean).float()
    scale = (normalizer.variance + normalizer.epsilon).sqrt()
    scale = scale.clamp(min=normalizer.floor).float()
    return lambda o: ((o - mean - rest) / scale).clamp(-10, 10)


@contextlib.contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Say in a line what exporters say on many pages, to their own developers."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"The policy of {name} cannot be exported: its actions are no function of "
            f"tensors without branches. {said}"
        ) from error
    finally:
        logging.disable(before)


def _compare(graph: nn.Module, step: _Step, policy: Policy, name: str) -> None:
    """Refuse a graph that acts differently, as it lacks what the policy keeps.

    Raises:
        InputError: if it does.
    """
    generator = torch_generator(0, "export")
    for _ in range(CHECKED_EPISODES):
        given = {name: part.clone() for name, part in step.every.items()}
        for _ in range(CHECKED_STEPS):
            for new in ("observation", "noise"):
                given[new] = torch.randn(given[new].shape, generator=generator)
            action, *memory = graph(*(given[name] for name in step.inputs))
            expected = policy.act(_time_step(given))[0].clamp(-1, 1)
            error = float((action - expected).abs().max())
            if not error < LARGEST_ERROR:
                raise InputError(
                    f"The policy of {name} cannot be exported: it acts on something "
                    f"that it keeps to itself, so that its graph is off by {error:.2g}."
                    " Give it start() and step(): see metarl.environment.episodes."
                )
            given |= {n: m for n, m in zip(step.kept, memory, strict=True)}
            given["reward"] = torch.randn(1, generator=generator)
            given["first"] = torch.zeros(1)
