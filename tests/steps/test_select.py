"""SelectTop against the same decision in plain Python."""

import datetime as dt
import math
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.reasons import Reason
from gristmill.steps.select import SCORE, SelectTop

SCORES = ("clip_similarity_vitb32", "clip_similarity_vitl14")
Row = tuple[float | None, float | None]

few_values = st.sampled_from(
    (0.1, 0.3, 0.30000001192092896, 0.29999998, 0.6, 0.0, -1.0, None, math.nan, math.inf)
)
any_values = st.none() | st.floats(width=32)
files = st.lists(st.tuples(few_values, few_values) | st.tuples(any_values, any_values), max_size=60)
shares = st.sampled_from((0.2, 1.0, 0.001, 0.29, 1 / 3)) | st.floats(0.01, 1)
floors = st.sampled_from((0.6, 0.3, 0.0, -5.0))


class Box:
    """A TableContext that remembers."""

    def __init__(self, only: int | None = None) -> None:
        self.only = only
        self.stop = Event()
        self.expected: int | None = None
        self.tables: list[pa.Table] = []
        self.kept: list[int] = []
        self.dropped: dict[Reason, list[int]] = {}
        self.notes: list[str] = []
        self.looked_at: list[tuple[int, int | None]] = []

    def expect(self, rows: int) -> None:
        assert not self.kept
        self.expected = rows

    def keep(self, table: pa.Table, rows: pa.Array) -> None:
        assert table.num_rows == len(rows)
        self.tables.append(table)
        self.kept += rows.to_pylist()

    def drop(self, rows: pa.Array, reason: Reason, detail: str = "") -> None:
        if len(rows):
            assert reason not in self.dropped
            self.dropped[reason] = rows.to_pylist()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, done: int, total: int | None) -> None:
        self.looked_at.append((done, total))


def write(path: Path, rows: Sequence[Row], dtype: pa.DataType | None = None, group: int = 1000) -> pa.Table:
    columns = {"id": pa.array([n * 1_000_003 for n in range(len(rows))], pa.int64())}
    columns |= {
        name: pa.array([row[i] for row in rows], dtype or pa.float64()) for i, name in enumerate(SCORES)
    }
    columns["text"] = pa.array([None if n % 7 == 3 else f"text {n}" for n in range(len(rows))], pa.string())
    table = pa.table(columns)
    pq.write_table(table, path, row_group_size=group)
    return table


def select(path: Path, only: int | None = None, **settings) -> Box:
    box = Box(only)
    SelectTop(score=SCORES, **settings).apply(path, box)
    return box


def expected(
    rows: Sequence[Row], share: float, floor: float, number=float, only: int | None = None
) -> tuple[list[int], dict[Reason, list[int]], bool]:
    """Rows to keep in order, the others by reason, and whether fewer pass than the share asks for."""
    scores = {}
    for n, row in enumerate(rows):
        if None not in row:
            with np.errstate(invalid="ignore"):
                score = number(row[0]) + number(row[1])
            if score == score:
                scores[n] = score
    passing = [n for n, score in scores.items() if score > number(floor)]
    best = sorted(passing, key=lambda n: -scores[n])
    wanted = int(share * len(rows))
    kept = best[:wanted]
    reasons = {
        Reason.NO_SCORE: [n for n in range(len(rows)) if n not in scores],
        Reason.BELOW_FLOOR: [n for n in scores if n not in passing],
        Reason.BEYOND_SHARE: sorted(best[wanted:]),
        Reason.NOT_CHOSEN: sorted(kept[only:]) if only is not None else [],
    }
    return kept[:only], {reason: found for reason, found in reasons.items() if found}, len(kept) < wanted


