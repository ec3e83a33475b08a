"""On a robot an agent adapts as it does in an evaluation."""

from pathlib import Path

import pytest
import torch
from carts import Finishing
from simulated import QUERY, SUPPORT, SimulatedRobot, adapt, episode
from tiny import CONFIGS

from metarl.deploy.adapter import Adapter
from metarl.environment.collect import collect
from metarl.environment.environments import Environments
from metarl.environment.registry import make_family, names
from metarl.errors import InputError, RunError
from metarl.evaluation.protocol import evaluate
from metarl.learning import adapt as loop
from metarl.learning.agent import Agent, find_agent
from metarl.learning.sampler import Sampler
from metarl.runs.folder import Run
from metarl.runs.pretrained import HOME
from metarl.runs.pretrained import names as shipped
from metarl.runs.robot import Robot
from metarl.tasks.randomness import key

ROOT = Path(__file__).parents[2]
SEED = 3
AGENTS = [name for name in names("agents") if not find_agent(name).observes_task]


def trained(family, name) -> Agent:
    kind = find_agent(name)
    agent = kind(family, kind.Config(**CONFIGS[name]), 0)
    agent.normalizer.enabled = not agent.normalizes
    sampler = Sampler(family, 0, agent.observes_task)
    agent.train_step(sampler)
    return agent


def expected(agent, family, task, budgets):
    """Returns of the episodes of adaptation, and of the deployed policies."""
    environments = Environments(family)
    adaptation = agent.adaptation(1)
    online, deployed = [], []
    purpose = (SEED, "evaluation", SUPPORT)
    for point in loop.adapt(adaptation, environments, [task], budgets, purpose):
        online += [r for e in point.rounds for r in e.returns[0].tolist()]
        query = key(SEED, "evaluation", QUERY)
        episodes = collect(environments([task], 1), point.policy, query)
        deployed.append(float(episodes.returns))
    return online, deployed


def on_robot(agent, family):
    """The agent as a robot loads it, which has no family."""
    twin = type(agent)(Robot.of(family), agent.config, agent.seed)
    twin.normalizer.enabled = agent.normalizer.enabled
    twin.load(*agent.save())
    return twin


def assert_it_is_evaluated(agent, family, task, budgets):
    online, deployed = expected(agent, family, task, budgets)
    robot, agent = SimulatedRobot(family, task, SEED), on_robot(agent, family)
    for budget, returned in zip(budgets, deployed, strict=True):
        adapter = Adapter(agent, Robot.of(family), budget=0, seed=SEED)
        for before in budgets:
            if before <= budget:
                adapt(adapter, robot, before)
        assert not adapter.adapting and adapter.spent == budget
        last = episode(adapter, robot, (QUERY,))
        assert last.returned == pytest.approx(returned, abs=1e-6)
        *curve, _ = adapter.curve
        assert [a.returned for a in curve] == pytest.approx(online[:budget], abs=1e-6)
        assert all(a.adapting for a in curve) and not last.adapting


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_adapts_as_in_an_evaluation(name):
    family = make_family("point-goal", horizon=12)
    agent = trained(family, name)
    (task,) = family.tasks("near", 1, seed=SEED)
    assert_it_is_evaluated(agent, family, task, (0, 1, 5))


@pytest.mark.parametrize("name", ["maml", "rl2", "pearl", "finetune", "siamese"])
def test_also_where_episodes_end_early(name):
    family = Finishing()
    agent = trained(family, name)
    (task,) = family.tasks("far", 1, seed=SEED)
    assert_it_is_evaluated(agent, family, task, (0, 3, 6))


def test_and_an_agent_that_draws_a_whole_round_at_a_time():
    family = make_family("point-goal", horizon=12)
    kind = find_agent(f"{ROOT}/experiments/custom_agent/spread.py:Spread")
    agent = kind(family, kind.Config(tasks=2, tries=4), 0)
    (task,) = family.tasks("near", 1, seed=SEED)
    assert_it_is_evaluated(agent, family, task, (0, 3, 14))


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
def test_the_shipped_agents_adapt_as_in_an_evaluation(name):
    family, agent, _ = Run(HOME / name).load()
    (task,) = family.tasks("far", 1, seed=SEED)
    assert_it_is_evaluated(agent, family, task, (0, 25))


