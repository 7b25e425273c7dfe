"""Tables that come in any order, given out by the numbers in one of their columns; on disk once they are many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.steps.spill import PORTIONS

__all__ = ["OrderedTables"]

IN_MEMORY_BYTES = 16 << 20


class OrderedTables:
    """Tables of one schema, by a column of numbers; those of one number stay in the order in which they came.

    Args:
        folder: Where they may lie; must exist.
        by: The column.
        stop: Above all of its numbers.
        start: The lowest that it may have.
    """

    def __init__(self, folder: Path, by: str, stop: int, start: int = 0) -> None:
        self._folder, self._by = folder, by
        self._start, self._span = start, max(1, stop - start)
        self._held: list[Any] = []
        self._held_bytes = 0

    def add(self, table: Any) -> None:
        """Some rows, in any order."""
        self._held.append(table)
        self._held_bytes += table.nbytes
        if self._held_bytes > IN_MEMORY_BYTES:
            self._flush()

    def _flush(self) -> None:
        whole = self._sorted(self._held)
        self._held, self._held_bytes = [], 0
        portion = (whole[self._by].to_numpy() - self._start) * PORTIONS // self._span
        ends = np.searchsorted(portion, np.arange(PORTIONS + 1))
        for number in np.unique(portion).tolist():
            some = whole.slice(ends[number], ends[number + 1] - ends[number])
            with self._path(number).open("ab") as stream, pa.ipc.new_stream(stream, some.schema) as writer:
                writer.write_table(some)

    def tables(self) -> Iterator[Any]:
        """All rows in order; once, after the last was added."""
        if not any(self._path(number).exists() for number in range(PORTIONS)):
            if self._held:
                yield self._sorted(self._held)
            return
        if self._held:
            self._flush()
        for number in range(PORTIONS):
            path = self._path(number)
            if path.exists():
                yield from self._portion(number, path)

    def _portion(self, number: int, path: Path) -> Iterator[Any]:
        if path.stat().st_size <= IN_MEMORY_BYTES:
            yield self._sorted(list(_pieces(path)))
        else:
            start, stop = (-(-self._span * n // PORTIONS) + self._start for n in (number, number + 1))
            if stop - start <= 1:
                yield from _pieces(path)  # of one number, in order
            else:
                folder = self._folder / f"{path.name}.d"
                folder.mkdir()
                within = OrderedTables(folder, self._by, stop, start)
                for piece in _pieces(path):
                    within.add(piece)
                path.unlink()
                yield from within.tables()
                return
        path.unlink()

    def _path(self, number: int) -> Path:
        return self._folder / f"ordered-{number:03d}"

    def _sorted(self, tables: list[Any]) -> Any:
        whole = pa.concat_tables(tables)
        return whole.take(pa.array(np.argsort(whole[self._by].to_numpy(), kind="stable"))).combine_chunks()


def _pieces(path: Path) -> Iterator[Any]:
    """The tables that were appended to a file, one after another."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        while stream.tell() < size:
            with pa.ipc.open_stream(stream) as reader:
                for batch in reader:
                    yield pa.Table.from_batches([batch])
