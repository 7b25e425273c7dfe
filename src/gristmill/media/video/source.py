"""A video from a stranger: opened without trusting it, its frames found by their times and not by a seek's luck.

All packets of the pictures are gone through once, undecoded, so it is known which frames there are and when each is
shown. Every decoded frame is found again in that list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, BinaryIO, TypeAlias

import av
import av.logging
import numpy as np
import numpy.typing as npt
from av.stream import Discard

from gristmill.media.errors import Undecodable
from gristmill.media.video.containers import (
    AUDIO_CODECS,
    CODECS,
    DEMUXERS,
    HEAD_BYTES,
    container_of,
    empty_ends,
    is_cut_off,
)
from gristmill.media.video.facts import VideoFacts
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.cut import Cut
from gristmill.spec.reasons import Reason

__all__ = ["BAD", "Span", "VideoSource", "open_container", "sound_of"]

Span: TypeAlias = tuple[int, int]
"""First and last number of frames that follow one another, both inclusive."""

BAD = (av.error.FFmpegError,)
"""What FFmpeg raises over bytes that are not as they should be."""

DECODER_THREADS = 2
BUFFER_BYTES = 256 << 10
BEAT_EVERY = 50
"""Frames, or thousands of packets, after which a sign of life is given."""
MOST_FRAMES_A_SECOND = 300
MOST_ERRORS = 1000
"""Packets in a row that do not decode, until nothing more is expected of the rest."""

av.logging.set_level(None)

_COUNTED_APART = 2
"""Frames at a video's end in whose number decoders may differ."""


