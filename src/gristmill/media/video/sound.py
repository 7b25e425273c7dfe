"""The sound of a span of time, decoded on a reader of its own, so that it never waits for pictures."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
import numpy.typing as npt
from av.stream import Discard

from gristmill.media.video.settings import VideoSettings
from gristmill.media.video.source import BAD, open_container, sound_of

__all__ = ["Samples", "Sound"]

Samples = npt.NDArray[np.float32]
"""Channels, samples."""

# ISO/IEC 14496-3, table 1.18
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_USUAL_RATE = 48000
_EARLIER = Fraction(1, 2)
"""Seconds to begin before: a decoder's first frames lack what came before them."""
_JITTER = 0.05
"""Seconds by which times may be off between blocks that follow one another: containers round them."""


class Sound:
    """The sound of a video.

    Args:
        stream: A reader of its own.
        container: Format of the file.
        settings: Limits.
        origin_s: Time of the video's first frame in the file.
    """

    def __init__(self, stream: BinaryIO, container: str, settings: VideoSettings, origin_s: Fraction) -> None:
        self._input = open_container(stream, container, settings)
        self._origin_s = origin_s
        self._stream = sound_of(self._input)
        for other in self._input.streams:
            if other.index != self._stream.index:
                other.discard = Discard.all
        self._stream.codec_context.thread_count = 1
        rate = self._stream.codec_context.rate
        self.rate: int = rate if rate in _RATES else _USUAL_RATE
        self.layout = "mono" if self._stream.codec_context.layout.nb_channels == 1 else "stereo"

    def span(self, start_s: Fraction, end_s: Fraction) -> Iterator[Samples]:
        """The sound between two times, from the video's first frame on; gaps are silent, its end may come sooner.

        Yields:
            Blocks that follow one another, the first at ``start_s``.
        """
        total = round((end_s - start_s) * self.rate)
        begin_s = start_s + self._origin_s
        channels = 1 if self.layout == "mono" else 2
        given = 0
        expected: int | None = None
        for time_s, block in self._blocks(begin_s):
            at = round((time_s - begin_s) * self.rate)
            if expected is not None and abs(at - expected) < _JITTER * self.rate:
                at = expected
            expected = at + block.shape[1]
            if at > given:
                silent = min(at, total) - given
                for done in range(0, silent, self.rate):
                    yield np.zeros((channels, min(self.rate, silent - done)), np.float32)
                given += silent
            piece = block[:, given - at : total - at] if given > at else block[:, : total - at]
            if piece.shape[1] > 0:
                yield piece
                given += piece.shape[1]
            if given >= total:
                return

    def _blocks(self, begin_s: Fraction) -> Iterator[tuple[Fraction, Samples]]:
        """Decoded sound with its times, from some time before ``begin_s`` on."""
        tick = self._stream.time_base
        try:
            self._input.seek(int(max(0, begin_s - _EARLIER) / tick), stream=self._stream, backward=True)
        except BAD:
            return
        resampler = av.AudioResampler(format="fltp", layout=self.layout, rate=self.rate)
        shape: tuple[Any, ...] | None = None
        packets = self._input.demux(self._stream)
        while True:
            try:
                packet = next(packets)
                frames = self._stream.codec_context.decode(packet)
            except av.error.MemoryError:
                raise
            except (StopIteration, EOFError):
                return
            except BAD:
                continue
            for frame in frames:
                if frame.pts is None:
                    continue
                now = (frame.format.name, frame.layout.name, frame.sample_rate)
                if shape != now:
                    resampler = av.AudioResampler(format="fltp", layout=self.layout, rate=self.rate)
                    shape = now
                time_s = frame.pts * tick
                frame.pts = None
                for made in resampler.resample(frame):
                    yield time_s, np.asarray(made.to_ndarray(), np.float32)
                    time_s += Fraction(made.samples, self.rate)

    def close(self) -> None:
        """Let go of the decoder."""
        self._input.close()
