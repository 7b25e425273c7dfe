"""Made-up videos whose frames say their own number, and a reader of it.

A frame is three rows of eight blocks, black or white: the high byte of its number, the low byte, and both of them
exclusive-or, by which a wrong reading is known. The tone is higher by 50 Hz in each second.
"""

from __future__ import annotations

import functools
import io
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import numpy.typing as npt

__all__ = [
    "MadeVideo",
    "counter_frame",
    "counters_in",
    "made_video",
    "read_counter",
    "tone_hz",
    "trimmed_video",
    "without",
]

RGB = npt.NDArray[np.uint8]

_COLUMNS, _ROWS = 8, 3
_AUDIO_FRAME = 1024
_LOWEST_HZ, _STEP_HZ = 300, 50
_UNCERTAIN = 40
"""How far from the middle grey a block must be."""

_OPTIONS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "ultrafast", "crf": "23"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "36", "b": "0"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "b": "500k"},
    "libsvtav1": {"preset": "12"},
    "mpeg4": {"q": "4"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeVideo:
    """Says what a video is like.

    Attributes:
        frames: How many.
        rate: Frames a second.
        pattern: Lengths of frames that follow one another, in units of ``1 / rate``; more than one makes the rate
            variable.
        size_px: Width and height as coded.
        codec: FFmpeg's encoder.
        container: FFmpeg's muxer: ``mp4``, ``mov``, ``matroska``, ``webm``, ``avi``.
        b_frames: Between others.
        key_every: Frames from a key frame to the next, at most.
        rotation: Degrees counterclockwise by which it must be turned to be seen.
        audio_s: Seconds of tone; 0 is no stream of sound, None is as long as the pictures.
        faststart: The index is in front.
        kept: Share of the bytes that are there.
        start: Time of the first frame, in units of ``1 / rate``.
        options: Of the encoder, over those that make it fast.
    """

    frames: int = 50
    rate: Fraction = Fraction(25)
    pattern: Sequence[int] = (1,)
    size_px: tuple[int, int] = (64, 48)
    codec: str = "libx264"
    container: str = "mp4"
    b_frames: int = 0
    key_every: int = 12
    rotation: Literal[0, 90, 180, 270] = 0
    audio_s: float | None = 0
    faststart: bool = True
    kept: float = 1.0
    start: int = 0
    options: Sequence[tuple[str, str]] = ()

    def times(self) -> list[int]:
        """When each frame is shown, in units of ``1 / rate``; one more than there are frames: the end."""
        lengths = [self.pattern[n % len(self.pattern)] for n in range(self.frames)]
        return [self.start + int(end) for end in np.cumsum([0, *lengths])]


@functools.lru_cache(32)
def made_video(kind: MadeVideo) -> bytes:
    """Bytes of such a video."""
    options = {"fflags": "+bitexact"}
    if kind.container in ("mp4", "mov") and kind.faststart:
        options["movflags"] = "+faststart"
    times = kind.times()
    lengths = {time: end - time for time, end in itertools.pairwise(times)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "video")
        with av.open(str(path), "w", format=kind.container, options=options) as out:
            video = _pictures(out, kind)
            audio_s = float(times[-1] / kind.rate) if kind.audio_s is None else kind.audio_s
            sound: Any = _sound(out, kind) if audio_s else None
            if kind.rotation:
                video.set_display_rotation(kind.rotation)
            blocks = _tone(sound, audio_s) if sound is not None else iter(())
            waiting = next(blocks, None)
            for number, time in enumerate(times[:-1]):
                while waiting is not None and waiting.time <= time / kind.rate:
                    out.mux(sound.encode(waiting))
                    waiting = next(blocks, None)
                frame = av.VideoFrame.from_ndarray(_turned(number, kind), format="rgb24")
                frame.pts, frame.time_base = time, 1 / kind.rate
                _mux(out, video.encode(frame), lengths)
            while waiting is not None:
                out.mux(sound.encode(waiting))
                waiting = next(blocks, None)
            _mux(out, video.encode(None), lengths)
            if sound is not None:
                out.mux(sound.encode(None))
        data = path.read_bytes()
    return data[: int(len(data) * kind.kept)]


def trimmed_video(video: bytes, first: int) -> bytes:
    """The pictures of an MP4 from a frame on, not encoded anew: those from the key frame before it on are hidden."""
    out = io.BytesIO()
    with av.open(io.BytesIO(video), "r") as old, av.open(out, "w", format="mp4") as new:
        begin = sorted(packet.pts for packet in old.demux(video=0) if packet.pts is not None)[first]
        old.seek(begin, stream=old.streams.video[0], backward=True)
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts - begin, packet.dts - begin
                packet.stream = stream
                new.mux(packet)
    return out.getvalue()


def without(
    kind: Literal["video", "audio"], video: bytes, *, container: str = "mp4", late_s: float = 0
) -> bytes:
    """Take the pictures, or the sound, out of a video: nothing is encoded anew, ``late_s`` later than it was."""
    out = io.BytesIO()
    with av.open(io.BytesIO(video), "r") as old, av.open(out, "w", format=container) as new:
        kept = next(stream for stream in old.streams if stream.type != kind)
        stream = new.add_stream_from_template(kept, opaque=True)
        for packet in old.demux(kept):
            if packet.size and packet.pts is not None and packet.dts is not None:
                late = round(late_s / packet.time_base)
                packet.pts, packet.dts = packet.pts + late, packet.dts + late
                packet.stream = stream
                new.mux(packet)
    return out.getvalue()


def counter_frame(number: int, size_px: tuple[int, int] = (64, 48)) -> RGB:
    """Pixels (height, width, 3) of the frame of that number, 0 to 65,535."""
    width_px, height_px = size_px
    high, low = number >> 8, number & 0xFF
    rows = [[(byte >> (_COLUMNS - 1 - n)) & 1 for n in range(_COLUMNS)] for byte in (high, low, high ^ low)]
    across = np.arange(width_px) * _COLUMNS // width_px
    down = np.arange(height_px) * _ROWS // height_px
    grey = np.where(np.array(rows, bool)[np.ix_(down, across)], np.uint8(225), np.uint8(30))
    return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))


