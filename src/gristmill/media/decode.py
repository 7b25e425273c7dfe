"""Bytes to RGB pixels: the fast decoders for what they get right, the careful one for the rest."""

from __future__ import annotations

import contextlib
from typing import Any

import cv2
import numpy as np
import pyspng
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from gristmill.media import careful
from gristmill.media.arrays import PixelsHWC, as_pixels
from gristmill.media.errors import Undecodable
from gristmill.media.head import ImageHead
from gristmill.media.png_check import checksums_hold
from gristmill.media.scans import with_end, without_refinements
from gristmill.spec.reasons import Reason

__all__ = ["decoded", "fast_png"]

cv2.setNumThreads(1)  # one image a thread or process is how this scales; OpenCV's own pool only costs


# What libjpeg warns of as corrupt although the picture is whole: bytes between segments, a colour profile.
_JPEG_ODDITIES = ("extraneous bytes", "bad ICC marker")


def decoded(
    body: bytes,
    found: ImageHead,
    *,
    least: tuple[int, int] | None,
    alpha: str,
    rough: bool = False,
    unended: bool = False,
) -> PixelsHWC:
    """Decode an image whose header is ``found``, in its own colour space and orientation.

    Args:
        body: The bytes.
        found: Their header.
        least: (width_px, height_px) that is enough; a JPEG may be decoded at a half, a quarter or an eighth of
            its size that is not smaller. None is the full size.
        alpha: ``white`` or ``drop``; see ``ImageSettings``.
        rough: Save time where little of it is seen after shrinking to ``least`` or less: where a JPEG has fewer
            chroma samples than pixels, repeat them instead of interpolating; of a progressive one that is decoded
            at a half or less, leave out the last bits of the luma.
        unended: Take a JPEG that lacks nothing but the marker of its end.

    Returns:
        uint8 RGB, shape (height_px, width_px, 3).

    Raises:
        Undecodable: TRUNCATED, UNDECODABLE or UNSUPPORTED.
    """
    pixels = None
    if found.format == "jpeg" and found.simple:
        size = _reduced(found, least) if least else (0, 0)
        rough = rough and least is not None and _holds((found.width_px, found.height_px), least)
        if rough and found.progressive and size != (0, 0):
            body = without_refinements(body)
        pixels = _jpeg(body, size, fast_chroma=rough, unended=unended)
    elif found.format == "png" and found.simple:
        pixels = fast_png(body)
        if pixels is None:
            pixels = _by_opencv(body, cv2.IMREAD_COLOR_RGB)
    elif found.format == "webp" and found.simple:
        pixels = _by_opencv(body, cv2.IMREAD_COLOR_RGB)
    elif found.format == "png" and found.deep:
        pixels = _deep_png(body, alpha)
    if pixels is not None:
        return pixels
    with careful.opened(body, found.format) as image:
        return careful.pixels(image, alpha)


def _reduced(found: ImageHead, least: tuple[int, int]) -> tuple[int, int]:
    """Smallest size that libjpeg decodes fast and that is not below ``least``; (0, 0), the full size, if none is.

    Between a quarter and a half it also knows three eighths, which has no SIMD code: it takes longer than a half.
    """
    for divisor in (8, 4, 2):
        size = -(-found.width_px // divisor), -(-found.height_px // divisor)
        if _holds(size, least):
            return size
    return 0, 0


def _holds(size: tuple[int, int], least: tuple[int, int]) -> bool:
    return size[0] >= least[0] and size[1] >= least[1]


def _jpeg(body: bytes, size: tuple[int, int], *, fast_chroma: bool, unended: bool) -> PixelsHWC | None:
    """Decode a JPEG at ``size``, strictly; None where the careful decoder shall say.

    libjpeg goes on after damage and leaves grey or shifted blocks; that is refused. It also warns of oddities
    that leave the picture whole.
    """
    try:
        pixels = _by_libjpeg(body, size, fast_chroma)
    except ValueError as err:
        said = str(err)
        if "remature end" in said:
            ended = with_end(body) if unended else None
            if ended is not None:
                # Now it is libjpeg that finds a block missing, if one is.
                with contextlib.suppress(ValueError):
                    return _by_libjpeg(ended, size, fast_chroma)
            raise Undecodable(Reason.TRUNCATED, f"jpeg: {said}") from err
        if "Corrupt JPEG data" in said and not any(oddity in said for oddity in _JPEG_ODDITIES):
            raise Undecodable(Reason.UNDECODABLE, f"jpeg: {said}") from err
        return None
    return pixels


def _by_libjpeg(body: bytes, size: tuple[int, int], fast_chroma: bool) -> PixelsHWC:
    pixels: PixelsHWC = simplejpeg.decode_jpeg(
        body, "RGB", min_width=size[0], min_height=size[1], min_factor=2, fastupsample=fast_chroma
    )
    return pixels


def fast_png(body: bytes) -> PixelsHWC | None:
    """Decode a PNG of up to 8 bits without transparency; None where the other decoders shall say.

    libspng needs two thirds of libpng's time for the same pixels, and takes no notice of checksums: so they are
    compared before.
    """
    if not checksums_hold(body):
        return None
    try:
        pixels: PixelsHWC = pyspng.load(body, format="RGB")
    except RuntimeError:
        return None
    return pixels


def _by_opencv(body: bytes, flags: int) -> NDArray[Any] | None:
    """Decode by OpenCV as stored; None where it cannot, so that the careful decoder says why."""
    try:
        return cv2.imdecode(np.frombuffer(body, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None


def _deep_png(body: bytes, alpha: str) -> PixelsHWC | None:
    """16 bits to 8 by 257, so that white stays white and the rounding is even; Pillow cuts the low byte off."""
    deep = _by_opencv(body, cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16 or (deep.ndim == 3 and deep.shape[2] not in (1, 3, 4)):
        return None
    pixels = cv2.convertScaleAbs(deep, alpha=1 / 257)
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return as_pixels(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB))
    if pixels.shape[2] == 4 and alpha == "white":
        return careful.pixels(Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)), alpha)
    return np.ascontiguousarray(pixels[..., 2::-1])
