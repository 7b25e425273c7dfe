"""A small picture of a stored one, for a page. By Pillow alone, which loads in a fifth of OpenCV's time."""

from __future__ import annotations

import io

from PIL import Image

from gristmill.media import careful
from gristmill.media.errors import Undecodable
from gristmill.media.head import head

__all__ = ["Small", "Undecodable", "thumbnail"]

Small = tuple[bytes, int, int]
"""JPEG bytes, width and height in pixels."""

_MAX_PIXELS = 50_000_000
_MAX_WHOLE_PIXELS = 4_000_000
"""Of what is decoded at its full size, which may take 40 bytes for each pixel: here are no decoder's limits."""


def thumbnail(body: bytes, *, side_px: int, quality: int) -> Small | None:
    """A JPEG with a longer side of at most ``side_px``; None for a picture that is too large to look at.

    Raises:
        Undecodable: As :func:`gristmill.media.image.transcode`.
    """
    found = head(body)
    if found.width_px * found.height_px > (_MAX_PIXELS if found.format == "jpeg" else _MAX_WHOLE_PIXELS):
        return None
    with careful.opened(body, found.format) as image:
        image.draft("RGB", (side_px, side_px))  # JPEGs are decoded at a fraction of their size
        small = Image.fromarray(careful.pixels(image, "white"))
    small.thumbnail((side_px, side_px))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=quality)
    return out.getvalue(), small.width, small.height
