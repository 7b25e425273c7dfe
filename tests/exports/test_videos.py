"""Exports of videos: names, measured rates and counts, folders of frames, by the rules of each trainer's reader."""

import asyncio
import io
import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import trainer_rules as rules
import webdataset
import yaml
from made_shards import finished, picture
from PIL import Image

from gristmill import exports
from gristmill.exports import FinishedShards
from gristmill.exports.vila_conversations import REGISTRY
from gristmill.media.video.pool import VideoPool
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.body import bytes_of
from gristmill.spec.cut import Cut
from gristmill.spec.errors import UsageError
from gristmill.spec.locator import Frames, Video
from gristmill.spec.sample import MediaRef, Sample, Show, Text, Turn
from gristmill.testing.videos import MadeVideo, made_video, read_counter


def clip(n, *, frames=25, fps=12.5, name=None, at=None, upstream=None, turns=2, body=None, cut=None):
    """A clip as a run packs it: one part ``mp4``, its facts flat."""
    ref = MediaRef(
        kind="video",
        at=at,
        cut=cut,
        name=name,
        mime="video/mp4",
        raw_bytes=10_000,
        size_bytes=100,
        duration_s=frames / fps,
        fps=fps,
        frames=frames,
    )
    said = [Turn(role="user", parts=(Text(text="What happens?"), Show(media="mp4")))]
    said += [Turn(role="assistant", parts=(Text(text="A fall."),))]
    said += [
        Turn(role=("user", "assistant")[i % 2], parts=(Text(text=f"word {i}"),)) for i in range(turns - 2)
    ]
    sample = Sample(key=f"c_{n}", media={"mp4": ref}, turns=tuple(said), upstream=upstream or {"n": n})
    return sample, {"mp4": body or b"\x00\x00\x00\x18ftypmp42 made up %d" % n}


def as_frames(n, count=12, *, name="v_one-Scene-001", seen=None, medium="frames"):
    """A video that is stored as its frames."""
    ref = MediaRef(
        kind="video",
        at=Frames("videos", name),
        mime="image/jpeg",
        duration_s=count / 2,
        fps=2.0,
        frames=count,
    )
    turns = (
        Turn(role="user", parts=(Show(media=medium), Text(text="Retell it."))),
        Turn(role="assistant", parts=(Text(text="It ends."),)),
    )
    names = [f"{i:03d}.jpg" for i in range(count)]
    sample = Sample(key=f"f_{n}", media={medium: ref}, turns=turns, upstream={"video": name})
    return sample, {part: picture(100 * (seen or n) + i) for i, part in enumerate(names)}


def written(folder, samples, name="made-set"):
    """A dataset of one shard."""
    return FinishedShards(folder=folder, shards=tuple(finished(folder, [samples])), name=name)


def export(to, dataset, out, **options):
    return list(replace(exports.find(to), **options).export(dataset, out))[-1]


def release(out, name):
    """Rows, and the folder of media, where the registry of VILA's release has them."""
    _, rows, media = REGISTRY[name]
    data = out / "playground" / "data"
    return rules.lines(data / rows), data / media


NAMED = [
    (dict(name="-bC_12345678_0.mp4"), "-bC_12345678_0.mp4"),
    (dict(at=Video("videos", "AbC.3")), "AbC.3.mp4"),
    (dict(at=Video("videos", "v_a"), upstream={"video": "clips/v_a.webm"}), "clips/v_a.mp4"),
    (dict(at=Video("videos", "v_b"), upstream={"video": "v_b"}), "v_b.mp4"),
    (dict(at=Video("videos", "v_c"), cut=Cut(start_s=1, end_s=2), name="v_c_1_2.mp4"), "v_c_1_2.mp4"),
    (dict(name="../v_d.mp4"), "00000/c_5.mp4"),
    (dict(), "00000/c_6.mp4"),
]


