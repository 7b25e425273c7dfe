"""Rows of a list in the order in which their media lie in media sources, be they millions.

What is packed so that it can only be unpacked from the beginning is then read about once, and each medium once. The
list is read twice: first for where the media lie, some 40 bytes a row in memory, then to be put in order on disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.shards.rows import RowBatch
from gristmill.spec.locator import Locator
from gristmill.spec.step import TableContext
from gristmill.steps.acquirers import places_of
from gristmill.steps.ordered import OrderedTables

__all__ = ["ByPlace"]

Int64s: TypeAlias = npt.NDArray[np.int64]

_ROW, _RANK = "__position", "__rank"
_PLACED = np.dtype([("row", "<i8"), ("archive", "<i4"), ("offset", "<i8"), ("medium", "<u8")])
_NOWHERE = (np.iinfo(np.int32).max, 0)
"""Behind all archives."""
_LOOKED_UP = 1 << 17
"""Media whose places are asked for at once: each time, all of a source's index may be read."""


class ByPlace:
    """Says in which order rows are handed on, and hands them on.

    That is by archive, then by the place in it, then as they stand in the list. Rows whose first medium lies nowhere
    come last; those of one medium stand together even there, behind the first of them.

    Args:
        batches: The whole list.
        box: Knows the media of rows, and their sources.
        scratch: An empty folder that stays as long as this is used.

    Attributes:
        rows: How many rows the list has.
    """

    def __init__(self, batches: Iterable[RowBatch], box: TableContext, scratch: Path) -> None:
        placed = np.concatenate([np.empty(0, _PLACED), *_placed(batches, box)])
        self.rows = len(placed)
        self._row = placed["row"]
        _, firsts, medium = np.unique(placed["medium"], return_index=True, return_inverse=True)
        self._group = self._row[firsts][medium]  # the row that has it first
        order = np.lexsort((self._row, self._group, placed["offset"], placed["archive"]))
        self._rank = np.empty(self.rows, np.int64)
        self._rank[order] = np.arange(self.rows)
        self._tables = OrderedTables(scratch, _RANK, self.rows)

    def add(self, table: Any, rows: Any) -> None:
        """Take some rows of the list, in its order."""
        if len(rows):
            rank = self._rank[np.searchsorted(self._row, rows.to_numpy())]
            self._tables.add(table.append_column(_ROW, rows).append_column(_RANK, pa.array(rank)))

    def hand_on(self, keep: Callable[[Any, Any, Any], None]) -> None:
        """Give out what was taken: rows in order, their positions, and a number that those of one medium share."""
        for table in self._tables.tables():
            rows = table[_ROW].combine_chunks()
            group = self._group[np.searchsorted(self._row, rows.to_numpy())]
            keep(table.drop_columns([_ROW, _RANK]), rows, pa.array(group))


def _placed(batches: Iterable[RowBatch], box: TableContext) -> Iterator[npt.NDArray[Any]]:
    """Each row's place and medium, in the order of rows."""
    rows: list[Int64s] = []
    media: list[Locator | None] = []
    for batch in batches:
        rows.append(batch.rows.to_numpy())
        media += box.first_media(batch.table)
        if len(media) >= _LOOKED_UP:
            yield _looked_up(np.concatenate(rows), media, box)
            rows, media = [], []
    if media:
        yield _looked_up(np.concatenate(rows), media, box)


def _looked_up(rows: Int64s, media: Sequence[Locator | None], box: TableContext) -> npt.NDArray[Any]:
    of_source: dict[tuple[str, str], dict[Locator, None]] = {}
    for at in media:
        if at is not None and isinstance(key := getattr(at, "source", None), str):
            of_source.setdefault((at.kind, key), {})[at] = None
    places: dict[Locator | None, tuple[int, int]] = {}
    for (kind, key), wanted in of_source.items():
        found = places_of(kind, box.source(key), tuple(wanted))
        places.update((at, place) for at, place in zip(wanted, found, strict=True) if place is not None)
    placed = np.empty(len(rows), _PLACED)
    placed["row"] = rows
    where = [places.get(at, _NOWHERE) for at in media]
    placed["archive"], placed["offset"] = np.array(where, np.int64).reshape(-1, 2).T
    hashes = b"".join(_digest(at, row) for at, row in zip(media, rows.tolist(), strict=True))
    placed["medium"] = np.frombuffer(hashes, np.uint64)
    return placed


def _digest(at: Locator | None, row: int) -> bytes:
    """8 bytes that rows of one medium share; rows without any share theirs with none."""
    text = str(row) if at is None else repr(at)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
