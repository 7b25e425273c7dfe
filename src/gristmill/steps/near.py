"""Which perceptual hashes lie near one of a few: by bands, so that only hopeful pairs are compared.

Two hashes of 64 bits that differ in at most n bits are equal in one of n + 1 bands.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_BITS", "Near", "leaders"]

Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

MOST_BITS = 8
_HASH_BITS = 64
_PAIRS_AT_ONCE = 1 << 20


class Near:
    """Finds the nearest of ``known`` within ``bits`` differing bits.

    Args:
        known: Hashes, shape (n,), uint64, without repetition.
        bits: 0 to :data:`MOST_BITS`.
    """

    def __init__(self, known: Hashes, bits: int) -> None:
        self._known, self._bits = known, bits
        edges = np.linspace(0, _HASH_BITS, bits + 2).astype(int).tolist()
        self._bands = [(low, high - low) for low, high in pairwise(edges)]
        self._sorted = []
        for low, width in self._bands:
            values = _band(known, low, width)
            order = np.argsort(values, kind="stable")
            self._sorted.append((values[order], order))

    def find(self, hashes: Hashes) -> Ints:
        """For each hash the position of the nearest known one, of equally near ones the first; -1 if none is near."""
        best = np.full(len(hashes), (_HASH_BITS + 1) * (len(self._known) + 1), np.int64)
        for (low, width), (values, order) in zip(self._bands, self._sorted, strict=True):
            wanted = _band(hashes, low, width)
            first, last = np.searchsorted(values, wanted), np.searchsorted(values, wanted, side="right")
            hopeful = np.flatnonzero(last > first)
            for some in _portions(hopeful, (last - first)[hopeful]):
                counts = (last - first)[some]
                mine = np.repeat(some, counts)
                steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
                theirs = order[np.repeat(first[some], counts) + steps]
                distance = np.bitwise_count(hashes[mine] ^ self._known[theirs]).astype(np.int64)
                near = distance <= self._bits
                np.minimum.at(best, mine[near], distance[near] * len(self._known) + theirs[near])
        return np.where(
            best < (self._bits + 1) * max(len(self._known), 1), best % max(len(self._known), 1), -1
        )


def leaders(hashes: Hashes, bits: int) -> Ints:
    """For each hash, in order of rank, the position of the first one before it that leads it; itself if none.

    A hash is led by the first leader within ``bits`` bits.
    """
    led = np.empty(len(hashes), np.int64)
    edges = np.linspace(0, _HASH_BITS, bits + 2).astype(int).tolist()
    bands = [(low, (1 << (high - low)) - 1) for low, high in pairwise(edges)]
    by_band: list[dict[int, list[int]]] = [{} for _ in bands]
    values = hashes.tolist()
    for place, value in enumerate(values):
        keys = [value >> low & mask for low, mask in bands]
        hopeful = {other for band, key in zip(by_band, keys, strict=True) for other in band.get(key, ())}
        near = [other for other in hopeful if (values[other] ^ value).bit_count() <= bits]
        led[place] = min(near, default=place)
        if not near:
            for band, key in zip(by_band, keys, strict=True):
                band.setdefault(key, []).append(place)
    return led


def _band(hashes: Hashes, low: int, width: int) -> Hashes:
    mask = np.uint64((1 << width) - 1)
    return (hashes >> np.uint64(low)) & mask


def _portions(places: Ints, pairs: Ints) -> list[Ints]:
    """``places`` in pieces of about :data:`_PAIRS_AT_ONCE` pairs each."""
    if not len(places):
        return []
    piece = np.cumsum(pairs) // _PAIRS_AT_ONCE
    return np.split(places, np.flatnonzero(np.diff(piece)) + 1)
