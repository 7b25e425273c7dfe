"""Any number of different pictures out of the shipped photographs (``photos/``, see its ATTRIBUTION.md).

A picture's name decides everything: which photograph, which crop, which size, which quality. Crops and sizes
are few (`VARIANTS` a photograph) and derived when first asked for. What makes each JPEG differ from all others
costs nothing: some steps of its luma quantisation table are raised by one, as its name says, so bytes and
pixels change a little while no coefficient is coded again.
"""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from gristmill.media.phash import phash

__all__ = ["VARIANTS", "Picture", "Pictures", "mix", "shipped_pictures"]

VARIANTS = 6

_WIDTHS_PX = (320, 400, 480, 560, 640, 720, 800, 1024)
_QUALITIES = (75, 80, 85, 90)
_OTHER_FORMATS_PX = 400  # PNG, WebP and GIF are coded for each name, so they are kept small
_PIL_FORMATS = {"png": "PNG", "webp": "WEBP", "gif": "GIF"}
_FIRST_RAISED, _RAISED = 16, 32  # zigzag positions in the luma table: fine detail, not the broad strokes
_UINT64 = 2**64 - 1

RGB = npt.NDArray[np.uint8]
UInt64s = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Picture:
    """Encoded bytes with what is true of them; ``phash`` as `imagehash.phash` writes it (16 hex digits)."""

    data: bytes
    width: int
    height: int
    phash: str


def mix(numbers: UInt64s) -> UInt64s:
    """Finaliser of SplitMix64: scatters integers over 64 bits, the same for a number alone or in an array."""
    with np.errstate(over="ignore"):
        z = numbers + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


