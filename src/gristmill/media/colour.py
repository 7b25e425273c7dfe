"""Embedded colour profiles: pixels to sRGB, where it makes a difference.

A profile is judged by what it does to a lattice of colours, not by its name: most of the web's profiles are
sRGB under fifty names. The judgement is kept for each distinct profile, so it costs once.
"""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageCms

from gristmill.media.arrays import PixelsHWC

__all__ = ["from_cmyk", "is_srgb", "to_srgb"]

SRGB_TOLERANCE = 4
"""Levels of 255 by which no lattice colour may move if a profile is to count as sRGB."""


def to_srgb(pixels: PixelsHWC, icc: bytes | None) -> PixelsHWC:
    """Convert RGB pixels from an embedded RGB or grey profile to sRGB; an unreadable one changes nothing."""
    if icc is None or is_srgb(icc):
        return pixels
    transform = _transform(icc)
    if transform is None or (transform.input_mode == "L" and not _is_grey(pixels)):
        return pixels
    return _moved(pixels, transform)


def from_cmyk(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert a CMYK image to RGB: by its profile, or as its inks' complement where it has none that works."""
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            converted = ImageCms.profileToProfile(image, profile, _srgb(), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


@functools.lru_cache(maxsize=64)
def is_srgb(icc: bytes | None) -> bool:
    """Does the profile leave every colour where it is, within ``SRGB_TOLERANCE``? None is sRGB."""
    transform = _transform(icc) if icc else None
    if transform is None:
        return True
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    if transform.input_mode == "L":
        lattice = np.repeat(steps, 3).reshape(1, 9, 3)
    else:
        lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    moved = _moved(lattice, transform)
    return int(np.abs(moved.astype(np.int16) - lattice).max()) <= SRGB_TOLERANCE


def _moved(pixels: PixelsHWC, transform: ImageCms.ImageCmsTransform) -> PixelsHWC:
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert(transform.input_mode)
    return np.asarray(ImageCms.applyTransform(image, transform))


def _is_grey(pixels: PixelsHWC) -> bool:
    return np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2])


@functools.lru_cache(maxsize=64)
def _transform(icc: bytes) -> ImageCms.ImageCmsTransform | None:
    """From an RGB or grey profile to sRGB, or None where littlecms cannot make one."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        mode = {"RGB": "RGB", "GRAY": "L"}.get(profile.profile.xcolor_space.strip())
        return ImageCms.ImageCmsTransform(profile, _srgb(), mode, "RGB") if mode else None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