def test_the_protocol_measures_the_same():
    family, agent, _ = Run(HOME / "point-goal-maml").load()
    results = evaluate(
        agent,
        family,
        splits=["far"],
        tasks=1,
        budgets=(20,),
        query_episodes=1,
        seed=SEED,
    )
    (point,) = results.splits["far"].points
    (task,) = results.splits["far"].tasks
    adapter = Adapter(agent, Robot.of(family), budget=20, seed=SEED)
    robot = SimulatedRobot(family, task, SEED)
    adapt(adapter, robot, 20)
    last = episode(adapter, robot, (QUERY,))
    assert last.returned == pytest.approx(point.returns[0], abs=1e-6)
    seconds = sum(attempt.seconds for attempt in adapter.curve[:-1])
    assert seconds == pytest.approx(point.seconds[0])


# -- what a driver may do -------------------------------------------------------------


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=12)


@pytest.fixture(scope="module")
def agent(family):
    return trained(family, "maml")


@pytest.fixture
def adapter(agent, family):
    return Adapter(agent, Robot.of(family), budget=4, seed=SEED)


def test_the_budget_and_the_curve_are_kept(adapter):
    for number in range(6):
        assert adapter.adapting == (number < 4)
        for _ in range(3):
            adapter.act([0.1, 0.2])
            adapter.observe(-1.0 - number)
        adapter.end_episode()
    assert (adapter.spent, adapter.budget) == (4, 4)
    assert [a.returned for a in adapter.curve] == [-3.0 * (1 + n) for n in range(6)]
    assert [a.adapting for a in adapter.curve] == [True] * 4 + [False] * 2
    assert all(a.seconds == pytest.approx(0.3) for a in adapter.curve)


def test_it_learns_from_what_was_given_to_it_alone(adapter):
    """Policies differ where rewards differ, and not where they are the same."""

    def acted(scale):
        one = Adapter(adapter.agent, adapter.robot, budget=4, seed=SEED)
        for _ in range(4):
            for step in range(5):
                action = one.act([0.1 * step, 0.2])
                one.observe(scale * float(action[0]))
            one.end_episode()
        return one.act([0.3, 0.3])

    assert torch.equal(*(torch.tensor(acted(1.0)) for _ in range(2)))
    assert abs(acted(1.0) - acted(-1.0)).max() > 1e-3


def test_actions_are_clipped_and_learning_reads_them_as_they_were(family):
    agent = trained(family, "maml")
    agent.learnt["start"]["log_std"] = agent.learnt["start"]["log_std"] + 2
    adapter = Adapter(agent, Robot.of(family), seed=SEED)
    actions = []
    for _ in range(12):
        actions.append(adapter.act([0.0, 0.0]))
        adapter.observe(0.0)
    acted = torch.stack([torch.from_numpy(action) for action in actions])
    assert acted.abs().max() == 1.0
    (raw,) = adapter._round.episodes.action[:, 0]
    assert raw.abs().max() > 1.0
    assert torch.equal(raw.clamp(-1, 1), acted)


def test_freezing_deploys_what_is_known_so_far(agent, family):
    (task,) = family.tasks("near", 1, seed=SEED)
    robot = SimulatedRobot(family, task, SEED)
    frozen = Adapter(agent, Robot.of(family), budget=4, seed=SEED)
    for copy in range(3):  # of a round of 4
        episode(frozen, robot, (SUPPORT, 0), 4, copy)
    frozen.freeze()
    assert not frozen.adapting and (frozen.spent, frozen.budget) == (3, 3)
    _, (deployed,) = expected(agent, family, task, (3,))
    assert episode(frozen, robot, (QUERY,)).returned == pytest.approx(deployed)
    frozen.extend(1)
    assert frozen.adapting
    episode(frozen, robot, (SUPPORT, 3), 1, 0)
    assert not frozen.adapting and frozen.spent == 4


