"""Made-up annotation rows: COYO's columns, and addresses that do what the rows say."""

from __future__ import annotations

import io
import re
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gristmill.testing.faults import FAULTS
from gristmill.testing.rows import COYO_SCHEMA, ODD_URLS, coyo_rows, write_coyo
from gristmill.testing.web import FakeWeb


@pytest.fixture(scope="module")
def web() -> Iterator[FakeWeb]:
    with FakeWeb() as web:
        yield web


@pytest.fixture(scope="module")
def table(web: FakeWeb) -> pa.Table:
    return coyo_rows(web, 4000, seed=3)


def kinds(table: pa.Table) -> Counter[str]:
    found = (re.search(r":\d+/(photo|fault/[^/]+)/", url) for url in table["url"].to_pylist())
    return Counter(match[1] if match else "odd" for match in found)


def test_columns_are_coyos(table: pa.Table) -> None:
    assert table.schema.equals(COYO_SCHEMA)
    assert table.num_rows == 4000
    assert not any(column.null_count for column in table.columns)
    ids = table["id"].to_numpy()
    assert (np.diff(ids) > 0).all()
    assert set(ids >> 33) == {0, 1, 2, 3}
    assert all(re.fullmatch("[0-9a-f]{16}", text) for text in table["image_phash"].to_pylist())
    assert table["text_length"].to_pylist() == [len(text) for text in table["text"].to_pylist()]
    assert table["word_count"].to_pylist() == [len(text.split(" ")) for text in table["text"].to_pylist()]


def test_what_the_addresses_lead_to(table: pa.Table) -> None:
    found = kinds(table)
    assert 0.86 < found["photo"] / 4000 < 0.90
    assert 0.04 < found["fault/404"] / 4000 < 0.08
    quick = {f"fault/{name}" for name, fault in FAULTS.items() if fault.quick}
    assert len(quick & set(found)) > 0.9 * len(quick)
    unfit = {f"fault/{name}" for name, fault in FAULTS.items() if fault.waits or fault.guarded or fault.heavy}
    assert not unfit & set(found)
    assert found["odd"] == len(ODD_URLS) + 1
    slowing = [url for url in table["url"].to_pylist() if "429-after-1/" in url]
    assert 0 < len(slowing) < 6
    assert all(url.startswith("http://127.0.0.8:") for url in slowing)
    assert sum(url.startswith("http://127.0.0.8:") for url in table["url"].to_pylist()) < 20


def test_scores_pass_as_the_published_selection_expects(table: pa.Table) -> None:
    one, two = table["clip_similarity_vitb32"].to_numpy(), table["clip_similarity_vitl14"].to_numpy()
    assert abs(one.mean() - 0.291266) < 0.005
    assert abs(two.mean() - 0.254632) < 0.005
    assert 0.20 < np.mean(one + two > 0.6) < 0.28


def test_urls_and_texts_repeat_a_little(table: pa.Table) -> None:
    assert 0.90 < pc.count_distinct(table["url"]).as_py() / 4000 < 0.98
    assert pc.count_distinct(table["text"]).as_py() > 1000


@pytest.mark.slow
def test_hashes_and_sizes_are_mostly_those_of_what_is_served(web: FakeWeb, table: pa.Table) -> None:
    photos = table.filter(pc.match_substring(table["url"], "/photo/")).slice(0, 200).to_pylist()
    near, sized = 0, 0
    for row in photos:
        with urllib.request.urlopen(row["url"], timeout=5) as response:
            image = Image.open(io.BytesIO(response.read()))
        near += imagehash.phash(image) - imagehash.hex_to_hash(row["image_phash"]) <= 8
        sized += image.size == (row["width"], row["height"])
    assert 0.65 < near / 200 < 0.88
    assert sized / 200 > 0.85


def test_same_call_same_rows(web: FakeWeb) -> None:
    rows = coyo_rows(web, 500, seed=9, first_row=100)
    assert coyo_rows(web, 500, seed=9, first_row=100).equals(rows)
    assert not coyo_rows(web, 500, seed=8, first_row=100)["url"].equals(rows["url"])
    for count in (0, 1, 7):
        assert coyo_rows(web, count).num_rows == count


def test_files_are_named_and_told_apart(web: FakeWeb, tmp_path: Path) -> None:
    paths = write_coyo(tmp_path, web, files=3, rows=1500)
    assert [path.name[:11] for path in paths] == ["part-00000-", "part-00001-", "part-00002-"]
    assert all(path.name.endswith("-c000.snappy.parquet") for path in paths)
    assert (tmp_path / "data" / "_SUCCESS").read_bytes() == b""
    tables = [pq.read_table(path) for path in paths]
    assert all(table.schema.equals(COYO_SCHEMA) for table in tables)
    ids = pa.concat_tables(tables)["id"]
    assert pc.count_distinct(ids).as_py() == 4500
    assert pq.ParquetFile(paths[0]).num_row_groups > 1
