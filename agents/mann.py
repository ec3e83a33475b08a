"""MANN: a memory-augmented network, which writes what it met and looks it up later.

Santoro et al., "Meta-learning with memory-augmented neural networks", 2016, as a
memory-based agent (see RL2, whose training it shares). A recurrent controller
reads an external memory by content and writes by least recently used access (LRUA):

    read weights     w_r = softmax(strength * cosine(key, slots))          by content
    write weights    w_w = s w_r' + (1 - s) w_lu'     where it last read, or the slot
                                                      that was used least
    usage            w_u = decay w_u' + w_r + w_w     primes are of the step before

The slot that was used least is emptied before it is written to. Memory and controller
are kept across the episodes of a trial. The paper's steps are samples that differ.
Control steps hardly do, and a trial has a thousand: so the controller runs several of
them between two accesses (``every``; 1 is the paper's).
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from metarl.agents.rl2 import RL2, RL2Config
from metarl.learning.recurrent import GRU
from metarl.learning.recurrent_policy import Memory, State, chosen


@dataclass(frozen=True)
class MANNConfig(RL2Config):
    """Hyper-parameters of the memory-augmented network."""

    copies: int = 2
    """Trials of each task."""
    lr: float = 2e-3
    """Step size of Adam."""
    epochs: int = 5
    """Passes over the trials of an iteration."""
    minibatches: int = 1
    """Minibatches a pass: a step costs the same for few trials and many."""
    entropy: float = 0.01
    """Weight of the entropy bonus."""
    slots: int = 32
    """Slots of the memory."""
    width: int = 16
    """Numbers in a slot."""
    heads: int = 2
    """Keys that are read, and written, at each step."""
    decay: float = 0.95
    """Share of a slot's usage that is left after an access."""
    every: int = 10
    """Control steps from one access to the next."""


class Slots(NamedTuple):
    """External memories of n simulations."""

    content: Tensor
    """(n, slots, width)."""
    usage: Tensor
    """How recently each was used, (n, slots)."""
    read: Tensor
    """Weights of the last reading, (n, heads, slots)."""


def empty(n: int, slots: int, width: int, heads: int) -> Slots:
    """A memory in which nothing was written."""
    return Slots(
        torch.zeros(n, slots, width),
        torch.zeros(n, slots),
        torch.zeros(n, heads, slots),
    )


def least_used(usage: Tensor, heads: int) -> Tensor:
    """1 for the slot that each head may overwrite, (n, heads, slots).

    The heads take the slots that were used least, one each.
    """
    lowest = usage.topk(heads, dim=-1, largest=False).indices
    return nn.functional.one_hot(lowest, usage.shape[-1]).to(usage.dtype)


def write(memory: Slots, value: Tensor, again: Tensor, decay: float) -> Slots:
    """Write a value with each head.

    Args:
        memory: before.
        value: (n, heads, width).
        again: share that goes to where the head read last, (n, heads); the rest goes
            to the slot that was used least, which is emptied before.
        decay: share of the usage that is left.
    """
    fresh = least_used(memory.usage, value.shape[1])
    share = again[..., None]
    weights = share * memory.read + (1 - share) * fresh
    kept = 1 - fresh.sum(1)
    content = memory.content * kept[..., None] + weights.mT @ value
    usage = decay * memory.usage + weights.sum(1)
    return Slots(content, usage, memory.read)


def read(memory: Slots, key: Tensor, strength: Tensor) -> tuple[Tensor, Slots]:
    """Look keys up by content.

    Args:
        memory: before.
        key: (n, heads, width).
        strength: how sharply the nearest slot is preferred, (n, heads).

    Returns:
        What was found, (n, heads, width), and the memory, whose usage has grown.
    """
    content = memory.content
    # Empty slots have no direction: the small term makes their cosine 0, not NaN.
    norms = (
        torch.linalg.vector_norm(key, dim=-1)[..., None]
        * (torch.linalg.vector_norm(content, dim=-1)[:, None])
    )
    cosine = key @ content.mT / (norms + 1e-6)
    weights = torch.softmax(strength[..., None] * cosine, -1)
    usage = memory.usage + weights.sum(1)
    return weights @ content, Slots(content, usage, weights)


class ExternalMemory(Memory):
    """A recurrent controller and its external memory.

    Args:
        inputs: numbers that it reads a step.
        config: sizes.
    """

    def __init__(self, inputs: int, config: MANNConfig) -> None:
        super().__init__()
        self.config = config
        found = config.heads * config.width
        self.controller = GRU(inputs + found, config.units)
        # For each head: a key, which is also what is written, a gate and a strength.
        self.heads = nn.Linear(config.units, config.heads * (config.width + 2))
        self.input_size, self.output_size = inputs, config.units + found

    def initial(self, n: int) -> State:
        """An idle controller, no step made, nothing found, and an empty memory."""
        config = self.config
        found = torch.zeros(n, config.heads * config.width)
        memory = empty(n, config.slots, config.width, config.heads)
        since = torch.zeros(n, dtype=torch.long)
        return (torch.zeros(n, config.units), since, found, *memory)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Controller and findings of every step, and the last state."""
        features, done = [], 0
        while done < inputs.shape[1]:
            hidden, since, found, *memory = state
            # As many steps as none needs an access within: simulations that wait for
            # others fall behind, and then all take shorter runs.
            steps = int((self.config.every - since).min())
            some = inputs[:, done : done + steps]
            known = found[:, None].expand(-1, some.shape[1], -1)
            run, last = self.controller(torch.cat([some, known], -1), hidden)
            done, since = done + some.shape[1], since + some.shape[1]
            state = self.accessed((last, since, found, *memory))
            # What was just found counts from the step on that looked it up.
            known = torch.cat([known[:, 1:], state[2][:, None]], 1)
            features.append(torch.cat([run, known], -1))
        return torch.cat(features, 1), state

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Controller and findings after one step, and the state."""
        hidden, since, found, *memory = state
        hidden = self.controller.step(torch.cat([inputs, found], -1), hidden)
        state = self.accessed((hidden, since + 1, found, *memory))
        return torch.cat([hidden, state[2]], -1), state

    def accessed(self, state: State) -> State:
        """The state after a writing and a reading where one is due."""
        hidden, since, _, *slots = state
        due = since >= self.config.every
        if not torch.compiler.is_exporting() and not due.any():
            return state
        heads = self.heads(hidden).unflatten(-1, (self.config.heads, -1))
        key, gate, strength = heads.split([self.config.width, 1, 1], -1)
        key = torch.tanh(key)
        memory = write(Slots(*slots), key, gate[..., 0].sigmoid(), self.config.decay)
        sharpness = 1 + 10 * nn.functional.softplus(strength[..., 0])
        answers, memory = read(memory, key, sharpness)
        new = (hidden, torch.zeros_like(since), answers.flatten(1), *memory)
        return chosen(due, new, state)


class MANN(RL2):
    """Learns what to write to an external memory, and when to read it."""

    Config: ClassVar[type] = MANNConfig

    def memory(self, inputs: int) -> Memory:
        """An external memory and its controller."""
        return ExternalMemory(inputs, self.config)
