import gzip
import json
import math
import random
import re
import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.shards import delimited, json_array
from gristmill.shards.framing import FORMATS, Dialect, Framing, guess_format
from gristmill.shards.rows import JSON_ROW, column_names, notes_of, read_rows, rows_of
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
        8: {"url": "9", "cap": "lost"},
    }
    assert [(row, reason) for row, reason, _ in bad] == [(n, Reason.BAD_ROW) for n in (1, 2, 3, 4, 7)]
    details = [detail for _, _, detail in bad]
    assert details[0] == "line 3: 1 fields, the header has 2"
    assert details[1] == "line 4: text behind the quote that closes a field"
    assert details[2] == "line 5: 3 fields, the header has 2"
    assert "not UTF-8" in details[3]
    assert details[4] == (
        "line 12: a quote opens that does not close up to the end of the list; 1 line behind it, 23 bytes, read again"
    )


def test_a_quote_that_opens_by_mistake_costs_its_own_line(tmp_path):
    lines = [f"http://a/{n}.jpg,words {n}" for n in range(3000)]
    lines[100] = 'http://a/100.jpg,"five inches'
    lines[200] = 'http://a/200.jpg,"not closed'
    lines[260] = 'http://a/260.jpg,a nail of 5"'
    lines[2999] = '"http://a/2999.jpg,x'
    rows, bad = read(made(tmp_path, "a.csv", "\n".join(["url,cap", *lines])))
    assert [row for row, _, _ in bad] == [100, 200, 2999]
    assert all(rows[n] == dict(zip(("url", "cap"), lines[n].split(","), strict=True)) for n in rows)
    assert bad[0][2] == (
        "line 102: text behind the quote that closes a field; 100 lines behind it, 2,732 bytes, read again"
    )
    assert "the lines up to where it closes are rows themselves; 60 lines behind it" in bad[1][2]
    rows, bad = read(made(tmp_path, "b.csv", "\n".join(["url,cap", lines[100], *lines[300:2900]])))
    assert [row for row, _, _ in bad] == [0]
    assert len(rows) == 2600
    assert "does not close within 1,000 lines" in bad[0][2]


def test_captions_of_many_lines_are_no_damage(tmp_path):
    captions = [
        "a\nb",
        "one, two\nthree, four",
        "see http://a/1, and\nhttp://a/2, too\nand this",
        "x\n" * 900,
        "",
    ]
    text = "url,cap\n" + "".join(f'http://a/{n},"{cap}"\n' for n, cap in enumerate(captions))
    rows, bad = read(made(tmp_path, "a.csv", text))
    assert [row["cap"] for row in rows.values()] == captions
    assert bad == []


