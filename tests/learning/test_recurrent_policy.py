"""Memory crosses episodes, rests with its robot, and is replayed as it was."""

import pytest
import torch
from torch import Tensor

from metarl.agents.mann import MANN, ExternalMemory, MANNConfig
from metarl.agents.rl2 import GRU, RL2
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.episodes import TimeStep
from metarl.environment.family import TaskFamily
from metarl.environment.registry import make_family
from metarl.learning.normalization import Normalizer
from metarl.learning.recurrent_policy import (
    Memory,
    RecurrentPolicy,
    RecurrentRollout,
    State,
    Trial,
    in_pieces,
    input_size,
)
from metarl.learning.sampler import Sampler

PLAIN = Normalizer(1, enabled=False)


class Tape(Memory):
    """Keeps the sum of all its inputs, and gives it."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.input_size = self.output_size = inputs

    def initial(self, n: int) -> State:
        return (torch.zeros(n, self.output_size),)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        sums = state[0][:, None] + inputs.cumsum(1)
        return sums, (sums[:, -1],)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        return state[0] + inputs, (state[0] + inputs,)


def time_step(observation, reward=0.0, first=False, active=True, noise=0.0):
    """Of one robot with one observation and one action component."""
    return TimeStep(
        torch.full((1, 1, 1), float(observation)),
        torch.full((1, 1), float(reward)),
        torch.full((1, 1), first),
        torch.full((1, 1), active),
        torch.full((1, 1, 1), float(noise)),
    )


@pytest.fixture
def network():
    return RecurrentPolicy(Tape(input_size(1, 1)), action_size=1, initial_std=1.0)


def test_with_a_skip_head_the_observation_reaches_the_action_without_the_memory():
    """And with a linear head it does not."""
    inputs = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    for head, reached in (("skip", True), ("linear", False)):
        memory = GRU(4, 5)
        for parameter in memory.parameters():
            torch.nn.init.zeros_(parameter)
        network = RecurrentPolicy(memory, 1, 1.0, head, hidden=(6,))
        actions, _ = network.step(inputs, memory.initial(3))
        others, _ = network.step(inputs + 1, memory.initial(3))
        assert torch.equal(actions.mean, others.mean) != reached


MEMORIES = {
    "gru": lambda: GRU(4, 5),
    "external": lambda: ExternalMemory(
        4, MANNConfig(units=5, slots=4, width=2, every=3)
    ),
}


@pytest.mark.parametrize("head", ["linear", "skip", "hypernetwork"])
@pytest.mark.parametrize("memory", MEMORIES)
def test_steps_are_those_of_a_whole_sequence(memory, head):
    torch.manual_seed(0)
    network = RecurrentPolicy(MEMORIES[memory](), 1, 1.0, head, hidden=(6,))
    with torch.no_grad():
        for parameter in network.mean.parameters():
            parameter.normal_(std=0.5)
    inputs = torch.randn(2, 7, 4)
    state = network.memory.initial(2)
    whole, last = network(inputs, state)
    means = []
    for now in inputs.unbind(1):
        actions, state = network.step(now, state)
        means.append(actions.mean)
    torch.testing.assert_close(torch.stack(means, 1), whole.mean)
    torch.testing.assert_close(state, last)


@pytest.mark.parametrize("memory", MEMORIES)
def test_pieces_start_where_the_one_before_ended(memory):
    torch.manual_seed(0)
    network = RecurrentPolicy(MEMORIES[memory](), 1, 1.0)
    inputs = torch.randn(2, 7, 4)
    whole, _ = network.memory(inputs, network.memory.initial(2))
    features, starts = network.replay(inputs, unroll=3)
    assert len(starts) == 3
    torch.testing.assert_close(features, whole)
    trial = trial_of(inputs, network.memory.initial(2)).pieces(starts)
    assert trial.inputs.shape == (6, 3, 4)
    again, _ = network.memory(trial.inputs, trial.start)
    torch.testing.assert_close(again.reshape(2, 9, -1)[:, :7], whole)
    assert trial.mask.tolist() == [[1, 1, 1], [1, 1, 1], [1, 0, 0]] * 2
    one = trial.select(torch.tensor([4]))
    alone, _ = network.memory(one.inputs, one.start)
    torch.testing.assert_close(alone[0], whole[1, 3:6])


def trial_of(inputs, start):
    """Trials of whose steps only the inputs are known."""
    n, time, _ = inputs.shape
    zeros, mask = torch.zeros(n, time), torch.ones(n, time)
    action, rest = zeros[..., None], (zeros, zeros, zeros)
    return Trial(inputs, action, zeros, zeros, mask, *rest, start)


@pytest.mark.parametrize(
    ("time", "unroll", "shape"),
    [
        (7, 7, (1, 7)),
        (7, 100, (1, 7)),
        (8, 7, (2, 4)),
        (7, 3, (3, 3)),
        (5, 1, (5, 1)),
    ],
)
def test_a_trial_is_cut_as_evenly_as_can_be(network, time, unroll, shape):
    inputs = torch.arange(8.0 * time).view(2, time, 4)
    _, starts = network.replay(inputs, unroll)
    pieces = in_pieces(inputs, len(starts))
    assert pieces.shape == (2 * shape[0], shape[1], 4)
    joined = pieces.view(2, -1, 4)
    assert torch.equal(joined[:, :time], inputs) and not joined[:, time:].any()


def test_it_reads_observation_last_action_last_reward_and_the_beginning(network):
    policy = RecurrentRollout(network, PLAIN, tasks=1, record=True)
    first = policy.act(time_step(2.0, first=True, noise=0.5)).item()
    second = policy.act(time_step(3.0, reward=7.0, noise=-1.0)).item()
    policy.act(time_step(4.0, reward=8.0))
    read = torch.stack(policy.read, 1)[0].tolist()
    assert read == [
        [2.0, 0.0, 0.0, 1.0],
        [3.0, pytest.approx(first), 7.0, 0.0],
        [4.0, pytest.approx(second), 8.0, 0.0],
    ]


def test_its_state_crosses_episodes_and_takes_the_last_reward_along(network):
    family = make_family("cheetah-direction", horizon=5)
    environment = Environment(family, family.tasks("train", 1))
    size = input_size(environment.observation_size, environment.action_size)
    network = RecurrentPolicy(Tape(size), environment.action_size, 1.0)
    policy = RecurrentRollout(network, PLAIN, tasks=1, record=True)
    episodes = []
    for seed in (1, 2):
        episodes.append(collect(environment, policy, seed))
        policy.update(episodes[-1])
    read = torch.stack(policy.read, 1)[0]
    begins, reward, action = read[:, -1], read[:, -2], read[:, -8:-2]
    assert begins.tolist() == [1, 0, 0, 0, 0] * 2
    assert reward[0] == 0 and reward[5] == episodes[0].reward[0, 0, -1]
    assert torch.equal(action[5], episodes[0].action[0, 0, -1])
    torch.testing.assert_close(policy.state[0][0], read.sum(0))


def test_its_state_rests_while_the_robot_waits_for_others(network):
    policy = RecurrentRollout(network, PLAIN, tasks=1, record=True)
    policy.act(time_step(1.0, first=True))
    before = policy.state[0].clone(), policy.last_action.clone()
    policy.act(time_step(100.0, active=False, noise=9.0))
    assert torch.equal(policy.state[0], before[0])
    assert torch.equal(policy.last_action, before[1])


def test_a_trial_has_no_gaps(network):
    """An episode that ends early is followed by the next one at once."""
    family = make_family("point-goal", horizon=6)
    task = family.task(goal=(0.1, 0.0))
    environment = Environment(family, [task], copies=2)

    class Guided(RecurrentRollout):
        """The first robot goes to the goal at once; the second stays away."""

        def act(self, time_step):
            super().act(time_step)
            self.last_action = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
            return self.last_action.view(1, 2, 2)

    network = RecurrentPolicy(Tape(input_size(2, 2)), 2, 1.0)
    policy = Guided(network, PLAIN, tasks=1, copies=2, record=True)
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
    policy = RecurrentRollout(agent.network, agent.normalizer, 3, copies=4, record=True)
    episodes = []
    for index in range(3):
        episodes.append(sampler.collect(tasks, 4, policy, f"episode {index}"))
        policy.update(episodes[-1])
    trial = policy.trial(episodes)
    lengths = torch.stack([e.length for e in episodes])
    assert lengths.min() < lengths.max()  # so that there were gaps to close
    actions, _ = agent.network(trial.inputs, agent.network.memory.initial(12))
    again = actions.log_prob(trial.action)
    ratio = torch.exp((again - trial.log_prob) * trial.mask)
    torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=1e-5, rtol=0)
    _, metrics = agent.loss(trial, agent.advantages(trial, 3))
    assert abs(metrics["kl"]) < 1e-8


@pytest.mark.parametrize("kind", [RL2, MANN])
def test_a_fixed_state_policy_starts_every_episode_from_what_was_learnt(kind, family):
    agent = kind(family, kind.Config(tasks=2, episodes=2, units=8), seed=0)
    adaptation = agent.adaptation(2)
    assert adaptation.episodes_per_update == 1
    world = Environment(family, family.tasks("train", 2))
    query = Environment(family, family.tasks("train", 2), copies=3)
    fresh = collect(query, adaptation.policy(), seed=1)
    adaptation.update(collect(world, adaptation, seed=2))
    policy = adaptation.policy()
    state = [s.clone() for s in policy.state]
    once, twice = collect(query, policy, seed=1), collect(query, policy, seed=1)
    assert torch.equal(once.action, twice.action)
    assert not torch.equal(once.action, fresh.action)
    assert all(map(torch.equal, state, adaptation.rollout.state))


def test_a_fixed_state_policy_begins_with_the_last_action_and_reward(network):
    policy = RecurrentRollout(network, PLAIN, tasks=1)
    policy.act(time_step(1.0, first=True, noise=0.5))
    policy.last_reward = torch.tensor([7.0])
    fixed, again = policy.fixed(explore=True), time_step(2.0, first=True)
    assert torch.equal(fixed.act(again), policy.act(again))


@pytest.mark.parametrize("kind", [RL2, MANN])
def test_an_adaptation_notes_the_last_reward(kind, family):
    agent = kind(family, kind.Config(tasks=2, episodes=2, units=8), seed=0)
    world = Environment(family, family.tasks("train", 2))
    actions = []
    for more in (0.0, 5.0):
        adaptation = agent.adaptation(2)
        episodes = collect(world, adaptation, seed=1)
        episodes.reward += more
        adaptation.update(episodes)
        actions.append(collect(world, adaptation.policy(), seed=2).action)
    assert not torch.equal(*actions)


@pytest.mark.parametrize("kind", [RL2, MANN])
def test_no_more_is_remembered_than_in_training(kind, family):
    """Trials of three episodes: the third starts from the memory of two, and so does
    every later one, wherever they run."""
    agent = kind(family, kind.Config(tasks=2, episodes=3, units=8), seed=0)
    adaptation = agent.adaptation(2)
    world = Environment(family, family.tasks("train", 2))
    for episode in range(2):
        assert adaptation.episodes_per_update == 1
        adaptation.update(collect(world, adaptation, seed=episode))
    kept = adaptation.policy().state
    assert adaptation.episodes_per_update > 1
    query = Environment(family, family.tasks("train", 2), copies=3)
    third = collect(query, adaptation, seed=2)
    assert torch.equal(third.action, collect(query, adaptation.policy(), 2).action)
    adaptation.update(third)
    assert all(map(torch.equal, kept, adaptation.policy().state))
    assert torch.equal(third.action, collect(query, adaptation, seed=2).action)