class VideoSource:
    """A video that is open for decoding.

    Args:
        stream: Its bytes, seekable.
        settings: Limits, and whether frames are turned.
        beat: Called as a sign of life.

    Attributes:
        container: Its format, a key of ``DEMUXERS``.
        times: When each frame is shown, sorted, in units of ``tick``.
        tick: Seconds of one unit.
        by_time: The file says when each frame is shown; else they are counted.
        end: When the last frame is no longer shown.
        broken: Frames that should be there are not.
        hidden_frames: Others are there that are not to be shown.

    Raises:
        Undecodable: It is no video that may be decoded.
    """

    def __init__(
        self, stream: BinaryIO, settings: VideoSettings, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._stream, self._settings, self.beat = stream, settings, beat
        self.container = container_of(stream.read(HEAD_BYTES))
        self._cut_off = is_cut_off(stream, self.container)
        self._empty_ends = empty_ends(stream) if self.container == "avi" else {}
        try:
            self._input, self.video = self._opened()
        except Undecodable as err:
            if self._cut_off and err.reason in (Reason.UNDECODABLE, Reason.NO_VIDEO_STREAM):
                raise Undecodable(Reason.BROKEN_TAIL, "the file is cut off") from err
            raise
        self.codec: str = self.video.codec_context.codec.canonical_name
        self.tick: Fraction = self.video.time_base
        self._list_packets()
        self.rotation, self._shape = self._first_look()

    # what there is

    @property
    def frames(self) -> int:
        """Frames that there should be."""
        return len(self.times)

    def seconds(self, time: int) -> Fraction:
        """Seconds from the first frame on."""
        return (time - int(self.times[0])) * self.tick

    def end_of(self, number: int) -> int:
        """When a frame is no longer shown."""
        return int(self.times[number + 1]) if number + 1 < self.frames else self.end

    @property
    def duration_s(self) -> Fraction:
        """From the first frame's time to the end of the last."""
        return self.seconds(self.end)

    @property
    def rate(self) -> Fraction:
        """Frames a second, on average."""
        return self.frames / self.duration_s

    @property
    def variable_rate(self) -> bool:
        """Frames differ in length by more than rounding to ``tick`` explains."""
        lengths = np.diff(self.times)
        return len(lengths) > 1 and bool(lengths.max() - lengths.min() > max(2, 0.05 * float(lengths.mean())))

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height as shown, with square pixels."""
        return self._shape

    def span(self, cut: Cut) -> Span:
        """Say which frames a cut means; the end of one by seconds may lie behind the video's.

        A cut by frames that are not there was counted in another copy, at another rate perhaps, in which all of its
        frames were others. Only the last few are not the same by all decoders.

        Raises:
            Undecodable: CUT_OUTSIDE if there are none, or not those it counts; BROKEN_TAIL if they are missing
                because the file is broken.
        """
        if cut.first_frame is not None and cut.last_frame is not None:
            first, last = cut.first_frame, cut.last_frame
        else:
            first, last = (self._first_at(cut.start_s or 0), self._first_at(cut.end_s or 0) - 1)
        beyond = last >= self.frames or (
            cut.end_s is not None and Fraction(repr(cut.end_s)) > self.duration_s
        )
        if self.broken and beyond and not self._settings.keep_broken:
            raise Undecodable(
                Reason.BROKEN_TAIL, f"{self.frames} frames, {float(self.duration_s):.3f} s are there"
            )
        last = min(last, self.frames - 1)
        counted = cut.last_frame is not None and cut.last_frame - last > _COUNTED_APART
        if first > last or (counted and not self.broken):
            raise Undecodable(Reason.CUT_OUTSIDE, f"{self.frames} frames, {float(self.duration_s):.3f} s")
        return first, last

    def _first_at(self, time_s: float) -> int:
        """Number of the first frame that is shown at or after a time."""
        wanted = Fraction(repr(float(time_s))) / self.tick  # as it was written, not as it was rounded
        return int(
            np.searchsorted(self.times, int(self.times[0]) + -(-wanted.numerator // wanted.denominator))
        )

    def shown_at(self, time_s: float) -> int:
        """Number of the frame that is shown at a time; behind the end, the last."""
        wanted = Fraction(repr(float(time_s))) / self.tick
        at = int(self.times[0]) + wanted.numerator // wanted.denominator
        return min(max(int(np.searchsorted(self.times, at, side="right")) - 1, 0), self.frames - 1)

    def facts(self, decoded: int, *, broken: bool = False, start_s: float = 0.0) -> VideoFacts:
        """Say what is known, with the number of frames that were decoded."""
        width_px, height_px = self.size_px
        return VideoFacts(
            format=self.container,
            codec=self.codec,
            width_px=width_px,
            height_px=height_px,
            rotation=self.rotation,
            duration_s=float(self.duration_s),
            fps=float(self.rate),
            frames=decoded,
            variable_rate=self.variable_rate,
            has_audio=self.has_audio,
            broken_tail=broken or self.broken or decoded < self.frames,
            first_key_frame_s=float(self.seconds(int(self._coded[self._keys[0]])))
            if len(self._keys)
            else 0.0,
            hidden_frames=self.hidden_frames,
            start_s=start_s,
        )

    @property
    def has_audio(self) -> bool:
        """There is a stream of sound that can be decoded."""
        return sound_of(self._input) is not None

    # frames

    def decoded(self, spans: Sequence[Span]) -> Iterator[tuple[int, Any]]:
        """Decode frames, each once, in the order in which they are shown.

        Args:
            spans: Which; they may overlap.

        Yields:
            A frame's number and the frame. What does not decode is left out.

        Raises:
            Undecodable: TOO_MANY_PIXELS.
        """
        wanted = np.zeros(self.frames, dtype=bool)
        for first, last in spans:
            wanted[first : last + 1] = True
        if self.by_time:
            yield from self._by_times(wanted)
        else:
            yield from self._by_count(wanted)

    def _by_times(self, wanted: npt.NDArray[np.bool_]) -> Iterator[tuple[int, Any]]:
        """Decode from the last key frame before what is wanted; frames in between that none needs are passed over."""
        numbers = np.flatnonzero(wanted)
        last_number = -1
        while True:
            numbers = numbers[np.searchsorted(numbers, last_number + 1) :]
            if not len(numbers):
                return
            # from the key frame on to where nothing is wanted any more until another key frame
            first = int(numbers[0])
            start = self._key_before(first)
            ends = numbers[np.flatnonzero(np.diff(numbers) > 1)]
            last = next(
                (
                    int(end)
                    for end in ends
                    if self._key_before(int(numbers[np.searchsorted(numbers, end) + 1]))
                    > self._key_before(int(end))
                ),
                int(numbers[-1]),
            )
            for number, frame in self._run(start, wanted, last):
                if number > last_number and number >= first:
                    last_number = number
                    if wanted[number]:
                        yield number, frame
            last_number = max(last_number, last)

    def _run(self, start: int, wanted: npt.NDArray[np.bool_], last: int) -> Iterator[tuple[int, Any]]:
        """Decode from a place in the order of packets until a frame is out, or behind it."""
        self._seek(start)
        context = self.video.codec_context
        errors = 0
        for packet in self._packets(int(self._coded[start]) if start else None):
            if packet.pts is not None:
                number = int(np.searchsorted(self.times, packet.pts))
                needed = number < self.frames and bool(wanted[number])
                context.skip_frame = "DEFAULT" if needed or packet.is_keyframe else "NONREF"
            try:
                frames = context.decode(packet)
                errors = 0
            except av.error.MemoryError:
                raise
            except BAD:
                errors += 1
                if errors > MOST_ERRORS or packet.size == 0:
                    return
                continue
            for frame in frames:
                if frame.pts is None:
                    continue
                number = int(np.searchsorted(self.times, frame.pts))
                if number < self.frames and self.times[number] == frame.pts and not frame.is_corrupt:
                    self._check(frame)
                    yield number, frame
                if number >= last:
                    return

    def _by_count(self, wanted: npt.NDArray[np.bool_]) -> Iterator[tuple[int, Any]]:
        """Decode all from the beginning and count: the file does not say when a frame is shown."""
        numbers = np.flatnonzero(wanted)
        self._seek(0)
        number = -1
        context = self.video.codec_context
        for packet in self._packets(None):
            try:
                frames = context.decode(packet)
            except av.error.MemoryError:
                raise
            except BAD:
                if packet.size == 0:
                    return
                number += 1  # of the one that is lost
                continue
            for frame in frames:
                number += 1
                self._check(frame)
                if number < self.frames and wanted[number]:
                    yield number, frame
                if number >= numbers[-1]:
                    return

    def _packets(self, begin: int | None) -> Iterator[Any]:
        """Packets of the pictures from one on, by its time, and then the empty one: behind it are the last frames."""
        packets = self._input.demux(self.video)
        count = 0
        begun = begin is None
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.MemoryError:
                raise
            except BAD:
                return
            count += 1
            if count % BEAT_EVERY == 0:
                self.beat()
            begun = begun or packet.pts == begin
            if begun or packet.size == 0:
                yield packet

    def _seek(self, place: int) -> None:
        """Go to a key frame, by its place in the order of packets, or before it.

        Times that a program stream (``mpeg``) does not say are guessed from where reading began: from its start alone
        they are those that were listed.
        """
        if place > 0 and self.container != "mpeg":
            try:
                self._input.seek(int(self._coded[place]), stream=self.video, backward=True)
                packet = next(self._input.demux(self.video))
                found = self._places.get(packet.pts, len(self._coded))
                self._input.seek(int(self._coded[place]), stream=self.video, backward=True)
            except (*BAD, StopIteration):
                found = len(self._coded)
            if found <= place:
                return
        self._input.close()
        self._input, self.video = self._opened()

    def _key_before(self, number: int) -> int:
        """Place, in the order of packets, of the last key frame that is shown not after a frame."""
        keys = self._keys
        at = int(np.searchsorted(self._coded[keys], self.times[number], side="right")) - 1
        return int(keys[at]) if at >= 0 else 0

    def coded(self, span: Span) -> tuple[int, Iterator[Any]]:
        """Coded frames of a span, from the key frame before it on, in the order in which they are decoded.

        Returns:
            The number of that key frame, and packets. Those that are shown before it need what lies before it. A
            frame that the last one needs may be shown behind it; then all between the two are among them, too.

        Raises:
            Undecodable: UNSUPPORTED: the file hides the key frame before it.
        """
        start = self._key_before(span[0])
        if start not in self._keys:
            raise Undecodable(Reason.UNSUPPORTED, "no key frame before it: it cannot be copied")
        stop = start
        shown = self.times[span[1]]
        while (after := int(np.flatnonzero(self._coded <= shown)[-1])) > stop:
            stop, shown = after, self._coded[start : after + 1].max()
        first = int(np.searchsorted(self.times, self._coded[start]))
        return first, self._copied(start, stop)

    def _copied(self, start: int, stop: int) -> Iterator[Any]:
        self._seek(start)
        begin, end = int(self._coded[start]), int(self._coded[stop])
        for packet in self._packets(begin):
            if packet.size == 0:
                return
            last = packet.pts == end
            if packet.pts is not None and packet.pts >= begin:
                yield packet
            if last:
                return

    # opening

    def _opened(self) -> tuple[Any, Any]:
        """The container, and its stream of pictures."""
        self._stream.seek(0)
        opened = open_container(self._stream, self.container, self._settings)
        video = next(
            (stream for stream in opened.streams.video if "attached_pic" not in _disposition(stream)), None
        )
        if video is None:
            opened.close()
            raise Undecodable(Reason.NO_VIDEO_STREAM, self.container)
        context = video.codec_context
        if context is None or context.codec.canonical_name not in CODECS:
            opened.close()
            raise Undecodable(Reason.UNSUPPORTED, "a codec that is not decoded")
        if context.width * context.height > self._settings.max_pixels:
            opened.close()
            raise Undecodable(Reason.TOO_MANY_PIXELS, f"{context.width} x {context.height}")
        context.options = {"max_pixels": str(self._settings.max_pixels)}
        context.thread_count, context.thread_type = DECODER_THREADS, "AUTO"
        for stream in opened.streams:
            if stream.index != video.index:
                stream.discard = Discard.all
        return opened, video

    def _list_packets(self) -> None:
        """Go through all packets of the pictures and note when their frames are shown."""
        coded: list[int | None] = []
        decoding: list[int] = []
        keys: list[int] = []
        last_duration = last_time = 0
        total = 0
        most = int(self._settings.max_duration_s * MOST_FRAMES_A_SECOND)
        self.broken = self.hidden_frames = False
        packets = self._input.demux(self.video)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.error.MemoryError:
                raise
            except BAD:
                self.broken = True
                break
            if packet.size == 0:
                continue
            total += 1
            if packet.is_corrupt:
                self.broken = True
                continue
            if packet.is_discard:
                self.hidden_frames = True
                continue
            if packet.is_keyframe:
                keys.append(len(coded))
            coded.append(packet.pts)
            decoding.append(packet.dts if packet.dts is not None else (packet.pts or 0))
            if packet.duration and (packet.pts is None or packet.pts >= last_time):
                last_duration, last_time = packet.duration, packet.pts or 0
            if total % (1000 * BEAT_EVERY) == 0:
                self.beat()
            if total > most:
                raise Undecodable(Reason.TOO_LONG, f"more than {most:,} frames")
        if self.container == "avi" and decoding:  # of a frame that is shown on, an empty chunk is counted
            shown_on = self._empty_ends.get(self.video.index, 0)
            total = max(decoding) + 1 + shown_on
            last_duration = (last_duration or 1) + shown_on
        if total < self.video.frames:
            self.broken = True
        self._list_frames(coded, decoding, keys, last_duration)

    def _list_frames(
        self, coded: list[int | None], decoding: list[int], keys: list[int], last_duration: int
    ) -> None:
        """Tell from the packets, in the order in which they are decoded, when each frame is shown."""
        if not coded:
            broken = self.broken or self._cut_off
            raise Undecodable(Reason.BROKEN_TAIL if broken else Reason.UNDECODABLE, "no frames")
        self.by_time = (
            self.container != "avi" and None not in coded and len(set(coded)) == len(coded) and bool(keys)
        )
        self._coded = np.array(coded if self.by_time else decoding, dtype=np.int64)
        self._places = {int(time): place for place, time in enumerate(self._coded)}
        self._keys = np.array(keys, dtype=np.int64)
        order = np.arange(len(coded))
        # two frames that are said to be shown at once are shown one after the other
        self.times: npt.NDArray[np.int64] = np.maximum.accumulate(np.sort(self._coded) - order) + order
        span = int(self.times[-1] - self.times[0])
        usual = round(span / (len(coded) - 1)) if len(coded) > 1 else 0
        rate = self.video.average_rate
        self.end = int(self.times[-1]) + (
            last_duration or usual or (round(1 / rate / self.tick) if rate else 1)
        )
        promised = self._input.duration  # of the longest stream, in microseconds
        if self._cut_off and self.container in ("mkv", "webm") and promised:
            missing_s = Fraction(promised, 1_000_000) - self.end * self.tick
            self.broken = self.broken or missing_s * self.frames > 2 * self.duration_s  # more than two frames
        if self.duration_s > self._settings.max_duration_s:
            raise Undecodable(Reason.TOO_LONG, f"{float(self.duration_s):.0f} s")

    def _first_look(self) -> tuple[int, tuple[int, int]]:
        """Rotation and size as shown, of the first frame."""
        for _, frame in self.decoded([(0, min(self.frames, 100) - 1)]):
            rotation = int(frame.rotation) % 360
            ratio = self.video.sample_aspect_ratio or Fraction(1)
            width_px = round(frame.width * ratio) if ratio > 1 else frame.width
            height_px = round(frame.height / ratio) if 0 < ratio < 1 else frame.height
            turned = rotation in (90, 270) and self._settings.rotation == "apply"
            return rotation, (height_px, width_px) if turned else (width_px, height_px)
        raise Undecodable(Reason.UNDECODABLE, "no frame decodes")

    def _check(self, frame: Any) -> None:
        if frame.width * frame.height > self._settings.max_pixels:
            raise Undecodable(Reason.TOO_MANY_PIXELS, f"{frame.width} x {frame.height}")

    def close(self) -> None:
        """Let go of the decoder."""
        self._input.close()


def open_container(stream: BinaryIO, name: str, settings: VideoSettings) -> Any:
    """Open a file as what its magic bytes say; nothing that it names is opened besides.

    Raises:
        Undecodable: It is not.
    """
    stream.seek(0)
    try:
        return av.open(
            stream,
            format=DEMUXERS[name],
            container_options={
                "protocol_whitelist": "none",
                "format_whitelist": DEMUXERS[name],
                "codec_whitelist": ",".join(sorted(CODECS | AUDIO_CODECS)),
                "max_streams": str(settings.max_streams),
            },
            options={"threads": "1", "max_pixels": str(settings.max_pixels)},
            metadata_errors="replace",  # titles are in any encoding
            buffer_size=BUFFER_BYTES,
        )
    except av.error.MemoryError:
        raise
    except BAD as err:
        raise Undecodable(Reason.UNDECODABLE, str(err.strerror)) from err


def sound_of(container: Any) -> Any:
    """The first stream of sound that is decoded, or None."""
    for stream in container.streams.audio:
        context = stream.codec_context
        if context is not None and context.codec.canonical_name in AUDIO_CODECS and context.rate:
            return stream
    return None


def _disposition(stream: Any) -> str:
    return str(stream.disposition)
