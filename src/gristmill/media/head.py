"""What an image's header says, read by hand and before any decoder sees the bytes.

Only structures are walked (JPEG segments: ITU-T T.81 annex B; PNG chunks: the W3C PNG specification; WebP:
the RIFF container of the WebP specification), so nothing is allocated by what a header claims.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from gristmill.media import careful, orientation
from gristmill.media.errors import Undecodable
from gristmill.media.sniff import ALLOWED, PICTURES, sniff
from gristmill.spec.reasons import Reason

__all__ = ["PNG_END", "ImageHead", "head", "jpeg_extent"]

ICC_MAX_BYTES = 4 << 20
"""Larger colour profiles are ignored; printers' CMYK profiles have about 1 MiB."""

TEXT_MAX_BYTES = 1 << 20
"""Of a compressed text chunk, no more is unpacked; one can hold the orientation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHead:
    """Holds what the header says.

    Attributes:
        format: A member of ``sniff.ALLOWED``.
        width_px: As stored, before orientation.
        height_px: As stored, before orientation.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        icc: The embedded colour profile, or None.
        simple: 8 bits a channel, grey or RGB, opaque, one frame: any decoder gets it right.
        alpha: There may be transparent pixels.
        deep: More than 8 bits a channel, and one frame.
        progressive: A JPEG whose coefficients come in several scans.
        unended_at: Where a PNG that lacks its end chunk, or a part of that, should have it; 0 if it has one.
    """

    format: str
    width_px: int
    height_px: int
    orientation: int = 1
    icc: bytes | None = None
    simple: bool = False
    alpha: bool = False
    deep: bool = False
    progressive: bool = False
    unended_at: int = 0


_XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
PNG_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_PNG_TEXTS = (b"iTXt", b"tEXt", b"zTXt")


def head(body: bytes) -> ImageHead:
    """Read the header of an image of an allowed format.

    Raises:
        Undecodable: EMPTY, NOT_AN_IMAGE, UNSUPPORTED, TRUNCATED or UNDECODABLE.
    """
    name = sniff(body)
    if name not in ALLOWED:
        if name == "empty":
            raise Undecodable(Reason.EMPTY)
        raise Undecodable(Reason.UNSUPPORTED if name in PICTURES else Reason.NOT_AN_IMAGE, name)
    reader = {"jpeg": _jpeg, "png": _png, "webp": _webp}.get(name)
    try:
        found = reader(body) if reader else _by_pillow(body, name)
    except (struct.error, IndexError) as err:
        raise Undecodable(Reason.TRUNCATED, f"the {name} header is cut off") from err
    if found.width_px < 1 or found.height_px < 1:
        raise Undecodable(Reason.UNDECODABLE, f"a size of {found.width_px} x {found.height_px} px")
    return found


def _by_pillow(body: bytes, name: str) -> ImageHead:
    """GIF, BMP, TIFF, AVIF: rare, so Pillow's header reader does; pixels are decoded later."""
    with careful.opened(body, name) as image:
        return ImageHead(
            format=name,
            width_px=image.size[0],
            height_px=image.size[1],
            orientation=careful.orientation(image),
            icc=_capped(image.info.get("icc_profile") or b""),
        )


def _jpeg(body: bytes) -> ImageHead:
    at, turned, from_xmp, frame, icc, progressive = 2, None, None, None, {}, False
    while True:
        marker, at = _next_marker(body, at)
        if marker in (0xD9, 0xDA):
            break
        (size_bytes,) = struct.unpack_from(">H", body, at)
        segment = body[at + 2 : at + size_bytes]
        if size_bytes < 2 or at + size_bytes > len(body):
            raise Undecodable(Reason.TRUNCATED, "a JPEG segment reaches beyond the end")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame, progressive = struct.unpack_from(">BHHB", segment), marker == 0xC2
        elif marker == 0xE1 and segment.startswith(b"Exif\0\0"):
            turned = orientation.from_exif(segment[6:])
        elif marker == 0xE1 and segment.startswith(_XMP_SEGMENT):
            from_xmp = orientation.from_xmp(segment)
        elif marker == 0xE2 and segment.startswith(b"ICC_PROFILE\0") and len(segment) > 14:
            icc[segment[12]] = segment[14:]
        at += size_bytes
    if frame is None:
        raise Undecodable(Reason.UNDECODABLE, "a JPEG without a frame header")
    bits, height_px, width_px, components = frame
    return ImageHead(
        format="jpeg",
        width_px=width_px,
        height_px=height_px,
        orientation=turned or from_xmp or 1,
        icc=_capped(b"".join(icc[number] for number in sorted(icc))),
        simple=bits == 8 and components in (1, 3),
        deep=bits > 8,
        progressive=progressive,
    )


def _next_marker(body: bytes, at: int) -> tuple[int, int]:
    """Marker code at or after ``at`` and the position behind it. Fill bytes and stray bytes are skipped."""
    at = body.find(b"\xff", at)
    while at >= 0:
        code = body[at + 1]
        if code not in (0x00, 0x01, 0xFF) and not 0xD0 <= code <= 0xD8:
            return code, at + 2
        at = body.find(b"\xff", at + 1)
    raise Undecodable(Reason.TRUNCATED, "the JPEG ends before its first scan")


