"""Records come out of every form of JSON file, whole, in order; what is damaged is said, and where."""

import gzip
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.spec.errors import SourceError, UsageError
from gristmill.steps.conversations.records import RecordFile

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"conversations": st.lists(st.fixed_dictionaries({"from": TEXTS, "value": TEXTS}), max_size=3)},
        optional={"id": TEXTS, "image": TEXTS, "n": st.integers(-(2**70), 2**70)},
    ),
    min_size=2,
    max_size=6,
)
FORMS = (
    "array",
    "indented",
    "lines",
    "lines, blank",
    "lines, no last",
    "keyed",
    "within",
    "nested",
    "bom",
    "gz",
)


def written(rows, form, folder, *, ascii_only=False):
    """A file of the rows in a form."""
    dumps = lambda value, **more: json.dumps(value, ensure_ascii=ascii_only, **more).replace("/", r"\/")  # noqa: E731
    keyed = {f"key {n}": row for n, row in enumerate(rows)}
    text = {
        "array": dumps(rows),
        "indented": dumps(rows, indent=4) + "\n",
        "lines": "".join(dumps(row) + "\n" for row in rows),
        "lines, blank": "\n" + "\n\r\n".join(map(dumps, rows)) + "\n \n",
        "lines, no last": "\n".join(map(dumps, rows)),
        "keyed": dumps(keyed, indent=2),
        "within": dumps({"version": "1", "license": {"id": 3}, "data": rows, "end": None}),
        "nested": dumps({"database": keyed}),
        "bom": "\ufeff" + dumps(rows),
        "gz": dumps(rows),
    }[form]
    path = folder / ("rows.json.gz" if form == "gz" else "rows.json")
    path.write_bytes(gzip.compress(text.encode()) if form == "gz" else text.encode())
    return path


@pytest.mark.parametrize("form", FORMS)
@given(rows=ROWS)
def test_every_form_gives_its_records(form, rows, tmp_path_factory):
    path = written(rows, form, tmp_path_factory.getbasetemp())
    found = list(RecordFile(path))
    assert [json.loads(record.text) for record in found] == rows
    assert [record.key for record in found] == (
        [f"key {n}" for n in range(len(rows))] if form in {"keyed", "nested"} else [None] * len(rows)
    )


@given(rows=ROWS, cut=st.floats(0, 1), form=st.sampled_from(["array", "indented", "lines", "keyed"]))
def test_a_file_that_is_cut_gives_what_is_whole_and_says_so(rows, cut, form, tmp_path_factory):
    path = written(rows, form, tmp_path_factory.getbasetemp())
    whole = path.read_bytes()
    size = 2 + int(cut * (len(whole.rstrip()) - 3))
    path.write_bytes(whole[:size])
    try:
        found = list(RecordFile(path))
    except SourceError:
        assert size < len(whole) / 2 + 40  # nothing of it is a record
        return
    good = [json.loads(record.text) for record in found if record.text is not None]
    assert good == rows[: len(good)]
    bad = [record for record in found if record.text is None]
    if (
        form == "lines"
        and whole[size - 1 : size] in (b"}", b"\n")
        and len(good) == whole[:size].count(b"\n") + (whole[size - 1 : size] == b"}" and not bad)
    ):
        return  # cut between two lines: nobody can know
    assert [record.code for record in bad] in (["file_cut"], ["bad_json"])
    assert "byte" in bad[0].fault or bad[0].code == "bad_json"


def test_where_a_cut_file_ends_is_said(tmp_path):
    rows = [{"id": str(n), "conversations": []} for n in range(5)]
    path = written(rows, "indented", tmp_path)
    whole = path.read_bytes()
    place = whole.index(b'"3"')
    path.write_bytes(whole[: place + 10])
    *good, cut = RecordFile(path)
    assert len(good) == 3
    behind = whole.index(b"}", whole.index(b'"2"')) + 2
    assert (cut.code, cut.fault) == ("file_cut", f"record 3 is not whole: it begins behind byte {behind:,}")


def test_what_a_damaged_record_took_along_is_read_again(tmp_path):
    rows = [{"id": str(n), "conversations": [], "note": "x" * 50} for n in range(50)]
    text = json.dumps(rows).replace('"id": "7"', '"id": "7')
    path = tmp_path / "rows.json"
    path.write_text(text)
    found = list(RecordFile(path))
    assert [record.code for record in found if record.code] == ["bad_json"]
    assert [json.loads(r.text)["id"] for r in found if r.text] == [str(n) for n in range(50) if n != 7]


def test_notes_of_a_file(tmp_path):
    path = tmp_path / "rows.json"
    path.write_bytes(b'\xef\xbb\xbf{"conversations": []}\n\n{"conversations": []}\n\n')
    file = RecordFile(path)
    assert len(list(file)) == 2
    assert file.notes == [
        ("byte_order_mark", "EF BB BF"),
        ("file_name", "rows.json holds JSON lines"),
        ("blank_line", "2 blank, the first is line 2"),
    ]


def test_lines_that_are_lists_of_records(tmp_path):
    path = tmp_path / "packed.jsonl"
    rows = [{"id": str(n), "conversations": []} for n in range(5)]
    path.write_text(json.dumps(rows[:2]) + "\n" + json.dumps(rows[2:]) + "\n")
    file = RecordFile(path)
    assert [json.loads(record.text) for record in file] == rows
    assert file.notes == [("lines_packed", "2 lines")]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"id": "a", "conversations": [{"from": "human", "value": "a"}]}', "lines"),
        (json.dumps({"id": "a", "conversations": [{"from": "human", "value": "a"}]}, indent=2), "one"),
        (json.dumps({"a": {"meta": {"b": {}}, "conversations": [{}]}}, indent=2), "keyed"),
        (json.dumps({"7": {"question": "a", "answer": "b"}}, indent=2), "keyed"),
        ("", ""),
    ],
)
def test_one_record_alone(text, form, tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(text)
    file = RecordFile(path)
    assert file.form == form
    assert len(list(file)) == bool(text)


def test_what_is_no_file_of_records(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"train": [{"a": 1}], "val": [{"a": 2}]}, indent=1))
    with pytest.raises(SourceError, match=r"several arrays: 'train', 'val'.*--rows train"):
        RecordFile(path)
    assert [json.loads(record.text) for record in RecordFile(path, "val")] == [{"a": 2}]
    with pytest.raises(UsageError, match="there is no 'test'"):
        RecordFile(path, "test")
    path.write_text(json.dumps({"train": [1, 2], "val": [3]}, indent=1))
    with pytest.raises(SourceError, match="neither records by their ids"):
        RecordFile(path)
    path.write_text("<html>")
    with pytest.raises(SourceError, match="is no JSON"):
        RecordFile(path)


def test_long_records_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr("gristmill.shards.json_array.MAX_ROW_BYTES", 5000)
    rows = [{"id": "a"}, {"id": "b" * 6000}, {"id": "c"}]
    random.seed(1)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    assert [record.code for record in RecordFile(path)] == ["", "record_too_long", ""]
