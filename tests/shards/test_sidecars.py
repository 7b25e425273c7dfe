import io
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.shards.samples import StoredSample, encode_sample
from gristmill.shards.sidecars import SIDECAR_SCHEMA, Sidecars, status_of
from gristmill.spec.locator import Url
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import MediaRef, Sample, Show, Text, Turn


def stored(sample: Sample) -> StoredSample:
    return StoredSample.read(encode_sample(sample))


def attempt(n: int, reason: Reason | None = None, **facts) -> tuple[str, Reason | None, StoredSample]:
    turns = (Turn(role="caption", parts=(Show(media="jpg"), Text(text=f"caption {n}"))),)
    media = {"jpg": MediaRef(at=Url(f"http://a.test/{n}"), **facts)}
    sample = Sample(key=f"{n:09d}", media=media, turns=turns)
    return sample.key, reason, stored(sample)


def written(attempts) -> tuple[list[dict], dict, bytes]:
    stream = io.BytesIO()
    sidecars = Sidecars(stream)
    for one in attempts:
        sidecars.add(*one)
    sidecars.close()
    table = pq.read_table(io.BytesIO(stream.getvalue()))
    assert table.schema.equals(SIDECAR_SCHEMA)
    return table.to_pylist(), json.loads(sidecars.stats()), stream.getvalue() + sidecars.stats()


def test_rows_attempted_and_their_sums():
    rows, stats, _ = written(
        [
            attempt(
                0, width_px=336, height_px=448, original_width_px=640, original_height_px=853, sha256="ab"
            ),
            attempt(1, Reason.HTTP_404),
            attempt(2, Reason.TRUNCATED),
            attempt(3, Reason.HTTP_404),
            ("", Reason.BAD_ROW, None),
        ]
    )
    assert rows[0] == {
        "key": "000000000",
        "url": "http://a.test/0",
        "caption": "caption 0",
        "status": "success",
        "error_message": None,
        "width": 336,
        "height": 448,
        "original_width": 640,
        "original_height": 853,
        "sha256": "ab",
        "duration_s": None,
        "fps": None,
        "frames": None,
    }
    assert [(row["status"], row["error_message"]) for row in rows[1:]] == [
        ("failed_to_download", "http_404"),
        ("failed_to_resize", "truncated"),
        ("failed_to_download", "http_404"),
        ("dropped", "bad_row"),
    ]
    assert rows[4]["url"] is None
    assert stats == {
        "count": 5,
        "successes": 1,
        "failed_to_download": 2,
        "failed_to_resize": 1,
        "dropped": 1,
        "duration": 0.0,
        "start_time": None,
        "end_time": None,
        "status_dict": {"bad_row": 1, "http_404": 2, "success": 1, "truncated": 1},
    }


def test_no_attempts_many_attempts_and_the_same_bytes_twice():
    rows, stats, _ = written([])
    assert rows == []
    assert stats["count"] == 0
    many = [attempt(n, Reason.DEADLINE if n % 3 else None) for n in range(20_000)]
    rows, stats, once = written(many)
    assert [row["key"] for row in rows] == [key for key, _, _ in many]
    assert (stats["count"], stats["successes"]) == (20_000, 6667)
    assert written(many)[2] == once


def test_few_rows_are_python_objects_at_once_and_the_bytes_do_not_show_it(monkeypatch):
    many = [attempt(n, sha256=f"{n * 7919:064x}" * (1 + n % 9), width_px=n % 337) for n in range(10_000)]
    in_chunks = written(many)[2]
    monkeypatch.setattr("gristmill.shards.sidecars._CHUNK_ROWS", 8192)  # a whole row group
    assert written(many)[2] == in_chunks


def test_times_are_those_of_the_first_request_and_the_last_answer():
    stream = io.BytesIO()
    sidecars = Sidecars(stream)
    for n, asked in enumerate([(105.0, 106.5), None, (101.25, 103.0), (104.0, 109.75)]):
        sidecars.add(*attempt(n), asked)
    stats = json.loads(sidecars.stats())
    assert (stats["start_time"], stats["end_time"], stats["duration"]) == (101.25, 109.75, 8.5)


def test_memory_is_bounded_by_bytes_whatever_the_captions():
    turns = (Turn(role="caption", parts=(Text(text="x" * 1_000_000),)),)
    encoded = encode_sample(Sample(key="k", media={}, turns=turns))
    before = pa.total_allocated_bytes()
    most = 0
    with Path("/dev/null").open("wb") as stream:
        tracemalloc.start()
        sidecars = Sidecars(stream)
        for n in range(100):
            sidecars.add(f"{n:09d}", None, StoredSample.read(encoded))
            most = max(most, pa.total_allocated_bytes() - before)
        sidecars.close()
        python = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 48 << 20
    assert python < 16 << 20


def test_text_that_arrow_cannot_hold_and_several_media():
    turns = (Turn(role="caption", parts=(Text(text="lone \ud800"),)),)
    media = {"000.jpg": MediaRef(at=Url("http://a")), "001.jpg": MediaRef(at=Url("http://b"))}
    sample = Sample(key="k", media=media, turns=turns)
    rows, _, _ = written([("k", None, stored(sample))])
    assert (rows[0]["caption"], rows[0]["url"]) == ("lone \ufffd", None)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_word_of_img2dataset(reason):
    decoding = "decod" in reason or reason in {
        "empty", "not_an_image", "unsupported", "truncated", "too_many_pixels", "too_small", "aspect",
        "phash_mismatch", "size_mismatch",
        "not_a_video", "no_video_stream", "broken_tail", "cut_outside", "too_long", "too_few_frames",
    }  # fmt: skip
    of_the_row = reason in {
        "bad_row", "row_too_long", "no_score", "empty_text", "empty_question", "empty_answer", "text_too_long",
        "bad_characters", "media_token", "few_images", "duplicate_key", "same_picture",
        "benchmark_picture", "benchmark_text",
    }  # fmt: skip
    failed = "failed_to_resize" if decoding else "failed_to_download"
    assert status_of(reason) == ("dropped" if of_the_row else failed)
