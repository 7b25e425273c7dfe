"""Rows of a list that repeat an earlier row's value, brought right behind it in bounded memory, be they millions.

The list is read three times. First digests of the values tell which rows repeat which; then the repeating rows are
set apart on disk, by the row that they repeat; then all are given out in order. A portion at a time is in memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.shards.rows import RowBatch, readable_rows
from gristmill.spec.columns import value_at
from gristmill.spec.step import TableContext
from gristmill.steps.ordered import OrderedTables
from gristmill.steps.spill import PORTIONS, Spill

__all__ = ["Repeats", "digested"]

Int64s: TypeAlias = npt.NDArray[np.int64]

_ROW, _FIRST = "__position", "__group"
_DIGESTED = np.dtype([("digest", "<u8"), ("row", "<i8")])
_PAIR = np.dtype([("row", "<i8"), ("first", "<i8")])
_OFTEN = 16
"""Rows of one value within a batch from which on its further rows are kept apart: others of their portion are few."""
_MOST_OFTEN = 4096
_PAIRS_AT_ONCE = 1 << 16


class Repeats:
    """Says which rows of a list repeat an earlier one, and what they hold.

    Args:
        read: Reads the list anew; of each row only what ``column`` needs where it is called with true.
        column: Of whose values repeats are looked for; rows without a value repeat none.
        part: Only its first group counts of values that it matches as a whole.
        scratch: An empty folder that stays as long as this is used.

    Attributes:
        rows: How many rows the list has.
    """

    def __init__(
        self,
        read: Callable[[bool], Iterable[RowBatch]],
        column: str,
        scratch: Path,
        part: re.Pattern[str] | None = None,
    ) -> None:
        self.rows = self._end = 0
        self._scratch, self._part = scratch, part
        pairs = Spill(scratch, "pairs", _PAIR)
        for found in self._pairs(read(True), column):
            pairs.add(found, found["row"] * PORTIONS // self._end)
        self._repeating = Spill(scratch, "repeating", np.int64)
        self._guests = OrderedTables(scratch, _FIRST, self._end)
        self._set_apart(read, pairs)
        self._leaving = _Rising(self._repeating.portions())
        self._coming = self._guests.tables()
        self._next: Any = next(self._coming, None)

    def _pairs(self, batches: Iterable[RowBatch], column: str) -> Iterator[npt.NDArray[Any]]:
        """Rows that repeat another, each with the first of its value."""
        spill = Spill(self._scratch, "digests", _DIGESTED)
        often: dict[int, int] = {}
        apart = self._scratch / "often"
        with apart.open("wb") as stream:
            for batch in batches:
                some = digested(batch, column, self._part)
                self.rows += len(some)
                self._end = max(self._end, int(some["row"].max(initial=-1)) + 1)
                known = np.isin(some["digest"], np.fromiter(often, np.uint64, len(often)))
                some[known].tofile(stream)
                rest = some[~known]
                spill.add(rest, rest["digest"] % np.uint64(PORTIONS))
                values, counts = np.unique(rest["digest"], return_counts=True)
                for value in values[counts >= _OFTEN][: _MOST_OFTEN - len(often)].tolist():
                    often[value] = -1
        for portion in spill.portions():  # rows in their order
            order = np.argsort(portion["digest"], kind="stable")
            ordered = portion[order]
            starts = np.flatnonzero(np.diff(ordered["digest"], prepend=~ordered["digest"][:1]))
            of = np.repeat(ordered["row"][starts], np.diff(starts, append=len(ordered)))
            for value in often.keys() & set(ordered["digest"][starts].tolist()) if often else ():
                often[value] = int(ordered["row"][np.searchsorted(ordered["digest"], np.uint64(value))])
            repeats = of != ordered["row"]
            yield _paired(ordered["row"][repeats], of[repeats])
        values = np.array(sorted(often), np.uint64)
        firsts = np.array([often[value] for value in values.tolist()], np.int64)
        with apart.open("rb") as stream:
            while len(some := np.fromfile(stream, _DIGESTED, _PAIRS_AT_ONCE)):
                yield _paired(some["row"], firsts[np.searchsorted(values, some["digest"])])
        apart.unlink()

    def _set_apart(self, read: Callable[[bool], Iterable[RowBatch]], pairs: Spill) -> None:
        """Put what the repeating rows hold where it is found by the row that they repeat."""
        known = _Rising(portion[np.argsort(portion["row"])] for portion in pairs.portions())
        if not known.more:
            return
        for batch in read(False):
            where = batch.rows.to_numpy()
            found = known.up_to(int(where[-1])) if len(where) else np.empty(0, _PAIR)
            own, at, of = np.intersect1d(where, found["row"], assume_unique=True, return_indices=True)
            if len(own):
                self._repeating.add(own, own * PORTIONS // self._end)
                table = batch.table.take(pa.array(at)).append_column(_ROW, pa.array(own))
                self._guests.add(table.append_column(_FIRST, pa.array(found["first"][of])))

    def keep(self, table: Any, rows: Any, box: TableContext) -> None:
        """Hand on rows in order, each followed by those that repeat it; these are not handed on again."""
        own = rows.to_numpy()
        if not len(own) or (self._next is None and not self._leaving.more):
            box.keep(table, rows)
            return
        last = int(own[-1])
        stays = ~np.isin(own, self._leaving.up_to(last))
        table, own = table.filter(pa.array(stays)), own[stays]
        while self._next is not None and (firsts := self._next[_FIRST].to_numpy())[0] <= last:
            count = int(np.searchsorted(firsts, last, side="right"))
            guests = self._next.slice(0, count)
            hosts = int(np.searchsorted(own, firsts[count - 1], side="right"))
            _keep_together(table.slice(0, hosts), own[:hosts], guests, box)
            table, own = table.slice(hosts), own[hosts:]
            rest = self._next.slice(count)
            self._next = rest if rest.num_rows else next(self._coming, None)
        box.keep(table, pa.array(own, pa.int64()))


def digested(batch: RowBatch, column: str, part: re.Pattern[str] | None = None) -> npt.NDArray[Any]:
    """Rows' positions, each with 8 bytes that rows with the same value in a column share, or the same part of one."""
    where = batch.rows.to_numpy()
    values = (None if isinstance(row, str) else value_at(row, column) for row in readable_rows(batch.table))
    hashes = b"".join(_digest(value, row, part) for value, row in zip(values, where, strict=True))
    found = np.empty(len(where), _DIGESTED)
    found["digest"], found["row"] = np.frombuffer(hashes, np.uint64), where
    return found


