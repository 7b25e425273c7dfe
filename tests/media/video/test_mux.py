"""Pictures and sound of two files in one: every packet there, at its time."""

import asyncio
import io

import av
import pytest

from gristmill.media.errors import Undecodable
from gristmill.media.video.mux import muxed
from gristmill.media.video.pool import VideoPool
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.body import FileBody
from gristmill.spec.reasons import Reason
from gristmill.testing.videos import MadeVideo, counters_in, made_video, without

VIDEO = made_video(MadeVideo(b_frames=2, audio_s=None))
SHOWN = without("audio", VIDEO)


def together(tmp_path, picture, sound, **settings):
    return muxed(io.BytesIO(picture), io.BytesIO(sound), tmp_path / "whole", VideoSettings(**settings))


def starts(path):
    """When the first frame is shown, and the first sound is heard, in seconds."""
    found = []
    for kind in ("video", "audio"):
        with av.open(str(path)) as opened:
            found.append(float(next(opened.decode(**{kind: 0})).time))
    return [round(one, 2) for one in found]


@pytest.mark.parametrize(
    ("container", "late_s", "begin"),
    [
        ("mp4", 0, [0, 0]),
        ("mp4", 0.5, [0, 0.5]),  # one clock: it was so
        ("matroska", 0.5, [0, 0.5]),
        ("mp4", 90, [0, 0]),  # two clocks
        ("adts", 0, [0, 0]),  # none
        ("mpegts", 0, [0, 0]),
    ],
)
def test_both_begin_where_they_should(tmp_path, container, late_s, begin):
    whole = together(tmp_path, SHOWN, without("video", VIDEO, container=container, late_s=late_s))
    assert whole.suffix == ".mp4"
    assert starts(whole) == pytest.approx(begin, abs=0.05)
    assert counters_in(whole.read_bytes()) == list(range(50))


def test_pictures_that_begin_late_do_so_on_the_clock_of_both(tmp_path):
    shown = without("audio", VIDEO, container="mpegts", late_s=10)
    heard = without("video", VIDEO, container="mpegts", late_s=10.5)
    whole = together(tmp_path, shown, heard)
    assert starts(whole) == pytest.approx([0, 0.5], abs=0.05)
    assert counters_in(whole.read_bytes()) == list(range(50))


def test_codecs_that_do_not_fit_an_mp4_come_into_matroska(tmp_path):
    video = made_video(MadeVideo(codec="libvpx-vp9", container="webm"))
    whole = together(tmp_path, video, without("video", VIDEO))
    assert whole.suffix == ".mkv"
    assert counters_in(whole.read_bytes()) == list(range(50))


@pytest.mark.parametrize(
    ("picture", "sound", "reason"),
    [
        (SHOWN, SHOWN, Reason.UNSUPPORTED),
        (SHOWN, b"<html>", Reason.NOT_A_VIDEO),
        (SHOWN, b"", Reason.EMPTY),
        (SHOWN[: len(SHOWN) // 2], without("video", VIDEO), Reason.BROKEN_TAIL),
        (SHOWN, b"\xff\xf1" + bytes(range(256)) * 20, Reason.UNSUPPORTED),
    ],
)
def test_what_is_broken_makes_no_video(tmp_path, picture, sound, reason):
    with pytest.raises(Undecodable) as refused:
        together(tmp_path, picture, sound)
    assert refused.value.reason is reason


def test_it_is_done_in_a_child_and_leaves_nothing_of_what_fails(tmp_path):
    async def work():
        async with VideoPool(VideoSettings(), processes=1) as pool:
            bodies = []
            for name, data in (("p", SHOWN), ("s", without("video", VIDEO)), ("none", b"no")):
                (tmp_path / name).write_bytes(data)
                bodies.append(FileBody(path=tmp_path / name, size_bytes=len(data)))
            made = await pool.muxed(bodies[0], bodies[1], tmp_path)
            facts = await pool.probe(made)
            with pytest.raises(Undecodable):
                await pool.muxed(bodies[0], bodies[2], tmp_path)
            return facts, made

    facts, made = asyncio.run(work())
    assert (facts.frames, facts.has_audio, facts.hidden_frames) == (50, True, False)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(["p", "s", "none", made.path.name])
