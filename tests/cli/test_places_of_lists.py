"""Lists that are no files on this machine: at an address, on the hub, in a pipe, in a bucket."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typed import gristmill

from gristmill.testing.hub import FakeHub
from gristmill.testing.web import FakeWeb

QUICK = ("--allow-private-addresses", "--workers", "0")


@pytest.fixture(scope="module")
def web() -> Iterator[FakeWeb]:
    with FakeWeb() as made:
        yield made


def packed(out) -> int:
    return json.loads(gristmill("status", out, "--json").stdout)["counts"]["packed"]


def test_a_list_at_an_address_is_fetched_once(tmp_path, web):
    out = tmp_path / "out"
    web.put("/lists/urls.csv", b"link\n" + web.url("/photo/1.jpg?w=64").encode())
    url = web.url("/lists/urls.csv")
    said = gristmill("crawl", url, "--out", out, *QUICK, code=2).stderr  # no column url
    assert "has no column 'url'" in said
    assert not out.exists()
    words = ("crawl", url, "--out", out, *QUICK, "--url-column", "link")
    assert "fetched" in gristmill(*words).stderr
    web.put("/lists/urls.csv", b"other\n")
    assert "fetched" not in gristmill(*words).stderr
    assert packed(out) == 1
    assert json.loads((out / "dataset.json").read_text())["sources"][0]["place"] == url


def test_another_list_of_the_same_name_is_not_taken_for_the_one_that_was_fetched(tmp_path, web):
    out, rows = tmp_path / "out", [web.url(f"/photo/{n}.jpg?w=64") for n in (1, 2)]
    for place, row in zip(("a", "b", "mirror"), (*rows, rows[0]), strict=True):
        web.put(f"/{place}/urls.txt", row.encode())
    gristmill("crawl", web.url("/a/urls.txt"), "--out", out, *QUICK)
    said = gristmill("crawl", web.url("/b/urls.txt"), "--out", out, *QUICK, code=2).stderr
    assert "/b/urls.txt is not the list that the folder was begun with" in said
    gristmill("crawl", web.url("/mirror/urls.txt?signed=2"), "--out", out, *QUICK)
    assert packed(out) == 1


def test_a_list_that_is_not_there(tmp_path, web):
    out = tmp_path / "out"
    said = gristmill("crawl", web.url("/fault/404/urls.txt"), "--out", out, *QUICK, code=1).stderr
    assert "HTTP status 404" in said
    assert "KEY" not in said
    assert not out.exists()


def test_a_list_on_the_hub(tmp_path, web):
    table = pa.table({"url": [web.url("/photo/1.jpg?w=64")]})
    pq.write_table(table, tmp_path / "train.parquet")
    files = {
        "data/train.parquet": tmp_path / "train.parquet",
        "other.txt": b"x",
        "data/LICENSE.txt": b"All rights.",
    }
    with FakeHub({"own/list": files}) as hub:
        for n, place in enumerate(("own/list/data", "own/list@main/data/train.parquet")):
            out = tmp_path / f"out{n}"
            gristmill("crawl", f"hf://datasets/{place}", "--out", out, *QUICK, HF_ENDPOINT=hub.url)
            assert packed(out) == 1
    assert (tmp_path / "out0/dataset.json").read_text().count("passed over beside it") == 1


def test_what_retry_says_of_a_list_on_the_hub_can_be_typed(tmp_path, web):
    web.put("/ill.jpg", b"", status=503)
    pq.write_table(pa.table({"url": [web.url("/photo/1.jpg?w=64"), web.url("/ill.jpg")]}), tmp_path / "t")
    out, words = tmp_path / "out", ("--tasks", "0:1", "--set", "crawl.tries=1", "--min-kept", "0")
    with FakeHub({"own/list": {"a.parquet": tmp_path / "t", "b.parquet": tmp_path / "t"}}) as hub:
        gristmill("crawl", "hf://datasets/own/list", "--out", out, *QUICK, *words, HF_ENDPOINT=hub.url)
        asked = ("retry", out, "--workers", "0", "--allow-private-addresses")
        said = gristmill(*asked, code=2, HF_ENDPOINT=hub.url).stderr
        assert re.search(r"--source list=hf://datasets/own/list@[0-9a-f]{40}\n", said)
        given = re.findall(r"--source list=\S+", said)[-1].split()
        assert "asking again for" in gristmill(*asked, *given, HF_ENDPOINT=hub.url).stderr


@contextmanager
def piped(*chunks: bytes) -> Iterator[int]:
    read, write = os.pipe()
    for chunk in chunks:
        os.write(write, chunk)
    os.close(write)
    try:
        yield read
    finally:
        os.close(read)


def test_a_list_in_a_pipe(tmp_path, web, monkeypatch):
    out = tmp_path / "out"
    line = web.url("/photo/1.jpg?w=64").encode()

    def crawl(data: bytes, *words: str, code: int = 0) -> str:
        with piped(data) as end:
            return gristmill("crawl", f"/dev/fd/{end}", "--out", out, *QUICK, *words, code=code).stderr

    assert "--set rows.format=txt" in crawl(line, code=2)
    assert not out.exists()
    txt = ("--set", "rows.format=txt")
    crawl(line, *txt)
    crawl(line, *txt)  # the same command, with the same input
    assert "is not the list that the folder was begun with" in crawl(b"http://a.example/", *txt, code=2)
    assert packed(out) == 1
    with piped(line) as end, os.fdopen(os.dup(end)) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        gristmill("crawl", "-", "--out", tmp_path / "std", *QUICK, *txt)
    assert packed(tmp_path / "std") == 1


@pytest.mark.parametrize(
    ("urls", "way"),
    [
        ("r2://bucket/urls.txt", "rclone copyto r2://bucket/urls.txt urls.txt"),
        ("sftp://host/urls.txt", "Mount it, or copy it"),
        ("nothing.txt", "there is no such file or folder"),
    ],
)
def test_what_is_not_read_is_refused_with_the_way_round(tmp_path, urls, way):
    for words in (("crawl", urls, "--out", tmp_path / "out"), ("plan", urls)):
        said = gristmill(*words, code=2, cwd=tmp_path).stderr
        if urls != "nothing.txt" or words[0] == "crawl":
            assert way in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["urls.txt", "urls.parquet", "urls.json", "urls.txt.gz"])
def test_a_list_is_planned(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"url": ["http://a.example/"] * 300}), path)
    else:
        path.write_text("http://a.example/\n" * 300)
    said = gristmill("plan", path).stdout
    assert "unknown" not in said
    counted = name in {"urls.txt", "urls.parquet"}
    assert ("300 (" in said) is counted
    assert ("requests           300" in said) is counted
    assert ("not known before" in said) is not counted
