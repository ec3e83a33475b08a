"""Families, environments and actions as the tests use them."""

import functools

import torch

import metarl
from metarl.environment.environment import Environment


@functools.cache
def family_of(name):
    return metarl.make_family(name)


def actions_of(family, steps, n, seed=0):
    """The same seeded random actions for all simulations, (steps, n, size)."""
    generator = torch.Generator().manual_seed(seed)
    action = 2 * torch.rand(steps, 1, family.action_size, generator=generator) - 1
    return action.expand(steps, n, family.action_size)


def environment_of(family, tasks, copies=1, **options):
    return Environment(family, tasks, copies, **{"threads": 1, **options})
