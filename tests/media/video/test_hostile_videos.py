"""What strangers may send: each costs itself, in words, and leaves nothing behind."""

import asyncio
import io
import os
import random
import struct
import sys
import textwrap
from dataclasses import replace

import psutil
import pytest

from gristmill.media.errors import Undecodable
from gristmill.media.video import clips
from gristmill.media.video.pool import VideoPool
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.cut import Cut
from gristmill.spec.errors import MachineError, UsageError
from gristmill.spec.reasons import Reason
from gristmill.testing.videos import MadeVideo, counters_in, made_video

FAST = VideoSettings(preset="ultrafast")
AT_END = MadeVideo(faststart=False, frames=10)


def asked(work, settings=FAST, **more):
    async def run():
        async with VideoPool(settings, processes=1, **{"deadline_s": 60, **more}) as pool:
            return await work(pool)

    return asyncio.run(run())


async def refusal(pool, body):
    try:
        await pool.probe(body)
    except Undecodable as err:
        return err.reason
    return None


def box(kind, *content):
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def moov_of(video):
    """What lies before the index of a video that has it at its end, and the index's boxes."""
    at = video.index(b"moov") - 4
    boxes, inner = [], at + 8
    while inner < len(video):
        size = int.from_bytes(video[inner : inner + 4], "big")
        boxes.append((video[inner + 4 : inner + 8], video[inner + 8 : inner + size]))
        inner += size
    return video[:at], boxes


def with_many_streams(video, count):
    data, boxes = moov_of(video)
    track = next(content for kind, content in boxes if kind == b"trak")
    return data + box(b"moov", *(box(*each) for each in boxes), *[box(b"trak", track)] * count)


def with_reference(video, path):
    """The same with pictures that lie in another file: an alias record with an absolute path."""
    where = os.fsencode(path)
    record = (
        bytes(150) + struct.pack(">hh", 2, len(where)) + where + b"\0" * (len(where) % 2) + b"\xff\xff\0\0"
    )
    entry = struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record
    reference = box(b"dref", struct.pack(">II", 0, 1), entry)
    data, boxes = moov_of(video)

    def changed(kind, content):
        if kind == b"dref":
            return reference
        if kind in (b"trak", b"mdia", b"minf", b"dinf"):
            inner, at = [], 0
            while at < len(content):
                size = int.from_bytes(content[at : at + 4], "big")
                inner.append(changed(content[at + 4 : at + 8], content[at + 8 : at + size]))
                at += size
            return box(kind, *inner)
        return box(kind, content)

    return data + box(b"moov", *(changed(*each) for each in boxes))


def test_what_is_no_video_is_refused_in_words(tmp_path):
    """In order: by magic bytes, so no list of other addresses is ever read; by limits; by what is missing."""
    os.mkfifo(tmp_path / "other")  # who opens it waits for ever
    vp8 = made_video(MadeVideo(codec="libvpx", container="webm", frames=10))
    huge = vp8.replace(b"\x9d\x01\x2a\x40\x00\x30\x00", b"\x9d\x01\x2a\xff\x3f\xff\x3f")
    assert huge != vp8
    bodies = {
        "nothing": (b"", Reason.EMPTY),
        "page": (b"<!DOCTYPE html><html>no video here</html>", Reason.NOT_A_VIDEO),
        "playlist": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", Reason.NOT_A_VIDEO),
        "list of files": (b"ffconcat version 1.0\nfile '/etc/passwd'\n", Reason.NOT_A_VIDEO),
        "manifest": (b'<?xml version="1.0"?><MPD></MPD>', Reason.NOT_A_VIDEO),
        "picture": (b"\xff\xd8\xff\xe0" + bytes(99), Reason.NOT_A_VIDEO),
        "zeros": (bytes(5000), Reason.NOT_A_VIDEO),
        "header only": (made_video(MadeVideo())[:40], Reason.BROKEN_TAIL),
        "index cut off": (made_video(replace(AT_END, kept=0.6)), Reason.BROKEN_TAIL),
        "ten thousand streams": (with_many_streams(made_video(AT_END), 10_000), Reason.UNDECODABLE),
        "huge frames": (huge, None),
        "pictures elsewhere": (with_reference(made_video(AT_END), tmp_path / "other"), "any"),
    }

    async def work(pool):
        return {name: await refusal(pool, body) for name, (body, _) in bodies.items()}

    found = asked(work)
    assert found.pop("huge frames") in (Reason.TOO_MANY_PIXELS, Reason.UNDECODABLE)
    assert found.pop("pictures elsewhere") is not Reason.DECODER_TIMEOUT
    assert found == {name: reason for name, (_, reason) in bodies.items() if name in found}


