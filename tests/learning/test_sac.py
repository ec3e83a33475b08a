"""Soft actor-critic: hand numbers, finite differences, and tasks of known optimum."""

import math

import pytest
import torch

from metarl.learning import sac
from metarl.learning.adam import Adam
from metarl.learning.distributions import Gaussian
from metarl.learning.networks import leaves
from metarl.learning.optimization import descend, tensors_of
from metarl.tasks.randomness import torch_generator


def parts(inputs, actions, hidden=(16,), seed=0, temperature=0.1):
    """Actor, twin critic and temperature, and the target critic."""
    made = torch_generator(seed, "networks")
    critic = sac.critic_parameters(inputs, actions, hidden, made)
    learnt = {
        "actor": sac.actor_parameters(inputs, actions, hidden, made),
        "critic": critic,
        "temperature": {"log": torch.tensor(math.log(temperature))},
    }
    return learnt, {n: p.clone() for n, p in critic.items()}


def double(tree):
    return {group: {n: p.double() for n, p in p.items()} for group, p in tree.items()}


# -- the squashed Gaussian -------------------------------------------------------------


def test_the_density_of_squashed_actions_integrates_to_one():
    actions = Gaussian(
        torch.tensor([0.4], dtype=torch.float64),
        torch.tensor([-0.3], dtype=torch.float64),
    )
    action = torch.linspace(-1, 1, 20_001, dtype=torch.float64)[1:-1, None]
    noise = (action.atanh() - actions.mean) / actions.log_std.exp()
    again, log_prob = sac.squashed(actions, noise)
    torch.testing.assert_close(again, action)
    assert torch.trapezoid(log_prob.exp(), action[:, 0]).item() == pytest.approx(1.0)


def test_the_log_density_is_that_of_the_change_of_variables():
    mean, std = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.2, 0.7]])
    noise = torch.tensor([[1.5, -0.5]])
    action, log_prob = sac.squashed(Gaussian(mean, std.log()), noise)
    normal = torch.distributions.Normal(mean, std)
    tanh = torch.distributions.TanhTransform()
    expected = torch.distributions.TransformedDistribution(normal, tanh)
    torch.testing.assert_close(action, torch.tanh(mean + std * noise))
    torch.testing.assert_close(log_prob, expected.log_prob(action).sum(-1))


def test_the_log_density_is_finite_where_tanh_is_one():
    far = torch.full((1, 1), 50.0, requires_grad=True)
    action, log_prob = sac.squashed(Gaussian(far, torch.zeros(1, 1)), torch.zeros(1, 1))
    assert action.item() == 1.0
    # log N(u; u, 1) - 2 (log 2 - u)
    expected = -0.5 * math.log(2 * math.pi) - 2 * (math.log(2) - 50)
    assert log_prob.item() == pytest.approx(expected)
    log_prob.sum().backward()
    assert far.grad.item() == pytest.approx(2.0)


# -- targets and losses ----------------------------------------------------------------


def test_targets_take_the_lower_value_and_the_entropy_by_hand():
    target = sac.critic_target(
        reward=torch.tensor([1.0, 1.0]),
        continues=torch.tensor([1.0, 0.0]),
        values=torch.tensor([[4.0, 4.0], [3.0, 5.0]]),
        log_prob=torch.tensor([-2.0, -2.0]),
        temperature=torch.tensor(0.5),
        discount=0.9,
    )
    # 1 + 0.9 (3 + 0.5 * 2), and the reward alone where the episode terminated.
    assert target.tolist() == pytest.approx([4.6, 1.0])


def test_losses_by_hand():
    values = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    # Means of squared errors: (0 + 1) / 2 and (4 + 1) / 2.
    assert sac.critic_loss(values, torch.tensor([1.0, 1.0])).item() == 3.0
    log_prob, alpha = torch.tensor([0.5, -1.5]), torch.tensor(2.0)
    # (2 * 0.5 - 1 + 2 * -1.5 - 0) / 2
    assert sac.actor_loss(values, log_prob, alpha).item() == pytest.approx(-1.5)


def test_the_temperature_rises_while_the_entropy_is_below_its_target():
    for entropy, sign in ((-3.0, -1.0), (-1.0, 1.0)):  # the target is -2
        log = torch.zeros((), requires_grad=True)
        loss = sac.temperature_loss(log, torch.full((4,), -entropy), -2.0)
        (gradient,) = torch.autograd.grad(loss, log)
        assert gradient.item() == pytest.approx(sign)


def test_the_target_follows_slowly_by_hand():
    moved = sac.soft_update(
        {"weight0": torch.tensor([1.0])}, {"weight0": torch.tensor([3.0])}, 0.1
    )
    assert moved["weight0"].item() == pytest.approx(1.2)


def some_steps(n, inputs, actions, seed=0):
    made = torch_generator(seed, "steps")

    def normal(*shape):
        return torch.randn(*shape, generator=made, dtype=torch.float64)

    return sac.Steps(
        normal(n, inputs),
        normal(n, actions).tanh(),
        normal(n),
        normal(n, inputs),
        torch.ones(n, dtype=torch.float64),
    )


