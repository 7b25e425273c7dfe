"""Rows once for each element of a list within them."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_take_rows import take

from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.steps import spread
from gristmill.steps.spread import ELEMENT, LIST, LIST_ROW, MOST_ELEMENTS

ROWS = [
    {"url": "a", "text": ["1", "2", "3"]},
    {"url": "b", "text": []},
    {"url": "c", "text": None},
    {"url": "a", "text": ["4"]},
    {"url": "d", "text": ["5", "6"]},
]


def said(box):
    return [
        (row, found["url"], found[LIST_ROW], (found["text"] or [None])[found[ELEMENT]])
        for row, found in box.kept
    ]


WANTED = [
    (0, "a", 0, "1"),
    (1, "a", 0, "2"),
    (2, "a", 0, "3"),
    (3, "b", 1, None),
    (4, "c", 2, None),
    (5, "a", 3, "4"),
    (6, "d", 4, "5"),
    (7, "d", 4, "6"),
]


def test_each_element_is_a_row_whatever_the_format(tmp_path, monkeypatch):
    jsonl, parquet = tmp_path / "a.jsonl", tmp_path / "a.parquet"
    jsonl.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), parquet)
    for path in (jsonl, parquet):
        assert said(take(path, each="text")) == WANTED
        assert said(take(path, each="text", only=4)) == WANTED[:4]
        for piece_bytes in (1, 200):
            monkeypatch.setattr(spread, "_PIECE_BYTES", piece_bytes)
            assert said(take(path, each="text")) == WANTED
        monkeypatch.undo()
        together = said(take(path, each="text", unique="url"))
        assert [row for row, *_ in together] == [0, 1, 2, 5, 3, 4, 6, 7]
        assert sorted(together) == WANTED


def test_bad_rows_keep_their_places_among_those_that_are_spread(tmp_path):
    path = tmp_path / "a.jsonl"
    long = json.dumps({"url": "x", "text": ["."] * (MOST_ELEMENTS + 1)})
    lines = [json.dumps(ROWS[0]), "no json", long, json.dumps(ROWS[4])]
    path.write_text("\n".join(["[]", *lines, "{"]))
    box = take(path, each="text")
    assert [row for row, *_ in said(box)] == [1, 2, 3, 6, 7]
    assert box.dropped == {
        0: Reason.BAD_ROW,
        4: Reason.BAD_ROW,
        5: Reason.ROW_TOO_LONG,
        8: Reason.BAD_ROW,
    }


def test_several_lists_of_a_row_take_turns(tmp_path):
    path = tmp_path / "a.json"
    rows = [{"en": ["a", "b", "c"], "zh": ["x", "y"]}, {"en": [], "zh": None}, {"en": ["d"]}, {"zh": ["z"]}]
    path.write_text(json.dumps(rows))
    found = [
        (row, one[LIST_ROW], one[LIST] and one[one[LIST]][one[ELEMENT]])
        for row, one in take(path, each="en|zh").kept
    ]
    wanted = [(0, "a"), (0, "x"), (0, "b"), (0, "y"), (0, "c"), (1, None), (2, "d"), (3, "z")]
    assert found == [(number, *one) for number, one in enumerate(wanted)]


def test_of_rows_that_are_alike_the_first_are_taken(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, {"text": ["7", "8"]}]))
    for only in (None, 5):
        box = take(path, only=only, each="text", alike="url", most_alike=2)
        taken = [0, 1, 3, 4, 6, 7, 8, 9]  # rows without a value are like no other
        assert [row for row, _ in box.kept] == taken[:only]
        assert {2, 5} == {row for row, reason in box.dropped.items() if reason is Reason.LEFT_OUT}
    where = take(path, each="text", alike="url", most_alike=1, where=("url=a|b",))
    assert [row for row, _ in where.kept] == [0, 3, 8, 9]
    with pytest.raises(UsageError, match="a column in alike"):
        take(path, most_alike=1)
    with pytest.raises(UsageError, match="most_alike and unique do not go together"):
        take(path, unique="url", alike="url", most_alike=1)
