"""``gristmill check`` of records with videos: each decoded to the last frame, and what the record says mended."""

import importlib.util
import json
import tarfile

import pytest
from typed import gristmill

from gristmill.spec.extras import install
from gristmill.testing.videos import MadeVideo, made_video


def record(name, **said):
    turns = [{"from": "human", "value": "<video>\nWhat happens?"}, {"from": "gpt", "value": "It falls."}]
    return {"id": name, "video": name, **said, "conversations": turns}


def test_plan_says_what_a_run_of_videos_lacks(monkeypatch):
    said = gristmill("plan", "vatex", "--offline").stdout
    assert "will not begin" not in said
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    lacking = f"Videos need PyAV, which is not installed. Type: {install('video')}"
    assert gristmill("plan", "vatex", "--offline").stdout == f"{said}A run will not begin yet: {lacking}\n"
    stages = gristmill("plan", "vila-v1.5", "--stage", "sft").stdout
    waiting = next(line for line in stages.splitlines() if line.endswith(f": will not begin yet: {lacking}"))
    videos = {"shot2story", "sharegpt-video", "vatex", "video-chatgpt", "youcook2"}
    assert {*waiting.partition(":")[0].split(", ")} == videos


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of media."""
    root = tmp_path_factory.mktemp("media")
    good = made_video(MadeVideo(frames=30))
    files = {
        "good.mp4": good,
        "-vfr.mp4": made_video(MadeVideo(frames=20, pattern=(1, 3))),
        "eight.mp4": made_video(MadeVideo(frames=8)),
        "nine.webm": made_video(MadeVideo(frames=9, codec="libvpx", container="webm")),
        "cut.mp4": made_video(MadeVideo(frames=200, size_px=(160, 120), kept=0.6)),
        "no-index.mp4": made_video(MadeVideo(frames=30, faststart=False, kept=0.6)),
        "page.mp4": b"<!DOCTYPE html><html>Sign in to confirm</html>",
        "empty.mp4": b"",
        "noise.mp4": b"\0\0\0\x18ftypmp42" + bytes(12),
        "frames/0001.jpeg": b"not looked into",
        "frames/0002.jpeg": b"",
        "frames/.hidden": b"",
        "mixed/0001.jpeg": b"",
        "mixed/notes.txt": b"",
    }
    for name, body in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(body)
    (root / "device.mp4").symlink_to("/dev/zero")
    return root


ROWS = [
    record("good.mp4", fps=25, frame_count=30),
    record("good.mp4", fps=25.0, frame_count=31),
    record("good.mp4", fps=29.97, frame_count=0),
    record("-vfr.mp4", fps=12.5, frame_count=20),
    record("eight.mp4"),
    record("nine.webm"),
    record("cut.mp4", fps=25, frame_count=200),
    record("no-index.mp4"),
    record("page.mp4"),
    record("empty.mp4"),
    record("noise.mp4"),
    record("gone.mp4"),
    record("frames", frame_count=2),
    record("mixed"),
    {"q": "What?", "a": "That.", "video_id": "good"},
    {"q": "What?", "a": "That.", "video_id": "gone"},
    record("device.mp4"),
]
FOUND = {
    "frame_count_differs": (2, "fix", [1, 2]),
    "fps_differs": (1, "fix", [2]),
    "too_few_frames": (1, "drop", [4]),
    "broken_tail": (2, "drop", [6, 7]),
    "video_unreadable": (2, "drop", [10, 16]),
    "media_other": (2, "drop", [8, 13]),
    "media_empty": (1, "drop", [9]),
    "video_missing": (2, "drop", [11, 15]),
}


def found_in(done):
    return {
        one["code"]: (one["count"], one["action"], [each["record"] for each in one["examples"]])
        for one in json.loads(done.stdout)["findings"]
        if one["code"] not in {"id_doubled", "shape_mixed", "id_missing"}
    }


def test_videos_are_decoded_to_the_last_frame_and_records_say_what_is_there(root, tmp_path):
    (tmp_path / "in.json").write_text(json.dumps(ROWS))
    out = tmp_path / "out.json"
    words = ("check", tmp_path / "in.json", "--media", root, "--json")
    assert found_in(gristmill(*words, "--fix", out, code=3)) == FOUND
    kept = json.loads(out.read_text())
    assert [(row.get("video"), row.get("fps"), row.get("frame_count")) for row in kept] == [
        ("good.mp4", 25, 30),
        ("good.mp4", 25.0, 30),
        ("good.mp4", 25.0, 30),
        ("-vfr.mp4", 12.5, 20),
        ("nine.webm", None, None),
        ("frames", None, 2),
        (None, None, None),
    ]
    again = gristmill("check", out, "--media", root, "--json")
    assert found_in(again) == {}


def test_videos_in_an_archive(root, tmp_path):
    with tarfile.open(tmp_path / "clips.tar.gz", "w:gz") as archive:
        for path in root.glob("*.*"):
            if path.is_file():
                archive.add(path, path.name)
    rows = [row for row in ROWS if row.get("video") not in {"frames", "mixed", "device.mp4"}]
    (tmp_path / "in.json").write_text(json.dumps(rows))
    done = gristmill("check", tmp_path / "in.json", "--media", tmp_path / "clips.tar.gz", "--json", code=3)
    codes = {code: (count, action) for code, (count, action, _) in found_in(done).items()}
    assert codes == {
        code: (count - (code in {"media_other", "video_unreadable"}), action)
        for code, (count, action, _) in FOUND.items()
    }


def test_without_the_library_videos_are_only_seen_to_be_there(root, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "in.json").write_text(json.dumps(ROWS))
    done = gristmill("check", tmp_path / "in.json", "--media", root, "--json", code=3)
    codes = {code: count for code, (count, _, _) in found_in(done).items()}
    assert codes == {"media_other": 2, "media_empty": 1, "video_missing": 2, "video_unreadable": 1}
    assert "7 videos were only seen to be there" in done.stderr
    assert install("video") in done.stderr
