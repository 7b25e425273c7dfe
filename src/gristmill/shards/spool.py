"""A spool: an append-only log of finished media, in the order in which they finished.

A frame is a fixed head, a header (small: the caller's account of the medium) and a body (the medium)::

    magic 4 | header bytes u32 | body bytes u64 | CRC-32 of body u32 | CRC-32 of all before and header u32

little-endian, then the header, then the body. A frame that was cut or damaged ends the log: a writer cuts it
off and goes on from there. Of a large body, which is never whole in memory, the head is written last. A frame is in
the kernel's hands when ``append`` returns, so that a killed process loses nothing it has reported; only ``sync``
protects against a power cut.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from gristmill.spec.body import Body, pieces_of, size_of
from gristmill.spec.errors import DamagedOutput

__all__ = ["SpoolEntry", "SpoolReader", "SpoolWriter", "SpooledBody", "read_spool"]

_MAGIC = b"GSP1"
_WAY_ON = "Remove that file and give the run's command again: what lies in it is asked for anew."
_LENGTHS = struct.Struct("<4sIQI")
_CRC = struct.Struct("<I")
_HEAD_BYTES = _LENGTHS.size + _CRC.size
_CHUNK_BYTES = 1 << 20
_MAX_HEADER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """One frame.

    Attributes:
        header: What the caller wrote beside the body.
        offset: Where the body begins in the file, bytes.
        size: Bytes of the body; 0 if there is none.
        crc32: CRC-32 of the body.
    """

    header: bytes
    offset: int
    size: int
    crc32: int


class SpoolWriter:
    """Appends frames to a spool; opening it keeps what is whole and cuts off a damaged end.

    Args:
        path: File to open or create; its folder must exist. One writer at a time is the caller's duty.

    Attributes:
        entries: All frames, those found on opening first.

    Raises:
        OSError: As the system says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            with open(self._fd, "rb", buffering=_CHUNK_BYTES, closefd=False) as stream:
                self.entries, self._end = _whole_frames(stream, os.fstat(self._fd).st_size)
            os.ftruncate(self._fd, self._end)
        except BaseException:  # whatever it is, and raised on: nobody else will close the file
            os.close(self._fd)
            raise

    def append(self, header: bytes, body: Body | None = None) -> SpoolEntry:
        """Add one frame; it survives a kill of this process once this returns.

        Raises:
            OSError: As the system says; the spool then ends with the frame before, and may be used further.
            ValueError: The header is larger than 64 MiB, or the body has another size than it says.
            GristmillError: A large body cannot be read; likewise.
        """
        body = body or b""
        if len(header) > _MAX_HEADER_BYTES:
            raise ValueError(f"spool header of {len(header)} bytes")
        offset = self._end + _HEAD_BYTES + len(header)
        try:
            if isinstance(body, bytes):
                entry = SpoolEntry(header, offset, len(body), zlib.crc32(body))
                _write_at(self._fd, [_head_of(entry), header, body], self._end)
            else:
                entry = SpoolEntry(header, offset, size_of(body), self._write_pieces(body, offset))
                _write_at(self._fd, [_head_of(entry), header], self._end)
        except BaseException:  # whatever it is: half a frame is of no use; and it is raised on
            os.ftruncate(self._fd, self._end)
            raise
        self._end = entry.offset + entry.size
        self.entries.append(entry)
        return entry

    def _write_pieces(self, body: Body, offset: int) -> int:
        """Write a large body, a piece at a time; returns its CRC-32."""
        crc32, at = 0, offset
        for piece in pieces_of(body):
            _write_at(self._fd, [piece], at)
            crc32, at = zlib.crc32(piece, crc32), at + len(piece)
        if at - offset != size_of(body):
            raise ValueError(f"a body of {at - offset} bytes that says it has {size_of(body)}")
        return crc32

    def sync(self) -> None:
        """Wait until everything appended is on the disk."""
        getattr(os, "fdatasync", os.fsync)(self._fd)  # not every system has the cheaper one

    def close(self) -> None:
        """Close the file; what was appended stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SpoolReader:
    """Reads bodies out of a spool, in any order.

    Raises:
        OSError: As the system says.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def body(self, offset: int, size: int, crc32: int | None = None) -> bytes:
        """The body at ``offset``, of ``size`` bytes; compared with ``crc32`` if given.

        Raises:
            DamagedOutput: The file ends too early, or the bytes are not those that were written.
        """
        parts = list(self._parts(offset, size, size))
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if crc32 is not None and zlib.crc32(body) != crc32:
            raise self._changed(offset)
        return body

    def pieces(self, offset: int, size: int, crc32: int | None = None) -> Iterator[bytes]:
        """The same, a piece at a time.

        Raises:
            DamagedOutput: As :meth:`body`; that the bytes are others after the last of them.
        """
        found = 0
        for part in self._parts(offset, size, _CHUNK_BYTES):
            found = zlib.crc32(part, found)
            yield part
        if crc32 is not None and found != crc32:
            raise self._changed(offset)

    def _parts(self, offset: int, left: int, most: int) -> Iterator[bytes]:
        at = offset
        while left:
            part = os.pread(self._fd, min(left, most), at)
            if not part:
                raise DamagedOutput(
                    f"{self.path}: ends {left} bytes short of the medium at byte {offset}. {_WAY_ON}"
                )
            yield part
            at, left = at + len(part), left - len(part)

    def _changed(self, offset: int) -> DamagedOutput:
        return DamagedOutput(f"{self.path}: the medium at byte {offset} is not what was written. {_WAY_ON}")

    def fileno(self) -> int:
        """The open file's number."""
        return self._fd

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class SpooledBody:
    """A large body in a spool, read while the reader is open; see :class:`gristmill.spec.body.LargeBody`."""

    spool: SpoolReader
    offset: int
    size_bytes: int
    crc32: int | None

    def pieces(self) -> Iterator[bytes]:
        """See :meth:`SpoolReader.pieces`."""
        return self.spool.pieces(self.offset, self.size_bytes, self.crc32)


