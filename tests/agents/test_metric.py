"""The four comparators on vectors worked out by hand, and what they share."""

import math
from dataclasses import replace

import pytest
import torch

from metarl.agents.comparators import (
    MATCHING,
    MATCHING_SHARPNESS,
    PROTOTYPICAL,
    RELATION,
    SIAMESE,
    SIAMESE_MARGIN,
    SIAMESE_SHARPNESS,
    Support,
    embed,
    relation_parameters,
    transitions,
)
from metarl.agents.metric import (
    Matching,
    MetricAdaptation,
    MetricConfig,
    Prototypical,
    Relation,
    Siamese,
    likelihood,
)
from metarl.environment.collect import collect
from metarl.environment.environment import Environment
from metarl.environment.episodes import TimeStep
from metarl.environment.registry import make_family
from metarl.errors import InputError
from metarl.learning.distributions import gaussian
from metarl.learning.normalization import Normalizer
from metarl.learning.policies import ConditionedPolicy
from metarl.learning.sampler import Sampler
from metarl.tasks.randomness import torch_generator

PLAIN = Normalizer(2, enabled=False)
KINDS = (Siamese, Matching, Relation, Prototypical)
SMALL = MetricConfig(
    tasks=6, support=4, queries=2, embedding=2, hidden=(8,), steps=6, bank=8
)
NEW = torch.tensor([[[1.0, 0.0], [3.0, 0.0]]])  # one task, two episodes, mean (2, 0)
KNOWN = torch.tensor(
    [
        [[2.0, 0.0], [2.0, 2.0]],  # mean (2, 1)
        [[0.0, 1.0], [0.0, 3.0]],  # mean (0, 2)
    ]
)


@pytest.fixture(scope="module")
def family():
    return make_family("point-goal", horizon=10)


def agent_policy(family):
    """Pushes at random, so that legs fall over."""
    agent = Prototypical(family, SMALL, seed=0)
    return agent.exploring(1)


def make(kind, family):
    return kind(family, SMALL, seed=0)


def test_prototypical_scores_by_hand():
    assert PROTOTYPICAL.score({}, NEW, KNOWN).tolist() == [[-1.0, -8.0]]


def test_prototypical_loss_by_hand():
    queries = torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]]])
    classes = torch.tensor([[[0.0, 0.0]], [[2.0, 0.0]]])
    first = -math.log(1 / (1 + math.exp(-4)))
    second = -math.log(0.5)  # in the middle of both
    expected = (first + second) / 2
    found = PROTOTYPICAL.loss({}, queries, classes)
    assert found.item() == pytest.approx(expected)


def test_matching_scores_by_hand():
    sharp = MATCHING_SHARPNESS
    found = MATCHING.score({}, NEW, KNOWN)[0].tolist()
    diagonal = math.sqrt(0.5)
    assert found == pytest.approx(
        [
            math.log(math.exp(sharp) + math.exp(sharp * diagonal)),
            math.log(2),  # both are at right angles
        ],
        rel=1e-5,
    )
    # Lengths do not matter, only directions.
    assert MATCHING.score({}, 7 * NEW, KNOWN)[0].tolist() == pytest.approx(found)


def test_siamese_scores_and_loss_by_hand():
    # Pairs with the first task: 1, 1 + 4, 1, 1 + 4; with the second: 2, 10, 10, 18.
    sharp = SIAMESE_SHARPNESS
    assert SIAMESE.score({}, NEW, KNOWN).tolist() == [[-3.0 * sharp, -10.0 * sharp]]
    queries = torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]]])
    classes = torch.tensor([[[0.5, 0.0]], [[5.0, 0.0]]])
    own = (0.5**2 + 4.0**2) / 2  # drawn together
    others = (0.0 + (SIAMESE_MARGIN - 0.5) ** 2) / 2  # one is beyond the margin
    found = SIAMESE.loss({}, queries, classes)
    assert found.item() == pytest.approx(own + others)


