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

__all__ = ["is_srgb", "to_srgb"]

SRGB_TOLERANCE = 4
"""Levels of 255 by which no lattice colour may move if a profile is to count as sRGB."""


def to_srgb(pixels: PixelsHWC, icc: bytes | None) -> PixelsHWC:
    """Convert RGB pixels from an embedded profile to sRGB; unreadable, grey and CMYK profiles change nothing."""
    if is_srgb(icc) or icc is None:
        return pixels
    transform = _transform(icc)
    return np.asarray(ImageCms.applyTransform(Image.fromarray(pixels), transform)) if transform else pixels


@functools.lru_cache(maxsize=64)
def is_srgb(icc: bytes | None) -> bool:
    """Does the profile leave every colour where it is, within ``SRGB_TOLERANCE``?"""
    if icc is None:
        return True
    transform = _transform(icc)
    if transform is None:
        return True
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(lattice), transform))
    return int(np.abs(moved.astype(np.int16) - lattice).max()) <= SRGB_TOLERANCE


@functools.lru_cache(maxsize=64)
def _transform(icc: bytes) -> ImageCms.ImageCmsTransform | None:
    """From an RGB profile to sRGB, or None where littlecms cannot make one."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if profile.profile.xcolor_space.strip() != "RGB":
            return None
        return ImageCms.ImageCmsTransform(profile, _srgb(), "RGB", "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
