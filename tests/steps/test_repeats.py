"""Rows that repeat an earlier row's value: right behind it, whatever is on disk meanwhile."""

import random
import re

import pyarrow as pa
import pytest

from gristmill.shards.rows import RowBatch
from gristmill.steps import ordered, spill
from gristmill.steps.repeats import Repeats


class Box:
    def __init__(self):
        self.rows, self.groups, self.values, self.most = [], [], [], 0

    def keep(self, table, rows, groups=None):
        self.rows += rows.to_pylist()
        self.groups += (rows if groups is None else groups).to_pylist()
        self.values += table["url"].to_pylist()
        self.most = max(self.most, table.num_rows)


def given_out(values, tmp_path, batch_rows, *, gaps=(), part=None):
    """What a list of these values becomes; rows in ``gaps`` cannot be read."""
    where = [row for row in range(len(values)) if row not in gaps]

    def read(only=False):
        for start in range(0, len(where), batch_rows):
            own = where[start : start + batch_rows]
            table = pa.table({"url": [values[row] for row in own], "text": ["x" * 100] * len(own)})
            yield RowBatch(table, pa.array(own, pa.int64()))

    found, box = Repeats(read, "url", tmp_path, part), Box()
    assert found.rows == len(where)
    for batch in read():
        found.keep(batch.table, batch.rows, box)
    return where, box


@pytest.mark.parametrize("in_memory", [1 << 10, 1 << 24])
@pytest.mark.parametrize("kind", ["unique", "pairs", "one", "skewed", "none", "gaps"])
def test_rows_stand_behind_the_first_of_their_value(kind, in_memory, tmp_path, monkeypatch):
    monkeypatch.setattr(ordered, "IN_MEMORY_BYTES", in_memory)
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", in_memory)
    rng = random.Random(kind)
    rows = 1500
    values = {
        "unique": [f"u{n}" for n in range(rows)],
        "pairs": [f"u{rng.randrange(rows // 2)}" for n in range(rows)],
        "one": ["u"] * rows,
        "skewed": [rng.choice(["hot", "warm", f"u{n}", f"u{rng.randrange(rows)}"]) for n in range(rows)],
        "none": [None if n % 3 else "u" for n in range(rows)],
        "gaps": [f"u{n % 50}" for n in range(rows)],
    }[kind]
    gaps = set(range(0, rows, 7)) if kind == "gaps" else set()
    where, box = given_out(values, tmp_path, 97, gaps=gaps)
    first = {}
    for row in where:
        first.setdefault(values[row] or row, row)
    expected = sorted(where, key=lambda row: (first[values[row] or row], row))
    assert box.rows == expected
    assert box.values == [values[row] for row in expected]
    assert box.groups == [first[values[row] or row] for row in expected]
    if in_memory == 1 << 10:
        assert box.most < 400  # what is handed on at once does not go with the repeats of one value
    assert list(tmp_path.rglob("guests-*[0-9]")) == []


def test_a_part_of_the_value_tells_what_is_the_same(tmp_path):
    values = ["a_1_2", "b_1_2", "a_3_4", "odd", None, "b_1_2", "odd", "a_9_9"]
    _, box = given_out(values, tmp_path, 3, part=re.compile(r"(.)_\d_\d"))
    assert box.values == ["a_1_2", "a_3_4", "a_9_9", "b_1_2", "b_1_2", "odd", "odd", None]
    assert box.groups == [0, 0, 0, 1, 1, 3, 3, 4]
