"""Rows whose lists are spread out: one row for each element."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.shards.rows import JSON_ROW, BadRow, RowBatch, readable_rows
from gristmill.spec.columns import value_at
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Json
from gristmill.spec.step import ADDED

__all__ = ["ELEMENT", "LIST_ROW", "MOST_ELEMENTS", "spread"]

ELEMENT = f"{ADDED}element"
"""Column that is added: which element of its row's list a row is for, from 0."""
LIST_ROW = f"{ADDED}list_row"
"""Column that is added: the row's position in the file, before rows were spread."""

MOST_ELEMENTS = 1000
"""A row of more is not spread: each of its rows carries the whole."""

_PIECE_BYTES, _PIECE_ROWS = 32 << 20, 4096


def spread(batches: Iterable[RowBatch], column: str) -> Iterator[RowBatch]:
    """Rows with a list in ``column`` once for each of its elements, all others once.

    Positions are counted anew, over the rows as they are given out.
    """
    more = 0
    for batch in batches:
        counts = np.array([_elements(row, column) for row in readable_rows(batch.table)], np.int64)
        fits = counts <= MOST_ELEMENTS
        where = batch.rows.to_numpy()
        beyond = [
            BadRow(row, Reason.ROW_TOO_LONG, f"{count:,} elements in {column!r}, at most {MOST_ELEMENTS:,}")
            for row, count in zip(where[~fits].tolist(), counts[~fits].tolist(), strict=True)
        ]
        table, where, times = batch.table.filter(pa.array(fits)), where[fits], counts[fits]
        before = more + np.concatenate([[0], np.cumsum(times - 1)])  # rows that were added before each
        bad = [
            BadRow(int(one.row + before[np.searchsorted(where, one.row)]), one.reason, one.detail)
            for one in (*batch.bad, *beyond)
        ]
        source = np.repeat(np.arange(len(times)), times)
        firsts = where + before[:-1]
        element = np.arange(len(source)) - np.repeat(np.cumsum(times) - times, times)
        for piece in _pieces(_sizes(table)[source]):
            some = table.take(pa.array(source[piece]))
            some = some.append_column(ELEMENT, pa.array(element[piece]))
            some = some.append_column(LIST_ROW, pa.array(where[source[piece]]))
            yield RowBatch(some, pa.array(firsts[source[piece]] + element[piece]), bad)
            bad = []
        more = int(before[-1])


def _elements(row: Mapping[str, Json] | str, column: str) -> int:
    found = None if isinstance(row, str) else value_at(row, column)
    return max(1, len(found)) if isinstance(found, list) else 1


def _sizes(table: Any) -> npt.NDArray[np.float64]:
    """Bytes of each row, shape (rows,): of JSON exactly, of others on the average."""
    if JSON_ROW in table.column_names:
        return np.asarray(pc.binary_length(table[JSON_ROW]).to_numpy(), np.float64)
    return np.full(table.num_rows, table.nbytes / max(1, table.num_rows))


def _pieces(sizes: npt.NDArray[np.float64]) -> Iterator[slice]:
    """Neighbouring rows that are not too much together, one at least; one empty piece where there is no row."""
    number = np.cumsum(sizes) // _PIECE_BYTES + np.arange(len(sizes)) // _PIECE_ROWS
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(sizes)]
    for start, end in pairwise(edges):
        yield slice(start, end)
