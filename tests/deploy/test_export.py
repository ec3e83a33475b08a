"""A policy in ONNX acts as the deployed policy does, where neither torch nor metarl is.

One process without them serves all tests: it is given a folder with a policy, its card
and the episodes that a robot would make, and writes the actions there.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from simulated import SimulatedRobot, adapt, drive
from tiny import CONFIGS

import metarl
from metarl.cli import main
from metarl.deploy.graph import graph
from metarl.environment.environments import Environments
from metarl.environment.episodes import Episodes, TimeStep
from metarl.environment.registry import names
from metarl.errors import InputError
from metarl.learning import adapt as adapting
from metarl.learning.agent import find_agent
from metarl.runs import checkpoint, files
from metarl.runs.pretrained import HOME

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

EPISODES, STEPS = 2, 250
ORACLES = [name for name in names("agents") if find_agent(name).observes_task]
QUICK = ("maml", "history")
"""An export takes seconds. Of agents with a recurrent state, another test is quick."""
ROBOT = """
import json, sys
from pathlib import Path
import numpy as np, onnxruntime

for line in sys.stdin:
    folder = Path(line.strip())
    card = json.loads((folder / "policy.json").read_text())
    session = onnxruntime.InferenceSession(folder / "policy.onnx")
    kept = [each["name"].removeprefix("next_") for each in card["outputs"][1:]]
    made, actions = np.load(folder / "episodes.npz"), []
    start = {i["name"]: (i["shape"], i["initial"], i["type"]) for i in card["inputs"]}
    for index, episode in enumerate(made["observation"]):
        if index == 0 or not made["carried"]:
            feed = {name: np.full(*each) for name, each in start.items()}
        if index and made["carried"]:
            feed["first"][:] = 1
            feed["last_reward"][:] = feed["reward"]
            feed["reward"][:] = 0
        for step, observation in enumerate(episode):
            feed["observation"] = observation[None]
            if "noise" in feed:
                feed["noise"] = made["noise"][index, step][None]
            action, *memory = session.run(None, feed)
            actions.append(action)
            feed |= dict(zip(kept, memory))
            for name, value in (("reward", made["reward"][index, step]), ("first", 0)):
                if name in feed:
                    feed[name] = np.full(1, value, np.float32)
    np.save(folder / "actions.npy", actions)
    print({"torch", "metarl"} & set(sys.modules), flush=True)
"""


@pytest.fixture(scope="module")
def robot():
    """Gives the actions of the policy in a folder, in these episodes."""
    process = subprocess.Popen(
        [sys.executable, "-c", ROBOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={},  # no PYTHONPATH
        cwd="/",
    )

    def act(folder, episodes, carried=False):
        np.savez(folder / "episodes.npz", **episodes, carried=carried)
        print(folder, file=process.stdin, flush=True)
        assert process.stdout.readline() == "set()\n"
        actions = np.load(folder / "actions.npy")
        return actions.reshape(*episodes["observation"].shape[:2], -1)

    yield act
    process.stdin.close()
    assert process.wait(20) == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of an agent by its name, on one iteration."""

    @cache
    def run(name):
        return metarl.train(
            "point-goal",
            name,
            steps=1,
            out=tmp_path_factory.mktemp(name),
            family_options={"horizon": 12},
            agent_config=CONFIGS[name],
            quiet=True,
        )

    return run


def made(episodes=EPISODES, steps=STEPS):
    """What a robot might meet: observations far beyond those of training, too."""
    numbers = np.random.default_rng(0)

    def normal(*shape):
        return numbers.standard_normal(shape, np.float32)

    return {
        "observation": 3 * normal(episodes, steps, 2),
        "reward": normal(episodes, steps),
        "noise": normal(episodes, steps, 2),
    }


