"""Pages of a Parquet column chunk, one after another, as far as single texts can be taken out of them.

Arrow builds the texts of all rows of what it reads. Where a few rows in a thousand are wanted, it is less work to
decompress the pages and follow the lengths that stand in front of the texts. Only the commonest kind of page is
understood here: others are marked, and whoever asks has Arrow read them, as well as anything that looks odd: what is
damaged is Arrow's to say.

Formats: https://github.com/apache/parquet-format (``parquet.thrift``, ``Encodings.md``); page headers are in Thrift's
compact protocol, https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md .
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from typing import Any

import cramjam
import pyarrow.parquet as pq
import zstandard

__all__ = ["COMPRESSIONS", "LENGTH", "LENGTH_BYTES", "OddPage", "Page", "PageBuffers", "pages"]

COMPRESSIONS = frozenset({"SNAPPY", "UNCOMPRESSED", "ZSTD"})
"""What is understood, by Arrow's names."""

LENGTH = struct.Struct("<I")
"""What stands in front of a text, and of the levels: its size in bytes."""
LENGTH_BYTES = 4

_HEADER_BYTES = 4 << 10
_MOST_HEADER_BYTES = 1 << 20  # it may hold a page's least and greatest text
_DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2 = range(4)
_ABOUT = {_DATA_PAGE: 5, _DATA_PAGE_V2: 8}
"""The header's field that says more about such a page."""
_PLAIN, _RLE = 0, 3
_DEEPEST = 8

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY = range(1, 9)
_STRUCT = 12
"""Thrift's types. Lists, sets and maps are left out: no page header has any."""

Fields = dict[int, Any]


class OddPage(Exception):
    """A page, or what should be one, is not as most are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page with values in it; sizes in bytes.

    Attributes:
        start: Where in the file it is, behind its header.
        size: As it lies there.
        full_size: Decompressed.
        values: Rows, as columns go whose values are no lists.
        is_plain: Texts, each with its length in front, and not, say, numbers of entries in a dictionary.
    """

    start: int
    size: int
    full_size: int
    values: int
    is_plain: bool


def pages(stream: FileIO, chunk: pq.ColumnChunkMetaData) -> Iterator[Page]:
    """The pages of a column chunk that hold values, by their headers alone.

    Args:
        stream: The file.
        chunk: Of a column whose values are no lists.

    Raises:
        OddPage: What should be a header is none.
    """
    at = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        at = min(at, chunk.dictionary_page_offset)
    end, left = at + chunk.total_compressed_size, chunk.num_values
    while left > 0:
        header, at = _header(stream, at)
        page = _page(header, at)
        at += page.size
        if at > end or not page.size > 0 or not 0 <= page.full_size <= chunk.total_uncompressed_size:
            raise OddPage
        if page.values:
            left -= page.values
            yield page


def _page(header: Fields, start: int) -> Page:
    try:
        about = header[_ABOUT[header[1]]] if header[1] in _ABOUT else {1: 0}
        is_plain = header[1] == _DATA_PAGE and about[2] == _PLAIN and about[3] == _RLE
        return Page(start=start, size=header[3], full_size=header[2], values=about[1], is_plain=is_plain)
    except (KeyError, TypeError) as err:
        raise OddPage from err


class PageBuffers:
    """Reads pages of one column, one at a time, into the same memory: new memory the system would have to clear."""

    def __init__(self) -> None:
        self._packed, self._full = bytearray(), bytearray()
        self._zstd = zstandard.ZstdDecompressor()

    def values_of(
        self, stream: FileIO, page: Page, compression: str, has_levels: bool
    ) -> tuple[bytes | memoryview, int]:
        """A plain page, decompressed, and where its first value's length stands; good until the next one is read.

        Args:
            stream: The file.
            page: One of its pages.
            compression: One of :data:`COMPRESSIONS`.
            has_levels: Values may be absent: levels in front of them say which are there.

        Raises:
            OddPage: It is damaged, or values are absent.
        """
        self._packed, packed = _room(self._packed, page.size)
        stream.seek(page.start)
        if stream.readinto(packed) != page.size:
            raise OddPage
        try:
            full = self._decompressed(packed, page.full_size, compression)
            if len(full) != page.full_size:
                raise OddPage
            if not has_levels:
                return full, 0
            start = LENGTH_BYTES + LENGTH.unpack_from(full)[0]
            if not _all_there(bytes(full[LENGTH_BYTES:start]), page.values):
                raise OddPage
        except (zstandard.ZstdError, cramjam.DecompressionError, struct.error, IndexError) as err:
            raise OddPage from err
        return full, start

    def _decompressed(self, packed: memoryview, size: int, compression: str) -> bytes | memoryview:
        """What was packed; of another size, or an error, where it is not what it should be."""
        if compression == "ZSTD":
            self._full, full = _room(self._full, size)
            with self._zstd.stream_reader(packed) as unpacked:
                return full[: unpacked.readinto(full)]
        if compression == "UNCOMPRESSED":
            return packed
        # Arrow's wheels have Snappy without the processor's newer instructions: nearly twice the time
        self._full, full = _room(self._full, size)
        done: int = cramjam.snappy.decompress_raw_into(packed, full)
        return full[:done]


def _room(buffer: bytearray, size: int) -> tuple[bytearray, memoryview]:
    """That buffer, or a new one if it is too small, and so much of it."""
    if len(buffer) < size:
        buffer = bytearray(1 << (size - 1).bit_length())
    return buffer, memoryview(buffer)[:size]


def _all_there(levels: bytes, values: int) -> bool:
    """Whether definition levels (hybrid of run lengths and groups of eight bits) say 1 of every value."""
    at = seen = 0
    while seen < values:
        head, at = _varint(levels, at)
        size = 1 if not head & 1 else head >> 1  # bytes of this run: one value, or a bit for each
        count = min(head >> 1 if not head & 1 else 8 * size, values - seen)
        ones = 1 if not head & 1 else (1 << count) - 1
        run = int.from_bytes(levels[at : at + size], "little")
        if not count or run & ones != ones:
            return False
        at, seen = at + size, seen + count
    return True


def _header(stream: FileIO, at: int) -> tuple[Fields, int]:
    """The fields of the page header at an offset of the file, and where it ends."""
    size = _HEADER_BYTES
    while True:
        stream.seek(at)
        head = stream.read(size)
        try:
            fields, length = _fields(head, 0, _DEEPEST)
        except IndexError as err:  # longer than what was read
            if len(head) < size or size >= _MOST_HEADER_BYTES:
                raise OddPage from err
            size *= 16
        else:
            return fields, at + length


def _fields(body: bytes, at: int, depth: int) -> tuple[Fields, int]:
    """A Thrift struct: whole numbers and structs by field number, other values left out; and where it ends."""
    if not depth:
        raise OddPage
    fields: Fields = {}
    number = 0
    while head := body[at]:
        at += 1
        kind = head & 0x0F
        if head >> 4:
            number += head >> 4
        else:
            number, at = _integer(body, at)
        if kind in (_I16, _I32, _I64):
            fields[number], at = _integer(body, at)
        elif kind == _BINARY:
            size, at = _varint(body, at)
            at += size
        elif kind == _STRUCT:
            fields[number], at = _fields(body, at, depth - 1)
        elif kind in (_BYTE, _DOUBLE):
            at += 1 if kind == _BYTE else 8
        elif kind not in (_TRUE, _FALSE):  # these have no body
            raise OddPage
    return fields, at + 1


def _integer(body: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(body, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A whole number in groups of seven bits, the lowest first; and where it ends."""
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise OddPage
