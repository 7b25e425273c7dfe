"""A store in memory whose listings lag behind, as those of a cache before an object store may."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from gristmill.storage.store import Stored
from gristmill.testing.memory_store import MemoryStore

LAG = 14
"""Listings; a command that begins makes about half as many."""


class Lagging(MemoryStore):
    """Lists what lay there so many listings ago; a file that is asked for by its name is there at once."""

    def __init__(self, work: Path, lag: int = LAG) -> None:
        super().__init__(work)
        self.lag = lag
        self._listed: deque[list[Stored]] = deque([[]])

    def list(self, folder: str = "") -> Iterator[Stored]:
        self._listed.append(list(super().list()))
        while len(self._listed) > self.lag + 1:
            self._listed.popleft()
        yield from (one for one in self._listed[0] if not folder or one.name.startswith(f"{folder}/"))
