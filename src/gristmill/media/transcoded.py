"""What becomes of an image; kept apart so that the crawling process need not load the codecs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Transcoded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcoded:
    """An image as it is stored, and what is known of the one it came from.

    Attributes:
        body: The encoded bytes; empty where ``only_check`` was asked for, as the caller has them.
        format: Their format: a member of ``settings.Format``, or with ``only_check`` of ``sniff.ALLOWED``.
        width_px: Stored width.
        height_px: Stored height.
        original_width_px: Width in the header of the original, before its orientation is applied (what
            ``PIL.Image.size`` says, and what published lists hold).
        original_height_px: Likewise.
        original_format: ``jpeg``, ``png``, ``webp``, ``gif``, ``bmp``, ``tiff`` or ``avif``.
        orientation: EXIF orientation of the original, 1 to 8. From 5 on, width and height change places.
        phash: Perceptual hash of the original before orientation, resizing and colour conversion (as
            ``imagehash.phash`` of the opened file), or None where it is switched off.
        kept_original: ``body`` is the original, at most cut at the end of the image.
    """

    body: bytes
    format: str
    width_px: int
    height_px: int
    original_width_px: int
    original_height_px: int
    original_format: str
    orientation: int
    phash: str | None
    kept_original: bool
