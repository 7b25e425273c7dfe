"""Cuts clips out of one video, which is decoded once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from gristmill.media.errors import Undecodable
from gristmill.media.video.facts import VideoFacts
from gristmill.media.video.settings import VideoSettings
from gristmill.media.video.shape import FrameShape, scaled
from gristmill.media.video.sound import Sound
from gristmill.media.video.source import BAD, Span, VideoSource
from gristmill.media.video.writer import Mp4Writer
from gristmill.spec.cut import Cut
from gristmill.spec.reasons import Reason

__all__ = ["Made", "Reader", "clips", "measured", "measured_file", "whole"]

Made: TypeAlias = tuple[int, VideoFacts | Undecodable]
Reader: TypeAlias = Callable[[], BinaryIO]

ENCODERS_BYTES = 300 << 20
"""Encoders of clips that overlap hold no more than that together; the others wait for another pass."""
_ENCODER_BYTES_PER_PIXEL = 40

COPIED = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg"})
"""Codecs that MP4 holds."""


def clips(
    reader: Reader,
    cuts: Sequence[tuple[int, Cut]],
    paths: Callable[[int], Path],
    settings: VideoSettings,
    beat: Callable[[], None],
) -> Iterator[Made]:
    """Cut a video.

    Args:
        reader: Opens the video's bytes anew.
        cuts: Numbers, and what is wanted.
        paths: Number to the file to write.
        settings: How.
        beat: Called as a sign of life.

    Yields:
        A number and the facts of its clip, or why there is none.

    Raises:
        Undecodable: There is nothing to cut.
    """
    source = VideoSource(reader(), settings, beat)
    try:
        spans: list[tuple[int, Span]] = []
        for number, cut in cuts:
            try:
                spans.append((number, source.span(cut)))
            except Undecodable as err:
                yield number, err
        yield from _cut(source, spans, reader, paths, settings)
    finally:
        source.close()


def whole(
    reader: Reader, path: Path, settings: VideoSettings, beat: Callable[[], None]
) -> VideoFacts | Undecodable:
    """Write all of a video; see :func:`clips`."""
    source = VideoSource(reader(), settings, beat)
    try:
        if source.broken and not settings.keep_broken:
            return Undecodable(Reason.BROKEN_TAIL, f"{source.frames} frames are there")
        everything = [(0, (0, source.frames - 1))]
        return next(made for _, made in _cut(source, everything, reader, lambda _: path, settings))
    finally:
        source.close()


def measured(reader: Reader, settings: VideoSettings, beat: Callable[[], None]) -> VideoFacts:
    """Decode all of a video and say what was found.

    Raises:
        Undecodable: Nothing was.
    """
    source = VideoSource(reader(), settings, beat)
    try:
        count = sum(1 for _ in source.decoded([(0, source.frames - 1)]))
        return source.facts(count)
    finally:
        source.close()


def _cut(
    source: VideoSource,
    spans: Sequence[tuple[int, Span]],
    reader: Reader,
    paths: Callable[[int], Path],
    settings: VideoSettings,
) -> Iterator[Made]:
    if settings.mode == "copy":
        for number, span in spans:
            try:
                yield number, _copied(source, span, reader, paths(number), settings)
            except BAD as err:
                if isinstance(err, OSError):  # of our own file
                    raise
                yield number, Undecodable(Reason.UNDECODABLE, str(err.strerror))
        return
    size_px = scaled(source.size_px, settings.short_side_px)
    most = max(1, ENCODERS_BYTES // (size_px[0] * size_px[1] * _ENCODER_BYTES_PER_PIXEL))
    shape = FrameShape(rotation=source.rotation if settings.rotation == "apply" else 0, size_px=size_px)
    waiting = sorted(spans, key=lambda each: (each[1], each[0]))
    while waiting:
        now, waiting = _pass(waiting, most)
        yield from _encoded(source, now, shape, reader, paths, settings)


def _pass(spans: Sequence[tuple[int, Span]], most: int) -> tuple[list[Any], list[Any]]:
    """Divide sorted spans into those of which never more than ``most`` overlap, and the rest."""
    now: list[tuple[int, Span]] = []
    rest: list[tuple[int, Span]] = []
    open_ends: list[int] = []
    for number, (first, last) in spans:
        open_ends = [end for end in open_ends if end >= first]
        if len(open_ends) < most:
            open_ends.append(last)
            now.append((number, (first, last)))
        else:
            rest.append((number, (first, last)))
    return now, rest


class _Cutting:
    """A clip that is being encoded."""

    def __init__(
        self, source: VideoSource, number: int, span: Span, size_px: tuple[int, int], reader: Reader, path: Path,
        settings: VideoSettings,
    ) -> None:  # fmt: skip
        self.number, self.span, self._source, self._path, self._settings = (
            number,
            span,
            source,
            path,
            settings,
        )
        first, last = span
        self._begin = int(source.times[first])
        self._sound = _sound(source, reader, settings)
        start_s, end_s = source.seconds(self._begin), source.seconds(source.end_of(last))
        self._start_s = start_s
        self._writer = Mp4Writer(
            path,
            settings,
            size_px=size_px,
            tick=source.tick,
            rate=Fraction(last - first + 1) / (end_s - start_s),
            sound=self._sound.span(start_s, end_s) if self._sound else None,
            sound_rate=self._sound.rate if self._sound else 0,
            layout=self._sound.layout if self._sound else "stereo",
        )

    def take(self, number: int, frame: Any) -> None:
        """Encode a frame of the video, if it is one of the clip's."""
        if self.span[0] <= number <= self.span[1]:
            time = int(self._source.times[number])
            if not self._writer.written:
                self._begin = time
            self._writer.write(frame, time - self._begin, self._source.end_of(number) - time)

    def finish(self) -> VideoFacts | Undecodable:
        """Write what is left, and measure what lies there."""
        wanted = self.span[1] - self.span[0] + 1
        got = self._writer.written
        if got == 0 or (got < wanted and not self._settings.keep_broken):
            self.abandon()
            return Undecodable(Reason.BROKEN_TAIL, f"{got} of {wanted} frames decode")
        self._writer.finish()
        self._close()
        broken = got < wanted or (self._source.broken and self.span[1] == self._source.frames - 1)
        return measured_file(
            self._path, self._settings, self._source.beat, broken=broken, start_s=self._start_s
        )

    def abandon(self) -> None:
        """Leave no file."""
        self._writer.abandon()
        self._close()
        self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._sound:
            self._sound.close()


