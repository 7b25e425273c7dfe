import datetime as dt
import json
import math
import uuid
from dataclasses import replace
from decimal import Decimal

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.shards.arrow_values import plain_types
from gristmill.shards.lossless import dumps, loads, utf8
from gristmill.shards.not_finite import put_back
from gristmill.shards.rows import rows_of
from gristmill.shards.samples import (
    StoredSample,
    caption_of,
    decode_sample,
    encode_sample,
    sample_parts,
)
from gristmill.spec.locator import Cell, Embedded, File, Member, Url
from gristmill.spec.sample import MediaRef, Origin, Sample, Show, Text, Turn

any_text = st.text(max_size=12) | st.text(st.characters(categories=["Cs"]), max_size=3)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**53, 2**64)
    | st.floats(allow_nan=False)
    | any_text
    | st.binary(max_size=9)
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.none() | st.just(dt.UTC)).map(lambda t: t.replace(fold=0))
    | st.dates()
    | st.times().map(lambda t: t.replace(fold=0))
    | st.timedeltas()
    | st.uuids()
)
names = any_text | st.sampled_from(["$int", "$map", "$", "$unheard", "url", "id"])
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(names, v, max_size=3), max_leaves=8
)
mappings = st.dictionaries(names, values, max_size=4)

counts = st.none() | st.integers(0, 2**40)
refs = st.builds(
    MediaRef,
    kind=st.sampled_from(["image", "video"]),
    at=st.none() | st.builds(Url, any_text),
    expected_hash=st.none() | any_text,
    sha256=st.none() | st.just("ab" * 32),
    raw_bytes=counts,
    width_px=counts,
    phash_distance=st.none() | st.integers(0, 64),
)
seconds = st.none() | st.floats(0, 1e6)
boxes = st.none() | st.tuples(*[st.floats(-1e3, 1e4)] * 4)
shown = st.builds(Show, media=any_text, start_s=seconds, end_s=seconds, box_px=boxes)
turns = st.builds(
    Turn, role=any_text, parts=st.lists(st.builds(Text, text=any_text) | shown, max_size=3).map(tuple)
)
origins = st.none() | st.builds(Origin, source=any_text, file=any_text, row=st.integers(0, 2**62))
samples = st.builds(
    Sample,
    key=any_text,
    media=st.dictionaries(any_text, refs, max_size=3),
    turns=st.lists(turns, max_size=3).map(tuple),
    columns=mappings,
    upstream=mappings,
    origin=origins,
)

CAT = Sample(
    key="8589934600",
    media={
        "jpg": MediaRef(
            at=Url("http://a.test/1.jpg"),
            sha256="5a" * 32,
            md5="5b" * 16,
            raw_bytes=900,
            size_bytes=500,
            width_px=336,
            height_px=448,
            original_width_px=640,
            original_height_px=853,
            phash="9f3c60e1a5b2d478",
            phash_distance=2,
        )
    },
    turns=(Turn(role="caption", parts=(Show(media="jpg"), Text(text="a cat"))),),
    columns={"clip_sim": 0.61},
    upstream={"id": 2**62 + 1, "text": "a cat", "score": None},
    origin=Origin(source="annotations", file="part-00000.parquet", row=7),
)


def sample_json(sample: Sample) -> bytes:
    return StoredSample.read(encode_sample(sample)).json()


@given(samples)
def test_sample_round_trip_is_exact(sample):
    back = decode_sample(encode_sample(sample))
    assert back == sample
    assert list(back.media) == list(sample.media)
    assert encode_sample(back) == encode_sample(sample)
    assert b"\n" not in encode_sample(sample)


@given(samples)
def test_no_sample_is_lost_to_json(sample):
    record = put_back(sample_json(sample))
    assert record["upstream"] == sample.upstream
    assert record["key"] == sample.key
    json.loads(sample_json(sample))
    for _, body in sample_parts(sample, dict.fromkeys(sample.media, b"")):
        body.decode("utf-8")


@given(values)
def test_lossless_round_trip_keeps_types(value):
    assert repr(loads(dumps(value))) == repr(value)


def test_not_a_number_and_infinity():
    back = loads(dumps([math.nan, math.inf, -math.inf, {"x": math.nan}]))
    assert math.isnan(back[0])
    assert back[1:3] == [math.inf, -math.inf]
    assert math.isnan(back[3]["x"])