def read_spool(path: Path, *, finished: bool = True, check_bodies: bool = True) -> Iterator[SpoolEntry]:
    """The frames of a spool, in order, without the bodies.

    Args:
        path: The spool.
        finished: Nobody writes to it any more, so a torn end is damage; else frames end quietly there.
        check_bodies: Read the bodies and compare their CRC; else only headers are read.

    Raises:
        DamagedOutput: ``finished``, and the file does not consist of whole frames.
        OSError: As the system says.
    """
    with path.open("rb", buffering=_CHUNK_BYTES) as stream:
        size = os.fstat(stream.fileno()).st_size
        end = 0
        while (entry := _next_frame(stream, size, check_bodies)) is not None:
            yield entry
            end = entry.offset + entry.size
    if finished and end != size:
        raise DamagedOutput(f"{path}: damaged from byte {end} of {size} on. {_WAY_ON}")


def _whole_frames(stream: BinaryIO, size: int) -> tuple[list[SpoolEntry], int]:
    entries: list[SpoolEntry] = []
    end = 0
    while (entry := _next_frame(stream, size, check_body=True)) is not None:
        entries.append(entry)
        end = entry.offset + entry.size
    return entries, end


def _next_frame(stream: BinaryIO, size: int, check_body: bool) -> SpoolEntry | None:
    """The frame at the stream's position, or None where there is no whole one."""
    head = stream.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        return None
    magic, header_bytes, body_bytes, body_crc = _LENGTHS.unpack_from(head)
    offset = stream.tell() + header_bytes
    if magic != _MAGIC or header_bytes > _MAX_HEADER_BYTES or offset + body_bytes > size:
        return None
    header = stream.read(header_bytes)
    if _CRC.pack(zlib.crc32(header, zlib.crc32(head[: _LENGTHS.size]))) != head[_LENGTHS.size :]:
        return None
    if not check_body:
        stream.seek(offset + body_bytes)
    elif _crc_of_next(stream, body_bytes) != body_crc:
        return None
    return SpoolEntry(header, offset, body_bytes, body_crc)


def _crc_of_next(stream: BinaryIO, left: int) -> int:
    crc = 0
    while left and (chunk := stream.read(min(left, _CHUNK_BYTES))):
        crc = zlib.crc32(chunk, crc)
        left -= len(chunk)
    return crc


def _head_of(entry: SpoolEntry) -> bytes:
    lengths = _LENGTHS.pack(_MAGIC, len(entry.header), entry.size, entry.crc32)
    return lengths + _CRC.pack(zlib.crc32(entry.header, zlib.crc32(lengths)))


def _write_at(fd: int, parts: list[bytes], offset: int) -> None:
    """Write all of ``parts``, whatever portions the kernel takes at a time."""
    written = os.pwritev(fd, parts, offset)
    if written == sum(map(len, parts)):
        return
    rest = memoryview(b"".join(parts))[written:]
    while rest:
        taken = os.pwrite(fd, rest, offset + written)
        written, rest = written + taken, rest[taken:]
