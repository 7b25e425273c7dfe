"""Records of a fixed size, set apart by a number so that each portion fits into memory; on disk only if they must."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PORTIONS", "Records", "Spill"]

PORTIONS = 256
IN_MEMORY_BYTES = 8 << 20

_PENDING_SHARE = 8
"""Records are set apart once that part of ``IN_MEMORY_BYTES`` has come: an array for each portion of each small batch
would take ten times the memory of what it holds."""

Records = npt.NDArray[Any]


class Spill:
    """Records in :data:`PORTIONS` portions.

    Args:
        folder: Where portions go once they are together larger than ``IN_MEMORY_BYTES``; must exist.
        name: Tells several spills in one folder apart.
        dtype: Of a record.
    """

    def __init__(self, folder: Path, name: str, dtype: npt.DTypeLike) -> None:
        self._folder, self._name, self._dtype = folder, name, np.dtype(dtype)
        self._pending: list[tuple[Records, npt.NDArray[np.uint8]]] = []
        self._pending_bytes = 0
        self._held: list[list[Records]] = [[] for _ in range(PORTIONS)]
        self._held_bytes = 0
        self._on_disk: set[int] = set()

    def add(self, records: Records, portion: Records) -> None:
        """Add records, each to its portion: a number from 0 to 255."""
        self._pending.append((records, portion.astype(np.uint8)))
        self._pending_bytes += records.nbytes
        if self._pending_bytes * _PENDING_SHARE > IN_MEMORY_BYTES:
            self._set_apart()

    def _set_apart(self) -> None:
        if not self._pending:
            return
        records, portion = (np.concatenate(each) for each in zip(*self._pending, strict=True))
        self._pending.clear()
        self._pending_bytes = 0
        order = np.argsort(portion, kind="stable")
        ends = np.searchsorted(portion[order], np.arange(PORTIONS + 1))
        ordered = records[order]
        for number in np.unique(portion).tolist():
            self._held[number].append(ordered[ends[number] : ends[number + 1]])
        self._held_bytes += records.nbytes
        if self._held_bytes > IN_MEMORY_BYTES:
            self._flush()

    def portions(self) -> Iterator[Records]:
        """Each portion with something in it, in order; call it once."""
        self._set_apart()
        for number, held in enumerate(self._held):
            parts = list(held)
            if number in self._on_disk:
                path = self._path(number)
                parts.insert(0, np.fromfile(path, self._dtype))
                path.unlink()
            held.clear()
            if parts:
                yield np.concatenate(parts)

    def _flush(self) -> None:
        for number, held in enumerate(self._held):
            if held:
                with self._path(number).open("ab") as file:
                    np.concatenate(held).tofile(file)
                self._on_disk.add(number)
                held.clear()
        self._held_bytes = 0

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._name}-{number:03d}"
