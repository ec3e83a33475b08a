"""The external memory stores, recalls and overwrites as LRUA says."""

import pytest
import torch

from metarl.agents.mann import empty, least_used, read, write

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
