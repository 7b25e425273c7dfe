"""Whether a PNG is whole: its checksums alone, or all of a plain one, in a third of the time that decoding takes.

What can go wrong in a PNG is told by its checksums (W3C PNG specification, 5.5 and 10.1): a CRC for each chunk, an
Adler-32 over the inflated scan lines; then there are only their number, the filter named before each of them, and
the order of the chunks.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np

__all__ = ["checksums_hold", "has_all_lines", "is_whole"]

_SIGNATURE_BYTES = 8
_PALETTE = 3
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""By colour type. Palettes (3) are left to a decoder: their entries may be missing."""
_FILTERS = 5
_DEPTHS = {0: (1, 2, 4, 8, 16)}
_OTHER_DEPTHS = (8, 16)
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7 (8.2): first pixel across and down, then steps."""
_PLAIN_ORDER = re.compile(rb"IHDR (?:[a-z]... )*(?:IDAT )+(?:(?:tEXt|tIME) )*IEND ", re.DOTALL)
"""One header, the data in one piece, and beside them only what a decoder may pass over (5.3, 5.6);
Pillow is strict about most of what stands behind the data."""

_ANY_ORDER = re.compile(rb"IHDR .*IEND ", re.DOTALL)


def is_whole(body: bytes) -> bool:
    """True if Pillow gets all of it, as do most others. False also where only a decoder can tell: interlaced, with a
    palette, with chunks in an order, or of a kind, that not all decoders bear.

    Args:
        body: A PNG whose chunks :func:`gristmill.media.head.head` has walked.
    """
    width_px, height_px, depth, colour, *methods = struct.unpack_from(">IIBBBBB", body, 16)
    if any(methods) or colour not in _CHANNELS or depth not in _DEPTHS.get(colour, _OTHER_DEPTHS):
        return False
    line_bytes = 1 + (width_px * _CHANNELS[colour] * depth + 7) // 8
    try:
        lines = _scan_lines(body, height_px * line_bytes, order=_PLAIN_ORDER)
    except zlib.error:
        return False
    return lines is not None and bool((np.frombuffer(lines, np.uint8)[::line_bytes] < _FILTERS).all())


def has_all_lines(body: bytes) -> bool:
    """Say whether the scan lines are as many as the header says, and all checksums right; interlaced or not."""
    width_px, height_px, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", body, 16)
    bits = depth * (1 if colour == _PALETTE else _CHANNELS.get(colour, 0))
    expected_bytes = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-max(0, width_px - left) // across), -(-max(0, height_px - top) // down)
        expected_bytes += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    try:
        return _scan_lines(body, expected_bytes, order=_ANY_ORDER) is not None
    except zlib.error:
        return False


def checksums_hold(body: bytes) -> bool:
    """Say whether every chunk, up to the end chunk, has the right CRC."""
    return any(kind == b"IEND" for kind, _ in _sound_chunks(body))


def _sound_chunks(body: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and data of each chunk up to the end chunk, or up to the first that is cut off or has a wrong CRC."""
    view, at, kind = memoryview(body), _SIGNATURE_BYTES, b""
    while at + 12 <= len(body) and kind != b"IEND":
        size_bytes, kind = struct.unpack_from(">I4s", body, at)
        end = at + 8 + size_bytes
        if end + 4 > len(body) or zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4]):
            return
        yield kind, view[at + 8 : end]
        at = end + 4


def _scan_lines(body: bytes, expected_bytes: int, *, order: re.Pattern[bytes]) -> bytes | None:
    """The inflated lines; None unless they are as many as expected and all checksums are right."""
    inflate = zlib.decompressobj()
    pieces: list[bytes] = []
    left, kinds = expected_bytes, []
    for kind, data in _sound_chunks(body):
        kinds.append(kind)
        if kind == b"IDAT":
            pieces.append(inflate.decompress(data, left + 1))  # one more than there may be tells a bomb
            left -= len(pieces[-1])
            if left < 0 or inflate.unconsumed_tail:
                return None
    in_order = order.fullmatch(b" ".join((*kinds, b"")))
    return b"".join(pieces) if in_order and left == 0 and inflate.eof else None