@pytest.mark.parametrize("part", ["critic", "actor", "temperature"])
def test_gradients_are_those_of_finite_differences_and_of_their_part_alone(part):
    learnt, target = parts(3, 2, hidden=(5,))
    learnt, target = double(learnt), {n: p.double() for n, p in target.items()}
    steps = some_steps(6, 3, 2)

    def loss(group):
        whole = {**learnt, part: group}
        return sac.losses(whole, target, steps, torch_generator(1), 0.9)

    free = leaves(learnt[part])
    gradients = torch.autograd.grad(loss(free)[part], list(free.values()))
    for (name, value), gradient in zip(free.items(), gradients, strict=True):
        step = torch.zeros_like(value)
        step.flatten()[-1] = 1e-6
        high, low = (
            loss({**free, name: value.detach() + sign * step})[part] for sign in (1, -1)
        )
        found = (high - low).item() / 2e-6
        assert gradient.flatten()[-1].item() == pytest.approx(found, rel=1e-4, abs=1e-8)
    for other, value in loss(free).items():
        if other != part:
            alone = (
                torch.autograd.grad(
                    value,
                    list(free.values()),
                    allow_unused=True,
                    materialize_grads=True,
                )
                if value.requires_grad
                else ()
            )
            assert all(not gradient.any() for gradient in alone), other


def test_the_critics_gradient_reaches_the_inputs_and_the_actors_does_not():
    learnt, target = parts(3, 2)
    steps = sac.Steps(*(part.float() for part in some_steps(6, 3, 2)))
    inputs = steps.inputs.requires_grad_()
    losses = sac.losses(
        {group: leaves(p) for group, p in learnt.items()},
        target,
        steps._replace(inputs=inputs),
        torch_generator(1),
        0.9,
    )
    (gradient,) = torch.autograd.grad(losses["critic"], inputs, retain_graph=True)
    assert gradient.abs().sum() > 0
    (none,) = torch.autograd.grad(losses["actor"], inputs, allow_unused=True)
    assert none is None


# -- learning --------------------------------------------------------------------------


def learn(learnt, target, draw, updates, discount, fixed=False):
    """Gradient steps on drawn steps; the target critic at the end."""
    optimizer = Adam(list(tensors_of(learnt)), lr=1e-2)
    made = torch_generator("learning")
    for _ in range(updates):
        free = {group: leaves(p) for group, p in learnt.items()}
        losses = sac.losses(free, target, draw(made), made, discount)
        if fixed:
            del losses["temperature"]
        gradients = torch.autograd.grad(
            torch.stack(list(losses.values())).sum(),
            list(tensors_of(free)),
            allow_unused=True,
            materialize_grads=True,
        )
        descend(optimizer, gradients)
        target = sac.soft_update(target, learnt["critic"], 0.05)
    return target


def test_it_finds_the_best_action_of_a_bandit_and_the_temperature_of_its_entropy():
    """One step: the reward is minus the squared distance from 0.5 times the input."""
    learnt, target = parts(1, 1, hidden=(16,), temperature=0.2)

    def draw(made):
        inputs = 2 * torch.rand(64, 1, generator=made) - 1
        action = 2 * torch.rand(64, 1, generator=made) - 1
        reward = -4 * (action - 0.5 * inputs).square().squeeze(-1)
        return sac.Steps(inputs, action, reward, inputs, torch.zeros(64))

    learn(learnt, target, draw, 500, 0.99)
    inputs = torch.linspace(-0.8, 0.8, 5)[:, None]
    actions = sac.actor(learnt["actor"], inputs)
    torch.testing.assert_close(actions.mean.tanh(), 0.5 * inputs, atol=0.1, rtol=0)
    noise = torch.randn(2000, 5, 1, generator=torch_generator("entropy"))
    _, log_prob = sac.squashed(actions, noise)
    assert -log_prob.mean().item() == pytest.approx(-1.0, abs=0.3)
    assert learnt["temperature"]["log"].exp().item() < 0.2


def test_it_finds_the_gain_and_the_value_of_a_linear_system():
    """x' = x + u / 2, reward -x^2 - u^2 / 10: Riccati's equation has the optimum."""
    learnt, target = parts(1, 1, hidden=(32,), temperature=0.01)
    discount, cost = 0.8, 0.1

    def draw(made):
        x = 2 * torch.rand(96, 1, generator=made) - 1
        u = 2 * torch.rand(96, 1, generator=made) - 1
        reward = -(x.square() + cost * u.square()).squeeze(-1)
        return sac.Steps(x, u, reward, x + 0.5 * u, torch.ones(96))

    learn(learnt, target, draw, 500, discount, fixed=True)
    p = 1.0
    for _ in range(100):
        gain = discount * 0.5 * p / (cost + discount * 0.25 * p)
        p = 1 + cost * gain**2 + discount * p * (1 - 0.5 * gain) ** 2
    x = torch.tensor([[-0.5], [-0.25], [0.25], [0.5]])
    action = sac.actor(learnt["actor"], x).mean.tanh()
    torch.testing.assert_close(action, -gain * x, atol=0.15, rtol=0)
    value = sac.critic(learnt["critic"], x, -gain * x).amin(0)
    torch.testing.assert_close(value, -p * x.square().squeeze(-1), atol=0.15, rtol=0)


def test_a_value_goes_on_beyond_a_time_limit_and_ends_where_an_episode_terminated():
    """Reward 1 in each step: the value is 1 / (1 - 1/2), or 1."""
    for continues, expected in ((1.0, 2.0), (0.0, 1.0)):
        learnt, target = parts(1, 1, hidden=(8,), temperature=1e-6)

        def draw(made, continues=continues):
            action = 2 * torch.rand(16, 1, generator=made) - 1
            ones, inputs = torch.ones(16), torch.zeros(16, 1)
            return sac.Steps(inputs, action, ones, inputs, continues * ones)

        learn(learnt, target, draw, 200, 0.5, fixed=True)
        value = sac.critic(learnt["critic"], torch.zeros(1, 1), torch.zeros(1, 1))
        assert value.mean().item() == pytest.approx(expected, abs=0.15)
