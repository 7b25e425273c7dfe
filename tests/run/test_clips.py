"""Whole runs over videos: clips in shards, what is said of them, and a video that came later."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
from clipped_world import write_clipped
from typed import gristmill

from gristmill.media.video.pool import VideoPool
from gristmill.testing.videos import MadeVideo, counters_in, made_video


def parts_in(out: Path) -> dict[str, bytes]:
    found = {}
    for shard in sorted((out / "shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            found.update({m.name: tar.extractfile(m).read() for m in tar})
    return found


def test_clips_from_rows_to_shards_and_a_video_that_came_later(tmp_path, monkeypatch):
    words = write_clipped(tmp_path)
    cut = []
    clips = VideoPool.clips

    def counted(self, body, cuts, folder):
        cut.append(len(cuts))
        return clips(self, body, cuts, folder)

    monkeypatch.setattr(VideoPool, "clips", counted)
    ended = gristmill(*words, "--out", tmp_path / "d", "--on", "in-process", code=None)
    out = tmp_path / "d" / "clipped"
    assert cut == [4, 4]  # each video once, for all its clips
    assert "no_file" in ended.stdout
    parts = parts_in(out)
    first = json.loads(parts["clipped_000000.json"])
    assert (first["frames"], first["fps"], first["duration_s"], first["start_s"]) == (20, 25.0, 0.8, 0.0)
    assert first["cut"] == {"first_frame": 0, "last_frame": 19}
    assert counters_in(parts["clipped_000003.mp4"]) == list(range(1, 21))
    rows = pq.read_table(out / "shards" / "00000.parquet").to_pylist()
    assert {row["frames"] for row in rows if row["status"] == "success"} == {20}
    assert "8 videos" in gristmill("verify", out).stdout
    assert json.loads((out / "dataset.json").read_text())["libraries"].keys() == {"pyav", "ffmpeg"}
    card = (out / "README.md").read_text()
    assert "`<key>.mp4`: the video as stored" in card
    assert "video-text-to-text" in card
    assert "sc:VideoObject" in (out / "croissant.json").read_text()

    (tmp_path / "videos" / "gone.mp4").write_bytes(made_video(MadeVideo(frames=40)))
    cut.clear()
    again = ("--recipe", tmp_path / "clipped.py", *words[2:])
    ended = gristmill("retry", out, "--reason", "no_file", *again, "--on", "in-process", code=None)
    assert cut == [2], [ended.stdout, ended.stderr]  # once, for both rows
    assert counters_in(parts_in(out)["clipped_000009.mp4"]) == list(range(5, 25))
    assert "10 videos" in gristmill("verify", out).stdout


def test_videos_as_frames_from_rows_to_shards(tmp_path):
    words = write_clipped(tmp_path, videos=1, clips=2)
    gristmill(*words, "--out", tmp_path / "d", "--on", "in-process", "--set", "clip.store=frames",
              "--set", "clip.frame_rate=12.5", code=None)  # fmt: skip
    out = tmp_path / "d" / "clipped"
    parts = parts_in(out)
    assert [name for name in parts if name.startswith("clipped_000000")] == [
        *(f"clipped_000000.{n:03d}.jpg" for n in range(10)),
        "clipped_000000.json",
    ]
    said = json.loads(parts["clipped_000000.json"])
    assert (said["frames"], said["fps"], said["turns"][0]["parts"][0]) == (10, 12.5, {"media": "frames"})
    assert "20 pictures" in gristmill("verify", out).stdout
    assert io.BytesIO(parts["clipped_000000.000.jpg"]).read(3) == b"\xff\xd8\xff"


def test_a_clip_that_has_other_frames_than_its_sample_says_is_found(tmp_path, monkeypatch):
    clips = VideoPool.clips

    async def miscounted(self, body, cuts, folder):
        async for number, clip in clips(self, body, cuts, folder):
            yield number, replace(clip, facts=replace(clip.facts, frames=clip.facts.frames + number))

    words = write_clipped(tmp_path, videos=1, clips=2)
    with monkeypatch.context() as patch:
        patch.setattr(VideoPool, "clips", miscounted)
        gristmill(*words, "--out", tmp_path / "d", "--on", "in-process", code=None)
    said = gristmill("verify", tmp_path / "d" / "clipped", code=None)
    assert said.returncode != 0
    assert "sample clipped_000002: mp4 has 20 frames, its .json part says 21" in said.stdout
    assert "clipped_000000:" not in said.stdout