def jpeg_extent(body: bytes) -> tuple[int | None, int]:
    """Say where the first image in ``body`` ends, and how much of it is no picture.

    Metadata segments are stepped over, so the end-of-image marker of an embedded thumbnail is not taken for it.

    Returns:
        Position behind its end-of-image marker, None if there is none; bytes of its application segments (EXIF, XMP,
        profiles) and comments, wherever they stand, and of what lies between segments.
    """
    at, in_scan, other_bytes = 2, False, 0
    try:
        while True:
            marker, behind = _next_marker(body, at)
            other_bytes += 0 if in_scan else behind - 2 - at
            if marker == 0xD9:
                return behind, other_bytes
            (size_bytes,) = struct.unpack_from(">H", body, behind)
            if 0xE0 <= marker <= 0xEF or marker == 0xFE:
                other_bytes += size_bytes + 2
            at, in_scan = behind + size_bytes, marker == 0xDA
    except (Undecodable, struct.error, IndexError):
        return None, other_bytes


def _png(body: bytes) -> ImageHead:
    width_px, height_px, bits, colour = struct.unpack_from(">IIBB", body, 16)
    if body[12:16] != b"IHDR":
        raise Undecodable(Reason.UNDECODABLE, "a PNG without its header chunk")
    at, seen, icc = 8, set(), b""
    turned: list[int | None] = []
    while not PNG_END.startswith(body[at : at + len(PNG_END)]) or at + len(PNG_END) <= len(body):
        size_bytes, kind = struct.unpack_from(">I4s", body, at)
        if at + 12 + size_bytes > len(body):
            # Decoders allocate what the length says, up to 2 GiB.
            raise Undecodable(Reason.TRUNCATED, "a PNG chunk reaches beyond the end")
        seen.add(kind)
        if kind == b"eXIf":
            turned.insert(0, orientation.from_exif(body[at + 8 : at + 8 + size_bytes]))
        elif kind in _PNG_TEXTS:
            turned.append(_text_orientation(kind, body[at + 8 : at + 8 + size_bytes]))
        elif kind == b"iCCP":
            icc = _inflated(body[at + 8 : at + 8 + size_bytes].partition(b"\0")[2][1:], ICC_MAX_BYTES + 1)
        elif kind == b"IEND":
            break
        at += 12 + size_bytes
    if b"IEND" not in seen and b"IDAT" not in seen:
        raise Undecodable(Reason.TRUNCATED, "the PNG has no end chunk")
    alpha = colour in (4, 6) or b"tRNS" in seen
    return ImageHead(
        format="png",
        width_px=width_px,
        height_px=height_px,
        orientation=next(filter(None, turned), 1),
        icc=_capped(icc),
        simple=bits <= 8 and not alpha and b"acTL" not in seen,
        alpha=alpha,
        deep=bits == 16 and b"acTL" not in seen,  # OpenCV shows another frame than the first
        unended_at=0 if b"IEND" in seen else at,
    )


def _webp(body: bytes) -> ImageHead:
    (riff_bytes,) = struct.unpack_from("<I", body, 4)
    if riff_bytes + 8 > len(body):
        raise Undecodable(Reason.TRUNCATED, f"{len(body)} of {riff_bytes + 8} bytes")
    (kind,) = struct.unpack_from("4s", body, 12)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 26)
        return ImageHead(format="webp", width_px=width & 0x3FFF, height_px=height & 0x3FFF, simple=True)
    if kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", body, 21)
        width_px, height_px, alpha = (
            (packed & 0x3FFF) + 1,
            (packed >> 14 & 0x3FFF) + 1,
            bool(packed >> 28 & 1),
        )
        return ImageHead(format="webp", width_px=width_px, height_px=height_px, simple=not alpha, alpha=alpha)
    if kind != b"VP8X":
        raise Undecodable(Reason.UNDECODABLE, "an unknown kind of WebP")
    flags = body[20]
    chunks = _riff_chunks(body, 30)
    exif = chunks.get(b"EXIF", b"").removeprefix(b"Exif\0\0")
    turned = orientation.from_exif(exif) or orientation.from_xmp(chunks.get(b"XMP ", b""))
    return ImageHead(
        format="webp",
        width_px=int.from_bytes(body[24:27], "little") + 1,
        height_px=int.from_bytes(body[27:30], "little") + 1,
        orientation=turned or 1,
        icc=_capped(chunks.get(b"ICCP", b"")),
        simple=not flags & 0x12,
        alpha=bool(flags & 0x10),
    )


def _riff_chunks(body: bytes, at: int) -> dict[bytes, bytes]:
    """The metadata chunks behind the extended WebP header, by their four-letter name."""
    found: dict[bytes, bytes] = {}
    while at + 8 <= len(body):
        kind, size_bytes = struct.unpack_from("<4sI", body, at)
        if kind in (b"ICCP", b"EXIF", b"XMP "):
            found.setdefault(kind, body[at + 8 : at + 8 + size_bytes])
        at += 8 + size_bytes + (size_bytes & 1)
    return found


def _capped(icc: bytes) -> bytes | None:
    return icc if 0 < len(icc) <= ICC_MAX_BYTES else None


def _text_orientation(kind: bytes, data: bytes) -> int | None:
    """What a text chunk of a PNG says of the orientation: XMP, or ImageMagick's copy of the EXIF."""
    keyword, _, text = data.partition(b"\0")
    if keyword == b"XML:com.adobe.xmp" and kind == b"iTXt":
        packed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]  # method, language, translated keyword
        return orientation.from_xmp(_inflated(text, TEXT_MAX_BYTES) if packed else text)
    if keyword == b"Raw profile type exif" and kind != b"iTXt":
        return orientation.from_raw_profile(_inflated(text[1:], TEXT_MAX_BYTES) if kind == b"zTXt" else text)
    return None


def _inflated(packed: bytes, most_bytes: int) -> bytes:
    """Inflate what a PNG chunk holds, and never more than ``most_bytes`` of it."""
    try:
        return zlib.decompressobj().decompress(packed, most_bytes)
    except zlib.error:
        return b""
