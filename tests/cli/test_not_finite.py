"""A list with NaN and infinities, crawled by the command, and read by the real ``datasets``."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typed import gristmill

from gristmill.shards.not_finite import put_back
from gristmill.shards.webdataset import read_samples
from gristmill.testing.web import FakeWeb

ODD = [0.5, math.nan, math.inf, -math.inf, None, 2.0]


def rows(web: FakeWeb) -> list[dict]:
    return [
        {
            "url": web.url(f"/photo/{i}.jpg?w=160"),
            "score": number,
            "some": [1.0, number],
            "within": {"deep": number},
        }
        for i, number in enumerate(ODD)
    ]


def write(path: Path, listed: list[dict]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(listed), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in listed))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["urls.parquet", "urls.jsonl"])
def test_datasets_reads_them_and_the_row_is_there_exactly(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    out = tmp_path / "out"
    with FakeWeb() as web:
        listed = rows(web)
        urls = write(tmp_path / name, listed)
        gristmill("crawl", urls, "--out", out, "--allow-private-addresses", "--workers", "0")
    stored = list(read_samples(out / "shards" / "00000.tar"))
    assert repr([put_back(one.parts["json"])["upstream"] for one in stored]) == repr(listed)

    loaded = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    seen = [number if number is not None and math.isfinite(number) else None for number in ODD]
    kind = loaded.features["json"]["upstream"]
    assert kind["score"] == kind["some"].feature == kind["within"]["deep"] == datasets.Value("float64")
    for read in (list(loaded), list(datasets.load_dataset(str(out), split="train", streaming=True))):
        assert [row["json"]["upstream"]["score"] for row in read] == seen
        assert [row["json"]["upstream"]["some"] for row in read] == [[1.0, number] for number in seen]
        assert [row["json"]["upstream"]["within"]["deep"] for row in read] == seen
        assert read[0]["json"]["not_finite"] is None
        assert read[1]["json"]["not_finite"] == [
            {"at": f"/upstream/{place}", "value": "nan"} for place in ("score", "some/1", "within/deep")
        ]
