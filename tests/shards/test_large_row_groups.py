import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.shards.parquet_rows import rows_at_once


def test_a_large_row_group_of_short_rows_is_read_by_thousands(tmp_path):
    path = tmp_path / "large.parquet"
    table = pa.table({"x": np.arange(9_000_000)})
    pq.write_table(table, path, row_group_size=len(table), compression="none", use_dictionary=False)
    group = pq.read_metadata(path).row_group(0)
    assert group.total_byte_size > 64 << 20
    assert rows_at_once(group, ["x"], 1 << 14) > 1000
