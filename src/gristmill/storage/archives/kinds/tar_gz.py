"""Tars compressed with gzip: unpacked once in order; then read at random from seek points kept beside the index.

The pass in order tells a cut or damaged stream; it gives every member a checksum. Seek points are those of
`indexed_gzip`, which tells neither: what is read by them is held against that checksum.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import threading
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gristmill.spec.errors import DamagedSource
from gristmill.storage.archives.bodies import PIECE_BYTES, checked
from gristmill.storage.archives.entries import Entry, Extent, MemberRefused, Refusal, Scan
from gristmill.storage.archives.parts import Archive
from gristmill.storage.archives.tar_walk import BLOCK_BYTES, is_header, padding, walk
from gristmill.storage.files import whole_file

__all__ = ["KIND"]

_LEAST_SPACING = 1 << 20
_MOST_POINTS = 1024
"""A seek point takes 32 KiB, in its file and in each process that reads."""

_POINTS_HEAD = struct.Struct("<5sBBQQLLL")
_POINT_BYTES = 18
_WINDOW_BYTES = 32 << 10

_MOST_OPEN = 4
"""Archives whose seek points a process holds; of some tens of archives those that were read last."""

_AHEAD_BYTES = 4 << 20
"""Unpacked at a time, and held, where a read begins so close behind the one before that few of them are in vain."""

_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
"""Has zlib read the header and compare checksum and size, too."""
_PACKED_BYTES = 1 << 17

_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)


class _Inflated:
    """Reads what a gzip file compresses, in order, and the gzip files that stand behind it (RFC 1952, 2.2).

    Python's own takes 8 KiB at a time, which costs an index a quarter more. Of a damaged stream this gives as much.
    """

    def __init__(self, archive: Archive) -> None:
        self._stream, self._packed = archive.stream(), b""
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)

    def piece(self) -> bytes:
        """The next bytes; none at the end.

        Raises:
            EOFError, gzip.BadGzipFile, zlib.error: The file ends too soon, something else stands behind its end, it
                is damaged.
        """
        at_end = False
        while not at_end:
            if self._inflate.eof and not self._next_begins():
                return b""
            self._packed = self._packed or self._stream.read(_PACKED_BYTES)
            at_end = not self._packed
            if piece := self._inflated():
                return piece
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")

    def _next_begins(self) -> bool:
        """Go on behind the end of one; zeros may stand there."""
        rest = (self._inflate.unused_data + self._packed).lstrip(b"\0")
        while len(rest) < len(_MAGIC) and (more := self._stream.read(_PACKED_BYTES)):
            rest = (rest + more).lstrip(b"\0")
        if rest and not rest.startswith(_MAGIC):
            raise gzip.BadGzipFile(f"Not a gzipped file ({rest[:2]!r})")
        if rest:
            self._packed, self._inflate = rest, zlib.decompressobj(_GZIP_WINDOW)
        return bool(rest)

    def _inflated(self) -> bytes:
        """What comes of the packed bytes at hand, or of the first of them where one of them is damaged."""
        size = len(self._packed)
        while True:
            inflate = self._inflate.copy()
            try:
                piece = inflate.decompress(self._packed[:size], PIECE_BYTES)
            except zlib.error:
                if size <= 1:
                    raise
                size //= 2
            else:
                self._packed = inflate.unconsumed_tail + self._packed[size:]
                self._inflate = inflate
                return piece


class _Unpacked:
    """See :class:`gristmill.storage.archives.tar_walk.Forward`; all of it is unpacked on the way."""

    def __init__(self, archive: Archive) -> None:
        self._inflated, self._held, self.at = _Inflated(archive), memoryview(b""), 0
        self.fault: Exception | None = None

    def read(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size and (piece := self._piece(size - len(got))):
            got += piece
        return bytes(got)

    def _piece(self, size: int) -> bytes:
        if not self._held and self.fault is None:
            try:
                self._held = memoryview(self._inflated.piece())
            except _DAMAGED as err:
                self.fault = err
        piece, self._held = bytes(self._held[:size]), self._held[size:]
        self.at += len(piece)
        return piece

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next bytes, one piece after another."""
        while size > 0 and (piece := self._piece(min(size, PIECE_BYTES))):
            yield piece
            size -= len(piece)

    def skip(self, size: int) -> tuple[int, int]:
        passed = crc = 0
        for piece in self.pieces(size):
            passed, crc = passed + len(piece), zlib.crc32(piece, crc)
        return passed, crc

    def holds(self, size: int) -> bool:
        return True


