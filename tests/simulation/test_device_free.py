"""Families and the environment name no device and no dtype: see `meta_simulation`."""

import ast
from pathlib import Path

import pytest
import torch
from meta_simulation import MetaSimulation

import metarl
from metarl.environment.registry import names
from metarl.tasks.randomness import Streams, mix

ROOT = Path(__file__).parents[2]
MAKERS = ("zeros", "ones", "full", "empty", "eye", "arange", "linspace", "rand")
SOURCES = [
    *(ROOT / "metarl/environment" / f"{name}.py" for name in ("family", "environment")),
    *(ROOT / "metarl/environment" / f"{name}.py" for name in ("collect", "episodes")),
    *(p for p in (ROOT / "envs").rglob("*.py") if not p.name.startswith("gymnasium_")),
]


@pytest.mark.parametrize("name", names("families"))
def test_a_family_runs_on_any_device_and_dtype(name):
    family = metarl.make_family(name)
    real = family.simulate(family.tasks("train", 3), threads=1)
    everywhere = torch.ones(3, dtype=torch.bool)
    real.reset(everywhere)
    real.refresh()
    sim = MetaSimulation(real)
    ids = torch.arange(3, device="meta")
    family.reset(sim, ids, Streams(mix(0, range(3)), like=sim.qpos))
    action = torch.zeros(3, family.action_size, device="meta")
    family.act(sim, action)
    outputs = {
        "observe": family.observe(sim),
        "reward": family.reward(sim, action),
        "terminated": family.terminated(sim),
        "truncated": family.truncated(sim),
        "success": family.success(sim),
        **family.metrics(sim),
    }
    for method, output in outputs.items():
        assert output.device == sim.device, method
        assert output.dtype in (torch.float32, torch.bool), (method, output.dtype)
    for memory, value in sim.memory.items():
        assert value.device == sim.device, memory


def calls(path):
    """(line, attribute, keywords, whether torch's) of every call of an attribute."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            keywords = {keyword.arg for keyword in node.keywords}
            owner = node.func.value
            of_torch = isinstance(owner, ast.Name) and owner.id == "torch"
            yield node.lineno, node.func.attr, keywords, of_torch


def test_nothing_in_the_environment_turns_tensors_into_arrays():
    for path in SOURCES:
        for line, attribute, _, _ in calls(path):
            assert attribute not in ("numpy", "double"), f"{path}:{line}"


@pytest.mark.parametrize("name", ["family", "environment", "collect"])
def test_the_environment_makes_tensors_where_the_simulation_lives(name):
    path = ROOT / "metarl/environment" / f"{name}.py"
    for line, attribute, keywords, of_torch in calls(path):
        if of_torch and attribute in MAKERS:
            # Indices of tasks and copies make keys, which are made on the CPU.
            assert "device" in keywords or attribute == "arange", f"{path}:{line}"
