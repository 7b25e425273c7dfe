"""A real video: clips of it have the frames that are meant, and look like them."""

import asyncio
import io

import av
import numpy as np

from gristmill.media.video.pool import VideoPool
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.body import bytes_of
from gristmill.spec.cut import Cut

CUTS = [Cut(start_s=0.5, end_s=2), Cut(start_s=1.21, end_s=5.1), Cut(first_frame=100, last_frame=131)]
_ALIKE = 6.0
"""Mean difference of two pictures' values at most, of 255; neighbours in time differ by less than other scenes."""


def pictures(body: bytes) -> list[np.ndarray]:
    """Small grey pictures of all frames."""
    with av.open(io.BytesIO(body)) as file:
        return [frame.reformat(64, 36, "gray").to_ndarray().astype(float) for frame in file.decode(video=0)]


def meant(cut: Cut, frames: int, rate: float) -> list[int]:
    numbers = range(frames)
    if cut.first_frame is not None:
        return [n for n in numbers if cut.first_frame <= n <= cut.last_frame]
    return [n for n in numbers if cut.start_s <= n / rate < cut.end_s]


def test_clips_of_a_real_video(videos, tmp_path):
    (video,) = videos
    source = pictures(video.body)

    async def cut():
        pool = VideoPool(VideoSettings(mode="exact"), processes=1)
        try:
            facts = await pool.probe(video.body)
            found = {n: clip async for n, clip in pool.clips(video.body, CUTS, tmp_path)}
            return facts, {n: (clip.facts, bytes_of(clip.body)) for n, clip in found.items()}
        finally:
            await pool.close()

    facts, clips = asyncio.run(cut())
    assert (facts.frames, facts.width_px, facts.height_px, facts.has_audio) == (132, 1280, 720, True)
    assert len(source) == 132
    for number, wanted in enumerate(CUTS):
        told, body = clips[number]
        numbers = meant(wanted, 132, 25)
        assert told.frames == len(numbers)
        assert told.has_audio
        for at, one in zip(numbers, pictures(body), strict=True):
            own = np.abs(one - source[at]).mean()
            assert own < _ALIKE
            assert own <= min(
                np.abs(one - source[far]).mean() for far in (at - 25, at + 25) if 0 <= far < 132
            )
