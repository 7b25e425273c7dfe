"""A few rows out of a row group of a Parquet file whose columns are texts, without building the texts of all."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import FileIO
from itertools import repeat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.shards.parquet_pages import COMPRESSIONS, LENGTH, LENGTH_BYTES, OddPage, PageBuffers, pages

__all__ = ["SingleTexts"]

_BATCH_ROWS = 2048
_PIECE_ROWS = 2048
_PIECE_BYTES = 8 << 20
_BINARY = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
"""Types of columns that can be read so, and the types of the same bytes before they are known to be text."""


class SingleTexts:
    """Columns of texts in one file, of which single rows are wanted.

    Args:
        path: The file; what is read of it may be all that it holds.
        reader: The same file as Arrow reads it, for what is not understood here.
        columns: Their names, which are there.
    """

    def __init__(self, path: Path, reader: pq.ParquetFile, columns: Sequence[str]) -> None:
        self._reader, self._path, self._columns = reader, path, tuple(columns)
        whole = reader.schema_arrow  # not ``schema``, which would keep the footer, see footers.py
        fields = [whole.field(name) for name in columns if whole.names.count(name) == 1]
        self._schema = pa.schema(fields, metadata=whole.metadata)

    def can(self, group: int) -> bool:
        """Whether the columns of a row group are of a kind that is understood here."""
        if len(self._schema) < len(self._columns) or not all(kind in _BINARY for kind in self._schema.types):
            return False
        return all(
            chunk.compression in COMPRESSIONS
            and chunk.physical_type == "BYTE_ARRAY"
            and chunk.statistics is not None
            and chunk.statistics.null_count == 0
            for chunk in self._chunks(group)
        )

    def _chunks(self, group: int) -> list[pq.ColumnChunkMetaData]:
        meta = self._reader.metadata.row_group(group)
        found = {(chunk := meta.column(i)).path_in_schema: chunk for i in range(meta.num_columns)}
        return [found[name] for name in self._columns]

    def rows(self, group: int, wanted: Sequence[int]) -> Iterator[pa.Table]:
        """Rows of a row group, some at a time.

        Args:
            group: Its number.
            wanted: Rows within it, rising; one may be named more than once.

        Raises:
            ArrowInvalid, OSError: As Arrow finds the file damaged.
        """
        with FileIO(self._path) as stream:
            columns = [
                self._texts(stream, group, field, chunk, wanted)
                for field, chunk in zip(self._schema, self._chunks(group), strict=True)
            ]
            rows: list[tuple[bytes | None, ...]] = []
            size = 0
            for row in zip(*columns, strict=True):
                rows.append(row)
                size += sum(len(text or b"") for text in row)
                if len(rows) == _PIECE_ROWS or size >= _PIECE_BYTES:
                    yield self._table(rows)
                    rows, size = [], 0
            if rows:
                yield self._table(rows)

    def _table(self, rows: Sequence[tuple[bytes | None, ...]]) -> pa.Table:
        types = self._schema.types
        arrays = [
            pa.array(texts, _BINARY[kind]).view(kind)
            for texts, kind in zip(zip(*rows, strict=True), types, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _texts(
        self,
        stream: FileIO,
        group: int,
        field: pa.Field,
        chunk: pq.ColumnChunkMetaData,
        wanted: Sequence[int],
    ) -> Iterator[bytes | None]:
        """The wanted values of a column, of which Arrow gives those that are not found here."""
        arrow = enumerate(self._by_arrow(group, field.name, wanted))
        done = 0
        with suppress(OddPage):
            for text in _by_pages(stream, chunk, field.nullable, wanted):
                yield _at(arrow, done) if text is None else text
                done += 1
        for place in range(done, len(wanted)):
            yield _at(arrow, place)

    def _by_arrow(self, group: int, name: str, wanted: Sequence[int]) -> Iterator[bytes | None]:
        """The wanted values, or fewer if the file has fewer."""
        done = at = 0
        for batch in self._reader.iter_batches(
            _BATCH_ROWS, row_groups=[group], columns=[name], use_threads=False
        ):
            stop = bisect_left(wanted, at + batch.num_rows, done)
            if stop > done:
                values = batch.column(0).view(_BINARY[batch.column(0).type])
                yield from (values[row - at].as_py() for row in wanted[done:stop])
            done, at = stop, at + batch.num_rows
            if done == len(wanted):
                return


def _by_pages(
    stream: FileIO, chunk: pq.ColumnChunkMetaData, has_levels: bool, wanted: Sequence[int]
) -> Iterator[bytes | None]:
    """The wanted values of a column chunk, None for those on pages of another kind.

    Raises:
        OddPage: Nothing further can be found here.
    """
    buffers = PageBuffers()
    done = at = 0
    for page in pages(stream, chunk):
        stop = bisect_left(wanted, at + page.values, done)
        if stop > done and page.is_plain:
            body, start = buffers.values_of(stream, page, chunk.compression, has_levels)
            yield from _texts_at(body, start, [row - at for row in wanted[done:stop]])
        else:
            yield from repeat(None, stop - done)
        done, at = stop, at + page.values
        if done == len(wanted):
            return
    raise OddPage


def _at(values: Iterator[tuple[int, bytes | None]], place: int) -> bytes | None:
    for i, value in values:
        if i == place:
            return value
    raise pa.ArrowInvalid("it holds fewer rows than its footer says")


def _texts_at(body: bytes | memoryview, place: int, wanted: Sequence[int]) -> Iterator[bytes]:
    """Some of the texts of a plain page.

    Args:
        body: The page.
        place: Where the first text's length stands.
        wanted: Which texts, rising.

    Raises:
        OddPage: One would reach beyond the page.
    """
    length_at, at = LENGTH.unpack_from, 0
    try:
        for number in wanted:
            for _ in repeat(None, number - at):  # the one loop over all rows: what stands in it counts
                (size,) = length_at(body, place)
                place += size + LENGTH_BYTES
            at = number
            (size,) = length_at(body, place)
            text = bytes(body[place + LENGTH_BYTES : place + LENGTH_BYTES + size])
            if len(text) < size:
                raise OddPage
            yield text
    except struct.error as err:  # no length fits in
        raise OddPage from err
