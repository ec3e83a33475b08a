"""Comparators of episodes: what a metric-based agent embeds, and how it compares.

An encoder embeds support episodes; episodes of the same task shall lie together:

    e_j = head . mean over steps of tanh network (o, a, r, o')      of episode j

A comparator says how well a known task explains new episodes (`score`), and what the
encoder is to learn (`loss`: some episodes of each task of a batch are the classes, the
others are queries to be assigned to them).

| | score of a task | loss |
|---|---|---|
| `SIAMESE` (Koch et al., 2015; Hadsell et al., 2006) | minus the mean squared \
distance of pairs | contrastive, over pairs |
| `MATCHING` (Vinyals et al., 2016) | attention by cosine to each of its episodes | \
cross-entropy |
| `RELATION` (Sung et al., 2018) | logit of a learned relation to its prototype | \
squared error to 1 or 0 |
| `PROTOTYPICAL` (Snell et al., 2017) | minus the squared distance to its prototype | \
cross-entropy |
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from metarl.environment.episodes import Episodes
from metarl.learning.adam import Adam
from metarl.learning.networks import (
    Learnt,
    Parameters,
    leaves,
    network,
    network_parameters,
)
from metarl.learning.normalization import Normalizer
from metarl.learning.optimization import (
    adam_tensors,
    descend,
    load_adam,
    tensors_of,
)

MATCHING_SHARPNESS = 10.0
"""Cosines lie in [-1, 1]: unsharpened, attention would be nearly even."""
SIAMESE_MARGIN = 2.0
"""Distance beyond which episodes of different tasks are left alone."""
SIAMESE_SHARPNESS = 4.0
"""No pair is farther apart than it must: unsharpened, attention would be broad."""


# -- support episodes and their embedding ----------------------------------------------


@dataclass
class Support:
    """Transitions of support episodes, as the encoder reads them."""

    transition: Tensor
    """(task, episode, step, 2 * observation_size + action_size + 1)."""
    mask: Tensor
    """1 where a step was made, (task, episode, step)."""

    def filled(self) -> "Support":
        """Without tasks of which nothing is known."""
        some = self.mask.flatten(1).any(1)
        return Support(self.transition[some], self.mask[some])

    def joined(self, later: "Support", axis: int) -> "Support":
        """With more tasks (axis 0) or more episodes of the same tasks (axis 1)."""
        return Support(
            torch.cat([self.transition, later.transition], axis),
            torch.cat([self.mask, later.mask], axis),
        )


def transitions(episodes: Episodes, normalizer: Normalizer, steps: int) -> Support:
    """At most so many evenly spaced transitions of each episode.

    In place of an episode that diverged stands the first of its task that did not.
    """
    observation = normalizer(episodes.observation)
    following = normalizer(episodes.following)
    action, reward = episodes.action.clamp(-1, 1), episodes.reward[..., None]
    transition = torch.cat([observation, action, reward, following], -1)
    horizon = transition.shape[2]
    some = torch.linspace(0, horizon - 1, min(steps, horizon)).long()
    good = episodes.mask.any(-1)
    own = torch.arange(good.shape[1]).expand_as(good)
    episode = torch.where(good, own, good.int().argmax(1, keepdim=True))
    task = torch.arange(len(good))[:, None]
    return Support(
        transition[:, :, some][task, episode],
        episodes.mask[:, :, some][task, episode],
    )


def encoder_parameters(
    size: int, hidden: Sequence[int], embedding: int, generator: torch.Generator
) -> Learnt:
    """A random encoder of transitions of a size: its layers and its head."""
    layers = network_parameters((size, *hidden), generator)
    head = network_parameters((hidden[-1], embedding), generator)
    # Without a bias: comparisons do not depend on what all embeddings share.
    return {"layers": layers, "head": {"weight0": head["weight0"]}}


def embed(encoder: Learnt, normalizer: Normalizer, support: Support) -> Tensor:
    """Embeddings of episodes, (task, episode, embedding)."""
    inputs = normalizer(support.transition)
    hidden = torch.tanh(network(encoder["layers"], inputs))
    weight = support.mask[..., None]
    pooled = (hidden * weight).sum(-2) / weight.sum(-2).clamp(min=1)
    return pooled @ encoder["head"]["weight0"]


# -- comparators -----------------------------------------------------------------------

Compare = Callable[[Learnt, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Comparator:
    """A way to compare embedded episodes, (task, episode, embedding)."""

    score: Compare
    """Logarithmic weights of known tasks for each new one, (new, known), from what is
    learnt, the new tasks' episodes and the known ones'."""
    loss: Compare
    """What the encoder makes small: of assigning queries to the classes of their own
    tasks, which are others of the same tasks in the same order."""
    learns_relation: bool = False
    """Whether the comparison itself is a learned network."""


def cross_entropy(score: Compare) -> Compare:
    """The loss of assigning each query to its own task by a score."""

    def loss(learnt: Learnt, queries: Tensor, classes: Tensor) -> Tensor:
        tasks, episodes, _ = queries.shape
        alone = queries.flatten(0, 1)[:, None]
        target = torch.arange(tasks).repeat_interleave(episodes)
        return nn.functional.cross_entropy(score(learnt, alone, classes), target)

    return loss


def squared_distance(one: Tensor, other: Tensor) -> Tensor:
    """Of each row of one from each row of the other, (n, m)."""
    return (one[:, None] - other).square().sum(-1)


def prototypical_score(learnt: Learnt, new: Tensor, known: Tensor) -> Tensor:
    """Minus the squared distance of the means."""
    return -squared_distance(new.mean(1), known.mean(1))


def matching_score(learnt: Learnt, new: Tensor, known: Tensor) -> Tensor:
    """Attention to a task: that to all its episodes."""
    unit = nn.functional.normalize(new.mean(1), dim=-1)
    units = nn.functional.normalize(known, dim=-1)
    cosine = torch.einsum("nd,ked->nke", unit, units)
    return torch.logsumexp(MATCHING_SHARPNESS * cosine, -1)


def relation_parameters(
    embedding: int, units: int, generator: torch.Generator
) -> Parameters:
    """A small random network from two embeddings to their relation."""
    return network_parameters((3 * embedding, units, 1), generator)


def relation_score(learnt: Learnt, new: Tensor, known: Tensor) -> Tensor:
    """The relation's logit, so that tasks are weighed by its odds."""
    one, other = new.mean(1), known.mean(1)
    pairs = torch.cat(
        [
            one[:, None].expand(-1, len(other), -1),
            other[None].expand(len(one), -1, -1),
            (one[:, None] - other[None]).square(),
        ],
        -1,
    )
    return network(learnt["relation"], pairs).squeeze(-1)


