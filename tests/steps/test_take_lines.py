"""Lines by their place: cut into parts by rows and bytes, long and bad ones counted."""

import json
from threading import Event

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.shards import textlines
from gristmill.shards.textlines import line_extents
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.step import LINE_BYTES, LINE_NUMBER, LINE_OFFSET
from gristmill.steps.lines import TakeLines


class Box:
    """Remembers parts and drops."""

    def __init__(self, only: int | None = None) -> None:
        self.only, self.stop = only, Event()
        self.parts: list[list[tuple[int, int, int]]] = [[]]
        self.rows: list[int] = []
        self.dropped: list[tuple[int, Reason, str]] = []

    def expect(self, rows: int) -> None:
        pass

    def keep(self, table, rows, groups=None) -> None:
        assert table.num_rows == len(rows)
        self.rows += rows.to_pylist()
        self.parts[-1] += [(p[LINE_OFFSET], p[LINE_BYTES], p[LINE_NUMBER]) for p in table.to_pylist()]

    def cut(self) -> None:
        if self.parts[-1]:
            self.parts.append([])

    def drop(self, rows, reason, detail="") -> None:
        assert isinstance(rows, pa.Array)
        self.dropped += [(row, reason, detail) for row in rows.to_pylist()]

    def progress(self, done, total) -> None:
        pass


def take(path, only=None, **settings) -> Box:
    box = Box(only)
    TakeLines(**settings).apply(path, box)
    return box


@given(
    st.lists(st.sampled_from([b"", b" \t", b"{}", b"x" * 7, b"\r", b"y" * 30]), max_size=12), st.booleans()
)
def test_places_are_those_of_the_lines(tmp_path_factory, lines, ended):
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    text = b"\n".join(lines) + (b"\n" if ended else b"")
    path.write_bytes(text)
    expected = [(n, line) for n, line in enumerate(text.split(b"\n"), 1) if line.strip()]
    for chunk in (3, 16, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(textlines, "_EXTENT_CHUNK_BYTES", chunk)
            found = [(e.line, text[e.offset : e.offset + e.size]) for e in line_extents(path)]
        assert found == expected


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf{}\n{}")
    assert [(e.offset, e.size) for e in line_extents(path)] == [(3, 2), (6, 2)]


def test_parts_are_cut_by_rows_and_by_bytes(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"a": "x" * size}) + "\n" for size in (10, 10, 10, 50, 200, 10, 10)))
    box = take(path, part_rows=2)
    assert [len(part) for part in box.parts] == [2, 2, 2, 1, 0]
    box = take(path, part_bytes=100)
    assert [len(part) for part in box.parts] == [3, 1, 1, 2, 0]
    assert box.rows == list(range(7))
    assert not box.dropped


def test_a_line_beyond_the_cap_is_passed_over_and_counted(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": "' + "x" * 100 + '"}\n{"a": 2}\n')
    box = take(path, max_line_bytes=50)
    assert box.rows == [0, 2]
    assert [place[2] for place in box.parts[0]] == [1, 4]
    ((row, reason, detail),) = box.dropped
    assert (row, reason) == (1, Reason.ROW_TOO_LONG)
    assert "line 3" in detail
    assert "lines.max_line_bytes" in detail


def test_a_small_run_takes_the_first(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n" * 10)
    box = take(path, only=4, part_rows=3)
    assert box.rows == [0, 1, 2, 3]
    assert [row for row, reason, _ in box.dropped if reason is Reason.NOT_CHOSEN] == [4, 5, 6, 7, 8, 9]


def test_packed_files_are_refused(tmp_path):
    with pytest.raises(SourceError, match="gzip -d"):
        take(tmp_path / "a.jsonl.gz")
    with pytest.raises(UsageError):
        TakeLines(part_bytes=0)
