"""``fates/*.parquet``: one row for each upstream row and medium."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.shards.lossless import utf8
from gristmill.spec.fate import Fate
from gristmill.spec.reasons import Reason

__all__ = ["FATES_SCHEMA", "fates_table", "not_kept_table", "read_fates", "write_fates"]

_TYPES: dict[str, pa.DataType] = {
    "row": pa.int64(),
    "status": pa.int16(),
    "tries": pa.int16(),
    "elapsed_s": pa.float32(),
    "finished_at": pa.float64(),
    "raw_bytes": pa.int64(),
    "size_bytes": pa.int64(),
    "original_width_px": pa.int32(),
    "original_height_px": pa.int32(),
    "width_px": pa.int32(),
    "height_px": pa.int32(),
    "duration_s": pa.float64(),
    "fps": pa.float64(),
    "frames": pa.int64(),
    "start_s": pa.float64(),
    "phash_distance": pa.int16(),
    "attempt": pa.int16(),
}

_GROUP_ROWS = 1 << 18
_FIELDS = tuple(field.name for field in fields(Fate))

FATES_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string()),
        pa.field("file", pa.string()),
        *(pa.field(f.name, _TYPES.get(f.name, pa.string())) for f in fields(Fate)),
    ]
)
"""Columns of a fates file. ``reason`` is null where the medium was kept."""


def fates_table(fates: Iterable[Fate], *, source: str, file: str) -> pa.Table:
    """The fates of one task as a table of :data:`FATES_SCHEMA`.

    Args:
        source: Key of the source.
        file: Name of the upstream file within it.
    """
    rows = list(fates)
    columns: dict[str, Any] = {name: [getattr(fate, name) for fate in rows] for name in _FIELDS}
    columns["reason"] = [None if reason is None else str(reason) for reason in columns["reason"]]
    columns["url"] = [  # a list of URLs may hold what UTF-8 cannot
        url if url is None or url.isascii() else utf8(url).decode() for url in columns["url"]
    ]
    columns["source"], columns["file"] = [source] * len(rows), [file] * len(rows)
    arrays = [pa.array(columns[field.name], field.type) for field in FATES_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=FATES_SCHEMA)


def not_kept_table(rows: pa.Array, reason: Reason, detail: str, *, source: str, file: str) -> pa.Table:
    """Fates of many rows that were never chosen and share one reason: nothing was asked, so nothing else is known.

    Text is dictionary-encoded, at a byte a row, and the columns that are null are not there: :func:`write_fates` puts
    all that into the form of :data:`FATES_SCHEMA`.
    """
    first = pa.repeat(pa.scalar(0, pa.int8()), len(rows))
    constants = {"source": source, "file": file, "reason": str(reason), "detail": detail}
    texts = {name: pa.DictionaryArray.from_arrays(first, [text]) for name, text in constants.items()}
    return pa.table({"row": rows, **texts})


def write_fates(stream: BinaryIO, tables: Sequence[pa.Table]) -> None:
    """Write one fates file of :data:`FATES_SCHEMA`.

    Rows are delta-encoded: positions of rows not chosen take almost no space. All files have all columns: a reader of
    the folder takes those of the first file for those of all.
    """
    dictionary = [name for name in FATES_SCHEMA.names if name != "row"]
    with pq.ParquetWriter(
        stream,
        FATES_SCHEMA,
        compression="zstd",
        use_dictionary=dictionary,
        column_encoding={"row": "DELTA_BINARY_PACKED"},
        store_schema=False,
    ) as writer:
        for table in tables:
            for start in range(0, table.num_rows, _GROUP_ROWS):
                writer.write_table(_whole(table.slice(start, _GROUP_ROWS)))


def _whole(table: pa.Table) -> pa.Table:
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in FATES_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=FATES_SCHEMA)


def read_fates(folder: Path, columns: Sequence[str] | None = None) -> Iterable[pa.RecordBatch]:
    """All fates in a folder, a batch at a time; columns that a file lacks are null."""
    for path in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            have = set(file.schema_arrow.names)
            wanted = [n for n in (columns or FATES_SCHEMA.names) if n in have]
            yield from file.iter_batches(columns=wanted)
