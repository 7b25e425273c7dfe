"""Footers of Parquet files, read without the files, and where the bytes of some columns lie.

Format: https://parquet.apache.org/docs/file-format/ : the metadata, their length in four bytes, ``PAR1``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.spec.errors import SourceError, UsageError

__all__ = ["FOOTER_BYTES", "column_ranges", "read_footer"]

FOOTER_BYTES = 64 << 10
"""What is read of a file's end, in the hope that the footer is no longer."""

_MAGIC = b"PAR1"
_END_BYTES = 8
_MOST_BYTES = 256 << 20
_SPARE_BYTES = 128  # some writers leave a page's header out of a chunk's size (PARQUET-816)


def read_footer(name: str, size_bytes: int, read: Callable[[int, int], bytes]) -> pq.FileMetaData:
    """A file's metadata, by one read of its end, or two where they are longer than usual.

    Args:
        name: For messages.
        size_bytes: Of the file.
        read: Bytes from a start to a stop.

    Raises:
        SourceError: Not Parquet.
    """
    start = max(0, size_bytes - FOOTER_BYTES)
    tail = read(start, size_bytes)
    if len(tail) < _END_BYTES + len(_MAGIC) or tail[-4:] != _MAGIC:
        raise SourceError(f"{name} is not a Parquet file: it does not end in PAR1.")
    length = int.from_bytes(tail[-8:-4], "little") + _END_BYTES
    if length > min(size_bytes, _MOST_BYTES):
        raise SourceError(f"{name} is not a readable Parquet file: a footer of {length:,} bytes cannot be.")
    if length > len(tail):
        tail = read(size_bytes - length, start) + tail
    try:
        return pq.read_metadata(pa.BufferReader(_MAGIC + tail[-length:]))
    except (pa.ArrowInvalid, OSError) as err:
        raise SourceError(f"{name} is not a readable Parquet file: {err}") from err


def column_ranges(
    name: str, footer: pq.FileMetaData, groups: Sequence[int], columns: Sequence[str]
) -> list[tuple[int, int]]:
    """Start and stop of the bytes of some columns in some row groups.

    Raises:
        UsageError: A column is missing.
    """
    if not groups:
        return []
    # not by ``footer.schema``: the two would hold one another until the garbage collector comes, megabytes of them
    first = footer.row_group(groups[0])
    have = {first.column(i).path_in_schema: i for i in range(footer.num_columns)}
    missing = [column for column in columns if column not in have]
    if missing:
        raise UsageError(
            f"{name} has no column {', '.join(missing)}; it has {', '.join(have)}. Is it a file of this dataset?"
        )
    ranges = []
    for group in groups:
        for column in columns:
            chunk = footer.row_group(group).column(have[column])
            places = [chunk.data_page_offset]
            if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
                places.append(chunk.dictionary_page_offset)
            ranges.append((min(places), min(places) + chunk.total_compressed_size + _SPARE_BYTES))
    return ranges
