"""Clips hold the frames that they should, told by the numbers that the frames themselves show."""

import io
import random
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from gristmill.media.errors import Undecodable
from gristmill.media.video import clips
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.cut import Cut
from gristmill.spec.reasons import Reason
from gristmill.testing.videos import MadeVideo, counters_in, made_video, read_counter, tone_hz, trimmed_video

BETTER = (("preset", "veryfast"),)  # with these x264 makes pyramids of B-frames and open ends
KINDS = {
    "10": MadeVideo(rate=Fraction(10)),
    "25 b-frames, sound": MadeVideo(b_frames=3, options=BETTER, audio_s=None),
    "29.97 b-frames": MadeVideo(rate=Fraction(30000, 1001), b_frames=2, options=BETTER, key_every=30),
    "60 sound longer": MadeVideo(rate=Fraction(60), audio_s=9.0, b_frames=2, options=BETTER),
    "15 sound shorter": MadeVideo(rate=Fraction(15), audio_s=3.0),
    "vfr": MadeVideo(pattern=(1, 2, 1, 3), b_frames=2, options=BETTER),
    "vfr mkv": MadeVideo(pattern=(1, 5, 1, 1, 2), rate=Fraction(50), container="matroska", audio_s=None),
    "turned 90": MadeVideo(rotation=90, audio_s=None),
    "turned 180": MadeVideo(rotation=180, b_frames=2),
    "turned 270": MadeVideo(rotation=270, container="mov"),
    "avi without times": MadeVideo(container="avi", b_frames=2, options=BETTER, audio_s=None),
    "avi mpeg4": MadeVideo(container="avi", codec="mpeg4", b_frames=2),
    "avi with empty chunks": MadeVideo(container="avi", codec="mpeg4", pattern=(1, 1, 1, 2)),
    "hevc mkv": MadeVideo(codec="libx265", container="matroska", b_frames=3, audio_s=None),
    "hevc mp4": MadeVideo(codec="libx265", b_frames=2),
    "vp9": MadeVideo(codec="libvpx-vp9", container="webm", audio_s=None),
    "vp8": MadeVideo(codec="libvpx", container="webm"),
    "one key frame": MadeVideo(key_every=1000, b_frames=3, options=BETTER, faststart=False),
    "starts late": MadeVideo(start=11, container="matroska", b_frames=2, options=BETTER, audio_s=None),
    "open gop": MadeVideo(b_frames=3, options=(*BETTER, ("x264-params", "open-gop=1")), key_every=20),
    "ts": MadeVideo(container="mpegts", b_frames=2, options=BETTER, audio_s=None),
    "flv": MadeVideo(container="flv", b_frames=2, options=BETTER, audio_s=None),
}
ROUNDED = {"matroska": 1000, "webm": 1000, "flv": 1000}
"""Containers that round times to so many in a second."""


def shown_s(kind):
    """When each frame is shown as the container says it, and the end."""
    in_a_second = ROUNDED.get(kind.container)
    times = [Fraction(time) / kind.rate for time in kind.times()]
    if in_a_second:
        times = [Fraction(round(time * in_a_second), in_a_second) for time in times]
    return [time - times[0] for time in times]


def some_cuts(kind, count, rng):
    """Cuts, and the numbers of the frames that they mean."""
    times = shown_s(kind)
    made = []
    while len(made) < count:
        first = rng.randrange(kind.frames)
        last = min(kind.frames - 1, first + rng.choice((0, 1, 8, 30, 90)))
        if rng.random() < 0.5:
            made.append((Cut(first_frame=first, last_frame=last), range(first, last + 1)))
            continue
        on_the_grid = rng.random() < 0.5
        start = float(times[first]) if on_the_grid else round(rng.uniform(0, float(times[-2])), 3)
        end = float(times[last + 1]) if on_the_grid else round(start + rng.uniform(0.01, 4), 3)
        exact = [Fraction(repr(start)), Fraction(repr(end))]
        numbers = [n for n, time in enumerate(times[:-1]) if exact[0] <= time < exact[1]]
        if numbers:
            made.append((Cut(start, end), range(numbers[0], numbers[-1] + 1)))
    return made


