"""Videos through the pool: what every user of it sees."""

import asyncio

import pytest

from gristmill.media.errors import Undecodable
from gristmill.media.video.pool import VideoPool
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.body import FileBody
from gristmill.spec.cut import Cut
from gristmill.spec.reasons import Reason
from gristmill.testing.videos import MadeVideo, counters_in, made_video

FAST = VideoSettings(preset="ultrafast")


def asked(settings, work):
    """What ``work`` makes of a pool."""

    async def run():
        async with VideoPool(settings, processes=1, deadline_s=60) as pool:
            return await work(pool)

    return asyncio.run(run())


def test_a_video_is_probed_cut_split_and_joined(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    video = made_video(MadeVideo(b_frames=2, audio_s=None))
    (tmp_path / "archive").write_bytes(b"before" + video + b"behind")
    body = FileBody(path=tmp_path / "archive", offset=6, size_bytes=len(video))
    cuts = [Cut(0.5, 1.0), Cut(first_frame=3, last_frame=20), Cut(1.5, 9.0), Cut(90.0, 99.0)]

    async def work(pool):
        facts = await pool.probe(body)
        clips = {number: clip async for number, clip in pool.clips(body, cuts, made)}
        whole = await pool.whole(video, made)
        stills = await pool.frames_at(body, 3)
        pictures = await pool.split(body, 5.0, made)
        joined = await pool.joined(b"".join(each.path.read_bytes() for each in pictures), 5.0, made)
        with pytest.raises(Undecodable) as caught:
            await pool.probe(b"<html>nothing</html>")
        return facts, clips, whole, stills, pictures, joined, caught.value.reason

    facts, clips, whole, stills, pictures, joined, refused = asked(FAST, work)
    assert (facts.frames, facts.fps, facts.duration_s, facts.has_audio) == (50, 25.0, 2.0, True)
    counters = [counters_in(clips[n].body.path.read_bytes()) for n in range(3)]
    assert counters == [list(range(13, 25)), list(range(3, 21)), list(range(38, 50))]
    assert [clips[n].facts.frames for n in range(3)] == [12, 18, 12]
    assert [clips[n].facts.start_s for n in range(3)] == [0.52, 0.12, 1.52]
    assert clips[3].reason is Reason.CUT_OUTSIDE
    assert counters_in(whole.body.path.read_bytes()) == list(range(50))
    assert len(stills) == 3
    assert counters_in(joined.body.path.read_bytes()) == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]
    assert (joined.facts.fps, len(pictures)) == (5.0, 10)
    assert refused is Reason.NOT_A_VIDEO
    assert len(list(made.iterdir())) == 3 + 1 + 10 + 1
