"""Orders of a whole dataset that no process has to hold: a keyed permutation of the numbers below N.

A balanced Feistel network permutes the numbers below 4^h, the least such power that is not below N; a number that
it takes to N or beyond is put through again until it comes out below ("cycle walking"), which makes it a
permutation of the numbers below N. On average that takes fewer than four passes. Where a sample goes follows
from its number, the seed and N, so any task can work it out for its own samples alone.

After Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002, sections 4 and 5. The round function
is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014); this is for mixing, not for secrecy.
"""

from __future__ import annotations

import hashlib
import random
from array import array
from functools import lru_cache
from typing import TypeAlias

import numpy as np

__all__ = ["PUBLISHED_LIMIT", "Places64", "permuted", "published_places"]

Places64: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int64]]

PUBLISHED_LIMIT = 50_000_000
"""Most samples for which the published order is worked out: it takes an array of all of them in each process."""

_ROUNDS = 8
_MIN_HALF_BITS = 4
_BLOCK = 1 << 16  # numbers at once: what is worked on stays in the processor's cache
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


def permuted(start: int, stop: int, *, samples: int, seed: int) -> Places64:
    """Say where the numbers ``start`` to ``stop`` go: int64, shape (stop - start,), each below ``samples``.

    Raises:
        ValueError: The numbers are not among those below ``samples``.
    """
    if not 0 <= start <= stop <= samples:
        raise ValueError(f"numbers {start} to {stop} are not among {samples}")
    half = max(_MIN_HALF_BITS, (max(0, samples - 1).bit_length() + 1) // 2)
    keys = _keys(seed, samples)
    places = np.arange(start, stop, dtype=np.uint64)
    for block in range(0, stop - start, _BLOCK):
        _walk(places[block : block + _BLOCK], np.uint64(samples), half, keys)
    return places.view(np.int64)


def _walk(
    numbers: np.ndarray[tuple[int], np.dtype[np.uint64]], samples: np.uint64, half: int, keys: Keys
) -> None:
    """Put all through until each is below ``samples``. It ends: each runs through a cycle that holds itself."""
    numbers[:] = _network(numbers, half, keys)
    outside = np.flatnonzero(numbers >= samples)
    while outside.size:
        moved = _network(numbers[outside], half, keys)
        numbers[outside] = moved
        outside = outside[moved >= samples]


Keys: TypeAlias = tuple[np.uint64, ...]


def _network(
    numbers: np.ndarray[tuple[int], np.dtype[np.uint64]], half: int, keys: Keys
) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = numbers >> bits, numbers & mask
    for key in keys:
        mixed = right + key  # modulo 2^64, as all of this
        mixed ^= mixed >> _S30
        mixed *= _M1
        mixed ^= mixed >> _S27
        mixed *= _M2
        mixed ^= mixed >> _S31
        mixed &= mask
        mixed ^= left
        left, right = right, mixed
    return (left << bits) | right


@lru_cache(maxsize=16)
def _keys(seed: int, samples: int) -> Keys:
    """A key for each round; other seeds and other numbers of samples have nothing in common."""
    texts = (f"gristmill shuffle {seed} {samples} {round_}".encode() for round_ in range(_ROUNDS))
    return tuple(np.uint64(int.from_bytes(hashlib.sha256(text).digest()[:8], "big")) for text in texts)


@lru_cache(maxsize=1)
def published_places(samples: int, seed: int) -> Places64:
    """Say where ``random.Random(seed).shuffle`` takes each item of a list of so many: int64, shape (samples,).

    It swaps as that function does, because it is that function, over numbers of eight bytes each.
    """
    order = array("q", range(samples))
    random.Random(seed).shuffle(order)
    places = np.empty(samples, dtype=np.int64)
    places[np.frombuffer(order, dtype=np.int64)] = np.arange(samples, dtype=np.int64)
    places.flags.writeable = False
    return places
