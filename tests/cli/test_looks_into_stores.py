"""Commands that only look, at what lies in an object store: they say what they say of the same files here."""

import json

import pyarrow.parquet as pq
import pytest
from PIL import Image
from typed import gristmill

from gristmill.storage.object import ObjectStore


@pytest.fixture
def words(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    return [word for key, value in bucket.items() for word in ("--store-option", f"{key}={value}")]


@pytest.fixture
def store(bucket, words, tmp_path):
    return ObjectStore(f"s3://bucket/{tmp_path.name}", bucket)


def put_all(store, folder):
    for path in folder.rglob("*"):
        if path.is_file():
            store.put(path.relative_to(folder.parent).as_posix(), path)


def left(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_file_of_conversations_is_checked_there_with_its_media(store, words, tmp_path):
    rows = [
        {"id": str(n), "image": f"p/{n}.png", "conversations": said(f"<image>\nwhat {n}")} for n in range(3)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    pictures = tmp_path / "pictures"
    (pictures / "p").mkdir(parents=True)
    for n in range(2):  # the third is missing
        Image.new("RGB", (20, 20 + n), "teal").save(pictures / "p" / f"{n}.png")
    put_all(store, pictures)
    store.put("rows.json", tmp_path / "rows.json")
    here = gristmill("check", tmp_path / "rows.json", "--media", pictures, "--json", "--workers", 1, code=3)
    there = gristmill(
        *("check", f"{store}/rows.json", "--media", f"{store}/pictures/", "--json", "--workers", 1),
        *("--fix", tmp_path / "mended.json", *words),
        code=3,
    )
    assert json.loads(there.stdout) == json.loads(here.stdout)
    assert len(json.loads((tmp_path / "mended.json").read_text())) == 2
    assert f"{store}/rows.json: of 3 records 1 were left out" in there.stderr
    assert left(tmp_path) == []
    store.put("none/x.png", b"no picture")
    said_none = gristmill("check", f"{store}/rows.json", "--media", f"{store}/none", *words, code=2).stderr
    assert "none of 3 media is where --media says" in said_none
    prefix = gristmill("check", f"{store}/pictures", *words, code=2).stderr
    assert "is a prefix, and a file is expected" in prefix


def said(question):
    return [{"from": "human", "value": question}, {"from": "gpt", "value": "That."}]


@pytest.mark.slow
def test_an_evaluation_set_is_hashed_there(store, words, tmp_path):
    pictures = tmp_path / "bench"
    pictures.mkdir()
    Image.linear_gradient("L").save(pictures / "a.png")
    put_all(store, pictures)
    gristmill("hashes", pictures, "--out", tmp_path / "here.parquet", "--workers", 1)
    told = gristmill("hashes", f"{store}/bench", "--out", tmp_path / "there.parquet", "--workers", 1, *words)
    assert told.stderr.startswith(f"{store}/bench: ")
    assert f"{store}/bench: 1 picture and 0 questions" in told.stderr
    assert pq.read_table(tmp_path / "there.parquet") == pq.read_table(tmp_path / "here.parquet")
    assert left(tmp_path) == []


def test_a_plan_says_what_is_done_there(store, words, tmp_path):
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:9/a.jpg\n")
    place = tmp_path / "urls.txt"
    said = gristmill("plan", place, "--out", f"{store}/new", *words).stdout
    assert "0 done, at least 1 to do" in said
    planned = gristmill("plan", "vflan", "--out", f"{store}", *words).stdout
    assert f"gristmill run vflan --out {store}" in planned


@pytest.mark.slow
def test_a_plan_counts_what_is_done_there(store, words, tmp_path):
    place = tmp_path / "urls.txt"
    place.write_text("http://127.0.0.1:9/a.jpg\n")
    gristmill(
        *("crawl", place, "--out", f"{store}/made", "--allow-private-addresses", "--workers", 0, *words),
        *("--set", "crawl.tries=1"),
        code=None,
    )
    assert "3 done, at least 0 to do" in gristmill("plan", place, "--out", f"{store}/made", *words).stdout
    store.put("urls.txt", place)
    told = gristmill("plan", f"{store}/urls.txt", "--out", f"{store}/made", *words, code=2).stderr
    assert f"gristmill status {store}/made" in told


@pytest.mark.parametrize(
    "typed",
    [
        ("status", "S3://b/x"),
        ("crawl", "S3://b/urls.txt", "--out", "x"),
        ("plan", "S3://b/urls.txt"),
        ("check", "S3://b/rows.json"),
        ("hashes", "S3://b/set", "--out", "x.parquet"),
        ("import", "S3://b/rows.json", "--from", "llava", "--out", "x"),
        ("mix", "vflan", "--out", "x", "--source", "text-flan=S3://b/x"),
        ("run", "mmc4-core", "--out", "x", "--source", "annotations=S3://b/x"),
    ],
)
def test_the_same_place_has_one_name(typed, tmp_path):
    assert "write it in small letters: s3://b/" in gristmill(*typed, code=2, cwd=tmp_path).stderr
    assert list(tmp_path.iterdir()) == []


def test_store_options_without_a_store_are_refused(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    said = gristmill("check", tmp_path / "a.json", "--store-option", "region=x", code=2).stderr
    assert "--store-option is for an object store" in said
