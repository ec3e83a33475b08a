"""Families and agents are found by name, in a module or in a file."""

import json
import os
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import gymnasium
import pytest

import metarl
from metarl.environment import registry
from metarl.errors import InputError
from metarl.learning.agent import find_agent

CART = """
import mujoco
import torch

from metarl import Parameter, TaskFamily

XML = '''
<mujoco>
  <worldbody>
    <body name="cart">
      <joint type="slide" axis="1 0 0"/>
      <geom size=".1"/>
    </body>
  </worldbody>
  <actuator><motor joint="" gear="5" ctrlrange="-1 1"/></actuator>
</mujoco>
'''.replace('joint type', 'joint name="x" type').replace('joint=""', 'joint="x"')


class Cart(TaskFamily):
    parameters = {"mass": Parameter(1.0, train=(0.5, 2.0), far=(2.0, 4.0))}
    horizon = 10

    def build(self, task):
        spec = mujoco.MjSpec.from_string(XML)
        spec.body("cart").geoms[0].mass = task["mass"]
        return spec

    def observe(self, sim):
        return torch.cat([sim.qpos, sim.qvel], -1)

    def reward(self, sim, action):
        return -sim.qpos[:, 0].abs()


A_NUMBER = 3


class NoFamily:
    pass
"""

AGENT = """
from dataclasses import dataclass

import torch

from metarl import Agent


class Idle(Agent):
    @dataclass(frozen=True)
    class Config:
        strength: float = 0.5

    def train_step(self, sampler):
        episodes = sampler.collect(sampler.tasks(2), 3, self, "all")
        return {"return": float(episodes.returns.mean())}

    def act(self, time_step):
        return self.config.strength * torch.ones_like(time_step.noise)

    episodes_per_update = 1

    def adaptation(self, tasks):
        return self

    def update(self, episodes):
        pass

    def policy(self):
        return self

    def state(self):
        return {"weights": torch.ones(2)}, {}

    def load_state(self, tensors, plain):
        assert tensors["weights"].sum() == 2
"""

TINY = {"tasks": 2, "episodes": 2, "hidden": (4,)}


