"""A member's bytes, piece by piece: a range, inflated where it must be, checked, and as a stream."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gristmill.storage.archives.entries import Entry, MemberRefused, Refusal
from gristmill.storage.archives.parts import Archive

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["PIECE_BYTES", "Body", "checked", "inflated", "ranged"]

PIECE_BYTES = 256 << 10


def ranged(archive: Archive, offset: int, size: int) -> Iterator[bytes]:
    """The bytes of a range; they end early where the archive does."""
    while size > 0 and (piece := archive.read_at(offset, min(size, PIECE_BYTES))):
        yield piece
        offset, size = offset + len(piece), size - len(piece)


def inflated(pieces: Iterator[bytes], archive: Archive, entry: Entry) -> Iterator[bytes]:
    """Say what a deflated member holds: never more than a little beyond what it says, whatever its bytes are.

    Raises:
        MemberRefused: It is damaged, or ends elsewhere than its compressed bytes do.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for packed in pieces:
            piece = inflater.decompress(packed, PIECE_BYTES)
            while piece:
                yield piece
                piece = inflater.decompress(inflater.unconsumed_tail, PIECE_BYTES)
            if inflater.eof:
                break
    except zlib.error as err:
        raise MemberRefused(str(archive), entry.name, Refusal.DEFLATE) from err
    if not inflater.eof:
        raise MemberRefused(str(archive), entry.name, Refusal.TRUNCATED)


def checked(pieces: Iterator[bytes], archive: Archive, entry: Entry) -> Iterator[bytes]:
    """The same pieces; the last of them only if size and checksum of all are as the entry says.

    Raises:
        MemberRefused: They are not.
    """
    size, crc, last = 0, 0, b""
    for piece in pieces:
        size, crc = size + len(piece), zlib.crc32(piece, crc)
        if size > entry.size_bytes:
            raise MemberRefused(str(archive), entry.name, Refusal.SIZE)
        if last:
            yield last
        last = piece
    if size < entry.size_bytes:
        short = Refusal.SIZE if entry.method == "deflate" else Refusal.TRUNCATED
        raise MemberRefused(str(archive), entry.name, short)
    if entry.crc32 is not None and crc != entry.crc32:
        raise MemberRefused(str(archive), entry.name, Refusal.CHECKSUM)
    if last:
        yield last


class Body(io.RawIOBase):
    """Pieces of bytes as a stream that is read once, from its beginning; in memory is one piece."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """See :meth:`io.RawIOBase.readinto`.

        Raises:
            MemberRefused: The member is not what its entry says.
        """
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        view = memoryview(buffer).cast("B")
        size = min(len(view), len(self._rest))
        view[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
