"""Whether a plain PNG is whole, without making its pixels: a third of the time that decoding takes.

What can go wrong in a PNG is told by its checksums (W3C PNG specification, 5.5 and 10.1): a CRC for each chunk, an
Adler-32 over the inflated scan lines; then there is only their number, and the filter named before each of them.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

__all__ = ["is_whole"]

_SIGNATURE_BYTES = 8
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""By colour type. Palettes (3) are left to a decoder: their entries may be missing."""
_FILTERS = 5
_DEPTHS = {0: (1, 2, 4, 8, 16)}
_OTHER_DEPTHS = (8, 16)


def is_whole(body: bytes) -> bool:
    """True if a decoder gets all of it. False also where only a decoder can tell: interlaced, or with a palette.

    Args:
        body: A PNG whose chunks :func:`gristmill.media.head.head` has walked.
    """
    width_px, height_px, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", body, 16)
    if interlaced or colour not in _CHANNELS or depth not in _DEPTHS.get(colour, _OTHER_DEPTHS):
        return False
    line_bytes = 1 + (width_px * _CHANNELS[colour] * depth + 7) // 8
    try:
        lines = _scan_lines(body, height_px * line_bytes)
    except zlib.error:
        return False
    return lines is not None and bool((np.frombuffer(lines, np.uint8)[::line_bytes] < _FILTERS).all())


def _scan_lines(body: bytes, expected_bytes: int) -> bytes | None:
    """The inflated lines; None unless they are as many as expected and all checksums are right."""
    view, at = memoryview(body), _SIGNATURE_BYTES
    inflate = zlib.decompressobj()
    pieces: list[bytes] = []
    left = expected_bytes
    while at + 12 <= len(body):
        size_bytes, kind = struct.unpack_from(">I4s", body, at)
        data = view[at + 8 : at + 8 + size_bytes]
        (crc,) = struct.unpack_from(">I", body, at + 8 + size_bytes)
        if zlib.crc32(view[at + 4 : at + 8 + size_bytes]) != crc:
            return None
        if kind == b"IDAT":
            pieces.append(inflate.decompress(data, left + 1))  # one more than there may be tells a bomb
            left -= len(pieces[-1])
            if left < 0 or inflate.unconsumed_tail:
                return None
        elif kind == b"IEND":
            break
        at += 12 + size_bytes
    return b"".join(pieces) if left == 0 and inflate.eof else None
