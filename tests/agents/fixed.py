"""Fixed batches in float64, for proving gradients."""

import torch

from metarl.agents.gradient import Batch
from metarl.learning.optimization import flatten, unflatten
from metarl.learning.policies import gaussian, log_probability, policy_part

TASKS, STEPS = 3, 40


def double(parameters):
    return {name: p.double() for name, p in parameters.items()}


def agent_of(family, kind, **config):
    """A small agent in float64."""
    defaults = {"hidden": (5, 4), "inner_lr": 0.7}
    agent = kind(family, kind.Config(**{**defaults, **config}), seed=0)
    agent.parameters = double(agent.parameters)
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
    mean, log_std = gaussian(policy_part(agent.parameters), observation)
    old = log_probability(mean, log_std.expand(TASKS, 2), action) + spread * noise
    return Batch(observation, action, advantage, mask, old.detach())


def error_of_gradient(loss, parameters, step=1e-5):
    """Relative distance of autograd's gradient from central differences.

    Args:
        loss: a function of a dictionary of parameters.
        parameters: where to differentiate.
        step: of the differences.
    """
    theta = flatten(parameters).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(unflatten(theta, parameters)), theta)
    numeric = torch.empty_like(gradient)
    for i in range(len(theta)):
        ends = []
        for sign in (1, -1):
            point = theta.detach().clone()
            point[i] += sign * step
            # An inner step itself needs a gradient.
            ends.append(loss(unflatten(point.requires_grad_(), parameters)))
        numeric[i] = (ends[0] - ends[1]).detach() / (2 * step)
    return float((gradient - numeric).norm() / numeric.norm())
