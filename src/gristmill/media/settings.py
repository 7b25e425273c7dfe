"""What shall become of an image: plain data, part of a step's identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from gristmill.spec.errors import UsageError

__all__ = [
    "CHECKING",
    "Decoding",
    "Format",
    "ImageSettings",
    "Quality",
    "ResizeMode",
    "check_decoders",
    "thumbnails",
]

ResizeMode = Literal["no", "keep_ratio", "keep_ratio_largest", "center_crop", "border"]
Format = Literal["jpeg", "png", "webp"]
Quality = Literal["fast", "default", "quality"]

MOST_CODECS = 64
"""Each is a process."""
LONGEST_DECODING_S = 600
"""A worker that gets nowhere for fifteen minutes is taken for stuck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """Says how images are checked, resized and encoded.

    Attributes:
        resize_mode: img2dataset's names. ``keep_ratio``: the shorter side becomes ``size_px``, the other is
            floored; ``keep_ratio_largest``: the longer side becomes ``size_px``; ``center_crop``: as
            ``keep_ratio``, then the middle square; ``border``: as ``keep_ratio_largest``, then white borders
            to a square of ``size_px``; ``no``: as it is.
        size_px: Wanted side, in pixels.
        enlarge: Also bring smaller images to ``size_px``. Without it they keep their size (``center_crop``
            then cuts the largest square, ``border`` still pads).
        format: Format of the stored bytes.
        encode_quality: Quality of the encoder, 1 to 100; for PNG without meaning.
        keep_original: Store the bytes as they came where they are a JPEG that already fits: not larger than
            wanted, upright, RGB or grey, sRGB, and with at most 128 KiB of metadata. What follows the end of the
            image is cut off.
        min_side_px: Refuse images whose shorter side is smaller. 0 is off.
        max_aspect: Refuse images whose longer side is more than this many times the shorter. 0 is off.
        quality: ``default`` resizes at least as well as OpenCV's INTER_AREA on the fully decoded image,
            ``fast`` a little worse and faster, ``quality`` close to Pillow's antialiased bicubic.
        alpha: ``white`` puts transparent images on white; ``drop`` shows the colours that transparency hides,
            as ``PIL.Image.convert("RGB")`` does.
        orientation: ``apply`` turns the image as its EXIF orientation says; ``ignore`` leaves it.
        max_pixels: Refuse images with more pixels, from the header.
        max_side_px: Refuse images with a longer side, from the header.
        phash: Measure the perceptual hash.
        only_check: Decode, and keep the bytes as they came, whatever their format: of the rest only the limits
            on pixels, sides and aspect apply.
    """

    resize_mode: ResizeMode = "keep_ratio"
    size_px: int = 336
    enlarge: bool = False
    format: Format = "jpeg"
    encode_quality: int = 75
    keep_original: bool = False
    min_side_px: int = 0
    max_aspect: float = 0
    quality: Quality = "default"
    alpha: Literal["white", "drop"] = "white"
    orientation: Literal["apply", "ignore"] = "apply"
    max_pixels: int = 50_000_000
    max_side_px: int = 65_535
    phash: bool = True
    only_check: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (
            ("size_px", 1, 16_384),
            ("encode_quality", 1, 100),
            ("min_side_px", 0, 65_535),
            ("max_pixels", 1, 1_000_000_000),
            ("max_side_px", 1, 65_535),
        ):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} must be from {low} to {high}, not {getattr(self, name)}.")
        if self.max_aspect and self.max_aspect < 1:
            raise UsageError(
                f"max_aspect is longer side / shorter side: 0 (off) or at least 1, not {self.max_aspect}."
            )
        for name, known in (
            ("resize_mode", ("no", "keep_ratio", "keep_ratio_largest", "center_crop", "border")),
            ("format", ("jpeg", "png", "webp")),
            ("quality", ("fast", "default", "quality")),
            ("alpha", ("white", "drop")),
            ("orientation", ("apply", "ignore")),
        ):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}.")


CHECKING = ImageSettings(only_check=True, max_pixels=1_000_000_000, phash=False)
"""For pictures that were kept already: whether they are whole, by the judge that let them in."""


def thumbnails(side_px: int) -> ImageSettings:
    """For small pictures on a page: a longer side of at most ``side_px``."""
    return ImageSettings(
        resize_mode="keep_ratio_largest", size_px=side_px, encode_quality=70, quality="fast", phash=False
    )


def check_decoders(decoding: Decoding) -> None:
    """See that there are some decoders, not thousands, and that each has some time.

    Raises:
        UsageError: They would never start, or never end.
    """
    if not 1 <= decoding.codecs <= MOST_CODECS:
        raise UsageError(f"codecs must be from 1 to {MOST_CODECS}, not {decoding.codecs}.")
    if not 0 < decoding.codec_deadline_s <= LONGEST_DECODING_S:
        raise UsageError(
            f"codec_deadline_s must be more than 0 and at most {LONGEST_DECODING_S}, not {decoding.codec_deadline_s}."
        )


class Decoding(Protocol):
    """Holds what a step says of its decoders."""

    @property
    def codecs(self) -> int:
        """Decoding processes."""

    @property
    def codec_deadline_s(self) -> float:
        """For one picture."""

    def image_settings(self) -> ImageSettings:
        """Say what is done with every picture."""