class TarGz:
    """See :class:`gristmill.storage.archives.kind.Kind`."""

    revision = 1

    def likeness(self, archive: Archive, head: bytes) -> int:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        return 3 if head.startswith(b"\x1f\x8b\x08") else 0

    def scan(self, archive: Archive, scan: Scan) -> Iterator[Entry]:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        _must_hold_tar(archive)
        stream = _Unpacked(archive)
        for entry, follows in walk(stream, scan):
            passed, crc = stream.skip(follows)
            stream.skip(padding(follows))
            yield _as_passed(entry, follows, passed, crc)
        scan.unpacked_bytes = stream.at
        _say_cut(stream, scan)

    def in_order(self, archive: Archive, scan: Scan) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        _must_hold_tar(archive)
        stream = _Unpacked(archive)
        for entry, follows in walk(stream, scan):
            end = stream.at + follows
            yield entry, checked(stream.pieces(0 if entry.refused else follows), archive, entry)
            stream.skip(end - stream.at + padding(follows))
        _say_cut(stream, scan)

    def beside(self, archive: Archive, index: Path, scan: Scan) -> None:
        """Writes the seek points: none of a damaged stream, which is then unpacked from its beginning each time."""
        with whole_file(_points_of(index)) as stream:
            if scan.cut is None:
                unpacked = _indexed(archive, max(_LEAST_SPACING, scan.unpacked_bytes // _MOST_POINTS))
                unpacked.build_full_index()
                unpacked.export_index(fileobj=stream)

    def reader(self, archive: Archive, index: Path) -> TarGzReader:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        return TarGzReader(archive, _points_of(index))


def _points_of(index: Path) -> Path:
    return index.with_name(index.name + ".points")


def _must_hold_tar(archive: Archive) -> None:
    head = _Unpacked(archive).read(BLOCK_BYTES)
    if not is_header(head) and (any(head) or not head):
        raise DamagedSource(
            f"{archive} is no archive: what is compressed in it is no tar. Fetch it again, or put a zip, tar, tar.gz "
            "or folder in its place."
        )


def _as_passed(entry: Entry, follows: int, passed: int, crc: int) -> Entry:
    if passed < follows:
        return entry._replace(refused=entry.refused or Refusal.TRUNCATED)
    return entry if entry.refused else entry._replace(crc32=crc)


def _say_cut(stream: _Unpacked, scan: Scan) -> None:
    """Say how the stream ended; what stands behind a whole one costs nothing."""
    if stream.fault is None:
        return
    said = f"The gzip stream is damaged or cut off behind {stream.at:,} unpacked bytes ({stream.fault})"
    if scan.cut is None and str(stream.fault).startswith("Not a gzipped file"):
        scan.notes.append(f"{said}, behind the end of the tar in it.")
    else:
        scan.cut = f"{said}: what stands before that was read."


def _in_order(archive: Archive) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=io.BufferedReader(archive.stream(), PIECE_BYTES), mode="rb")


def _indexed(archive: Archive, spacing: int = _LEAST_SPACING) -> Any:
    import indexed_gzip

    return indexed_gzip._IndexedGzipFile(
        fileobj=archive.stream(), auto_build=True, spacing=spacing, readbuf_size=1 << 16
    )


class TarGzReader:
    """See :class:`gristmill.storage.archives.kind.Reader`."""

    at_random = False

    def __init__(self, archive: Archive, points: Path) -> None:
        self._archive, self._points = archive, points
        self.forked()
        _READERS.add(self)
        if not points.is_file():
            raise DamagedSource(
                f"{points} is missing. Remove the index beside it and give the same command again."
            )

    def forked(self) -> None:
        """Begin anew: in a child, a thread that held the lock is not there."""
        self._lock, self._held = threading.Lock(), (0, b"")
        self._unpacked: Any = None
        self._near_bytes = 0

    def let_go(self) -> bool:
        """Give back the seek points, unless a thread reads by them just now; says whether it did."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._unpacked, self._held = None, (0, b"")
        finally:
            self._lock.release()
        return True

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """See :class:`gristmill.storage.archives.kind.Reader`."""
        return checked(self._unpack(entry), self._archive, entry)

    def extent(self, entry: Entry) -> Extent | None:
        """None: its bytes stand nowhere as they are."""
        return None

    def _unpack(self, entry: Entry) -> Iterator[bytes]:
        at, end = entry.offset, entry.offset + entry.size_bytes
        while at < end and (piece := self._read_at(at, min(PIECE_BYTES, end - at), entry)):
            yield piece
            at += len(piece)

    def _read_at(self, at: int, size: int, entry: Entry) -> bytes:
        with self._lock:
            _OPENED.used(self)
            start, held = self._held
            if not start <= at <= at + size <= start + len(held):
                if self._unpacked is None:
                    self._unpacked, self._near_bytes = self._opened()
                follows = 0 <= at - start - len(held) < self._near_bytes
                start, held = self._held = (
                    at,
                    self._unpack_at(at, size, _AHEAD_BYTES if follows else 0, entry),
                )
            return held[at - start : at - start + size]

    def _unpack_at(self, at: int, size: int, ahead: int, entry: Entry) -> bytes:
        """Bytes, with so many more that what is read in order is not unpacked from a seek point each time."""
        from indexed_gzip import ZranError

        try:
            self._unpacked.seek(at)
            return bytes(self._unpacked.read(size + ahead))
        except (ZranError, *_DAMAGED) as err:
            if ahead:  # the damage may lie behind
                return self._unpack_at(at, size, 0, entry)
            raise MemberRefused(str(self._archive), entry.name, Refusal.DEFLATE) from err

    def _opened(self) -> tuple[Any, int]:
        """What is read of, and how close behind another a read is for more to be unpacked than it asks for.

        A read begins at a seek point, on average half their distance before: closer, it is cheaper to go on.
        """
        from indexed_gzip import ZranError

        points = self._points.read_bytes()
        if not points:
            return _in_order(self._archive), 0
        unpacked = _indexed(self._archive)
        try:
            if not _is_whole(points):
                raise ZranError
            unpacked.import_index(fileobj=io.BytesIO(points))
        except ZranError as err:
            raise DamagedSource(
                f"{self._points} is damaged. Remove the index beside it and give the same command again."
            ) from err
        spacing: int = _POINTS_HEAD.unpack_from(points)[5]
        return unpacked, min(spacing, _AHEAD_BYTES) // 2


def _is_whole(points: bytes) -> bool:
    """Whether a file of seek points is as long as it says, before a library reserves what it says."""
    if len(points) < _POINTS_HEAD.size:
        return False
    window: int
    number: int
    *_, window, number = _POINTS_HEAD.unpack_from(points)
    least = _POINTS_HEAD.size + number * _POINT_BYTES
    return window == _WINDOW_BYTES and least <= len(points) <= least + number * _WINDOW_BYTES


class _Opened:
    """Readers of this process that hold seek points, the one used last at the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: list[weakref.ref[TarGzReader]] = []

    def used(self, reader: TarGzReader) -> None:
        """Take note that one reads, and have those let go that have not for the longest."""
        with self._lock:
            if self._readers and self._readers[-1]() is reader:
                return
            self._readers = [
                one for one in self._readers if (known := one()) is not None and known is not reader
            ]
            for one in self._readers[: max(0, len(self._readers) - _MOST_OPEN + 1)]:
                if (idle := one()) is None or idle.let_go():
                    self._readers.remove(one)
            self._readers.append(weakref.ref(reader))


_READERS: weakref.WeakSet[TarGzReader] = weakref.WeakSet()
_OPENED = _Opened()


def _forked() -> None:
    global _OPENED
    _OPENED = _Opened()
    for reader in _READERS:
        reader.forked()


os.register_at_fork(after_in_child=_forked)

KIND = TarGz()