class Pictures:
    """Pictures by number, derived from photographs given as JPEG bytes; safe to use from several threads."""

    def __init__(self, photographs: tuple[bytes, ...]) -> None:
        self._photographs = photographs
        self._lock = threading.Lock()
        self._jpegs: dict[tuple[int, int | None], Picture] = {}
        self._others: Callable[[str, int, int | None], Picture] = functools.lru_cache(2048)(
            self._encode_other
        )
        self._whole: Callable[[int], RGB] = functools.lru_cache(1)(self._decode)  # its variants come together

    @property
    def count(self) -> int:
        """Pictures that differ by more than a trace of noise."""
        return len(self._photographs) * VARIANTS

    def variants(self, numbers: UInt64s) -> npt.NDArray[np.int64]:
        """Say which of the `count` variants each number shows."""
        return (mix(numbers) % np.uint64(self.count)).astype(np.int64)

    def subject(self, variant: int) -> int:
        """Say which photograph a variant is cut from: its place in the sorted list of files."""
        return variant // VARIANTS

    def ready(self, number: int, kind: str = "jpg", width_px: int | None = None) -> bool:
        """Say whether `get` would answer without deriving anything."""
        return kind == "jpg" and (self._variant(number), width_px) in self._jpegs

    def get(self, number: int, kind: str = "jpg", width_px: int | None = None) -> Picture:
        """The picture of that number, as jpg, png, webp or gif.

        Args:
            number: any integer from 0 to 2**64 - 1.
            kind: file name extension.
            width_px: exact width; by default the number decides.

        Raises:
            KeyError: If the kind is unknown.
        """
        if kind == "jpg":
            base = self.variant(self._variant(number), width_px)
            return Picture(_marked(base.data, number), base.width, base.height, base.phash)
        return self._others(_PIL_FORMATS[kind], number, width_px)

    def variant(self, variant: int, width_px: int | None = None) -> Picture:
        """One of the `count` variants as JPEG, without the trace that tells numbers apart."""
        with self._lock:
            found = self._jpegs.get((variant, width_px))
            if found is None:
                found = self._jpegs[variant, width_px] = self._derive(variant, width_px)
            return found

    def _variant(self, number: int) -> int:
        return _seed(number) % self.count

    def _derive(self, variant: int, width_px: int | None) -> Picture:
        seed = _seed(variant)
        pixels = self._cut(variant, width_px)
        quality = _QUALITIES[seed % len(_QUALITIES)]
        data = simplejpeg.encode_jpeg(pixels, quality=quality, colorspace="RGB", colorsubsampling="420")
        return _picture(data, pixels)

    def _cut(self, variant: int, width_px: int | None) -> RGB:
        """RGB pixels of a variant: a crop of 80 to 100 % of each side, scaled."""
        whole = self._whole(self.subject(variant))
        seed = _seed(variant)
        height, width = whole.shape[:2]
        cut_w, cut_h = (
            side - side * (seed >> shift) % (side // 5) for side, shift in ((width, 3), (height, 13))
        )
        left, top = (seed >> 23) % (width - cut_w + 1), (seed >> 33) % (height - cut_h + 1)
        target = width_px or min(cut_w, _WIDTHS_PX[(seed >> 43) % len(_WIDTHS_PX)])
        size = (target, max(1, round(cut_h * target / cut_w)))
        interpolation = cv2.INTER_AREA if target < cut_w else cv2.INTER_CUBIC
        scaled = cv2.resize(whole[top : top + cut_h, left : left + cut_w], size, interpolation=interpolation)
        return scaled.astype(np.uint8, copy=False)

    def _decode(self, subject: int) -> RGB:
        whole: RGB = simplejpeg.decode_jpeg(self._photographs[subject], colorspace="RGB")
        return whole

    def _encode_other(self, pil_format: str, number: int, width_px: int | None) -> Picture:
        """As PNG, WebP or GIF; the number shifts the crop by some pixels, so that each differs."""
        pixels = self._cut(self._variant(number), (width_px or _OTHER_FORMATS_PX) + 16)
        seed = _seed(number)
        left, top = seed % 16, (seed >> 8) % 16
        bottom = pixels.shape[0] - (seed >> 16) % 16
        pixels = pixels[top:bottom, left : left + pixels.shape[1] - 16]
        image, file = Image.fromarray(pixels), io.BytesIO()
        if pil_format == "GIF":
            image = image.quantize(method=Image.Quantize.FASTOCTREE)
        settings: dict[str, Any] = {"WEBP": {"quality": 80, "method": 0}, "PNG": {"compress_level": 1}}
        image.save(file, pil_format, **settings.get(pil_format, {}))
        return _picture(file.getvalue(), pixels)


@functools.cache
def shipped_pictures() -> Pictures:
    """Pictures from the photographs in the package; one instance a process."""
    return Pictures(tuple(photograph for _, photograph in shipped_photographs()))


@functools.cache
def shipped_photographs() -> tuple[tuple[str, bytes], ...]:
    """Name and JPEG bytes of the photographs in the package, by name."""
    files = resources.files("gristmill.testing").joinpath("photos").iterdir()
    return tuple(sorted((f.name[:-4], f.read_bytes()) for f in files if f.name.endswith(".jpg")))


def _seed(number: int) -> int:
    """`mix` of one number, without the cost of an array."""
    z = (number + 0x9E3779B97F4A7C15) & _UINT64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _UINT64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _UINT64
    return z ^ (z >> 31)


def _picture(data: bytes, pixels: RGB) -> Picture:
    height, width = pixels.shape[:2]
    return Picture(data, width, height, phash(pixels))


def _marked(jpeg: bytes, number: int) -> bytes:
    """The JPEG with its luma quantisation table (ITU-T T.81, B.2.4.1) nudged as the number says."""
    start = jpeg.index(b"\xff\xdb") + 5 + _FIRST_RAISED
    bits = _seed(number) >> 16
    raised = bytes(min(255, q + (bits >> i & 1)) for i, q in enumerate(jpeg[start : start + _RAISED]))
    return jpeg[:start] + raised + jpeg[start + _RAISED :]
