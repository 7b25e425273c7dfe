"""A set of which it is only asked what is in it, for the names of millions of files."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Hashable, Iterable

__all__ = ["Seen"]


class Seen:
    """Things that were seen, eight bytes each: their hashes, of which two are the same once in 10^19 pairs.

    Args:
        things: None of them is held.
    """

    def __init__(self, things: Iterable[Hashable]) -> None:
        import numpy as np

        hashes = np.sort(np.frombuffer(array("q", map(hash, things)), np.int64))
        self._hashes = array("q", hashes.tobytes())

    def __contains__(self, thing: Hashable) -> bool:
        wanted = hash(thing)
        place = bisect_left(self._hashes, wanted)
        return place < len(self._hashes) and self._hashes[place] == wanted