@given(
    st.lists(st.sampled_from(['a,b', 'a,"b"', 'a,"b', '"a,b', '"b"c', "x,y,z", 'b"', 'x",y,"z', '","', "", "é,1"])),
    st.sampled_from([1, 3, 1000]),
)  # fmt: skip
def test_however_quotes_stand_each_line_belongs_to_one_row(tmp_path, lines, most):
    path = made(tmp_path, "a.csv", "\n".join(["url,cap", *lines]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "MOST_LINES", most)
        with path.open("rb") as stream:
            records = list(delimited.delimited_records(Dialect(format="csv"), stream))
    covered = [n for record in records for n in range(record.line, record.line + record.lines)]
    assert covered == [1, *(n for n, line in enumerate(lines, 2) if line or n in covered)]
    plain = [n for n, line in enumerate(lines, 2) if line == "é,1"]
    alone = {record.line for record in records if record.fields == ["é", "1"]}
    within = {
        n for record in records if record.lines > 1 for n in range(record.line, record.line + record.lines)
    }
    assert set(plain) <= alone | within


def test_reading_lines_again_and_again_ends(tmp_path):
    path = made(tmp_path, "a.csv", "url,cap\n" + 'x",y,"z\n' * 20_000)
    rows, bad = read(path)
    assert (len(rows), len(bad)) == (0, 20_000)
    assert "does not close within 1,000 lines" in bad[0][2]


def test_tsv_is_read_as_csv_is_where_its_beginning_says_so(tmp_path):
    text = 'url\tcap\n1\t"one\ntwo"\n2\t"a ""b"" and\ttab"\n3\tsay "hi", you\n4\t"x" y\n5\n6\t"open\n7\tz\n'
    path = made(tmp_path, "a.tsv", text)
    rows, bad = read(path)
    assert [row["cap"] for row in rows.values()] == ["one\ntwo", 'a "b" and\ttab', 'say "hi", you', "z"]
    assert [b[0] for b in bad] == [3, 4, 5]
    assert "read as in csv" in notes_of(path)[0]
    rows, bad = read(path, framing=Framing(quoting="none"))
    assert [row["cap"] for row in rows.values()] == ['"one', 'say "hi", you', '"x" y', '"open', "z"]
    assert notes_of(path, Framing(quoting="none")) == ()


def test_tsv_whose_quotes_stand_for_themselves(tmp_path):
    path = made(tmp_path, "a.tsv", 'url\tcap\n1\t"open\n2\t"b"\n3\t\n4\t"x" y\n5\n6\t"half\nof it\n')
    rows, bad = read(path)
    assert [row["cap"] for row in rows.values()] == ['"open', '"b"', "", '"x" y']
    assert [b[0] for b in bad] == [4, 5, 6]
    assert "the line behind is no row" in bad[1][2]
    assert "quotes stand for themselves" in notes_of(path)[0]
    rows, _ = read(path, framing=Framing(quoting="csv"))
    assert [row["cap"] for row in rows.values()] == ["b", ""]


def test_a_list_without_a_header_line(tmp_path):
    path = made(tmp_path, "a.tsv", "one\thttp://a/1\ntwo\thttp://a/2\n")
    with pytest.raises(SourceError, match=r"seems to have no header line.*--no-header --columns caption,url"):
        read(path)
    assert list(read(path, framing=Framing(header=True))[0].values()) == [
        {"one": "two", "http://a/1": "http://a/2"}
    ]
    rows, _ = read(path, framing=Framing(header=False, names=("cap", "url")))
    assert list(rows.values()) == [{"cap": "one", "url": "http://a/1"}, {"cap": "two", "url": "http://a/2"}]
    assert column_names(path, Framing(header=False)) == ["column_1", "column_2"]
    with pytest.raises(SourceError, match=r"names 3 columns, and the first row has 2: 'one', 'http://a/1'"):
        column_names(path, Framing(header=False, names=("a", "b", "c")))
    with pytest.raises(UsageError, match="--no-header"):
        Framing(names=("a",))


def test_other_delimiters_and_columns_without_a_name(tmp_path):
    path = made(tmp_path, "a.csv", "url;cap;;\n1;x;;y\n")
    assert read(path, framing=Framing(delimiter=";"))[0][0] == {
        "url": "1",
        "cap": "x",
        "column_3": "",
        "column_4": "y",
    }
    assert notes_of(path, Framing(delimiter="semicolon")) == (
        "without a name, columns are called 'column_3', 'column_4'",
    )
    assert read(made(tmp_path, "b.csv", "a\tb\n1\t2\n"), framing=Framing(delimiter="tab"))[0][0] == {
        "a": "1",
        "b": "2",
    }
    for wrong in ("", "ab", '"', "\n"):
        with pytest.raises(UsageError, match="delimiter"):
            Framing(delimiter=wrong)


def test_what_is_said_of_a_file_must_fit_its_format(tmp_path):
    for framing in (
        Framing(header=False),
        Framing(delimiter=";"),
        Framing(quoting="none"),
    ):
        with pytest.raises(UsageError, match="and this is read as jsonl"):
            read(made(tmp_path, "a.jsonl", "{}"), framing=framing)


@pytest.mark.parametrize("encoding", [None, "cp1252", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_line_by_which_excel_says_what_is_between_fields(tmp_path, encoding, end):
    text = end.join(["sep=;", "url;cap", "1;a, é", "sep=;", "2;c", ""])
    path = made(tmp_path, "a.csv", text.encode(encoding or "utf-8-sig"))
    rows, bad = read(path, framing=Framing(encoding=encoding))
    assert [row["cap"] for row in rows.values()] == ["a, é", "", "c"]
    assert bad == []
    assert "'sep=;', says what is between fields" in notes_of(path, Framing(encoding=encoding))[0]


def test_line_ends_of_old_macs(tmp_path):
    path = made(tmp_path, "a.csv", 'url,cap\r1,x\r2,"y\rz"\r')
    assert [row["cap"] for row in read(path)[0].values()] == ["x", "y\nz"]
    assert "carriage return" in notes_of(path)[0]
    assert list(read(made(tmp_path, "a.txt", "a\rb"))[0].values()) == [{"url": "a"}, {"url": "b"}]
    _, bad = read(made(tmp_path, "b.csv", "a,b\n1,x\ry,z\n"))
    assert bad[0][2] == "line 2: a carriage return within a line"


@pytest.mark.parametrize("format", ["csv", "tsv", "txt", "jsonl", "json"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "utf-8"])
def test_other_encodings(tmp_path, format, encoding):
    mark = {"csv": ",", "tsv": "\t"}.get(format, "")
    lines = [f"http://a/é{n}{mark}{'ü' if mark else ''}" for n in range(5)]
    text = {
        "json": json.dumps([{"url": line} for line in lines], ensure_ascii=False),
        "jsonl": "\n".join(json.dumps({"url": line}, ensure_ascii=False) for line in lines),
    }.get(format, "\n".join([*([f"url{mark}cap"] if mark else []), *lines]))
    path = made(tmp_path, f"a.{format}", text.encode(encoding))
    rows, bad = read(path, framing=Framing(encoding=encoding))
    assert [row["url"] for row in rows.values()] == [
        line.partition(mark)[0] if mark else line for line in lines
    ]
    assert bad == []
    if encoding != "utf-8" and (format != "json" or "16" in encoding):
        with pytest.raises(SourceError, match=f"--encoding {encoding.replace('latin-1', 'cp1252')}"):
            read(path)


@pytest.mark.parametrize(
    ("encoding", "text", "said"),
    [
        (
            "cp1252",
            "a,“é” – 1\nb,Größe\n",
            "Read as cp1252 one holds 'b,Größe'. If that is right, say so with",
        ),
        ("gb18030", "a,狗\nb,小狗\n", "one holds 'a,¹·'. If that is right"),
        ("shift_jis", "a,ネコ、\nb,イヌ\n", "UTF-8. Name its encoding with --encoding"),
    ],
)
def test_of_text_in_another_encoding_some_is_shown_as_it_would_be_read(tmp_path, encoding, text, said):
    """A wrong name, typed without a look, would change captions without a word."""
    with pytest.raises(SourceError, match=re.escape(said) + ".*such as gb18030, shift_jis"):
        read(made(tmp_path, "a.csv", ("url,cap\n" + text).encode(encoding)))


def test_an_encoding_that_does_not_fit_or_is_none(tmp_path):
    path = made(tmp_path, "a.csv", "url,cap\n1,é\n")
    with pytest.raises(SourceError, match=r"a\.csv: its text is not ascii.*Name another --encoding"):
        read(path, framing=Framing(encoding="ascii"))
    for wrong in ("utf-99", "base64", "hex"):
        with pytest.raises(UsageError, match="not known"):
            Framing(encoding=wrong)


def test_a_damaged_line_does_not_make_a_file_latin_1(tmp_path):
    rows, bad = read(made(tmp_path, "a.csv", b"url,cap\n1,\xe9\n2,\xe9\n3,\xc3\xa9\n"))
    assert rows == {2: {"url": "3", "cap": "é"}}
    assert len(bad) == 2


def test_many_columns_are_refused_and_cost_no_time(tmp_path):
    names = [f"c{n}" for n in range(60_000)]
    with pytest.raises(SourceError, match="60,000 columns, and a list may have 4,096"):
        column_names(made(tmp_path, "a.csv", ",".join(names) + "\n"))
    pq.write_table(pa.table({name: pa.array([], pa.int8()) for name in names[:4097]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="4,097 columns, and a list may have 4,096"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_no_file_on_a_disk_is_no_list(tmp_path, format):
    import os

    os.mkfifo(tmp_path / f"a.{format}")
    (tmp_path / f"b.{format}").symlink_to("/proc/self/environ")
    (tmp_path / f"c.{format}").symlink_to("/dev/zero")
    for name, kind in (("a", "a FIFO"), ("b", "all that lies in /proc"), ("c", "a device")):
        with pytest.raises(UsageError, match=kind):
            column_names(tmp_path / f"{name}.{format}")


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


@pytest.mark.parametrize(
    "text", ['[{"a": 1},\n{"a": 2}]', '[{"a": 1}]', '{\n  "a": 1\n}\n{\n  "a": 2\n}\n', '[\n{"a": 1}]']
)
def test_json_lines_that_are_none(tmp_path, text):
    with pytest.raises(SourceError, match=r"a\.jsonl seems to be .*, and not JSON lines.*rows\.format=json"):
        read(made(tmp_path, "a.jsonl", text))
    assert [b[0] for b in read(made(tmp_path, "b.jsonl", '[1]\n{"a": 1}\n{\n'))[1]] == [0, 2]


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


@given(objects, st.none() | st.integers(0, 3), st.integers(2, 9), st.booleans())
def test_json_array_wherever_its_chunks_end(tmp_path, rows, indent, chunk_bytes, packed):
    text = json.dumps(rows, indent=indent).encode()
    path = made(tmp_path, "a.json.gz" if packed else "a.json", gzip.compress(text) if packed else text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "_CHUNK_BYTES", chunk_bytes)
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


ROWS = [{"url": f"http://a/{n}", "cap": f"words {n}", "boxes": [{"x": n}, {"x": 2}]} for n in range(60)]
BREAKS = {
    "a stray quote": ("words 7", '5" disk'),
    "a quote left open": ('words 7"', "words 7"),
    "a quote not opened": ('"words 7', "words 7"),
    "a stray quote in a key": ('"cap": "words 7"', '"ca"p": 1'),
    "a brace too few": ("}]}", "}]"),
    "a bracket too few": ("}]}", "}}"),
    "a bracket too many": ("}]}", "}]]}"),
    "a brace too many": ("}]}", "}]}}"),
    "a brace opened twice": ('{"url"', '{{"url"'),
    "a comma too few": ('", "cap"', '" "cap"'),
    "a comma too many": ('", "cap"', '",, "cap"'),
    "no UTF-8": ("words 7", "words \udcff"),
    "a line break": ("words 7", "words\n7"),
    "half of it": (', "boxes": [{"x": 7}, {"x": 2}]}', ""),
    "the beginning of it": ('"http://a/7", "cap": "words 7", "boxes": [{"x": 7}, {"x": 2}]}', '"htt'),
}


@pytest.mark.parametrize("place", [7, 0, 59])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("kind", BREAKS)
def test_a_broken_element_of_an_array_costs_itself_and_no_other(tmp_path, kind, indent, place):
    was, becomes = (re.sub(r"\b7\b", str(place), part) for part in BREAKS[kind])
    texts = [json.dumps(row) for row in ROWS]
    assert was in texts[place]
    texts[place] = texts[place].replace(was, becomes)
    between = ",\n" if indent else ", "
    body = f"[{between.join(texts)}]".encode("utf-8", "surrogateescape")
    path = made(tmp_path, "a.json", body)
    if (kind, place) == ("the beginning of it", 59):  # this is what a file that is cut off looks like
        with pytest.raises(SourceError, match="ends in the middle"):
            read(path)
        return
    rows, bad = read(path)
    assert list(rows.values()) == ROWS[:place] + ROWS[place + 1 :]
    assert [(row, reason) for row, reason, _ in bad] == [(place, Reason.BAD_ROW)]


def test_how_much_a_broken_element_took_along_is_said(tmp_path):
    texts = [json.dumps(row) for row in ROWS]
    texts[3] = texts[3].replace("words 3", '5" disk')
    texts[40] = texts[40].replace("words 40", '5" disk')
    _, bad = read(made(tmp_path, "a.json", "[" + ",\n".join(texts) + "]"))
    assert [(row, detail.partition(":")[0]) for row, _, detail in bad] == [(3, "line 4"), (40, "line 41")]
    assert re.search(r"; \d,\d{3} bytes behind it read again", bad[0][2])


def test_a_broken_element_of_a_long_array_is_found_before_all_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(json_array, "_CHUNK_BYTES", 500)
    monkeypatch.setattr(json_array, "_LOOKED_AT_BYTES", 1000)
    texts = [json.dumps(row) for row in ROWS]
    texts[3] = texts[3].replace("words 3", '5" disk')
    texts[5] = json.dumps({"url": "long", "cap": "x" * 9000, "boxes": [{"url": n} for n in range(900)]})
    rows, bad = read(made(tmp_path, "a.json", "[" + ",\n".join(texts) + "]"))
    assert [row for row, _, _ in bad] == [3]
    assert len(rows[5]["boxes"]) == 900
    assert len(rows) == 59
    taken = int(re.search(r"; ([\d,]+) bytes", bad[0][2]).group(1).replace(",", ""))
    assert taken < 3000


def test_a_list_of_addresses_as_texts(tmp_path):
    path = made(tmp_path, "a.json", '["http://a/1", "http://a/\\u00e9", 3, "a" b", "http://a/2"]')
    rows, bad = read(path)
    assert [row["url"] for row in rows.values()] == ["http://a/1", "http://a/é", "http://a/2"]
    assert [b[0] for b in bad] == [2, 3]
    assert column_names(path) == ["url"]
    assert "list of addresses" in notes_of(path)[0]


@given(
    st.lists(st.tuples(json_values, json_values), max_size=5),
    st.none() | st.integers(0, 3),
    st.integers(2, 9),
)
def test_one_object_of_columns_as_json_and_pandas_write_it(tmp_path, pairs, indent, chunk_bytes):
    pairs = [pair for pair in pairs if not isinstance(pair[0], dict) and not isinstance(pair[1], dict)]
    columns = {"url": [one for one, _ in pairs], "a, b": [other for _, other in pairs]}
    by_row = {name: {str(n): value for n, value in enumerate(values)} for name, values in columns.items()}
    expected = [{"url": one, "a, b": other} for one, other in pairs]
    for made_up in (columns, by_row) if pairs else (columns,):
        path = made(tmp_path, "a.json", json.dumps(made_up, indent=indent))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_array, "_CHUNK_BYTES", chunk_bytes)
            rows, bad = read(path, batch_rows=2)
        assert list(rows.values()) == expected
        assert bad == []
        assert "one object of columns: 'url', 'a, b'" in notes_of(path)[0]


def test_an_object_of_columns_in_a_gzip_and_in_another_encoding(tmp_path):
    text = json.dumps({"url": ["1", "2"], "cap": ["é", "ü"]}, ensure_ascii=False)
    expected = [{"url": "1", "cap": "é"}, {"url": "2", "cap": "ü"}]
    assert list(read(made(tmp_path, "a.json.gz", gzip.compress(text.encode())))[0].values()) == expected
    path = made(tmp_path, "a.json", b"\xef\xbb\xbf" + text.encode())
    assert list(read(path)[0].values()) == expected
    path = made(tmp_path, "b.json", text.encode("utf-16"))
    assert list(read(path, framing=Framing(encoding="utf-16"))[0].values()) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"url": [1, 2], "cap": [1]}', "'cap' has 1 values and 'url' more"),
        ('{"url": [1], "cap": [1, 2]}', "'url' has 1 values and 'cap' more"),
        ('{"url": {"0": 1, "1": 2}, "cap": {"0": 1, "2": 2}}', "not of the same rows in the same order"),
        ('{"url": [nope, "b"], "cap": [1, 2]}', "a broken value in a JSON object of columns"),
        (json.dumps({f"c{n}": [1] for n in range(65)}), "65 columns, and at most 64.*import pandas"),
    ],
)
def test_objects_of_columns_that_cannot_be_read(tmp_path, text, said):
    with pytest.raises(SourceError, match=said):
        read(made(tmp_path, "a.json", text))


@given(
    st.dictionaries(
        st.text(max_size=3), st.dictionaries(st.text("abc", min_size=1), json_values), max_size=5
    ),
    st.none() | st.integers(0, 4),
    st.integers(2, 9),
)
def test_one_object_of_rows_by_their_names(tmp_path, members, indent, chunk_bytes):
    first = {"question": "a, {b}", "image": None}
    members = {str(n): first for n in range(7)} | {f"-{name}": row for name, row in members.items()}
    expected = [{"__key__": name, **row} for name, row in members.items()]
    path = made(tmp_path, "a.json", json.dumps(members, indent=indent))
    within = made(
        tmp_path, "b.json", json.dumps({"info": {"of": {}}, "database": members, "n": 1}, indent=indent)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "_CHUNK_BYTES", chunk_bytes)
        for rows, bad in (read(path, batch_rows=2), read(within, framing=Framing(array="database"))):
            assert list(rows.values()) == expected
            assert bad == []
    assert f"one object of {len(members)} rows, their names as column __key__" in notes_of(path)[0]
    assert column_names(path)[:3] == ["__key__", "question", "image"]


def test_a_row_by_its_name_that_cannot_be_read_costs_itself(tmp_path):
    path = made(tmp_path, "a.json", '{"1": {"q": 1},\n "2": {"q": nope},\n "3": {},\n "4": {"q": 4}}')
    rows, bad = read(path)
    assert list(rows.values()) == [{"__key__": "1", "q": 1}, {"__key__": "3"}, {"__key__": "4", "q": 4}]
    assert len(bad) == 1
    assert "line 2" in str(bad[0])
    whole = '{"1": {"q": 1},\n"2": {"q": 2}'
    for cut in (f'{whole},\n"3": {{"q": "half', whole, f"{whole}}} more"):
        with pytest.raises(
            SourceError, match=r"cut off: .*, after the row '[23]' that begins at byte \d+, line \d"
        ):
            read(made(tmp_path, "b.json", cut))


@pytest.mark.parametrize("indent", [None, 2])
def test_rows_in_an_array_within_an_object(tmp_path, indent):
    rows = [{"id": n, "url": f"http://a/{n}"} for n in range(3)]
    body = {
        "info": {"by": ["x"]},
        "type": "captions",
        "images": rows,
        "deep": {"er": {"list": rows[:2]}},
        "n": [],
    }
    path = made(tmp_path, "a.json", json.dumps(body, indent=indent))
    with pytest.raises(SourceError, match=r"'info', 'type', 'images'.*--rows images"):
        read(path)
    assert list(read(path, framing=Framing(array="images"))[0].values()) == rows
    assert list(read(path, framing=Framing(array="deep.er.list"))[0].values()) == rows[:2]
    assert column_names(path, Framing(array="images")) == ["id", "url"]
    for way, said in (
        ("imgs", "no 'imgs'.*'images'"),
        ("deep", "no array.*'er'"),
        ("type", "no array"),
        ("images.id", "'id'"),
    ):
        with pytest.raises(SourceError, match=said):
            read(path, framing=Framing(array=way))
    text = path.read_text().replace("http://a/1", 'a" b')
    rows, bad = read(made(tmp_path, "b.json", text), framing=Framing(array="images"))
    assert (list(rows), [row for row, _, _ in bad]) == ([0, 2], [1])
    if indent:
        begins = text[: text.index('a" b')].rindex("{")
        assert bad[0][2].startswith(f"line {1 + text[:begins].count(chr(10))}:")
    with pytest.raises(SourceError, match="is no JSON object"):
        read(made(tmp_path, "c.json", "[1]"), framing=Framing(array="images"))


def test_one_row_is_no_object_of_columns(tmp_path):
    for row in ({"url": "http://a/1", "boxes": [{"x": 1}]}, {"image": {"url": "http://a/1"}}, {"url": "x"}):
        assert list(read(made(tmp_path, "a.json", json.dumps(row)))[0].values()) == [row]
        text = json.dumps(row) + "\n" + json.dumps(row)
        assert list(read(made(tmp_path, "a.json", text))[0].values()) == [row, row]
    text = '{"url": [1]}\n{"url": [2]}\n'
    assert list(read(made(tmp_path, "a.json", text))[0].values()) == [{"url": [1]}, {"url": [2]}]
    assert len(read(made(tmp_path, "a.json", '{"a": [1],}\n{"a": [2]}\n'))[1]) == 1


@pytest.mark.parametrize(
    "text", ['[{"a": 1}, {"a"', '[{"a": 1}', '[{"a": "[', "", "7", '"x"', "[] []", "[] x", ", []", "x []"]
)
def test_json_that_is_no_whole_array(tmp_path, text):
    with pytest.raises(SourceError, match=r"a\.json.*(JSON array|empty)"):
        read(made(tmp_path, "a.json", text))


@pytest.mark.parametrize(
    ("text", "said"), [("", "is empty"), ("<html>\nSign in", r"begins with '<html>\\nSign in'")]
)
def test_what_holds_no_array_at_all_is_said(tmp_path, text, said):
    with pytest.raises(SourceError, match=f"holds no JSON array, but {said}"):
        read(made(tmp_path, "a.json", text))


def test_rows_before_the_cut_are_given_out(tmp_path):
    path = made(tmp_path, "a.json", '[{"a": 1}, {"a": 2}, {"a"')
    batches = read_rows(path, batch_rows=1)
    assert [rows_of(next(batches).table) for _ in range(2)] == [[{"a": 1}], [{"a": 2}]]
    with pytest.raises(SourceError, match=r"line 1: ends in the middle.* after 2 elements, at byte 20"):
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
    ((row, reason, detail),) = bad
    assert (row, reason) == (1, Reason.ROW_TOO_LONG)
    assert re.fullmatch(rf"line {line}: more than 16 MiB: 16,777,2\d\d bytes passed over", detail)


def test_csv_row_of_many_lines_is_capped_and_the_list_goes_on(tmp_path):
    path = made(tmp_path, "a.csv", 'u,v\n1,"never closed\n' + ("x" * MIB + "\n") * 16 + "2,b\n")
    rows, bad = read(path)
    assert rows == {17: {"u": "2", "v": "b"}}
    assert len(bad) == 17
    assert "does not close within 16 MiB; 16 lines behind it" in bad[0][2]


def test_longest_allowed_line(tmp_path):
    for end in ("", "\n", "\r\n"):
        rows, bad = read(made(tmp_path, "a.txt", "x" * MAX_ROW_BYTES + end + ("b" if end else "")))
        assert len(rows[0]["url"]) == MAX_ROW_BYTES
        assert bad == []


@pytest.mark.parametrize(
    "format", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("txt", "jsonl", "csv")), "json"]
)
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
    assert [len(b.rows) for b in read_rows(path)] == [1] * 9


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


