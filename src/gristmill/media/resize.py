"""From a size to the wanted size, and the filters that make it.

Full antialiasing filters and OpenCV's INTER_AREA at uneven ratios cost more than the decoder. Three integer
filters with hand-written SIMD come within a few decibels of Lanczos: a small binomial blur that takes away what
the smaller grid cannot hold, an interpolation straight onto that grid, and a sharpening there that gives
back what blur and interpolation took of the rest. ``bench/`` has the figures.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from gristmill.media.arrays import PixelsHWC, as_pixels
from gristmill.media.settings import ImageSettings, Quality

__all__ = ["DECODE_FACTOR", "fit", "framed", "scaled"]

DECODE_FACTOR: dict[Quality, float] = {"fast": 1.75, "default": 1.75, "quality": 3}
"""How many times the wanted size a JPEG's reduced decoding must leave."""

# Blurs that OpenCV has whole: taps -> standard deviation in pixels of its binomial-like kernel.
_BLUR_SIGMA_PX = {3: 0.707, 5: 1.0, 7: 1.369, 9: 1.658}

# Least blur in target pixels. Less is faster, as fewer taps do, and lets more aliasing through.
_LEAST_SIGMA: dict[Quality, float] = {"fast": 0.24, "default": 0.30}

# Up to here interpolation alone is nearer to Lanczos than anything blurred; up to the next, three taps made to
# measure for this standard deviation in target pixels.
_NO_BLUR_RATIO, _MADE_RATIO, _MADE_SIGMA = 1.2, 1.68, 0.42

_ABRUPT_RATIO = 4.0


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


def scaled(pixels: PixelsHWC, size: tuple[int, int], quality: Quality) -> PixelsHWC:
    """Resize to ``size`` (width_px, height_px) with the filters of ``quality``."""
    width_px, height_px = size
    if pixels.shape[:2] == (height_px, width_px):
        return pixels
    if quality == "quality":
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))
    ratio = max(pixels.shape[1] / width_px, pixels.shape[0] / height_px)
    if ratio > _ABRUPT_RATIO:
        pixels = _resized(pixels, (2 * width_px, 2 * height_px), cv2.INTER_AREA)
        ratio = 2.0
    if ratio <= _NO_BLUR_RATIO:
        return _resized(pixels, size, cv2.INTER_CUBIC)
    blurred, sigma_px = _blurred(pixels, ratio, _LEAST_SIGMA[quality])
    return _sharpened(_resized(blurred, size, cv2.INTER_LINEAR), _strength(sigma_px / ratio))


def _resized(pixels: PixelsHWC, size: tuple[int, int], interpolation: int) -> PixelsHWC:
    return as_pixels(cv2.resize(pixels, size, interpolation=interpolation))


def _blurred(pixels: PixelsHWC, ratio: float, least_sigma: float) -> tuple[PixelsHWC, float]:
    """Blur for shrinking by ``ratio``; also says by what standard deviation, in pixels before shrinking."""
    if ratio < _MADE_RATIO:
        side = (_MADE_SIGMA * ratio) ** 2 / 2
        kernel = np.array((side, 1 - 2 * side, side), np.float32)
        return as_pixels(cv2.sepFilter2D(pixels, -1, kernel, kernel)), _MADE_SIGMA * ratio
    taps, sigma_px = next(
        ((n, sigma_px) for n, sigma_px in _BLUR_SIGMA_PX.items() if sigma_px >= least_sigma * ratio),
        (9, _BLUR_SIGMA_PX[9]),
    )
    return as_pixels(cv2.GaussianBlur(pixels, (taps, taps), 0)), sigma_px


def _strength(sigma: float) -> float:
    """Sharpening that undoes a blur of ``sigma`` target pixels and the linear interpolation behind it.

    A line through the best strengths found for ratios from 1.2 to 4 on photographs against Pillow's Lanczos.
    """
    return max(0.0, 0.74 * sigma - 0.16)


def _sharpened(pixels: PixelsHWC, strength: float) -> PixelsHWC:
    kernel = np.array((-strength, 1 + 2 * strength, -strength), np.float32)
    return as_pixels(cv2.sepFilter2D(pixels, -1, kernel, kernel))
