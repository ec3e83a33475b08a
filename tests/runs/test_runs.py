"""What is kept of a run is whole, whatever happens while it is written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import metarl
from metarl.errors import DivergedError, InputError, RunError
from metarl.runs import checkpoint, files
from metarl.runs import train as training
from metarl.runs.config import RunConfig
from metarl.runs.folder import Run, find_run
from metarl.runs.system import commit

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(3)}
TINY = {"tasks": 2, "episodes": 2, "hidden": (4,)}


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def content(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# -- checkpoints -----------------------------------------------------------------------


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    turned = TENSORS["weight"].T
    plain = {"agent": {"lr": 0.5, "list": [1, 2]}, "name": "x"}
    path = checkpoint.save(tmp_path, 40, {**TENSORS, "turned": turned}, plain)
    assert everything(path) == ["state.json", "weights.safetensors"]
    tensors, found = checkpoint.load(path)
    assert torch.equal(tensors["weight"], TENSORS["weight"])
    assert torch.equal(tensors["turned"], turned)
    assert tensors["count"].dtype == torch.int64 and tensors["count"].shape == ()
    assert found == {"format": checkpoint.FORMAT, **plain}


def test_the_newest_two_are_kept_in_the_order_of_steps(tmp_path):
    for step in (5, 40, 900, 1000):
        checkpoint.save(tmp_path, step, TENSORS, {})
    assert everything(tmp_path)[::3] == ["step_1000", "step_900"]
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [900, 1000]


def test_other_files_are_no_checkpoints(tmp_path):
    (tmp_path / "step_best").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    checkpoint.save(tmp_path, 1, TENSORS, {})
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [1]
    assert checkpoint.checkpoints(tmp_path / "missing") == []


FAILURES = {
    "full disk": OSError(28, "No space left on device"),
    "library": RuntimeError("tensors share memory"),
    "Ctrl-C": KeyboardInterrupt(),
}
PLACES = ["write_bytes", "write_json", "os.replace"]


def fail(monkeypatch, place, error):
    """Let a part of writing a checkpoint fail, half-way where it can be."""

    def write_half(path, content):
        with open(path, "wb") as file:
            file.write(content[: len(content) // 2])
        raise error

    def raising(*arguments):
        raise error

    replace, calls = os.replace, []

    def replace_all_but_the_checkpoint(source, target):
        if os.path.basename(target).startswith("step_") and not calls:
            calls.append(target)
            raise error
        replace(source, target)

    if place == "os.replace":
        monkeypatch.setattr(os, "replace", replace_all_but_the_checkpoint)
    elif place == "write_bytes":
        monkeypatch.setattr(Path, place, write_half)
    else:
        monkeypatch.setattr(checkpoint, place, raising)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_while_writing_leaves_the_older_ones_whole_and_nothing_else(
    tmp_path, monkeypatch, place, failure
):
    checkpoint.save(tmp_path, 10, TENSORS, {"old": 1})
    checkpoint.save(tmp_path, 20, TENSORS, {"old": 2})
    before = content(tmp_path)
    error = FAILURES[failure]
    with monkeypatch.context() as patch:
        fail(patch, place, error)
        expected = RunError if isinstance(error, OSError) else type(error)
        with pytest.raises(expected):
            checkpoint.save(tmp_path, 30, TENSORS, {"new": 1})
    assert content(tmp_path) == before
    assert len(everything(tmp_path)) == 6
    checkpoint.save(tmp_path, 30, TENSORS, {"new": 1})
    assert checkpoint.load(tmp_path / "step_30")[1]["new"] == 1


def test_a_step_that_is_there_stays_as_it_is(tmp_path):
    """A run that is resumed after its end has nothing to write."""
    path = checkpoint.save(tmp_path, 20, TENSORS, {"run": 1})
    before = content(tmp_path)
    assert checkpoint.save(tmp_path, 20, TENSORS, {"run": 1}) == path
    assert content(tmp_path) == before
    assert everything(tmp_path)[0] == "step_20"


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    checkpoint.save(tmp_path, 10, TENSORS, {})
    (tmp_path / ".step_20.999.tmp").mkdir()
    (tmp_path / ".step_20.999.tmp" / "weights.safetensors").write_bytes(b"half")
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [10]
    checkpoint.save(tmp_path, 20, TENSORS, {})
    assert [name for name in everything(tmp_path) if "tmp" in name] == []


def damage_cut(path):
    weights = path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])


def damage_header(path):
    (path / "weights.safetensors").write_bytes(b"\xff" * 40)


def damage_empty(path):
    (path / "weights.safetensors").write_bytes(b"")


def damage_weights(path):
    (path / "weights.safetensors").unlink()


def damage_state(path):
    (path / "state.json").write_text('{"format": "metarl-ch')


def damage_missing(path):
    (path / "state.json").unlink()


def damage_foreign(path):
    (path / "state.json").write_text('{"epoch": 3}')


def damage_list(path):
    (path / "state.json").write_text("[]")


def damage_all(path):
    shutil.rmtree(path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_cut, "weights.safetensors.*damaged"),
        (damage_header, "weights.safetensors.*damaged"),
        (damage_empty, "weights.safetensors.*damaged"),
        (damage_weights, "weights.safetensors.*missing"),
        (damage_state, "state.json.*not complete JSON"),
        (damage_missing, "state.json"),
        (damage_foreign, "step_10.*not a checkpoint"),
        (damage_list, "step_10.*not a checkpoint"),
        (damage_all, "No checkpoint.*step_10"),
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, damage, said):
    path = checkpoint.save(tmp_path, 10, TENSORS, {})
    damage(path)
    with pytest.raises(InputError, match=said):
        checkpoint.load(path)


def test_a_checkpoint_with_other_bytes_than_were_written_is_refused(tmp_path):
    path = checkpoint.save(tmp_path, 10, TENSORS, {"agent": {"lr": 0.5}})
    checkpoint.verify(path)
    weights, state = path / "weights.safetensors", path / "state.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # one bit of a number
    with pytest.raises(InputError, match=r"step_10 is damaged: its weights changed"):
        checkpoint.verify(path)
    weights.write_bytes(whole)
    state.write_text(state.read_text().replace("0.5", "0.6"))
    with pytest.raises(InputError, match=r"step_10 is damaged: its state changed"):
        checkpoint.verify(path)
    plain = json.loads(state.read_text())
    del plain["sha256"]  # as earlier versions wrote it
    state.write_text(json.dumps(plain))
    checkpoint.verify(path)


def test_a_run_whose_weights_changed_is_not_loaded():
    run = metarl.train("point-goal", "maml", steps=1, agent_config=TINY, quiet=True)
    (path,) = run.checkpoints.glob("step_*")
    whole = (path / "weights.safetensors").read_bytes()
    changed = whole[:-1] + bytes([whole[-1] ^ 1])
    (path / "weights.safetensors").write_bytes(changed)
    for use in (metarl.load, metarl.evaluate, metarl.resume):
        with pytest.raises(InputError, match=r"weights changed.*Delete its folder"):
            use(run.path)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_a_tensor_of_another_dtype_is_named(dtype):
    run = metarl.train("point-goal", "maml", steps=1, agent_config=TINY, quiet=True)
    (path,) = run.checkpoints.glob("step_*")
    tensors = load_file(path / "weights.safetensors")
    name = next(n for n, t in tensors.items() if t.dtype == torch.float32)
    save_file({**tensors, name: tensors[name].to(dtype)}, path / "weights.safetensors")
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(InputError, match=rf"{name} is {kind} .*, not float32 "):
        metarl.load(run.path)


# -- files -----------------------------------------------------------------------------


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "x.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    assert files.read_json(path) == {"a": 1}
    assert everything(tmp_path) == ["deep", "deep/x.json"]


def test_json_holds_no_nan(tmp_path):
    value = {"a": float("nan"), 3: [float("inf"), (1, 2.5)], "path": tmp_path}
    files.write_json(tmp_path / "x.json", value)
    assert files.read_json(tmp_path / "x.json") == {
        "a": None,
        "3": [None, [1, 2.5]],
        "path": str(tmp_path),
    }


@pytest.mark.parametrize("text", ["", "{", '{"a": 1', "\xff\xfe"])
def test_a_cut_file_is_named(tmp_path, text):
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"x.json is not complete JSON"):
        files.read_json(tmp_path / "x.json")
    with pytest.raises(InputError, match=r"No file .*y.json"):
        files.read_json(tmp_path / "y.json")


# -- run folders -----------------------------------------------------------------------


def make_run(**changes):
    return Run.create(RunConfig("point-goal", "maml", **changes), "runs")


def test_a_run_folder_says_what_was_asked_and_where(tmp_path):
    run = make_run(seed=4, steps=7, agent_config={"hidden": (4, 5)}, command="cmd")
    assert run.path.parent == type(run.path)("runs/point-goal/maml")
    assert run.path.name.startswith("4-")
    config = json.loads((run.path / "config.json").read_text())
    assert config["seed"] == 4 and config["steps"] == 7
    assert config["agent_config"] == {"hidden": [4, 5]}
    assert Run(run.path).config.build()[1].config.hidden == (4, 5)
    machine = json.loads((run.path / "system.json").read_text())
    assert {"metarl", "torch", "mujoco", "commit", "cores"} <= set(machine)


def test_runs_of_one_second_do_not_share_a_folder():
    assert len({make_run().path for _ in range(5)}) == 5


def test_the_config_is_written_before_anything_is_built_for_the_run(monkeypatch):
    """A run that dies in its first iteration leaves what it was asked to do."""
    seen = []

    def dying(run, *arguments):
        seen.extend(everything(run.path))
        raise MemoryError

    monkeypatch.setattr(training, "_loop", dying)
    with pytest.raises(MemoryError):
        metarl.train("point-goal", "maml", steps=1, agent_config=TINY, quiet=True)
    assert seen == ["config.json", "lock", "system.json"]


def test_a_wrong_option_leaves_no_folder(tmp_path):
    with pytest.raises(InputError):
        metarl.train("point-goal", "maml", family_options={"horizon": 0})
    with pytest.raises(InputError):
        metarl.train("point-goal", "mamml")
    assert everything(tmp_path) == []


def test_a_cut_last_line_of_metrics_is_left_out():
    run = make_run()
    assert run.metrics() == []
    rows = [{"iteration": i, "return": i / 2} for i in range(3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path = run.path / "metrics.jsonl"
    for cut in (1, 2, 9, 25):
        path.write_text(lines[:-cut])
        assert run.metrics() == (rows if cut == 1 else rows[:2])
    path.write_text("")
    assert run.metrics() == []
    path.write_text(lines[:-9])
    assert run.cut_metrics(1) == rows[:1]
    assert path.read_text() == json.dumps(rows[0]) + "\n"
    assert run.cut_metrics(0) == [] and path.read_text() == ""


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "is not a run folder"),
        ("{", "config.json is not complete JSON"),
        ("[]", "config.json is not a config of metarl"),
        ("3", "config.json is not a config of metarl"),
        ('{"epochs": 3}', "config.json is not a config of metarl.*epochs"),
        ("{}", "config.json is not a config of metarl"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(tmp_path, config, said):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(InputError, match=said):
        Run(tmp_path)


def test_a_run_that_was_asked_the_same_is_found_again():
    config = RunConfig("point-goal", "maml", 1, agent_config={"hidden": (4,)})
    assert find_run(config, "runs") is None
    run = Run.create(config, "runs")
    make_run(seed=2)
    same = RunConfig(
        "point-goal", "maml", 1, agent_config={"hidden": [4]}, command="another"
    )
    assert find_run(same, "runs").path == run.path
    other = RunConfig("point-goal", "maml", 1, agent_config={"hidden": (5,)})
    assert find_run(other, "runs") is None


def test_training_leaves_a_whole_folder_and_no_pickle(tmp_path):
    run = metarl.train(
        "point-goal",
        "maml",
        steps=150,
        out=tmp_path / "runs",
        family_options={"horizon": 10},
        agent_config=TINY,
        checkpoint_seconds=0,
        quiet=True,
    )
    rows = run.metrics()
    assert [row["iteration"] for row in rows] == [0, 1]
    assert rows[-1]["control_steps"] >= 150 > rows[0]["control_steps"]
    kept = [step for step, _ in checkpoint.checkpoints(run.checkpoints)]
    assert kept == [row["control_steps"] for row in rows]
    suffixes = {p.suffix for p in run.path.rglob("*") if p.is_file()}
    events = {p.suffix for p in (run.path / "tensorboard").iterdir()}
    assert suffixes - events == {".json", ".jsonl", ".safetensors"}
    assert {p.name for p in tmp_path.iterdir()} == {"runs"}


def test_the_board_of_a_resumed_run_has_every_point(tmp_path):
    options = {"family_options": {"horizon": 10}, "agent_config": TINY}
    run = metarl.train(
        "point-goal", "maml", steps=150, out=tmp_path, quiet=True, **options
    )
    metarl.resume(run.path, steps=300, quiet=True)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(run.path / "tensorboard")).Reload()
    tag = next(tag for tag in board.Tags()["scalars"] if "return_after" in tag)
    steps = [event.step for event in board.Scalars(tag)]
    assert steps == [row["control_steps"] for row in run.metrics()]


def test_a_run_that_became_nan_keeps_its_good_checkpoint(monkeypatch):
    from metarl.agents.maml import MAML

    run = metarl.train("point-goal", "maml", steps=1, agent_config=TINY, quiet=True)
    before = content(run.checkpoints)
    config = json.loads((run.path / "config.json").read_text())
    files.write_json(run.path / "config.json", {**config, "steps": 10**6})

    def spoil(self, sampler):
        sampler.count(10**6, 0.0)
        start = self.learnt["start"]
        self.learnt = {"start": {n: p * torch.nan for n, p in start.items()}}
        return {}

    monkeypatch.setattr(MAML, "train_step", spoil)
    with pytest.raises(RunError, match=r"not finite.*good checkpoint.*checkpoints"):
        metarl.resume(run.path, quiet=True)
    assert content(run.checkpoints) == before


def test_a_run_that_was_nan_from_the_start_has_nothing_to_keep(monkeypatch):
    from metarl.agents.maml import MAML

    def spoil(self, sampler):
        sampler.count(10**6, 0.0)
        start = self.learnt["start"]
        self.learnt = {"start": {n: p * torch.nan for n, p in start.items()}}
        return {}

    monkeypatch.setattr(MAML, "train_step", spoil)
    with pytest.raises(DivergedError) as raised:
        metarl.train("point-goal", "maml", steps=1, agent_config=TINY, quiet=True)
    assert "not finite" in str(raised.value) and "kept" not in str(raised.value)


def test_a_family_of_a_file_is_found_from_any_folder(tmp_path, monkeypatch):
    text = "from metarl.envs.navigation.point import PointGoal as Mine\n"
    Path("mine.py").write_text(text)
    run = metarl.train("mine.py:Mine", "maml", steps=1, agent_config=TINY, quiet=True)
    folder = run.path.resolve()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert metarl.load(folder)[0].horizon == 100


def test_the_commit_of_another_repository_is_not_that_of_metarl(tmp_path, monkeypatch):
    place = tmp_path / "project" / "site-packages" / "metarl" / "__init__.py"
    place.parent.mkdir(parents=True)
    place.write_text("")
    ours = ["-c", "user.name=a", "-c", "user.email=b"]
    for words in (["init", "-q"], [*ours, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path / "project", check=True)
    monkeypatch.setattr(metarl, "__file__", str(place))
    assert commit() is None


@pytest.mark.slow
def test_a_run_is_trained_by_one_process_at_a_time(monkeypatch):
    from metarl.agents.maml import MAML

    run = metarl.train("point-goal", "maml", steps=1, agent_config=TINY, quiet=True)
    original = MAML.train_step
    second = f"import metarl; metarl.resume({str(run.path)!r}, quiet=True)"

    def kept():
        # The first process may be writing to its board, in a thread of its own.
        board = run.path / "tensorboard"
        return {p: b for p, b in content(run.path).items() if board not in p.parents}

    def meanwhile(self, sampler):
        before = kept()
        done = subprocess.run(
            [sys.executable, "-c", second], capture_output=True, text=True
        )
        assert "is being trained by another process" in done.stderr
        assert kept() == before
        return original(self, sampler)

    steps = run.metrics()[-1]["control_steps"] + 1
    with monkeypatch.context() as patch:
        patch.setattr(MAML, "train_step", meanwhile)
        metarl.resume(run.path, steps, quiet=True)
    assert [row["iteration"] for row in run.metrics()] == [0, 1]
    (run.path / "lock").touch()  # as a killed process leaves it: locks nobody out
    metarl.resume(run.path, quiet=True)
    assert not (run.path / "lock").exists()
    (run.path / "lock").mkdir()
    with pytest.raises(RunError, match="Cannot lock"):
        metarl.resume(run.path, quiet=True)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"Cannot write .*file.*--out"):
        Run.create(RunConfig("point-goal", "maml"), tmp_path / "file" / "runs")
    if os.getuid():  # root may write anywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(InputError, match=r"Cannot write .*locked"):
            Run.create(RunConfig("point-goal", "maml"), tmp_path / "locked")


@pytest.mark.parametrize(
    ("option", "value"),
    [("steps", -5), ("train_tasks", -1), ("checkpoint_seconds", float("nan"))],
)
def test_numbers_that_mean_nothing_are_refused(option, value, tmp_path):
    with pytest.raises(InputError, match=f"{option}="):
        metarl.train("point-goal", "maml", out=tmp_path, **{option: value})
    assert not any(tmp_path.iterdir())


def test_a_config_of_the_first_format_is_read(tmp_path):
    options = {"steps": 1, "out": tmp_path, "quiet": True, "agent_config": TINY}
    run = metarl.train("point-goal", "maml", **options)
    path = run.path / "config.json"
    plain = json.loads(path.read_text())
    assert plain.pop("format") == "metarl-run/2"
    plain["normalise"] = plain.pop("normalize_observations")
    path.write_text(json.dumps(plain))
    assert Run(run.path).config == run.config


def test_a_config_of_a_later_format_is_refused(tmp_path):
    plain = {"format": "metarl-run/9", "family": "point-goal", "agent": "maml"}
    (tmp_path / "config.json").write_text(json.dumps(plain))
    with pytest.raises(InputError, match=r"config.json: .*'metarl-run/9'"):
        Run(tmp_path)
