"""Random numbers that depend on what they are for, never on when they are drawn.

A key names a purpose; a stream is the sequence of numbers of one key. There is no
generator whose state could be shared, forgotten in a checkpoint or drawn from in
another order:

    streams = Streams(mix(key(seed, "reset"), task_index, episode_index))
    streams.normal(3)        # (n, 3), row i depends on the i-th key alone

The numbers are SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
number generators", OOPSLA 2014) used as a counter-based generator.
"""

import hashlib
import math
import numbers

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from torch import Tensor

Keys = NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MASK = (1 << 64) - 1


def key(*parts: int | float | str | None) -> int:
    """A 64-bit key for a purpose that is named by numbers and strings."""
    plain = tuple(
        int(part) if isinstance(part, numbers.Integral) else part for part in parts
    )
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _scramble(z: Keys) -> Keys:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def mix(base: int | Keys, *indices: ArrayLike) -> Keys:
    """Keys for every combination of broadcast integer ``indices`` under ``base``."""
    keys = np.atleast_1d(np.asarray(base, np.uint64))
    with np.errstate(over="ignore"):
        for index in indices:
            entry = np.asarray(index).astype(np.uint64) + np.uint64(1)
            keys = _scramble(keys ^ _scramble(entry * _GAMMA))
    return keys


class Streams:
    """One independent stream of random numbers per key.

    Args:
        keys: unsigned 64-bit keys, (n,).
        like: numbers are drawn in float64 and given with its device and dtype; default:
            as they are.
    """

    def __init__(self, keys: Keys, like: Tensor | None = None) -> None:
        self.keys = keys
        plain = torch.zeros((), dtype=torch.float64, device="cpu")
        self.like = plain if like is None else like
        self._drawn = 0

    def _bits(self, shape: tuple[int, ...]) -> Keys:
        count = math.prod(shape)
        index = np.arange(self._drawn + 1, self._drawn + count + 1, dtype=np.uint64)
        self._drawn += count
        with np.errstate(over="ignore"):
            bits = _scramble(self.keys[:, None] + index * _GAMMA)
        return bits.reshape(len(self.keys), *shape)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform numbers in the open interval (low, high), (n, *shape)."""
        return torch.from_numpy(low + (high - low) * self._unit(shape)).to(self.like)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, (n, *shape)."""
        return torch.from_numpy(ndtri(self._unit(shape))).to(self.like)

    def integers(self, bound: int, *shape: int) -> Tensor:
        """Integers in [0, bound), (n, *shape) int64."""
        drawn = torch.from_numpy(self._unit(shape) * bound).long()
        return drawn.clamp_(max=bound - 1).to(self.like.device)

    def _unit(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Uniform numbers in the open interval (0, 1), (n, *shape)."""
        bits = (self._bits(shape) >> np.uint64(11)).astype(np.float64)
        return (bits + 0.5) * 2.0**-53


def torch_generator(*parts: int | float | str | None) -> torch.Generator:
    """A torch generator for the purpose named by ``parts``."""
    return torch.Generator().manual_seed(key(*parts) & (_MASK >> 1))
