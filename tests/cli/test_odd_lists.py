"""Lists as people have them: columns of the wrong type, names that tell no format."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import ssl
import tarfile
import zipfile
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import trustme
from typed import gristmill

from gristmill.steps.crawl import Crawl
from gristmill.testing.hub import FakeHub
from gristmill.testing.rows import write_coyo
from gristmill.testing.web import FakeWeb

QUICK = ("--allow-private-addresses", "--workers", "0")


@pytest.fixture(scope="module")
def web() -> Iterator[FakeWeb]:
    with FakeWeb() as made:
        yield made


def test_what_is_no_address_is_said_and_is_no_failure_of_a_host(tmp_path, web):
    urls = tmp_path / "urls.json"
    odd = [1, None, " ", ["http://a/"], "nonsense", "ftp://example.org/a.jpg", "http://example.org:99/a.jpg"]
    urls.write_text(json.dumps([{"url": url} for url in [web.url("/photo/1.jpg?w=160"), *odd]]))
    out = tmp_path / "out"
    gristmill(
        "crawl", urls, "--out", out, "--workers", "0", code=3
    )  # without private addresses: none is kept
    fates = ds.dataset(out / "fates").to_table(columns=["row", "reason", "detail"]).sort_by("row").to_pylist()
    assert [fate["reason"] for fate in fates] == [
        "bad_port",
        *["bad_url"] * 4,
        *["bad_scheme"] * 2,
        "bad_port",
    ]
    assert [fate["detail"] for fate in fates[1:5]] == [
        "not text: 1",
        "missing",
        "empty",
        "not text: ['http://a/']",
    ]
    assert json.loads(gristmill("status", out, "--json").stdout)["hosts"] == {}


def test_what_an_option_would_allow_is_said_and_comes_with_it(tmp_path):
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(serving)  # of an authority that nobody knows
    with FakeWeb(ssl_context=serving) as web:
        (tmp_path / "urls.txt").write_text(web.url("/photo/1.jpg?w=160"))
        said = gristmill("crawl", "urls.txt", "--out", "out", *QUICK, code=3, cwd=tmp_path).stderr
        (command,) = re.findall("would allow tls: gristmill (.*)", said)
        assert f"gristmill {command}<" in (tmp_path / "out/report.html").read_text()
        told = gristmill(*shlex.split(command), "--workers", "0", code=2, cwd=tmp_path).stderr
        (command,) = re.findall("give it again: gristmill (.*)", told)
        gristmill(*shlex.split(command), cwd=tmp_path)
    assert json.loads(gristmill("status", tmp_path / "out", "--json").stdout)["counts"]["packed"] == 1


def test_links_in_a_folder_of_lists(tmp_path, web):
    urls, elsewhere = tmp_path / "urls", tmp_path / "elsewhere"
    for n, folder in enumerate((urls / "here", elsewhere / "deep")):
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text(web.url(f"/photo/{n}.jpg?w=160"))
    for name, target in {
        "there": elsewhere,
        "loop": urls,
        "again": urls / "here",
        "x.txt": tmp_path / "gone",
    }.items():
        (urls / name).symlink_to(target)
    (elsewhere / "back").symlink_to(elsewhere)
    words = ("crawl", urls, "--out", tmp_path / "out", *QUICK)
    assert "urls/x.txt is a link to nothing" in gristmill(*words, code=2).stderr
    (urls / "x.txt").unlink()
    gristmill(*words)
    files = ds.dataset(tmp_path / "out" / "fates").to_table(columns=["file"])["file"].to_pylist()
    assert sorted(files) == ["here/a.txt", "there/deep/a.txt"]


def test_texts_that_parquet_calls_bytes(tmp_path, web):
    urls, out = tmp_path / "urls.parquet", tmp_path / "out"
    table = {
        "url": [web.url("/photo/1.jpg?w=160").encode()],
        "text": ["gr\u00fcn".encode()],
        "raw": [b"\xff"],
    }
    pq.write_table(pa.table(table), urls)
    gristmill("crawl", urls, "--out", out, "--caption-column", "text", *QUICK)
    row = pq.read_table(out / "shards" / "00000.parquet").to_pylist()[0]
    assert (row["status"], row["url"], row["caption"]) == ("success", table["url"][0].decode(), "gr\u00fcn")


def test_a_name_that_tells_no_format(tmp_path, web):
    urls, out = tmp_path / "urls.dat", tmp_path / "out"
    urls.write_text(web.url("/photo/1.jpg?w=160"))
    assert "--set rows.format=csv" in gristmill("crawl", urls, "--out", out, *QUICK, code=2).stderr
    gristmill("crawl", urls, "--out", out, *QUICK, "--set", "rows.format=txt")


def test_what_is_asked_for_once_is_counted_once(tmp_path, web):
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    urls.write_text("\n".join(web.url(f"/photo/{name}.jpg?w=160") for name in (1, 2, 1, 1)))
    web.forget()
    gristmill("crawl", urls, "--out", out, *QUICK)
    status = json.loads(gristmill("status", out, "--json").stdout)
    assert status["counts"]["packed"] == 4
    bodies = {row["sha256"]: row["raw_bytes"] for row in ds.dataset(out / "fates").to_table().to_pylist()}
    assert status["requests"] == web.hits.total() == 2
    assert status["received_bytes"] == sum(bodies.values())


def test_what_is_not_finished_is_verified_and_said_to_be_so(tmp_path, web):
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    urls.write_text(web.url("/photo/1.jpg?w=160"))
    gristmill("crawl", urls, "--out", out, *QUICK)
    assert "not complete" not in gristmill("verify", out).stdout
    (out / "shards" / "00000.tar").unlink()
    gristmill("verify", out, "--repair", code=1)
    assert "not complete yet; this is what is finished" in gristmill("verify", out).stdout


@pytest.mark.parametrize(
    ("reason", "told"), [("", "expected reasons"), (" , ", "expected reasons"), ("http_44", "Did you mean")]
)
def test_reasons_that_are_none(tmp_path, web, reason, told):
    assert told in gristmill("retry", tmp_path, "--reason", reason, code=2).stderr


def test_a_url_is_not_taken_for_a_folder_of_that_name(tmp_path, web):
    (tmp_path / "urls.txt").write_text(web.url("/photo/1.jpg?w=160"))
    for words in (("urls.txt", "--out", "ftp://bucket/x"), ("r2://bucket/urls.txt", "--out", "x")):
        assert "is a URL" in gristmill("crawl", *words, *QUICK, code=2, cwd=tmp_path).stderr
    words = ("run", "gsm8k-screl", "--out", "x", "--source", "annotations=r2://bucket/x")
    assert "Mount it, or copy it" in gristmill(*words, code=2, cwd=tmp_path).stderr
    assert not list(tmp_path.rglob("*bucket*"))


def test_a_folder_of_another_version_is_left_as_it_is(tmp_path, web, monkeypatch):
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    urls.write_text("\n".join(web.url(path) for path in ("/photo/1.jpg?w=160", "/fault/404/1")))
    gristmill("crawl", urls, "--out", out, *QUICK)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    monkeypatch.setattr(Crawl, "revision", Crawl.revision + 1)
    retry = ("retry", out, "--reason", "http_404", "--workers", "0")
    for words in (("crawl", urls, "--out", out, *QUICK), retry):
        told = gristmill(*words, code=2).stderr
        assert re.search(r"crawl\.revision +was \d+ +is \d+\n.*another version of Gristmill", told)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    gristmill("verify", out)


@pytest.mark.parametrize("words", [("--url-column", ""), ("--only", 2**63), ("--tasks", "\u00b2:3")])
def test_words_that_mean_nothing(tmp_path, words):
    (tmp_path / "urls.txt").write_text("http://example.org/a.jpg")
    gristmill("crawl", tmp_path / "urls.txt", "--out", tmp_path / "out", *QUICK, *words, code=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", [("crawl", "urls.txt", "--out", "x"), ("retry", "."), ("mix", "vflan", "--out", "x")]
)
def test_more_workers_than_a_machine_can_bear(tmp_path, words, monkeypatch):
    monkeypatch.setattr("gristmill.cli.options.default_workers", lambda: 20)
    (tmp_path / "urls.txt").write_text("http://example.org/a.jpg")
    said = gristmill(*words, "--workers", "81", code=2, cwd=tmp_path).stderr
    assert "81 is more than this machine's limit, 80: " in said
    assert "20 cores" in said
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.txt"])
def test_a_list_without_a_row_is_no_list_without_the_column(tmp_path, web, name):
    urls = tmp_path / "urls"
    urls.mkdir()
    (urls / name).write_text({"a.json": "[]", "a.csv": "url\n"}.get(name, ""))
    done = gristmill("crawl", urls, "--out", tmp_path / "nothing", "--workers", "0", code=3)
    assert "there is no row at all in" in done.stderr
    (urls / "b.txt").write_text(web.url("/photo/1.jpg?w=160"))
    told = gristmill("crawl", urls, "--out", tmp_path / "out", "--json", *QUICK)
    assert json.loads(told.stdout)["counts"]["packed"] == 1


def test_what_a_library_says_of_a_file_is_a_sentence_of_its_own(tmp_path):
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "a.parquet").write_text("hello")
    words = ("run", "coyo-700m", "--source", f"annotations={folder}", "--out", tmp_path / "out")
    said = gristmill(*words, "--workers", "0", code=1).stderr
    assert re.search(r"not a readable Parquet file: .+[^.]\. a\.parquet is your own copy, of 5 bytes\.", said)


def test_colons_in_the_names_of_folders_and_lists(tmp_path, web, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"url": [web.url("/photo/1.jpg?w=160")]}), tmp_path / "urls-10:30.parquet")
    gristmill("crawl", "urls-10:30.parquet", "--out", "out-10:30", *QUICK)
    assert json.loads(gristmill("status", "out-10:30", "--json").stdout)["counts"]["packed"] == 1
    gristmill("export", "out-10:30", "--to", "interleaved-parquet", "--out", "texts-10:30")
    gristmill("retry", "out-10:30", "--reason", "timeout")


def test_further_files_of_a_zip_are_noted(tmp_path, web):
    urls, out = tmp_path / "urls.txt.zip", tmp_path / "out"
    with zipfile.ZipFile(urls, "w") as archive:
        for n in range(3):
            archive.writestr(f"{n}.txt", web.url(f"/photo/{n}.jpg?w=160"))
    gristmill("crawl", urls, "--out", out, *QUICK)
    status = json.loads(gristmill("status", out, "--json").stdout)
    assert status["counts"]["packed"] == 1
    assert status["notes"] == [
        "urls.txt.zip: only the first file in this zip was read, and not '1.txt', '2.txt'"
    ]


def test_without_a_good_zip_an_empty_one_goes_on(tmp_path, web):
    lists, out = tmp_path / "lists", tmp_path / "out"
    lists.mkdir()
    (lists / "a.txt.zip").write_bytes(b"PK\x03\x04 cut")
    (lists / "b.txt").write_text(web.url("/photo/1.jpg?w=160"))
    words = ("crawl", lists, "--out", out, *QUICK)
    assert "a zip that holds an empty file goes on without its rows" in gristmill(*words, code=1).stderr
    with zipfile.ZipFile(lists / "a.txt.zip", "w") as archive:
        archive.writestr("a.txt", "")
    gristmill(*words)
    status = json.loads(gristmill("status", out, "--json").stdout)
    assert status["complete"]
    assert (status["counts"]["annotated"], status["counts"]["packed"], len(status["notes"])) == (1, 1, 1)


@pytest.mark.parametrize(
    ("column", "option"), [("n", "--url-column"), ("n", "--caption-column"), ("tags", "--hash-column")]
)
def test_a_column_that_holds_no_text_is_said_before_anything_is_made(column, option, tmp_path):
    table = {"url": ["http://a.example/"], "n": [7], "tags": [["x"]], "old": [b"text"]}
    pq.write_table(pa.table(table), tmp_path / "list.parquet")
    words = ("crawl", tmp_path / "list.parquet", "--out", tmp_path / "out", option, column)
    said = gristmill(*words, code=2).stderr
    assert re.search(
        f"'{column}' is (int64|list.*), and a column of text is expected. Such are: url, old. ", said
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (
            "a.csv",
            (),
            "has no column 'url' (--url-column); it has link, text. Name one of these: --url-column",
        ),
        ("a.txt", ("--url-column", "link"), "has no column 'link' (--url-column); it has url. "),
        (
            "a.csv",
            ("--caption-column", "alt"),
            "has no column 'url' (--url-column), 'alt' (--caption-column); it has link, text. "
            "Name one of these: --url-column COLUMN --caption-column COLUMN.",
        ),
    ],
)
def test_a_list_without_the_column_is_told_which_option_names_it(name, options, said, tmp_path):
    (tmp_path / name).write_text("link,text\nhttp://a.example/,one\n")
    told = gristmill("crawl", tmp_path / name, "--out", tmp_path / "out", *options, code=2).stderr
    assert said in told
    assert "this dataset" not in told


@pytest.mark.parametrize("kind", [pa.null(), pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_addresses_that_are_nothing_but_nulls_are_said_before_anything_is_made(kind, tmp_path):
    nulls, links = pa.nulls(3, kind), ["http://a.example/", None, None]
    table = pa.table({"url": nulls, "text": nulls, "link": links})
    pq.write_table(table, tmp_path / "list.parquet", row_group_size=1)
    words = ("crawl", tmp_path / "list.parquet", "--out", tmp_path / "out", "--caption-column", "text")
    said = gristmill(*words, code=2).stderr
    assert "'url' holds nothing but nulls, and a column of text is expected. Such are: link. " in said
    assert not (tmp_path / "out").exists()


def test_a_parquet_list_without_a_row_is_no_list_of_nulls(tmp_path):
    pq.write_table(pa.table({"url": []}), tmp_path / "list.parquet")
    words = ("crawl", tmp_path / "list.parquet", "--out", tmp_path / "out", "--workers", "0")
    assert "there is no row at all in" in gristmill(*words, code=3).stderr


def test_an_annotation_column_of_another_type_costs_no_row_and_can_be_mended(tmp_path, web):
    write_coyo(tmp_path / "up", web, files=1, rows=40)
    (place,) = (tmp_path / "up" / "data").glob("*.parquet")
    good = pq.read_table(place)
    pq.write_table(good.set_column(1, "url", pa.array(range(40))), place)
    words = ("run", "coyo-700m", "--out", tmp_path, "--source", f"annotations={tmp_path / 'up'}", *QUICK)
    settings = ("--set", "crawl.total_s=2", "--set", "crawl.stall_s=1")
    said = gristmill(*words, *settings, code=1).stderr
    assert (
        f"{place.name}: the column url is int64 where a string is expected. data/{place.name} is your own"
        in said
    )
    assert "then give the same command again" in said
    pq.write_table(good, place)
    assert "40  rows in the annotation files" in gristmill(*words, *settings).stdout


def test_a_hub_that_lets_nobody_in_is_said_once(tmp_path, web):
    write_coyo(tmp_path / "up", web, files=3, rows=40)
    with FakeHub(
        {"kakaobrain/coyo-700m": tmp_path / "up"}, revision="54ee2d8", gated=["kakaobrain/coyo-700m"]
    ) as hub:
        said = gristmill(
            "run", "coyo-700m", "--out", tmp_path / "out", *QUICK, code=1, HF_ENDPOINT=hub.url
        ).stderr
    assert said.count("asks you to accept its terms") == 1
    assert "3 tasks failed, all others are done. Why is said above." in said


def test_a_text_of_a_parquet_file_that_is_not_utf_8_costs_its_row(tmp_path, web):
    """Arrow checks no text that it is told to take as it is."""
    body = pa.array([b"fine", b"caf\xe9", b"also fine"])
    texts = pa.StringArray.from_buffers(3, body.buffers()[1], body.buffers()[2])
    urls = [web.url(f"/photo/{n}.jpg?w=160") for n in range(3)]
    pq.write_table(pa.table({"url": urls, "text": texts}), tmp_path / "list.parquet")
    out = tmp_path / "out"
    gristmill("crawl", tmp_path / "list.parquet", "--out", out, "--caption-column", "text", *QUICK)
    fates = ds.dataset(out / "fates").to_table(columns=["row", "reason", "detail"]).sort_by("row").to_pylist()
    assert [fate["reason"] for fate in fates] == [None, "bad_row", None]
    assert fates[1]["detail"].startswith("text is not UTF-8: ")


@pytest.mark.parametrize("out", [".", "out", "deep/out"])
def test_what_a_run_wrote_is_no_further_list(out, tmp_path, web):
    (tmp_path / "a.txt").write_text(web.url("/photo/1.jpg?w=160"))
    words = ("crawl", tmp_path, "--out", tmp_path / out, *QUICK)
    gristmill(*words)
    shards = {path.name: path.read_bytes() for path in (tmp_path / out / "shards").iterdir()}
    again = gristmill(*words)
    assert "1  rows in the list" in again.stdout
    assert {path.name: path.read_bytes() for path in (tmp_path / out / "shards").iterdir()} == shards


def test_names_that_no_record_can_hold_are_said_before_anything_is_asked(tmp_path, web):
    odd = os.fsdecode(b"caf\xe9")
    (tmp_path / "urls.txt").write_text(web.url("/photo/1.jpg?w=160"))
    (tmp_path / odd).mkdir()
    shutil.copy(tmp_path / "urls.txt", tmp_path / odd / "a.txt")
    (tmp_path / "lists").mkdir()
    shutil.copy(tmp_path / "urls.txt", tmp_path / "lists" / f"{odd}.txt")
    web.forget()
    for urls, out in (
        (f"{odd}/a.txt", "out"),
        (odd, "out"),
        ("lists", "out"),
        ("urls.txt", odd),
        ("urls.txt", f"{odd}/x"),
    ):
        said = gristmill("crawl", urls, "--out", out, *QUICK, code=2, cwd=tmp_path).stderr
        assert r"caf\xe9" in said
        assert "this name is not UTF-8" in said
    assert not (tmp_path / "out").exists()
    assert web.hits.total() == 0


def test_half_a_surrogate_pair_costs_an_address_and_no_text(tmp_path, web):
    good = web.url("/photo/1.jpg?w=160")
    rows = [
        {"url": good, "cap": "half \ud800 of it", "more\udc00": ["\ud83d"]},
        {"url": good.replace("1", "\ud800", 1), "cap": "x"},
        {"url": good + "\udc00", "cap": "y"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    gristmill("crawl", "a.jsonl", "--out", "out", "--caption-column", "cap", *QUICK, cwd=tmp_path)
    fates = (
        ds.dataset(tmp_path / "out" / "fates").to_table(columns=["row", "reason"]).sort_by("row").to_pylist()
    )
    assert [fate["reason"] for fate in fates] == [None, "bad_url", "bad_url"]
    gristmill("verify", tmp_path / "out")


def test_a_list_is_described_by_options_and_keeps_what_was_decided(tmp_path, web):
    urls = [web.url(f"/photo/{n}.jpg?w=160") for n in range(3)]
    (tmp_path / "a.tsv").write_text("".join(f'{url}\t"one,\nwords {n}"\n' for n, url in enumerate(urls)))
    assert (
        "--no-header --columns url,caption"
        in gristmill("crawl", "a.tsv", "--out", "out", cwd=tmp_path, code=1).stderr
    )
    words = (
        "crawl",
        "a.tsv",
        "--out",
        "out",
        "--no-header",
        "--columns",
        "url,cap",
        "--caption-column",
        "cap",
        *QUICK,
    )
    gristmill(*words, cwd=tmp_path)
    status = json.loads(gristmill("status", tmp_path / "out", "--json").stdout)
    assert status["counts"]["annotated"] == status["counts"]["packed"] == 3
    assert "fields in quotes are read as in csv" in status["notes"][0]
    with tarfile.open(tmp_path / "out" / "shards" / "00000.tar") as shard:
        texts = [
            shard.extractfile(name).read().decode() for name in shard.getnames() if name.endswith(".txt")
        ]
    assert texts == [f"one,\nwords {n}" for n in range(3)]
    said = gristmill(*words, "--quoting", "none", cwd=tmp_path, code=2).stderr
    assert re.search(r'rows\.quoting +was "auto" +is "none"', said)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "url;cap\n1;2\n", "seems to be separated by semicolons: --delimiter semicolon"),
        ("a.csv", "url , cap\n1,2\n", "it has 'url ', ' cap'"),
        ("a.txt", "http://x/1\tone\nhttp://x/2\ttwo\n", "Read it as a table: --set rows.format=tsv"),
        (
            "b.csv",
            "url,cap\nhttp://x/1,one,\nhttp://x/2,two,\n",
            "the first: line 2: 3 fields, the header has 2.",
        ),
        ("a.json", '{"images": [{"url": "x"}], "n": 1}', "If its rows are in images, say so: --rows images"),
        ("a.csv", ",".join(f"c{n}" for n in range(4000)) + "\n", "c39 and 3,960 more"),
    ],
)
def test_what_a_list_seems_to_be_is_said_with_what_to_type(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    done = gristmill("crawl", name, "--out", "out", cwd=tmp_path, code=1 if name == "a.json" else 2)
    assert said in done.stderr
    assert not (tmp_path / "out").exists()