def acted(policy, episodes, after_each=lambda index: None):
    """Actions of a policy of torch, clipped as an adapter's are."""
    given = {name: torch.from_numpy(each) for name, each in episodes.items()}
    count, steps = given["reward"].shape
    actions = torch.zeros(count, steps, 2)
    for index in range(count):
        for step in range(steps):
            reward = given["reward"][index, step - 1] if step else torch.zeros(())
            actions[index, step] = policy.act(
                TimeStep(
                    given["observation"][index, step].view(1, 1, -1),
                    reward.view(1, 1),
                    torch.full((1, 1), step == 0),
                    torch.ones(1, 1, dtype=torch.bool),
                    given["noise"][index, step].view(1, 1, -1),
                )
            )[0, 0].detach()
        after_each(index)
    return actions.clamp(-1, 1).numpy()


def deployed(run, after, index):
    family, agent = metarl.load(run)
    (task,) = family.tasks("far", 1, start=index)
    points = adapting.adapt(
        agent.adaptation(1),
        Environments(family),
        [task],
        [after],
        (0, "evaluation", "support"),
    )
    return next(points).policy


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in names("agents")
        if name not in ORACLES
    ],
)
def test_the_file_acts_as_the_policy_does(name, trained, robot, tmp_path):
    run = trained(name)
    path = metarl.export(run, tmp_path / "policy.onnx", after=5, index=2)
    episodes = made()
    actions, expected = robot(tmp_path, episodes), acted(deployed(run, 5, 2), episodes)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, expected, rtol=0, atol=1e-5)
    assert np.abs(actions).max() <= 1 and actions.std() > 1e-4
    # Whatever is not needed is no input, and no number is of double precision.
    card = json.loads(path.with_suffix(".json").read_text())
    given = {each["name"] for each in card["inputs"]}
    read = {each for node in onnx.load(path).graph.node for each in node.input}
    assert given - {"observation"} <= read
    assert {each["type"] for each in card["inputs"]} <= {"float32", "int64"}
    kinds = {each.data_type for each in onnx.load(path).graph.initializer}
    assert onnx.TensorProto.DOUBLE not in kinds
    onnx.checker.check_model(str(path), full_check=True)


