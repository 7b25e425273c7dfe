"""An image from a stranger to the image that is stored."""

from __future__ import annotations

import math

import cv2
import numpy as np
import simplejpeg

from gristmill.media import careful, limits
from gristmill.media.arrays import PixelsHWC, as_pixels
from gristmill.media.colour import is_srgb, to_srgb
from gristmill.media.decode import decoded
from gristmill.media.errors import Undecodable
from gristmill.media.head import PNG_END, ImageHead, head, jpeg_extent
from gristmill.media.phash import phash
from gristmill.media.png_check import has_all_lines, is_whole
from gristmill.media.resize import DECODE_FACTOR, fit, framed, scaled
from gristmill.media.settings import Format, ImageSettings
from gristmill.media.transcoded import Transcoded
from gristmill.spec.reasons import Reason

__all__ = ["ImageHead", "Transcoded", "Undecodable", "decodes", "head", "transcode"]


MIDDLE_SQUARES = 3
"""Of a long and thin picture whose middle is kept, so many are enlarged: its edges show what lies beside it."""

_MOST_SIDE_PX: dict[Format, int] = {"jpeg": 65_500, "webp": 16_383, "png": 65_535}
META_MAX_BYTES = 128 << 10
"""Of an original that is kept: two full segments, for an EXIF with its thumbnail and something beside."""
_HASHED = (96, 96)
"""As many pixels as the perceptual hash wants at least: it begins with three times 32 a side."""


def transcode(body: bytes, settings: ImageSettings) -> Transcoded:
    """Decode, orient, resize and encode one image.

    Deterministic: the same bytes and settings give the same result in every process.

    Raises:
        Undecodable: EMPTY, NOT_AN_IMAGE, UNSUPPORTED, TRUNCATED, UNDECODABLE, TOO_MANY_PIXELS,
            TOO_SMALL or ASPECT.
    """
    found = head(body)
    _admit(found, settings)
    limits.allow_pixels(found.width_px * found.height_px)
    if settings.only_check:
        pixels = _see_whole(body, found, least=_HASHED if settings.phash else None)
        return _as_it_came(found, None if pixels is None else phash(pixels))
    if found.unended_at:
        body = body[: found.unended_at] + PNG_END
        if not has_all_lines(body):
            raise Undecodable(Reason.TRUNCATED, "the PNG has no end chunk, and not all of its lines")
    span = _needed(found, settings)
    size = fit(*span, settings)
    limits.allow_pixels(max(found.width_px * found.height_px, size[0] * size[1]))
    factor = DECODE_FACTOR[settings.quality]
    least = None
    if size != span:
        least = math.ceil(factor * size[0]), math.ceil(factor * size[1])
    rough = settings.quality != "quality"
    pixels = decoded(body, found, least=least, alpha=settings.alpha, rough=rough, unended=True)
    reduced = round(found.width_px / pixels.shape[1])
    fingerprint = phash(pixels) if settings.phash else None
    if span != (found.width_px, found.height_px):
        pixels = _middle(pixels, span)
    small = scaled(pixels, size, settings.quality, span=(span[0] / reduced, span[1] / reduced))
    kept = _original(body) if _may_stay(found, size, settings) else None
    if kept is None:
        small = to_srgb(small, found.icc)
        small = _upright(framed(small, settings), found.orientation if settings.orientation == "apply" else 1)
    return Transcoded(
        body=kept if kept is not None else encoded(small, settings),
        format="jpeg" if kept is not None else settings.format,
        width_px=small.shape[1],
        height_px=small.shape[0],
        original_width_px=found.width_px,
        original_height_px=found.height_px,
        original_format=found.format,
        orientation=found.orientation,
        phash=fingerprint,
        kept_original=kept is not None,
    )


def decodes(body: bytes) -> None:
    """Say whether all of an image is there: the one judge of pictures that are kept as they are, or were.

    For pictures from strangers it is asked in a decoder's process: by :class:`gristmill.media.pool.CodecPool` with
    ``settings.CHECKING``.

    Raises:
        Undecodable: If it is not an allowed format, or any part of it is missing or damaged.
    """
    _see_whole(body, head(body))


def _see_whole(body: bytes, found: ImageHead, least: tuple[int, int] | None = None) -> PixelsHWC | None:
    """Decode all of an image; trainers' Pillow, which is strict about chunks, opens it as well.

    A JPEG is decoded at an eighth of its size: every bit of it is read and every error found all the same, since
    what is left out (the inverse transform, the colours) cannot fail. A plain PNG is known by its checksums.

    Args:
        body: The bytes.
        found: Their header.
        least: The size, (width_px, height_px), of the pixels that are wanted; none are, if None.

    Raises:
        Undecodable: TRUNCATED, UNDECODABLE or UNSUPPORTED.
    """
    if found.unended_at:
        raise Undecodable(Reason.TRUNCATED, "the PNG has no end chunk")
    plain = found.format == "png" and is_whole(body)
    pixels = None
    if least is not None:
        pixels = decoded(body, found, least=least, alpha="white")
    elif not plain:
        decoded(body, found, least=(1, 1), alpha="drop")
    with careful.opened(body, found.format) as image:
        if found.format == "png" and not plain:
            image.load()
    return pixels


