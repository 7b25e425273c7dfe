"""Rows from here and there in an annotation file, as a small file of the same form.

Of Parquet some row groups, evenly over the file: of a large one, and of one that lies elsewhere, its first rows,
which cost a few ranges. Of text without compression on this machine lines from evenly spaced places. Of everything
else the beginning: of a file elsewhere so many bytes as hold the rows.
"""

from __future__ import annotations

import io
import random
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.ledger.run_config import InputFile
from gristmill.ledger.words import count_text
from gristmill.run.inputs.bucket import as_stored
from gristmill.shards.framing import Framing
from gristmill.spec.errors import SourceError, UsageError
from gristmill.storage.bucket import HERE, is_stored, read_stored
from gristmill.storage.hub import read_range
from gristmill.storage.url import is_url

__all__ = ["Excerpt", "FarBytes", "drawn", "evenly", "excerpt_of", "shares_of"]

_FAR_GROUPS, _NEAR_GROUPS = 2, 8
_WHOLE_GROUP_BYTES = 64 << 20
_BATCH_ROWS = 512
_BUFFER_BYTES = 256 << 10
_HEAD_BYTES = (1 << 20, 8 << 20)
_PLACES = 64
_LINE_BYTES = 1 << 20
_LINED = frozenset({"txt", "csv", "tsv", "jsonl"})
_ZIP_HEAD = 30
_DEFLATED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """A small file in the place of a large one.

    Attributes:
        path: Of it.
        how: From where its rows are, in words.
        even: They come from all over the file.
        only: Rows of it that are to be read; None where all are.
        whole: It ends where a row ends.
    """

    path: Path
    how: str
    even: bool
    only: int | None = None
    whole: bool = True


class FarBytes:
    """Reads one annotation file of the hub, or of an object store, by ranges, and counts what that moves.

    Args:
        file: Which.
        place: ``REPO@REVISION``, or the address that :class:`gristmill.storage.bucket.StoredInput` has.
    """

    def __init__(self, file: InputFile, place: str) -> None:
        self.size_bytes = file.size_bytes
        self.moved_bytes = 0
        self._file, self._place = file, place
        self._start, self._block = 0, b""

    def read(self, start: int, stop: int) -> bytes:
        """Bytes from ``start`` to ``stop``; small reads are served by larger ones.

        Raises:
            AccessError, SourceError: The hub refused.
        """
        stop = min(stop, self.size_bytes)
        if not (self._start <= start and stop <= self._start + len(self._block)):
            end = min(self.size_bytes, max(stop, start + _BUFFER_BYTES))
            self._start = max(0, min(start, end - _BUFFER_BYTES))
            if is_stored(self._place):
                self._block = read_stored(as_stored(self._file, self._place), self._start, end, HERE)
            else:
                repo, _, revision = self._place.partition("@")
                self._block = read_range(repo, revision, self._file.name, self.size_bytes, self._start, end)
            self.moved_bytes += len(self._block)
        return self._block[start - self._start : stop - self._start]


class _Stream(io.RawIOBase):
    """A far file as Arrow reads it."""

    def __init__(self, reader: FarBytes) -> None:
        super().__init__()
        self._reader, self._at = reader, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._reader.size_bytes)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._reader.size_bytes if size < 0 else self._at + size
        body = self._reader.read(self._at, stop) if stop > self._at else b""
        self._at += len(body)
        return body


