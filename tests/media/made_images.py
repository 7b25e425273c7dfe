"""Generated images: like photographs in that power falls with frequency, and the same every time."""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def photo(width_px: int, height_px: int, seed: int = 0) -> Image.Image:
    """Noise with amplitude about 1 / frequency in each of three correlated channels."""
    return Image.fromarray(_noise(width_px, height_px, seed))


@lru_cache(maxsize=24)  # tests ask for the same ones in several formats
def _noise(width_px: int, height_px: int, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(height_px)[:, None], np.fft.rfftfreq(width_px)[None, :]
    falloff = 1 / np.maximum(np.hypot(fy, fx), 2 / max(width_px, height_px)) ** 1.2
    luma, red, blue = (
        np.fft.irfft2(
            np.fft.rfft2(rng.standard_normal((height_px, width_px))) * falloff, s=(height_px, width_px)
        )
        for _ in range(3)
    )
    channels = np.stack((luma + 0.3 * red, luma, luma + 0.3 * blue), axis=-1)
    channels = 128 + 50 * channels / channels.std()
    return np.clip(channels, 0, 255).astype(np.uint8)


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **({"quality": 90} if kind == "JPEG" else {}) | options)
    return out.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def png(rows: NDArray[Any], colour: int, extra: bytes = b"") -> bytes:
    """A PNG of 8 or 16 bits by hand: ``rows`` has shape (height_px, width_px, channels)."""
    bits = rows.dtype.itemsize * 8
    height_px, width_px = rows.shape[:2]
    raw = b"".join(b"\0" + row.astype(rows.dtype.newbyteorder(">")).tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width_px, height_px, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def opened(body: bytes) -> NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(body)).convert("RGB")).astype(np.int16)


def psnr(a: NDArray[Any], b: NDArray[Any]) -> float:
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))