def _digest(value: object, row: int, part: re.Pattern[str] | None) -> bytes:
    """8 bytes that equal values share; rows without a value share theirs with none."""
    text = str(value) if value else f"\0{row}"
    if part is not None and (found := part.fullmatch(text)):
        text = found[1]
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _paired(rows: Int64s, firsts: Int64s) -> npt.NDArray[Any]:
    pairs = np.empty(len(rows), _PAIR)
    pairs["row"], pairs["first"] = rows, firsts
    return pairs


def _keep_together(hosts: Any, own: Int64s, guests: Any, box: TableContext) -> None:
    groups = np.concatenate([own, guests[_FIRST].to_numpy()])
    rows = np.concatenate([own, guests[_ROW].to_numpy()])
    order = pa.array(np.argsort(groups, kind="stable"))
    table = pa.concat_tables([hosts, guests.drop_columns([_ROW, _FIRST])])
    box.keep(table.take(order), pa.array(rows).take(order), pa.array(groups).take(order))


class _Rising:
    """Records with rising positions, taken from the front."""

    def __init__(self, portions: Iterator[npt.NDArray[Any]]) -> None:
        self._portions = portions
        self._held = next(portions, None)

    @property
    def more(self) -> bool:
        """Say whether any is left."""
        return self._held is not None

    def up_to(self, row: int) -> npt.NDArray[Any]:
        """Take all up to a position."""
        taken = []
        while self._held is not None:
            rows = self._held["row"] if self._held.dtype.names else self._held
            count = int(np.searchsorted(rows, row, side="right"))
            taken.append(self._held[:count])
            if count < len(rows):
                self._held = self._held[count:]
                break
            self._held = next(self._portions, None)
        return np.concatenate(taken) if taken else np.empty(0, np.int64)