def test_relation_is_learnt_by_hand():
    random = relation_parameters(2, 8, torch_generator("relation"))
    zero = {"relation": {name: torch.zeros_like(p) for name, p in random.items()}}
    zero["relation"]["bias1"] = torch.tensor([2.0])
    probability = 1 / (1 + math.exp(-2.0))
    assert RELATION.score(zero, NEW, KNOWN)[0].tolist() == [2.0, 2.0]
    queries = torch.zeros(3, 2, 2)
    expected = (1 - probability) ** 2 + probability**2
    loss = RELATION.loss(zero, queries, torch.zeros(3, 1, 2))
    assert loss.item() == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_comparing_is_learnt_without_any_policy(kind, family):
    """Episodes that tell their tasks apart are matched after some steps."""
    agent = make(kind, family)
    generator = torch_generator("comparing")
    size = agent.encoder.normalizer.mean.shape[0]
    task = torch.randn(6, 1, 1, size, generator=generator)
    noise = torch.randn(6, 4, 6, size, generator=generator)
    support = Support(task + 0.3 * noise, torch.ones(6, 4, 6))
    agent.encoder.bank = support
    for _ in range(40):
        metrics = agent.encoder.learn(generator)
    assert metrics["matched"] == 1.0
    held_out = Support(
        task + 0.3 * torch.randn(6, 2, 6, size, generator=generator),
        torch.ones(6, 2, 6),
    )
    embedding = agent.encoder.task_embedding(held_out)
    own = agent.encoder.task_embedding(support)  # each is nearest to itself
    nearest = torch.cdist(embedding, own).argmin(1)
    assert nearest.tolist() == list(range(6))


def test_transitions_by_hand(family):
    environment = Environment(family, [family.task(goal=(0.9, 0.9))], copies=2)

    class Right:
        def act(self, time_step):
            return torch.tensor([2.0, 0.0]).expand(1, 2, 2)

    episodes = collect(environment, Right(), seed=0)
    support = transitions(episodes, PLAIN, steps=3)
    assert support.transition.shape == (1, 2, 3, 2 + 2 + 1 + 2)
    first, middle, last = support.transition[0, 0].tolist()
    assert first[:2] == [0, 0] and first[2:4] == [1.0, 0.0]  # clipped
    assert first[5:] == pytest.approx([0.1, 0.0], abs=1e-6)
    assert middle[0] == pytest.approx(0.4, abs=1e-5)
    assert last[5:] == pytest.approx([1.0, 0.0], abs=1e-5)


def test_the_last_transition_is_there_however_early_episodes_end():
    """Beside longer episodes and alone, the longest included."""
    hopper = make_family("hopper-params")
    policy = agent_policy(hopper)
    tasks = hopper.tasks("train", 2)
    together, alone = (
        collect(Environment(hopper, some, 2), policy, seed=0)
        for some in (tasks, tasks[:1])
    )
    assert together.length.max() < hopper.horizon
    size = together.observation.shape[-1]
    found = transitions(together, PLAIN, hopper.horizon)
    last = (together.length - 1)[..., None, None].expand(-1, -1, 1, size)
    following = found.transition[..., -size:].gather(2, last)[:, :, 0]
    assert torch.equal(following, together.final_observation)
    own = transitions(alone, PLAIN, hopper.horizon)
    made = own.mask[0] > 0
    assert torch.equal(own.transition[0][made], found.transition[0][made])


def test_a_robot_whose_episodes_all_blew_up_is_unknown(family):
    agent, sampler = make(Prototypical, family), Sampler(family, 0)
    agent.train_step(sampler)
    transition = torch.randn(2, 2, 6, agent.encoder.bank.transition.shape[-1])
    mask = torch.ones(2, 2, 6)
    mask[1] = 0
    conditioned = agent.conditioned(Support(transition, mask), 2)
    assert conditioned.known.tolist() == [1, 0]
    assert (conditioned.embedding[0] != 0).any() and (
        conditioned.embedding[1] == 0
    ).all()


def test_tasks_that_come_again_are_not_told_apart_from_themselves(family):
    agent, sampler = make(Prototypical, family), Sampler(family, 0, train_tasks=3)
    seen = []
    draw = sampler.tasks
    sampler.tasks = lambda n: seen.append(draw(n)) or seen[-1]
    for _ in range(2):
        agent.train_step(sampler)
        sampler.iteration += 1
    assert len(set(seen[-1])) == 3 < SMALL.tasks
    # The latest three draws are three different tasks.
    assert len(agent.encoder.bank.filled().mask) == 3


