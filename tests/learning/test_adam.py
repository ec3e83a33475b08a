import subprocess
import sys

import torch

from metarl.learning.adam import Adam


def test_its_bits_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    starts = [
        torch.randn(4, 3, generator=generator),
        torch.randn((), generator=generator),
    ]
    results = []
    for kind in (Adam, torch.optim.Adam):
        shuffle = torch.Generator().manual_seed(1)
        weights = [p.clone().requires_grad_() for p in starts]
        optimizer = kind(weights, lr=0.03, eps=1e-5)
        for step in range(20):
            if step == 10:
                optimizer.param_groups[0]["lr"] = 0.01
            for index, weight in enumerate(weights):
                gradient = torch.randn(weight.shape, generator=shuffle)
                # One that is not reached at times keeps its moments.
                weight.grad = None if index == 1 and step % 3 == 0 else gradient
            optimizer.step()
            optimizer.zero_grad()
            assert weights[0].grad is None
        results.append((weights, optimizer.state_dict()["state"]))
    (ours, our_state), (theirs, their_state) = results
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)
    for index, state in their_state.items():
        assert {n: t.tolist() for n, t in our_state[index].items()} == {
            n: t.tolist() for n, t in state.items()
        }


def test_learning_does_not_wait_for_the_compiler_of_torch():
    code = """
import sys, torch
from metarl.agents.maml import MAML
from metarl.agents.rma import RMA
from metarl.environment.registry import make_family
from metarl.learning.sampler import Sampler
family = make_family("point-goal", horizon=12)
sizes = {"simulations": 8, "rollout": 10, "pool": 5, "hidden": (8,), "window": 3}
agent = RMA(family, RMA.Config(**sizes), 0)
agent.train_step(Sampler(family, 0))
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
