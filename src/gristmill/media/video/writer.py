"""Writes one clip as MP4: H.264 without B-frames, so that frames are stored in the order in which they are shown.

With them every reader must agree on edit lists and composition offsets to find the first frame at time 0; without,
there is nothing to agree on. The index lies in front of the data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.video.frame

from gristmill.media.video.settings import VideoSettings
from gristmill.media.video.sound import Samples

__all__ = ["Mp4Writer"]

THREADS = 2
"""Of the encoder: part of what decides its bytes, so it is not the machine's choice."""
KEY_EVERY = 60
_AUDIO_BITS = {"mono": 64_000, "stereo": 128_000}
_AUDIO_FRAME = 1024
_MUXER = {"movflags": "+faststart", "fflags": "+bitexact", "use_editlist": "1"}


class Mp4Writer:
    """One clip that is being written.

    Args:
        path: The file.
        settings: Of the encoder.
        size_px: Width and height.
        tick: Unit of the frames' times, seconds.
        rate: Frames a second on average.
        sound: Its blocks from time 0 on, or None.
        sound_rate: Samples a second.
        layout: ``mono`` or ``stereo``.
        template: A stream whose packets are copied instead of encoding frames.
    """

    def __init__(
        self,
        path: Path,
        settings: VideoSettings,
        *,
        tick: Fraction,
        rate: Fraction,
        size_px: tuple[int, int] = (0, 0),
        sound: Iterator[Samples] | None = None,
        sound_rate: int = 0,
        layout: str = "stereo",
        template: Any = None,
    ) -> None:
        self._settings, self._tick, self._copies = settings, tick, template is not None
        self.written = 0
        self._lengths: deque[int] = deque()
        self._sound = sound
        self._first_block = next(sound, None) if sound is not None else None
        movflags = "+faststart+negative_cts_offsets" if template is not None else "+faststart"
        self._out = av.open(
            f"file:{path}", "w", format="mp4", container_options={**_MUXER, "movflags": movflags}
        )
        if template is not None:
            self._video = self._out.add_stream_from_template(template, opaque=True)  # no encoder is opened
            self._video.time_base = tick
        else:
            self._video = self._encoder(size_px, rate)
        self._audio = self._sound_encoder(sound_rate, layout) if self._first_block is not None else None
        self._layout, self._sound_rate = layout, sound_rate
        self._samples = 0
        self._rest: Samples | None = self._first_block

    def _encoder(self, size_px: tuple[int, int], rate: Fraction) -> Any:
        # with AVX-512 what mbtree sums up of narrow pictures differs from run to run, and so do the bytes
        options = {
            "preset": self._settings.preset,
            "crf": str(self._settings.crf),
            "x264-params": f"bframes=0:keyint={KEY_EVERY}:rc-lookahead=10:sync-lookahead=0:force-cfr=0:mbtree=0",
        }
        stream = self._out.add_stream("libx264", rate=rate.limit_denominator(1 << 20), options=options)
        stream.width, stream.height = size_px
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = self._tick
        context.thread_count, context.thread_type = THREADS, "FRAME"
        context.flags |= 1 << 23  # AV_CODEC_FLAG_BITEXACT
        return stream

    def _sound_encoder(self, sound_rate: int, layout: str) -> Any:
        stream = self._out.add_stream("aac", rate=sound_rate)
        context = stream.codec_context
        context.layout, context.format = layout, "fltp"
        context.bit_rate = _AUDIO_BITS[layout]
        context.flags |= 1 << 23
        return stream

    def write(self, frame: Any, time: int, length: int) -> None:
        """Encode a frame that is shown at ``time`` for ``length``, in ticks."""
        if not self.written:
            context = self._video.codec_context
            for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
                setattr(context, name, getattr(frame, name))
        frame.pts, frame.time_base, frame.duration = time, self._tick, length
        frame.pict_type = av.video.frame.PictureType.NONE
        self._lengths.append(length)
        self._mux(self._video.encode(frame))
        self.written += 1
        self._sound_until(time * self._tick)

    def _mux(self, packets: Sequence[Any]) -> None:
        """Write coded frames, which come in the order of frames, with their lengths, which the encoder forgets."""
        for packet in packets:
            packet.duration = round(self._lengths.popleft() * self._tick / packet.time_base)
            self._out.mux(packet)

    def copy(self, packet: Any) -> None:
        """Take a coded frame as it is; its times are set."""
        time_s = packet.pts * self._tick
        packet.stream = self._video
        self._out.mux(packet)
        self.written += 1
        self._sound_until(time_s)

    def _sound_until(self, time_s: Fraction | None) -> None:
        """Encode the sound up to a time; None: all that is left."""
        if self._audio is None or self._sound is None:
            return
        import numpy as np

        most = None if time_s is None else int(time_s * self._sound_rate)
        while most is None or self._samples < most:
            while self._rest is None or self._rest.shape[1] < _AUDIO_FRAME:
                block = next(self._sound, None)
                if block is None:
                    break
                self._rest = block if self._rest is None else np.concatenate((self._rest, block), axis=1)
            if self._rest is None or not self._rest.shape[1]:
                return
            now, self._rest = self._rest[:, :_AUDIO_FRAME], self._rest[:, _AUDIO_FRAME:]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(now), format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts = self._sound_rate, self._samples
            frame.time_base = Fraction(1, self._sound_rate)
            self._samples += now.shape[1]
            self._out.mux(self._audio.encode(frame))

    def finish(self) -> None:
        """Encode what is left and write the index."""
        self._sound_until(None)
        if self.written and not self._copies:
            self._mux(self._video.encode(None))
        if self._audio is not None:
            self._out.mux(self._audio.encode(None))
        self._out.close()

    def abandon(self) -> None:
        """Close the file, whatever is in it."""
        self._out.close()