def test_without_support_nothing_is_claimed(family):
    agent, sampler = make(Prototypical, family), Sampler(family, 0)
    agent.train_step(sampler)
    policy = agent.conditioned(None, 3)
    assert (policy.embedding == 0).all() and (policy.known == 0).all()
    support = transitions(
        collect(Environment(family, family.tasks("far", 3), 2), policy, 0), PLAIN, 6
    )
    conditioned = agent.conditioned(support, 3)
    assert (conditioned.known == 1).all() and (conditioned.embedding != 0).any()
    # The embedding is a mean of the bank's prototypes, whatever the robot does.
    known = embed(
        agent.encoder.learnt, agent.encoder.normalizer, agent.encoder.bank.filled()
    )
    prototypes = known.mean(1)
    prototypes = (prototypes - prototypes.mean(0)) / prototypes.std(0, correction=0)
    low, high = prototypes.amin(0), prototypes.amax(0)
    assert (conditioned.embedding >= low - 1e-5).all()
    assert (conditioned.embedding <= high + 1e-5).all()


def test_it_explores_widely_as_long_as_it_knows_nothing(family):
    """However little noise was left by training; and it ships no more than that."""
    config = replace(SMALL, explore_std=2.0, deploy="sample")
    agent = Prototypical(family, config, seed=0)
    agent.parameters["log_std"].fill_(math.log(0.01))
    adaptation = agent.adaptation(1)
    world = Environment(family, family.tasks("far", 1), 200)
    wide = collect(world, adaptation, seed=0).action[0, :, 0]
    narrow = collect(world, adaptation.policy(), seed=0).action[0, :, 0]
    assert wide.std(0).mean() == pytest.approx(2.0, rel=0.1)
    assert narrow.std(0).mean() == pytest.approx(0.01, rel=0.1)


def test_likelihoods_are_those_of_the_noise_that_was_made(family):
    agent = make(Prototypical, family)
    agent.parameters["log_std"].fill_(math.log(0.5))
    conditioned = torch.zeros(2, 2 + SMALL.embedding + 1)
    conditioned[1, -1] = 1  # the second knows its task
    action = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    found, learnt = likelihood(agent.parameters, conditioned, action, explore_std=2.0)
    mean = gaussian(agent.parameters, conditioned).mean
    for row, std in enumerate((2.0, 0.5)):
        normal = torch.distributions.Normal(mean[row], std)
        torch.testing.assert_close(found[row], normal.log_prob(action[row]).sum())
    assert learnt.log_std.exp().flatten().tolist() == pytest.approx([0.5, 0.5])


def test_the_bank_keeps_the_latest_tasks(family):
    agent, sampler = make(Matching, family), Sampler(family, 0)
    sizes = []
    for _ in range(3):
        agent.train_step(sampler)
        sampler.iteration += 1
        sizes.append(len(agent.encoder.bank.filled().mask))
        assert len(agent.encoder.bank.mask) == SMALL.bank
    assert sizes == [6, 8, 8]


def test_support_in_parts_is_the_support(family):
    agent, sampler = make(Siamese, family), Sampler(family, 0)
    agent.train_step(sampler)
    world = Environment(family, family.tasks("far", 2), 2)
    whole, parts = MetricAdaptation(agent, 2), MetricAdaptation(agent, 2)
    rounds = [collect(world, whole, seed) for seed in (1, 2)]
    for episodes in rounds:
        parts.update(episodes)
        whole.update(episodes)
    torch.testing.assert_close(whole.policy().embedding, parts.policy().embedding)
    assert whole.support.mask.shape == (2, 4, 6)
    masked = Support(whole.support.transition, whole.support.mask.clone())
    masked.transition[:, :, 3:] = 99.0
    masked.mask[:, :, 3:] = 0
    found = embed(agent.encoder.learnt, agent.encoder.normalizer, masked)
    assert found.isfinite().all()


def test_in_place_of_an_episode_that_blew_up_stands_one_that_did_not(family):
    world = Environment(family, family.tasks("train", 2), copies=3)
    episodes = collect(world, agent_policy(family), seed=0)
    episodes.mask[0, 0] = 0  # as of an episode that diverged
    episodes.mask[1] = 0
    some = transitions(episodes, PLAIN, 6)
    assert torch.equal(some.transition[0, 0], some.transition[0, 1])
    assert torch.equal(some.mask[0, 0], some.mask[0, 1]) and some.mask[0].any()
    assert not some.mask[1].any()