def test_calls_out_of_order_are_refused_in_words(adapter):
    with pytest.raises(InputError, match="act\\(observation\\) comes before"):
        adapter.observe(0.0)
    with pytest.raises(InputError, match="at least one act"):
        adapter.end_episode()
    adapter.act([0.0, 0.0])
    with pytest.raises(InputError, match="comes between one act"):
        adapter.act([0.0, 0.0])
    for change in (adapter.freeze, lambda: adapter.extend(1)):
        with pytest.raises(InputError, match="between episodes"):
            change()
    adapter.observe(0.0, done=True)
    assert adapter.over
    with pytest.raises(InputError, match="over after 1 control steps"):
        adapter.act([0.0, 0.0])
    adapter.end_episode()
    assert adapter._round.episodes.terminated[0].tolist() == [True, False, False, False]
    with pytest.raises(InputError, match="episodes=-1"):
        adapter.extend(-1)


def test_an_episode_ends_at_the_horizon(adapter):
    for _ in range(12):
        assert not adapter.over
        adapter.act([0.0, 0.0])
        adapter.observe(0.0)
    assert adapter.over
    with pytest.raises(InputError, match="over after 12 control steps"):
        adapter.act([0.0, 0.0])
    adapter.end_episode()
    assert not adapter._round.episodes.terminated.any()


def test_an_action_without_its_reward_does_not_count(adapter):
    adapter.act([0.1, 0.0])
    adapter.observe(-1.0)
    adapter.act([0.2, 0.0])
    assert adapter.end_episode().seconds == pytest.approx(0.1)
    episodes = adapter._round.finished()
    assert int(episodes.length) == 1 and float(episodes.mask.sum()) == 1
    assert episodes.final_observation[0, 0].tolist() == pytest.approx([0.2, 0.0])


