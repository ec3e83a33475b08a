"""The command line does the job, and says in one message what it cannot do."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import metarl
from metarl import cli
from metarl.agents.maml import MAMLConfig
from metarl.cli import doctor
from metarl.environment import registry
from metarl.render import gl
from metarl.simulation import engine

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--family.horizon", "20", "--agent.tasks", "2", "--agent.episodes", "2"]
TINY += ["--agent.hidden", "4"]


@pytest.fixture
def run_cli(capsys):
    """Call the command line; returns its exit code, its output and its messages."""

    def call(*arguments):
        capsys.readouterr()
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small run, trained and evaluated. Tests copy it before they break it."""
    run = metarl.train(
        "point-goal",
        "maml",
        steps=100,
        out=tmp_path_factory.mktemp("cli") / "runs",
        family_options={"horizon": 20},
        agent_config={"tasks": 2, "episodes": 2, "hidden": (4,)},
        quiet=True,
    )
    metarl.evaluate(run, splits=["far"], tasks=2, budgets=[0, 2], query_episodes=1)
    return run.path


@pytest.fixture
def broken(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def newest(run):
    return max((run / "checkpoints").glob("step_*"))


def assert_one_message(code, out, err, expected, *said):
    assert code == expected, out + err
    assert "Traceback" not in out + err
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    for part in said:
        assert part in lines[0]


def assert_wrong_usage(code, out, err, *said):
    """What the argument parser found wrong: a box, without a traceback."""
    assert code == 2, out + err
    assert "Traceback" not in out + err
    text = " ".join(err.replace("│", " ").split())
    for part in said:
        assert part in text


# -- help ------------------------------------------------------------------------------


def test_help_names_every_command(run_cli):
    for arguments in (["--help"], ["-h"], ["help"]):
        code, out, err = run_cli(*arguments)
        assert code == 0 and not err
        assert all(f"  {command} " in out for command in cli.COMMANDS)
    assert run_cli()[0] == 2


def test_version(run_cli):
    assert run_cli("--version") == (0, f"metarl {metarl.__version__}\n", "")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(run_cli, command):
    code, out, _ = run_cli(command, "--help")
    assert code == 0
    assert f"metarl {command}" in out


def test_help_of_training_lists_the_options_of_family_and_agent(run_cli):
    code, out, _ = run_cli("train", "cheetah-direction", "maml", "--help")
    assert code == 0
    for option in (
        "--agent.inner-lr",
        "--family.timing",
        "--seed",
        "--out",
        "--config",
    ):
        assert option in out


LIGHT = """
import sys, time
began = time.perf_counter()
from metarl.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
spent = time.perf_counter() - began
heavy = [m for m in ("torch", "mujoco", "scipy", "gymnasium") if m in sys.modules]
print(f"\\n{code} {spent} {','.join(heavy)}", file=sys.stderr)
"""


STUDIES = ("sweep", "leaderboard", "tune", "headroom", "reference", "variability")
"""Commands whose options are declared beside what they do."""
LIGHT_COMMANDS = [c for c in cli.COMMANDS if c not in STUDIES]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list", "agents", "--json"],
        *([command, "--help"] for command in LIGHT_COMMANDS),
    ],
    ids=" ".join,
)
def test_help_and_list_import_nothing_heavy(arguments):
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    code, spent, *heavy = done.stderr.splitlines()[-1].split(" ")
    assert int(code) == 0, done.stderr
    assert heavy == [""]
    assert float(spent) < 3, "instant on an idle machine, 3 s on a busy one"


def test_list(run_cli):
    for arguments, kind in (([], "families"), (["agents"], "agents")):
        code, out, err = run_cli("list", *arguments)
        assert code == 0 and not err
        assert out.split() == list(registry.names(kind))
        code, out, _ = run_cli("list", *arguments, "--json")
        assert json.loads(out) == registry.names(kind)


