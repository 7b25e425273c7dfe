"""Videos through the step clip: brought once, each piece cut, counted, stored; what is no good told."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from crawl_box import Box
from made import indexed, tarred, zipped
from PIL import Image

from gristmill.media.video.pool import VideoPool
from gristmill.run.stages._spooled import Spooled, pieces_in
from gristmill.shards.samples import sample_parts
from gristmill.spec.cut import Cut
from gristmill.spec.errors import UsageError
from gristmill.spec.extras import install
from gristmill.spec.fate import Fate
from gristmill.spec.locator import Frames, Locator, Member
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, MediaRef, Origin, Sample, Show, Text, Turn
from gristmill.steps.acquirers import frames, member
from gristmill.steps.clip import Clip
from gristmill.storage.archives import ArchiveSource
from gristmill.testing.videos import MadeVideo, counters_in, made_video, trimmed_video

VIDEO = made_video(MadeVideo(frames=60, b_frames=2, audio_s=None))
VARIED = made_video(MadeVideo(frames=12, container="matroska"))
LIST_OF = {
    "a.mp4": VIDEO,
    "b.mkv": VARIED,
    "short.mp4": made_video(MadeVideo(frames=8)),
    "torn.mp4": made_video(MadeVideo(frames=120, kept=0.8)),
    "turned.mp4": made_video(MadeVideo(frames=12, rotation=90)),
    "trimmed.mp4": trimmed_video(VIDEO, 17),
    "page.mp4": b"<html>Video unavailable</html>",
    "empty.mp4": b"",
}


def picture(seed: int = 0) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def sample(row: int, at: Locator | str, cut: Cut | None = None, **facts) -> Sample:
    at = Member("videos", at) if isinstance(at, str) else at
    return Sample(
        key=f"k{row}",
        media={"video": MediaRef(kind="video", at=at, cut=cut, **facts)},
        turns=(Turn(role="user", parts=(Show(media="video"), Text(text="What?"))),),
        origin=Origin(source="rows", file="a.jsonl", row=row),
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return ArchiveSource([indexed(zipped(folder / "v.zip", LIST_OF, zipfile.ZIP_STORED))[1]])


@pytest.fixture
def new_box(engines, source):
    boxes = []

    def new(done=None, **sources) -> Box:
        boxes.append(Box(engines, done))
        boxes[-1].sources.update({"videos": source, **sources})
        return boxes[-1]

    yield new
    for made in (each for each in boxes if each.folder is not None):
        assert list(Path(made.folder.name).iterdir()) == []  # nothing is left of clips and frames
        made.folder.cleanup()


@pytest.fixture
def box(new_box):
    return new_box()


def take(box: Box, *samples: Sample, **settings):
    return list(Clip(**settings).apply(samples, box))


def test_a_video_is_brought_and_decoded_once_for_all_its_pieces(box, monkeypatch):
    asked = []
    clips, read = VideoPool.clips, member._body

    def counted(self, body, cuts, folder):
        asked.append(len(cuts))
        return clips(self, body, cuts, folder)

    def brought(*args):
        asked.append("brought")
        return read(*args)

    monkeypatch.setattr(VideoPool, "clips", counted)
    monkeypatch.setattr(member, "_body", brought)
    cuts = [Cut(start_s=0.5, end_s=1.0), Cut(first_frame=3, last_frame=20), Cut(start_s=0.5, end_s=1.0)]
    samples = [sample(n, "a.mp4", cut, name=f"a_{n}.mp4") for n, cut in enumerate(cuts)]
    made = take(box, *samples, sample(3, "a.mp4", Cut(start_s=90, end_s=99)))
    assert asked == ["brought", 3]  # of four wanted two are one piece
    assert [counters_in(box.bodies[n, "mp4"]) for n in range(3)] == [
        list(range(13, 25)),
        list(range(3, 21)),
        list(range(13, 25)),
    ]
    ref = made[1].media["mp4"]
    assert (ref.frames, ref.fps, ref.duration_s, ref.start_s) == (18, 25.0, 0.72, 0.12)
    assert (ref.mime, ref.width_px, ref.raw_bytes, ref.name) == ("video/mp4", 64, len(VIDEO), "a_1.mp4")
    assert ref.size_bytes == len(box.bodies[1, "mp4"])
    assert made[1].turns[0].parts[0] == Show(media="mp4")
    assert made[3].reason is Reason.CUT_OUTSIDE
    assert box.progressed[-1] == (4, {"cut_outside": 1}, len(VIDEO))
    assert len({done for done, *_ in box.progressed}) == 4  # each piece as soon as it is made


def test_pieces_that_an_interrupted_run_made_are_not_made_again(box, new_box, monkeypatch):
    samples = [sample(n, "a.mp4", Cut(first_frame=n, last_frame=n + 20)) for n in range(3)]
    take(box, *samples)
    whole = dict(box.bodies)
    again = new_box({place: fate for place, fate in box.fates.items() if place[0] != 1})
    cut = []
    clips = VideoPool.clips
    monkeypatch.setattr(
        VideoPool,
        "clips",
        lambda self, body, cuts, folder: cut.extend(cuts) or clips(self, body, cuts, folder),
    )
    made = take(again, *samples)
    assert cut == [Cut(first_frame=1, last_frame=21)]
    assert again.bodies == {(1, "mp4"): whole[1, "mp4"]}
    assert all(isinstance(one, Sample) for one in made)


def test_whole_videos_stay_as_they_came_where_they_fit(box, new_box):
    made = take(box, sample(0, "a.mp4"), sample(1, "b.mkv"))
    assert (box.bodies[0, "mp4"], box.bodies[1, "mkv"]) == (VIDEO, VARIED)
    assert (0, "mp4") in box.pointers  # and are not copied before they are packed
    turned, _ = take(box, sample(2, "turned.mp4"), sample(3, "trimmed.mp4"))
    assert box.bodies[3, "mp4"] != LIST_OF["trimmed.mp4"]  # OpenCV would count the frames that it hides
    assert counters_in(box.bodies[3, "mp4"]) == list(range(17, 60))
    assert box.bodies[2, "mp4"] != LIST_OF["turned.mp4"]
    assert counters_in(box.bodies[2, "mp4"]) == list(range(12))
    assert (turned.media["mp4"].width_px, turned.media["mp4"].height_px) == (48, 64)
    ref = made[1].media["mkv"]
    assert (ref.frames, ref.mime, ref.original_mime, ref.start_s) == (12, *["video/x-matroska"] * 2, None)
    anew = new_box()
    one, two = take(anew, sample(0, "a.mp4"), sample(1, "b.mkv"), short_side_px=32, audio="drop")
    assert (one.media["mp4"].height_px, two.media["mp4"].original_height_px) == (32, 48)
    assert counters_in(anew.bodies[1, "mp4"]) == list(range(12))


def test_what_is_no_video_of_use_is_told(box):
    names = ["short.mp4", "torn.mp4", "page.mp4", "empty.mp4", "gone.mp4"]
    made = take(box, *(sample(n, name) for n, name in enumerate(names)))
    cut = take(box, *(sample(9 + n, name, Cut(start_s=0, end_s=1)) for n, name in enumerate(names)))
    reasons = [Reason.TOO_FEW_FRAMES, Reason.BROKEN_TAIL, Reason.NOT_A_VIDEO, Reason.EMPTY, Reason.NO_FILE]
    assert [one.reason for one in made] == [*reasons]
    assert cut[0].reason is Reason.TOO_FEW_FRAMES
    assert [one.reason for one in cut[2:]] == reasons[2:]
    assert box.fates[0, "video"].detail == "8 frames, at least 9 wanted"
    (kept,) = take(box, sample(20, "torn.mp4"), broken_tail="keep")
    assert isinstance(kept, Sample), kept
    assert kept.media["mp4"].frames == len(counters_in(box.bodies[20, "mp4"])) > 9


def parts_of(box: Box, one: Sample) -> dict[str, bytes]:
    """The parts of a sample that lie in a shard."""
    (name,) = one.media
    spooled = Spooled(
        fate=Fate(row=one.row, medium=name),
        pieces=tuple(pieces_in(box.bodies[one.row, name], box.pieces[one.row, name])),
    )
    body = box.bodies[one.row, name]
    bodies = {p["name"]: body[p["offset"] : p["offset"] + p["size"]] for p in spooled.places(0, len(body), 0)}
    return dict(sample_parts(one, bodies))


def test_a_video_is_stored_as_its_frames(box):
    samples = [sample(0, "a.mp4"), sample(1, "a.mp4", Cut(first_frame=10, last_frame=49))]
    whole, piece = take(box, *samples, store="frames", frame_rate=5, min_frames=8)
    parts = parts_of(box, whole)
    assert [*parts] == [*(f"{n:03d}.jpg" for n in range(12)), "json"]
    assert np.asarray(Image.open(io.BytesIO(parts["011.jpg"]))).shape == (48, 64, 3)
    ref = piece.media["frames"]
    assert (ref.frames, ref.fps, ref.duration_s, ref.mime, ref.start_s) == (8, 5.0, 1.6, "image/jpeg", 0.4)
    assert piece.turns[0].parts[0] == Show(media="frames")
    two = Sample(key="two", media={n: samples[0].media["video"] for n in ("000", "001")}, origin=whole.origin)
    (drop,) = take(box, two, store="frames")
    assert drop == Drop(reason=Reason.BAD_ROW, detail="2 media; stored as frames a sample has one")


def test_frames_that_came_as_pictures_are_played_or_kept(new_box, tmp_path, monkeypatch):
    jpegs = {f"./f/c01_{n:04d}.jpeg": picture(n) for n in range(1, 10)}
    box = new_box(frames=ArchiveSource([indexed(tarred(tmp_path / "f.tar", jpegs))[1]]))
    (played,) = take(box, sample(0, Frames("frames", "f")))
    ref = played.media["mp4"]
    assert (ref.frames, ref.fps, ref.duration_s, ref.height_px) == (9, 2.0, 4.5, 20)
    (kept,) = take(box, sample(1, Frames("frames", "f")), store="frames", frame_rate=4)
    assert list(parts_of(box, kept).values())[:-1] == list(jpegs.values())
    assert (kept.media["frames"].fps, kept.media["frames"].width_px) == (4.0, 30)
    (small,) = take(box, sample(2, Frames("frames", "f")), store="frames", short_side_px=10)
    assert (small.media["frames"].frames, small.media["frames"].height_px) == (9, 10)
    (piece,) = take(box, sample(3, Frames("frames", "f"), Cut(first_frame=2, last_frame=8)), min_frames=7)
    assert (piece.media["mp4"].frames, piece.media["mp4"].start_s) == (7, 1.0)
    in_memory = box.bodies[1, "frames"]
    monkeypatch.setattr(frames, "LARGE_BYTES", 100)  # by way of a file
    take(box, sample(1, Frames("frames", "f")), store="frames", frame_rate=4)
    assert box.bodies[1, "frames"] == in_memory


def test_the_published_end_leaves_out_the_last_frame(box):
    cuts = [Cut(first_frame=0, last_frame=20), Cut(first_frame=3, last_frame=3), Cut(start_s=0, end_s=1)]
    made = take(box, *(sample(n, "a.mp4", cut) for n, cut in enumerate(cuts)), published_end=True)
    assert (made[0].media["mp4"].frames, made[0].media["mp4"].cut.last_frame) == (20, 19)
    assert made[1].reason is Reason.TOO_FEW_FRAMES
    assert made[2].media["mp4"].frames == 25


def test_pictures_beside_a_video_are_pictures(new_box, tmp_path):
    bodies = {"a.mp4": VIDEO, "p.jpg": picture(), "large.jpg": picture() + bytes(5000)}
    box = new_box(videos=ArchiveSource([indexed(zipped(tmp_path / "v.zip", bodies))[1]]))
    media = {
        "000": MediaRef(at=Member("videos", "p.jpg")),
        "001": MediaRef(kind="video", at=Member("videos", "a.mp4")),
    }
    both = Sample(key="k", media=media, origin=Origin(source="rows", file="a", row=0))
    (made,) = take(box, both)
    assert [*made.media] == ["000.jpg", "001.mp4"]
    large = Sample(
        key="l",
        media={"000": MediaRef(at=Member("videos", "large.jpg"))},
        origin=Origin(source="rows", file="a", row=1),
    )
    (drop,) = take(box, large, max_image_bytes=5000)
    assert drop.reason is Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mode": "keep"}, "clip.mode=keep: expected exact or copy"),
        ({"min_frames": 0}, "clip.min_frames=0: expected 1 to"),
        ({"mode": "copy", "short_side_px": 32}, "clip.mode=copy encodes nothing"),
        ({"short_side_px": 33}, "short_side_px must be even"),
        ({"encode_crf": 52}, "crf must be from 0 to 51"),
    ],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(UsageError, match=said):
        Clip(**settings)


def test_without_the_library_it_says_what_to_type(monkeypatch):
    assert Clip().missing() == ""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert install("video") in Clip().missing()