def _as_it_came(found: ImageHead, fingerprint: str | None) -> Transcoded:
    return Transcoded(
        body=b"",
        format=found.format,
        width_px=found.width_px,
        height_px=found.height_px,
        original_width_px=found.width_px,
        original_height_px=found.height_px,
        original_format=found.format,
        orientation=found.orientation,
        phash=fingerprint,
        kept_original=True,
    )


def _admit(found: ImageHead, settings: ImageSettings) -> None:
    """Refuse by the header's size.

    Raises:
        Undecodable: TOO_MANY_PIXELS, TOO_SMALL or ASPECT.
    """
    short_px, long_px = sorted((found.width_px, found.height_px))
    said = f"{found.width_px} x {found.height_px} px"
    if short_px * long_px > settings.max_pixels or long_px > settings.max_side_px:
        raise Undecodable(Reason.TOO_MANY_PIXELS, said)
    if short_px < settings.min_side_px:
        raise Undecodable(Reason.TOO_SMALL, said)
    if settings.max_aspect and long_px > settings.max_aspect * short_px:
        raise Undecodable(Reason.ASPECT, said)


def _needed(found: ImageHead, settings: ImageSettings) -> tuple[int, int]:
    """Width and height of what is scaled: the picture, or its middle where no more of an enlarged one is kept.

    Raises:
        Undecodable: TOO_MANY_PIXELS for a picture that would become too large, which a long and thin one may.
    """
    whole = found.width_px, found.height_px
    size = fit(*whole, settings)
    cropped = settings.resize_mode == "center_crop"
    fits = cropped or max(size) <= _MOST_SIDE_PX[settings.format]
    if size == whole or (fits and size[0] * size[1] <= settings.max_pixels):
        return whole
    if not cropped:
        said = f"{whole[0]} x {whole[1]} px, which would become {size[0]} x {size[1]} px"
        raise Undecodable(Reason.TOO_MANY_PIXELS, said)
    short_px, long_px = sorted(whole)
    kept_px = min(long_px, MIDDLE_SQUARES * short_px + (long_px - MIDDLE_SQUARES * short_px) % 2)
    return (kept_px, short_px) if whole[0] > whole[1] else (short_px, kept_px)


def _middle(pixels: PixelsHWC, size: tuple[int, int]) -> PixelsHWC:
    """The middle of that width and height."""
    left, top = (pixels.shape[1] - size[0]) // 2, (pixels.shape[0] - size[1]) // 2
    return pixels[top : top + size[1], left : left + size[0]]


def _original(body: bytes) -> bytes | None:
    """The bytes of a JPEG as they came, without what follows its end; None if it has none, or too much beside it."""
    end, other_bytes = jpeg_extent(body)
    return body[:end] if end is not None and other_bytes <= META_MAX_BYTES else None


def _may_stay(found: ImageHead, size: tuple[int, int], settings: ImageSettings) -> bool:
    """May the original bytes be stored? ``size`` is the size that they would be scaled to."""
    if not (settings.keep_original and settings.format == "jpeg" and found.format == "jpeg" and found.simple):
        return False
    if size != (found.width_px, found.height_px) or not (
        found.orientation == 1 or settings.orientation == "ignore"
    ):
        return False
    square = settings.resize_mode not in ("center_crop", "border") or (
        size[0] == size[1] and (settings.resize_mode == "center_crop" or size[0] == settings.size_px)
    )
    return square and is_srgb(found.icc)


_TURNS = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}


def _upright(pixels: PixelsHWC, orientation: int) -> PixelsHWC:
    """Apply an EXIF orientation (1 to 8; EXIF 2.3, 4.6.4)."""
    if orientation in (5, 7):
        pixels = pixels.transpose(1, 0, 2)
        return pixels if orientation == 5 else pixels[::-1, ::-1]
    if orientation == 2:
        return pixels[:, ::-1]
    if orientation == 4:
        return pixels[::-1]
    if orientation in _TURNS:
        return as_pixels(cv2.rotate(pixels, _TURNS[orientation]))
    return pixels


def encoded(pixels: PixelsHWC, settings: ImageSettings) -> bytes:
    """Encode RGB pixels, shape (height_px, width_px, 3), as ``settings.format``; no metadata.

    Raises:
        Undecodable: TOO_MANY_PIXELS for a side that the format cannot hold.
    """
    pixels = np.ascontiguousarray(pixels)
    if max(pixels.shape) > _MOST_SIDE_PX[settings.format]:
        said = f"{pixels.shape[1]} x {pixels.shape[0]} px do not go into a {settings.format}"
        raise Undecodable(Reason.TOO_MANY_PIXELS, said)
    if settings.format == "jpeg":
        return bytes(simplejpeg.encode_jpeg(pixels, settings.encode_quality, "RGB", "420"))
    options = [cv2.IMWRITE_WEBP_QUALITY, settings.encode_quality] if settings.format == "webp" else []
    done, body = cv2.imencode(f".{settings.format}", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise Undecodable(Reason.UNDECODABLE, f"cannot be written as {settings.format}")
    return body.tobytes()