def boxes(data):
    """Kind, content of the boxes of an MP4 that lie in one another."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + size]
        at += size


def box(data, *path):
    """All boxes at a path."""
    found = [content for kind, content in boxes(data) if kind == path[0]]
    return found if len(path) == 1 else [inner for content in found for inner in box(content, *path[1:])]


def check_layout(data):
    """The index is in front, nothing of the pictures is hidden, and the first frame is a key frame at time 0."""
    kinds = [kind for kind, _ in boxes(data)]
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    pictures = next(track for track in box(data, b"moov", b"trak") if box(track, b"mdia", b"minf", b"vmhd"))
    for edits in box(pictures, b"edts", b"elst"):
        version, count = edits[0], struct.unpack_from(">I", edits, 4)[0]
        assert (version, count) == (0, 1)
        assert struct.unpack_from(">i", edits, 12) == (0,)  # nothing skipped
    assert not box(
        pictures, b"mdia", b"minf", b"stbl", b"ctts"
    )  # shown in the order in which they are stored
    with av.open(io.BytesIO(data)) as opened:
        first = next(opened.demux(video=0))
        assert (first.pts, first.is_keyframe) == (0, True)


def cut(video, cuts, folder, **settings):
    """Number -> facts, and the bytes."""
    made = {}
    settings = VideoSettings(**{"preset": "ultrafast", **settings})
    for number, facts in clips.clips(
        lambda: io.BytesIO(video),
        list(enumerate(cuts)),
        lambda n: folder / f"{n}.mp4",
        settings,
        lambda: None,
    ):
        assert number not in made
        if isinstance(facts, Undecodable):
            made[number] = facts, b""
            continue
        made[number] = facts, (folder / f"{number}.mp4").read_bytes()
        (folder / f"{number}.mp4").unlink()
    assert sorted(made) == list(range(len(cuts)))
    assert not list(folder.iterdir())
    return made


def check_clips(kind, count, folder, seed):
    """Cut and compare; says how many clips were right."""
    video = made_video(kind)
    wanted = some_cuts(kind, count, random.Random(seed))
    times = shown_s(kind)
    made = cut(video, [each for each, _ in wanted], folder)
    for number, (which, numbers) in enumerate(wanted):
        facts, data = made[number]
        assert not isinstance(facts, Undecodable), (which, facts)
        assert counters_in(data) == list(numbers), which
        assert facts.frames == len(numbers)
        assert facts.start_s == pytest.approx(float(times[numbers[0]]), abs=1e-6)
        if len(kind.pattern) == 1 or numbers[-1] + 1 < kind.frames:  # how long the very last is, nothing says
            assert facts.duration_s == pytest.approx(
                float(times[numbers[-1] + 1] - times[numbers[0]]), abs=0.0021
            )
        if (
            kind.audio_s is None or abs(kind.audio_s - times[numbers[0]]) > 0.05
        ):  # a block of sound is some 0.02 s
            assert facts.has_audio == (kind.audio_s is None or kind.audio_s > times[numbers[0]])
        check_layout(data)
    return len(wanted)


@pytest.mark.parametrize("name", KINDS)
def test_frames_of_clips_are_the_right_ones(name, tmp_path):
    assert check_clips(KINDS[name], 4, tmp_path, name) == 4


def test_sound_is_of_the_same_span(tmp_path):
    """The tone says in which second it was; it is not shifted by more than a coder's frame."""
    kind = MadeVideo(frames=100, audio_s=None, b_frames=2, options=BETTER)
    made = cut(made_video(kind), [Cut(1.5, 3.5), Cut(0.0, 1.0), Cut(2.96, 9.0)], tmp_path)
    for number, (start, length) in enumerate(((1.52, 2.0), (0.0, 1.0), (2.96, 1.04))):
        with av.open(io.BytesIO(made[number][1])) as opened:
            track = opened.streams.audio[0]
            blocks = [(frame.pts * frame.time_base, frame.to_ndarray()[0]) for frame in opened.decode(track)]
        wave = np.concatenate([block for _, block in blocks])
        assert blocks[0][0] == 0
        assert len(wave) / 48000 == pytest.approx(length, abs=0.025)
        for at in np.arange(0.1, length - 0.15, 0.1):
            if abs((start + at + 0.05) % 1 - 0.5) > 0.4:  # the pitch changes within it
                continue
            piece = wave[int(at * 48000) : int((at + 0.1) * 48000)]
            heard = np.argmax(np.abs(np.fft.rfft(piece * np.hanning(len(piece))))) * 10
            assert heard == pytest.approx(tone_hz(start + at + 0.05), abs=10)
    change = int((2 - 1.52) * 48000)  # where the pitch changes in the first
    made_up = np.sin(2 * np.pi * tone_hz(1.9) * (np.arange(4800) + 1.9 * 48000) / 48000)
    with av.open(io.BytesIO(made[0][1])) as opened:
        wave = np.concatenate([frame.to_ndarray()[0] for frame in opened.decode(audio=0)])
    shift = np.argmax(np.correlate(wave[change - 4800 - 200 : change + 200], made_up, "valid")) - 200
    period = 48000 / tone_hz(1.9)
    assert abs((shift + period / 2) % period - period / 2) < 6
    assert not cut(made_video(kind), [Cut(0.0, 1.0)], tmp_path, audio="drop")[0][0].has_audio


