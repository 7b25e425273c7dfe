"""Rows of Parquet files, in tables of bounded bytes whatever the cells hold, and every value as it is.

Arrow decodes so many rows at a time, however long. So row groups are read few rows at a time where these may be long,
columns with dictionaries are decoded only after it is known how much their rows will take, and a row that takes more
than a row may is left out.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.shards.arrow_values import plain_types, row_bytes
from gristmill.spec.errors import SourceError, UsageError
from gristmill.storage.files import check_regular, machine_error

__all__ = ["ParquetPiece", "chosen_rows", "parquet_columns", "parquet_pieces"]

_PIECE_BYTES = 4 << 20
_BUFFER_BYTES = 1 << 20
_LARGE_GROUP_BYTES = 64 << 20
_FEW_ROWS = 64
"""Rows of a large row group are read fewer at a time, down to these: what is short on average may be long there."""
_DECODED_BYTES = 128 << 20
"""Of rows that are read at a time, if all had the longest value of a dictionary: with less they need no care."""

_MOST_BYTES, _MOST_TIMES = 1 << 30, 1000
"""Rows that take more than both, the second times the file's size, are one text over and over: nobody means that."""

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
    path: Path, columns: Sequence[str], *, batch_rows: int, max_row_bytes: int, without: Sequence[str] = ()
) -> Iterator[ParquetPiece]:
    """The rows of a file.

    Args:
        path: The file.
        columns: Names of its columns, in the order wanted.
        batch_rows: Rows of a piece at most.
        max_row_bytes: A row that takes more is left out.
        without: Fields of columns, as ``image.bytes``, that are not even read; the column's others are.

    Raises:
        SourceError: Damaged; pieces before the fault were given out.
        UsageError: Its rows take far more bytes than can be meant; as before.
    """
    most = max(_MOST_BYTES, _MOST_TIMES * path.stat().st_size)
    with _opened(path, _dictionaries(path, columns, batch_rows)) as file:
        waiting: list[ParquetPiece] = []
        rows = size = first = total = 0
        groups = range(file.num_row_groups)
        for batch, seconds in _batches(path, file, list(columns), batch_rows, groups, without=without):
            sizes = row_bytes(batch)
            total += int(sizes.sum())
            if total > most:
                raise UsageError(_swells(path, batch, footer=file.metadata))
            for start, stop in _runs(sizes):
                if rows + stop - start > batch_rows or size >= _PIECE_BYTES:
                    yield from _joined(waiting)
                    waiting, rows, size = [], 0, 0
                waiting.append(_piece(batch, seconds, sizes, slice(start, stop), first, max_row_bytes))
                rows, size = rows + stop - start, size + int(sizes[start:stop].sum())
            first += batch.num_rows
        yield from _joined(waiting)


def _swells(path: Path, batch: Any, footer: pq.FileMetaData) -> str:
    sizes = {name: int(row_bytes(batch.select([name])).sum()) for name in batch.column_names}
    largest = max(sizes, key=lambda name: sizes[name])
    return (
        f"{path}: {path.stat().st_size:,} bytes hold {footer.num_rows:,} rows that would take more than "
        f"{_MOST_BYTES / 2**30:g} GiB, {sizes[largest] // batch.num_rows:,} bytes of each in the column "
        f"{largest!r}, which repeats itself. "
        f"Leave it out with --drop-column {shlex.quote(largest)}, or write the file anew without it."
    )


def chosen_rows(
    path: Path,
    footer: pq.FileMetaData,
    group: int,
    wanted: Int64s,
    columns: Sequence[str],
    *,
    batch_rows: int,
    max_row_bytes: int,
) -> Iterator[ParquetPiece]:
    """Some rows of one row group, in pieces of bounded bytes; of the group as little is read as Arrow can.

    Args:
        path: The file; only what lies in these columns of the group need be there.
        footer: Its footer.
        group: The row group's number.
        wanted: Positions within the group, rising; one may stand there several times.
        columns: Names of the columns, in the order wanted.
        batch_rows: Rows that are decoded at a time, at most.
        max_row_bytes: A row that takes more is left out.

    Raises:
        pa.ArrowException, OSError: Damaged, as Arrow says; pieces before the fault were given out.
    """
    if not len(wanted):
        return
    dictionaries = _long_dictionaries(path, footer, group, columns, batch_rows)
    first = 0
    with _open(path, dictionaries, footer=footer) as file:
        for batch, seconds in _batches(path, file, list(columns), batch_rows, [group], threads=False):
            here = wanted[slice(*np.searchsorted(wanted, [first, first + batch.num_rows]))]
            if len(here):
                sizes = row_bytes(batch)
                for start, stop in _runs(sizes):
                    some = here[slice(*np.searchsorted(here, [first + start, first + stop]))]
                    if len(some):
                        piece = _piece(batch, seconds, sizes, slice(start, stop), first, max_row_bytes)
                        yield _only(piece, some)
            first += batch.num_rows
            if first > wanted[-1]:
                break


def _only(piece: ParquetPiece, wanted: Int64s) -> ParquetPiece:
    if piece.too_long:
        return ParquetPiece(piece.table, piece.rows, piece.too_long * len(wanted))
    return ParquetPiece(piece.table.take(pa.array(wanted - piece.rows[0])), wanted)


