"""Evenly spaced rows against independent computations, whatever the cutting into files and row groups."""

import datetime as dt
import struct
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.step import LocalFile
from gristmill.steps.sample import POSITION, FilePlace, SampleRows
from gristmill.steps.spacing import Spaced


class Box:
    """A TableContext that remembers."""

    def __init__(self, only=None) -> None:
        self.only, self.stop = only, Event()
        self.tables, self.rows, self.notes, self.dropped = [], [], [], {}

    def expect(self, rows) -> None:
        self.expected = rows

    def keep(self, table, rows, groups=None) -> None:
        self.tables.append(table)
        self.rows += rows.to_pylist()

    def drop(self, rows, reason, detail="") -> None:
        assert reason in SampleRows.drops
        assert not set(rows.to_pylist()) & set(self.dropped)
        self.dropped.update(dict.fromkeys(rows.to_pylist(), reason))

    def note(self, text) -> None:
        self.notes.append(text)

    def progress(self, done, total) -> None:
        pass


class Reading(LocalFile):
    """A file that knows what was asked of it."""

    def __init__(self, path) -> None:
        super().__init__(path)
        object.__setattr__(self, "asked", [])
        object.__setattr__(self, "held", [])

    __slots__ = ("asked", "held")

    def read(self, start, stop):
        self.asked.append((start, stop))
        return super().read(start, stop)

    def hold(self, ranges):
        self.held.extend(ranges)
        return super().hold(ranges)


def exact_rows(rows: int, size: int) -> list[int]:
    """The definition, in fractions."""
    if size > rows:
        return list(range(rows))
    return [0] if size == 1 else [int(Fraction(i * (rows - 1), size - 1)) for i in range(size)]


def single(value: float) -> float:
    """Rounded to a 32-bit float: right for one operation on two of them, done in doubles."""
    return struct.unpack("f", struct.pack("f", value))[0]


def published_rows(rows: int, size: int, places=None) -> list[int]:
    """The published formula, one number at a time."""
    if size == 1:
        return [0]
    end = single(rows - 1)
    step = single(end / single(size - 1))
    found = []
    for i in range(size) if places is None else places:
        if i < size // 2:
            value = single(0.0 + single(step * single(i)))
        else:
            value = single(end - single(step * single(size - 1 - i)))
        found.append(min(int(value), rows - 1))
    return found


def write(folder: Path, counts, group_rows: int) -> list[Path]:
    """Files of so many rows; row n of all holds the text of n."""
    starts = [0, *accumulate(counts)]
    paths = []
    for number, (count, start) in enumerate(zip(counts, starts, strict=False)):
        texts = [f"q{n}" for n in range(start, start + count)]
        table = pa.table({"noise": [0.5] * count, "inputs": texts, "targets": [t * 2 for t in texts]})
        paths.append(folder / f"{number}.parquet")
        pq.write_table(table, paths[-1], row_group_size=group_rows)
    return paths


def run(step: SampleRows, paths, only=None):
    files = [Reading(path) for path in paths]
    decisions = step.decide([step.prescan(file) for file in files])
    boxes = [Box(only) for _ in files]
    for file, decision, box in zip(files, decisions, boxes, strict=True):
        step.choose(file, decision, box)
    return files, boxes


STEP = SampleRows(columns=("inputs", "targets"))


def step_of(**more) -> SampleRows:
    return SampleRows(columns=("inputs", "targets"), **more)


@given(
    counts=st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(any),
    size=st.integers(1, 250),
    group_rows=st.integers(1, 40),
    spacing=st.sampled_from(["exact", "published"]),
)
@example(counts=[0, 5, 0], size=5, group_rows=2, spacing="exact")
@example(counts=[3], size=1, group_rows=2, spacing="exact")
@example(counts=[1, 0], size=7, group_rows=2, spacing="published")
def test_rows_equal_those_picked_in_memory(tmp_path_factory, counts, size, group_rows, spacing):
    rows = sum(counts)
    wanted = exact_rows(rows, size) if spacing == "exact" else published_rows(rows, size)
    paths = write(tmp_path_factory.mktemp("rows"), counts, group_rows)
    _, boxes = run(step_of(size=size, spacing=spacing), paths)
    starts = [0, *accumulate(counts)]
    found = {}
    for box, start, count in zip(boxes, starts, counts, strict=False):
        own = [row for table in box.tables for row in table.to_pylist()]
        assert box.expected == len(own) == len(box.rows)
        for row, place in zip(own, box.rows, strict=True):
            assert row == {
                "inputs": f"q{start + place}",
                "targets": f"q{start + place}" * 2,
                POSITION: row[POSITION],
            }
            assert row[POSITION] not in found
            found[row[POSITION]] = start + place
        assert set(box.dropped) == set(range(count)) - set(box.rows)
        assert set(box.dropped.values()) <= {Reason.NOT_SAMPLED}
    assert [found[i] for i in range(len(found))] == wanted


