"""`metarl new family` writes a family that every command takes as it is."""

from pathlib import Path

import pytest

from metarl.cli import main
from metarl.render.gl import why_no_gl

TINY = ["--steps", "100", "--family.horizon", "10", "--agent.tasks", "2"]
TINY += ["--agent.episodes", "2", "--agent.hidden", "4"]


@pytest.mark.slow
def test_a_new_family_works_untouched(capsys):
    assert main(["new", "family", "my_robot"]) == 0
    robot = "my_robot.py:MyRobot"
    assert f"Next: metarl check {robot}" in capsys.readouterr().out
    assert main(["check", robot, "--no-speed"]) == 0
    assert main(["train", robot, "maml", *TINY]) == 0
    (run,) = map(str, Path("runs").glob("MyRobot/maml/*"))
    sizes = ["--splits", "far,structure", "--tasks", "2", "--episodes", "2"]
    assert main(["evaluate", run, *sizes]) == 0
    if not why_no_gl():
        assert main(["video", run, "--split", "structure"]) == 0
        assert (Path(run) / "videos" / "structure-0.mp4").stat().st_size > 1000


@pytest.mark.parametrize(
    ("name", "file", "class_name"),
    [
        ("my-robot", "my_robot.py", "MyRobot"),
        ("MyRobot", "my_robot.py", "MyRobot"),
        ("arm2", "arm2.py", "Arm2"),
        ("two_LEGS", "two_legs.py", "TwoLEGS"),
    ],
)
def test_any_way_to_write_a_name_will_do(name, file, class_name, capsys):
    assert main(["new", "family", name]) == 0
    text = Path(file).read_text()
    assert f"\nclass {class_name}(TaskFamily):" in text
    assert f"metarl check {file}:{class_name} " in text
    assert main(["info", f"{file}:{class_name}"]) == 0
    assert class_name in capsys.readouterr().out


def test_it_goes_where_it_is_asked_to():
    out = "robots/of/mine/puck.py"
    assert main(["new", "family", "slider", "--out", out]) == 0
    assert "class Slider(TaskFamily):" in Path(out).read_text()


def test_no_file_is_overwritten(capsys):
    Path("mine.py").write_text("precious")
    assert main(["new", "family", "mine"]) == 2
    assert "mine.py exists" in capsys.readouterr().err
    assert Path("mine.py").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["2legs"], "'2legs' is no name"),
        (["my robot"], "'my robot' is no name"),
        (["../robot"], "'../robot' is no name"),
        (["robot_"], "'robot_' is no name"),
        (["roböter"], "is no name"),
        (["choice"], "'Choice' has a meaning in the file already"),
        (["none"], "'None' has a meaning"),
        (["robot", "--out", "robot.txt"], "must end in .py"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_name_is_refused_and_leaves_nothing(arguments, said, tmp_path, capsys):
    assert main(["new", "family", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