def read_counter(pixels: RGB) -> int | None:
    """Number that a frame (height, width, 3) shows; None if it shows none for certain."""
    height_px, width_px = pixels.shape[:2]
    bits = np.zeros((_ROWS, _COLUMNS), bool)
    for row in range(_ROWS):
        for column in range(_COLUMNS):
            top, left = height_px * row / _ROWS, width_px * column / _COLUMNS
            tall, wide = height_px / _ROWS, width_px / _COLUMNS
            middle = pixels[
                int(top + tall * 0.3) : max(int(top + tall * 0.7), int(top + tall * 0.3) + 1),
                int(left + wide * 0.3) : max(int(left + wide * 0.7), int(left + wide * 0.3) + 1),
            ]
            mean = float(middle.mean())
            if abs(mean - 127) < _UNCERTAIN:
                return None
            bits[row, column] = mean > 127
    high, low, both = (int("".join("01"[int(bit)] for bit in row), 2) for row in bits)
    return high << 8 | low if high ^ low == both else None


def counters_in(video: bytes) -> list[int | None]:
    """Numbers that the frames of a video show, in the order in which they come, turned as the video says."""
    with av.open(io.BytesIO(video), "r") as opened:
        return [
            read_counter(
                np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
            )
            for frame in opened.decode(video=0)
        ]


def tone_hz(second: float) -> float:
    """Frequency of the tone at a time."""
    return _LOWEST_HZ + _STEP_HZ * int(second)


def _mux(out: Any, packets: Sequence[Any], lengths: Mapping[int, int]) -> None:
    """Write coded frames with their lengths, which encoders forget."""
    for packet in packets:
        packet.duration = lengths[packet.pts]
        out.mux(packet)


def _turned(number: int, kind: MadeVideo) -> RGB:
    """A frame as it is coded: turned away from what is seen."""
    width_px, height_px = kind.size_px
    seen = (height_px, width_px) if kind.rotation in (90, 270) else (width_px, height_px)
    return np.ascontiguousarray(np.rot90(counter_frame(number, seen), -kind.rotation // 90))


def _pictures(out: Any, kind: MadeVideo) -> Any:
    options = {
        **_OPTIONS.get(kind.codec, {}),
        "bf": str(kind.b_frames),
        "g": str(kind.key_every),
        **dict(kind.options),
    }
    if kind.codec == "libx265":
        options["x265-params"] += f":bframes={kind.b_frames}:keyint={kind.key_every}"
    stream = out.add_stream(kind.codec, rate=kind.rate, options=options)
    stream.width, stream.height = kind.size_px
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1
    stream.codec_context.time_base = 1 / kind.rate
    return stream


def _sound(out: Any, kind: MadeVideo) -> Any:
    codec = {"webm": "libopus", "avi": "mp2"}.get(kind.container, "aac")
    stream = out.add_stream(codec, rate=48000)
    stream.codec_context.layout = "mono"
    return stream


def _tone(stream: Any, seconds: float) -> Iterator[Any]:
    """Blocks of the tone."""
    name = stream.codec_context.format.name
    size = 960 if stream.codec_context.codec.name == "libopus" else _AUDIO_FRAME
    for begin in range(0, int(seconds * 48000), size):
        at = np.arange(begin, min(begin + size, int(seconds * 48000)))
        wave = 0.3 * np.sin(2 * np.pi * (_LOWEST_HZ + _STEP_HZ * (at // 48000)) * at / 48000)
        samples = (wave * 32767).astype(np.int16) if name.startswith("s16") else wave.astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples[None, :], format=name, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, begin, Fraction(1, 48000)
        yield frame