@pytest.mark.parametrize("name", registry.names("families"))
def test_info_shows_every_parameter_split_and_the_timing(run_cli, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = run_cli("info", name)
    assert code == 0 and not err
    family = metarl.make_family(name)
    for word in (*family.parameters, *family.splits, f"{family.control_period:g} s"):
        assert word in out


def test_doctor_says_what_works(run_cli, monkeypatch):
    monkeypatch.setattr(gl, "why_no_gl", lambda: "no screen")
    code, out, err = run_cli("doctor")
    assert not err
    lines = out.splitlines()
    assert all(line.startswith(("ok ", "MISSING ", "     ")) for line in lines)
    (place,) = [i for i, line in enumerate(lines) if "rendering" in line]
    assert lines[place].startswith("MISSING") and "no screen" in lines[place + 1]
    needed = [line for line in lines if "packages" in line or "simulation" in line]
    assert code == int(any(line.startswith("MISSING") for line in needed))


def test_doctor_survives_what_it_looks_at(run_cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)  # as if it were broken
    _, out, _ = run_cli("doctor")
    assert "MISSING  H.264" in out and "links envs/ and agents/" in out


def test_doctor_asks_for_all_cores_that_there_are(monkeypatch):
    monkeypatch.setattr(engine, "cores", lambda: 8)
    assert doctor.simulation() is None


# -- the whole job ---------------------------------------------------------------------


def test_train_resume_evaluate_and_report(run_cli, tmp_path):
    options = [*TINY, "--steps", "400", "--seed", "3", "--out", "here"]
    code, out, err = run_cli("train", "point-goal", "maml", *options)
    assert code == 0, err
    (run,) = (tmp_path / "here" / "point-goal" / "maml").iterdir()
    assert f"Next: metarl evaluate here/{run.relative_to(tmp_path / 'here')}" in out
    config = json.loads((run / "config.json").read_text())
    assert (config["seed"], config["steps"]) == (3, 400)
    assert config["family_options"] == {"horizon": 20}
    chosen = {"tasks": 2, "episodes": 2, "hidden": [4]}
    # All of the agent's settings, so that a later default does not change this run.
    known = {field.name for field in dataclasses.fields(MAMLConfig)}
    assert set(config["agent_config"]) == known
    assert config["agent_config"] == config["agent_config"] | chosen
    assert config["command"] == " ".join(
        ["metarl train point-goal maml", *map(str, options)]
    )
    rows = len((run / "metrics.jsonl").read_text().splitlines())
    assert run_cli("resume", run)[0] == 0
    assert len((run / "metrics.jsonl").read_text().splitlines()) == rows

    sizes = ["--tasks", "3", "--episodes", "2", "--query-episodes", "1"]
    code, out, err = run_cli("evaluate", run, "--splits", "near, far", *sizes)
    assert code == 0, err
    assert "near" in out and "evaluation.json" in out
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert list(evaluation["splits"]) == ["near", "far"]
    assert [p["episodes"] for p in evaluation["splits"]["far"]["points"]] == [0, 1, 2]

    code, out, err = run_cli("report", run)
    assert code == 0, err
    assert f"Written: {run / 'report.html'}" in out
    page = (run / "report.html").read_text()
    assert page.count("</html>") == 1 and "point-goal" in page
    code, _, err = run_cli("report", run, run, "--out", tmp_path / "both" / "page.html")
    assert code == 0, err
    assert (tmp_path / "both" / "page.html").is_file()
    assert {p.name for p in tmp_path.iterdir()} == {"here", "both"}


def test_a_config_file_gives_the_defaults_and_flags_overrule_it(run_cli, trained):
    config = trained / "config.json"
    for given in (["--config", config], [f"--config={config}"]):
        code, _, err = run_cli(
            *("train", "point-goal", "maml", "--seed", "9", *given, "--out", "again")
        )
        assert code == 0, err
    one, other = sorted(Path("again").rglob("config.json"))
    for path in (one, other):
        written = json.loads(path.read_text())
        assert written["seed"] == 9
        for name in ("steps", "family_options", "agent_config"):
            assert written[name] == json.loads(config.read_text())[name]


def test_a_config_file_of_another_family_switches_nothing_off(run_cli, trained):
    """A point's observations have one scale, so that nothing was normalized there."""
    config = trained / "config.json"
    assert json.loads(config.read_text())["normalize_observations"] is False
    code, _, err = run_cli(
        *("train", "cheetah-direction", "maml", "--config", config, "--steps", "1"),
        *("--family.horizon", "5"),
    )
    assert code == 0, err
    (written,) = Path("runs").rglob("config.json")
    assert json.loads(written.read_text())["normalize_observations"] is True


def test_the_same_command_trains_the_same_bits(run_cli, trained):
    config = trained / "config.json"
    code, _, err = run_cli("train", "point-goal", "maml", "--config", config)
    assert code == 0, err
    (again,) = Path("runs").glob("*/*/*")
    weights = [newest(run) / "weights.safetensors" for run in (trained, again)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


# -- wrong input: exit code 2 ----------------------------------------------------------


def test_an_unknown_command(run_cli):
    code, _, err = run_cli("trian")
    assert code == 2
    assert (
        err.splitlines()[0] == "metarl: unknown command 'trian'. Did you mean 'train'?"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["info", "point-gaol"], ["'point-gaol'", "mean 'point-goal'", "Known:"]),
        (["train", "point-gaol", "maml"], ["'point-gaol'", "mean 'point-goal'"]),
        (["train", "point-goal", "mamml"], ["'mamml'", "mean 'maml'"]),
        (["train", "no_such:Class", "maml"], ["No module 'no_such'"]),
        (["train", "file.py:Class", "maml"], ["No file file.py"]),
        (["info", ":Class"], ["':Class'"]),
        (["train", "pathlib:Path", "maml"], ["'pathlib:Path'", "TaskFamily"]),
        (["train", "point-goal", "pathlib:Path"], ["'pathlib:Path'", "Agent"]),
        (["train", "point-goal", "maml", "--family.horizon", "0"], ["horizon=0"]),
        (["train", "point-goal", "maml", "--config"], ["--config needs a file"]),
        (["train", "point-goal", "maml", "--config", "x.json"], ["No file x.json"]),
        (["evaluate", "nowhere"], ["nowhere is not a run folder", "metarl train"]),
        (["resume", "nowhere"], ["nowhere is not a run folder"]),
        (["video", "nowhere"], ["nowhere is not a run folder"]),
        (["report", "nowhere"], ["nowhere is not a run folder"]),
        (["report"], ["at least one run"]),
    ],
    ids=lambda value: " ".join(value) if "[" not in str(value)[1:] else "",
)
def test_a_wrong_word_is_one_message(run_cli, tmp_path, arguments, said):
    assert_one_message(*run_cli(*arguments), 2, f"metarl {arguments[0]}: ", *said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"steps": 5', "config.json is not complete JSON"),
        ("[1]", "config.json is not a config of metarl"),
        ('{"agent_config": {"inner_rl": 1}}', "inner_rl"),
        ('{"family_options": {"horizn": 1}}', "horizn"),
        ('{"family_options": {"horizon": -3}}', "horizon=-3"),
        ('{"family_options": 3}', "family_options"),
    ],
)
def test_a_wrong_config_file_is_one_message(run_cli, tmp_path, text, said):
    Path("config.json").write_text(text)
    arguments = ["train", "point-goal", "maml", "--config", "config.json"]
    assert_one_message(*run_cli(*arguments), 2, "metarl train: ", said)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "point-goal", "maml", "--stesp", "3"], ["--stesp", "--steps"]),
        (["train", "point-goal", "maml", "--steps", "many"], ["--steps", "many"]),
        (
            ["train", "point-goal", "maml", "--agent.inner-rl", "3"],
            ["--agent.inner-lr"],
        ),
        (["train", "point-goal", "maml", "more"], ["more"]),
        (["list", "robots"], ["robots", "families", "agents"]),
        (["evaluate"], ["the run's folder"]),
        (["evaluate", "run", "--tasks", "x"], ["--tasks"]),
        (["doctor", "--well"], ["--well"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_wrong_flag_is_one_box(run_cli, tmp_path, arguments, said):
    assert_wrong_usage(*run_cli(*arguments), *said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["--normalise", "--no-normalise"])
def test_an_earlier_name_of_an_option_is_refused_with_the_new_one(run_cli, flag):
    new = flag.replace("normalise", "normalize-observations")
    code, out, err = run_cli("train", "point-goal", "maml", flag)
    assert_one_message(code, out, err, 2, f"{flag} is now {new}.")


def test_a_config_file_of_an_earlier_version_is_read(run_cli, trained):
    config = json.loads((trained / "config.json").read_text())
    del config["normalize_observations"]
    Path("old.json").write_text(json.dumps({**config, "normalise": False}))
    code, _, err = run_cli("train", "point-goal", "maml", "--config", "old.json")
    assert code == 0, err


@pytest.mark.parametrize("words", [[], ["point-goal"], ["--help"]], ids=" ".join)
def test_training_asks_for_words_and_not_for_flags_that_it_does_not_take(
    run_cli, words
):
    code, out, err = run_cli("train", *words)
    assert code == (0 if words == ["--help"] else 2)
    assert "metarl train FAMILY AGENT" in out + err
    for misleading in ("--family STR", "--agent STR", "Unrecognized", "Traceback"):
        assert misleading not in out + err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "--splits", "fra"], ["'fra'", "mean 'far'"]),
        (["evaluate", "--splits", "switch"], ["'point-goal' has no split 'switch'"]),
        (["evaluate", "--splits", "drift"], ["'point-goal' has no split 'drift'"]),
        (["evaluate", "--splits", "far,structure"], ["no split 'structure'"]),
        (["evaluate", "--tasks", "0"], ["tasks", "at least 1"]),
        (["evaluate", "--query-episodes", "0"], ["query_episodes", "at least 1"]),
        (["evaluate", "--episodes", "-1"], ["episodes=-1"]),
        (["video", "--split", "fra"], ["'fra'", "mean 'far'"]),
        (["video", "--task", "-1"], ["-1"]),
        (["video", "--after", "0,x"], ["--after", "'0,x'"]),
        (["video", "--size", "large"], ["--size", "640x480", "'large'"]),
        (["video", "--grid", "-1"], ["grid=-1"]),
        (["video", "--grid", "2", "--growing"], ["grid=2", "without growing"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_wrong_wish_for_a_run_is_one_message(run_cli, trained, arguments, said):
    command, *options = arguments
    assert_one_message(
        *run_cli(command, trained, *options), 2, f"metarl {command}: ", *said
    )


@pytest.mark.skipif(bool(gl.why_no_gl()), reason="this machine cannot draw")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--camera", "abvoe"], ["'abvoe'", "mean 'above'", "Known: above"]),
        (["--size", "9x9"], ["(9, 9)", "16 to 4096"]),
        (["--fps", "0"], ["0 pictures"]),
        (["--growing", "--after", "0"], ["at least 1 episode"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_video_that_cannot_be_is_one_message(run_cli, trained, arguments, said):
    code, out, err = run_cli("video", trained, *arguments)
    assert_one_message(code, out, err, 2, "metarl video: ", *said)
    assert not list((trained / "videos").glob("*.mp4"))


@pytest.mark.skipif(bool(gl.why_no_gl()), reason="this machine cannot draw")
def test_video_shows_a_grid_with_a_gif_beside_it(run_cli, broken):
    options = ["--grid", "2", "--gif", "--size", "64x48", "--fps", "5"]
    code, out, err = run_cli("video", broken, *options, "--camera", "above")
    assert code == 0, err
    for suffix in ("mp4", "gif"):
        path = broken / "videos" / f"far-0-grid.{suffix}"
        assert f"Written: {path}\n" in out and path.is_file()


def test_a_task_out_of_bounds_through_the_api():
    family = metarl.make_family("point-goal")
    with pytest.raises(metarl.InputError, match="'goal' is 3 m, above its upper bound"):
        metarl.make_vec(family, [family.task(goal=(0.0, 3.0))])


def cut(path):
    weights = path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])


def foreign(path):
    (path / "state.json").write_text('{"model": "resnet", "epoch": 3}')


def of_another_agent(path):
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, "agent_name": "Oracle"}))


