"""What stands before a medium in a spool: its fate, where its bytes are if not there, and the parts they make."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson

from gristmill.spec.body import Body, Pointer, pieces_of
from gristmill.spec.fate import Fate
from gristmill.spec.part_names import frame_names
from gristmill.spec.reasons import Reason

__all__ = ["Spooled", "fate_from", "pieces_in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """The account of a medium.

    Attributes:
        fate: Of the medium.
        pointer: Where its bytes stand, if not in the spool.
        pieces: Of a video that is stored as its frames: of each its bytes and their CRC-32.
    """

    fate: Fate
    pointer: Pointer | None = None
    pieces: Sequence[tuple[int, int]] = ()

    def header(self) -> bytes:
        """As it lies in the spool."""
        header = orjson.dumps(self.fate)
        for name, value in (("pointer", self.pointer), ("pieces", self.pieces)):
            if value:
                header = header[:-1] + f',"{name}":'.encode() + orjson.dumps(value) + b"}"
        return header

    @classmethod
    def read(cls, header: bytes) -> Self:
        """Undo :meth:`header`."""
        values = orjson.loads(header)
        pointer, pieces = values.pop("pointer", None), values.pop("pieces", ())
        return cls(
            fate=fate_from(values),
            pointer=pointer and Pointer(**pointer),
            pieces=tuple((size, crc32) for size, crc32 in pieces),
        )

    def places(self, offset: int, size: int, crc32: int) -> Iterator[dict[str, Any]]:
        """Say where the parts lie that the medium is stored in, as an index has it.

        Args:
            offset: Of the body in the spool.
            size: Of the body in the spool.
            crc32: Of the body in the spool.
        """
        name = self.fate.medium
        if self.pointer is not None:
            stands = {
                "source": self.pointer.source,
                "member": self.pointer.member,
                "sha256": self.fate.sha256,
            }
            yield {"name": name, "size": self.fate.size_bytes, "crc32": self.pointer.crc32, **stands}
        elif not self.pieces:
            yield {"name": name, "offset": offset, "size": size, "crc32": crc32}
        else:
            for part, (part_bytes, part_crc32) in zip(
                frame_names(len(self.pieces)), self.pieces, strict=True
            ):
                yield {"name": part, "offset": offset, "size": part_bytes, "crc32": part_crc32}
                offset += part_bytes


def fate_from(values: dict[str, Any]) -> Fate:
    """A fate out of its columns."""
    reason = values.pop("reason")
    return Fate(**values, reason=Reason(reason) if reason else None)


def pieces_in(body: Body, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The sizes and the CRC-32 of the pieces that a body is made of; of a large one few bytes are in memory.

    Raises:
        ValueError: They are not all of it.
        GristmillError, OSError: It cannot be read.
    """
    chunks = (memoryview(chunk) for chunk in pieces_of(body))
    end = chunk = memoryview(b"")
    for size in sizes:
        crc32, left = 0, size
        while left:
            chunk = chunk or next(chunks, end)
            if not chunk:
                raise ValueError(f"a body that ends within one of its {len(sizes)} pieces")
            part, chunk = chunk[:left], chunk[left:]
            crc32, left = zlib.crc32(part, crc32), left - len(part)
        yield size, crc32
    if chunk or next(chunks, end):
        raise ValueError(f"a body that goes on after its {len(sizes)} pieces")
