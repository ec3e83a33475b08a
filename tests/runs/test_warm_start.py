"""Meta-training that starts from the policy of another run."""

import pytest
import torch
from tiny import CONFIGS

from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.registry import names
from metarl.errors import InputError
from metarl.learning.agent import Agent, find_agent
from metarl.runs.folder import Run
from metarl.runs.train import resume, train

ABLE = [n for n in names("agents") if find_agent(n).warm_start is not Agent.warm_start]
OPTIONS = {"family_options": {"horizon": 12}, "quiet": True}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A policy of two tanh layers, trained on point-goal."""
    config = {**CONFIGS["randomized"], "hidden": (8, 6), "activation": "tanh"}
    out = tmp_path_factory.mktemp("source")
    return train(
        "point-goal", "randomized", steps=320, agent_config=config, out=out, **OPTIONS
    )


def settings_of(name):
    settings = {**CONFIGS[name], "hidden": (8, 6)}
    evolutionary = find_agent(name).kind == "evolutionary"
    return {**settings, "squash": False} if evolutionary else settings


def started(source, name, tmp_path, **changes):
    settings = {"agent_config": settings_of(name), "steps": 321, **OPTIONS, **changes}
    return train("point-goal", name, init=source.path, out=tmp_path, **settings)


def test_the_classes_that_need_it_can():
    kinds = {find_agent(name).kind for name in ABLE}
    assert kinds == {"gradient", "fast-weights", "evolutionary"}


@pytest.mark.parametrize("name", ABLE)
def test_it_acts_as_the_other_did_before_it_learns(name, source):
    _, trained, _ = source.load()
    family = trained.family
    kind = find_agent(name)
    agent = kind(family, kind.Config(**settings_of(name)), 3)
    agent.normalizer.enabled = not agent.normalizes
    agent.warm_start(trained)
    world = Environment(family, family.tasks("interpolation", 3))
    expected, acted = (
        collect(world, one.adaptation(3).policy(), seed=0).action
        for one in (trained, agent)
    )
    torch.testing.assert_close(acted, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["maml", "es-maml"])
def test_the_other_run_counts_in_the_budget_and_resumes_to_the_same_bits(
    name, source, tmp_path
):
    run = started(source, name, tmp_path / "whole", steps=2000)
    rows = run.metrics()
    assert rows[0]["control_steps"] > 320
    assert run.config.init == str(source.path.resolve())
    part = started(source, name, tmp_path / "part")
    resumed = resume(part.path, steps=2000, quiet=True)
    (one, other) = (Run(r.path).load()[1].save()[0] for r in (run, resumed))
    for tensor, value in one.items():
        assert torch.equal(other[tensor], value), tensor


def test_what_cannot_be_is_refused_before_a_folder_is_made(source, tmp_path):
    cases = [
        ("maml", {"agent_config": CONFIGS["maml"]}, r"\(8, 6\) units, and \(8,\)"),
        ("hill-climb", {"agent_config": CONFIGS["hill-climb"]}, "no-squash"),
        ("rl2", {"agent_config": CONFIGS["rl2"]}, "cannot start from the run"),
        ("maml", {"steps": 300}, "320 control steps"),
        ("maml", {"family_options": {"horizon": 9}}, "not on the same family"),
    ]
    for name, changes, message in cases:
        with pytest.raises(InputError, match=message):
            started(source, name, tmp_path, **changes)
    with pytest.raises(InputError, match="not a run folder"):
        train("point-goal", "maml", init=tmp_path, out=tmp_path, **OPTIONS)
    config = CONFIGS["randomized"]
    other = train(
        "point-goal",
        "randomized",
        steps=80,
        agent_config=config,
        out=tmp_path,
        **OPTIONS,
    )
    with pytest.raises(InputError, match="activation tanh"):
        started(other, "maml", tmp_path, agent_config=CONFIGS["maml"])
    assert not list(tmp_path.glob("*/maml"))
