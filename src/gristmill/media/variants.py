"""Perceptual hashes of a picture as people change it: mirrored, cropped."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from gristmill.media.arrays import PixelsHWC
from gristmill.media.phash import phash

__all__ = ["hashes_of_variants", "small_jpeg"]

_LEAST_DEVIATION = 4.0
"""Of grey values, 0 to 255: of pictures with less, which are near-constant, hashes are noise."""
_CROPS = {  # parts of the height and the width that are cut off: top, bottom, left, right
    "": (0.0, 0.0, 0.0, 0.0),
    "cropped": (0.05, 0.05, 0.05, 0.05),
    "cropped at the top": (0.1, 0.0, 0.0, 0.0),
    "cropped at the bottom": (0.0, 0.1, 0.0, 0.0),
    "cropped at the left": (0.0, 0.0, 0.1, 0.0),
    "cropped at the right": (0.0, 0.0, 0.0, 0.1),
}


def hashes_of_variants(body: bytes) -> dict[str, str] | None:
    """The hash of a picture as it is, by the name ``""``, and of its variants; None of a near-constant one.

    Variants are the picture without a tenth of its height or width, at one edge or at two, each also mirrored, and
    the picture mirrored: twelve in all.

    Args:
        body: A JPEG of our own encoder.
    """
    pixels = _pixels(body)
    if float(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).std()) < _LEAST_DEVIATION:
        return None
    return dict(_hashes(pixels))


def _hashes(pixels: PixelsHWC) -> Iterator[tuple[str, str]]:
    high, wide = pixels.shape[:2]
    for name, (top, bottom, left, right) in _CROPS.items():
        part = pixels[
            round(top * high) : high - round(bottom * high), round(left * wide) : wide - round(right * wide)
        ]
        yield name, phash(np.ascontiguousarray(part))
        yield (
            f"mirrored, {name}" if name else "mirrored",
            phash(np.ascontiguousarray(part[:, ::-1])),
        )


def small_jpeg(body: bytes, side_px: int) -> bytes:
    """The picture with a longer side of ``side_px``, as a JPEG.

    Args:
        body: A JPEG of our own encoder.
        side_px: Of the longer side.
    """
    pixels = _pixels(body)
    factor = side_px / max(pixels.shape[:2])
    high, wide = (max(1, round(side * factor)) for side in pixels.shape[:2])
    shown = cv2.resize(pixels, (wide, high), interpolation=cv2.INTER_AREA)
    written = cv2.imencode(".jpg", cv2.cvtColor(shown, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return bytes(written)


def _pixels(body: bytes) -> PixelsHWC:
    decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)
