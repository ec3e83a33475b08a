"""Rollouts record what happened."""

import torch
from carts import Cart, Finishing, Still, environment_of, noisy

from metarl.environment.collect import collect
from metarl.environment.episodes import concatenate


def test_rollouts_record_what_happened():
    family = Finishing()
    tasks = family.tasks("train", 2)
    environment = environment_of(family, tasks, 3)

    class Push:
        seen = []

        def act(self, time_step):
            self.seen.append(time_step)
            return 2 + 0 * time_step.noise

    policy = Push()
    episodes = collect(environment, policy, seed=1, record=True)
    assert episodes.observation.shape == (2, 3, 12, 4)
    assert episodes.action.shape == (2, 3, 12, 2)
    assert episodes.states.shape == (2, 3, 12, 2)
    assert (episodes.length < 12).any() and episodes.terminated.any()
    assert (episodes.action[episodes.mask.bool()] == 2).all()
    first = policy.seen[0]
    assert first.first.all() and not any(p.first.any() for p in policy.seen[1:])
    assert (first.reward == 0).all()
    for t, time_step in enumerate(policy.seen):
        assert torch.equal(time_step.observation, episodes.observation[:, :, t])
        if t:
            assert torch.equal(time_step.reward, episodes.reward[:, :, t - 1])
    time = torch.arange(12)
    assert torch.equal(episodes.mask, (time < episodes.length[..., None]).float())
    assert (episodes.reward[episodes.mask == 0] == 0).all()
    assert torch.equal(episodes.returns, episodes.reward.sum(-1))
    assert episodes.control_steps == int(episodes.mask.sum())
    last = episodes.length - 1
    ends = episodes.states[torch.arange(2)[:, None], torch.arange(3), last]
    assert torch.equal(episodes.metrics["place"], ends[..., 0])
    assert torch.equal(episodes.final_observation[..., :2], ends.float())


def test_rollouts_have_noise_of_their_own_whatever_runs_beside_them():
    family = noisy()
    tasks = [family.task(observation_noise=0.2, mass=0.5 + m) for m in range(4)]
    whole = collect(environment_of(family, tasks, 5), Still(), seed=9)
    part = collect(environment_of(family, tasks[:2], 2), Still(), seed=9)
    for name in ("observation", "action", "reward", "mask", "success"):
        many, few = getattr(whole, name), getattr(part, name)
        assert torch.equal(many[:2, :2], few), name
    assert len(whole.action[:, :, 0, 0].unique()) == 20
    other = collect(environment_of(family, tasks, 5), Still(), seed=10)
    assert not torch.equal(whole.action, other.action)


def test_rollouts_repeat_from_their_seed_in_a_used_environment():
    environment = environment_of(Cart(), Cart().tasks("train", 2), 2)
    one = collect(environment, Still(), seed=2)
    collect(environment, Still(), seed=3)
    again = collect(environment, Still(), seed=2)
    assert torch.equal(one.reward, again.reward)
    assert torch.equal(one.action, again.action)


def test_episodes_of_the_same_tasks_join_along_the_copies():
    environment = environment_of(Finishing(), Finishing().tasks("train", 2), 3)
    one, other = (collect(environment, Still(), seed=s) for s in (0, 1))
    joined = concatenate([one, other])
    assert joined.reward.shape == (2, 6, 12)
    assert torch.equal(joined.observation[:, :3], one.observation)
    assert torch.equal(joined.length[:, 3:], other.length)
    assert joined.control_steps == one.control_steps + other.control_steps


def test_torch_has_its_threads_back_after_a_rollout():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        collect(environment_of(Cart()), Still(), seed=0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
