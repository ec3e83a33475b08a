"""A simulation that blows up ends its own episode and reaches no gradient."""

import pytest
import torch
from carts import BLOWING, Cart, Still, environment_of, push

from metarl.environment.collect import collect


@pytest.mark.parametrize("kind", BLOWING)
def test_a_diverging_simulation_ends_its_episode_alone(kind):
    family = BLOWING[kind]
    environment, sane = (
        environment_of(family, copies=3),
        environment_of(Cart(), copies=3),
    )
    environment.reset(0), sane.reset(0)
    for t in range(family.horizon):
        step, right = (e.step(push(e, 0.3)) for e in (environment, sane))
        assert step.observation.isfinite().all()
        assert step.reward.isfinite().all()
        assert torch.equal(step.observation[1:], right.observation[1:])
        assert torch.equal(step.reward[1:], right.reward[1:])
        assert step.diverged.tolist() == [t == 2, False, False]
        assert bool(step.terminated[0]) == (t == 2)
        if t >= 2:
            assert step.reward[0] == 0
            assert not environment.active[0]
    assert environment.reset().isfinite().all()


@pytest.mark.parametrize("kind", BLOWING)
def test_a_diverged_episode_never_reaches_a_gradient(kind):
    family = BLOWING[kind]
    episodes = collect(environment_of(family, copies=3), Still(), seed=0)
    assert episodes.diverged.tolist() == [[True, False, False]]
    assert episodes.terminated.tolist() == [[True, False, False]]
    assert episodes.length.tolist() == [[3, 12, 12]]
    assert episodes.mask[0, 0].sum() == 0
    assert episodes.mask[0, 1:].sum() == 24
    assert episodes.control_steps == 27
    assert episodes.reward[0, 0, 2:].abs().sum() == 0
    for name in ("observation", "action", "reward", "mask", "success"):
        assert getattr(episodes, name).isfinite().all(), name
    assert episodes.final_observation.isfinite().all()
    sane = collect(environment_of(Cart(), copies=3), Still(), seed=0)
    assert torch.equal(episodes.reward[0, 1:], sane.reward[0, 1:])
    assert torch.equal(episodes.observation[0, 1:], sane.observation[0, 1:])


@pytest.mark.parametrize("kind", BLOWING)
def test_a_diverged_episode_is_no_success(kind):
    episodes = collect(environment_of(BLOWING[kind], copies=3), Still(), seed=0)
    assert episodes.success[0].tolist() == [0.0, 1.0, 1.0]
