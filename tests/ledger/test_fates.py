from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.ledger import fates as fates_module
from gristmill.ledger.fates import FATES_SCHEMA, fates_table, not_kept_table, write_fates
from gristmill.spec.fate import Fate
from gristmill.spec.reasons import Reason
from gristmill.storage.files import whole_file


def test_all_files_have_one_schema_so_that_a_folder_reads_as_a_table(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(fates_module, "_GROUP_ROWS", 3)
    unasked = [
        not_kept_table(pa.array(np.arange(7)), Reason.BELOW_FLOOR, "", source="s", file="a.parquet"),
        not_kept_table(pa.array([9]), Reason.NO_SCORE, "null", source="s", file="a.parquet"),
    ]
    with whole_file(tmp_path / "rows-0.parquet") as stream:
        write_fates(stream, unasked)
    asked = Fate(row=8, key="k", medium="jpg", url="http://a.test/8", status=404, reason=Reason.HTTP_404)
    with whole_file(tmp_path / "samples-0.parquet") as stream:
        write_fates(stream, [fates_table([asked], source="s", file="a.parquet")])
    assert {pq.read_schema(path) for path in tmp_path.iterdir()} == {FATES_SCHEMA}
    table = pq.read_table(tmp_path)  # the first file's columns are those of all
    assert table.column_names == FATES_SCHEMA.names
    assert sorted(table["row"].to_pylist()) == [*range(7), 8, 9]
    found = {row["row"]: row for row in table.to_pylist()}
    assert found[8] == {**dict.fromkeys(FATES_SCHEMA.names), **found[8]}
    assert (found[8]["reason"], found[8]["status"], found[8]["url"]) == ("http_404", 404, "http://a.test/8")
    assert (found[6]["reason"], found[6]["url"], found[9]["detail"]) == ("below_floor", None, "null")