def test_limits_of_settings(tmp_path):
    video = made_video(MadeVideo(frames=30))

    async def clip(pool):
        return await pool.whole(video, tmp_path)

    for settings, reason in (
        (replace(FAST, max_pixels=64 * 47), Reason.TOO_MANY_PIXELS),
        (replace(FAST, max_duration_s=1.0), Reason.TOO_LONG),
    ):
        with pytest.raises(Undecodable) as caught:
            clips.whole(lambda: io.BytesIO(video), tmp_path / "clip", settings, lambda: None)
        assert caught.value.reason is reason
    with pytest.raises(Undecodable) as caught:  # the kernel ends it, so it needs a process of its own
        asked(clip, replace(FAST, max_clip_bytes=1000))
    assert caught.value.reason is Reason.TOO_LARGE
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="crf"):
        VideoSettings(crf=99)


@pytest.mark.parametrize(
    "kind", [MadeVideo(kept=0.7), MadeVideo(kept=0.7, container="matroska", audio_s=None)]
)
def test_broken_tails_are_said_and_kept_only_if_wanted(kind, tmp_path):
    video = made_video(kind)
    cuts = [Cut(first_frame=2, last_frame=11), Cut(first_frame=10, last_frame=45), Cut(0.0, 1.9)]

    def measured(settings):
        return clips.measured(lambda: io.BytesIO(video), settings, lambda: None)

    def cut(settings):
        wanted = list(enumerate(cuts))
        made = clips.clips(
            lambda: io.BytesIO(video), wanted, lambda n: tmp_path / str(n), settings, lambda: None
        )
        return dict(made)

    def shown(number):
        return counters_in((tmp_path / str(number)).read_bytes())

    facts, made = measured(FAST), cut(FAST)
    assert facts.broken_tail
    assert 12 < facts.frames < 45
    assert shown(0) == list(range(2, 12))
    assert (made[1].reason, made[2].reason) == (Reason.BROKEN_TAIL, Reason.BROKEN_TAIL)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    made = cut(replace(FAST, keep_broken=True))
    assert shown(1) == list(range(10, facts.frames))
    assert shown(2) == list(range(facts.frames))
    assert [made[n].broken_tail for n in range(3)] == [False, True, True]


def test_a_folder_that_is_not_there_is_the_machine_s_fault(tmp_path):
    async def work(pool):
        return [each async for each in pool.clips(made_video(AT_END), [Cut(0.0, 0.2)], tmp_path / "none")]

    with pytest.raises(MachineError, match="none"):
        asked(work)


FAKE = """
import ctypes, os, pathlib, signal, sys
from gristmill.media.video import clips, worker

flag, how = pathlib.Path(sys.argv.pop(1)), sys.argv.pop(1)
finish = clips._Cutting.finish

def finished(cutting):
    if cutting.number == 2 and (how != "once" or not flag.exists()):
        flag.touch()
        if how == "hang":
            ctypes.PyDLL(None).sleep(90)
        os.kill(os.getpid(), signal.SIGSEGV)
    return finish(cutting)

clips._Cutting.finish = finished
worker.main()
"""


