"""How a file's rows are cut into parts, and which lines of an index belong to a slice of it."""

import json
from collections import Counter
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.ledger.run_config import InputFile
from gristmill.run.stages import _samples as samples
from gristmill.run.stages._pack import lines_of_slice
from gristmill.run.stages._row_states import RowState
from gristmill.run.stages._rows import ROW_COLUMN, PartWriter, tapering_sizes
from gristmill.run.stages._samples import INDEX_SCHEMA, index_table
from gristmill.run.state.context import Context, Work
from gristmill.run.state.indexes import content_digest, lines_of
from gristmill.shards.spool import SpoolEntry
from gristmill.spec.barrier import Slice
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.locator import Url
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, MediaRef, Sample
from gristmill.spec.task import ShardInfo, Task
from gristmill.steps.rows import TakeRows
from gristmill.storage.store import store_at

SOURCE = InputFile(source="list", name="a.parquet", size_bytes=1, digest="0" * 64)


def no_rows(row):
    raise AssertionError("rows are cut as they are")


def box_in(folder, part_rows: int) -> tuple[PartWriter, Work, Context]:
    shard = ShardInfo(path="a.parquet", role="source", samples=0, size_bytes=1, digest="0" * 64)
    task = Task(stage="rows", number=(0, 0, 0), inputs=(shard,), identity="i")
    work, context = Work(), Context(store=store_at(folder), inputs=(SOURCE,), remotes={})
    step = TakeRows(part_rows=part_rows)
    return PartWriter(step, no_rows, task, context, work, SOURCE), work, context