@given(rows=st.integers(2, 2**34), size=st.integers(2, 3_000_000), data=st.data())
def test_exact_spacing_of_any_size_is_the_fraction_rounded_down(rows, size, data):
    spaced = Spaced(rows=rows, size=size, spacing="exact")
    if size > rows:
        return
    places = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=5))
    expected = [i * (rows - 1) // (size - 1) for i in places]
    assert spaced.rows_at(np.array(places)).tolist() == expected
    low = data.draw(st.integers(0, rows - 1))
    within = spaced.positions_within(low, low + 5000)
    assert all(low <= i * (rows - 1) // (size - 1) < low + 5000 for i in within.tolist())
    for beside in (within[0] - 1, within[-1] + 1) if len(within) else ():
        assert not 0 <= beside < size or not low <= beside * (rows - 1) // (size - 1) < low + 5000


@given(rows=st.integers(1, 500_000_000), size=st.integers(1, 2_000_000), data=st.data())
@example(rows=378_000_000, size=1_000_000, data=None)
@example(rows=377_759_274, size=1_000_000, data=None)
def test_published_spacing_equals_one_float_at_a_time(rows, size, data):
    spaced = Spaced(rows=rows, size=size, spacing="published")
    ends = {0, size // 2 - 1, size // 2, size - 2, size - 1}
    drawn = set(range(0, size, 1009)) if data is None else data.draw(st.sets(st.integers(0, size - 1)))
    places = sorted(i for i in ends | drawn if 0 <= i < size)
    assert spaced.rows_at(np.array(places)).tolist() == published_rows(rows, size, places)


COARSE_CUTS = [0, 1, 9_999_990, 10_000_011, 16_777_216, 19_333_333, 20_000_000]


def test_the_cuts_into_files_lose_and_repeat_nothing():
    spaced = Spaced(rows=20_000_000, size=200_000, spacing="published")
    positions = [spaced.positions_within(start, stop) for start, stop in pairwise(COARSE_CUTS)]
    assert np.array_equal(np.sort(np.concatenate(positions)), np.arange(200_000))


@pytest.mark.parametrize("cut", COARSE_CUTS)
def test_no_cut_loses_or_repeats_a_position_on_the_coarse_grid(cut):
    """Above 2**24 rows the published way names rows twice, and jumps where its halves meet."""
    rows, size = 20_000_000, 18_000_000
    spaced = Spaced(rows=rows, size=size, spacing="published")
    start, stop = max(0, cut - 300), min(rows, cut + 300)
    found = [spaced.positions_within(start, cut), spaced.positions_within(cut, stop)]
    middle = cut * size // rows  # every position of those rows, and many more
    near = np.arange(max(0, middle - 3000), min(size, middle + 3000))
    named = spaced.rows_at(near)
    assert named[0] < start or near[0] == 0
    assert named[-1] >= stop or near[-1] == size - 1
    assert np.array_equal(np.sort(np.concatenate(found)), near[(named >= start) & (named < stop)])
    assert len(np.unique(named)) < len(near) or cut < 16_777_216


def test_the_last_row_of_the_published_way_is_moved_back_and_said(tmp_path):
    spaced = Spaced(rows=378_000_000, size=1_000_000, spacing="published")
    assert spaced.beyond == 1
    assert spaced.rows_at(np.array([999_999]))[0] == 377_999_999
    (last,), box = write(tmp_path, [4], 2), Box()
    place = FilePlace(before=378_000_000 - 4, rows=4, of=378_000_000)
    step_of(size=1_000_000, spacing="published").choose(Reading(last), place, box)
    assert box.rows == [3]
    assert "one past the last row" in box.notes[0]
    assert Spaced(rows=377_759_274, size=1_000_000, spacing="published").beyond == 0


def test_fewer_rows_than_wanted_are_all_taken_and_said(tmp_path):
    _, boxes = run(step_of(size=10), write(tmp_path, [0, 4, 3], 2))
    assert [box.rows for box in boxes] == [[], [0, 1, 2, 3], [0, 1, 2]]
    assert ["only 7 rows" in note for box in boxes for note in box.notes] == [True]


def test_rows_named_twice_are_kept_twice_and_said(tmp_path):
    _, (box,) = run(step_of(size=7, spacing="published"), write(tmp_path, [4], 2))
    assert box.rows == published_rows(4, 7)
    assert len(set(box.rows)) < 7
    assert "more than once" in box.notes[0]


def test_a_small_run_takes_the_first_of_the_chosen(tmp_path):
    _, (box,) = run(step_of(size=5), write(tmp_path, [41], 8), only=2)
    assert box.rows == [0, 10]
    assert [row for row, why in box.dropped.items() if why == Reason.NOT_CHOSEN] == [20, 30, 40]
    assert len(box.dropped) == 39


def test_only_footers_and_needed_row_groups_are_read(tmp_path):
    files, boxes = run(step_of(size=3), write(tmp_path, [200, 20, 181], 20))
    assert [box.rows for box in boxes] == [[0], [0], [180]]
    assert len(files[0].held) == 2 * len({row // 20 for row in boxes[0].rows})
    for file, box in zip(files, boxes, strict=True):
        assert len(file.asked) == 1 + bool(box.rows)
    assert pq.read_metadata(files[0].path).num_row_groups == 10


def test_a_long_footer_is_read_in_two_pieces(tmp_path):
    columns = {f"column_{n:04d}": [n] for n in range(900)}
    pq.write_table(pa.table({**columns, "inputs": ["q"], "targets": ["a"]}), tmp_path / "wide.parquet")
    (file,), (box,) = run(step_of(size=1), [tmp_path / "wide.parquet"])
    assert len(file.asked) == 4
    assert box.rows == [0]


@pytest.mark.parametrize("body", [b"", b"PAR1", b"x" * 200, b"PAR1" + b"\xff" * 40 + b"\xff\xff\x00\x00PAR1"])
def test_what_is_not_parquet_is_named(tmp_path, body):
    path = tmp_path / "bad.parquet"
    path.write_bytes(body)
    with pytest.raises(SourceError, match=r"bad\.parquet is not a"):
        STEP.prescan(LocalFile(path))


def test_a_damaged_page_is_named(tmp_path):
    (path,) = write(tmp_path, [2000], 2000)
    body = bytearray(path.read_bytes())
    body[200:-3000] = b"\xff" * (len(body) - 3200)
    path.write_bytes(body)
    with pytest.raises(SourceError, match=r"0\.parquet is not a readable"):
        run(step_of(size=5), [path])


def test_times_in_twelve_bytes_far_from_now_are_exact(tmp_path):
    times = pa.array([dt.datetime(9999, 12, 31, 23, 59, 59), dt.datetime(2024, 1, 2)], pa.timestamp("us"))
    table = pa.table({"inputs": times, "targets": ["a", "b"]})
    pq.write_table(table, tmp_path / "0.parquet", use_deprecated_int96_timestamps=True)
    _, (box,) = run(step_of(size=2), [tmp_path / "0.parquet"])
    assert pa.concat_tables(box.tables)["inputs"].to_pylist() == [
        "9999-12-31 23:59:59.000000000",
        "2024-01-02 00:00:00.000000000",
    ]


def test_rows_that_are_not_utf8_cost_themselves_only(tmp_path):
    texts = pa.array([b"good", b"bad \xff\xfe", "naïve".encode(), b"\xe2\x82", None], pa.binary())
    unchecked = pa.Array.from_buffers(pa.string(), len(texts), texts.buffers())
    table = pa.table({"inputs": unchecked, "targets": ["a"] * len(texts)})
    pq.write_table(table, tmp_path / "odd.parquet", write_statistics=False)
    _, (box,) = run(step_of(size=5), [tmp_path / "odd.parquet"])
    assert box.rows == [0, 2, 4]
    assert box.dropped == {1: Reason.BAD_ROW, 3: Reason.BAD_ROW}
    assert pa.concat_tables(box.tables)["inputs"].to_pylist() == ["good", "naïve", None]


def test_views_of_texts_are_texts(tmp_path):
    texts = pa.array(["good", "a text too long to stand within its view", None], pa.string_view())
    pq.write_table(pa.table({"inputs": texts, "targets": texts}), tmp_path / "views.parquet")
    _, (box,) = run(step_of(size=2), [tmp_path / "views.parquet"])
    assert pa.concat_tables(box.tables)["inputs"].to_pylist() == ["good", None]


@pytest.mark.parametrize("compression", ["snappy", "zstd"])
@pytest.mark.parametrize("spacing", ["exact", "published"])
def test_few_rows_of_many_are_the_chosen_rows(tmp_path, compression, spacing):
    texts = [f"question {n}" * (n % 7) for n in range(9000)]
    unchecked = pa.array([text.encode() if n else b"\xff" for n, text in enumerate(texts)], pa.binary())
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path in paths:
        table = pa.table({"targets": texts, "inputs": unchecked.view(pa.string())})
        pq.write_table(table, path, row_group_size=4000, compression=compression, data_page_size=9000)
    _, boxes = run(step_of(size=60, spacing=spacing), paths)
    for box in boxes:
        found = pa.concat_tables(box.tables)
        assert found["targets"].to_pylist() == found["inputs"].to_pylist() == [texts[row] for row in box.rows]
    assert boxes[0].dropped[0] == Reason.BAD_ROW
    unreadable = [reason for box in boxes for reason in box.dropped.values() if reason is Reason.BAD_ROW]
    assert sum(len(box.rows) for box in boxes) + len(unreadable) == 60


def test_a_missing_column_and_wrong_settings_are_named(tmp_path):
    pq.write_table(pa.table({"inputs": ["q"]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="no column targets; it has inputs"):
        run(STEP, [tmp_path / "a.parquet"])
    with pytest.raises(UsageError, match="expected exact or published"):
        step_of(spacing="even")
    with pytest.raises(UsageError, match="expected 1 or more"):
        step_of(size=0)


def test_a_file_that_changed_since_its_survey_is_refused(tmp_path):
    (path,) = write(tmp_path, [10], 5)
    decision = STEP.decide([{"rows": 11}])[0]
    with pytest.raises(SourceError, match="had 11 rows and has 10 now"):
        STEP.choose(LocalFile(path), decision, Box())