def relation_loss(learnt: Learnt, queries: Tensor, classes: Tensor) -> Tensor:
    """Squared error of the relation: 1 with the own task, 0 with others.

    Own pairs are few, so both kinds weigh the same.
    """
    tasks, episodes, _ = queries.shape
    alone = queries.flatten(0, 1)[:, None]
    relation = torch.sigmoid(relation_score(learnt, alone, classes))
    own = torch.eye(tasks).repeat_interleave(episodes, 0)
    error = (relation - own).square()
    return (error * own).sum() / own.sum() + (
        (error * (1 - own)).sum() / (1 - own).sum().clamp(min=1)
    )


def siamese_score(learnt: Learnt, new: Tensor, known: Tensor) -> Tensor:
    """Minus the mean squared distance of all pairs of episodes."""
    distance = (new[:, None, :, None] - known[None, :, None]).square().sum(-1)
    return -SIAMESE_SHARPNESS * distance.mean((-2, -1))


def siamese_loss(learnt: Learnt, queries: Tensor, classes: Tensor) -> Tensor:
    """Contrastive: draw pairs of one task together, push others apart."""
    tasks, episodes, size = queries.shape
    square = squared_distance(queries.reshape(-1, size), classes.reshape(-1, size))
    task = torch.arange(tasks)
    own = (
        task.repeat_interleave(episodes)[:, None]
        == task.repeat_interleave(classes.shape[1])[None]
    ).float()
    # The root has no derivative at 0.
    apart = (SIAMESE_MARGIN - (square + 1e-8).sqrt()).clamp(min=0).square()
    return (square * own).sum() / own.sum() + (
        (apart * (1 - own)).sum() / (1 - own).sum().clamp(min=1)
    )


SIAMESE = Comparator(siamese_score, siamese_loss)
MATCHING = Comparator(matching_score, cross_entropy(matching_score))
RELATION = Comparator(relation_score, relation_loss, learns_relation=True)
PROTOTYPICAL = Comparator(prototypical_score, cross_entropy(prototypical_score))


# -- what learns to compare ----------------------------------------------------------


