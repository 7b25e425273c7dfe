"""Rows of a list that are alike in one column, of which only the first ones are taken, be they millions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from gristmill.shards.rows import RowBatch
from gristmill.steps.repeats import digested

__all__ = ["Alike"]


class Alike:
    """Says which rows come too late.

    Args:
        batches: The whole list; 16 bytes a row stay in memory.
        column: Whose values are compared. Rows without a value are like no other.
        most: Rows of one value that are taken.
    """

    def __init__(self, batches: Iterable[RowBatch], column: str, most: int) -> None:
        found = [digested(batch, column) for batch in batches]
        every = np.concatenate(found) if found else np.empty(0, [("digest", "<u8"), ("row", "<i8")])
        every.sort(order=("digest", "row"))
        starts = np.flatnonzero(np.diff(every["digest"], prepend=~every["digest"][:1]))
        place = np.arange(len(every)) - np.repeat(starts, np.diff(starts, append=len(every)))
        self._late = np.sort(every["row"][place >= most])

    def late(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Tell of some rows, by their positions, which ones come after so many that are like them."""
        return np.isin(rows, self._late, assume_unique=True)
