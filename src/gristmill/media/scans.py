"""The scans of JPEGs: progressive ones without what a much smaller picture does not show, and whether all are there.

A progressive JPEG (ITU-T T.81, annex G) sends its coefficients in scans: first rough, then bit by bit more exact. The
scans that refine the luma make up most of its bytes, and of the time to decode it.
"""

from __future__ import annotations

import re

__all__ = ["with_end", "without_refinements"]

# Within a scan, 0xFF is followed by a zero or a restart marker; 0xFF before a marker is padding.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")

_END, _SCAN, _ADOBE = 0xD9, 0xDA, 0xEE
_FRAMES = (0xC0, 0xC1, 0xC2)
"""Huffman coded, sequential or progressive. Of others, libjpeg does not tell where their data ends too soon."""
_COEFFICIENTS = 64
_MOST_SCANS = 1000
_LUMA = 1
"""Component identifier, as JFIF numbers them; Adobe's RGB does, too."""


def without_refinements(body: bytes) -> bytes:
    """Leave out the scans that refine the luma's AC coefficients; what is left is a whole JPEG.

    Their last bits are then missing, mostly the last two: some 4 quantization steps at the most. Any pixels decoded
    at half the size or less hardly show it. Comes back as it is where it is cut off, so that a decoder says so.
    """
    kept, since, at = [], 0, 2
    while (marker := _MARKER.search(body, at)) and body[marker.start() + 1] != _END:
        begin = marker.end()
        at = begin + int.from_bytes(body[begin : begin + 2])
        kind, header = body[begin - 1], body[begin + 2 : at]
        if kind == _ADOBE and header.startswith(b"Adobe") and header[-1:] == b"\0":
            return body  # no luma: RGB
        if kind == _SCAN and _refines_luma(header):
            kept.append(body[since : marker.start()])
            behind = _MARKER.search(body, at)
            since = at = behind.start() if behind else len(body)
    return b"".join((*kept, body[since:])) if marker else body


def _refines_luma(header: bytes) -> bool:
    """By a scan's header (T.81, B.2.3): components, then first and last coefficient, then the bits before and now."""
    return len(header) == 6 and header[1] == _LUMA and header[3] > 0 and header[5] >> 4 > 0


def with_end(body: bytes) -> bytes | None:
    """A JPEG that lacks the marker of its end, with that marker.

    Returns:
        None if it has one, or if a scan is missing: each coefficient of each component must have come, to its last
        bit. Whether the last scan is whole is for a decoder to say.
    """
    missing: dict[int, list[int | None]] = {}
    at, scans = 2, 0
    while marker := _MARKER.search(body, at):
        begin, kind = marker.end(), body[marker.end() - 1]
        at = begin + int.from_bytes(body[begin : begin + 2])
        header = body[begin + 2 : at]
        if kind == _END or at > len(body):
            return None
        if kind in _FRAMES and len(header) >= 6 + 3 * header[5]:
            missing = {component: [None] * _COEFFICIENTS for component in header[6 : 6 + 3 * header[5] : 3]}
        elif kind == _SCAN and len(header) == 4 + 2 * header[0]:
            scans += 1
            first, last, bits = header[-3], min(header[-2], _COEFFICIENTS - 1), header[-1] & 0x0F
            for component in header[1:-3:2]:
                if component in missing:
                    missing[component][first : last + 1] = [bits] * (last + 1 - first)
        if scans > _MOST_SCANS:
            return None
    if not missing or any(bits != 0 for left in missing.values() for bits in left):
        return None
    return body.rstrip(b"\xff") + bytes((0xFF, _END))
