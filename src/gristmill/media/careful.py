"""The careful way, through Pillow: every format and pixel layout that the fast decoders do not get right.

Pillow's format classes are called directly, so no format outside the table is ever tried.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from gristmill.media import colour
from gristmill.media.arrays import PixelsHWC
from gristmill.media.errors import Undecodable
from gristmill.spec.reasons import Reason

__all__ = ["opened", "orientation", "pixels"]

_FORMATS: dict[str, type[ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
}

# What Pillow's readers raise on damaged files; the tuple is long because each was written by another hand.
_REFUSALS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    ZeroDivisionError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
)

# Pillow's AVIF decoder starts a thread for each core otherwise, with a stack each; we start a process for each.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


@contextlib.contextmanager
def opened(body: bytes, name: str) -> Iterator[ImageFile.ImageFile]:
    """Open ``body`` as the format ``name``; its size is known then, its pixels are not decoded yet.

    Raises:
        Undecodable: TRUNCATED or UNDECODABLE, also for what Pillow raises inside the ``with`` block.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with _FORMATS[name](io.BytesIO(body)) as image:
                yield image
        except MemoryError as err:
            raise Undecodable(Reason.UNDECODABLE, f"{name}: needs too much memory") from err
        except _REFUSALS as err:
            cut = any(word in str(err).lower() for word in ("truncat", "unexpected end", "not enough", "eof"))
            raise Undecodable(Reason.TRUNCATED if cut else Reason.UNDECODABLE, f"{name}: {err}") from err


def orientation(image: ImageFile.ImageFile) -> int:
    """EXIF orientation that is still to be applied, 1 to 8. Pillow turns a TIFF by itself."""
    said = 1 if image.format == "TIFF" else image.getexif().get(ExifTags.Base.Orientation, 1)
    return said if said in range(1, 9) else 1


def pixels(image: Image.Image, alpha: str) -> PixelsHWC:
    """Decode an opened image to RGB: 16 bits scaled by 257, the first frame, alpha by choice.

    Args:
        image: An opened image.
        alpha: ``white`` or ``drop``; see ``ImageSettings``.

    Returns:
        uint8 RGB, shape (height_px, width_px, 3).

    Raises:
        Undecodable: UNSUPPORTED for floating-point and 32-bit pixels.
    """
    if image.mode in _SIXTEEN_BIT or image.mode == "I":
        return _from_deep(np.asarray(image, dtype=np.int64))
    if image.mode == "F":
        raise Undecodable(Reason.UNSUPPORTED, "floating-point pixels have no agreed white")
    if image.mode == "CMYK":
        return np.array(colour.from_cmyk(image, image.info.get("icc_profile")))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layered = image.convert("RGBA")
        if alpha == "white":
            paper = Image.new("RGB", layered.size, (255, 255, 255))
            paper.paste(layered, mask=layered.getchannel("A"))
            return np.array(paper)
        return np.array(layered.convert("RGB"))
    return np.array(image.convert("RGB"))


def _from_deep(grey: np.ndarray) -> PixelsHWC:
    if grey.size and (grey.min() < 0 or grey.max() > 0xFFFF):
        raise Undecodable(Reason.UNSUPPORTED, "pixels of more than 16 bits")
    return np.repeat(((grey + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
