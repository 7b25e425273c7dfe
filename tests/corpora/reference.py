"""What a picture looks like, worked out a second time: Pillow's public API, step by step, no thought of speed."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
DEEP = ("I;16", "I;16B", "I;16L", "I")


class Unreadable(Exception):
    """Pillow does not read the file, or nobody can say what is white in it."""


def picture(body: bytes) -> NDArray[np.uint8]:
    """The first frame as uint8 RGB (height_px, width_px, 3): turned upright, in sRGB, on white.

    Raises:
        Unreadable: See there.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(body), formats=FORMATS) as image:
                if image.width * image.height > 50_000_000:
                    raise Unreadable("too many pixels")
                image.load()
                return np.asarray(ImageOps.exif_transpose(_on_white(image)))
        except Unreadable:
            raise
        except Exception as err:  # whatever Pillow raises on damaged files
            raise Unreadable(f"{type(err).__name__}: {err}") from err


def traits(body: bytes) -> set[str]:
    """What is odd about a readable file: turned, deep, profile, alpha, palette, cmyk, animated, progressive ..."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            bits = body[24] if image.format == "PNG" else 8
            if image.format == "TIFF":
                bits = max(image.tag_v2.get(258) or (1,))
            found = {
                "turned": image.getexif().get(0x0112, 1) in range(2, 9),
                "deep": bits > 8,
                "profile": "icc_profile" in image.info,
                "alpha": image.mode in ("LA", "RGBA", "La", "RGBa") or "transparency" in image.info,
                "palette": image.mode == "P",
                "bits": image.mode == "1",
                "cmyk": image.mode == "CMYK",
                "gamma": "gamma" in image.info,
                "animated": getattr(image, "n_frames", 1) > 1,
                "progressive": "progressive" in image.info or bool(image.info.get("interlace")),
                "mpo": image.format == "MPO",
            }
    return {name for name, yes in found.items() if yes}


def _on_white(image: Image.Image) -> Image.Image:
    icc, exif = image.info.get("icc_profile"), image.getexif()
    if image.mode in DEEP:
        deep, white = np.asarray(image).astype(np.float64), 65535
        if image.format == "TIFF" and image.tag_v2[258] == (12,):
            white = 4095
        if deep.min() < 0 or deep.max() > white:
            raise Unreadable("more than 16 bits")
        made = Image.fromarray(np.rint(deep / white * 255).astype(np.uint8)).convert("RGB")
    elif image.mode == "F":
        raise Unreadable("floating point")
    elif image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        made = ImageCms.profileToProfile(image, lab, ImageCms.createProfile("sRGB"), outputMode="RGB")
        icc = None
    elif image.mode == "CMYK":
        made = _by_profile(image, icc) or image.convert("RGB")
        icc = None
    else:
        layered = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        made = layered.convert("RGB")
        colours = _by_profile(made.convert("L") if image.mode == "L" else made, icc)
        made = Image.composite(colours or made, Image.new("RGB", made.size, "white"), layered.getchannel("A"))
        icc = None
    made = _by_profile(made, icc) or made
    made.info.update({k: v for k, v in image.info.items() if k in ("exif", "xmp", "XML:com.adobe.xmp")})
    made.getexif().update(exif)
    return made


def _by_profile(image: Image.Image, icc: bytes | None) -> Image.Image | None:
    if not icc:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
