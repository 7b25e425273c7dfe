"""Lists in a zip: read in place, first file, as a stream; damage is a sentence."""

import io
import tracemalloc
import zipfile

import pytest

from gristmill.shards import textlines
from gristmill.shards.framing import guess_format
from gristmill.shards.rows import column_names, read_rows, rows_of
from gristmill.spec.errors import SourceError
from gristmill.spec.reasons import Reason


def zipped(members, **options) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, text in members:
            archive.writestr(name, text)
    return body.getvalue()


def encrypted(body: bytes) -> bytes:
    central = body.rindex(b"PK\x01\x02")
    return body[: central + 8] + b"\x01" + body[central + 9 :]


def read(path):
    batches = list(read_rows(path))
    rows = [row for batch in batches for row in rows_of(batch.table)]
    return rows, [(bad.row, bad.reason, bad.detail) for batch in batches for bad in batch.bad]


def test_the_first_file_is_read_and_a_folder_before_it_passed_over(tmp_path):
    path = tmp_path / "docs.jsonl.zip"
    text = '\ufeff{"a": 1}\r\n{"a": \n\n{"a": 3}\n'
    path.write_bytes(zipped([("folder/", ""), ("folder/x.jsonl", text), ("y.jsonl", '{"a": 9}\n')]))
    assert guess_format(path) == "jsonl"
    assert column_names(path) == ["a"]
    rows, bad = read(path)
    assert rows == [{"a": 1}, {"a": 3}]
    assert [(row, reason) for row, reason, _ in bad] == [(1, Reason.BAD_ROW)]
    assert bad[0][2].startswith("line 2: ")


def test_what_macos_adds_is_no_file_of_the_zip(tmp_path):
    path = tmp_path / "docs.jsonl.zip"
    members = [("__MACOSX/._x.jsonl", "resources"), ("x.jsonl", '{"a": 1}\n'), ("__MACOSX/._y.jsonl", "")]
    path.write_bytes(zipped(members))
    assert read(path)[0] == [{"a": 1}]
    assert textlines.passed_over(path) == []


def test_nothing_is_extracted_wherever_a_member_says_it_lies(tmp_path):
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    path = folder / "docs.jsonl.zip"
    path.write_bytes(zipped([("../../escaped.jsonl", '{"a": 1}\n')]))
    assert read(path)[0] == [{"a": 1}]
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["docs.jsonl.zip"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda body: body[: len(body) // 2], "damaged zip"),
        (lambda body: body[:200] + b"\0" * 40 + body[240:], "damaged zip"),
        (lambda body: b"no zip at all", "damaged zip"),
        (lambda body: zipped([]), "no file in this zip"),
        (lambda body: zipped([("folder/", "")]), "no file in this zip"),
        (encrypted, "encrypted"),
    ],
)
def test_damage_is_a_sentence(tmp_path, spoil, said):
    path = tmp_path / "docs.jsonl.zip"
    text = "".join(f'{{"n": {n}, "t": "{n * 7919 % 10007}"}}\n' for n in range(3000))
    path.write_bytes(spoil(zipped([("docs.jsonl", text)])))
    with pytest.raises(SourceError, match=said) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_more_than_an_annotation_file_can_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(textlines, "MAX_UNPACKED_BYTES", 1000)
    path = tmp_path / "docs.jsonl.zip"
    path.write_bytes(zipped([("docs.jsonl", '{"a": 1}\n' * 200)]))
    with pytest.raises(SourceError, match="more than an annotation file"):
        read(path)


def test_a_long_line_in_a_zip_takes_no_memory(tmp_path):
    path = tmp_path / "docs.jsonl.zip"
    path.write_bytes(
        zipped([("docs.jsonl", b'{"a": "' + b"x" * (60 << 20) + b'"}\n{"a": 1}\n')], compresslevel=1)
    )
    tracemalloc.start()
    rows, bad = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == [{"a": 1}]
    assert bad[0][:2] == (0, Reason.ROW_TOO_LONG)
    assert peak < 45 << 20