def rows_at_once(group: pq.RowGroupMetaData, columns: Sequence[str], most: int) -> int:
    """Say how many rows of a row group may be decoded at a time: few where they are long."""
    chunks = [chunk for chunk in _chunks(group) if _top(chunk, columns) is not None]
    size = sum(int(chunk.total_uncompressed_size) for chunk in chunks)
    rows = min(most, max(1, _PIECE_BYTES * int(group.num_rows) // max(1, size)))
    if size > _LARGE_GROUP_BYTES:
        rows = max(min(rows, _FEW_ROWS), rows * _LARGE_GROUP_BYTES // size)
    return rows


def _open(
    path: Path,
    dictionaries: Sequence[str] = (),
    unit: str | None = None,
    footer: pq.FileMetaData | None = None,
) -> pq.ParquetFile:
    """A file as Arrow reads it.

    Args:
        path: The file.
        dictionaries: Paths of columns to leave as dictionaries.
        unit: Of times that are stored in twelve bytes; nanoseconds if None.
        footer: Its footer, if it is known.
    """
    return pq.ParquetFile(
        path,
        metadata=footer,
        pre_buffer=False,
        buffer_size=_BUFFER_BYTES,
        read_dictionary=list(dictionaries),
        coerce_int96_timestamp_unit=unit,
    )


@contextmanager
def _opened(path: Path, dictionaries: Sequence[str] = ()) -> Iterator[Any]:
    """A file as :func:`_open` opens it; what Arrow says of it becomes a sentence."""
    try:
        check_regular(path)
        with _open(path, dictionaries) as file:
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
    return next((name for name in columns if _is_of(chunk.path_in_schema, name)), None)


def _is_of(path: str, column: str) -> bool:
    return path == column or path.startswith(f"{column}.")


def _dictionaries(path: Path, columns: Sequence[str], most: int) -> list[str]:
    """Paths of the columns of which a few bytes may be many values at a time."""
    with _opened(path) as file:
        groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
        return list(dict.fromkeys(found for group in groups for found in _of_group(group, columns, most)))


def _of_group(group: pq.RowGroupMetaData, columns: Sequence[str], most: int) -> Iterator[str]:
    alone = rows_at_once(group, columns, most) == 1  # then a dictionary would only be one copy more
    for chunk in _chunks(group):
        single = alone and chunk.num_values <= group.num_rows
        if chunk.physical_type == "BYTE_ARRAY" and chunk.has_dictionary_page and not single:
            yield chunk.path_in_schema


def _long_dictionaries(
    path: Path, footer: pq.FileMetaData, group: int, columns: Sequence[str], most: int
) -> list[str]:
    """As :func:`_dictionaries` of one row group, without those of short values: they are decoded faster as texts."""
    head = footer.row_group(group)
    found = [name for name in _of_group(head, columns, most) if any(_is_of(name, top) for top in columns)]
    flat = [name for name in found if name in columns]
    if not flat:
        return found
    longest = _DECODED_BYTES // rows_at_once(head, columns, most)
    with _open(path, flat, footer=footer) as file:
        first = next(file.iter_batches(1, row_groups=[group], columns=flat), None)
    short = [
        name
        for name in flat
        if first is not None
        and pa.types.is_dictionary(first.schema.field(name).type)
        and int(row_bytes(pa.table({name: first.column(name).dictionary})).max(initial=0)) <= longest
    ]
    return [name for name in found if name not in short]


def _batches(
    path: Path,
    file: Any,
    columns: list[str],
    most: int,
    groups: Sequence[int],
    *,
    threads: bool = True,
    without: Sequence[str] = (),
) -> Iterator[tuple[Any, Any]]:
    """Tables of a few rows; beside each the times of these rows that nanoseconds may not hold, in seconds."""
    footer = file.metadata
    at_once = {number: rows_at_once(footer.row_group(number), columns, most) for number in groups}
    wide = {
        _top(chunk, columns)
        for number in groups
        for chunk in _chunks(footer.row_group(number))
        if chunk.physical_type == "INT96"
    }
    times = [name for name in columns if name in wide]
    if not times:
        yield from ((table, None) for table in _tables(file, columns, at_once, threads, without))
        return
    with _open(path, unit="s", footer=footer) as in_seconds:
        yield from zip(
            _tables(file, columns, at_once, threads, without),
            _tables(in_seconds, times, at_once, threads),
            strict=True,
        )


def _tables(
    file: Any, columns: list[str], at_once: Mapping[int, int], threads: bool, without: Sequence[str] = ()
) -> Iterator[Any]:
    read = _but(file.metadata.schema, columns, without) if without else columns
    for group, rows in at_once.items():
        for batch in file.iter_batches(rows, row_groups=[group], columns=read, use_threads=threads):
            yield pa.Table.from_batches([batch]).select(columns)


def _but(schema: Any, columns: Sequence[str], without: Sequence[str]) -> list[str]:
    """The columns, but of those that have fields in ``without`` their other fields, if there are others."""
    paths = [schema.column(n).path for n in range(len(schema))]
    read: list[str] = []
    for column in columns:
        fields = [path for path in paths if _is_of(path, column)]
        others = [path for path in fields if not any(_is_of(path, left_out) for left_out in without)]
        read += others if others and len(others) < len(fields) else [column]
    return read


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
