"""The report of a dataset with videos: a contact sheet each, lengths and rates."""

import base64
import importlib.util
import io

import numpy as np
import orjson
import pytest
from made_dataset import make_dataset, write_report
from PIL import Image

from gristmill.ledger.fates import fates_table, write_fates
from gristmill.shards.webdataset import TarWriter
from gristmill.spec.extras import install
from gristmill.spec.fate import Fate
from gristmill.spec.task import ShardInfo
from gristmill.storage.files import whole_file
from gristmill.storage.store import store_at
from gristmill.testing.videos import MadeVideo, counter_frame, made_video, read_counter
from gristmill.viewer.measures import measure
from gristmill.viewer.samples import ShownVideo, examples

FACTS = {"duration_s": 2.0, "fps": 12.5, "frames": 25, "width": 64, "height": 48}


def asked(medium):
    parts = [{"media": medium}, {"text": "What happens?"}]
    return [{"role": "user", "parts": parts}, {"role": "assistant", "parts": [{"text": "A fall."}]}]


def jpeg(number):
    out = io.BytesIO()
    Image.fromarray(counter_frame(number)).save(out, "JPEG", quality=95)
    return out.getvalue()


def shard_of(folder, samples):
    with (folder / "a.tar").open("wb") as stream:
        tar = TarWriter(stream)
        for n, parts in enumerate(samples):
            for part, body in parts.items():
                tar.add(f"{n:03d}.{part}", body)
        tar.close()
    return ShardInfo(path="a.tar", role="shard", samples=len(samples), size_bytes=1, digest="0" * 64)


@pytest.fixture(scope="module")
def samples():
    """As a shard has them: a conversation, a caption, one stored as frames, one that does not decode."""
    video = made_video(MadeVideo(frames=25))
    frames = {f"{n:03d}.jpg": jpeg(n) for n in range(9)}
    return [
        {"mp4": video, "json": orjson.dumps({**FACTS, "turns": asked("mp4")})},
        {"mp4": video, "txt": b"a fall", "json": orjson.dumps(FACTS)},
        {**frames, "json": orjson.dumps({"frames": 9, "turns": asked("frames")})},
        {"mp4": b"no video", "json": orjson.dumps({"turns": asked("mp4")})},
    ]


def counters(video):
    """Numbers that the frames of a contact sheet show."""
    bodies = [base64.b64decode(frame.source.partition(",")[2]) for frame in video.frames]
    return [read_counter(np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))) for body in bodies]


def test_a_video_is_shown_by_frames_from_its_first_to_its_last(tmp_path, samples, monkeypatch):
    monkeypatch.setattr("gristmill.viewer.samples.LARGE_BYTES", 100)  # where it lies in the shard
    shown = examples(store_at(tmp_path), [shard_of(tmp_path, samples)], 4)
    assert shown.pictures == []
    assert shown.trouble == []
    talk, caption, frames, undecoded = shown.talks
    (video, text) = talk.turns[0].pieces
    assert (counters(video), text) == ([0, 8, 16, 24], "What happens?")
    assert video.said == "2.0 s, 12.5 a second, 25 frames, 64 × 48 px"
    assert (counters(caption.turns[0].pieces[0]), caption.turns[0].pieces[1]) == ([0, 8, 16, 24], "a fall")
    assert counters(frames.turns[0].pieces[0]) == [0, 2, 5, 8]
    assert undecoded.turns[0].pieces == ("What happens?",)


def test_without_the_library_no_video_is_shown_and_that_is_said(tmp_path, samples, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    shown = examples(store_at(tmp_path), [shard_of(tmp_path, samples)], 4)
    assert [isinstance(one.turns[0].pieces[0], ShownVideo) for one in shown.talks] == [False, True, False]
    (said,) = shown.trouble
    assert install("video") in said


def test_lengths_rates_and_sizes_of_videos_are_counted_apart(tmp_path):
    kept = [
        Fate(row=n, key=str(n), medium="video", size_bytes=2_500_000, duration_s=10.0, fps=25.0, frames=250)
        for n in range(3)
    ]
    picture = Fate(row=9, key="9", medium="image", size_bytes=20_000)
    with whole_file(tmp_path / "fates.parquet") as stream:
        write_fates(stream, [fates_table([*kept, picture], source="a", file="b")])
    found = measure([[tmp_path / "fates.parquet"]])
    assert (found.duration_s.total, found.fps.total, found.video_bytes.total) == (3, 3, 3)
    assert found.stored_bytes.total == 1
    assert 10 <= (found.duration_s.median() or 0) < 15
    assert 24 <= (found.fps.median() or 0) < 26


def test_the_page_has_the_sheets(tmp_path, samples):
    made = make_dataset(tmp_path, files=1, rows_per_file=60, shards=1)
    (shard,) = (made.folder / "shards").glob("*.tar")
    shard_of(tmp_path, samples)
    shard.write_bytes((tmp_path / "a.tar").read_bytes())
    page = write_report(made.folder).read_text()
    assert page.count('<div class="sheet">') == 3
    assert page.count('alt="a frame of a video"') == 12
    assert "2.0 s, 12.5 a second, 25 frames" in page