@pytest.mark.parametrize(
    ("how", "reason"), [("once", None), ("always", Reason.DECODER_CRASH), ("hang", Reason.DECODER_TIMEOUT)]
)
def test_a_child_that_ends_costs_no_clip_that_was_finished(how, reason, tmp_path):
    (tmp_path / "fake.py").write_text(textwrap.dedent(FAKE))
    (tmp_path / "made").mkdir()
    video = made_video(MadeVideo(audio_s=None))
    cuts = [Cut(first_frame=10 * n, last_frame=10 * n + 12) for n in range(4)]
    command = (sys.executable, str(tmp_path / "fake.py"), str(tmp_path / "flag"), how)

    async def work(pool):
        return [each async for each in pool.clips(video, cuts, tmp_path / "made")]

    made = asked(work, command=command, deadline_s=4 if how == "hang" else 60)
    assert sorted(number for number, _ in made) == [0, 1, 2, 3]
    by_number = dict(made)
    for number in range(4):
        if number < 2 or reason is None:
            last = min(49, 10 * number + 12)
            assert counters_in(by_number[number].body.path.read_bytes()) == list(range(10 * number, last + 1))
        else:
            assert by_number[number].reason is reason
    assert len(list((tmp_path / "made").iterdir())) == (4 if reason is None else 2)


def test_who_stops_listening_leaves_nothing(tmp_path):
    video = made_video(MadeVideo(frames=400))

    async def work(pool):
        some = pool.clips(video, [Cut(first_frame=0, last_frame=1), Cut(0.0, 16.0)], tmp_path)
        async for _, clip in some:
            clip.body.path.unlink()
            children = [psutil.Process(pid) for pid in pool.pids()]
            break
        await some.aclose()
        return children

    children = asked(work)
    assert not list(tmp_path.iterdir())
    assert not any(child.is_running() for child in children)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_five_thousand_mutations_cost_only_themselves(tmp_path):
    """Bytes changed, taken out, doubled: in the index, in the pictures, anywhere."""
    rng = random.Random(5)
    better = (("preset", "veryfast"),)
    kinds = [
        MadeVideo(b_frames=2, options=better, audio_s=None),
        MadeVideo(container="matroska", b_frames=2, options=better, audio_s=None),
        MadeVideo(container="webm", codec="libvpx-vp9", audio_s=None),
        MadeVideo(container="avi", codec="mpeg4", b_frames=2, audio_s=None),
        MadeVideo(codec="libx265", rotation=90),
        MadeVideo(container="flv"),
        MadeVideo(container="mpegts", audio_s=None),
    ]
    videos = [made_video(replace(kind, frames=20)) for kind in kinds]
    cuts = [Cut(first_frame=3, last_frame=12), Cut(0.3, 0.7)]
    fates: dict[str, int] = {}

    def mutated():
        data = bytearray(rng.choice(videos))
        for _ in range(rng.choice((1, 3, 30))):
            at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 2000))
            how = rng.random()
            if how < 0.7:
                data[at] = rng.randrange(256)
            elif how < 0.8:
                del data[at : at + rng.randrange(1, 64)]
            elif how < 0.9:
                data[at:at] = data[at : at + rng.randrange(1, 64)]
            else:
                data[at : at + 4] = rng.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
        return bytes(data)

    async def one(pool, body, mode):
        async for _, clip in pool.clips(body, cuts, tmp_path):
            said = str(clip.reason) if isinstance(clip, Undecodable) else f"{mode}: clip"
            fates[said] = fates.get(said, 0) + 1
            if not isinstance(clip, Undecodable):
                clip.body.path.unlink()

    async def run():
        for mode in ("exact", "copy"):
            settings = replace(FAST, mode=mode, max_duration_s=600)
            async with VideoPool(settings, processes=2, deadline_s=60) as pool:
                for _ in range(50):
                    await asyncio.gather(*(one(pool, mutated(), mode) for _ in range(50)))
                assert not list(tmp_path.iterdir())

    asyncio.run(run())
    assert sum(fates.values()) == 2 * 5000
    assert fates.get("decoder_timeout", 0) < 100, fates