def test_videos_are_named_as_published_copies_have_them(tmp_path):
    samples = [clip(n, **known) for n, (known, _) in enumerate(NAMED)]
    done = export("vila", written(tmp_path / "d", samples, "youcook2"), tmp_path / "out")
    rows, media = release(tmp_path / "out", "youcook2")
    assert [row["video"] for row in rows] == [name for _, name in NAMED]
    assert [rules.vila_release(row, media) for row in rows] == [[bodies["mp4"]] for _, bodies in samples]
    assert {(row["fps"], row["frame_count"]) for row in rows} == {(12.5, 25)}
    assert (done.samples, done.left_out) == (len(NAMED), 0)
    (entry,) = yaml.safe_load((tmp_path / "out" / "vila.yaml").read_text()).values()
    assert (entry["is_video"], entry["media_dir"]) == (True, str(media))
    for row, (_, bodies) in zip(rows, samples, strict=True):
        assert rules.vila_head(row, entry)[0] == [bodies["mp4"], "What happens?"]


def test_two_cuts_under_one_name_are_told_apart(tmp_path):
    samples = [clip(n, name="AbC_0.mp4", body=b"ftyp %d" % (n // 2)) for n in range(3)]
    export("qwen-vl", written(tmp_path / "d", samples), tmp_path / "out")
    names = [row["video"][0] for row in rules.lines(tmp_path / "out" / "train.jsonl")]
    assert names[0] == names[1] == "AbC_0.mp4"
    assert (tmp_path / "out" / "media" / names[2]).read_bytes() == b"ftyp 1"


@pytest.mark.parametrize(
    ("sample", "options", "kind"),
    [
        (clip(0, frames=8), {}, "too_few_frames"),
        (clip(0, frames=9), {}, None),
        (clip(0, frames=16), {"video_frames": 16}, "too_few_frames"),
        (clip(0, frames=8), {"head_only": True}, None),
        (clip(0, turns=4), {}, "several_turns"),
        (as_frames(0), {}, "frames"),
        (as_frames(0), {"head_only": True}, None),
    ],
)
def test_what_would_train_on_black_frames_does_not_fit_the_release(tmp_path, sample, options, kind):
    dataset = written(tmp_path / "d", [sample, clip(1)], "vatex")
    done = export("vila-conversations", dataset, tmp_path / "out", leave_out=True, **options)
    assert dict(done.reasons) == ({kind: 1} if kind else {})
    if kind:
        with pytest.raises(UsageError, match="--leave-out"):
            export("vila-conversations", dataset, tmp_path / "refused", **options)


def test_video_chatgpt_has_its_own_keys_and_those_of_both_loaders(tmp_path):
    made = clip(0, at=Video("videos", "v_0aB1cD2eF3g"), upstream={"q": "?", "video_id": "v_0aB1cD2eF3g"})
    export("vila", written(tmp_path / "d", [made], "video-chatgpt"), tmp_path / "out")
    ((row,), media) = release(tmp_path / "out", "video-chatgpt")
    assert (row["video"], row["video_id"]) == ("v_0aB1cD2eF3g.mp4", "v_0aB1cD2eF3g")
    assert (row["q"], row["a"]) == ("What happens?", "A fall.")
    raw = {name: row[name] for name in ("q", "a", "video_id")}
    assert rules.vila_release(raw, media) == rules.vila_release(row, media) == [made[1]["mp4"]]


def test_a_video_that_is_stored_as_frames_is_a_folder_of_them(tmp_path):
    samples = [
        as_frames(1),
        as_frames(5, seen=1),
        as_frames(2, 11),
        as_frames(3, 10, name="a/b.mp4"),
        clip(4),
    ]
    dataset = written(tmp_path / "d", samples, "sharegpt-video")
    done = export("vila-conversations", dataset, tmp_path / "head", head_only=True)
    rows, media = release(tmp_path / "head", "sharegpt-video")
    assert rows[0]["video"] == rows[1]["video"] == "v_one-Scene-001"
    assert rows[2]["video"].startswith("v_one-Scene-001-")  # other frames, the same name
    assert rows[3]["video"] == "a/b"
    assert done.changed == {"with media named apart from others of the same name upstream": 1}
    for row, (_, bodies) in zip(rows[:4], samples, strict=False):
        read = [path.read_bytes() for path in sorted((media / row["video"]).iterdir())]
        assert read == list(bodies.values())
        assert all(path.suffix == ".jpeg" for path in (media / row["video"]).iterdir())
        assert (row["fps"], row["frame_count"]) == (2.0, len(bodies))
    for to, reader in (("llama-factory", _llama_factory), ("swift", _swift)):
        export(to, dataset, tmp_path / to)
        frames = [[list(bodies.values())] for _, bodies in samples[:4]]
        assert reader(tmp_path / to) == [*frames, [samples[4][1]["mp4"]]]
    with pytest.raises(UsageError, match="stored as pictures of its frames"):
        export("qwen-vl", dataset, tmp_path / "qwen")


def _llama_factory(out):
    info = json.loads((out / "dataset_info.json").read_text())
    assert list(info) == ["sharegpt_video", "sharegpt_video_videos"]
    return [
        rules.llama_factory(row, entry, out)
        for entry in info.values()
        for row in rules.lines(out / entry["file_name"])
    ]


def _swift(out):
    return [rules.swift(row) for name in ("frames", "videos") for row in rules.lines(out / f"{name}.jsonl")]


def test_internvl_sees_pictures_of_the_frames(tmp_path):
    body = made_video(MadeVideo(frames=29))
    samples = [clip(0, frames=29, name="v/a.mp4", body=body), as_frames(1, 10), as_frames(2, 3)]
    done = export("internvl", written(tmp_path / "d", samples), tmp_path / "out", video_frames=4)
    rows = rules.lines(tmp_path / "out" / "train.jsonl")
    first, frames, few = rows
    assert first["image"] == [f"v/a/000{n}.jpeg" for n in range(1, 5)]
    said = first["conversations"][0]["value"]
    assert said == "What happens?\nFrame-1: <image>\nFrame-2: <image>\nFrame-3: <image>\nFrame-4: <image>"
    shown = [np.asarray(Image.open(io.BytesIO(one))) for one in rules.internvl(first, tmp_path / "out/media")]
    counters = [read_counter(one) for one in shown]
    assert (counters[0], counters[-1]) == (0, 28)
    assert counters == sorted(counters)
    stored = [*samples[1][1].values()]
    assert rules.internvl(frames, tmp_path / "out/media") == [stored[n] for n in (0, 3, 6, 9)]
    assert few["conversations"][0]["value"].startswith(
        "Frame-1: <image>\nFrame-2: <image>\nFrame-3: <image>\nRetell"
    )
    assert done.changed["with a video shown as pictures of its frames"] == 3


def test_frames_appear_whole(tmp_path):
    """A folder that a killed export left begun is made anew, and one that is there is not written twice."""
    dataset, out = written(tmp_path / "d", [as_frames(1), as_frames(2, name="w")]), tmp_path / "out"
    export("swift", dataset, tmp_path / "other")
    begun = replace(exports.find("swift")).export(dataset, out)
    next(begun)
    begun.close()
    (work,) = tmp_path.glob(".out.part")
    (work / ".incoming").mkdir()
    (work / ".incoming" / "0001.jpeg").write_bytes(b"torn")
    export("swift", dataset, out)
    found = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*.jpeg")}
    assert found == {
        str(p.relative_to(tmp_path / "other")): p.read_bytes() for p in (tmp_path / "other").rglob("*.jpeg")
    }


@pytest.mark.parametrize("sample", [clip(0, name="a.mp4"), as_frames(0, medium="000.frames")])
def test_vila_takes_any_dataset_of_videos_for_conversations(tmp_path, sample):
    dataset = written(tmp_path / "d", [sample], "my-clips")
    done = export("vila", dataset, tmp_path / "out", leave_out=True)
    assert (tmp_path / "out" / "vila.yaml").is_file()
    assert dict(done.reasons) == ({"frames": 1} if "000.frames" in sample[0].media else {})


def test_llava_writes_videos_where_it_is_told_to(tmp_path):
    dataset = written(tmp_path / "d", [clip(0, name="a.mp4")])
    with pytest.raises(UsageError, match="--videos"):
        export("llava", dataset, tmp_path / "out")
    export("llava", dataset, tmp_path / "out", videos=True)
    (row,) = rules.lines(tmp_path / "out" / "train.json")
    assert row["video"] == "a.mp4"
    assert row["conversations"][0]["value"] == "What happens?\n<video>"
    assert (tmp_path / "out" / "media" / "a.mp4").is_file()


SOURCES = {
    MadeVideo(frames=80, b_frames=2, key_every=30): [(10, 49), (3, 11)],
    MadeVideo(frames=60, rate=Fraction(30000, 1001), b_frames=3, audio_s=None): [(7, 39)],
    MadeVideo(frames=60, pattern=(1, 2), codec="mpeg4", container="avi"): [(20, 45)],
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The shard of clips as they are cut in a run, the rows of VILA's release, and where their videos lie."""
    folder = tmp_path_factory.mktemp("exported")
    made = asyncio.run(_cut(folder))
    samples = [
        clip(n, name=f"{first}.mp4", frames=one.facts.frames, fps=one.facts.fps, body=bytes_of(one.body))
        for n, (first, one) in enumerate(made)
    ]
    export("vila", written(folder / "d", samples, "youcook2"), folder / "out")
    rows, media = release(folder / "out", "youcook2")
    return folder / "d" / "shards" / "00000.tar", rows, media


async def _cut(folder):
    made = []
    async with VideoPool(VideoSettings(preset="ultrafast"), processes=1) as pool:
        for kind, spans in SOURCES.items():
            cuts = [Cut(first_frame=first, last_frame=last) for first, last in spans]
            found = {n: one async for n, one in pool.clips(made_video(kind), cuts, folder)}
            made += [(first, found[n]) for n, (first, _) in enumerate(spans)]
    return made


@pytest.mark.filterwarnings("ignore")  # it leaves its files to the garbage collector
def test_shards_are_read_by_webdataset(exported):
    shard, rows, media = exported
    read = list(webdataset.WebDataset(str(shard), shardshuffle=False))
    assert [one["mp4"] for one in read] == [(media / row["video"]).read_bytes() for row in rows]
    assert [json.loads(one["json"])["frames"] for one in read] == [row["frame_count"] for row in rows]


def test_opencv_takes_what_the_release_asks_for_and_none_of_it_is_black(exported):
    _, rows, media = exported
    for row in rows:
        path, first = media / row["video"], int(row["video"].partition(".")[0])
        shown = list(map(read_counter, rules.vila_release_frames(path, row["fps"], row["frame_count"])))
        assert len(shown) == len(set(shown)) == 8
        assert shown == sorted(shown)
        assert shown[0] == first
        sought = list(map(read_counter, rules.vila_head_frames(path, 8)))
        assert (sought[0], sought[-1]) == (first, first + row["frame_count"] - 1)


@pytest.mark.slow
def test_decord_comes_back_with_the_last_frame(exported):
    decord = pytest.importorskip("decord")
    _, rows, media = exported
    for row in rows:
        first, count = int(row["video"].partition(".")[0]), row["frame_count"]
        reader = decord.VideoReader(str(media / row["video"]), num_threads=1)
        assert len(reader) == count
        shown = [read_counter(frame) for frame in reader.get_batch(range(count)).asnumpy()]
        assert shown == [*range(first, first + count)]
