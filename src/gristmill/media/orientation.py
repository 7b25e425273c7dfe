"""Which way up an image is, from the three places where files say so: EXIF, XMP, ImageMagick's text chunks."""

from __future__ import annotations

import re
import struct

__all__ = ["from_exif", "from_raw_profile", "from_xmp"]

_TAG = 0x0112
_MOST_ENTRIES = 512

# How an entry's value lies in its four bytes, by its type: byte, short, long, signed long (EXIF 2.3, 4.6.2). The
# standard says short; cameras' software and phones write the others too.
_VALUE = {1: "B", 3: "H", 4: "I", 9: "i"}

_XMP = re.compile(rb'tiff:Orientation(?:\s*=\s*["\']|>)\s*([1-8])')


def from_exif(tiff: bytes) -> int | None:
    """The orientation tag of the first directory of a TIFF structure (EXIF 2.3, 4.6.4), 1 to 8, or None."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    try:
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, at)
        for number in range(min(entries, _MOST_ENTRIES)):
            entry = at + 2 + 12 * number
            tag, kind = struct.unpack_from(order + "HH", tiff, entry)
            if tag == _TAG:
                (value,) = struct.unpack_from(order + _VALUE.get(kind, "H"), tiff, entry + 8)
                return value if 1 <= value <= 8 else None
    except struct.error:
        pass
    return None


def from_xmp(packet: bytes) -> int | None:
    """The property ``tiff:Orientation`` of an XMP packet (XMP part 2, 3.3), 1 to 8, or None."""
    found = _XMP.search(packet)
    return int(found[1]) if found else None


def from_raw_profile(text: bytes) -> int | None:
    """The orientation in ImageMagick's ``Raw profile type exif``: name, length, then EXIF in hexadecimal."""
    lines = text.strip().split(b"\n", 2)
    try:
        raw = bytes.fromhex(lines[2].decode("ascii"))
    except (IndexError, ValueError):
        return None
    return from_exif(raw.removeprefix(b"Exif\0\0"))