def test_sound_is_that_of_pictures_that_begin_after_it(tmp_path):
    """A second later in the file, so that what is heard first is the tone of its second second."""
    kind = MadeVideo(frames=50, start=25, container="matroska", audio_s=None)
    made = cut(made_video(kind), [Cut(0.0, 0.9), Cut(1.1, 1.9)], tmp_path)
    for number, second in ((0, 1), (1, 2)):
        with av.open(io.BytesIO(made[number][1])) as opened:
            wave = np.concatenate([frame.to_ndarray()[0] for frame in opened.decode(audio=0)])
        piece = wave[4800 : 4800 + 24000]
        assert np.argmax(np.abs(np.fft.rfft(piece * np.hanning(24000)))) * 2 == pytest.approx(
            tone_hz(second), abs=5
        )


def test_what_is_measured_of_rates_and_key_frames():
    """A container that rounds times to milliseconds has no variable rate for that."""
    for name, variable in (
        ("29.97 b-frames", False),
        ("vfr", True),
        ("vfr mkv", True),
        ("starts late", False),
    ):
        video = made_video(KINDS[name])
        facts = clips.measured(lambda video=video: io.BytesIO(video), VideoSettings(), lambda: None)
        assert (facts.variable_rate, facts.first_key_frame_s) == (variable, 0.0), name
        assert facts.fps == pytest.approx(facts.frames / facts.duration_s)
    rounded = made_video(MadeVideo(rate=Fraction(30000, 1001), container="matroska"))
    facts = clips.measured(lambda: io.BytesIO(rounded), VideoSettings(), lambda: None)
    assert (facts.frames, facts.variable_rate) == (50, False)


@pytest.mark.parametrize("name", ["29.97 b-frames", "hevc mp4", "open gop", "turned 90", "vp9"])
def test_copies_begin_at_the_key_frame_before(name, tmp_path):
    kind = KINDS[name]
    video = made_video(kind)
    wanted = ((31, 40), (25, 49), (38, 49))
    made = cut(video, [Cut(first_frame=n, last_frame=m) for n, m in wanted], tmp_path, mode="copy")
    for number, (first, last) in enumerate(wanted):
        facts, data = made[number]
        numbers = counters_in(data)
        assert numbers[0] <= first
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert last <= numbers[-1] <= last + 4  # one that is needed for the last may be shown behind it
        assert facts.frames == len(numbers)
        assert facts.start_s == pytest.approx(float(shown_s(kind)[numbers[0]]), abs=1e-6)
        assert facts.rotation == kind.rotation
        pictures = next(
            track for track in box(data, b"moov", b"trak") if box(track, b"mdia", b"minf", b"vmhd")
        )
        assert all(struct.unpack_from(">i", one, 12) == (0,) for one in box(pictures, b"edts", b"elst"))
        with av.open(io.BytesIO(data)) as opened:
            assert next(opened.decode(video=0)).pts == 0


def test_frames_that_a_file_hides_are_not_of_it(tmp_path):
    """They are decoded for the others; nothing can be copied that begins among them."""
    video = trimmed_video(made_video(MadeVideo(b_frames=2, options=BETTER, key_every=20)), 27)
    cuts = [Cut(0.0, 9.0), Cut(0.2, 0.4), Cut(first_frame=14, last_frame=20)]
    made = cut(video, cuts, tmp_path)
    assert [counters_in(made[n][1]) for n in range(3)] == [
        list(range(27, 50)),
        list(range(32, 37)),
        list(range(41, 48)),
    ]
    assert clips.measured(lambda: io.BytesIO(video), VideoSettings(), lambda: None).hidden_frames
    assert not any(made[n][0].hidden_frames for n in range(3))
    copied = cut(video, cuts, tmp_path, mode="copy")
    assert copied[0][0].reason is Reason.UNSUPPORTED
    for number, first, last in ((1, 32, 36), (2, 41, 47)):
        shown = counters_in(copied[number][1])
        assert set(range(first, last + 1)) <= set(shown)
        assert (shown[0] - 27) / 25 == pytest.approx(copied[number][0].start_s)


def test_other_readers_see_the_same_frames(tmp_path):
    _, data = cut(made_video(KINDS["29.97 b-frames"]), [Cut(first_frame=7, last_frame=39)], tmp_path)[0]
    (tmp_path / "clip.mp4").write_bytes(data)
    reader = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
    assert reader.get(cv2.CAP_PROP_FRAME_COUNT) == 33
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(30000 / 1001)
    seen = []
    while (read := reader.read())[0]:
        seen.append(read_counter(read[1]))
    assert seen == list(range(7, 40))
    reader.set(cv2.CAP_PROP_POS_FRAMES, 20)
    assert read_counter(reader.read()[1]) == 27
    reader.release()


