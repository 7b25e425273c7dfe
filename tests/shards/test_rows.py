import gzip
import json
import math
import random
import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.shards import textlines
from gristmill.shards.rows import FORMATS, JSON_ROW, column_names, guess_format, read_rows, rows_of
from gristmill.shards.textlines import MAX_ROW_BYTES
from gristmill.spec.errors import GristmillError, SourceError, UnknownName, UsageError
from gristmill.spec.reasons import Reason

MIB = 1 << 20


def read(path, **options):
    """All rows by position, and all bad rows as (row, reason, detail)."""
    rows, bad, schemas = {}, [], set()
    for batch in read_rows(path, **options):
        opened = rows_of(batch.table)
        assert len(opened) == len(batch.rows)
        assert not rows.keys() & set(batch.rows.to_pylist())
        rows.update(zip(batch.rows.to_pylist(), opened, strict=True))
        bad += [(b.row, b.reason, b.detail) for b in batch.bad]
        schemas.add(str(batch.table.schema))
    assert len(schemas) <= 1
    assert sorted([*rows, *(row for row, _, _ in bad)]) == list(range(len(rows) + len(bad)))
    return rows, bad


def made(tmp_path, name, body):
    path = tmp_path / name
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    return path


# names and columns


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.txt", "txt"), ("A.CSV", "csv"), ("a.b.tsv.gz", "tsv"), ("a.ndjson", "jsonl"), ("a.jsonl.gz", "jsonl"),
     ("a.json", "json"), ("dir.csv/part-0.snappy.parquet", "parquet")],
)  # fmt: skip
def test_format_by_name(name, format):
    assert guess_format(name) == format


@pytest.mark.parametrize("name", ["list", "a.zip", "a.gz", "csv", ""])
def test_unknown_format_names_the_known(name):
    if name == "csv":
        assert guess_format(name) == "csv"
        return
    with pytest.raises(UsageError, match=r"\.jsonl, \.parquet"):
        guess_format(name)


def test_columns_without_reading_the_list(tmp_path):
    assert column_names(made(tmp_path, "a.txt", "x\n")) == ["url"]
    assert column_names(made(tmp_path, "a.csv", '\ufeffurl,"a, b"\r\n1,2\r\n')) == ["url", "a, b"]
    assert column_names(made(tmp_path, "a.tsv", "url\tcap\n")) == ["url", "cap"]
    assert column_names(made(tmp_path, "a.jsonl", '{"u": 1}\nbad\n{"v": 2, "u": 3}\n')) == ["u", "v"]
    assert column_names(made(tmp_path, "a.json", '[{"u": 1}, {"v": 2}]')) == ["u", "v"]
    pq.write_table(pa.table({"p": [1], "q": [2]}), tmp_path / "a.parquet")
    assert column_names(tmp_path / "a.parquet") == ["p", "q"]


def test_missing_column_is_said_with_what_there_is(tmp_path):
    pq.write_table(pa.table({"url": ["u"]}), tmp_path / "a.parquet")
    for path in (made(tmp_path, "a.csv", "url,b\n1,2\n"), tmp_path / "a.parquet"):
        with pytest.raises(UnknownName, match="Did you mean 'url'"):
            read(path, columns=["urls"])


