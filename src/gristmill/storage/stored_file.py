"""One file of a store by itself, whose bytes are read where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from gristmill.storage.store import Store

__all__ = ["StoredFile"]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a store. ``str()`` of it is what a person calls it."""

    store: Store
    name: str

    def __str__(self) -> str:
        return f"{self.store}/{self.name}"

    def fetch(self) -> Path:
        """See :meth:`gristmill.storage.store.Store.fetch`."""
        return self.store.fetch(self.name)

    def read(self, start: int, size: int) -> bytes:
        """See :meth:`gristmill.storage.store.Store.read`."""
        return self.store.read(self.name, start, size)

    def open_here(self) -> BufferedReader | None:
        """See :meth:`gristmill.storage.store.Store.open_here`."""
        return self.store.open_here(self.name)