def rewrite(path, change):
    weights = path / "weights.safetensors"
    tensors = {name: change(name, t) for name, t in load_file(weights).items()}
    save_file(dict(tensors.values()), weights)


def of_another_size(path):
    rewrite(path, lambda name, tensor: (name, tensor.reshape(-1)[:1].clone()))


def of_other_tensors(path):
    rewrite(path, lambda name, tensor: (f"old/{name}", tensor))


def none_at_all(path):
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("command", ["evaluate", "video", "resume"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, ["weights.safetensors", "damaged", "Delete"]),
        (foreign, ["step_", "not a checkpoint of this version"]),
        (of_another_agent, ["step_", "Oracle", "MAML"]),
        (of_another_size, ["step_", "does not fit this agent"]),
        (of_other_tensors, ["step_", "does not fit this agent"]),
        (none_at_all, ["has no checkpoint yet", "metarl resume"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_checkpoint_that_is_none_is_one_message(
    run_cli, broken, command, damage, said
):
    damage(newest(broken))
    if damage is none_at_all and command == "resume":
        assert run_cli("resume", broken)[0] == 0  # and trains it from the start
        assert newest(broken).name == "step_160"
        return
    assert_one_message(*run_cli(command, broken), 2, f"metarl {command}: ", *said)


def test_a_report_about_a_damaged_evaluation_is_one_message(run_cli, broken):
    evaluation = broken / "evaluation.json"
    evaluation.write_text(evaluation.read_text()[:200])
    assert_one_message(
        *run_cli("report", broken), 2, "evaluation.json", "not complete JSON"
    )


def test_a_folder_that_cannot_be_written_is_one_message(run_cli, trained, tmp_path):
    (tmp_path / "file").write_text("x")
    below = tmp_path / "file" / "runs"
    code, out, err = run_cli("train", "point-goal", "maml", *TINY, "--out", below)
    assert_one_message(code, out, err, 2, "Cannot write", str(below), "--out DIR")
    code, out, err = run_cli("report", trained, "--out", below / "x.html")
    assert_one_message(code, out, err, 2, str(below))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# -- a run that fails: exit code 1 -----------------------------------------------------


def test_training_that_diverges_is_one_message_and_exit_code_1(run_cli):
    """The input was right; it is the policy that became NaN."""
    options = [*TINY, "--steps", "4000", "--agent.inner-lr", "1e300"]
    code, out, err = run_cli("train", "point-goal", "maml", *options)
    assert_one_message(code, out, err, 1, "metarl train: ")


def test_a_full_disk_is_one_message_and_exit_code_1(run_cli, monkeypatch):
    from metarl.runs import checkpoint

    def full(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_json", full)
    code, out, err = run_cli("train", "point-goal", "maml", *TINY, "--steps", "1")
    assert_one_message(
        code, out, err, 1, "metarl train: ", "Cannot write checkpoint", "No space left"
    )


def test_ctrl_c_says_how_to_go_on(run_cli, monkeypatch):
    from metarl.agents.maml import MAML

    original = MAML.train_step

    def pressed(self, sampler):
        import signal

        signal.raise_signal(signal.SIGINT)
        return original(self, sampler)

    monkeypatch.setattr(MAML, "train_step", pressed)
    code, out, err = run_cli("train", "point-goal", "maml", *TINY, "--steps", "9999")
    (run,) = Path("runs").glob("*/*/*")
    assert_one_message(code, out, err, 130, "Stopped at 160", f"metarl resume {run}")
    assert newest(run).name == "step_160"


HEADLESS = """
import contextlib, io, json, sys
from metarl.cli import main

def call(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()

tiny = json.loads(sys.argv[1])
found = {"train": call("train", "point-goal", "maml", "--steps", "1", *tiny)}
run = found["train"][1].split()[-1]
sizes = ("--splits", "far", "--tasks", "2", "--episodes", "1")
found["evaluate"] = call("evaluate", run, *sizes)
found["video"] = call("video", run)
found["report"] = call("report", run)
found["doctor"] = call("doctor")
print(json.dumps({"run": run, **found}))
"""


@pytest.mark.slow
def test_without_opengl_all_but_videos_work(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", HEADLESS, json.dumps(TINY)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MUJOCO_GL": "disabled"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    run = tmp_path / found["run"]
    for command in ("train", "evaluate", "report"):
        code, out, err = found[command]
        assert code == 0 and "Traceback" not in err, (command, out, err)
    said = ["metarl video: ", "MUJOCO_GL=disabled", "apt-get install"]
    assert_one_message(*found["video"], 1, *said)
    assert not list(run.glob("videos/*.mp4"))
    page = (run / "report.html").read_text()
    assert "MuJoCo cannot draw here" in page and "metarl video" in page
    assert "MISSING  rendering" in found["doctor"][1]
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()
