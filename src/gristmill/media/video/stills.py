"""Frames of a video as JPEGs, and JPEGs as a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import simplejpeg

from gristmill.media.errors import Undecodable
from gristmill.media.video.clips import Reader
from gristmill.media.video.jpegs import jpeg_sizes
from gristmill.media.video.settings import VideoSettings
from gristmill.media.video.shape import FrameShape, scaled
from gristmill.media.video.source import VideoSource
from gristmill.media.video.writer import Mp4Writer
from gristmill.spec.reasons import Reason

__all__ = ["frames_at", "joined", "split"]

QUALITY = 90


def frames_at(
    reader: Reader,
    settings: VideoSettings,
    beat: Callable[[], None],
    *,
    times_s: Sequence[float] = (),
    count: int = 0,
    short_side_px: int = 0,
) -> list[bytes]:
    """Frames as JPEGs: those shown at given times, or ``count`` spread evenly from the first to the last.

    Raises:
        Undecodable: A frame does not decode.
    """
    source = VideoSource(reader(), settings, beat)
    try:
        if count:
            numbers = [round(Fraction(n * (source.frames - 1), max(1, count - 1))) for n in range(count)]
        else:
            numbers = [source.shown_at(time_s) for time_s in times_s]
        made = dict(_jpegs(source, sorted(set(numbers)), settings, short_side_px))
        if missing := set(numbers) - set(made):
            raise Undecodable(
                Reason.BROKEN_TAIL, f"{len(missing)} of {len(set(numbers))} frames do not decode"
            )
        return [made[number] for number in numbers]
    finally:
        source.close()


def split(
    reader: Reader, fps: float | None, settings: VideoSettings, beat: Callable[[], None]
) -> Iterator[bytes]:
    """All frames as JPEGs, or those shown each ``1 / fps`` seconds.

    Raises:
        Undecodable: A frame does not decode.
    """
    source = VideoSource(reader(), settings, beat)
    try:
        if fps is None:
            numbers = list(range(source.frames))
        else:
            step_s = 1 / Fraction(repr(float(fps)))
            shown = -(-source.duration_s // step_s)
            numbers = [source.shown_at(float(n * step_s)) for n in range(int(shown))]
        wanted = iter(numbers)
        number = next(wanted, None)
        for found, jpeg in _jpegs(source, sorted(set(numbers)), settings, settings.short_side_px):
            while number == found:
                yield jpeg
                number = next(wanted, None)
        if (number is not None or source.broken) and not settings.keep_broken:
            raise Undecodable(Reason.BROKEN_TAIL, "not all frames decode")
    finally:
        source.close()


def _jpegs(
    source: VideoSource, numbers: Sequence[int], settings: VideoSettings, short_side_px: int
) -> Iterator[tuple[int, bytes]]:
    shape = FrameShape(
        rotation=source.rotation if settings.rotation == "apply" else 0,
        size_px=scaled(source.size_px, short_side_px),
        pixels="rgb24",
    )
    for number, frame in source.decoded([(number, number) for number in numbers]):
        pixels = np.ascontiguousarray(shape(frame).to_ndarray())
        yield (
            number,
            simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorspace="RGB", colorsubsampling="420"),
        )


def joined(
    stream: BinaryIO, fps: float, path: Path, settings: VideoSettings, beat: Callable[[], None]
) -> None:
    """Write JPEGs that lie one behind another as a video; all are brought to the first one's size.

    Raises:
        Undecodable: One of them does not decode.
    """
    rate = Fraction(repr(float(fps))).limit_denominator(1001)
    writer: Mp4Writer | None = None
    shape: FrameShape | None = None
    count = 0
    try:
        data, at = stream.read(), 0
        for size in jpeg_sizes(data):
            frame = _picture(data[at : at + size], settings)
            at += size
            if writer is None or shape is None:
                size_px = scaled((frame.width, frame.height), settings.short_side_px)
                shape = FrameShape(rotation=0, size_px=size_px)
                writer = Mp4Writer(path, settings, size_px=size_px, tick=1 / rate, rate=rate)
            writer.write(shape(frame), count, 1)
            count += 1
            beat()
        if writer is None:
            raise Undecodable(Reason.EMPTY, "no picture")
        writer.finish()
        writer = None
    finally:
        if writer is not None:
            writer.abandon()
            path.unlink(missing_ok=True)


def _picture(jpeg: bytes, settings: VideoSettings) -> Any:
    try:
        height_px, width_px, _, _ = simplejpeg.decode_jpeg_header(jpeg)
        if width_px * height_px > settings.max_pixels:
            raise Undecodable(Reason.TOO_MANY_PIXELS, f"{width_px} x {height_px}")
        return av.VideoFrame.from_ndarray(simplejpeg.decode_jpeg(jpeg, colorspace="RGB"), format="rgb24")
    except ValueError as err:
        raise Undecodable(Reason.UNDECODABLE, str(err)) from err
