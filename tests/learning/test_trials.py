"""Memory crosses episodes, rests with its robot, and is replayed as it was."""

import pytest
import torch
from torch import Tensor

from metarl.agents.mann import MANN
from metarl.agents.rl2 import RL2
from metarl.family import TaskFamily
from metarl.learning.agent import Sampler
from metarl.learning.policies import log_probability
from metarl.learning.trials import Memory, MemoryNetwork, Rememberer, State, input_size
from metarl.registry import make_family
from metarl.world.environment import Environment
from metarl.world.rollout import Percept, collect


class Tape(Memory):
    """Remembers the sum of all that it was told, and shows it."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.output_size = inputs

    def initial(self, n: int) -> State:
        return (torch.zeros(n, self.output_size),)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        sums = state[0][:, None] + inputs.cumsum(1)
        return sums, (sums[:, -1],)


def percept(observation, reward=0.0, begins=False, running=True, noise=0.0):
    """Of one robot with one observation and one action component."""
    return Percept(
        torch.full((1, 1, 1), float(observation)),
        torch.full((1, 1), float(reward)),
        torch.full((1, 1), begins),
        torch.full((1, 1), running),
        torch.full((1, 1, 1), float(noise)),
    )


@pytest.fixture
def network():
    return MemoryNetwork(Tape(input_size(1, 1)), action_size=1, initial_std=1.0)


def test_it_is_told_observation_last_action_last_reward_and_the_beginning(network):
    policy = Rememberer(network, tasks=1, record=True)
    first = policy.act(percept(2.0, begins=True, noise=0.5)).item()
    second = policy.act(percept(3.0, reward=7.0, noise=-1.0)).item()
    policy.act(percept(4.0, reward=8.0))
    told = torch.stack(policy.told, 1)[0].tolist()
    assert told == [
        [2.0, 0.0, 0.0, 1.0],
        [3.0, pytest.approx(first), 7.0, 0.0],
        [4.0, pytest.approx(second), 8.0, 0.0],
    ]


def test_its_state_crosses_episodes_and_takes_the_last_reward_along(network):
    family = make_family("cheetah-direction", horizon=5)
    environment = Environment(family, family.tasks("train", 1))
    size = input_size(environment.observation_size, environment.action_size)
    network = MemoryNetwork(Tape(size), environment.action_size, 1.0)
    policy = Rememberer(network, tasks=1, record=True)
    episodes = []
    for seed in (1, 2):
        episodes.append(collect(environment, policy, seed))
        policy.absorb(episodes[-1])
    told = torch.stack(policy.told, 1)[0]
    begins, reward, action = told[:, -1], told[:, -2], told[:, -8:-2]
    assert begins.tolist() == [1, 0, 0, 0, 0] * 2
    assert reward[0] == 0 and reward[5] == episodes[0].reward[0, 0, -1]
    assert torch.equal(action[5], episodes[0].action[0, 0, -1])
    torch.testing.assert_close(policy.state[0][0], told.sum(0))


def test_its_state_rests_while_the_robot_waits_for_others(network):
    policy = Rememberer(network, tasks=1, record=True)
    policy.act(percept(1.0, begins=True))
    before = policy.state[0].clone(), policy.last_action.clone()
    policy.act(percept(100.0, running=False, noise=9.0))
    assert torch.equal(policy.state[0], before[0])
    assert torch.equal(policy.last_action, before[1])


def test_a_trial_has_no_gaps(network):
    """An episode that ends early is followed by the next one at once."""
    family = make_family("point-goal", horizon=6)
    task = family.task(goal=(0.1, 0.0))
    environment = Environment(family, [task], copies=2)

    class Guided(Rememberer):
        """The first robot goes to the goal at once; the second stays away."""

        def act(self, percept):
            super().act(percept)
            self.last_action = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
            return self.last_action.view(1, 2, 2)

    network = MemoryNetwork(Tape(input_size(2, 2)), 2, 1.0)
    policy = Guided(network, tasks=1, copies=2, record=True)
    episodes = [collect(environment, policy, seed) for seed in (1, 2)]
    assert episodes[0].length.tolist() == [[1, 6]]
    trial = policy.trial(episodes)
    assert trial.mask.tolist() == [[1, 1] + [0] * 10, [1] * 12]
    assert trial.phase[0, :2].tolist() == [0, 0]
    assert trial.inputs[0, :2, -1].tolist() == [1, 1]
    assert trial.reward[0, 2:].abs().sum() == 0
    torch.testing.assert_close(
        trial.reward[1], torch.cat([e.reward[0, 1] for e in episodes])
    )


@pytest.fixture(scope="module")
def family() -> TaskFamily:
    return make_family("point-goal", horizon=15)


@pytest.mark.parametrize("kind", [RL2, MANN])
def test_the_ratio_is_one_at_the_first_minibatch(kind):
    """Whole trials are unrolled to the scores that were seen, boundaries included, also
    where an episode ended early."""
    family = make_family("hopper-params", horizon=40)
    agent = kind(family, kind.Config(tasks=3, episodes=3, units=8), seed=0)
    sampler = Sampler(family, 0)
    tasks = family.tasks("train", 3)
    policy = Rememberer(agent.network, 3, copies=4, record=True)
    episodes = []
    for index in range(3):
        episodes.append(sampler.collect(tasks, 4, policy, f"episode {index}"))
        policy.absorb(episodes[-1])
    trial = policy.trial(episodes)
    lengths = torch.stack([e.length for e in episodes])
    assert lengths.min() < lengths.max()  # so that there were gaps to close
    mean, log_std, _ = agent.network(trial.inputs, agent.network.memory.initial(12))
    again = log_probability(mean, log_std, trial.action)
    ratio = torch.exp((again - trial.log_probability) * trial.mask)
    torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=1e-5, rtol=0)
    _, metrics = agent.loss(trial, agent.advantages(trial, 3))
    assert abs(metrics["kl"]) < 1e-8


@pytest.mark.parametrize("kind", [RL2, MANN])
def test_a_settled_policy_starts_every_episode_from_what_was_learnt(kind, family):
    agent = kind(family, kind.Config(tasks=2, episodes=2, units=8), seed=0)
    adaptation = agent.adaptation(2)
    assert adaptation.round == 1
    world = Environment(family, family.tasks("train", 2))
    query = Environment(family, family.tasks("train", 2), copies=3)
    fresh = collect(query, adaptation.deployed(), seed=1)
    adaptation.absorb(collect(world, adaptation, seed=2))
    policy = adaptation.deployed()
    state = [s.clone() for s in policy.state]
    once, twice = collect(query, policy, seed=1), collect(query, policy, seed=1)
    assert torch.equal(once.action, twice.action)
    assert not torch.equal(once.action, fresh.action)
    assert all(map(torch.equal, state, adaptation.policy.state))


def test_a_settled_policy_begins_with_the_last_action_and_reward(network):
    policy = Rememberer(network, tasks=1)
    policy.act(percept(1.0, begins=True, noise=0.5))
    policy.last_reward = torch.tensor([7.0])
    settled, again = policy.settled(explore=True), percept(2.0, begins=True)
    assert torch.equal(settled.act(again), policy.act(again))


@pytest.mark.parametrize("kind", [RL2, MANN])
def test_an_adaptation_notes_the_last_reward(kind, family):
    agent = kind(family, kind.Config(tasks=2, episodes=2, units=8), seed=0)
    world = Environment(family, family.tasks("train", 2))
    actions = []
    for more in (0.0, 5.0):
        adaptation = agent.adaptation(2)
        episodes = collect(world, adaptation, seed=1)
        episodes.reward += more
        adaptation.absorb(episodes)
        actions.append(collect(world, adaptation.deployed(), seed=2).action)
    assert not torch.equal(*actions)


@pytest.mark.parametrize("kind", [RL2, MANN])
def test_no_more_is_remembered_than_in_training(kind, family):
    """Trials of three episodes: the third starts from the memory of two, and so does
    every later one, wherever they run."""
    agent = kind(family, kind.Config(tasks=2, episodes=3, units=8), seed=0)
    adaptation = agent.adaptation(2)
    world = Environment(family, family.tasks("train", 2))
    for episode in range(2):
        assert adaptation.round == 1
        adaptation.absorb(collect(world, adaptation, seed=episode))
    kept = adaptation.deployed().state
    assert adaptation.round > 1
    query = Environment(family, family.tasks("train", 2), copies=3)
    third = collect(query, adaptation, seed=2)
    assert torch.equal(third.action, collect(query, adaptation.deployed(), 2).action)
    adaptation.absorb(third)
    assert all(map(torch.equal, kept, adaptation.deployed().state))
    assert torch.equal(third.action, collect(query, adaptation, seed=2).action)
