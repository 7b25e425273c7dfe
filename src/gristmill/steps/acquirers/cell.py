"""Media that are bytes in a column of Parquet files, read by row group with few cells in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.spec.body import LARGE_BYTES
from gristmill.spec.errors import DamagedSource
from gristmill.spec.locator import Cell
from gristmill.spec.media_source import ParquetSource
from gristmill.spec.reasons import Reason
from gristmill.spec.step import MediaContext
from gristmill.steps.acquirers import Acquired, Wanted
from gristmill.steps.acquirers._window import Settings, Windowed, written

__all__ = ["acquirer"]

_ROWS_AT_ONCE = 16
_BATCH_BYTES = 16 << 20
_BUFFER_BYTES = 1 << 20

Rows = dict[int, list[int]]
"""Row in a file to the numbers under which its cell is wanted."""


class CellAcquirer(Windowed):
    """Goes through each file once, over those row groups alone that have a wanted row."""

    async def bodies(self, wanted: Wanted, box: MediaContext) -> AsyncIterator[tuple[int, Acquired]]:
        """See :class:`Windowed`."""
        of_column: dict[tuple[str, str], list[tuple[int, Cell]]] = {}
        for number, at in wanted:
            if isinstance(at, Cell):
                of_column.setdefault((at.source, at.column), []).append((number, at))
        for (key, column), cells in of_column.items():
            source: ParquetSource = box.source(key)
            rows, lost = await asyncio.to_thread(_by_file, source.files, cells)
            for number in lost:
                yield number, Acquired(reason=Reason.NO_FILE, detail=f"there is no such row in {key}")
            for path, of_row in rows.items():
                found = self._cells(path, column, of_row, box)
                while (one := await asyncio.to_thread(next, found, None)) is not None:
                    yield one

    def _cells(
        self, path: Path, column: str, of_row: Rows, box: MediaContext
    ) -> Iterator[tuple[int, Acquired]]:
        """The cells of one file.

        Raises:
            DamagedSource: It cannot be read.
        """
        try:
            with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
                names = [column] if column in file.schema_arrow.names else column.split(".")
                start = 0
                for group in range(file.num_row_groups):
                    stop = start + file.metadata.row_group(group).num_rows
                    if any(start <= row < stop for row in of_row):
                        for numbers, value in self._of_group(file, group, start, names, of_row):
                            for number in numbers:
                                yield number, self._acquired(value, box)
                    start = stop
        except (pa.ArrowException, OSError, LookupError) as err:
            raise DamagedSource(
                f"{path}: its column {column!r} cannot be read ({err}). Fetch the file again."
            ) from err

    def _of_group(
        self, file: pq.ParquetFile, group: int, start: int, names: Sequence[str], of_row: Rows
    ) -> Iterator[tuple[Sequence[int], Any]]:
        """Wanted values of a row group, with the numbers that each is wanted under."""
        column = ".".join(names)
        rows = _rows_at_once(file.metadata.row_group(group), column)
        batches = file.iter_batches(rows, row_groups=[group], columns=[column], use_threads=False)
        for batch in batches:
            here = [row for row in range(start, start + batch.num_rows) if row in of_row]
            if here:
                values = batch.column(0)
                for name in names[1:]:
                    values = pc.struct_field(values, name)
                for row in here:
                    yield of_row[row], values[row - start].as_py()
            start += batch.num_rows

    def _acquired(self, value: Any, box: MediaContext) -> Acquired:
        if not isinstance(value, bytes):
            said = "it is null" if value is None else f"it holds {type(value).__name__}, not bytes"
            return Acquired(reason=Reason.NO_FILE, detail=said)
        if len(value) > self.most_bytes:
            return Acquired(reason=Reason.TOO_LARGE, detail=f"{len(value):,} bytes")
        if len(value) > LARGE_BYTES:  # so that of those that wait none is in memory
            return Acquired(body=written([value], box.scratch()))
        return Acquired(body=value) if value else Acquired(reason=Reason.EMPTY)


def _rows_at_once(group: Any, column: str) -> int:
    """So many rows that their cells take a few MiB, as far as their mean tells."""
    sizes = [
        found.total_uncompressed_size
        for found in map(group.column, range(group.num_columns))
        if found.path_in_schema == column
    ]
    mean: int = sum(sizes) // max(1, group.num_rows)
    return max(1, min(_ROWS_AT_ONCE, _BATCH_BYTES // max(1, mean)))


async def acquirer(step: Settings) -> CellAcquirer:
    """See :mod:`gristmill.steps.acquirers`."""
    return CellAcquirer(step)


def _by_file(
    files: Mapping[str, Path], cells: Sequence[tuple[int, Cell]]
) -> tuple[dict[Path, Rows], list[int]]:
    """What is wanted of each file, and the numbers of cells that are in none."""
    lengths = {name: pq.read_metadata(path).num_rows for name, path in files.items()}
    rows: dict[Path, Rows] = {}
    lost: list[int] = []
    for number, cell in cells:
        name, row = _place(lengths, cell)
        if name is None:
            lost.append(number)
        else:
            rows.setdefault(files[name], {}).setdefault(row, []).append(number)
    return rows, lost


def _place(lengths: Mapping[str, int], cell: Cell) -> tuple[str | None, int]:
    row = cell.row
    for name, length in lengths.items():
        if cell.file in ("", name) and 0 <= row < length:
            return name, row
        if not cell.file:
            row -= length
    return None, row
