"""From a size to the wanted size, and the filters that make it.

Full antialiasing filters and OpenCV's INTER_AREA at uneven ratios cost more than the decoder. Three filters with
hand-written SIMD come within a few decibels of Lanczos: a small blur that takes away what the smaller grid cannot
hold, an interpolation straight onto that grid, and a sharpening there that gives back what blur and interpolation
took of the rest. ``bench/`` has the figures.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from PIL import Image

from gristmill.media.arrays import PixelsHWC, as_pixels
from gristmill.media.settings import ImageSettings, Quality

__all__ = ["DECODE_FACTOR", "fit", "framed", "scaled"]

DECODE_FACTOR: dict[Quality, float] = {"fast": 1.25, "default": 1.5, "quality": 3}
"""How many times the wanted size a JPEG's reduced decoding must leave: less is faster, and what libjpeg's reduced
decoding lets alias shows more."""

# Up to the second, nothing is blurred: what aliases harms less than a blur would. Cubic interpolation is nearest to
# Lanczos up to the first, linear, which lets less through, above.
_CUBIC_RATIO, _LINEAR_RATIO = 1.35, 1.5

# Up to the first, [1 2 1] / 4 both ways; above, a box of the largest odd number of pixels that are not more than the
# second in target pixels. What a box costs hardly grows with it: three times that of 3 pixels from 7 on.
_BINOMIAL_RATIO, _BOX_WIDTH = 2.05, 1.6

_MOST_MARGIN_PX = 8
"""Of a canvas; see ``_canvas``."""


def fit(width_px: int, height_px: int, settings: ImageSettings) -> tuple[int, int]:
    """Size in pixels to which an image is scaled, before a centre crop or a border.

    The named side becomes ``size_px``; the other is floored (as the published COYO script does), at least 1.
    """
    size_px, mode = settings.size_px, settings.resize_mode
    if mode == "no":
        return width_px, height_px
    longer = mode in ("keep_ratio_largest", "border")
    side_px = max(width_px, height_px) if longer else min(width_px, height_px)
    if side_px == size_px or (side_px < size_px and not settings.enlarge):
        return width_px, height_px
    return max(1, width_px * size_px // side_px), max(1, height_px * size_px // side_px)


def framed(pixels: PixelsHWC, settings: ImageSettings) -> PixelsHWC:
    """Cut the middle square or add white borders, where the resize mode says so."""
    height_px, width_px = pixels.shape[:2]
    if settings.resize_mode == "center_crop":
        side_px = min(width_px, height_px, settings.size_px)
        top, left = (height_px - side_px) // 2, (width_px - side_px) // 2
        return pixels[top : top + side_px, left : left + side_px]
    if settings.resize_mode == "border":
        top, left = (settings.size_px - height_px) // 2, (settings.size_px - width_px) // 2
        paper = np.full((settings.size_px, settings.size_px, 3), 255, np.uint8)
        paper[top : top + height_px, left : left + width_px] = pixels
        return paper
    return pixels


def scaled(
    pixels: PixelsHWC, size: tuple[int, int], quality: Quality, *, span: tuple[float, float] | None = None
) -> PixelsHWC:
    """Resize to ``size`` (width_px, height_px) with the filters of ``quality``.

    Args:
        pixels: uint8, shape (height_px, width_px, 3).
        size: Wanted size.
        quality: Which filters.
        span: (width, height), in ``pixels``' own pixels, of the picture in them: where a JPEG of 1001 px was decoded
            at a half, 500.5 of 501. Taken for 501 it would come out too narrow. None is all of them.
    """
    width_px, height_px = size
    if pixels.shape[:2] == (height_px, width_px):
        return pixels
    span = span or (pixels.shape[1], pixels.shape[0])
    if quality == "quality":
        image = Image.fromarray(pixels)
        return np.asarray(image.resize(size, Image.Resampling.BICUBIC, box=(0, 0, *span), reducing_gap=2.0))
    ratio = max(span[0] / width_px, span[1] / height_px)
    if ratio <= _CUBIC_RATIO:
        return _resized(pixels, span, size, cv2.INTER_CUBIC)
    if ratio <= _LINEAR_RATIO:
        return _resized(pixels, span, size, cv2.INTER_LINEAR)
    blurred, sigma_px = _blurred(pixels, ratio)
    return _sharpened(_resized(blurred, span, size, cv2.INTER_LINEAR), _strength(sigma_px / ratio))


def _resized(
    pixels: PixelsHWC, span: tuple[float, float], size: tuple[int, int], interpolation: int
) -> PixelsHWC:
    """Bring the span to ``size``: OpenCV knows whole pixels only, so on canvases of the right proportion."""
    height_px, width_px = pixels.shape[:2]
    (across_px, wide_px), (down_px, high_px) = map(_canvas, span, size)
    if (across_px, down_px) != (width_px, height_px):
        margins = (0, down_px - height_px, 0, across_px - width_px)
        pixels = as_pixels(cv2.copyMakeBorder(pixels, *margins, cv2.BORDER_REPLICATE))
    canvas = as_pixels(cv2.resize(pixels, (wide_px, high_px), interpolation=interpolation))
    return canvas[: size[1], : size[0]]


def _canvas(span: float, wanted_px: int) -> tuple[int, int]:
    """Whole numbers of pixels, not smaller, in the nearest proportion to that of ``span`` to ``wanted_px``."""
    most_px = min(_MOST_MARGIN_PX, wanted_px // 16)
    pairs = [
        (max(math.ceil(span), round(span * wide_px / wanted_px)), wide_px)
        for wide_px in range(wanted_px, wanted_px + most_px + 1)
    ]
    return min(pairs, key=lambda pair: abs(pair[0] / pair[1] - span / wanted_px))


def _blurred(pixels: PixelsHWC, ratio: float) -> tuple[PixelsHWC, float]:
    """Blur for shrinking by ``ratio``; also says by what standard deviation, in pixels before shrinking."""
    if ratio <= _BINOMIAL_RATIO:
        return as_pixels(cv2.GaussianBlur(pixels, (3, 3), 0)), math.sqrt(1 / 2)
    taps = 2 * int((_BOX_WIDTH * ratio + 1) / 2) - 1
    return as_pixels(cv2.blur(pixels, (taps, taps))), math.sqrt((taps**2 - 1) / 12)


def _strength(sigma: float) -> float:
    """Sharpening that undoes a blur of ``sigma`` target pixels and the linear interpolation behind it.

    A line through the best strengths found for ratios from 1.5 to 6 on photographs against Pillow's Lanczos.
    """
    return 0.74 * sigma - 0.16


def _sharpened(pixels: PixelsHWC, strength: float) -> PixelsHWC:
    kernel = np.array((-strength, 1 + 2 * strength, -strength), np.float32)
    return as_pixels(cv2.sepFilter2D(pixels, -1, kernel, kernel))