@pytest.mark.parametrize("name", ORACLES)
def test_an_oracle_is_refused_in_a_message(name, trained, tmp_path):
    with pytest.raises(InputError, match="observes the task, which no robot knows"):
        metarl.export(trained(name), tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


def test_a_memory_that_is_carried_adapts_over_episodes(trained, robot, tmp_path):
    """As in torch: what RL2 learns in an episode, it knows in the next."""
    run = trained("rl2")
    metarl.export(run, tmp_path / "policy.onnx")
    episodes = made(episodes=3, steps=12)
    adaptation = metarl.load(run).agent.adaptation(1)
    assert adaptation.kept < 3  # from then on each episode starts from the same state

    def learn(index):
        reward = torch.from_numpy(episodes["reward"][index])[None, None]
        length = torch.tensor([[12]])
        nothing = torch.zeros(1, 1, 12, 2)
        flags = torch.zeros(1, 1, dtype=torch.bool)
        adaptation.update(
            Episodes(nothing, nothing, reward, reward, length, flags, flags, reward)
        )

    expected = acted(adaptation, episodes, learn)[: adaptation.kept + 1]
    carried = robot(tmp_path, episodes, carried=True)[: adaptation.kept + 1]
    np.testing.assert_allclose(carried, expected, rtol=0, atol=1e-5)
    reset = robot(tmp_path, episodes)
    assert np.abs(reset[1] - carried[1]).max() > 1e-4


def test_what_was_learnt_on_a_robot_is_taken_along(trained, robot, tmp_path):
    run = trained("maml")
    family, agent = metarl.load(run)
    adapter = metarl.load(run).adapter(budget=0)
    machine = SimulatedRobot(family, family.tasks("far", 1, start=2)[0])
    adapt(adapter, machine, 3)  # of a round of four
    adapter.save("saves")
    metarl.export(run, tmp_path / "policy.onnx", adapter="saves")
    episodes = made(steps=20)
    expected = acted(adapter.adaptation.policy(), episodes)
    np.testing.assert_allclose(robot(tmp_path, episodes), expected, rtol=0, atol=1e-5)
    untouched = acted(agent.adaptation(1).policy(), episodes)
    assert np.abs(expected - untouched).max() > 1e-3
    card = json.loads((tmp_path / "policy.json").read_text())
    assert card["adaptation"]["episodes"] == 3

    drive(adapter, machine.reset(("support", 3), 1, 0), machine, steps=2)
    adapter.save("saves")
    with pytest.raises(InputError, match="in the middle of an episode"):
        metarl.export(run, tmp_path / "other.onnx", adapter="saves")
    with pytest.raises(InputError, match="holds nothing that an adapter has saved"):
        metarl.export(run, tmp_path / "other.onnx", adapter="nowhere")


def test_the_card_says_what_a_driver_must_know(tmp_path, capsys):
    out = tmp_path / "folder" / "point.onnx"
    command = ["export", str(HOME / "point-goal-maml"), "--out", str(out)]
    assert main([*command, "--after", "1", "--task", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"Written: {out}",
        f"Written: {out.with_suffix('.json')}",
    ]
    card = json.loads(out.with_suffix(".json").read_text())
    assert (card["model"], card["sha256"]) == ("point.onnx", files.sha256(out))
    assert (card["family"], card["agent"]) == ("point-goal", "maml")
    run = metarl.Run(HOME / "point-goal-maml")
    assert card["weights_sha256"] == checkpoint.weights_sha256(run.checkpoints)
    assert (card["control_period"], card["horizon"]) == (0.1, 100)
    assert card["observation_names"] == ["x / m", "y / m"]
    assert card["action_names"] == ["x", "y"]
    assert card["control_ranges"] == [[-1, 1], [-1, 1]]
    task = metarl.make_family("point-goal").tasks("far", 1, start=3)[0]
    assert card["adaptation"]["task"] == json.loads(json.dumps(task.to_dict()))
    assert card["adaptation"]["about"].endswith(str(task))
    model = onnx.load(out)
    for kind in ("input", "output"):
        sizes = {
            each.name: [d.dim_value for d in each.type.tensor_type.shape.dim]
            for each in getattr(model.graph, kind)
        }
        assert sizes == {each["name"]: each["shape"] for each in card[f"{kind}s"]}
    # Nothing of the machine that wrote it is in it.
    assert b"metarl" not in out.read_bytes() and b".py" not in out.read_bytes()


@pytest.mark.slow
def test_the_same_policy_gives_the_same_bytes(tmp_path):
    one, other = (
        metarl.export(HOME / "point-goal-maml", tmp_path / f"{i}.onnx") for i in (1, 2)
    )
    assert one.read_bytes() == other.read_bytes()


def test_what_cannot_be_exported_is_refused(monkeypatch, capsys):
    run = HOME / "point-goal-maml"
    for options, said in (
        ({"out": "policy.bin"}, "must end in .onnx"),
        ({"after": -1}, "must be 0 or more"),
        ({"after": 1, "adapter": "saves"}, "of a simulation"),
        ({"after": 1, "split": "fur"}, "Did you mean 'far'"),
    ):
        with pytest.raises(InputError, match=said):
            metarl.export(run, **{"out": "policy.onnx", **options})
    for words, said in (
        ("--task 3", "add --after N"),
        ("--table metrics", "goes with --format csv"),
        ("--format csv --after 3", "goes with --format onnx"),
        ("--format csv --out table.txt", "must end in .csv"),
    ):
        assert main(["export", str(run), *words.split()]) == 2
        assert said in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'metarl-suite\[deploy\]'"):
        metarl.export(run, "policy.onnx")
    assert not list(Path().iterdir())


class Counting:
    """A policy that keeps something to itself."""

    steps = 0

    def act(self, time_step):
        self.steps += 1
        return time_step.observation * 0.01 * self.steps


class Branching:
    """A policy that does one thing or another."""

    def act(self, time_step):
        seen = time_step.observation
        return seen if seen.sum() > 0 else -seen


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Counting, r"of Mine cannot .* keeps to itself.* start\(\) and step\(\)"),
        (Branching, "of Mine cannot be exported: its actions are no function"),
    ],
)
def test_a_policy_that_is_no_graph_is_refused_in_a_line(policy, said, capfd):
    with pytest.raises(InputError, match=said) as refused:
        graph(policy(), "Mine", 2, 2)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")