@given(
    st.lists(st.integers(1, 30), max_size=6),
    st.integers(1, 25),
    st.booleans(),
    st.lists(st.integers(0, 9), max_size=3),
)
def test_parts_hold_all_rows_in_order_and_are_equal_where_their_number_is_known(
    tmp_path_factory, batches, part_rows, known, dropped
):
    folder = tmp_path_factory.mktemp("parts")
    box, work, _ = box_in(folder, part_rows)
    rows = sum(batches)
    if known:
        box.expect(rows)
    first = 0
    for size in batches:
        numbers = pa.array(range(first, first + size), pa.int64())
        box.keep(pa.table({"url": [f"u{n}" for n in range(first, first + size)]}), numbers)
        first += size
    for n, count in enumerate(dropped):
        box.drop(pa.array(range(rows + 10 * n, rows + 10 * n + count), pa.int64()), Reason.BAD_ROW)
    box.finish()
    parts = [pq.read_table(folder / shard.path) for shard in work.outputs if shard.role == "part"]
    assert [n for part in parts for n in part[ROW_COLUMN].to_pylist()] == list(range(rows))
    assert [u for part in parts for u in part["url"].to_pylist()] == [f"u{n}" for n in range(rows)]
    sizes = [part.num_rows for part in parts]
    assert all(0 < size <= part_rows for size in sizes)
    assert len(sizes) == -(-rows // part_rows)
    if known and sizes:
        assert max(sizes) - min(sizes) <= 1
    elif sizes:
        assert set(sizes[:-1]) <= {part_rows}
    assert work.samples_in == rows + sum(dropped)
    assert work.dropped == Counter({"bad_row": sum(dropped)} if sum(dropped) else {})


def parts_of(folder, work):
    return [pq.read_table(folder / shard.path) for shard in work.outputs if shard.role == "part"]


def test_parts_are_cut_by_the_bytes_of_their_rows_as_well(tmp_path):
    box, work, _ = box_in(tmp_path, part_rows=100)
    long = pa.array(["x" * (3 << 20)]).dictionary_encode()
    texts = pa.concat_tables(
        [pa.table({"t": pa.array(["short"] * 50)})] + [pa.table({"t": long.cast(pa.string())})] * 7
    )
    for start in range(0, 57, 20):
        some = texts.slice(start, 20)
        box.keep(some, pa.array(range(start, start + some.num_rows), pa.int64()))
    box.finish()
    parts = parts_of(tmp_path, work)
    assert [part.num_rows for part in parts] == [52, 2, 2, 1]
    assert [n for part in parts for n in part[ROW_COLUMN].to_pylist()] == list(range(57))


@pytest.mark.parametrize(
    ("groups", "sizes"),
    [
        ([0] * 3 + [3] * 12 + [15] * 5, [15, 5]),  # a group is not parted
        (
            [0] * 3 + [3] * 90 + [93] * 5,
            [10] * 8 + [13, 5],
        ),  # but one that alone is more than a part may hold
        ([0] * 95, [10] * 8 + [15]),
        (list(range(25)), [10, 10, 5]),
    ],
)
@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_rows_of_one_group_share_a_part_as_far_as_it_may_hold_them(tmp_path, groups, sizes, at_once):
    box, work, _ = box_in(tmp_path, part_rows=10)
    for start in range(0, len(groups), at_once):
        numbers = pa.array(range(start, min(len(groups), start + at_once)), pa.int64())
        box.keep(pa.table({"n": numbers}), numbers, pa.array(groups[start : start + at_once], pa.int64()))
    box.finish()
    parts = parts_of(tmp_path, work)
    assert [n for part in parts for n in part[ROW_COLUMN].to_pylist()] == list(range(len(groups)))
    assert [part.num_rows for part in parts] == sizes


@given(st.integers(0, 3_000), st.integers(1, 400), st.integers(1, 120))
def test_parts_become_smaller_towards_the_end(rows, most, least):
    sizes = tapering_sizes(rows, most, least)
    assert sum(sizes) == rows
    assert all(0 < size <= most for size in sizes)
    assert sizes == sorted(sizes, reverse=True)
    assert not sizes or sizes[-1] <= least
    assert all(2 * size >= min(least, most, rows) for size in sizes)


def test_parts_are_cut_so(tmp_path):
    box, work, _ = box_in(tmp_path, 40)
    box.expect(100, None, 5)
    box.keep(pa.table({"url": [f"u{n}" for n in range(100)]}), pa.array(range(100), pa.int64()))
    box.finish()
    sizes = [shard.samples for shard in work.outputs if shard.role == "part"]
    assert sizes == tapering_sizes(100, 40, 5)
    assert sizes[0] > 2 * sizes[-1]


def test_no_rows_at_all_is_no_part(tmp_path):
    box, work, _ = box_in(tmp_path, 5)
    box.expect(0)
    box.keep(pa.table({"url": pa.array([], pa.string())}), pa.array([], pa.int64()))
    box.finish()
    assert work.outputs == []


@st.composite
def cut_indexes(draw: st.DrawFn) -> tuple[list[bool], list[int]]:
    kept = draw(st.lists(st.booleans(), max_size=30))
    cuts = draw(st.lists(st.integers(1, max(1, sum(kept) - 1)), max_size=4)) if sum(kept) > 1 else []
    return kept, sorted(set(cuts))


@given(cut_indexes())
def test_each_line_of_an_index_belongs_to_one_slice(made):
    kept, cuts = made
    lines = [{"position": n, "row": n, "reason": None if good else "reset"} for n, good in enumerate(kept)]
    table = pa.Table.from_pylist(lines, schema=INDEX_SCHEMA)
    shard = ShardInfo(path="i", role="index", samples=sum(kept), size_bytes=1, digest="d")
    covered = []
    for start, stop in zip([0, *cuts], [*cuts, sum(kept)], strict=True):
        first, end = lines_of_slice(table, Slice(shard=shard, start=start, stop=stop))
        assert sum(kept[first:end]) == stop - start
        covered += range(first, end)
    assert covered == list(range(len(kept)))


def test_an_index_that_differs_from_its_record_is_damage():
    table = pa.Table.from_pylist([{"position": 0, "reason": None}], schema=INDEX_SCHEMA)
    shard = ShardInfo(path="i", role="index", samples=2, size_bytes=1, digest="d")
    with pytest.raises(DamagedOutput, match="i: 1 samples, its record says 2"):
        lines_of_slice(table, Slice(shard=shard, start=0, stop=2))


urls = st.lists(
    st.sampled_from((None, "", *"abcdefgh")) | st.integers(0, 99).map(str), min_size=1, max_size=60
)


@given(urls, st.integers(1, 20), st.booleans())
def test_rows_of_one_url_go_to_one_part_and_all_others_keep_their_order(
    tmp_path_factory, urls, part_rows, lines
):
    folder = tmp_path_factory.mktemp("repeats")
    if lines:
        path = folder / "list.jsonl"
        path.write_text("".join(json.dumps({"url": url, "n": n}) + "\n" for n, url in enumerate(urls)))
    else:
        path = folder / "list.parquet"
        pq.write_table(pa.table({"url": pa.array(urls, pa.string())}), path, row_group_size=7)
    box, work, _ = box_in(folder, part_rows)
    TakeRows(columns=("url",), unique="url", part_rows=part_rows).apply(path, box)
    box.finish()
    parts = [pq.read_table(folder / shard.path)[ROW_COLUMN].to_pylist() for shard in work.outputs]
    rows = [row for part in parts for row in part]
    assert sorted(rows) == list(range(len(urls)))
    for url in (each for each in set(urls) if each and urls.count(each) <= part_rows):
        assert sum(any(urls[row] == url for row in part) for part in parts) == 1
    first = {url: n for n, url in reversed(list(enumerate(urls))) if url}
    assert rows == sorted(rows, key=lambda row: (first.get(urls[row], row), row))
    largest = max([1, *(urls.count(url) for url in first)])
    assert all(len(part) < part_rows + largest for part in parts)


@pytest.mark.parametrize("count", [0, 1, 7, 50])
def test_an_index_is_made_and_read_some_lines_at_a_time_and_is_the_same(monkeypatch, count):
    states, entries = [], {}
    for n in range(count):
        sample = Sample(key=f"{n:09d}", media={"jpg": MediaRef(at=Url(f"http://a.test/{n}"))})
        drop = Drop(reason=Reason.HTTP_404) if n % 5 == 2 else None
        states.append(RowState(n, 2 * n, sample, drop))
        entries[2 * n, "jpg"] = SpoolEntry(b"", 100 * n, n, n)

    def places_of(row: int, name: str) -> list[dict[str, object]]:
        entry = entries[row, name]
        return [{"name": name, "offset": entry.offset, "size": entry.size, "crc32": entry.crc32}]

    box = SimpleNamespace(places_of=places_of, fates={})
    whole = index_table(states, box)
    assert whole.num_rows == count
    assert [line["reason"] for line in lines_of(whole)] == [t.drop and str(t.drop.reason) for t in states]
    digest = content_digest(whole)
    monkeypatch.setattr(samples, "_LINES_AT_ONCE", 3)
    pieces = index_table(states, box)
    assert pieces.equals(whole)
    assert all(column.num_chunks <= 1 for column in pieces.columns)  # what is written does not depend on them
    assert content_digest(pieces) == digest
    monkeypatch.setattr("gristmill.run.state.indexes._LINES_AT_ONCE", 4)
    assert list(lines_of(pieces)) == whole.to_pylist()
    assert content_digest(pieces) == digest