@pytest.mark.parametrize(("dtype", "number"), [(pa.float64(), float), (pa.float32(), np.float32)])
@given(rows=files, share=shares, floor=floors, only=st.none() | st.integers(0, 8), group=st.integers(1, 20))
def test_the_best_share_above_the_floor(tmp_path, dtype, number, rows, share, floor, only, group):
    table = write(tmp_path / "a.parquet", rows, dtype, group)
    box = select(tmp_path / "a.parquet", only, share=share, floor=floor)
    kept, dropped, few = expected(rows, share, floor, number, only)
    assert box.kept == kept
    assert box.dropped == dropped
    assert bool(box.notes) == few
    assert box.expected == len(kept)
    assert sorted([*box.kept, *(n for rows in box.dropped.values() for n in rows)]) == list(range(len(rows)))
    if box.tables:
        taken = pa.concat_tables(box.tables)
        assert taken.drop_columns([SCORE]).equals(table.take(pa.array(kept, pa.int64())))
        columns = [taken[name].to_numpy() for name in SCORES]
        assert taken[SCORE].to_pylist() == (columns[0] + columns[1]).tolist()  # in the columns' own precision


@given(rows=files, groups=st.lists(st.integers(1, 70), min_size=2, max_size=3))
def test_how_a_file_is_cut_into_row_groups_does_not_matter(tmp_path, rows, groups):
    boxes = []
    for group in groups:
        write(tmp_path / "a.parquet", rows, group=group)
        boxes.append(select(tmp_path / "a.parquet", floor=0.2))
    for box in boxes[1:]:
        assert (box.kept, box.dropped, box.notes) == (boxes[0].kept, boxes[0].dropped, boxes[0].notes)
        assert (
            pa.Table.equals(
                *(pa.concat_tables([b.tables[0].slice(0, 0), *b.tables]) for b in (box, boxes[0]))
            )
            if (box.tables)
            else not boxes[0].tables
        )


def test_the_floor_is_compared_in_the_columns_own_type(tmp_path):
    """A sum that as float32 is 0.6 does not pass 0.6, although that number is a little more than 0.6."""
    rows = [(0.25, 0.35), (0.25, 0.3500001)] + [(0.0, 0.0)] * 8
    assert float(np.float32(0.25) + np.float32(0.35)) > 0.6
    write(tmp_path / "32.parquet", rows, pa.float32())
    assert select(tmp_path / "32.parquet").kept == [1]
    rows[0] = (0.2, 0.4)
    assert 0.2 + 0.4 > 0.6
    write(tmp_path / "64.parquet", rows, pa.float64())
    assert select(tmp_path / "64.parquet", share=0.5).kept == [1, 0]


@pytest.mark.parametrize("dtype", [pa.float16(), pa.int64(), pa.decimal128(9, 3)])
def test_scores_of_other_types(tmp_path, dtype):
    values = (
        np.float16([[3, 1], [5, 5], [0, 0], [4, 5]])
        if dtype == pa.float16()
        else [[3, 1], [5, 5], [0, 0], [4, 5]]
    )
    write(tmp_path / "a.parquet", values, dtype)
    assert select(tmp_path / "a.parquet", share=0.75, floor=1).kept == [1, 3, 0]


def test_scores_that_are_no_numbers_are_refused(tmp_path):
    write(tmp_path / "a.parquet", [("0.3", "0.4"), ("high", None)], pa.string())
    with pytest.raises(UsageError, match=r"clip_similarity_vitb32 is string, clip.*--set select\.score="):
        select(tmp_path / "a.parquet")


def test_times_in_twelve_bytes_far_from_now_are_exact(tmp_path):
    rows = write(tmp_path / "a.parquet", [(0.3, 0.4), (0.5, 0.4)])
    times = pa.array([dt.datetime(9999, 12, 31, 23, 59, 59), dt.datetime(2024, 1, 2)], pa.timestamp("us"))
    pq.write_table(
        rows.append_column("time", times), tmp_path / "a.parquet", use_deprecated_int96_timestamps=True
    )
    box = select(tmp_path / "a.parquet", share=1, floor=0)
    assert box.tables[0]["time"].to_pylist() == [
        "2024-01-02 00:00:00.000000000",
        "9999-12-31 23:59:59.000000000",
    ]


