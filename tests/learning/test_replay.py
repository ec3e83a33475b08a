"""Replay buffers of several tasks: what they keep, draw and save."""

import pytest
import torch

from metarl.environment.episodes import Episodes
from metarl.learning.replay import Replay, transitions
from metarl.tasks.randomness import torch_generator


def episodes(lengths, horizon=4, terminated=False, start=0.0):
    """Episodes of one observation, which counts steps; the action is its negative."""
    length = torch.tensor(lengths)
    time = start + torch.arange(horizon + 1.0).expand(*length.shape, -1)
    made = (torch.arange(horizon) < length[..., None]).float()
    some = torch.zeros(length.shape, dtype=torch.bool)
    return Episodes(
        observation=time[..., :-1, None] * made[..., None],
        action=-time[..., :-1, None],
        reward=10 * time[..., :-1] * made,
        mask=made,
        length=length,
        terminated=some | terminated,
        diverged=some,
        success=torch.zeros(length.shape),
        final_observation=time.gather(-1, length[..., None]),
    )


def test_only_a_step_that_terminated_the_episode_does_not_continue():
    ended, mask = transitions(episodes([[3]], terminated=True))
    assert mask.tolist() == [[1.0, 1.0, 1.0, 0.0]]
    assert ended.continues[0, :, 0].tolist()[:3] == [1.0, 1.0, 0.0]
    assert ended.following[0, :3, 0].tolist() == [1.0, 2.0, 3.0]
    cut, _ = transitions(episodes([[4]]))
    assert cut.continues.tolist() == [[[1.0]] * 4]
    assert cut.following[0, :, 0].tolist() == [1.0, 2.0, 3.0, 4.0]


def filled(capacity):
    replay = Replay(2, (1, 1), 1)
    replay.capacity = capacity
    return replay


def drawn(replay, task, latest=None):
    batch = replay.sample(torch.tensor([task]), 200, torch_generator(0), latest)
    assert torch.equal(batch.following, batch.observation + 1)  # of one step each
    assert torch.equal(batch.action, -batch.observation)
    assert torch.equal(batch.reward, 10 * batch.observation)
    return set(batch.observation.flatten().tolist())


def test_each_task_has_its_own_steps_and_only_those_that_were_made():
    replay = filled(100)
    both = episodes([[2, 1], [4, 4]])
    replay.add(torch.tensor([1, 0]), both)
    assert replay.known().tolist() == [0, 1]
    assert drawn(replay, 1) == {0.0, 1.0}
    assert drawn(replay, 0) == {0.0, 1.0, 2.0, 3.0}


def test_the_oldest_steps_make_room_and_the_latest_can_be_asked_for():
    replay = filled(6)
    for start in (10.0, 20.0, 30.0):
        replay.add(torch.tensor([0]), episodes([[4]], start=start))
    assert drawn(replay, 0) == {22.0, 23.0, 30.0, 31.0, 32.0, 33.0}
    assert drawn(replay, 0, latest=3) == {31.0, 32.0, 33.0}
    replay.add(torch.tensor([0]), episodes([[9]], horizon=9, start=40.0))
    assert drawn(replay, 0) == {43.0, 44.0, 45.0, 46.0, 47.0, 48.0}


def test_an_episode_that_diverged_is_left_out():
    replay = filled(10)
    bad = episodes([[3]])
    bad.mask.zero_()
    replay.add(torch.tensor([1]), bad)
    assert replay.known().tolist() == []
    assert replay.tensors("replay") == {}


def test_its_size_is_bounded_in_bytes():
    replay = Replay(50, (17, 6), 2)
    assert 0.99 < replay.rows.nbytes / 2**21 <= 1


@pytest.mark.parametrize("rounds", [1, 3])  # before and after the oldest made room
def test_what_was_saved_draws_the_same_steps(rounds):
    replay, other = filled(6), filled(6)
    for start in range(rounds):
        replay.add(torch.tensor([0]), episodes([[4]], start=10.0 * start))
    other.add(torch.tensor([1]), episodes([[4]]))  # which is forgotten
    saved = replay.tensors("replay")
    other.load(saved, "replay")
    assert other.known().tolist() == [0]
    task = torch.tensor([0])
    one, again = (r.sample(task, 50, torch_generator(1)) for r in (replay, other))
    assert all(torch.equal(*pair) for pair in zip(one, again, strict=True))
    before = saved["replay/rows"].clone()
    other.add(torch.tensor([0]), episodes([[4]], start=90.0))
    assert torch.equal(saved["replay/rows"], before)
