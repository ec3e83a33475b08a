"""The external memory stores, recalls and overwrites as LRUA says."""

import itertools

import pytest
import torch

from metarl.agents.mann import (
    ExternalMemory,
    MANNConfig,
    empty,
    least_used,
    read,
    write,
)
from metarl.learning.recurrent_policy import chosen

SHARP = torch.full((1, 1), 50.0)


def put(memory, value, again=0.0, decay=0.95):
    return write(memory, torch.tensor([[value]]), torch.full((1, 1), again), decay)


def test_a_key_is_recalled_after_many_steps():
    memory = empty(1, slots=8, width=6, heads=1)
    memory = put(memory, [1.0, 0, 0, 0, 0, 2.0])
    for step in range(6):  # other things are written, and looked up
        other = torch.nn.functional.one_hot(torch.tensor(1 + step % 4), 6).tolist()
        memory = put(memory, [float(v) for v in other])
        _, memory = read(memory, torch.tensor([[[float(v) for v in other]]]), SHARP)
    found, _ = read(memory, torch.tensor([[[1.0, 0, 0, 0, 0, 0]]]), SHARP)
    torch.testing.assert_close(
        found[0, 0], torch.tensor([1.0, 0, 0, 0, 0, 2.0]), atol=1e-3, rtol=0
    )


def test_what_is_used_is_kept_and_the_rest_is_overwritten():
    memory = empty(1, slots=3, width=3, heads=1)
    for value in ([1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]):
        memory = put(memory, value)
    _, memory = read(memory, torch.tensor([[[1.0, 0, 0]]]), SHARP)
    memory = put(memory, [0.0, -1.0, 0])  # takes the place of the second
    rows = {tuple(row) for row in memory.content[0].round().tolist()}
    assert rows == {(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)}


def test_writing_again_adds_to_where_it_last_read():
    memory = put(empty(1, slots=4, width=2, heads=1), [1.0, 0.0])
    _, memory = read(memory, torch.tensor([[[1.0, 0.0]]]), SHARP)
    memory = put(memory, [0.0, 3.0], again=1.0)
    filled = memory.content[0][memory.content[0].abs().sum(-1) > 1e-6]
    torch.testing.assert_close(filled, torch.tensor([[1.0, 3.0]]), atol=1e-4, rtol=0)


def test_usage_by_hand():
    memory = empty(1, slots=2, width=1, heads=1)
    memory = put(memory, [1.0], decay=0.5)
    (first,) = least_used(torch.zeros(1, 2), 1)[0].nonzero()[:, 1].tolist()
    usage = [0.0, 0.0]
    usage[first] = 1.0
    assert memory.usage[0].tolist() == usage
    _, memory = read(memory, torch.tensor([[[1.0]]]), torch.zeros(1, 1))
    assert memory.read[0, 0].tolist() == [0.5, 0.5]  # strength 0 prefers nothing
    assert memory.usage[0].tolist() == pytest.approx([u + 0.5 for u in usage])


def test_two_heads_write_to_two_slots():
    fresh = least_used(torch.tensor([[3.0, 1.0, 2.0, 0.5]]), heads=2)
    assert fresh[0].sum(0).tolist() == [0, 1, 0, 1]


def test_an_empty_memory_answers_nothing_and_has_gradients():
    memory = empty(2, slots=4, width=3, heads=2)
    key = torch.randn(2, 2, 3, requires_grad=True)
    found, _ = read(memory, key, torch.ones(2, 2))
    assert (found == 0).all()
    found.sum().backward()
    assert key.grad.isfinite().all()


def external(every):
    """A memory that is accessed every so many steps, and what two robots see."""
    torch.manual_seed(1)
    memory = ExternalMemory(3, MANNConfig(units=5, slots=4, width=2, every=every))
    return memory, torch.randn(2, 7, 3)


def test_it_writes_and_reads_every_few_steps_and_shows_it_at_once():
    memory, inputs = external(every=3)
    state, found, content = memory.initial(2), [], []
    for now in inputs.unbind(1):
        features, state = memory(now[:, None], state)
        found.append(features[:, 0, 5:])
        content.append(state[3])
    assert [bool(c.any()) for c in content] == [False, False] + [True] * 5
    changed = [not torch.equal(*two) for two in itertools.pairwise(content)]
    assert changed == [False, True, False, False, True, False]
    assert [bool(f.any()) for f in found] == [False, False] + [True] * 5
    changed = [not torch.equal(*two) for two in itertools.pairwise(found)]
    assert changed == [False, True, False, False, True, False]


@pytest.mark.parametrize("every", [1, 3, 10])
def test_steps_may_be_told_at_once_or_one_by_one(every):
    memory, inputs = external(every)
    whole, last = memory(inputs, memory.initial(2))
    state, steps = memory.initial(2), []
    for now in inputs.unbind(1):
        features, state = memory(now[:, None], state)
        steps.append(features)
    torch.testing.assert_close(torch.cat(steps, 1), whole)
    torch.testing.assert_close(state, last)


def test_a_robot_that_fell_behind_is_accessed_in_its_own_time():
    memory, inputs = external(every=3)
    alone = [memory(inputs[[i], i : i + 5], memory.initial(1))[0] for i in (0, 1)]
    state, steps = memory.initial(2), []
    for step in range(6):  # the second robot waits at first, the first one at last
        features, new = memory(inputs[:, [step]], state)
        state = chosen(torch.tensor([step < 5, step > 0]), new, state)
        steps.append(features)
    together = torch.cat(steps, 1)
    torch.testing.assert_close(together[[0], :5], alone[0])
    torch.testing.assert_close(together[[1], 1:], alone[1])


def test_the_controller_is_told_what_was_found():
    memory, inputs = external(every=10)
    hidden, since, found, *slots = memory.initial(2)
    one, other = (
        memory(inputs, (hidden, since, known, *slots))[0][..., :5]
        for known in (found, found + 1)
    )
    assert ((one - other).abs().amax(-1) > 1e-2).all()


def test_the_controller_says_how_sharply_it_reads():
    memory, inputs = external(every=1)
    weights = []
    for strength in (-20.0, 20.0):
        with torch.no_grad():
            memory.heads.bias.view(2, -1)[:, -1] = strength
        *_, last = memory(inputs, memory.initial(2))[1]
        weights.append(last.amax(-1))
    blunt, sharp = weights
    assert (blunt < sharp).all()