def test_forms_are_as_documented():
    forms = {
        "nan": ({"$float": "nan"}, math.nan),
        "int": ({"$int": str(2**64)}, 2**64),
        "id": (2**63 - 1, 2**63 - 1),
        "decimal": ({"$decimal": "1.10"}, Decimal("1.10")),
        "bytes": ({"$bytes": "AP8="}, b"\x00\xff"),
        "datetime": ({"$datetime": "2020-01-02T03:04:05.000006"}, dt.datetime(2020, 1, 2, 3, 4, 5, 6)),
        "duration": ({"$duration": "-1500000"}, dt.timedelta(seconds=-1.5)),
        "uuid": ({"$uuid": "00000000-0000-0000-0000-000000000007"}, uuid.UUID(int=7)),
        "surrogate": ({"$text": "caf\\ud800"}, "caf\ud800"),
        "looks like one": ({"$map": [["$int", "7"]]}, {"$int": "7"}),
    }
    assert orjson.loads(dumps({k: v for k, (_, v) in forms.items()})) == {k: f for k, (f, _) in forms.items()}


def test_unknown_types_are_kept_as_text_and_foreign_forms_refused():
    assert loads(dumps({"x": 1j})) == {"x": "1j"}
    with pytest.raises(ValueError, match="unknown JSON form"):
        loads(b'{"x": {"$unheard": 1}}')


def test_deep_values_still_get_written():
    deep: list = []
    for _ in range(300):
        deep = [deep]
    assert json.loads(dumps({"deep": deep})) == {"deep": deep}


def test_arrow_types_of_all_kinds_survive():
    table = pa.table(
        {
            "u64": pa.array([2**64 - 1, None], pa.uint64()),
            "half": pa.array([0.5, None], pa.float16()),
            "nan": pa.array([math.inf, None], pa.float32()),
            "ns": pa.array([1_600_000_000_123_456_789, None], pa.timestamp("ns", "UTC")),
            "in_list": pa.array([[1, None], None], pa.list_(pa.timestamp("ns"))),
            "in_struct": pa.array([{"t": 1}, None], pa.struct([("t", pa.time64("ns"))])),
            "span": pa.array([10**18 + 1, None], pa.duration("ns")),
            "us": pa.array([5, None], pa.timestamp("us", "UTC")),
            "money": pa.array([Decimal("1.20"), None], pa.decimal256(40, 2)),
            "blob": pa.array([b"\xff", None], pa.large_binary()),
            "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8())),
            "words": pa.array(["a", None]).dictionary_encode(),
            "null": pa.nulls(2),
        }
    )
    rows = rows_of(plain_types(table))
    assert rows[0]["ns"] == "2020-09-13 12:26:40.123456789Z"
    assert rows[0]["in_list"] == ["1970-01-01 00:00:00.000000001", None]
    assert rows[0]["in_struct"] == {"t": "00:00:00.000000001"}
    assert rows[0]["span"] == 10**18 + 1
    assert rows[0]["map"] == [{"key": "a", "value": 1}]
    for row in rows:
        record = put_back(sample_json(replace(CAT, upstream=row)))
        assert record["upstream"] == row


def test_json_of_one_picture_is_flat_and_in_fixed_order():
    assert sample_json(CAT).decode() == (
        '{"key":"8589934600","url":"http://a.test/1.jpg","caption":"a cat","sha256":"' + "5a" * 32 + '",'
        '"md5":"' + "5b" * 16 + '","bytes":900,"width":336,"height":448,"original_width":640,'
        '"original_height":853,"stored_bytes":500,"phash":"9f3c60e1a5b2d478","phash_distance":2,'
        '"clip_sim":0.61,"origin":{"source":"annotations","file":"part-00000.parquet","row":7},'
        '"upstream":{"id":4611686018427387905,"text":"a cat","score":null}}'
    )


def test_json_of_several_media_and_turns():
    talk = (
        Turn(role="user", parts=(Show(media="000.jpg", box_px=(1, 2, 3, 4)), Text(text="what?"))),
        Turn(role="assistant", parts=(Text(text="a cat"),)),
    )
    media = {"001.jpg": MediaRef(at=Url("http://a.test/b")), "000.jpg": MediaRef(width_px=7)}
    record = orjson.loads(sample_json(Sample(key="k", media=media, turns=talk)))
    assert list(record["media"]) == ["001.jpg", "000.jpg"]
    assert record["media"]["000.jpg"]["width"] == 7
    assert "width" not in record
    assert record["turns"] == [
        {"role": "user", "parts": [{"media": "000.jpg", "box_px": [1, 2, 3, 4]}, {"text": "what?"}]},
        {"role": "assistant", "parts": [{"text": "a cat"}]},
    ]


