"""Reptile's move, worked out by hand on quadratics, and whose Adam it is."""

import pytest
import torch
from fixed import STEPS, TASKS, agent_of, batch_of

from metarl.agents.reptile import Learner, Reptile
from metarl.environment.registry import make_family
from metarl.learning.distributions import gaussian
from metarl.learning.networks import named, stack
from metarl.learning.sampler import Sampler


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=STEPS)


class Quadratics(Reptile):
    """Task i has the loss a (theta - target)^2 / 2; its batch is a and the target."""

    def __init__(self, family, config, seed):
        super().__init__(family, config, seed)
        self.learnt = {"start": {"theta": torch.zeros(1, dtype=torch.float64)}}

    def inner_loss(self, policy, batch):
        a, target = batch
        return 0.5 * a * (policy["theta"][:, 0] - target).square()


def quadratics(family, **config):
    config = {"epsilon": 1e-8, **config}
    return Quadratics(family, Quadratics.Config(**config), seed=0)


def start_of(agent, tasks=TASKS):
    return Learner(stack(agent.learnt["start"], tasks))


def adam_by_hand(gradient, theta, steps, lr):
    """Kingma and Ba (2015), algorithm 1, on one number."""
    m = v = 0.0
    for t in range(1, steps + 1):
        g = gradient(theta)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        theta -= lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-8)
    return theta


def test_the_start_moves_to_the_mean_of_the_ends_of_two_quadratics(family):
    agent = quadratics(family, inner_lr=0.1, updates=3, outer_lr=0.25)
    a, target = torch.tensor([1.0, 4.0]), torch.tensor([1.0, -0.2])
    learner = start_of(agent, 2)
    for _ in range(2):
        learner = agent.inner_step(learner, (a, target))
    metrics = agent.outer_step(learner.policy)
    # Two rounds of three steps, with one Adam for each task.
    ends = [
        adam_by_hand(lambda x, i=i: float(a[i] * (x - target[i])), 0.0, 6, 0.1)
        for i in range(2)
    ]
    expected = 0.25 * (ends[0] + ends[1]) / 2
    theta = agent.learnt["start"]["theta"]
    assert theta.item() == pytest.approx(expected, rel=1e-6)
    assert metrics["move"] == pytest.approx(abs(expected) / 0.25, rel=1e-6)
    # The two pull to different sides, and not equally.
    assert ends[0] > 0.4 and ends[1] < -0.15


def test_adam_belongs_to_a_task_and_is_fresh_for_the_next(family):
    agent = quadratics(family, inner_lr=0.1, updates=1)
    far, near = torch.tensor([1.0]), torch.tensor([0.11])
    one = torch.ones(1)
    start = start_of(agent, 1)
    first = agent.inner_step(start, (one, far))
    assert first.policy["theta"].item() == pytest.approx(0.1)  # lr times the sign
    assert first.adam["adam/0/step"].item() == 1
    # Adam goes on in the second round: a fresh one would move by lr.
    second = agent.inner_step(first, (one, near))
    momentum = (0.9 * 0.1 + 0.1 * 0.01) / 0.19
    size = ((0.999 * 0.001 + 0.001 * 1e-4) / (1 - 0.999**2)) ** 0.5
    expected = 0.1 + 0.1 * momentum / size
    assert second.policy["theta"].item() == pytest.approx(expected)
    fresh = agent.inner_step(Learner(first.policy), (one, near))
    assert fresh.policy["theta"].item() == pytest.approx(0.2, abs=1e-4)
    # Learning changes neither the start nor what a new task begins with.
    assert agent.learnt["start"]["theta"].item() == 0
    new = agent.adaptation(1).state
    assert set(new.policy) == {"theta"} and new.adam == {}
    again = agent.inner_step(start, (one, far))
    assert torch.equal(again.policy["theta"], first.policy["theta"])


def test_epsilon_makes_small_gradients_move_little(family):
    agent = quadratics(family, inner_lr=0.1, updates=1, epsilon=0.01)
    a, target = torch.tensor([1.0, 0.001]), torch.ones(2)
    end = agent.inner_step(start_of(agent, 2), (a, target)).policy["theta"]
    # Adam's first step: lr g / (|g| + epsilon).
    assert end[:, 0].tolist() == pytest.approx([0.1 / 1.01, 0.1 * 0.001 / 0.011])


def test_one_stacked_adam_is_an_adam_for_each_task(family):
    agent = quadratics(family, inner_lr=0.03, updates=5)
    a, target = torch.tensor([1.0, 4.0]), torch.tensor([1.0, -0.2])
    together = agent.inner_step(start_of(agent, 2), (a, target)).policy["theta"]
    for i in range(2):
        alone = agent.inner_step(start_of(agent, 1), (a[i : i + 1], target[i]))
        theta = alone.policy["theta"].item()
        assert together[i].item() == pytest.approx(theta, rel=1e-12)


def test_its_inner_loss_is_the_clipped_objective(family):
    agent = agent_of(family, Reptile)
    batch = batch_of(agent, 0)
    policy = stack(agent.learnt["start"], TASKS)
    new = gaussian(policy, batch.observation).log_prob(batch.action)
    ratio = (new - batch.old_log_prob).exp()
    gain = torch.minimum(
        ratio * batch.advantage, ratio.clamp(0.8, 1.2) * batch.advantage
    )
    expected = -(gain * batch.mask).sum(-1) / batch.mask.sum(-1)
    torch.testing.assert_close(agent.inner_loss(policy, batch), expected)
    assert ((ratio < 0.8) | (ratio > 1.2)).any()


def test_a_round_of_learning_makes_good_actions_likelier(family):
    agent = agent_of(family, Reptile, inner_lr=0.01)
    batch = batch_of(agent, 0, spread=0.0)
    start = start_of(agent)
    end = agent.inner_step(start, batch)
    before, after = (agent.inner_loss(at.policy, batch) for at in (start, end))
    assert (after < before).all()


def test_an_iteration_learns_from_every_round(family):
    config = {"hidden": (8,), "tasks": 3, "episodes": 4, "inner_steps": 2}
    agent = Reptile(family, Reptile.Config(**config, updates=3, outer_lr=0.5), seed=0)
    ends = []
    inner_step = agent.inner_step
    agent.inner_step = lambda *state: ends.append(inner_step(*state)) or ends[-1]
    before = named(agent.learnt)
    agent.train_step(Sampler(family, seed=0))
    assert [end.adam["adam/0/step"].item() for end in ends] == [3, 6, 9]
    for name, p in named(agent.learnt).items():
        middle = (before[name] + ends[-1].policy[name].mean(0)) / 2
        torch.testing.assert_close(p, middle)
