"""Shot2Story and ShareGPTVideo as their users run them: from a made-up hub, archives in parts and folders of frames.

Frames of the videos show their numbers, which are read back out of what was stored.
"""

import io
import json
import pickle
import random
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typed import gristmill

from gristmill.recipes._main_branch import VILA
from gristmill.shards.webdataset import read_samples
from gristmill.testing.archives import foldered, split, tar_gzipped
from gristmill.testing.hub import FakeHub
from gristmill.testing.videos import MadeVideo, counter_frame, counters_in, made_video

CLIPS = {"-Ab_1_2.0": 62, "AbCdEfGhIjK.3": 45, "AbCdEfGhIjK.11": 20}
SHOTS = {
    "-Ab_1_2.0": [(0, 19), (20, 45), (46, 61)],
    "AbCdEfGhIjK.3": [(0, 9), (10, 17), (18, 99)],
    "AbCdEfGhIjK.11": [(0, 19)],
    "gone.1": [(0, 30)],
}


def shot(clip, first, last):
    turns = [
        {"from": "human", "value": "<video>\nWhat is it?"},
        {"from": "gpt", "value": f"{clip} {first} {last}"},
    ]
    name = f"{clip}_{first}_{last}.mp4"
    return {"id": name[:-4], "video": name, "conversations": turns, "fps": 1.0, "frame_count": 1}


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    """A folder with VILA's JSON and the clips' archive in parts."""
    folder = tmp_path_factory.mktemp("shots")
    bodies = {
        f"./videos/{clip}.mp4": made_video(
            MadeVideo(
                frames=frames, rate=Fraction(30000, 1001), b_frames=2, audio_s=None if "3" in clip else 0
            )
        )
        for clip, frames in CLIPS.items()
    }
    whole = tar_gzipped(folder / "release_134k_videos.tar.gz", {"./README": b"x", **bodies})
    parts = split(whole, whole.stat().st_size // 4, lambda n: f".a{chr(ord('a') + n)}")
    whole.unlink(missing_ok=True)
    rows = [shot(clip, *ends) for clip, some in SHOTS.items() for ends in some]
    random.Random(1).shuffle(rows)
    (folder / "shot2story_shotonly.json").write_text(json.dumps(rows, indent=4))
    assert len(parts) > 3
    return folder


def samples_in(data):
    return {
        sample.key: sample
        for shard in sorted((data / "shards").glob("*.tar"))
        for sample in read_samples(shard)
    }


def upstream_of(sample):
    return json.loads(sample.parts["json"])["upstream"]


def test_shots_are_cut_by_both_their_frames_out_of_an_archive_in_parts(shots, tmp_path):
    videos = {path.name: path for path in shots.glob("release*")}
    upstream = {
        VILA: {"shot2story_shotonly.json": shots / "shot2story_shotonly.json"},
        "models/mhan/shot2story-videos": videos,
    }
    with FakeHub(upstream) as hub:
        gristmill("run", "shot2story", "--out", tmp_path, "--workers", 0, code=3, HF_ENDPOINT=hub.url)
    data = tmp_path / "shot2story"
    found = samples_in(data)
    shown = {
        upstream_of(one)["id"]: counters_in(
            next(body for name, body in one.parts.items() if name.endswith("mp4"))
        )
        for one in found.values()
    }
    assert shown == {
        f"{clip}_{first}_{last}": list(range(first, last + 1))
        for clip, some in SHOTS.items()
        for first, last in some
        if clip != "gone.1" and last < 99 and last - first >= 8
    }
    lost = json.loads((data / "dataset.json").read_text())["dropped"]
    assert {reason: lost[reason] for reason in ("no_file", "cut_outside", "too_few_frames")} == {
        "no_file": 1,
        "cut_outside": 1,
        "too_few_frames": 1,
    }
    gristmill("verify", data)


def test_upstreams_own_shots_without_their_last_frames_as_the_published_script_cuts_them(shots, tmp_path):
    """One is named without its frames, which the published list says."""
    rows = [
        {"video": "AbCdEfGhIjK.3_10_25.mp4", "caption": "A door opens.", "audio_caption": "", "asr": ""},
        {"video": "AbCdEfGhIjK.11.mp4", "caption": "A hand waves.", "audio_caption": "", "asr": ""},
    ]
    (tmp_path / "20k_split_info.pkl").write_bytes(pickle.dumps({"AbCdEfGhIjK.11.mp4": np.array([[2, 18]])}))
    given = ("--source", f"splits={tmp_path / '20k_split_info.pkl'}", "--source", f"videos={shots}")
    settings = ("--set", "annotations.variant=val", "--set", "clip.published_end=true")
    with FakeHub({"mhan/shot2story": {"20k_human_shot_val.json": json.dumps(rows).encode()}}) as hub:
        words = ("run", "shot2story", "--out", tmp_path, "--workers", 0, *settings, *given)
        gristmill(*words, HF_ENDPOINT=hub.url)
    found = samples_in(tmp_path / "shot2story").values()
    assert {upstream_of(one)["caption"]: counters_in(one.parts["000.mp4"]) for one in found} == {
        "A door opens.": list(range(10, 25)),
        "A hand waves.": list(range(2, 18)),
    }


HUB = "ShareGPTVideo/train_video_and_instruction"
FOLDERS = {
    0: ["v_a-Scene-001", "-b_C", "v_a-Scene-002"],
    1: ["v_d-Scene-001", "v_gap-Scene-001", "v_bad-Scene-001"],
}
LENGTH = 10


def jpeg(number):
    out = io.BytesIO()
    Image.fromarray(counter_frame(number)).save(out, "JPEG", quality=95)
    return out.getvalue()


def chunk(names):
    frames = {
        f"./{name}/c01_{n + 1:04d}.jpeg": jpeg(n)
        for name in names
        for n in range(LENGTH)
        if "gap" not in name or n != 4
    }
    return {name: b"" if "bad" in name and "0007" in name else body for name, body in frames.items()}


def caption(video, number=0):
    turns = [
        {"from": "human", "value": f"Tell {number}.\n<video>"},
        {"from": "gpt", "value": f"{video} {number}."},
    ]
    return {"id": video, "video": video, "conversations": turns}


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """The hub's files: two chunks of frames, rows in an order of their own."""
    folder = tmp_path_factory.mktemp("frames")
    files = {
        "train_600k/chunk_2.tar.gz": tar_gzipped(folder / "2.tar.gz", chunk(FOLDERS[1])),
        "train_600k/chunk_10.tar.gz": tar_gzipped(folder / "10.tar.gz", chunk(FOLDERS[0])),
    }
    names = [*(name for some in FOLDERS.values() for name in some), "v_gone"]
    rows = [caption(name, n) for n in range(2) for name in sorted(names)]
    text = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    return {**files, "video_instruction/train/pretrain/video_caption_pretrain.jsonl": text}


def test_folders_of_frames_become_videos_in_the_order_of_the_archives(frames, tmp_path):
    with FakeHub({HUB: frames}) as hub:
        gristmill("run", "sharegpt-video", "--out", tmp_path, "--workers", 0, code=3, HF_ENDPOINT=hub.url)
    data = tmp_path / "sharegpt-video"
    found = samples_in(data)
    kept = [name for name in (*FOLDERS[0], *FOLDERS[1]) if "bad" not in name]
    order = [name for name in kept for _ in range(2)]
    assert [upstream_of(one)["video"] for one in found.values()] == order
    for one in found.values():
        facts = json.loads(one.parts["json"])["media"]["000.mp4"]
        gap = "gap" in upstream_of(one)["video"]
        assert counters_in(one.parts["000.mp4"]) == [n for n in range(LENGTH) if not gap or n != 4]
        assert (facts["fps"], facts["frames"]) == (2.0, LENGTH - gap)
    fates = pa.concat_tables(pq.read_table(path) for path in (data / "fates").rglob("*.parquet")).to_pylist()
    said = {
        (fate["key"], fate["reason"], fate["detail"]) for fate in fates if fate["medium"] and fate["detail"]
    }
    assert {reason for _, reason, _ in said} == {None, "no_file", "empty"}
    assert {detail for _, reason, detail in said if reason is None} == {
        "frames that are missing by their numbers: 5"
    }
    gristmill("verify", data)


def test_frames_in_folders_are_kept_as_pictures(frames, tmp_path):
    tree = foldered(tmp_path / "tree", {f"own/{name[2:]}": body for name, body in chunk(FOLDERS[0]).items()})
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(caption('-b_C'))}\n")
    given = ("--source", f"annotations={tmp_path / 'rows.jsonl'}", "--source", f"frames={tree}")
    gristmill(
        "run", "sharegpt-video", "--out", tmp_path, "--workers", 0, "--set", "clip.store=frames", *given
    )
    (one,) = samples_in(tmp_path / "sharegpt-video").values()
    pictures = [one.parts[f"{n:03d}.jpg"] for n in range(LENGTH)]
    assert pictures == [jpeg(n) for n in range(LENGTH)]
    data, out = tmp_path / "sharegpt-video", tmp_path / "vila"
    gristmill("verify", data)
    gristmill("export", data, "--to", "vila-conversations", "--head-only", "--out", out)
    rows, media = (
        out / "playground/data/sharegpt_video" / name for name in ("video_caption_pretrain.json", "videos")
    )
    assert [path.read_bytes() for path in sorted((media / "-b_C").iterdir())] == pictures
    found = json.loads(gristmill("check", rows, "--media", media, "--json").stdout)
    assert (found["records"], found["good"]) == (1, 1)
