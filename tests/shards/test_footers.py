"""Footers of Parquet files are gone once nobody needs them."""

import gc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.shards.footers import column_ranges, read_footer
from gristmill.spec.errors import UsageError
from gristmill.spec.step import LocalFile


@pytest.fixture
def footer(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"a": list(range(100)), "deep": [{"b": n, "c": "x"} for n in range(100)]})
    pq.write_table(table, path, row_group_size=30)
    file = LocalFile(path)
    return read_footer(file.name, file.size_bytes, file.read)


def test_ranges_hold_the_columns(footer):
    ranges = column_ranges("a.parquet", footer, [1, 3], ["deep.c", "a"])
    chunks = [footer.row_group(group).column(column) for group in (1, 3) for column in (2, 0)]
    for (start, stop), chunk in zip(ranges, chunks, strict=True):
        assert start == chunk.dictionary_page_offset
        assert stop >= start + chunk.total_compressed_size
    assert column_ranges("a.parquet", footer, [], ["a"]) == []
    with pytest.raises(UsageError, match=r"no column z; it has a, deep\.b, deep\.c"):
        column_ranges("a.parquet", footer, [0], ["a", "z"])


def test_a_footer_does_not_wait_for_the_garbage_collector(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1, 2]}), path)
    file = LocalFile(path)
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(one, pq.FileMetaData) for one in gc.get_objects())
        for _ in range(5):
            column_ranges(file.name, read_footer(file.name, file.size_bytes, file.read), [0], ["a"])
        assert sum(isinstance(one, pq.FileMetaData) for one in gc.get_objects()) == before
    finally:
        gc.enable()