def evenly(count: int, wanted: int) -> list[int]:
    """So many of the numbers below ``count``, rising, as far apart as may be; all, where there are no more."""
    wanted = min(count, wanted)
    return [(2 * n + 1) * count // (2 * wanted) for n in range(wanted)]


def drawn(count: int, wanted: int) -> list[int]:
    """One of each of so many equal stretches of the numbers below ``count``, by chance, but always the same.

    Every hundredth row would meet nothing else where every hundredth is of one kind.
    """
    wanted, chance = min(count, wanted), random.Random(count)
    edges = [n * count // wanted for n in range(wanted + 1)] if wanted else [0]
    return [chance.randrange(start, stop) for start, stop in pairwise(edges)]


def shares_of(files: Sequence[InputFile], rows: int, most_files: int) -> list[tuple[InputFile, int]]:
    """Some annotation files, in their order, and how many rows of each: all bytes have the same chance.

    Args:
        files: All of them.
        rows: In all.
        most_files: So many files at most.
    """
    ends = list(accumulate(max(1, file.size_bytes) for file in files))
    draws = evenly(ends[-1], min(rows, most_files)) if files else []
    counts = Counter(bisect_right(ends, place) for place in draws)
    shares, done = [], 0
    for n, count in sorted(counts.items()):
        first, done = done, done + count
        shares.append((files[n], done * rows // len(draws) - first * rows // len(draws)))
    return shares


def excerpt_of(file: InputFile, place: str, framing: Framing, rows: int, folder: Path) -> tuple[Excerpt, int]:
    """Take about so many rows out of an annotation file, and say how many bytes were moved for them.

    Args:
        file: On this machine, on the hub, or in an object store.
        place: See :class:`FarBytes`; empty for a file on this machine.
        framing: What is said of the file.
        rows: How many.
        folder: For the small file.

    Raises:
        AccessError, SourceError: It cannot be read.
        UsageError: It lies where no part of it can be asked for.
    """
    if is_url(place):
        raise UsageError(
            f"{file.name} lies at {place}, where it can only be fetched whole. Fetch it, and give it with --source "
            f"{file.source}=FILE."
        )
    reader = FarBytes(file, place) if place else None
    named = Path(file.path or file.name)
    out = folder / named.name
    if framing.format_of(named) == "parquet":
        excerpt = _parquet(file, reader, rows, out)
    elif reader is not None:
        excerpt = _far_beginning(reader, named, rows, folder, framing)
    else:
        excerpt = _lines(named, framing, rows, out) or Excerpt(
            path=named, how="the first rows", even=False, only=rows
        )
    return excerpt, reader.moved_bytes if reader else 0


def _parquet(file: InputFile, reader: FarBytes | None, rows: int, out: Path) -> Excerpt:
    source = _Stream(reader) if reader else Path(file.path or file.name)
    try:
        with pq.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False) as table:
            footer = table.metadata
            sizes = [footer.row_group(n).num_rows for n in range(footer.num_row_groups)]
            filled = [n for n, size in enumerate(sizes) if size]
            places = evenly(len(filled), min(rows, _NEAR_GROUPS if reader is None else _FAR_GROUPS))
            groups = [filled[place] for place in places]
            spread = reader is None and all(
                footer.row_group(n).total_byte_size <= _WHOLE_GROUP_BYTES for n in groups
            )
            with pq.ParquetWriter(out, table.schema_arrow) as writer:
                for n, group in enumerate(groups):
                    share = (n + 1) * rows // len(groups) - n * rows // len(groups)
                    wanted = drawn(sizes[group], share) if spread else list(range(min(share, sizes[group])))
                    for some in _rows_at(table, group, wanted):
                        writer.write_batch(some)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as err:
        if isinstance(err, OSError) and err.errno is not None:  # the machine's word, not Arrow's
            raise
        raise SourceError(f"{file.name} is not a readable Parquet file: {err}") from err
    how = (
        f"{'rows' if spread else 'the first rows'} of {len(groups)} of {count_text(len(sizes), 'row group')}"
    )
    return Excerpt(path=out, how=how, even=spread)


def _rows_at(table: pq.ParquetFile, group: int, wanted: list[int]) -> Iterator[pa.RecordBatch]:
    """Rows of a row group by their places in it, which rise."""
    first, at = 0, 0
    if not wanted:
        return
    for batch in table.iter_batches(_BATCH_ROWS, [group], use_threads=False):
        end = at
        while end < len(wanted) and wanted[end] < first + batch.num_rows:
            end += 1
        if end > at:
            yield batch.take(pa.array([row - first for row in wanted[at:end]], pa.int64()))
        first, at = first + batch.num_rows, end
        if at == len(wanted):
            return


def _lines(path: Path, framing: Framing, rows: int, out: Path) -> Excerpt | None:
    """Lines from all over a file; None where a line may be no row."""
    utf8 = (framing.encoding or "utf-8").lower().replace("_", "-") in {
        "utf-8",
        "utf8",
        "ascii",
        "cp1252",
        "latin-1",
    }
    if path.suffix.lower() in {".gz", ".zip"} or framing.format_of(path) not in _LINED or not utf8:
        return None
    delimited = framing.format_of(path) in {"csv", "tsv"}
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.readline(_LINE_BYTES) if delimited and framing.header is not False else b""
        start = stream.tell()
        if size - start <= _HEAD_BYTES[0]:
            every = stream.readlines()
            taken = [every[place] for place in drawn(len(every), rows)]
        else:
            taken = []
            places = min(rows, _PLACES)
            for n in range(places):
                stream.seek(start + (2 * n + 1) * (size - start) // (2 * places))
                stream.readline(_LINE_BYTES)  # the rest of one
                count = (n + 1) * rows // places - n * rows // places
                taken += [line for _ in range(count) if (line := stream.readline(_LINE_BYTES))]
    if delimited and framing.quoting != "none" and any(b'"' in line for line in taken):
        return None  # a field in quotes may hold a line's end
    if any(len(line) == _LINE_BYTES for line in taken):
        return None
    out.write_bytes(head + b"".join(line if line.endswith(b"\n") else line + b"\n" for line in taken))
    return Excerpt(path=out, how="lines from evenly spaced places", even=True)


def _far_beginning(reader: FarBytes, named: Path, rows: int, folder: Path, framing: Framing) -> Excerpt:
    """So much of a far file as probably holds the rows, without its compression."""
    unpack = _UNPACKERS.get(named.suffix.lower())
    out = folder / (named.stem if unpack else named.name)
    lined = framing.format_of(named) in _LINED
    text, whole = b"", False
    for size in _HEAD_BYTES:
        packed = reader.read(0, size)
        whole = len(packed) == reader.size_bytes
        text = unpack(packed) if unpack else packed
        if whole or text.count(b"\n") > rows:
            break
    if not whole and lined:
        text = text[: text.rfind(b"\n") + 1]
    out.write_bytes(text)
    return Excerpt(path=out, how="the first rows", even=False, only=rows, whole=whole)


def _gunzipped(packed: bytes) -> bytes:
    """What the beginning of a gzip file holds (RFC 1952), member after member."""
    return b"".join(_inflated(packed, 16 + zlib.MAX_WBITS))


def _inflated(packed: bytes, wbits: int) -> Iterator[bytes]:
    while packed:
        inflater = zlib.decompressobj(wbits)
        try:
            yield inflater.decompress(packed, 8 * _HEAD_BYTES[-1])
        except zlib.error:
            return
        packed = inflater.unused_data if wbits > 0 else b""


def _unzipped(packed: bytes) -> bytes:
    """What the beginning of a zip's first file holds (APPNOTE.TXT 4.3.7: local file header)."""
    method, names = int.from_bytes(packed[8:10], "little"), packed[26:30]
    start = _ZIP_HEAD + int.from_bytes(names[:2], "little") + int.from_bytes(names[2:], "little")
    if packed[:4] != b"PK\x03\x04":
        return b""
    if method == _DEFLATED:
        return b"".join(_inflated(packed[start:], -zlib.MAX_WBITS))
    return packed[start : start + int.from_bytes(packed[18:22], "little")]


_UNPACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": _gunzipped, ".zip": _unzipped}
