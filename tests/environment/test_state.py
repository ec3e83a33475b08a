"""A stored environment goes on to the same bits."""

import numpy as np
import pytest
import torch
from carts import (
    LATENCY,
    Cart,
    Feeling,
    Finishing,
    Sensing,
    drive,
    environment_of,
    state,
)

from metarl.simulation.perturbations import Latency, ObservationNoise
from metarl.tasks.parameter import Parameter


def disturbed(base):
    return type(
        base.__name__,
        (base,),
        {
            "parameters": {
                **base.parameters,
                "latency": LATENCY,
                "observation_noise": Parameter(0.0, train=(0.0, 0.5)),
            },
            "perturbations": (
                Latency("latency"),
                ObservationNoise("observation_noise"),
            ),
            "horizon": 9,
            "act": remembering_act,
        },
    )()


def remembering_act(self, sim, action):
    Cart.act(self, sim, action)
    sim.remember("sum", sim.ctrl).add_(action)
    sim.ctrl += 0.1 * sim.memory["sum"].tanh()


def restarted(environment, steps, seed):
    """Drive with a reset of whatever ended, as learners on endless streams do."""
    found = []
    for step in (drive(environment, 1, 100 * seed + t)[0] for t in range(steps)):
        if step.ended.any():
            environment.reset(ids=step.ended.nonzero()[:, 0])
        found.append(step)
    return found


@pytest.mark.parametrize("visible", [False, True], ids=["hidden", "visible"])
@pytest.mark.parametrize("split", ["train", "switch", "drift"])
@pytest.mark.parametrize("resample", [False, True], ids=["own task", "resampled"])
@pytest.mark.parametrize(
    "base", [Finishing, Sensing, Feeling], ids=["plain", "derived", "felt"]
)
def test_a_stored_state_goes_on_to_the_same_bits(base, resample, split, visible):
    family = disturbed(base)
    tasks = family.tasks(split, 3)
    pool = family.tasks(split, 5, seed=1) if resample else ()

    def made():
        return environment_of(
            family, tasks, 2, seed=4, resample=pool, observe_task=visible
        )

    whole = made()
    whole.reset()
    seen = restarted(whole, 7, seed=1)[-1].observation
    kept = {name: tensor.clone() for name, tensor in whole.state()[0].items()}
    plain = whole.state()[1]
    rest = restarted(whole, 12, seed=2)

    loaded = made()
    observation = loaded.load_state(kept, plain)
    running = loaded.active
    assert torch.equal(observation[running], seen[running])
    for one, other in zip(restarted(loaded, 12, seed=2), rest, strict=True):
        assert torch.equal(one.observation, other.observation)
        assert torch.equal(one.reward, other.reward)
        assert torch.equal(one.ended, other.ended)
    assert np.array_equal(state(loaded), state(whole))
    assert loaded.tasks == whole.tasks


def test_a_stored_state_survives_what_happens_afterwards():
    environment = environment_of(Cart(), copies=2)
    environment.reset(0)
    drive(environment, 3)
    tensors, _ = environment.state()
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    drive(environment, 3)
    assert all(torch.equal(tensors[name], before[name]) for name in before)


def test_a_state_brings_back_the_memory_of_its_time():
    """Also where what is remembered now had not been thought of then."""

    class Counting(Cart):
        def reward(self, sim, action):
            count = sim.remember("count", sim.qpos[:, 0])
            count += 1
            return count.clone()

    family = Counting()
    first, late = environment_of(family), environment_of(family)
    first.reset(0), late.reset(0)
    state = first.state()
    drive(late, 5)
    late.load_state(*state)
    assert drive(late, 1)[0].reward.tolist() == [1]
