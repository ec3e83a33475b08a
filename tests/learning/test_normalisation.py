"""Statistics of parts are those of the whole."""

import torch

from metarl.learning.normalisation import Statistics
from metarl.randomness import torch_generator


def test_statistics_grow_to_those_of_all():
    rows = torch.randn(50, 4, generator=torch_generator("rows")) * 3 + 1
    statistics = Statistics.nothing(4)
    for part in rows.split(17):
        statistics = statistics.extended(part, torch.ones(len(part)))
    statistics = statistics.extended(torch.full((9, 4), torch.nan), torch.zeros(9))
    expected = (rows - rows.mean(0)) / rows.std(0, correction=0)
    torch.testing.assert_close(statistics.normalised(rows), expected)


def test_they_survive_a_checkpoint_and_leave_the_old_ones_alone():
    empty = Statistics.nothing(2)
    seen = empty.extended(torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.ones(2))
    again = Statistics.of_tensors(seen.tensors("robot"), "robot")
    assert torch.equal(again.mean, torch.tensor([2.0, 4.0]).double())
    assert torch.equal(again.square, torch.tensor([2.0, 8.0]).double())
    assert empty.count == 0 and (empty.mean == 0).all()
