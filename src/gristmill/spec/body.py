"""Bodies: the bytes of one medium, in memory or, above a few MiB, where they lie; pointers to those that stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from gristmill.spec.errors import DamagedSource

__all__ = [
    "LARGE_BYTES",
    "PIECE_BYTES",
    "Body",
    "FileBody",
    "LargeBody",
    "Pointer",
    "bytes_of",
    "pieces_of",
    "release",
    "size_of",
]

LARGE_BYTES = 4 << 20
"""A larger body is a :class:`LargeBody`: it is never whole in memory on its way into a shard."""
PIECE_BYTES = 1 << 20


class LargeBody(Protocol):
    """A body that is read where it lies, as often as wanted."""

    @property
    def size_bytes(self) -> int:
        """Its size."""

    def pieces(self) -> Iterator[bytes]:
        """Its bytes in order, of which few are in memory at a time.

        Raises:
            GristmillError: They are not those that should be there; at the end at the latest.
            OSError: As the system says.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBody:
    """A range of a file, as plain data: another process can be handed it.

    Attributes:
        offset: Where it begins, bytes.
        temporary: The file was made for this body alone; see :func:`release`.
    """

    path: Path
    size_bytes: int
    offset: int = 0
    temporary: bool = False

    def pieces(self) -> Iterator[bytes]:
        """See :class:`LargeBody`.

        Raises:
            DamagedSource: The file ends before.
            OSError: As the system says.
        """
        left = self.size_bytes
        with self.path.open("rb", buffering=0) as stream:
            stream.seek(self.offset)
            while left and (piece := stream.read(min(left, PIECE_BYTES))):
                yield piece
                left -= len(piece)
        if left:
            raise DamagedSource(f"{self.path} ends {left:,} bytes short of what lay in it. Fetch it again.")


Body: TypeAlias = bytes | LargeBody


def size_of(body: Body) -> int:
    """Bytes of a body."""
    return len(body) if isinstance(body, bytes) else body.size_bytes


def pieces_of(body: Body) -> Iterator[bytes]:
    """A body's bytes in order; see :meth:`LargeBody.pieces`."""
    return iter((body,)) if isinstance(body, bytes) else body.pieces()


def bytes_of(body: Body) -> bytes:
    """All of a body in memory: for those who have a limit of their own."""
    return body if isinstance(body, bytes) else b"".join(body.pieces())


def release(body: Body | None) -> None:
    """Remove the file that was made for a body, if one was: its bytes are where they should be, or of no use."""
    if isinstance(body, FileBody) and body.temporary:
        body.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """Says where in a media source the bytes of a medium stand, so that nothing copies them before they are packed.

    Attributes:
        source: Key of the media source.
        member: By what the source finds them again: a text that only the source understands.
        crc32: Of the bytes: as the source promises it, or None; once they were read, what it is.
    """

    source: str
    member: str
    crc32: int | None = None