def test_one_long_text_of_many_rows_is_one_at_a_time_in_memory(tmp_path):
    rows = write(tmp_path / "a.parquet", [(0.4, 0.4)] * 300)
    long = pa.DictionaryArray.from_arrays(
        pa.array([0] * 299 + [1], pa.int32()), ["x" * 500_000, "y" * (17 << 20)]
    )
    pq.write_table(rows.append_column("long", long), tmp_path / "a.parquet", compression="zstd")
    before, box = pa.total_allocated_bytes(), Box()
    most, kept = 0, []

    def keep(table, rows):
        nonlocal most
        most = max(most, pa.total_allocated_bytes() - before)
        kept.extend(rows.to_pylist())

    box.keep = keep
    SelectTop(score=SCORES, share=1).apply(tmp_path / "a.parquet", box)
    assert kept == list(range(299))
    assert box.dropped == {Reason.ROW_TOO_LONG: [299]}
    assert most < 80 << 20  # of 150 MB


def test_views_of_texts_are_texts(tmp_path):
    rows = write(tmp_path / "a.parquet", [(0.1, 0.2), (0.3, 0.4)])
    views = rows.set_column(3, "text", rows["text"].cast(pa.string_view()))
    pq.write_table(views, tmp_path / "views.parquet")
    assert select(tmp_path / "views.parquet", share=1, floor=0).tables[0]["text"].to_pylist() == [
        "text 1",
        "text 0",
    ]


def test_ties_leave_in_file_order_across_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("gristmill.steps.ordered.IN_MEMORY_BYTES", 200)
    rows = [(0.5, 0.2 if n % 3 else 0.3) for n in range(200)]
    table = write(tmp_path / "a.parquet", rows, group=13)
    box = select(tmp_path / "a.parquet", share=0.5)
    best, rest = [n for n in range(200) if n % 3 == 0], [n for n in range(200) if n % 3]
    assert box.kept == (best + rest)[:100]
    assert len(box.tables) > 7
    assert pa.concat_tables(box.tables)["id"].to_pylist() == [table["id"][n].as_py() for n in box.kept]
    assert box.looked_at[-1] == (200, 200)


def test_fewer_than_the_share_are_kept_and_said(tmp_path):
    write(tmp_path / "a.parquet", [(0.5, 0.5), (0.1, 0.1), (None, 0.9), (0.1, 0.2), (0.1, 0.3)])
    box = select(tmp_path / "a.parquet", share=0.8)
    assert box.kept == [0]
    assert box.notes == [
        "select: only 1 of 5 rows pass the floor of 0.6, fewer than the share of 80%: all that pass were kept"
    ]


def test_a_file_without_rows(tmp_path):
    write(tmp_path / "a.parquet", [])
    box = select(tmp_path / "a.parquet")
    assert (box.kept, box.dropped, box.notes) == ([], {}, [])


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path):
    pq.write_table(pa.table({"similarity": [0.1], "clip_similarity_vitb32": [0.1]}), tmp_path / "a.parquet")
    with pytest.raises(
        UsageError, match=r"a\.parquet has no column clip_similarity_vitl14; it has similarity.*select\.score"
    ):
        select(tmp_path / "a.parquet")


@pytest.mark.parametrize("share", [0, -0.1, 1.01, math.nan])
def test_a_share_that_is_none(share):
    with pytest.raises(UsageError, match=r"select\.share"):
        SelectTop(score=SCORES, share=share)


def test_a_damaged_file_is_its_own_fault_not_the_machines(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, [(0.5, 0.5 + n / 1000) for n in range(300)], group=50)
    whole = path.read_bytes()
    middle = len(whole) // 2
    footer = whole[:-60] + b"\xff" * 40 + whole[-20:]
    flipped = whole[:middle] + bytes(255 - b for b in whole[middle : middle + 40]) + whole[middle + 40 :]
    damaged = [b"", b"PAR1", b"<html>", whole[:-1], whole[:middle], whole[4:], footer, flipped]
    for body in damaged:
        path.write_bytes(body)
        with pytest.raises(SourceError, match=r"a\.parquet is not a readable Parquet file"):
            select(path)


def test_random_damage_is_never_anything_else(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, [(0.5, 0.5 + n / 1000) for n in range(60)], group=20)
    whole = path.read_bytes()
    rng = random.Random(7)
    refused = 0
    for _ in range(150):
        body = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        path.write_bytes(body)
        try:
            select(path)
        except (SourceError, UsageError):
            refused += 1
    assert 30 < refused < 150
