"""Rows of Parquet files, in tables of bounded bytes whatever the cells hold, and every value as it is.

Arrow decodes so many rows at a time, however long. So row groups are read few rows at a time where these may be long,
columns with dictionaries are decoded only after it is known how much their rows will take, and a row that takes more
than a row may is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.shards.arrow_values import plain_types, row_bytes
from gristmill.spec.errors import SourceError
from gristmill.storage.files import check_regular, machine_error

__all__ = ["ParquetPiece", "parquet_columns", "parquet_pieces", "rows_at_once"]

_PIECE_BYTES = 4 << 20
_BUFFER_BYTES = 1 << 20
_LARGE_GROUP_BYTES = 64 << 20
_FEW_ROWS = 64
"""Rows read at a time of a large row group: what is short on average may be long where they lie."""

Int64s = npt.NDArray[np.int64]


@dataclass(slots=True)
class ParquetPiece:
    """Some rows of a file, in its order.

    Attributes:
        table: Those that are not too long, in types as :func:`gristmill.shards.arrow_values.plain_types` has them.
        rows: Their positions in the file.
        too_long: The others, and the bytes that each would take.
    """

    table: Any
    rows: Int64s
    too_long: list[tuple[int, int]] = field(default_factory=list)


def parquet_columns(path: Path) -> list[str]:
    """The names of a file's columns.

    Raises:
        SourceError: Damaged, or no Parquet.
    """
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def parquet_pieces(
    path: Path, columns: Sequence[str], *, batch_rows: int, max_row_bytes: int
) -> Iterator[ParquetPiece]:
    """The rows of a file.

    Args:
        path: The file.
        columns: Names of its columns, in the order wanted.
        batch_rows: Rows of a piece at most.
        max_row_bytes: A row that takes more is left out.

    Raises:
        SourceError: Damaged; pieces before the fault were given out.
    """
    with _opened(path, _dictionaries(path, columns, batch_rows)) as file:
        waiting: list[ParquetPiece] = []
        rows = size = first = 0
        for batch, seconds in _batches(path, file, list(columns), batch_rows):
            sizes = row_bytes(batch)
            for start, stop in _runs(sizes):
                if rows + stop - start > batch_rows or size >= _PIECE_BYTES:
                    yield from _joined(waiting)
                    waiting, rows, size = [], 0, 0
                waiting.append(_piece(batch, seconds, sizes, slice(start, stop), first, max_row_bytes))
                rows, size = rows + stop - start, size + int(sizes[start:stop].sum())
            first += batch.num_rows
        yield from _joined(waiting)


def rows_at_once(group: pq.RowGroupMetaData, columns: Sequence[str], most: int) -> int:
    """How many rows of a row group may be decoded at a time: few where they are long."""
    chunks = [chunk for chunk in _chunks(group) if _top(chunk, columns) is not None]
    size = sum(int(chunk.total_uncompressed_size) for chunk in chunks)
    rows = min(most, max(1, _PIECE_BYTES * int(group.num_rows) // max(1, size)))
    return min(rows, _FEW_ROWS) if size > _LARGE_GROUP_BYTES else rows


@contextmanager
def _opened(path: Path, dictionaries: Sequence[str] = (), unit: str | None = None) -> Iterator[Any]:
    """A file as Arrow reads it.

    Args:
        path: The file.
        dictionaries: Paths of columns to leave as dictionaries.
        unit: Of times that are stored in twelve bytes; nanoseconds if None.
    """
    try:
        check_regular(path)
        with pq.ParquetFile(
            path,
            pre_buffer=False,
            buffer_size=_BUFFER_BYTES,
            read_dictionary=list(dictionaries),
            coerce_int96_timestamp_unit=unit,
        ) as file:
            yield file
    except OSError as err:
        if err.errno is not None:
            raise machine_error(err, path) from err
        raise SourceError(f"{path}: damaged Parquet ({_first_line(err)}). Fetch it again.") from err
    except pa.ArrowException as err:
        raise SourceError(f"{path}: damaged Parquet ({_first_line(err)}). Fetch it again.") from err


def _first_line(err: BaseException) -> str:
    return str(err).partition("\n")[0][:200]


def _chunks(group: pq.RowGroupMetaData) -> Iterator[pq.ColumnChunkMetaData]:
    return map(group.column, range(group.num_columns))


def _top(chunk: pq.ColumnChunkMetaData, columns: Sequence[str]) -> str | None:
    """Which of some columns a chunk is of, or of a part of which."""
    path = chunk.path_in_schema
    return next((name for name in columns if path == name or path.startswith(f"{name}.")), None)


def _dictionaries(path: Path, columns: Sequence[str], most: int) -> list[str]:
    """Paths of the columns of which a few bytes may be many values at a time."""
    found: dict[str, None] = {}
    with _opened(path) as file:
        for group in map(file.metadata.row_group, range(file.metadata.num_row_groups)):
            alone = rows_at_once(group, columns, most) == 1  # then a dictionary would only be one copy more
            for chunk in _chunks(group):
                single = alone and chunk.num_values <= group.num_rows
                if chunk.physical_type == "BYTE_ARRAY" and chunk.has_dictionary_page and not single:
                    found[chunk.path_in_schema] = None
    return list(found)


def _batches(path: Path, file: Any, columns: list[str], most: int) -> Iterator[tuple[Any, Any]]:
    """Tables of a few rows; beside each the times of these rows that nanoseconds may not hold, in seconds."""
    footer = file.metadata
    groups = [footer.row_group(n) for n in range(footer.num_row_groups)]
    at_once = [rows_at_once(group, columns, most) for group in groups]
    wide = {
        _top(chunk, columns) for group in groups for chunk in _chunks(group) if chunk.physical_type == "INT96"
    }
    times = [name for name in columns if name in wide]
    if not times:
        yield from ((table, None) for table in _tables(file, columns, at_once))
        return
    with _opened(path, unit="s") as in_seconds:
        yield from zip(_tables(file, columns, at_once), _tables(in_seconds, times, at_once), strict=True)


def _tables(file: Any, columns: list[str], at_once: Sequence[int]) -> Iterator[Any]:
    for group, rows in enumerate(at_once):
        for batch in file.iter_batches(rows, row_groups=[group], columns=columns):
            yield pa.Table.from_batches([batch]).select(columns)


def _runs(sizes: Int64s) -> Iterator[tuple[int, int]]:
    """Runs of rows that are decoded together: of bounded bytes, or of one row."""
    ends, start = np.cumsum(sizes), 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PIECE_BYTES, side="right")))
        yield start, stop
        start = stop


def _piece(batch: Any, seconds: Any, sizes: Int64s, span: slice, first: int, most: int) -> ParquetPiece:
    """The rows of a span, decoded, but for one that is too long: it is a span of its own."""
    own = sizes[span]
    rows = np.arange(first + span.start, first + span.stop)
    table = batch.slice(span.start, len(own))
    beside = None if seconds is None else seconds.slice(span.start, len(own))
    if (own > most).any():
        return ParquetPiece(plain_types(table.slice(0, 0)), rows[:0], [(int(rows[0]), int(own[0]))])
    return ParquetPiece(plain_types(table, _by_name(beside)), rows)


def _by_name(table: Any) -> dict[str, Any] | None:
    return None if table is None else dict(zip(table.column_names, table.columns, strict=True))


def _joined(pieces: Sequence[ParquetPiece]) -> Iterator[ParquetPiece]:
    if not pieces:
        return
    table = pa.concat_tables([piece.table for piece in pieces]).combine_chunks()
    rows = np.concatenate([piece.rows for piece in pieces])
    too_long = [one for piece in pieces for one in piece.too_long]
    yield ParquetPiece(table, rows, too_long)
