"""Siamese, matching, relation and prototypical networks: four ways to compare.

They share an encoder of episodes, a bank of training tasks and a policy that is told
whom a robot resembles: see `metric`. Each says how well a known task explains new
episodes, and what the encoder is to learn:

| | score of a task | loss |
|---|---|---|
| `siamese` (Koch et al., 2015; Hadsell et al., 2006) | minus the mean squared \
distance of pairs | contrastive, over pairs |
| `matching` (Vinyals et al., 2016) | attention by cosine to each of its episodes | \
cross-entropy |
| `relation` (Sung et al., 2018) | logit of a learned relation to its prototype | \
squared error to 1 or 0 |
| `prototypical` (Snell et al., 2017) | minus the squared distance to its prototype | \
cross-entropy |
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from metarl.agents.metric import Metric
from metarl.learning.policies import Parameters, network, network_parameters


def squared_distance(one: Tensor, other: Tensor) -> Tensor:
    """Of each row of one from each row of the other, (n, m)."""
    return (one[:, None] - other[None]).square().sum(-1)


class Prototypical(Metric):
    """Compares with the mean of each known task."""

    def score(self, parameters: Parameters, new: Tensor, known: Tensor) -> Tensor:
        """Minus the squared distance of the means."""
        return -squared_distance(new.mean(1), known.mean(1))


class Matching(Metric):
    """Attends to every known episode."""

    SHARPNESS: ClassVar[float] = 10.0
    """Cosines lie in [-1, 1]: unsharpened, attention would be nearly even."""

    def score(self, parameters: Parameters, new: Tensor, known: Tensor) -> Tensor:
        """Attention to a task: that to all its episodes."""
        unit = nn.functional.normalize(new.mean(1), dim=-1)
        units = nn.functional.normalize(known, dim=-1)
        cosine = torch.einsum("nd,ked->nke", unit, units)
        return torch.logsumexp(self.SHARPNESS * cosine, -1)


class Relation(Metric):
    """Learns what it is to be alike."""

    def comparator(self, generator: torch.Generator) -> Parameters:
        """A small network from two embeddings to their relation."""
        layers = (3 * self.config.embedding, self.config.hidden[-1], 1)
        parts = network_parameters(layers, generator)
        return {f"relation_{name}_": p for name, p in parts.items()}

    def relation(self, parameters: Parameters, new: Tensor, known: Tensor) -> Tensor:
        """The relation of each new task with each known one before its sigmoid."""
        one, other = new.mean(1), known.mean(1)
        pairs = torch.cat(
            [
                one[:, None].expand(-1, len(other), -1),
                other[None].expand(len(one), -1, -1),
                (one[:, None] - other[None]).square(),
            ],
            -1,
        )
        layers = {
            name.removeprefix("relation_").removesuffix("_"): p
            for name, p in parameters.items()
            if name.startswith("relation_")
        }
        return network(layers, pairs).squeeze(-1)

    def score(self, parameters: Parameters, new: Tensor, known: Tensor) -> Tensor:
        """The relation's logit, so that tasks are weighed by its odds."""
        return self.relation(parameters, new, known)

    def loss(self, parameters: Parameters, queries: Tensor, classes: Tensor) -> Tensor:
        """Squared error of the relation: 1 with the own task, 0 with others.

        Own pairs are few, so both kinds weigh alike.
        """
        tasks, episodes, _ = queries.shape
        alone = queries.flatten(0, 1)[:, None]
        relation = torch.sigmoid(self.relation(parameters, alone, classes))
        own = torch.eye(tasks).repeat_interleave(episodes, 0)
        error = (relation - own).square()
        return (error * own).sum() / own.sum() + (
            (error * (1 - own)).sum() / (1 - own).sum().clamp(min=1)
        )


class Siamese(Metric):
    """Compares pairs of episodes."""

    MARGIN: ClassVar[float] = 2.0
    """Distance beyond which episodes of different tasks are left alone."""
    SHARPNESS: ClassVar[float] = 4.0
    """No pair is farther apart than it must: unsharpened, attention would be broad."""

    def score(self, parameters: Parameters, new: Tensor, known: Tensor) -> Tensor:
        """Minus the mean squared distance of all pairs of episodes."""
        distance = (new[:, None, :, None] - known[None, :, None]).square().sum(-1)
        return -self.SHARPNESS * distance.mean((-2, -1))

    def loss(self, parameters: Parameters, queries: Tensor, classes: Tensor) -> Tensor:
        """Contrastive: draw pairs of one task together, push others apart."""
        tasks, episodes, size = queries.shape
        square = squared_distance(queries.reshape(-1, size), classes.reshape(-1, size))
        task = torch.arange(tasks)
        own = (
            task.repeat_interleave(episodes)[:, None]
            == task.repeat_interleave(classes.shape[1])[None]
        ).float()
        # The root has no derivative at 0.
        apart = (self.MARGIN - (square + 1e-8).sqrt()).clamp(min=0).square()
        return (square * own).sum() / own.sum() + (
            (apart * (1 - own)).sum() / (1 - own).sum().clamp(min=1)
        )
