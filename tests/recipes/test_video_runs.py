"""Whole runs of the video sets over made-up upstreams: the frames of every clip are the ones that are meant."""

import json
import tarfile
import zipfile
from fractions import Fraction

import pytest
from typed import gristmill

from gristmill.recipes._main_branch import VILA
from gristmill.shards.webdataset import read_samples
from gristmill.spec.extras import install
from gristmill.testing.hub import FakeHub
from gristmill.testing.upstreams.youcook2 import LIST, VIDEOS, write_youcook2
from gristmill.testing.videos import MadeVideo, counters_in, made_video

QUICK = ("--workers", 0, "--set", "clip.codecs=1")


def samples_in(dataset):
    """Of each sample its JSON and its video, in the order of the shards."""
    for shard in sorted((dataset / "shards").glob("*.tar")):
        for sample in read_samples(shard):
            parts = dict(sample.parts)
            yield json.loads(parts["json"]), parts["000.mp4"]


def test_youcook2_cut_by_the_official_list(tmp_path, monkeypatch):
    write_youcook2(tmp_path)
    sources = [f"official={tmp_path / LIST}", f"videos={tmp_path / 'videos'}"]
    given = [word for source in sources for word in ("--source", source)]
    with FakeHub({VILA: tmp_path / "hub"}, revision="main") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        plan = gristmill("plan", "youcook2", "--out", tmp_path / "out", *given)
        assert "validation" in plan.stdout
        gristmill(
            "run", "youcook2", "--out", tmp_path / "out", *given, *QUICK,
            "--set", "segments.subsets=training", code=3,
        )  # fmt: skip
    found = list(samples_in(tmp_path / "out" / "youcook2"))
    wanted = {
        f"{video}_{n}.mp4": list(range(12 * start, 12 * end))
        for video, (subset, ending, _) in VIDEOS.items()
        for n, (start, end) in enumerate(((0, 2), (1, 3), (3, 5)))
        if subset == "training" and ending and (video, n) != ("demo_cut_-3", 2)
    }
    told = {facts["media"]["000.mp4"]["name"]: (facts, body) for facts, body in found}
    facts, body = told.pop("demo_gone_4_1.mp4")  # as its authors cut it: its video is gone
    assert (facts["changes"], counters_in(body)) == (["published_clip"], list(range(24)))
    assert told.keys() == wanted.keys()
    for name, counters in wanted.items():
        facts, body = told[name]
        assert counters_in(body) == counters
        medium = facts["media"]["000.mp4"]
        assert (medium["frames"], medium["fps"], medium["start_s"]) == (24, 12.0, counters[0] / 12)
        assert (facts["upstream"]["frame_count"], facts["subset"]) == (1, "training")
    fates = json.loads(gristmill("status", tmp_path / "out" / "youcook2", "--json").stdout)
    assert "left_out" in json.dumps(fates)
    written = (tmp_path / "out" / "youcook2" / "dataset.json").read_bytes()
    monkeypatch.setattr(
        "gristmill.ledger.manifest.versions", dict
    )  # whoever looks later has no such libraries
    gristmill("verify", tmp_path / "out" / "youcook2")
    assert (tmp_path / "out" / "youcook2" / "dataset.json").read_bytes() == written
    gristmill("export", tmp_path / "out" / "youcook2", "--to", "vila", "--out", tmp_path / "vila")
    records = json.loads((tmp_path / "vila/playground/data/youcook2/youcook_filtered_v3.json").read_text())
    assert {record["video"] for record in records} == {*told, "demo_gone_4_1.mp4"}
    assert {(record["fps"], record["frame_count"]) for record in records} == {(12.0, 24)}


def test_vatexs_captions_of_a_piece_share_one_cut(tmp_path):
    video = made_video(MadeVideo(frames=300, rate=Fraction(10), size_px=(32, 24)))
    with tarfile.open(tmp_path / "kinetics.tar", "w") as out:
        for name in ("train/-bCdEfGhIj_.MP4", "train/notes.txt"):
            path = tmp_path / "member"
            path.write_bytes(video)
            out.add(path, name)
    captions = [
        {
            "videoID": f"-bCdEfGhIj__{start:06d}_{start + 10:06d}",
            "enCap": [f"{start}: {n}" for n in range(10)],
        }
        for start in (4, 9, 25)
    ]
    (tmp_path / "vatex_training_v1.0.json").write_text(json.dumps(captions))
    gristmill(
        "run", "vatex", "--out", tmp_path / "out", *QUICK, "--set", "annotations.variant=official",
        "--source", f"annotations={tmp_path / 'vatex_training_v1.0.json'}",
        "--source", f"videos={tmp_path / 'kinetics.tar'}", "--set", "rows.most_alike=3",
    )  # fmt: skip
    found = list(samples_in(tmp_path / "out" / "vatex"))
    said = [facts["turns"][1]["parts"][0]["text"] for facts, _ in found]
    assert said == [f"{start}: {n}" for start in (4, 9, 25) for n in range(3)]
    bodies = [body for _, body in found]
    assert bodies[0] == bodies[1] == bodies[2] != bodies[3]
    assert counters_in(bodies[3]) == list(range(90, 190))
    assert counters_in(bodies[6]) == list(range(250, 300))  # the video ends before the piece does


def test_video_chatgpts_videos_are_kept_as_they_are(tmp_path):
    videos = {
        "v_0aB1cD2eF3g.mkv": made_video(MadeVideo(frames=20, container="matroska")),
        "-_bCdEfGhIj.mp4": made_video(MadeVideo(frames=12)),
        "v_short_____1.mp4": made_video(MadeVideo(frames=8)),
    }
    with zipfile.ZipFile(tmp_path / "activitynet.zip", "w") as out:
        for name, body in videos.items():
            out.writestr(f"Activity_Videos/{name}", body)
    rows = [
        {"q": f"{n}?", "a": f"{n}.", "video_id": video}
        for n, video in enumerate(
            ["v_-_bCdEfGhIj", "v_0aB1cD2eF3g", "v_short_____1", "v_gone______1", "0aB1cD2eF3g"]
        )
    ]
    (tmp_path / "VideoInstruct100K.json").write_text(json.dumps(rows))
    done = gristmill(
        "run", "video-chatgpt", "--out", tmp_path / "out", *QUICK,
        "--source", f"annotations={tmp_path / 'VideoInstruct100K.json'}",
        "--source", f"videos={tmp_path / 'activitynet.zip'}", code=3,
    )  # fmt: skip
    assert "too_few_frames" in done.stdout
    assert "no_file" in done.stdout
    (shard,) = (tmp_path / "out" / "video-chatgpt" / "shards").glob("*.tar")
    found = {}
    for sample in read_samples(shard):
        parts = dict(sample.parts)
        facts = json.loads(parts.pop("json"))
        found[facts["origin"]["row"]] = (facts["turns"][0]["parts"], parts)
    assert found.keys() == {0, 1, 4}
    assert found[0][1] == {"000.mp4": videos["-_bCdEfGhIj.mp4"]}
    assert list(found[1][1].values()) == list(found[4][1].values())
    assert [list(parts[0]) for parts, _ in found.values()] != []
    assert ["media" in found[row][0][0] for row in (0, 1, 4)] == [False, True, False]


@pytest.mark.parametrize("missing", ["av", ""])
def test_the_demo_leaves_out_what_wants_a_library_that_is_not_there(missing, monkeypatch):
    from gristmill.testing.upstreams import base, upstreams

    if missing:
        monkeypatch.setattr(base, "find_spec", lambda name: None if name == missing else name)
    said = upstreams()["youcook2"].missing
    assert said == (install("video") if missing else "")
