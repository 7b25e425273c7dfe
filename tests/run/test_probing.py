"""A small part of a large file, near and far, and what a share of so few says of all."""

import gzip
import io
import itertools
import json
import zipfile
from functools import cache, partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.ledger.run_config import InputFile
from gristmill.run.probing import excerpts
from gristmill.run.probing.excerpts import drawn, evenly, excerpt_of, shares_of
from gristmill.run.probing.findings import design_effect, interval
from gristmill.shards.framing import Framing
from gristmill.shards.rows import read_rows, rows_of
from gristmill.spec.errors import SourceError, UsageError

ROWS = 20_000


def test_intervals():
    low, high = interval(60, 100)
    assert (round(low, 4), round(high, 4)) == (0.5020, 0.6906)  # as the formula gives it by hand
    assert interval(0, 20)[0] == 0
    assert 0.1 < interval(0, 20)[1] < 0.2
    assert interval(20, 20)[1] == 1
    assert interval(0, 0) == (0, 1)
    wide = interval(60, 100, effect=4)
    assert wide == pytest.approx(interval(15, 25)), "as of a quarter of the sample"


def test_hosts_that_fare_as_a_whole_widen_the_interval():
    whole = {f"{n}.example": (10 * (n % 2), 10) for n in range(40)}
    assert design_effect(whole) == pytest.approx(10 * 40 / 39)
    assert design_effect({f"{n}.example": (n % 2, 1) for n in range(400)}) == pytest.approx(1, abs=0.01)
    assert design_effect({"one.example": (3, 10)}) == 1, "one host says nothing of others"
    assert design_effect({"a": (5, 5), "b": (2, 2)}) == 1


def test_evenly():
    assert evenly(10, 2) == [2, 7]
    assert evenly(3, 9) == [0, 1, 2]
    assert evenly(0, 5) == drawn(0, 5) == []
    rows = drawn(1000, 100)
    assert [row // 10 for row in rows] == list(range(100)), "one of each ten"
    assert len({row % 10 for row in rows}) == 10, "and not always the same"
    assert rows == drawn(1000, 100)
    assert drawn(3, 9) == [0, 1, 2]


def test_large_files_give_more_rows():
    files = [
        InputFile(source="list", name=f"{n}", size_bytes=size, digest="")
        for n, size in enumerate([10, 0, 990])
    ]
    assert shares_of(files, 100, 100) == [(files[0], 1), (files[2], 99)]
    alike = [InputFile(source="list", name=f"{n}", size_bytes=7, digest="") for n in range(128)]
    some = shares_of(alike, 500, 16)
    assert [int(file.name) for file, _ in some] == list(range(4, 128, 8))
    assert sum(share for _, share in some) == 500
    assert {share for _, share in some} == {31, 32}
    assert shares_of([], 5, 5) == []


def rows():
    return [{"url": f"http://x.example/{n}", "text": f"t{n}"} for n in range(ROWS)]


@cache
def as_text(ending):
    if ending == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows()).encode()
    return ("url,text\n" + "".join(f"{row['url']},{row['text']}\n" for row in rows())).encode()


@cache
def as_parquet():
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows()), out, row_group_size=ROWS // 8)
    return out.getvalue()


@cache
def as_zip(name):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, as_text("jsonl"))
    return out.getvalue()


def numbers(excerpt):
    read = read_rows(excerpt.path)
    found = [int(row["url"].rpartition("/")[2]) for batch in read for row in rows_of(batch.table)]
    return found if excerpt.only is None else found[: excerpt.only]


def taken(tmp_path, name, body, wanted=40, framing=None):
    (tmp_path / "own").mkdir()
    path = tmp_path / name
    path.write_bytes(body)
    file = InputFile(source="list", name=name, size_bytes=len(body), digest="", path=str(path))
    return excerpt_of(file, "", framing or Framing(), wanted, tmp_path / "own")[0]


@pytest.mark.parametrize(
    ("name", "body"),
    [("a.parquet", as_parquet), ("a.jsonl", partial(as_text, "jsonl")), ("a.csv", partial(as_text, "csv"))],
)
@pytest.mark.parametrize("large", [False, True])
def test_rows_come_from_all_over_a_file_that_is_here(tmp_path, monkeypatch, name, body, large):
    if large and name != "a.parquet":
        monkeypatch.setattr(excerpts, "_HEAD_BYTES", (1000, 2000))
    excerpt = taken(tmp_path, name, body())
    found = numbers(excerpt)
    assert excerpt.even
    assert len(found) == 40
    assert found == sorted(set(found))
    assert found[0] < ROWS // 20
    assert found[-1] > ROWS - ROWS // 20
    assert max(b - a for a, b in itertools.pairwise(found)) < ROWS // 10


def test_lines_that_may_be_no_rows_are_read_from_the_beginning(tmp_path):
    body = "url,text\n" + "".join(f'http://x/{n},"a\nb"\n' for n in range(400))
    excerpt = taken(tmp_path, "a.csv", body.encode())
    assert not excerpt.even
    assert numbers(excerpt) == list(range(40))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.parquet", as_parquet),
        ("a.jsonl", partial(as_text, "jsonl")),
        ("a.jsonl.zip", partial(as_zip, "a.jsonl")),
        ("a.csv.gz", lambda: gzip.compress(as_text("csv"), 1)),
        ("a.json", lambda: json.dumps(rows()).encode()),
    ],
)
def test_of_a_file_elsewhere_little_is_moved(tmp_path, monkeypatch, name, body):
    moved, body = [], body()

    def read_range(repo, revision, file, size, start, stop):
        assert (repo, revision, file, size) == ("o/r", "main", name, len(body))
        assert 0 <= start < stop <= size
        moved.append(stop - start)
        return body[start:stop]

    monkeypatch.setattr(excerpts, "read_range", read_range)
    monkeypatch.setattr(excerpts, "_HEAD_BYTES", (4000, 8000))
    monkeypatch.setattr(excerpts, "_BUFFER_BYTES", 4000)
    file = InputFile(source="list", name=name, size_bytes=len(body), digest="")
    excerpt, told = excerpt_of(file, "o/r@main", Framing(), 20, tmp_path)
    assert told == sum(moved) < len(body)
    assert not excerpt.even
    if name == "a.json":  # no line ends where it is cut off
        with pytest.raises(SourceError):
            numbers(excerpt)
        return
    found = numbers(excerpt)
    assert len(found) == 20
    assert found == sorted(set(found))
    if name == "a.parquet":  # the first rows of two row groups of eight
        assert found == [*range(5000, 5010), *range(15_000, 15_010)]
    else:
        assert found == list(range(20))


def test_a_file_that_no_part_can_be_asked_of(tmp_path):
    file = InputFile(source="list", name="a.csv", size_bytes=9, digest="")
    with pytest.raises(UsageError, match=r"fetched whole\. Fetch it, and give it with --source list=FILE"):
        excerpt_of(file, "https://x.example/a.csv", Framing(), 20, tmp_path)
