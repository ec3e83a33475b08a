"""Agents that read the last steps of an episode: what they learn, and from what."""

import pytest
import torch
from carts import Cart
from tiny import CONFIGS

from metarl import Parameter
from metarl.agents.baselines import Randomized
from metarl.agents.history import HistoryAgent
from metarl.agents.rma import RMA, SystemIdentification
from metarl.agents.student import Student
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.registry import make_family, names
from metarl.learning.agent import find_agent
from metarl.learning.history import (
    History,
    HistoryNetwork,
    HistoryPolicy,
    step_encoder,
)
from metarl.learning.ppo import PPOConfig, layers
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import torch_generator

AGENTS = [n for n in names("agents") if not find_agent(n).observes_task]
PHASES = {"rma": (0.0, 0.9), "sysid": (0.0, 0.9), "student": (0.0, 0.5, 0.9)}
"""Progress of a training in each phase of an agent."""


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=12)


def iterations(agent, count, sampler=None):
    sampler = sampler or Sampler(agent.family, 0)
    rows = []
    for _ in range(count):
        rows.append(agent.train_step(sampler))
        sampler.iteration += 1
    return rows


# -- history ---------------------------------------------------------------------------


def test_the_newest_step_comes_last_and_an_episode_starts_without_any():
    history = History(2, window=3, observation_size=1, action_size=1)
    first = torch.tensor([True, True])
    for t in range(4):
        observation = torch.tensor([[float(t)], [10.0 + t]])
        inputs = history.inputs(observation, first & (t == 0))
        history.note(observation, torch.full((2, 1), 0.1 * t))
    assert inputs[0].tolist() == pytest.approx([3.0, 0.0, 0.0, 1.0, 0.1, 2.0, 0.2])
    # The first simulation starts anew; what it did before is forgotten.
    inputs = history.inputs(torch.zeros(2, 1), torch.tensor([True, False]))
    assert inputs[0].tolist() == [0.0] * 7
    assert inputs[1].tolist() == pytest.approx([0.0, 11.0, 0.1, 12.0, 0.2, 13.0, 0.3])


def test_what_was_asked_of_the_actuators_is_kept_as_they_could_do_it():
    history = History(1, window=1, observation_size=1, action_size=2)
    history.note(torch.zeros(1, 1), torch.tensor([[5.0, -0.5]]))
    assert history.steps[0, 0].tolist() == [0.0, 1.0, -0.5]


def test_gradients_of_the_history_network_are_those_of_finite_differences():
    torch.manual_seed(0)
    network = HistoryNetwork(step_encoder(2, 3, 4, 2), layers((2 + 2, 5, 1)), 2)
    network = network.double()
    inputs = torch.randn(3, 2 + 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (inputs,))


def test_without_history_and_privileged_critic_it_is_randomized_to_the_bit(family):
    config = CONFIGS["randomized"]
    plain = Randomized(family, PPOConfig(**config), 0)
    bare = {**config, "window": 0, "privileged_critic": False}
    history = HistoryAgent(family, HistoryAgent.Config(**bare), 0)
    rows = [iterations(agent, 3) for agent in (plain, history)]
    assert rows[0][-1] == rows[1][-1]
    for one, other in zip(
        plain.model.parameters(), history.model.parameters(), strict=True
    ):
        assert torch.equal(one, other)
    world = Environment(family, family.tasks("near", 3), 2)
    acted = [
        collect(world, agent.adaptation(3).policy(), seed=0).action
        for agent in (plain, history)
    ]
    assert torch.equal(*acted)


def test_the_policy_acts_on_what_happened_before(family):
    config = HistoryAgent.Config(**CONFIGS["history"])
    agent = HistoryAgent(family, config, 0)
    iterations(agent, 2)
    inputs = torch.zeros(2, agent.size + 3 * (agent.size + 2))
    inputs[1, -1] = 1.0  # another last action
    mean = agent.model.actor(inputs)
    assert not torch.equal(mean[0], mean[1])


# -- the task never reaches what is deployed -------------------------------------------


@pytest.mark.parametrize("name", AGENTS)
def test_no_deployed_policy_reads_the_task(name, family):
    kind = find_agent(name)
    agent = kind(family, kind.Config(**CONFIGS[name]), 0)
    tasks = family.tasks("interpolation", 3)
    adaptation = agent.adaptation(3)
    plain = Environment(family, tasks)
    assert plain.observation_size == family.spec.observation_size
    adaptation.update(collect(plain, adaptation, seed=0))
    assert collect(plain, adaptation.policy(), seed=0).action.isfinite().all()
    if name == "random":
        return  # reads nothing
    # An observation with the task at its end is none that the policy could read.
    leaking = Environment(family, tasks, observe_task=True)
    with pytest.raises(RuntimeError, match=r"shape|size|dim|must match"):
        collect(leaking, adaptation.policy(), seed=0)


