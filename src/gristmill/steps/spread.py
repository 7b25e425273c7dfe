"""Rows whose lists are spread out: one row for each element."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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

__all__ = ["ELEMENT", "LIST", "LIST_ROW", "MOST_ELEMENTS", "spread"]

ELEMENT = f"{ADDED}element"
"""Column that is added: which element of its row's list a row is for, from 0."""
LIST = f"{ADDED}list"
"""Column that is added: which column holds that list; null where the row has none."""
LIST_ROW = f"{ADDED}list_row"
"""Column that is added: the row's position in the file, before rows were spread."""

MOST_ELEMENTS = 1000
"""A row of more is not spread: each of its rows carries the whole."""

_PIECE_BYTES, _PIECE_ROWS = 32 << 20, 4096


def spread(batches: Iterable[RowBatch], columns: Sequence[str]) -> Iterator[RowBatch]:
    """Rows with lists in ``columns`` once for each of their elements, all others once.

    Of several lists of a row the first elements come first, then the second ones. Positions are counted anew, over
    the rows as they are given out.
    """
    more = 0
    for batch in batches:
        counts = np.array([_elements(row, columns) for row in readable_rows(batch.table)], np.int64).reshape(
            -1, len(columns)
        )
        times = counts.sum(axis=1)
        fits = times <= MOST_ELEMENTS
        where = batch.rows.to_numpy()
        beyond = [
            BadRow(
                row,
                Reason.ROW_TOO_LONG,
                f"{count:,} elements in {_named(columns)}, at most {MOST_ELEMENTS:,}",
            )
            for row, count in zip(where[~fits].tolist(), times[~fits].tolist(), strict=True)
        ]
        table, where, counts = batch.table.filter(pa.array(fits)), where[fits], counts[fits]
        source, element, of = _in_turn(counts)
        times = np.bincount(source, minlength=len(where))
        before = more + np.concatenate([[0], np.cumsum(times - 1)])  # rows that were added before each
        bad = [
            BadRow(int(one.row + before[np.searchsorted(where, one.row)]), one.reason, one.detail)
            for one in (*batch.bad, *beyond)
        ]
        first = np.cumsum(times) - times
        rows = (where + before[:-1])[source] + np.arange(len(source)) - first[source]
        names = pa.array([*columns, None], pa.string())
        for piece in _pieces(_sizes(table)[source]):
            some = table.take(pa.array(source[piece]))
            some = some.append_column(ELEMENT, pa.array(element[piece]))
            some = some.append_column(LIST, names.take(pa.array(of[piece])))
            some = some.append_column(LIST_ROW, pa.array(where[source[piece]]))
            yield RowBatch(some, pa.array(rows[piece]), bad)
            bad = []
        more = int(before[-1])


def _in_turn(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
    """Row, element and list of each row that is given out, in their order; of no list, the number behind the last.

    Args:
        counts: Elements of each list of each row, shape (rows, lists).
    """
    rows, lists = counts.shape
    flat = counts.ravel()
    source = np.repeat(np.repeat(np.arange(rows), lists), flat)
    of = np.repeat(np.tile(np.arange(lists), rows), flat)
    element = np.arange(len(source)) - np.repeat(np.cumsum(flat) - flat, flat)
    alone = np.flatnonzero(counts.sum(axis=1) == 0)
    source = np.concatenate([source, alone])
    of = np.concatenate([of, np.full(len(alone), lists)])
    element = np.concatenate([element, np.zeros(len(alone), np.int64)])
    order = np.lexsort((of, element, source))
    return source[order], element[order], of[order]


def _named(columns: Sequence[str]) -> str:
    return " and ".join(map(repr, columns))


def _elements(row: Mapping[str, Json] | str, columns: Sequence[str]) -> list[int]:
    found = [None if isinstance(row, str) else value_at(row, column) for column in columns]
    return [len(one) if isinstance(one, list) else 0 for one in found]


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
