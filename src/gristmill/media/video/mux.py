"""Puts pictures and sound that came in two files into one, as they were coded, each packet at its time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av

from gristmill.media.errors import Undecodable
from gristmill.media.video.containers import CODECS, HEAD_BYTES, is_cut_off, sound_container_of
from gristmill.media.video.settings import VideoSettings
from gristmill.media.video.source import BAD, open_container, sound_of
from gristmill.spec.reasons import Reason

__all__ = ["muxed"]

_MP4_PICTURES = frozenset(["h264", "hevc", "av1", "mpeg4"])
_MP4_SOUND = frozenset(["aac", "mp3", "ac3", "eac3", "alac"])
_WITHOUT_CLOCK = frozenset(["aac", "mp3"])
_ONE_CLOCK_S = 5
"""Files that begin further apart do not count from the same moment."""
_BEAT_EVERY = 1000
_OPTIONS = {
    "mp4": {"movflags": "+faststart+negative_cts_offsets", "use_editlist": "1"},
    "matroska": {},
}


def muxed(
    picture: BinaryIO,
    sound: BinaryIO,
    path: Path,
    settings: VideoSettings,
    beat: Callable[[], None] = lambda: None,
) -> Path:
    """Write one file with the pictures of one and the sound of another; nothing is encoded.

    Where both count from the same moment the earlier begins at 0 and the other as much later as it was. Where they do
    not, as sound without times, both begin at 0.

    Args:
        picture: A file with pictures; sound in it is left out.
        sound: A file with sound; pictures in it are left out.
        path: Without its ending: that is ``.mp4`` where the codecs fit, else ``.mkv``.
        settings: Limits.
        beat: Called as a sign of life.

    Returns:
        The path with its ending.

    Raises:
        Undecodable: One of them is not what it should be, or is broken.
    """
    with _Track(picture, settings, of_sound=False) as shown, _Track(sound, settings, of_sound=True) as heard:
        fits = shown.codec in _MP4_PICTURES and heard.codec in _MP4_SOUND
        muxer, ending = ("mp4", ".mp4") if fits else ("matroska", ".mkv")
        whole = path.with_name(path.name + ending)
        tracks = (shown, heard)
        starts = [track.start_s for track in tracks]
        same = shown.has_clock and heard.has_clock and abs(starts[0] - starts[1]) <= _ONE_CLOCK_S
        origins = [min(starts)] * 2 if same else starts
        options = {"fflags": "+bitexact", **_OPTIONS[muxer]}
        out = av.open(f"file:{whole}", "w", format=muxer, container_options=options)
        done = False
        try:
            streams = [out.add_stream_from_template(track.stream, opaque=True) for track in tracks]
            timed = [
                track.packets(origin_s, number)
                for number, (track, origin_s) in enumerate(zip(tracks, origins, strict=True))
            ]
            in_order = heapq.merge(*timed, key=lambda one: one[:2])
            for count, (_, number, packet) in enumerate(in_order):
                packet.stream = streams[number]
                out.mux(packet)
                if count % _BEAT_EVERY == 0:
                    beat()
            done = True
        finally:
            if done:
                out.close()
            else:
                with suppress(*BAD, ValueError):
                    out.close()
    return whole


class _Track:
    """One stream of one file.

    Attributes:
        stream: As PyAV knows it.
        codec: FFmpeg's name.
        has_clock: The file says when things are shown or heard.
        start_s: When the first packet is.
    """

    def __init__(self, body: BinaryIO, settings: VideoSettings, *, of_sound: bool) -> None:
        self._what = "sound" if of_sound else "picture"
        self._most_s = settings.max_duration_s
        name = sound_container_of(body.read(HEAD_BYTES))
        self.has_clock = name not in _WITHOUT_CLOCK
        if is_cut_off(body, name) and not settings.keep_broken:
            raise Undecodable(Reason.BROKEN_TAIL, f"the {self._what} is cut off")
        self._input = open_container(body, name, settings)
        stream = sound_of(self._input) if of_sound else next(iter(self._input.streams.video), None)
        codec = stream.codec_context.codec.canonical_name if stream and stream.codec_context else ""
        if stream is None or not (of_sound or codec in CODECS):
            self._input.close()
            raise Undecodable(Reason.UNSUPPORTED, f"there is no {self._what} of a known codec in it")
        self.stream, self.codec = stream, codec
        self.start_s = Fraction(0)
        first = stream.start_time
        if first is not None and self.has_clock:
            self.start_s = Fraction(first) * stream.time_base

    def __enter__(self) -> _Track:
        return self

    def __exit__(self, *_: object) -> None:
        self._input.close()

    def packets(self, origin_s: Fraction, number: int) -> Iterator[tuple[Fraction, int, Any]]:
        """Packets at their times from ``origin_s`` on, with when they are decoded and ``number``.

        Raises:
            Undecodable: BROKEN_TAIL, TOO_LONG or, where no packet says when it is, UNSUPPORTED.
        """
        tick = self.stream.time_base
        offset = round(origin_s / tick)
        last: int | None = None
        with closing(self._input.demux(self.stream)) as found:
            while True:
                try:
                    packet = next(found)
                except StopIteration:
                    break
                except av.error.MemoryError:
                    raise
                except BAD as err:
                    raise Undecodable(Reason.BROKEN_TAIL, f"the {self._what}: {err.strerror}") from err
                if packet.size == 0:
                    continue
                if packet.is_corrupt:
                    raise Undecodable(Reason.BROKEN_TAIL, f"the {self._what} is broken")
                pts, dts = packet.pts, packet.dts
                if pts is None and dts is None:
                    raise Undecodable(Reason.UNSUPPORTED, f"the {self._what} does not say when it is")
                pts = pts if pts is not None else dts
                dts = dts if dts is not None else pts
                packet.pts = pts - offset
                packet.dts = dts - offset if last is None else max(dts - offset, last + 1)
                last = packet.dts
                when_s = packet.dts * tick
                if when_s > self._most_s:
                    raise Undecodable(Reason.TOO_LONG, f"the {self._what} goes beyond {self._most_s:g} s")
                yield when_s, number, packet
        if last is None:
            raise Undecodable(Reason.EMPTY, f"the {self._what} has nothing in it")