class TaskEncoder:
    """An encoder, how its embeddings are compared, and the bank of training tasks.

    ``sizes``: numbers in a transition; tasks, episodes and steps of the bank.
    """

    def __init__(
        self,
        comparator: Comparator,
        sizes: tuple[int, tuple[int, int, int]],
        config: Any,
        generator: torch.Generator,
    ) -> None:
        size, bank = sizes
        self.comparator, self.config = comparator, config
        self.learnt = encoder_parameters(
            size, config.hidden, config.embedding, generator
        )
        if comparator.learns_relation:
            self.learnt["relation"] = relation_parameters(
                config.embedding, config.hidden[-1], generator
            )
        self.normalizer = Normalizer(size)
        """Of transitions."""
        self.bank = Support(torch.zeros(*bank, size), torch.zeros(bank))
        self._fresh_optimizer()

    @torch.no_grad()
    def task_embedding(self, support: Support) -> Tensor:
        """Embeddings of new tasks by comparison with the bank, (task, embedding).

        In deviations of the bank's prototypes from their mean: the scale of an
        embedding grows as the encoder learns, and the policy shall not notice.
        """
        known = embed(self.learnt, self.normalizer, self.bank.filled())
        new = embed(self.learnt, self.normalizer, support)
        weight = torch.softmax(self.comparator.score(self.learnt, new, known), -1)
        prototypes = known.mean(1)
        centred = prototypes - prototypes.mean(0)
        scale = centred.square().mean(0).sqrt().clamp(min=1e-6)
        return weight @ (centred / scale)

    def extend_bank(self, support: Support, distinct: int) -> None:
        """Add the tasks of an iteration; the oldest make room.

        Where only so many ``distinct`` tasks come again and again, none is in it twice.
        """
        self.normalizer.update(support.transition, support.mask)
        joined, size = self.bank.joined(support, 0), self.config.bank
        latest = slice(-min(size, distinct or size), None)
        self.bank = Support(joined.transition[latest], joined.mask[latest])

    def learn(self, generator: torch.Generator, time: int = 0) -> dict[str, float]:
        """Assign episodes of the bank to their tasks, a few tasks at a time."""
        config, comparator = self.config, self.comparator
        rate = config.encoder_lr / (1 + time / config.encoder_settles)
        self.optimizer.param_groups[0]["lr"] = rate
        bank = self.bank.filled()
        tasks, episodes = bank.mask.shape[:2]
        loss, matched = torch.zeros(()), torch.zeros(())
        for _ in range(config.encoder_updates if tasks else 0):  # 0 if all diverged
            learnt = {group: leaves(p) for group, p in self.learnt.items()}
            some = torch.randperm(tasks, generator=generator)[: config.ways]
            order = torch.randperm(episodes, generator=generator)
            queries, classes = order.split([episodes // 2, episodes - episodes // 2])
            drawn = Support(bank.transition[some], bank.mask[some])
            embedded = embed(learnt, self.normalizer, drawn)
            loss = comparator.loss(learnt, embedded[:, queries], embedded[:, classes])
            gradients = torch.autograd.grad(loss, list(tensors_of(learnt)))
            descend(self.optimizer, gradients)
            with torch.no_grad():
                score = comparator.score(
                    learnt, embedded[:, queries], embedded[:, classes]
                )
            matched = (score.argmax(-1) == torch.arange(len(some))).double().mean()
        return {"comparison_loss": float(loss.detach()), "matched": float(matched)}

    def tensors(self) -> dict[str, Tensor]:
        """All that it has learnt, for a checkpoint, under the names of metarl 0.1."""
        return {
            **{_saved_as(g, n): self.learnt[g][n].clone() for g, n in self._names()},
            **self.normalizer.tensors("statistics"),
            "bank/transition": self.bank.transition.clone(),
            "bank/mask": self.bank.mask.clone(),
            **adam_tensors(self.optimizer, "encoder_adam"),
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` returned, among others."""
        for group, name in self._names():
            self.learnt[group][name] = tensors[_saved_as(group, name)].clone()
        self.normalizer.load(tensors, "statistics")
        self.bank = Support(
            tensors["bank/transition"].clone(), tensors["bank/mask"].clone()
        )
        self._fresh_optimizer()
        load_adam(self.optimizer, tensors, "encoder_adam")

    def _names(self) -> list[tuple[str, str]]:
        return [(group, name) for group, p in self.learnt.items() for name in p]

    def _fresh_optimizer(self) -> None:
        self.optimizer = Adam(list(tensors_of(self.learnt)), self.config.encoder_lr)


def _saved_as(group: str, name: str) -> str:
    names = {"layers": name, "head": "head", "relation": f"relation_{name}_"}
    return f"encoder/{names[group]}"