def test_a_time_between_two_units_of_the_file_is_neither(tmp_path):
    """A frame at 0.040 s is before 0.0401 s, though the file knows milliseconds alone."""
    video = made_video(MadeVideo(frames=20, container="matroska"))
    made = cut(video, [Cut(0.0401, 0.1601), Cut(0.04, 0.16)], tmp_path)
    assert [counters_in(made[n][1]) for n in (0, 1)] == [[2, 3, 4], [1, 2, 3]]


def test_a_program_stream_says_other_times_where_it_is_entered(tmp_path):
    video = made_video(
        MadeVideo(container="mpeg", codec="mpeg2video", size_px=(128, 96), key_every=12, frames=60)
    )
    assert counters_in(cut(video, [Cut(1.0, 2.0)], tmp_path)[0][1]) == list(range(25, 50))
    facts, data = cut(video, [Cut(1.0, 2.0)], tmp_path, mode="copy")[0]
    assert (counters_in(data), facts.start_s) == (list(range(24, 50)), 0.96)


def test_a_last_frame_that_is_shown_on_is_no_broken_tail(tmp_path):
    """Empty chunks at the end of an AVI are counted by its header, and handed out by no demuxer."""
    video = made_video(MadeVideo(frames=24, container="avi", codec="mpeg4", pattern=(1, 1, 1, 5)))
    facts, data = cut(video, [Cut(1.0, 9.0)], tmp_path)[0]
    assert (facts.broken_tail, counters_in(data)[-1]) == (False, 23)
    # the same index, and a header that counts frames which nothing in the file stands for
    counted = bytearray(video)
    struct.pack_into("<I", counted, video.index(b"strh") + 40, 96)
    assert cut(bytes(counted), [Cut(1.0, 9.0)], tmp_path)[0][0].reason is Reason.BROKEN_TAIL


def test_frames_that_are_counted_beyond_the_end_were_counted_in_another_copy(tmp_path):
    video = made_video(MadeVideo(frames=20))
    made = cut(video, [Cut(first_frame=10, last_frame=last) for last in (19, 21, 22)], tmp_path)
    assert [counters_in(made[n][1]) for n in (0, 1)] == [
        list(range(10, 20))
    ] * 2  # some decoders count two more
    assert made[2][0].reason is Reason.CUT_OUTSIDE


def test_sizes_are_even_and_the_shorter_side_as_wanted(tmp_path):
    video = made_video(MadeVideo(size_px=(65, 49), codec="libvpx-vp9", container="webm"))
    made = cut(video, [Cut(0.0, 0.5)], tmp_path)[0]
    assert (made[0].width_px, made[0].height_px) == (64, 48)
    assert counters_in(made[1]) == list(range(13))
    big = made_video(MadeVideo(size_px=(320, 180), rotation=90, frames=10))
    made = cut(big, [Cut(0.0, 0.5)], tmp_path, short_side_px=64)[0]
    assert (made[0].width_px, made[0].height_px) == (64, 114)
    assert counters_in(made[1]) == list(range(10))


def test_the_same_bytes_alone_or_beside_others(tmp_path):
    """Whatever else is cut in the same pass; ten that overlap need more than one pass."""
    video = made_video(MadeVideo(frames=50, size_px=(96, 64), audio_s=None, b_frames=2, options=BETTER))
    cuts = [Cut(first_frame=n, last_frame=n + 30) for n in range(10)]
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(clips, "ENCODERS_BYTES", 3 * 96 * 64 * 40)
        together = cut(video, cuts, tmp_path)
    assert [counters_in(together[n][1]) for n in range(10)] == [list(range(n, n + 31)) for n in range(10)]
    for n in (0, 9):
        assert cut(video, [cuts[n]], tmp_path)[0][1] == together[n][1]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_wrong_frame_in_two_thousand_clips(tmp_path):
    checked = 0
    for name, kind in KINDS.items():
        longer = MadeVideo(**{**{f: getattr(kind, f) for f in kind.__slots__}, "frames": 200})
        checked += check_clips(longer, 100, tmp_path, f"{name} longer")
    assert checked >= 2000


@pytest.mark.slow
def test_a_clip_has_the_same_bytes_each_time(tmp_path):
    """One encoder in thirty gave others: what it summed up of so narrow a picture lay in memory beside it."""
    video = made_video(MadeVideo(frames=60, b_frames=1))
    cuts = [(number, Cut(first_frame=5, last_frame=24)) for number in range(30)]
    found = set()
    for _ in range(10):
        paths = lambda number: tmp_path / f"{number}.mp4"  # noqa: E731
        made = list(clips.clips(lambda: io.BytesIO(video), cuts, paths, VideoSettings(), lambda: None))
        found |= {paths(number).read_bytes() for number, _ in made}
    assert len(found) == 1
    assert (
        b" mbtree=0 " in found.pop()
    )  # as the encoder says; no other processor than one with AVX-512 shows it