def test_only_wanted_columns_in_the_wanted_order(tmp_path):
    path = made(tmp_path, "a.csv", "a,b,c\n1,2,3\n")
    assert [list(row.items()) for row in read(path, columns=["c", "a"])[0].values()] == [
        [("c", "3"), ("a", "1")]
    ]
    pq.write_table(pa.table({"a": [1], "b": [2], "c": [3]}), tmp_path / "a.parquet")
    assert [list(r.items()) for r in read(tmp_path / "a.parquet", columns=["c", "a"])[0].values()] == [
        [("c", 3), ("a", 1)]
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_missing_file_and_empty_file(tmp_path, format):
    with pytest.raises(GristmillError, match="nowhere"):
        read(tmp_path / f"nowhere.{format}")
    path = made(tmp_path, f"empty.{format}", b"")
    if format in {"txt", "jsonl"}:
        assert read(path) == ({}, [])
    else:
        with pytest.raises(SourceError, match="empty"):
            read(path)


# txt


def test_txt_takes_the_line_as_it_is(tmp_path):
    path = made(tmp_path, "a.txt", b'http://a/?x=1,2\r\n\r\n  \nhttp://b/ "q"\t \nhttp://\xff/\nhttp://c/')
    rows, bad = read(path)
    assert rows == {
        0: {"url": "http://a/?x=1,2"},
        1: {"url": 'http://b/ "q"\t '},
        3: {"url": "http://c/"},
    }
    assert [(row, reason) for row, reason, _ in bad] == [(2, Reason.BAD_ROW)]
    assert bad[0][2].startswith("line 5: not UTF-8")


# csv and tsv

cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(cells, cells), max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_csv_as_written_by_the_standard_library(tmp_path, pairs, end, packed):
    import csv
    import io

    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows([("a", "b"), *pairs])
    body = text.getvalue().encode()
    path = made(tmp_path, "a.csv.gz" if packed else "a.csv", gzip.compress(body) if packed else body)
    rows, bad = read(path, batch_rows=3)
    assert [tuple(row.values()) for row in rows.values()] == pairs
    assert bad == []


def test_csv_bad_rows_do_not_end_the_run(tmp_path):
    path = made(
        tmp_path,
        "a.csv",
        b'url,cap\n1,ok\n2\n3,"x"y\n4,a,b\n5,\xff\n\n6,"two\n\nlines"\n7,5" disk\n8,"never closed\n9,lost\n',
    )
    rows, bad = read(path)
    assert rows == {
        0: {"url": "1", "cap": "ok"},
        5: {"url": "6", "cap": "two\n\nlines"},
        6: {"url": "7", "cap": '5" disk'},
    }
    assert [(row, reason) for row, reason, _ in bad] == [(n, Reason.BAD_ROW) for n in (1, 2, 3, 4, 7)]
    details = [detail for _, _, detail in bad]
    assert details[0] == "line 3: 1 fields, the header has 2"
    assert details[2] == "line 5: 3 fields, the header has 2"
    assert "not UTF-8" in details[3]
    assert details[4] == "line 12: unexpected end of data"


def test_tsv_quotes_stand_for_themselves_unless_balanced(tmp_path):
    path = made(tmp_path, "a.tsv", 'url\tcap\n1\t"open\n2\t"a ""b"" c"\n3\tsay "hi", you\n4\t"x" y\n5\n')
    rows, bad = read(path)
    assert [row["cap"] for row in rows.values()] == ['"open', 'a "b" c', 'say "hi", you', '"x" y']
    assert [b[0] for b in bad] == [4]


def test_csv_header_faults(tmp_path):
    with pytest.raises(SourceError, match="two columns have the same name: a, b, a"):
        read(made(tmp_path, "a.csv", "a,b,a\n1,2,3\n"))
    with pytest.raises(SourceError, match="does not name the columns"):
        read(made(tmp_path, "b.csv", b"a,\xff\n1,2\n"))


def test_utf16_is_said(tmp_path):
    for format in ("txt", "csv", "jsonl", "json"):
        with pytest.raises(SourceError, match="UTF-16"):
            read(made(tmp_path, f"a.{format}", "url,b\nx,y\n".encode("utf-16")))


def test_large_field_beyond_the_csv_modules_own_limit(tmp_path):
    rows, _ = read(made(tmp_path, "a.csv", "a,b\n1," + "x" * 300_000 + "\n"))
    assert len(rows[0]["b"]) == 300_000


# JSON

JSON_LINES = [
    b'{"url": "http://a/1", "w": 640}',
    b"{oops",
    b'{"url": "http://a/2", "w": "640", "more": {"deep": [1, null]}}',
    b"[1, 2]",
    b'{"url": null, "w": 1.5}',
    b'{"url": "\xff"}',
    b'{"id": 9223372036854775807, "big": 123456789012345678901234567890}',
    b'{"nan": NaN, "lone": "\\ud800"}',
    b'{"d": ' + b"[" * 2000 + b"]" * 2000 + b"}",
    b'{"d": ' + b"[" * 150 + b"]" * 150 + b"}",
    b'{"last": true}',
]


def check_json(rows, bad, detail):
    assert list(rows) == [0, 2, 4, 6, 7, 10]
    assert rows[0] == {"url": "http://a/1", "w": 640}
    assert rows[2] == {"url": "http://a/2", "w": "640", "more": {"deep": [1, None]}}
    assert rows[4] == {"url": None, "w": 1.5}
    assert rows[6] == {"id": 2**63 - 1, "big": 123456789012345678901234567890}
    assert math.isnan(rows[7]["nan"])
    assert rows[7]["lone"] == "\ud800"
    assert [(row, reason) for row, reason, _ in bad] == [(n, Reason.BAD_ROW) for n in (1, 3, 5, 8, 9)]
    assert bad[0][2].startswith(detail)
    assert "not an object" in bad[1][2]
    assert "nested too deeply" in bad[3][2]
    assert "nested too deeply" in bad[4][2]


def test_jsonl_one_bad_line_is_one_bad_row(tmp_path):
    path = made(tmp_path, "a.jsonl", b"\xef\xbb\xbf" + b"\r\n".join(JSON_LINES))
    check_json(*read(path, batch_rows=4), "line 2: ")
    check_json(*read(made(tmp_path, "a.json", path.read_bytes())), "line 2: ")  # by a wrong name
    check_json(*read(made(tmp_path, "a.ndjson.gz", gzip.compress(path.read_bytes()))), "line 2: ")


def test_rows_pass_through_parquet_unchanged(tmp_path):
    path = made(tmp_path, "a.jsonl", b"\n".join(JSON_LINES))
    (batch,) = read_rows(path)
    pq.write_table(batch.table, tmp_path / "part.parquet")
    back = pq.read_table(tmp_path / "part.parquet")
    assert repr(rows_of(back)) == repr(rows_of(batch.table))
    wider = back.append_column("score", pa.array([0.5] * len(back)))
    assert rows_of(wider)[0] == {"url": "http://a/1", "w": 640, "score": 0.5}
    assert back.column_names == [JSON_ROW]


ARRAY_ELEMENTS = [line for line in JSON_LINES if line != b"{oops"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text('{}[],"\\ aé\n', max_size=6),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text('a{"]', max_size=3), v, max_size=3),
    max_leaves=6,
)
objects = st.lists(st.dictionaries(st.text("ab]", max_size=2), json_values, max_size=3), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(objects, st.none() | st.integers(0, 3), st.integers(2, 9), st.booleans())
def test_json_array_wherever_its_chunks_end(tmp_path, rows, indent, chunk_bytes, packed):
    text = json.dumps(rows, indent=indent).encode()
    path = made(tmp_path, "a.json.gz" if packed else "a.json", gzip.compress(text) if packed else text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textlines, "_CHUNK_BYTES", chunk_bytes)
        got, bad = read(path, batch_rows=2)
    assert list(got.values()) == rows
    assert bad == []


def test_json_array_bad_elements_and_line_numbers(tmp_path):
    path = made(tmp_path, "a.json", b'\n[\n{"a": 1},\n\n nonsense,\n{"a": 2}, , {"a": 3,}\n]\n')
    rows, bad = read(path)
    assert rows == {0: {"a": 1}, 2: {"a": 2}}
    assert [(row, detail.partition(":")[0]) for row, _, detail in bad] == [
        (1, "line 5"),
        (3, "line 6"),
        (4, "line 6"),
    ]


@pytest.mark.parametrize(
    "text", ['[{"a": 1}, {"a"', '[{"a": 1}', '[{"a": "[', "", "7", '"x"', "[] []", "[] x", ", []", "x []"]
)
def test_json_that_is_no_whole_array(tmp_path, text):
    with pytest.raises(SourceError, match=r"a\.json.*(JSON array|empty)"):
        read(made(tmp_path, "a.json", text))


def test_rows_before_the_cut_are_given_out(tmp_path):
    path = made(tmp_path, "a.json", '[{"a": 1}, {"a": 2}, {"a"')
    batches = read_rows(path, batch_rows=1)
    assert [rows_of(next(batches).table) for _ in range(2)] == [[{"a": 1}], [{"a": 2}]]
    with pytest.raises(SourceError, match="line 1: ends in the middle"):
        next(batches)


# long rows


@pytest.mark.parametrize("format", ["txt", "csv", "tsv", "jsonl", "json"])
def test_a_long_row_is_one_bad_row(tmp_path, format):
    body = "x" * (MAX_ROW_BYTES + 1)
    text = {
        "txt": f"a\n{body}\nb\n",
        "csv": f"u\na\n{body}\nb\n",
        "tsv": f"u\na\n{body}\nb\n",
        "jsonl": f'{{"u": 1}}\n{{"u": "{body}"}}\n{{"u": 2}}\n',
        "json": f'[{{"u": 1}},\n{{"u": "{body}"}},\n{{"u": 2}}]',
    }[format]
    path = made(tmp_path, f"a.{format}", text)
    del text
    rows, bad = read(path)
    assert list(rows) == [0, 2]
    line = 3 if format in {"csv", "tsv"} else 2
    assert bad == [(1, Reason.ROW_TOO_LONG, f"line {line}: more than 16 MiB")]


def test_csv_row_of_many_lines_is_capped_and_the_list_goes_on(tmp_path):
    path = made(tmp_path, "a.csv", 'u,v\n1,"never closed\n' + ("x" * MIB + "\n") * 16 + "2,b\n")
    rows, bad = read(path)
    assert rows == {1: {"u": "2", "v": "b"}}
    assert [(row, reason) for row, reason, _ in bad] == [(0, Reason.ROW_TOO_LONG)]


def test_longest_allowed_line(tmp_path):
    for end in ("", "\n", "\r\n"):
        rows, bad = read(made(tmp_path, "a.txt", "x" * MAX_ROW_BYTES + end + ("b" if end else "")))
        assert len(rows[0]["url"]) == MAX_ROW_BYTES
        assert bad == []


@pytest.mark.parametrize("format", [pytest.param("txt", marks=pytest.mark.slow), "jsonl", "csv", "json"])
def test_memory_of_a_very_long_row_is_bounded(tmp_path, format):
    path = tmp_path / f"a.{format}.gz"
    with gzip.open(path, "wb", compresslevel=1) as out:
        out.write({"json": b'[{"a": "', "jsonl": b'{"a": "', "csv": b'a,b\n1,"', "txt": b""}[format])
        for _ in range(120):
            out.write(b"x" * MIB)
        out.write({"json": b'"}]', "jsonl": b'"}\n', "csv": b'"\n', "txt": b"\n"}[format])
    script = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        from gristmill.shards.rows import read_rows
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        (batch,) = read_rows(Path(sys.argv[1]))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(grown // 1024, [b.reason.value for b in batch.bad])
    """)
    out = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    grown_mib, _, reasons = out.partition(" ")
    assert reasons.strip() == "['row_too_long']"
    assert int(grown_mib) < 90


# batches


def test_batches_are_bounded_in_rows_and_bytes(tmp_path):
    path = made(tmp_path, "a.txt", "".join(f"{n}\n" for n in range(10)))
    assert [len(b.rows) for b in read_rows(path, batch_rows=4)] == [4, 4, 2]
    path = made(tmp_path, "b.txt", ("x" * 10 * MIB + "\n") * 9)
    assert [len(b.rows) for b in read_rows(path)] == [4, 4, 1]


# parquet


def test_parquet_by_batches_with_positions_and_types(tmp_path):
    table = pa.table({"id": pa.array(range(10), pa.int64()), "ns": pa.array(range(10), pa.timestamp("ns"))})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=4)
    batches = list(read_rows(tmp_path / "a.parquet", batch_rows=3))
    assert all(len(b.rows) <= 3 for b in batches)
    rows, bad = read(tmp_path / "a.parquet", batch_rows=3)
    assert [row["id"] for row in rows.values()] == list(range(10))
    assert rows[7]["ns"] == "1970-01-01 00:00:00.000000007"
    assert bad == []


def test_parquet_damage_names_the_file(tmp_path):
    good = tmp_path / "good.parquet"
    numbers = random.Random(3).choices(range(10**6), k=5000)
    pq.write_table(pa.table({"n": numbers, "t": [str(n) for n in numbers]}), good, row_group_size=1000)
    whole = good.read_bytes()
    path = tmp_path / "a.parquet"
    for body in (
        whole[:-1],
        whole[: len(whole) // 2],
        whole[:3],
        b"x" * 500,
        whole[:-8] + b"\xff" * 4 + b"PAR1",
    ):
        path.write_bytes(body)
        with pytest.raises(SourceError, match=r"a\.parquet: damaged Parquet"):
            column_names(path)
        with pytest.raises(SourceError, match=r"a\.parquet"):
            read(path)
    path.write_bytes(whole[:2000] + bytes(1500) + whole[3500:])  # a page, not the footer
    with pytest.raises(SourceError, match=r"a\.parquet"):
        read(path)


def test_damaged_gzip_names_the_file(tmp_path):
    body = gzip.compress(b"".join(b"http://a/%d\n" % n for n in range(50_000)))
    for damaged in (body[: len(body) // 2], body[:1000] + b"\0" * 50 + body[1050:], b"plain text\n" * 9):
        with pytest.raises(SourceError, match=r"a\.txt\.gz: damaged gzip"):
            read(made(tmp_path, "a.txt.gz", damaged))
