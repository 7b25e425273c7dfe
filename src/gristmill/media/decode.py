"""Bytes to RGB pixels: the fast decoders for what they get right, the careful one for the rest."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg

from gristmill.media import careful
from gristmill.media.arrays import PixelsHWC
from gristmill.media.errors import Undecodable
from gristmill.media.head import ImageHead
from gristmill.spec.reasons import Reason

__all__ = ["decoded"]

cv2.setNumThreads(1)  # one image a thread or process is how this scales; OpenCV's own pool only costs

# libjpeg's warnings after which the whole picture is there all the same; Pillow decides on these.
_HARMLESS = ("extraneous bytes", "Invalid SOS parameters", "Unknown Adobe color transform")


def decoded(body: bytes, head: ImageHead, *, least: tuple[int, int] | None, alpha: str) -> PixelsHWC:
    """Decode an image whose header is ``head``, in its own colour space and orientation.

    Args:
        body: The bytes.
        head: What ``read_head`` said about them.
        least: (width_px, height_px) that is enough; a JPEG may be decoded at a power-of-two fraction of its
            size that is not smaller. None is the full size.
        alpha: ``white`` or ``drop``; see ``ImageSettings``.

    Returns:
        uint8 RGB, shape (height_px, width_px, 3).

    Raises:
        Undecodable: TRUNCATED, UNDECODABLE or UNSUPPORTED.
    """
    if head.format == "jpeg" and head.simple:
        pixels = _jpeg(body, least)
    elif head.format in ("png", "webp") and (head.simple or head.format == "png"):
        pixels = _by_opencv(body, head, alpha)
    else:
        pixels = None
    if pixels is not None:
        return pixels
    with careful.opened(body, head.format) as image:
        return careful.pixels(image, alpha)


def _jpeg(body: bytes, least: tuple[int, int] | None) -> PixelsHWC | None:
    """Decode a JPEG, strictly; None where only the careful decoder can tell."""
    width_px, height_px = least or (0, 0)
    try:
        return simplejpeg.decode_jpeg(body, "RGB", min_width=width_px, min_height=height_px, min_factor=2)
    except ValueError as err:
        said = str(err)
    if any(text in said for text in _HARMLESS):
        return None
    cut = "remature end" in said
    raise Undecodable(Reason.TRUNCATED if cut else Reason.UNDECODABLE, f"jpeg: {said}")


def _by_opencv(body: bytes, head: ImageHead, alpha: str) -> PixelsHWC | None:
    """Decode a PNG or WebP; None where the careful decoder is needed."""
    if not head.simple:
        return None
    pixels = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    return pixels
