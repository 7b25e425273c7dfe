"""Media that are bytes in a column of Parquet files, read by row group with few cells in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.spec.errors import DamagedSource
from gristmill.spec.locator import Cell
from gristmill.spec.media_source import ParquetSource
from gristmill.spec.reasons import Reason
from gristmill.spec.step import MediaContext
from gristmill.steps.acquirers import Acquired, Wanted
from gristmill.steps.acquirers._window import Settings, Windowed

__all__ = ["acquirer"]

_ROWS_AT_ONCE = 16
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
                found = self._cells(path, column, of_row)
                while (one := await asyncio.to_thread(next, found, None)) is not None:
                    yield one

    def _cells(self, path: Path, column: str, of_row: Rows) -> Iterator[tuple[int, Acquired]]:
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
                        yield from self._of_group(file, group, start, names, of_row)
                    start = stop
        except (pa.ArrowException, OSError, LookupError) as err:
            raise DamagedSource(
                f"{path}: its column {column!r} cannot be read ({err}). Fetch the file again."
            ) from err

    def _of_group(
        self, file: pq.ParquetFile, group: int, start: int, names: Sequence[str], of_row: Rows
    ) -> Iterator[tuple[int, Acquired]]:
        batches = file.iter_batches(
            _ROWS_AT_ONCE, row_groups=[group], columns=[".".join(names)], use_threads=False
        )
        for batch in batches:
            here = [row for row in range(start, start + batch.num_rows) if row in of_row]
            if here:
                values = batch.column(0)
                for name in names[1:]:
                    values = pc.struct_field(values, name)
                for row in here:
                    acquired = self._acquired(values[row - start].as_py())
                    yield from ((number, acquired) for number in of_row[row])
            start += batch.num_rows

    def _acquired(self, value: Any) -> Acquired:
        if not isinstance(value, bytes):
            said = "it is null" if value is None else f"it holds {type(value).__name__}, not bytes"
            return Acquired(reason=Reason.NO_FILE, detail=said)
        if len(value) > self.most_bytes:
            return Acquired(reason=Reason.TOO_LARGE, detail=f"{len(value):,} bytes")
        return Acquired(body=value) if value else Acquired(reason=Reason.EMPTY)


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