# -- phases ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "progress"), [(n, p) for n, all_ in PHASES.items() for p in all_]
)
def test_every_phase_resumes_to_the_same_bits(name, progress, family):
    kind = find_agent(name)

    def begun():
        agent = kind(family, kind.Config(**CONFIGS[name]), 0)
        sampler = Sampler(family, 0, steps=10_000_000)
        iterations(agent, 1, sampler)
        return agent, sampler

    agent, sampler = begun()
    sampler.steps = round(sampler.control_steps / progress) if progress else 10**7
    iterations(agent, 1, sampler)
    tensors, plain = agent.state()
    tensors, counts = {n: t.clone() for n, t in tensors.items()}, sampler.state()
    iterations(agent, 1, sampler)
    whole = agent.state()

    resumed = kind(family, kind.Config(**CONFIGS[name]), 0)
    for own, fresh in resumed.save()[0].items():  # which a run's folder asks for
        assert tensors[own].shape == fresh.shape
    again = Sampler(family, 0, steps=sampler.steps)
    resumed.load_state(tensors, plain)
    again.load_state(counts)
    iterations(resumed, 1, again)
    assert resumed.state()[1] == whole[1]
    for tensor, value in whole[0].items():
        assert torch.equal(resumed.state()[0][tensor], value), tensor


class Mass(Cart):
    """A cart whose mass alone is unknown: a linear system."""

    parameters = {"mass": Parameter(1.0, train=(0.5, 2.0), far=(2.0, 4.0))}
    horizon = 48

    def reward(self, sim, action):
        return -sim.qpos[:, 0].square()

    def success(self, sim):
        return torch.full((sim.n,), torch.nan)


@pytest.mark.slow
def test_the_second_phase_recovers_the_parameter_of_a_linear_system():
    family = Mass()
    config = SystemIdentification.Config(
        simulations=256,
        rollout=12,
        pool=256,
        hidden=(16,),
        window=8,
        latent=2,
        estimator_hidden=(64, 64),
        estimator_epochs=8,
        minibatches=8,
        estimator_lr=3e-3,
        policy_share=0.5,
    )
    agent, sampler = SystemIdentification(family, config, 0), Sampler(family, 0)
    iterations(agent, 5, sampler)  # observations come to be normalized
    sampler.steps = 1  # the second phase begins
    weights = [p.clone() for p in agent.model.parameters()]
    iterations(agent, 40, sampler)
    assert agent.phase == 2
    for before, after in zip(weights, agent.model.parameters(), strict=True):
        assert torch.equal(before, after)  # the policy stands still

    # A policy that hardly moves shows nothing: let it explore, as in training.
    tasks, shuffle = family.tasks("interpolation", 64), torch_generator(0)
    policy = HistoryPolicy(
        lambda inputs: torch.randn(len(inputs), 2, generator=shuffle),
        agent.observed,
        config.window,
    )
    episodes = collect(Environment(family, tasks), policy, seed=0)
    final = agent.observed(episodes.final_observation[:, 0])
    inputs = policy.history.inputs(final, torch.zeros(64, dtype=torch.bool))
    known = torch.stack([family.space.normalized(task) for task in tasks])
    with torch.no_grad():
        encoded, estimated = agent.actor.encoder(known), agent.estimator(inputs)
    residual = (estimated - encoded).square().mean(0)
    assert (residual < 0.25 * encoded.var(0)).all()


# -- teacher and student ---------------------------------------------------------------


def test_the_student_comes_to_act_as_its_teacher_and_goes_on_with_its_critic(family):
    config = Student.Config(
        **{**CONFIGS["student"], "simulations": 64, "imitation_lr": 1e-2}
    )
    agent = Student(family, config, 0)
    sampler = Sampler(family, 0, steps=10**9)
    iterations(agent, 3, sampler)
    assert agent.phase == 1
    sampler.steps = round(sampler.control_steps / 0.55)
    rows = []
    for _ in range(25):
        rows += iterations(agent, 1, sampler)
        sampler.steps = round(sampler.control_steps / 0.6)
    assert agent.phase == 2
    assert rows[-1]["imitation_error"] < 0.5 * rows[0]["imitation_error"]
    before = {n: p.clone() for n, p in agent.student.actor.state_dict().items()}
    critic = [p.clone() for p in agent.teacher.critic.parameters()]
    agent._end_imitation()
    for one, other in zip(critic, agent.student.critic.parameters(), strict=True):
        assert torch.equal(one, other)
    iterations(agent, 1, sampler)
    assert agent.phase == 3
    assert agent.learner.model is agent.student
    after = agent.student.actor.state_dict()
    assert any(not torch.equal(before[n], after[n]) for n in before)


def test_the_estimate_is_what_the_policy_is_conditioned_on(family):
    agent = RMA(family, RMA.Config(**CONFIGS["rma"]), 0)
    task = torch.rand(4, family.spec.task_size)
    seen = torch.randn(4, agent.size)
    inputs = torch.cat([seen, torch.randn(4, 3 * (agent.size + 2))], -1)
    agent.estimator = lambda _: agent.actor.encoder(task)
    expected = agent.actor(torch.cat([seen, task], -1))
    torch.testing.assert_close(agent.deployed(inputs), expected)
