"""What MuJoCo warns of is counted for each simulation, and said."""

import pytest
import torch
from carts import Cart, Still, environment_of, push

import metarl
from metarl.environment.check import check
from metarl.environment.collect import collect
from metarl.environment.episodes import concatenate
from metarl.errors import RunError
from metarl.simulation.engine import WARNINGS, mujoco
from metarl.tasks.parameter import Parameter

BALLS = "".join(
    f'<body pos="{0.19 * (i % 6)} {0.19 * (i // 6)} .1"><freejoint/>'
    '<geom size=".1" mass=".2"/></body>'
    for i in range(30)
)
PILE = f"""<mujoco><option timestep="0.01" integrator="implicitfast"/>
<size memory="%dK"/><worldbody><geom type="plane" size="2 2 .1"/>
<body name="cart" pos="0 3 .2"><joint name="slide" type="slide" axis="1 0 0"/>
<geom name="cart" size=".1" mass="1" contype="0" conaffinity="0"/></body>{BALLS}
</worldbody><actuator><motor joint="slide" ctrlrange="-1 1"/></actuator></mujoco>"""


class Small(Cart):
    """A cart beside a pile of balls, which need more memory than there is."""

    parameters = {
        "mass": Parameter(1.0, train=(0.5, 2.0)),
        "lift": Parameter(0.0, train=(0.0, 0.001), far=(0.001, 0.5)),
    }
    memory = 300

    def build(self, task):
        spec = mujoco.MjSpec.from_string(PILE % self.memory)
        spec.geom("cart").mass = task["mass"]
        return spec

    def reset(self, sim, ids, rng):
        lift = sim.parameters["lift"][ids, None] * torch.arange(1, 31)
        sim.qpos[ids, 3::7] = sim.qpos[ids, 3::7] + lift  # the balls' height

    def observe(self, sim):
        return torch.cat([sim.qpos[:, :1], sim.qvel[:, :1]], -1)

    def reward(self, sim, action):
        return -sim.qpos[:, 0].abs()

    def success(self, sim):
        return sim.qpos[:, 0] > 0


class Wild(Cart):
    """The first simulation has an infinite control in its second step."""

    def act(self, sim, action):
        super().act(sim, action)
        if (sim.time[0] > 0.005) & (sim.time[0] < 0.015):
            sim.ctrl[0, 0] = torch.nan


def test_words_are_there_for_every_warning_of_mujoco():
    assert len(WARNINGS) == int(mujoco.mjtWarning.mjNWARNING) + 1
    names = [w.name for w in mujoco.mjtWarning.__members__.values()][:-1]
    known = ("INERTIA", "CONTACTFULL", "CNSTRFULL", "BADQPOS", "BADQVEL", "BADQACC")
    assert names == [f"mjWARN_{name}" for name in (*known, "BADCTRL")]


def test_each_simulation_counts_its_own_and_a_reset_forgets_none():
    family = Small()
    tasks = [family.task(lift=0.5), family.task()]
    environment = environment_of(family, tasks, 2)
    found = []
    for seed in range(2):
        environment.reset(seed)
        for _ in range(3):
            environment.step(push(environment))
        found.append(environment.sim.warnings()["constraints"])
    first, second = found
    assert first[:2].tolist() == [0, 0]
    assert (first[2:] >= 3).all()
    assert torch.equal(second, 2 * first)


def test_episodes_know_what_was_warned_of():
    environment = environment_of(Wild(), copies=2)
    with pytest.raises(KeyError):
        _ = collect(environment_of(Cart()), Still(), 0).warnings["controls"]
    one, other = (collect(environment, Still(), seed) for seed in range(2))
    assert set(one.warnings) == {"controls"}
    assert one.warnings["controls"].tolist() == [[1, 0]]
    assert other.warnings["controls"].tolist() == [[1, 0]]
    assert concatenate([one, other]).warnings["controls"].tolist() == [[1, 0, 1, 0]]


@pytest.mark.filterwarnings("ignore:MuJoCo warns")
@pytest.mark.parametrize("agent", ["maml", "randomized"])
def test_a_training_counts_and_its_report_says_so(agent):
    size = {"maml": {"tasks": 2, "episodes": 2, "hidden": (4,)}}.get(agent)
    size = size or {"simulations": 4, "rollout": 8, "hidden": (4,)}
    run = metarl.train(
        f"{__file__}:Small", agent, steps=100, quiet=True, agent_config=size
    )
    rows = run.metrics()
    assert rows[0]["warnings"] > 0
    kinds = {name for name in rows[0] if name.startswith("warnings/")}
    assert rows[0]["warnings"] == sum(rows[0][name] for name in kinds)
    assert "warnings/constraints" in kinds
    resumed = metarl.resume(run.path, steps=200, quiet=True).metrics()
    assert resumed[-1]["warnings"] > rows[-1]["warnings"]
    assert "MuJoCo warned" in metarl.report([run]).read_text()


def test_check_says_what_is_dropped_and_what_helps(capsys):
    assert check(Small(), speed=False) >= 1
    said = capsys.readouterr().out
    assert "constraints dropped for want of memory: give <size memory=" in said
    assert "mass=" in said


def test_a_state_that_mujoco_refuses_is_one_message():
    class Tiny(Small):
        memory, compute_kinematics = 30, True

    with pytest.raises(RunError, match=r"MuJoCo refuses the state of.*mass=1.*Alloc"):
        environment_of(Tiny()).reset(0)
