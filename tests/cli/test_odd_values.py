"""A Parquet list with values that hardly anybody holds, crawled by the command, and read by the real ``datasets``."""

import datetime as dt
import uuid
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typed import gristmill

from gristmill.shards.lossless import Exact
from gristmill.shards.not_finite import put_back
from gristmill.shards.webdataset import read_samples
from gristmill.testing.web import FakeWeb

NUMBERS, TIMES = (
    pa.list_(pa.struct([("at", at), ("u", pa.uint64())])) for at in (pa.int64(), pa.timestamp("us"))
)
FAR = pa.array([2**62, 0, None])
LIST = {
    "micros": FAR.cast(pa.timestamp("us")),
    "zone": FAR.cast(pa.timestamp("us", "Europe/Berlin")),
    "odd_zone": FAR.cast(pa.timestamp("ms", "Mars/X")),
    "nanos": FAR.cast(pa.timestamp("ns", "Asia/Kolkata")),
    "date": pa.array([2**31 - 1, 0, None], pa.int32()).view(pa.date32()),
    "time": FAR.view(pa.time64("us")),
    "duration": FAR.cast(pa.duration("ms")),
    "unsigned": pa.array([2**64 - 1, 7, None], pa.uint64()),
    "decimal": pa.array([Decimal(10**70), Decimal(1), None], pa.decimal256(76, 2)),
    "map": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int32())),
    "views": pa.array([[b"x"], [], None], pa.list_(pa.binary_view())),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, b"1" * 16, None], pa.binary(16))),
    "nested": pa.array([[{"at": 2**62, "u": 2**63}], [], None], NUMBERS).cast(TIMES),
}  # fmt: skip
FIRST = {
    "micros": Exact("$datetime", "+148108-07-06T14:00:27.387904"),
    "zone": Exact("$datetime", "+148108-07-06T14:00:27.387904Z[Europe/Berlin]"),
    "odd_zone": Exact("$datetime", "+146140482-04-24T15:36:27.904000Z[Mars/X]"),
    "nanos": "2116-02-21 05:23:38.427387904+0530",
    "date": Exact("$date", "+5881580-07-11"),
    "time": Exact("$time", f"{2**62}us"),
    "duration": Exact("$duration", f"{2**62 * 1000}"),
    "unsigned": 2**64 - 1,
    "decimal": Decimal((0, (1, *[0] * 72), -2)),
    "map": [{"key": "a", "value": 1}],
    "views": [b"x"],
    "uuid": uuid.UUID(bytes=b"0" * 16),
    "nested": [{"at": Exact("$datetime", "+148108-07-06T14:00:27.387904"), "u": 2**63}],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    with FakeWeb() as web:
        urls = [web.url(f"/photo/{i}.jpg?w=160") for i in range(3)]
        pq.write_table(pa.table({"url": urls, **LIST}), folder / "urls.parquet")
        gristmill(
            "crawl",
            folder / "urls.parquet",
            "--out",
            folder / "out",
            "--allow-private-addresses",
            "--workers",
            "0",
        )
    return folder / "out"


def test_all_rows_are_kept_with_every_value_as_it_was(made):
    first, second, third = (
        put_back(s.parts["json"])["upstream"] for s in read_samples(made / "shards" / "00000.tar")
    )
    assert {name: value for name, value in first.items() if name != "url"} == FIRST
    assert second["micros"] == dt.datetime(1970, 1, 1)
    assert second["zone"].isoformat() == "1970-01-01T01:00:00+01:00"
    assert second["unsigned"] == 7
    assert {value for name, value in third.items() if name != "url"} == {None}


@pytest.mark.slow
def test_datasets_loads_all_of_it(made, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    first, second, third = datasets.load_dataset(str(made), split="train", cache_dir=str(tmp_path / "cache"))
    assert first["json"]["upstream"]["micros"] == {"$datetime": "+148108-07-06T14:00:27.387904"}
    assert [row["json"]["upstream"]["unsigned"] for row in (first, second, third)] == [
        str(2**64 - 1),
        "7",
        None,
    ]
    assert str(2**63) in first["json"]["upstream"]["nested"]  # a list with such a number loads as text
    assert first["json"]["upstream"]["map"] == [{"key": "a", "value": 1}]
    assert third["json"]["upstream"]["uuid"] is None
