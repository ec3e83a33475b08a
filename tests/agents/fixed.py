"""Fixed batches in float64, for proving gradients."""

import torch

from metarl.learning.distributions import Gaussian, gaussian
from metarl.learning.networks import leaves
from metarl.learning.optimization import flatten, unflatten
from metarl.learning.policy_gradient import Batch

TASKS, STEPS = 3, 40


def double(parameters):
    return {name: p.double() for name, p in parameters.items()}


def agent_of(family, kind, **config):
    """A small agent in float64."""
    defaults = {"hidden": (5, 4), "inner_lr": 0.7}
    agent = kind(family, kind.Config(**{**defaults, **config}), seed=0)
    agent.learnt = {group: double(p) for group, p in agent.learnt.items()}
    return agent


def batch_of(agent, seed, spread=0.3):
    """A fixed batch, collected by a policy near the agent's."""
    g = torch.Generator().manual_seed(seed)
    observation = torch.randn(TASKS, STEPS, 2, generator=g, dtype=torch.float64)
    action = torch.randn(TASKS, STEPS, 2, generator=g, dtype=torch.float64)
    advantage = torch.randn(TASKS, STEPS, generator=g, dtype=torch.float64)
    mask = torch.ones(TASKS, STEPS, dtype=torch.float64)
    mask[0, STEPS // 2 :] = 0
    noise = torch.randn(TASKS, STEPS, generator=g, dtype=torch.float64)
    actions = gaussian(agent.learnt["start"], observation)
    old = actions.log_prob(action) + spread * noise
    return Batch(observation, action, advantage, mask, old.detach())


def leaves_of(agent):
    """All that it has learnt, to be differentiated by."""
    return {group: leaves(p) for group, p in agent.learnt.items()}


def collectors_of(agent, batches):
    """Actions of the policies of each round, on its observations, as constants."""
    return [
        Gaussian(actions.mean.detach(), actions.log_std.detach())
        for actions in agent.through_adaptation(leaves_of(agent), batches)
    ]


def moved(actions):
    """The same distributions, a little elsewhere."""
    return [Gaussian(a.mean + 0.3, a.log_std - 0.1) for a in actions]


def error_of_gradient(loss, learnt, step=1e-5):
    """Relative distance of autograd's gradient from central differences.

    Args:
        loss: a function of all that is learnt.
        learnt: where to differentiate.
        step: of the differences.
    """
    theta = flatten(learnt).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(unflatten(theta, learnt)), theta)
    numeric = torch.empty_like(gradient)
    for i in range(len(theta)):
        ends = []
        for sign in (1, -1):
            point = theta.detach().clone()
            point[i] += sign * step
            # An inner step itself needs a gradient.
            ends.append(loss(unflatten(point.requires_grad_(), learnt)))
        numeric[i] = (ends[0] - ends[1]).detach() / (2 * step)
    return float((gradient - numeric).norm() / numeric.norm())
