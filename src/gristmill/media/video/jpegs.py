"""JPEGs that lie one behind another, as the frames of a video do that came as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import TypeAlias

from gristmill.media.errors import Undecodable
from gristmill.spec.reasons import Reason

__all__ = ["JPEG_MAGIC", "Data", "jpeg_sizes"]

JPEG_MAGIC = b"\xff\xd8\xff"


Data: TypeAlias = bytes | mmap
"""All of them."""


def jpeg_sizes(data: Data, at: int = 0) -> Iterator[int]:
    """The sizes of JPEGs that lie one behind another from ``at`` on, in order.

    They are told by the lengths of their segments (ITU-T T.81, B.1.1), so that the end of a thumbnail within
    one is not taken for its own.

    Raises:
        Undecodable: What lies there is no JPEG, or ends before it ends.
    """
    while at < len(data):
        end = _end_of_jpeg(data, at)
        yield end - at
        at = end


def _end_of_jpeg(data: Data, at: int) -> int:
    if data[at : at + 3] != JPEG_MAGIC:
        raise Undecodable(Reason.UNDECODABLE, f"no JPEG at byte {at:,}")
    at += 2
    while at + 4 <= len(data) + 2:
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker == 0xFF:  # fill
            at += 1
            continue
        if 0xD0 <= marker <= 0xD7 or marker == 0x01:
            at += 2
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            at = _end_of_scan(data, at)
    raise Undecodable(Reason.TRUNCATED, "the last JPEG is cut off")


def _end_of_scan(data: Data, at: int) -> int:
    """Where the next marker stands: within a scan 0xFF is followed by 0 or a restart marker."""
    step = 1 << 16
    while at < len(data):
        piece = data[at : at + step]
        found = piece.find(b"\xff")
        if found < 0:
            at += len(piece)
        elif at + found + 1 >= len(data):
            break
        elif data[at + found + 1] == 0 or 0xD0 <= data[at + found + 1] <= 0xD7:
            at += found + 2
        else:
            return at + found
    raise Undecodable(Reason.TRUNCATED, "a JPEG is cut off")
