"""Meta-training from a policy that already walks or reaches, in place of a random one.

On an arm or a quadruped a policy gradient of a few episodes finds nothing to improve
while the robot lies on its side. `metarl train FAMILY maml --init RUN` starts from the
policy of RUN, an agent that says what it would give:

    parameters, normalizer = source.policy_parameters()

The control steps of RUN count in the budget of the training.
"""

import torch

from metarl.errors import InputError
from metarl.learning.agent import Agent
from metarl.learning.networks import Parameters
from metarl.learning.normalization import Normalizer


def take_policy(
    agent: Agent, source: Agent, start: Parameters, normalizer: Normalizer
) -> None:
    """Let an agent start from the policy of another one, in place.

    Args:
        agent: takes the policy over.
        source: trained on the same family.
        start: its start: the parameters that it needs.
        normalizer: its normalizer, which takes the source's statistics over.

    Raises:
        InputError: if the source has no such policy, or one of another shape.
    """
    given, statistics = source.policy_parameters()
    who = f"{agent.name} cannot start from this {source.name}"
    if _units(given) != _units(start):
        raise InputError(
            f"{who}: its policy has hidden layers of {_units(given)} units, and "
            f"{_units(start)} are needed. Train one of them with other --agent.hidden."
        )
    if not normalizer.enabled:  # its first layer does it, but for the clip at 10
        scale = (statistics.variance + statistics.epsilon).sqrt().float()
        weight = given["weight0"] / scale[:, None]
        bias = given["bias0"] - statistics.mean.float() @ weight
        given = {**given, "weight0": weight, "bias0": bias}
    with torch.no_grad():
        for name, parameter in start.items():
            parameter.copy_(given[name])
    for part in ("count", "mean", "square"):
        setattr(normalizer, part, getattr(statistics, part).clone())


def _units(parameters: Parameters) -> tuple[int, ...]:
    layers = sum(name.startswith("weight") for name in parameters)
    return tuple(parameters[f"weight{i}"].shape[1] for i in range(layers - 1))
