"""Another default dtype or device of the process changes no number of metarl's."""

import contextlib

import pytest
import torch

import metarl
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.environments import Environments
from metarl.environment.registry import names
from metarl.learning.adapt import adapt
from metarl.tasks.defaults import own_defaults

SIZES = {
    "maml": {"tasks": 2, "episodes": 4, "hidden": (8,)},
    "randomized": {"simulations": 4, "rollout": 8, "hidden": (8,)},
    "rl2": {},
}
STEPS = {"maml": 400, "randomized": 64}


@contextlib.contextmanager
def process(dtype=torch.float32, device=None, within=None):
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_default_dtype, torch.float32)
        stack.callback(torch.set_default_device, None)
        torch.set_default_dtype(dtype)
        torch.set_default_device(device)
        if within is not None:
            stack.enter_context(within())
        yield


OTHERS = {
    "float64": {"dtype": torch.float64},
    "bfloat16": {"dtype": torch.bfloat16},
    "a device": {"device": "meta"},
    "both": {"dtype": torch.float64, "device": "meta"},
    "within a device": {"within": lambda: torch.device("meta")},
    "without gradients": {"within": torch.no_grad},
    "inference": {"within": torch.inference_mode},
}


def numbers(agent):
    """What a small training and a loop by hand come to."""
    family = metarl.make_family("point-goal", horizon=10)
    run = metarl.train(
        "point-goal",
        agent,
        steps=STEPS[agent],
        quiet=True,
        family_options={"horizon": 10},
        agent_config=SIZES[agent],
    )
    results = metarl.evaluate(run, splits=["far"], tasks=2, budgets=[0, 4])
    loaded, trained = metarl.load(run)
    tasks = family.tasks("far", 2)
    points = adapt(
        trained.adaptation(2), Environments(loaded), tasks, [0, 4], ("by hand",)
    )
    returns = []
    for point in points:
        episodes = collect(Environment(family, tasks, 2), point.policy, seed=1)
        returns.append(episodes.returns.tolist())
    return [p.returns for p in results.splits["far"].points], returns


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("usual"))
        return {agent: numbers(agent) for agent in STEPS}


@pytest.mark.parametrize("agent", STEPS)
@pytest.mark.parametrize("other", OTHERS)
def test_training_evaluating_and_adapting_give_the_same_numbers(agent, other, usual):
    with process(**OTHERS[other]):
        before = torch.get_default_dtype(), torch.get_default_device()
        found = numbers(agent)
        assert (torch.get_default_dtype(), torch.get_default_device()) == before
    assert found == usual[agent]


@pytest.mark.parametrize("name", names("families"))
def test_every_family_simulates_alike(name):
    def observations():
        family = metarl.make_family(name)
        environment = Environment(family, family.tasks("train", 2), threads=1)
        seen = [environment.reset(0)]
        for _ in range(2):
            action = torch.full((2, family.action_size), 0.3, device="cpu")
            step = environment.step(action.float())
            seen += [step.observation, step.reward[:, None]]
        return torch.cat(seen, 1)

    usual = observations()
    with process(torch.float64, "meta"):
        assert torch.equal(observations(), usual)


def test_an_error_leaves_the_process_as_it_was():
    with process(torch.float64, "meta"):
        with pytest.raises(ZeroDivisionError), own_defaults():
            assert torch.zeros(1).dtype == torch.float32
            assert torch.zeros(1).device.type == "cpu"
            raise ZeroDivisionError
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_default_device().type == "meta"


@pytest.mark.parametrize(
    "line",
    ["torch.set_default_dtype(torch.float64)", "torch.set_default_device('meta')"],
)
def test_what_a_users_file_sets_is_undone_and_said(line, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        f"import torch\n{line}\n"
        "from metarl.envs.navigation.point import PointGoal\n"
        "class Mine(PointGoal):\n    '''A point.'''\n"
    )
    with pytest.warns(RuntimeWarning, match=r"mine\.py:Mine sets torch's default"):
        metarl.make_family("mine.py:Mine")
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_device().type == "cpu"
