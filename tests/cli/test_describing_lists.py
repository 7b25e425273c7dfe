"""Lists whose addresses, captions and checksums stand otherwise than in plain columns, told to ``crawl``."""

from __future__ import annotations

import csv
import hashlib
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typed import gristmill

from gristmill.testing.web import FakeWeb

QUICK = ("--allow-private-addresses", "--workers", "0")
URL = "http://a.example/a.jpg"
MD5 = hashlib.md5(b"").hexdigest()


def refused(tmp_path, rows, *words, name="list.jsonl"):
    path = tmp_path / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif name.endswith(".csv"):
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = gristmill("crawl", path, "--out", tmp_path / "out", "--workers", "0", *words, code=2).stderr
    assert not (tmp_path / "out").exists()
    return said


@pytest.mark.parametrize("name", ["list.jsonl", "list.parquet"])
def test_several_captions_are_asked_about_before_anything_is(tmp_path, name):
    rows = [{"url": URL, "text": ["one", "two"]}]
    said = refused(tmp_path, rows, "--caption-column", "text", name=name)
    assert "'text' holds several captions a row" in said
    assert "--captions first, joined" in said


@pytest.mark.parametrize("value", [7, {"en": "one"}, True, [7]])
def test_captions_that_are_no_text(tmp_path, value):
    said = refused(tmp_path, [{"url": URL, "c": value}], "--caption-column", "c", "--captions", "first")
    assert "'c' holds no text" in said
    assert "as c.FIELD" in said


@pytest.mark.parametrize("name", ["list.jsonl", "list.parquet"])
def test_lists_of_addresses_are_told_how_to_be_unnested(tmp_path, name):
    rows = [{"images": [{"url": URL}, {"url": URL}]}]
    said = refused(tmp_path, rows, "--url-column", "images.url", name=name)
    assert "one address a row is expected" in said
    assert "unnest(images).url" in said or "jq -c" in said


@pytest.mark.parametrize("name", ["list.jsonl", "list.parquet", "list.csv"])
def test_twenty_addresses_that_are_none(tmp_path, name):
    rows = [{"url": f"{n}.jpg", "link": f"{URL}?{n}"} for n in range(20)]
    said = refused(tmp_path, rows, name=name)
    assert "none of the first 20 values of 'url' is an address" in said
    assert "'0.jpg', '1.jpg', '2.jpg', ..." in said
    if name != "list.parquet":  # of which only the columns that are named are read
        assert "Addresses stand in link: --url-column link" in said


@pytest.mark.parametrize("name", ["list.jsonl", "list.parquet", "list.csv"])
def test_checksums_of_another_kind(tmp_path, name):
    rows = [{"url": URL, "sum": MD5}, {"url": URL, "sum": "nan"}]
    said = refused(tmp_path, rows, "--hash-column", "sum", name=name)
    assert "'sum' holds no sha256" in said
    assert "It fits --hash-kind md5." in said
    said = refused(tmp_path, [{"url": URL, "sum": "x7"}], "--hash-column", "sum", name=name)
    assert "32 digits of hex or 44 characters of Base64. Name another" in said.replace(
        "64 digits", "32 digits"
    )


def test_a_field_that_a_struct_has_not(tmp_path):
    said = refused(tmp_path, [{"image": {"href": URL}}], "--url-column", "image.url", name="list.parquet")
    assert "there is no 'image.url' (--url-column): 'image' is struct<href: string>." in said


@pytest.mark.parametrize("name", ["list.jsonl", "list.parquet", "list.csv"])
def test_columns_of_text_are_named_where_none_becomes_the_captions(tmp_path, name):
    path = tmp_path / name
    row = {"url": URL, "licence": "CC0", "width": "7", "TEXT": "a cat", "page": URL}
    if name == "list.parquet":
        row |= {"width": 7, "page": None, "bytes": b"x"}
    refused(tmp_path, [row], "--hash-column", "licence", name=name)
    planned = gristmill("plan", path)
    assert "Columns of text: TEXT, licence. A crawl" in planned.stderr
    assert "--caption-column TEXT;" in planned.stderr
    assert "Columns of text" not in gristmill("plan", path, "--url-column", "TEXT", "--json").stdout
    path.with_name("urls.txt").write_text(URL)
    assert "Columns" not in gristmill("plan", path.with_name("urls.txt")).stderr


def test_a_crawl_without_captions_says_so_once_and_one_with_them_does_not(tmp_path):
    with FakeWeb() as web:
        path = tmp_path / "list.jsonl"
        path.write_text(json.dumps({"url": web.url("/photo/1.jpg?w=64"), "text": "a cat", "by": "me"}))
        without = ("crawl", path, "--out", tmp_path / "a", "--drop-column", "by", *QUICK)
        told = gristmill(*without).stderr
        assert "Every .txt will be empty" in told
        assert "Columns of text: text. For captions give --caption-column text now" in told
        assert "Every .txt" not in gristmill(*without).stderr
        assert (
            "Every"
            not in gristmill(
                "crawl", path, "--out", tmp_path / "b", "--caption-column", "text", *QUICK
            ).stderr
        )


def test_what_lies_beside_the_lists_of_a_folder_and_a_sample_of_each_caption(tmp_path):
    urls, out = tmp_path / "urls", tmp_path / "out"
    urls.mkdir()
    (urls / "LICENSE.txt").write_text("All rights.")
    (urls / "dataset_infos.json").write_text('{"default": {}}')
    with FakeWeb() as web:
        rows = [
            {"image": {"url": web.url(f"/photo/{n}.jpg?w=160")}, "text": ["a", "b"][: n + 1]}
            for n in range(2)
        ]
        (urls / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        words = ("--url-column", "image.url", "--caption-column", "text")
        told = gristmill("crawl", urls, "--out", out, *words, *QUICK, code=2).stderr
        assert "several captions" in told
        gristmill("crawl", urls, "--out", out, *words, "--captions", "each", *QUICK)
        assert web.hits.total() == 2
    status = json.loads(gristmill("status", out, "--json").stdout)
    note = "list.jsonl: passed over beside it, by their names no lists: LICENSE.txt, dataset_infos.json"
    assert (status["counts"]["packed"], status["notes"]) == (3, [note])
    with tarfile.open(out / "shards" / "00000.tar") as shard:
        texts = [shard.extractfile(m).read().decode() for m in shard if m.name.endswith(".txt")]
    assert texts == ["a", "a", "b"]
    gristmill("verify", out)