def test_a_few_bytes_that_would_be_a_thousand_times_as_many_are_refused_with_the_column(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.parquet"
    told = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), ["x" * 10_000])
    pq.write_table(pa.table({"url": [f"http://a.test/{n}" for n in range(2000)], "my text": told}), path)
    assert sum(batch.table.num_rows for batch in read_rows(path)) == 2000
    monkeypatch.setattr("gristmill.shards.parquet_rows._MOST_BYTES", 8 << 20)
    monkeypatch.setattr("gristmill.shards.parquet_rows._MOST_TIMES", 100)
    with pytest.raises(UsageError, match=r"2,000 rows .* 10,008 bytes of each .*--drop-column 'my text'"):
        list(read_rows(path))
    assert sum(batch.table.num_rows for batch in read_rows(path, columns=["url"])) == 2000


@pytest.mark.parametrize("batch_rows", [1, 3, 100])
def test_fields_of_parquet_columns_are_left_where_they_are(tmp_path, batch_rows):
    rows = [
        {"image": {"bytes": b"x" * 9, "path": f"{n}.png"} if n % 2 else None, "of": [{"bytes": [n]}], "n": n}
        for n in range(7)
    ]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=4)
    batches = read_rows(path, without=("image.bytes", "nothing.here"), batch_rows=batch_rows)
    found = [row for batch in batches for row in rows_of(batch.table)]
    assert [row["image"] for row in found] == [{"path": f"{n}.png"} if n % 2 else None for n in range(7)]
    assert [(row["of"], row["n"]) for row in found] == [([{"bytes": [n]}], n) for n in range(7)]