def _encoded(
    source: VideoSource,
    spans: Sequence[tuple[int, Span]],
    shape: FrameShape,
    reader: Reader,
    paths: Callable[[int], Path],
    settings: VideoSettings,
) -> Iterator[Made]:
    """Encode clips in one pass; ``spans`` are sorted."""
    waiting = list(reversed(spans))
    active: list[_Cutting] = []
    try:
        for number, frame in source.decoded([span for _, span in spans]):
            shaped = shape(frame)
            while waiting and waiting[-1][1][0] <= number:
                name, span = waiting.pop()
                active.append(_Cutting(source, name, span, shape.size_px, reader, paths(name), settings))
            for cutting in active:
                cutting.take(number, shaped)
            for cutting in [each for each in active if each.span[1] <= number]:
                made = cutting.finish()
                active.remove(cutting)
                yield cutting.number, made
        while active:
            made = active[0].finish()
            yield active.pop(0).number, made
        for name, (first, last) in reversed(waiting):
            yield name, Undecodable(Reason.BROKEN_TAIL, f"0 of {last - first + 1} frames decode")
    finally:
        for cutting in active:
            cutting.abandon()


def _copied(
    source: VideoSource, span: Span, reader: Reader, path: Path, settings: VideoSettings
) -> VideoFacts | Undecodable:
    """Copy the coded frames of a clip, from the key frame before it on."""
    if source.codec not in COPIED or not source.by_time:
        return Undecodable(
            Reason.UNSUPPORTED, f"{source.codec} in {source.container} cannot be copied into mp4"
        )
    try:
        first, packets = source.coded(span)
    except Undecodable as err:
        return err
    start_s, end_s = source.seconds(int(source.times[first])), source.seconds(source.end_of(span[1]))
    begin = int(source.times[first])
    sound = _sound(source, reader, settings)
    writer: Mp4Writer | None = None
    whole = False
    try:
        writer = Mp4Writer(
            path,
            settings,
            tick=source.tick,
            rate=source.rate,
            sound=sound.span(start_s, end_s) if sound else None,
            sound_rate=sound.rate if sound else 0,
            layout=sound.layout if sound else "stereo",
            template=source.video,
        )
        for packet in packets:
            packet.pts -= begin
            packet.dts = None if packet.dts is None else packet.dts - begin
            writer.copy(packet)
        writer.finish()
        facts = measured_file(path, settings, source.beat, start_s=start_s, decode=True)
        whole = settings.keep_broken or not facts.broken_tail
    except Undecodable as err:
        return err
    finally:
        if sound:
            sound.close()
        if not whole:
            if writer is not None:
                writer.abandon()
            path.unlink(missing_ok=True)
    return facts if whole else Undecodable(Reason.BROKEN_TAIL, f"{facts.frames} frames decode")


def _sound(source: VideoSource, reader: Reader, settings: VideoSettings) -> Sound | None:
    if settings.audio == "drop" or not source.has_audio:
        return None
    return Sound(reader(), source.container, settings, int(source.times[0]) * source.tick)


def measured_file(
    path: Path,
    settings: VideoSettings,
    beat: Callable[[], None],
    *,
    broken: bool = False,
    start_s: Fraction = Fraction(0),
    decode: bool = False,
) -> VideoFacts:
    """Measure a clip that we have written: what lies there, not what was meant.

    Raises:
        Undecodable: It is no video.
    """
    with path.open("rb") as file:
        clip = VideoSource(file, settings, beat)
        try:
            count = sum(1 for _ in clip.decoded([(0, clip.frames - 1)])) if decode else clip.frames
            return clip.facts(count, broken=broken, start_s=float(start_s))
        finally:
            clip.close()