def test_who_has_no_support_explores_as_it_is_said_to(family):
    """In training, a task whose support all diverged acts among others with some."""
    agent = make(Prototypical, family)
    agent.parameters["log_std"].zero_()
    known = torch.tensor([1.0, 0.0])
    policy = ConditionedPolicy(
        agent.parameters, PLAIN, torch.zeros(2, 2), known, std=torch.tensor(3.0)
    )
    every = torch.ones(2, 1, dtype=torch.bool)

    def act(noise):
        noise = torch.full((2, 1, 2), noise)
        return policy.act(
            TimeStep(torch.zeros(2, 1, 2), every.float(), every, every, noise)
        )

    torch.testing.assert_close(
        act(1.0) - act(0.0), torch.tensor([1.0, 3.0])[:, None, None].expand(2, 1, 2)
    )


def test_support_of_one_episode_is_refused(family):
    with pytest.raises(InputError, match="support=1"):
        Prototypical(family, replace(SMALL, support=1), seed=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_policy_learns_towards_what_was_better(kind, family):
    agent = kind(family, replace(SMALL, epochs=3, entropy=0.0), seed=0)
    world = Environment(family, family.tasks("train", 1), copies=40)
    policy = agent.exploring(1)
    episodes = collect(world, policy, seed=0)
    episodes.reward[:] = episodes.action[..., 0]
    inputs = policy.inputs(episodes.observation)
    before = gaussian(agent.parameters, inputs).mean[..., 0].mean()
    agent.learn_to_act(agent.steps(policy, episodes), torch_generator(0, "test"))
    after = gaussian(agent.parameters, inputs).mean[..., 0].mean()
    assert after > before + 0.01


def test_where_nothing_is_better_the_policy_explores_more(family):
    agent = Prototypical(family, replace(SMALL, entropy=0.1), seed=0)
    world = Environment(family, family.tasks("train", 1), copies=4)
    policy = agent.exploring(1)
    episodes = collect(world, policy, seed=0)
    episodes.reward.zero_()
    before = agent.parameters["log_std"].clone()
    agent.learn_to_act(agent.steps(policy, episodes), torch_generator(0, "test"))
    assert (agent.parameters["log_std"] > before).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_episode_is_compared_with_itself(kind, family):
    agent = make(kind, family)
    agent.train_step(Sampler(family, 0))
    seen = []
    comparator = agent.comparator

    def spy(parameters, queries, classes):
        seen.append((queries.detach(), classes.detach()))
        return comparator.loss(parameters, queries, classes)

    agent.encoder.comparator = replace(comparator, loss=spy)
    agent.encoder.learn(torch_generator(0, "test"))
    assert seen
    for queries, classes in seen:
        apart = (queries[:, :, None] - classes[:, None]).abs().amax(-1)
        assert (apart > 0).all()


@pytest.mark.parametrize("paid", ["support", "query"])
def test_the_policy_learns_from_both_kinds_of_episodes(paid, family):
    """Those that find out who the robot is, and those that know."""
    config = replace(SMALL, tasks=20, epochs=3, entropy=0.0)
    agent, sampler = Prototypical(family, config, seed=0), Sampler(family, 0)
    agent.train_step(sampler)  # now there is a bank
    made = sampler.collect

    def collected(tasks, copies, policy, purpose):
        episodes = made(tasks, copies, policy, purpose)
        episodes.reward[:] = episodes.action[..., 0] if purpose == paid else 0.0
        return episodes

    sampler.collect = collected
    sampler.iteration += 1
    generator = torch_generator(0, "somewhere")
    conditioned = torch.randn(200, 2 + SMALL.embedding + 1, generator=generator)
    conditioned[:, -1] = float(paid == "query")
    before = gaussian(agent.parameters, conditioned).mean[:, 0].mean()
    agent.train_step(sampler)
    after = gaussian(agent.parameters, conditioned).mean[:, 0].mean()
    assert after > before + 0.005


def test_the_policy_does_not_notice_the_scale_of_embeddings(family):
    agent = make(Matching, family)  # which compares directions alone
    agent.train_step(Sampler(family, 0))
    world = Environment(family, family.tasks("far", 3), 2)
    support = transitions(collect(world, agent.exploring(3), 0), PLAIN, 6)
    before = agent.encoder.task_embedding(support)
    agent.encoder.learnt["head"]["weight0"] *= 10
    torch.testing.assert_close(agent.encoder.task_embedding(support), before)