def test_a_document_of_one_picture_has_no_flat_facts_and_no_text_part():
    parts = (Text(text="first"), Show(media="000.jpg"), Text(text="second"))
    page = Sample(
        key="k",
        media={"000.jpg": MediaRef(at=Url("http://a.test/b"), width_px=7)},
        turns=(Turn(role="document", parts=parts),),
    )
    record = orjson.loads(sample_json(page))
    assert list(record) == ["key", "caption", "media", "turns", "origin", "upstream"]
    assert record["caption"] is None
    assert record["media"]["000.jpg"]["width"] == 7
    assert record["turns"][0]["parts"] == [{"text": "first"}, {"media": "000.jpg"}, {"text": "second"}]
    assert [name for name, _ in sample_parts(page, {"000.jpg": b"J"})] == ["000.jpg", "json"]


def test_columns_never_hide_facts():
    record = orjson.loads(sample_json(replace(CAT, columns={"width": 1, "upstream": 2, "score": 3})))
    assert (record["width"], record["score"]) == (336, 3)
    assert record["columns"] == {"width": 1, "upstream": 2}
    assert record["upstream"]["id"] == 2**62 + 1


def test_parts_in_order():
    assert [name for name, _ in sample_parts(CAT, {"jpg": b"J"})] == ["jpg", "txt", "json"]
    assert sample_parts(CAT, {"jpg": b"J"})[:2] == [("jpg", b"J"), ("txt", b"a cat")]
    silent = replace(CAT, turns=())
    assert [name for name, _ in sample_parts(silent, {"jpg": b"J"})] == ["jpg", "txt", "json"]
    assert sample_parts(silent, {"jpg": b"J"})[1] == ("txt", b"")  # readers drop a sample that lacks a part
    with pytest.raises(KeyError):
        sample_parts(CAT, {})


def test_utf8_replaces_only_lone_surrogates():
    assert utf8("é\ud800x").decode() == "é\ufffdx"


@given(samples)
def test_a_stored_sample_gives_the_parts_of_the_sample_itself(sample):
    bodies, line = dict.fromkeys(sample.media, b"body"), encode_sample(sample)
    stored = StoredSample.read(line)
    assert stored.parts(bodies) == sample_parts(decode_sample(line), bodies)
    assert stored.caption == caption_of(sample)


def test_numbers_that_are_none_are_null_and_named_beside():
    row = {"a/b": [1.0, math.inf, {"~": -math.inf}], "not_finite": "theirs", "$float": {"$float": "nan"}}
    sample = replace(CAT, upstream=row, columns={"score": math.nan, "not_finite": 5})
    text = sample_json(sample)
    record = orjson.loads(text)
    assert record["score"] is None
    assert record["columns"] == {"not_finite": 5}
    assert record["upstream"]["a/b"] == [1.0, None, {"~": None}]
    assert record["not_finite"] == [
        {"at": "/score", "value": "nan"},
        {"at": "/upstream/a~1b/1", "value": "inf"},
        {"at": "/upstream/a~1b/2/~0", "value": "-inf"},
    ]
    back = put_back(text)
    assert math.isnan(back["score"])
    assert back["upstream"] == row
    assert "not_finite" not in back
    assert b"not_finite" not in sample_json(CAT)


def test_where_a_medium_is_comes_back_and_embedded_text_does_not():
    places = {
        "0": Url("http://a.test/1"),
        "1": Member("coco", "train/1.jpg"),
        "2": Cell("hub", "image.bytes", 7, file="a.parquet"),
        "3": File("mine", "a/b.mp4"),
        "4": Embedded("QUJD", url="http://a.test/2"),
        "5": Embedded("QUJD"),
        "6": None,
    }
    sample = Sample(key="k", media={name: MediaRef(at=at) for name, at in places.items()})
    line = encode_sample(sample)
    assert b'"0":{"kind":"image","url":"http://a.test/1"}' in line
    assert b"QUJD" not in line
    found = {name: ref.at for name, ref in decode_sample(line).media.items()}
    assert found == places | {"4": Url("http://a.test/2"), "5": None}
