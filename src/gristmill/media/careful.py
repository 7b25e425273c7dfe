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
        except Image.DecompressionBombError as err:  # a GIF's first frame may be larger than its screen
            raise Undecodable(Reason.TOO_MANY_PIXELS, f"{name}: {err}") from err
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
        return _from_deep(np.asarray(image, dtype=np.int64), _white(image))
    if image.mode == "F":
        raise Undecodable(Reason.UNSUPPORTED, "floating-point pixels have no agreed white")
    if image.mode == "CMYK":
        return np.asarray(colour.from_cmyk(image, image.info.get("icc_profile")))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layered = _as(_as(image, "LA") if image.mode == "La" else image, "RGBA")
        if alpha == "white":
            paper = Image.new("RGB", layered.size, (255, 255, 255))
            paper.paste(layered, mask=layered.getchannel("A"))
            return np.asarray(paper)
        return np.asarray(layered.convert("RGB"))
    return np.asarray(_as(image, "RGB"))


def _as(image: Image.Image, mode: str) -> Image.Image:
    """Convert, without the copy that Pillow makes where there is nothing to convert."""
    image.load()
    return image if image.mode == mode else image.convert(mode)


def _white(image: Image.Image) -> int:
    """The value that is white in a grey image of 16 bits; TIFF's 12 bits come in their lower part (TIFF 6.0)."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(ExifTags.Base.BitsPerSample, (16,))[0]
        return int((1 << bits) - 1) if 8 < bits < 16 else 0xFFFF
    return 0xFFFF


def _from_deep(grey: np.ndarray, white: int) -> PixelsHWC:
    if grey.size and (grey.min() < 0 or grey.max() > white):
        raise Undecodable(Reason.UNSUPPORTED, f"pixels beyond {white}, the white of 16 bits or fewer")
    return np.repeat(((grey * 255 + white // 2) // white).astype(np.uint8)[..., None], 3, axis=2)