@pytest.fixture
def cart(tmp_path):
    path = tmp_path / "cart.py"
    path.write_text(CART)
    return path


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module that can be imported."""
    (tmp_path / "users_robots.py").write_text(CART)
    monkeypatch.syspath_prepend(tmp_path)
    yield "users_robots"
    sys.modules.pop("users_robots", None)


@pytest.fixture
def plug_in(monkeypatch):
    """Register what entry points of installed packages would offer."""

    def register(*offers):
        for i, offer in enumerate(offers):
            monkeypatch.setitem(globals(), f"offer_{i}", lambda offer=offer: offer)
        sys.modules.setdefault(__name__, sys.modules[__name__])
        points = [
            EntryPoint(f"p{i}", f"{__name__}:offer_{i}", "metarl.plugins")
            for i in range(len(offers))
        ]
        monkeypatch.setattr(registry, "entry_points", lambda group: points)
        registry._registered.cache_clear()

    yield register
    monkeypatch.undo()
    registry._registered.cache_clear()


def train(family, agent="maml", config=TINY, steps=1):
    return metarl.train(
        family, agent, steps=steps, out="runs", agent_config=config, quiet=True
    )


# -- names -----------------------------------------------------------------------------


def test_built_ins_are_registered_and_importable():
    assert {"point-goal", "cheetah-direction"} <= set(registry.names("families"))
    assert {"maml", "fomaml", "randomized", "oracle"} <= set(registry.names("agents"))
    for name in registry.names("families"):
        assert issubclass(registry.find_family(name), metarl.TaskFamily)
        assert metarl.make_family(name).name == name
    for name in registry.names("agents"):
        agent = find_agent(name)
        assert issubclass(agent, metarl.Agent)
        agent.Config()


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("families", "point-gaol", "family 'point-gaol'.*mean 'point-goal'.*Known: "),
        ("agents", "mamml", "agent 'mamml'.*mean 'maml'.*Known: "),
        ("families", "zzzz", "family 'zzzz'.*Known: "),
    ],
)
def test_an_unknown_name_gets_a_suggestion(kind, name, said):
    with pytest.raises(InputError, match=said):
        (registry.find_family if kind == "families" else find_agent)(name)


def test_names_are_a_copy():
    registry.names("families").clear()
    assert registry.names("families")


# -- files and modules -----------------------------------------------------------------


def test_a_family_in_a_file_trains(cart):
    run = train(f"{cart}:Cart")
    assert run.path.parts[-3:-1] == ("Cart", "maml")
    (row,) = run.metrics()
    assert row["control_steps"] == 2 * 2 * 10 * 2
    family, _ = metarl.load(run.path)
    assert family.name == "Cart"
    assert family.splits == ("train", "interpolation", "far", "switch", "drift")
    results = metarl.evaluate(run, splits=["far"], tasks=2, budgets=[0, 2])
    assert len(results.splits["far"].points) == 2


def test_a_family_in_a_module_trains(module):
    assert train(f"{module}:Cart").metrics()


def test_an_agent_in_a_file_trains_and_is_evaluated(cart, tmp_path):
    (tmp_path / "idle.py").write_text(AGENT)
    run = train(f"{cart}:Cart", f"{tmp_path}/idle.py:Idle", {"strength": 0.25}, 50)
    assert len(run.metrics()) == 1
    _, agent = metarl.load(run.path)
    assert agent.config.strength == 0.25
    results = metarl.evaluate(run, splits=["far"], tasks=2, budgets=[0, 1])
    one, other = results.splits["far"].points
    assert one.returns == other.returns
    assert one.returns[0] < 0


def test_a_file_is_found_from_the_current_folder(cart):
    assert metarl.make_family("cart.py:Cart").name == "Cart"
    assert metarl.make_family("./cart.py:Cart").horizon == 10


def test_two_files_of_the_same_name_are_two_families(cart, tmp_path):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "cart.py"
    other.write_text(CART.replace("horizon = 10", "horizon = 30"))
    first = metarl.make_family(f"{cart}:Cart")
    second = metarl.make_family(f"{other}:Cart")
    again = metarl.make_family(f"{cart}:Cart")
    assert [f.horizon for f in (first, second, again)] == [10, 30, 10]


def test_a_family_made_of_a_registered_one_has_a_name_of_its_own(tmp_path):
    metarl.make_family("cheetah-dynamics")
    (tmp_path / "mine.py").write_text(
        textwrap.dedent(
            """
            from metarl.envs.locomotion.cheetah import CheetahDynamics

            class Mine(CheetahDynamics):
                horizon = 7
            """
        )
    )
    mine = metarl.make_family("mine.py:Mine")
    assert mine.name == "Mine"
    assert mine.task().family == "Mine"
    assert metarl.make_family("cheetah-dynamics").name == "cheetah-dynamics"


def test_a_family_has_one_name_however_it_was_found():
    """In a process of its own, where no family was found by its name before."""
    code = (
        "import metarl\nfrom metarl.environment.registry import names\n"
        "for name, reference in names('families').items():\n"
        "    print(name, metarl.make_family(reference).task().family)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(metarl.__file__).parents[1])},
    )
    pairs = [line.split() for line in done.stdout.splitlines()]
    assert len(pairs) == len(registry.names("families"))
    assert all(name == found for name, found in pairs)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("cart.py:Card", "name in cart.py: 'Card'.*mean 'Cart'"),
        ("cart.py:A_NUMBER", "'cart.py:A_NUMBER' is not a class"),
        ("cart.py:NoFamily", "'cart.py:NoFamily' is not a TaskFamily"),
        ("card.py:Cart", "No file card.py"),
        ("no_such_module:Cart", "No module 'no_such_module'"),
        ("users_robots.deeper:Cart", "No module 'users_robots.deeper'"),
        ("users_robots:Card", "name in users_robots: 'Card'.*mean 'Cart'"),
        (":Cart", "':Cart'"),
        ("cart.py:", "cart.py"),
        (".relative:Cart", "'.relative:Cart'"),
    ],
)
def test_a_wrong_reference_is_refused(cart, module, reference, said):
    with pytest.raises(InputError, match=said):
        metarl.make_family(reference)


def test_a_class_that_is_no_agent_is_refused(cart):
    with pytest.raises(InputError, match=r"'cart\.py:NoFamily' is not an Agent"):
        train("point-goal", "cart.py:NoFamily", {})
    assert not (cart.parent / "runs").exists()


def test_what_a_users_file_lacks_is_said_as_it_is(tmp_path):
    (tmp_path / "lacking.py").write_text("import no_such_library\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        metarl.make_family("lacking.py:Cart")
    (tmp_path / "lacking.py").write_text(CART)
    assert metarl.make_family("lacking.py:Cart").name == "Cart"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"horizn": 3}, "'point-goal'.*horizn"),
        ({"horizon": 0}, "horizon=0"),
    ],
)
def test_wrong_options_of_a_family_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        metarl.make_family("point-goal", **options)


def test_wrong_fields_of_an_agents_config_are_refused():
    with pytest.raises(InputError, match=r"'maml'.*inner_rl"):
        train("point-goal", "maml", {"inner_rl": 3})


# -- plug-ins --------------------------------------------------------------------------


def test_an_installed_plug_in_registers_as_a_built_in_does(cart, plug_in):
    plug_in({"families": {"my-cart": f"{cart}:Cart"}, "agents": {}})
    assert list(registry.names("families"))[-1] == "my-cart"
    assert metarl.make_family("my-cart").horizon == 10
    run = train("my-cart")
    assert run.path.parts[-3:-1] == ("my-cart", "maml")
    assert json.loads((run.path / "config.json").read_text())["family"] == "my-cart"
    registry.register_gymnasium()
    try:
        env = gymnasium.make("metarl/MyCart-v0", task={"mass": 3.0})
        assert env.unwrapped.task["mass"] == 3.0
    finally:
        del gymnasium.registry["metarl/MyCart-v0"]


def test_two_plug_ins_may_not_claim_one_name(plug_in):
    plug_in({"families": {"cart": "a:Cart"}}, {"families": {"cart": "b:Cart"}})
    with pytest.raises(InputError, match="family 'cart': a:Cart and b:Cart"):
        registry.names("families")


def test_a_plug_in_may_not_replace_a_built_in(plug_in):
    plug_in({"agents": {"maml": "mine:MAML"}})
    with pytest.raises(InputError, match=r"agent 'maml': metarl.* and mine:MAML"):
        find_agent("maml")


def test_the_same_offer_twice_is_no_conflict(plug_in):
    plug_in({"families": {"cart": "a:Cart"}}, {"families": {"cart": "a:Cart"}})
    assert registry.names("families")["cart"] == "a:Cart"


def test_a_plug_in_of_an_unknown_kind_is_refused(plug_in):
    plug_in({"robots": {}})
    with pytest.raises(InputError, match=r"'robots'.*families"):
        registry.names("families")


@pytest.mark.parametrize("value", ["no_such_module:plugin", "math:pi", "time:time"])
def test_a_broken_plug_in_leaves_the_others_usable(plug_in, monkeypatch, value):
    plug_in({"families": {"cart": "a:Cart"}})
    broken = EntryPoint("lame", value, "metarl.plugins")
    points = [broken, *registry.entry_points(group="metarl.plugins")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with pytest.warns(RuntimeWarning, match=rf"'lame' \({value}\) is left out: \w+"):
        assert metarl.make_family("point-goal").name == "point-goal"
    assert registry.names("families")["cart"] == "a:Cart"
    with pytest.raises(InputError, match="Unknown family 'lame-robot'"):
        metarl.make_family("lame-robot")


def test_nothing_is_imported_before_it_is_asked_for(plug_in):
    plug_in({"families": {"far-away": "no.such.module:Family"}})
    assert registry.names("families")["far-away"] == "no.such.module:Family"
    with pytest.raises(InputError, match=r"No module 'no.such.module'"):
        registry.find_family("far-away")


# -- modules beside a file, and in the current folder ----------------------------------


WITH_HELPER = CART.replace("import mujoco", "import limits\nimport mujoco", 1).replace(
    "horizon = 10", "horizon = limits.HORIZON"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Makes folders of files that import a module beside them."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(registry, "_SEARCHED", set())

    def make(name, horizon):
        made = tmp_path / name
        made.mkdir()
        (made / "limits.py").write_text(f"HORIZON = {horizon}\n")
        (made / f"{name}.py").write_text(WITH_HELPER)
        return made

    yield make
    for name in ("limits", "one", "other", "pack"):
        sys.modules.pop(name, None)


def test_a_module_beside_the_file_is_found(folder):
    made = folder("one", 11)
    assert metarl.make_family(f"{made}/one.py:Cart").horizon == 11
    assert metarl.make_family("one/one.py:Cart").horizon == 11


def test_a_package_beside_the_file_is_found(folder):
    made = folder("one", 11)
    (made / "limits.py").unlink()
    (made / "limits").mkdir()
    (made / "limits" / "__init__.py").write_text("from limits.deep import HORIZON")
    (made / "limits" / "deep.py").write_text("HORIZON = 12")
    assert metarl.make_family(f"{made}/one.py:Cart").horizon == 12


def test_files_of_two_folders_have_each_its_own_module(folder):
    first, second = folder("one", 11), folder("other", 22)
    assert metarl.make_family(f"{first}/one.py:Cart").horizon == 11
    assert metarl.make_family(f"{second}/other.py:Cart").horizon == 22
    assert metarl.make_family(f"{first}/one.py:Cart").horizon == 11


def test_a_module_of_the_current_folder_is_found(folder, monkeypatch):
    monkeypatch.chdir(folder("one", 11))
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", ".")])
    assert metarl.make_family("one:Cart").horizon == 11
    with pytest.raises(InputError, match=r"No module 'two'.*PYTHONPATH"):
        metarl.make_family("two:Cart")


def test_the_modules_of_metarl_stay_what_they_are(folder):
    made = folder("one", 11)
    (made / "metarl.py").write_text("raise RuntimeError")
    assert metarl.make_family(f"{made}/one.py:Cart").horizon == 11
    assert sys.modules["metarl"] is metarl