BAD = {
    "nan": ([0.1, float("nan")], r"component 1 \(y / m\): nan"),
    "infinite": ([1e39, 0.1], r"component 0 \(x / m\): inf"),
    "shape": ([0.1, 0.2, 0.3], r"shape \(3,\) instead of \(2,\)"),
    "no number": (["left", "right"], "not 2 numbers"),
    "nothing": (None, "not|shape"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_observation_is_refused_and_may_be_measured_again(adapter, bad):
    observation, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        adapter.act(observation)
    first = adapter.act([0.1, 0.2])
    other = Adapter(adapter.agent, adapter.robot, budget=4, seed=SEED)
    assert (first == other.act([0.1, 0.2])).all()
    adapter.observe(0.0)
    with pytest.raises(InputError, match=message):
        adapter.act(observation)
    adapter.act([0.1, 0.3])


@pytest.mark.parametrize("bad", BAD)
def test_or_the_last_action_is_held(agent, family, bad):
    observation, message = BAD[bad]
    robot = Robot.of(family)
    adapter = Adapter(agent, robot, seed=SEED, on_bad="hold", most_held=3)
    with pytest.raises(InputError, match=message):
        adapter.act(observation)  # there is nothing to hold
    action = adapter.act([0.1, 0.2])
    adapter.observe(-1.0)
    for _ in range(3):
        assert (adapter.act(observation) == action).all()
        adapter.observe(float("nan"))
    with pytest.raises(InputError, match="3 were held"):
        adapter.act(observation)
    assert (adapter.act([0.1, 0.3]) != action).any()
    adapter.observe(-1.0)
    attempt = adapter.end_episode()
    assert attempt.held == 3 and attempt.returned == -5.0
    assert adapter._round.episodes.observation.isfinite().all()


def test_a_reward_that_is_no_number_is_refused(adapter):
    adapter.act([0.1, 0.2])
    with pytest.raises(InputError, match="reward is nan"):
        adapter.observe(float("nan"))
    adapter.observe(-1.0)


def test_a_policy_that_gives_nan_is_stopped(family):
    agent = trained(family, "maml")
    agent.learnt["start"]["log_std"] = agent.learnt["start"]["log_std"] * torch.nan
    adapter = Adapter(agent, Robot.of(family))
    with pytest.raises(RunError, match="action is NaN"):
        adapter.act([0.1, 0.2])


def test_what_means_nothing_is_refused(agent, family):
    robot = Robot.of(family)
    for options in ({"budget": -1}, {"most_held": -1}, {"on_bad": "stop"}):
        with pytest.raises(InputError, match=next(iter(options))):
            Adapter(agent, robot, **options)
    with pytest.raises(InputError, match="no robot knows"):
        Adapter(trained(family, "oracle"), robot)


def test_training_is_not_changed_by_a_robot(agent, family):
    before = {name: t.clone() for name, t in agent.save()[0].items()}
    adapter = Adapter(agent, Robot.of(family), budget=4)
    for _ in range(4):
        adapter.act([0.1, 0.2])
        adapter.observe(-1.0)
        adapter.end_episode()
    assert all(torch.equal(before[n], t) for n, t in agent.save()[0].items())


# -- going on another day --------------------------------------------------------------


def wander(adapter, steps):
    """Drive with observations that follow from the actions; all actions."""
    actions = []
    for _ in range(steps):
        place = adapter.curve[-1].returned if adapter.curve else 0.0
        action = adapter.act([0.01 * len(actions), 0.05 * place])
        adapter.observe(float(action[0]) - 0.5)
        actions.append(torch.tensor(action))
        if adapter.over:
            adapter.end_episode()
    return torch.stack(actions)


@pytest.mark.parametrize("name", AGENTS)
def test_a_save_goes_on_to_the_same_bits(name, family, tmp_path):
    agent = trained(family, name)
    robot = Robot.of(family)
    for before in (12 * 3 + 5, 12 * 7 + 5):  # adapting, deployed
        whole = Adapter(agent, robot, budget=6, seed=SEED)
        wander(whole, before)
        whole.save(tmp_path / str(before))
        again = Adapter(agent, robot).resume(tmp_path / str(before))
        assert again.curve == whole.curve
        assert (again.spent, again.budget) == (whole.spent, whole.budget)
        assert torch.equal(wander(again, 15), wander(whole, 15))


def test_a_save_between_an_action_and_its_reward_goes_on(agent, family, tmp_path):
    agent = trained(family, "rl2")
    whole = Adapter(agent, Robot.of(family), seed=SEED)
    wander(whole, 14)
    whole.act([0.1, 0.2])
    whole.save(tmp_path)
    again = Adapter(agent, whole.robot).resume(tmp_path)
    for one in (again, whole):
        one.observe(-1.0)
    assert torch.equal(wander(again, 30), wander(whole, 30))


def test_a_save_after_freezing_and_going_on_goes_on(adapter, tmp_path):
    wander(adapter, 12 * 3)
    adapter.freeze()
    wander(adapter, 12 * 2)
    adapter.extend(5)
    wander(adapter, 12 * 2 + 3)
    adapter.save(tmp_path)
    again = Adapter(adapter.agent, adapter.robot).resume(tmp_path)
    assert (again.spent, again.budget, again.curve) == (5, 8, adapter.curve)
    assert torch.equal(wander(again, 60), wander(adapter, 60))


def test_held_steps_are_saved_as_such(family, tmp_path):
    agent = trained(family, "rl2")
    whole = Adapter(agent, Robot.of(family), on_bad="hold", seed=SEED)
    wander(whole, 5)
    whole.act([float("nan")] * 2)
    whole.observe(0.0)
    whole.save(tmp_path)
    again = Adapter(agent, whole.robot, on_bad="hold").resume(tmp_path)
    assert torch.equal(wander(again, 20), wander(whole, 20))


def test_a_save_of_another_agent_is_refused(adapter, family, tmp_path):
    with pytest.raises(InputError, match="holds nothing"):
        adapter.resume(tmp_path)
    wander(adapter, 5)
    path = adapter.save(tmp_path)
    for name in ("maml", "rl2"):
        kind = find_agent(name)
        other = kind(family, kind.Config(**CONFIGS[name]), 1)
        with pytest.raises(InputError, match="other weights"):
            Adapter(other, adapter.robot).resume(tmp_path)
    (path / "weights.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="damaged"):
        Adapter(adapter.agent, adapter.robot).resume(tmp_path)
