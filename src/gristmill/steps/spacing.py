"""Evenly spaced rows of a known number: which row each position of a sample is, and the other way round.

``exact`` is floor(i * (rows - 1) / (size - 1)) in whole numbers. ``published`` is how torch defines ``linspace``
(https://github.com/pytorch/pytorch, aten/src/ATen/native/cpu/RangeFactoriesKernel.cpp) in 32-bit floats, truncated:
step = (rows - 1) / (size - 1), then step * i in the first half and (rows - 1) - step * (size - 1 - i) in the
second. Whole numbers above 2**24 are not all 32-bit floats, so it chooses from a grid there: 32 rows wide at
378 million, where its last row can lie one past the end.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gristmill.spec.errors import UsageError

__all__ = ["SPACINGS", "Spaced"]

Int64s: TypeAlias = npt.NDArray[np.int64]

SPACINGS = ("exact", "published")
_MOST = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Spaced:
    """``size`` positions over ``rows`` rows.

    Exact spacing of more positions than rows takes every row once. Published spacing keeps the rows that it
    names more than once, as often.
    """

    rows: int
    size: int
    spacing: str

    def __post_init__(self) -> None:
        if self.spacing not in SPACINGS:
            raise UsageError(f"sample.spacing={self.spacing}: expected {' or '.join(SPACINGS)}")
        if not 1 <= self.size < _MOST:
            raise UsageError(f"sample.size={self.size}: expected 1 or more, and less than 2,147,483,648")

    @property
    def count(self) -> int:
        """Positions that there are: ``size``, or fewer where there are not as many rows."""
        if not self.rows:
            return 0
        return min(self.size, self.rows) if self.spacing == "exact" else self.size

    @property
    def beyond(self) -> int:
        """Positions that published spacing puts past the last row; they are moved back to it."""
        if self.spacing == "exact" or not self.rows:
            return 0
        return sum(
            self._published(np.array([i]))[0] >= self.rows for i in range(max(0, self.size - 4), self.size)
        )

    def rows_at(self, positions: Int64s) -> Int64s:
        """The row of each position; any shape."""
        if self.spacing == "published":
            return np.clip(self._published(positions), 0, self.rows - 1)
        if self.count == 1:
            return np.zeros_like(positions)
        whole, rest = divmod(self.rows - 1, self.count - 1)  # so that no product passes 63 bits
        return positions * whole + positions * rest // (self.count - 1)

    def _published(self, positions: Int64s) -> Int64s:
        one = np.float32
        if self.size == 1:
            return np.zeros_like(positions)
        end = one(self.rows - 1)
        step = one(end / one(self.size - 1))
        forward = step * positions.astype(one)
        backward = end - step * (self.size - 1 - positions).astype(one)
        return np.where(positions < self.size // 2, forward, backward).astype(np.int64)

    def positions_within(self, start: int, stop: int) -> Int64s:
        """Positions whose rows are ``start`` to ``stop`` (exclusive), by rising row; shape (n,)."""
        half = self.count if self.spacing == "exact" else self.size // 2
        runs = [self._run(low, high, start, stop) for low, high in ((0, half), (half, self.count))]
        positions = np.concatenate(runs)
        return positions[np.argsort(self.rows_at(positions), kind="stable")]

    def _run(self, low: int, high: int, start: int, stop: int) -> Int64s:
        """Positions ``low`` to ``high`` among those; their rows never fall."""

        def row(position: int) -> Any:
            return self.rows_at(np.array([position]))[0]

        places = range(low, high)
        first, last = (low + bisect_left(places, edge, key=row) for edge in (start, stop))
        return np.arange(first, last, dtype=np.int64)
