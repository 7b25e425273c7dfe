from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_dataset import Made

from gristmill.ledger.fates import fates_table, write_fates
from gristmill.spec.fate import Fate
from gristmill.spec.reasons import Reason
from gristmill.storage.files import whole_file
from gristmill.viewer.charts import BarColumn, columns, widths
from gristmill.viewer.measures import Histogram, Rate, measure


def fates_of(made: Made) -> list[Path]:
    return sorted((made.folder / "fates").glob("samples-*.parquet"))


def test_sums_are_those_of_all_fates(made: Made) -> None:
    rows = [row for path in fates_of(made) for row in pq.read_table(path).to_pylist()]
    found = measure([[path] for path in fates_of(made)])
    kept = [row for row in rows if row["reason"] is None]
    assert found.files == found.files_read == 2
    assert found.media == len(rows) == sum(found.statuses.values())
    assert found.statuses[404] == sum(row["status"] == 404 for row in rows)
    assert found.statuses[None] == sum(row["status"] is None for row in rows)
    assert found.stored_bytes.total == found.short_side_px.total == found.phash_distance.total == len(kept)
    small = sum(min(row["original_width_px"], row["original_height_px"]) < 336 for row in kept)
    assert found.short_side_px.counts[:5].sum() == small
    assert found.phash_distance.counts[0] == sum(row["phash_distance"] == 0 for row in kept)
    assert found.phash_distance.counts[1] == sum(row["phash_distance"] in (1, 2) for row in kept)
    assert found.rate is not None
    assert found.rate.kept.sum() == len(kept)
    assert found.rate.lost.sum() == len(rows) - len(kept)


def test_fates_without_any_measure(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    fates = [Fate(row=0, reason=Reason.BAD_URL), Fate(row=1, reason=Reason.BAD_URL)]
    with whole_file(path) as stream:
        write_fates(stream, [fates_table(fates, source="s", file="f")])
    found = measure([[path], [tmp_path / "gone.parquet"]])
    assert (found.media, found.files, found.files_read, found.rate) == (2, 2, 1, None)
    assert found.short_side_px.median() is None


def test_what_was_asked_again_counts_once_by_its_last_answer(tmp_path: Path) -> None:
    rounds = [
        {0: 200, 1: 404, 2: 503, 3: 503},
        {2: 503, 3: 200},
        {2: 404},
    ]
    paths = []
    for attempt, statuses in enumerate(rounds):
        lost = {404: Reason.HTTP_404, 503: Reason.HTTP_5XX}
        fates = [
            Fate(row=row, medium="jpg", status=status, reason=lost.get(status), attempt=attempt)
            for row, status in statuses.items()
        ]
        paths.insert(0, tmp_path / f"samples-r{attempt}.parquet")
        with whole_file(paths[0]) as stream:
            write_fates(stream, [fates_table(fates, source="s", file="f")])
    found = measure([paths])
    assert found.statuses == {200: 2, 404: 2}
    assert (found.media, found.files_read) == (4, 3)


def test_histogram_puts_edges_up_and_the_rest_last() -> None:
    histogram = Histogram.empty((0, 10, 20, np.inf))
    histogram.add(np.array([0, 9, 10, 19.9, 20, 1e9]))
    assert histogram.counts.tolist() == [2, 2, 2]
    assert histogram.median() == pytest.approx(15)
    last = Histogram.empty((0, 10, np.inf))
    last.add(np.array([50.0]))
    assert last.median() == 10


def test_rate_has_few_round_intervals_and_loses_nothing() -> None:
    for span_s in (0, 1, 59, 3600, 1e6, 1e9):
        rate = Rate.between(1000.0, 1000.0 + span_s)
        rate.add(np.array([1000.0, 1000.0 + span_s]), np.array([True, False]))
        assert len(rate.kept) <= 61
        assert rate.kept[0] == 1
        assert rate.lost[-1] == 1


def test_columns_reach_the_top_and_escape_titles() -> None:
    svg = columns(
        [
            BarColumn(values=((3, "good"), (1, "lost")), title="<b>"),
            BarColumn(values=((0, "good"),), title=""),
        ],
        "x",
    )
    assert svg.count("<rect") == 2 + 3
    assert '<rect class="good" x="0.5" y="25.00" width="9" height="75.00"/>' in svg
    assert '<rect class="lost" x="0.5" y="0.00" width="9" height="25.00"/>' in svg
    assert "&lt;b&gt;" in svg
    assert "<b>" not in svg


def test_bars_that_are_there_are_visible() -> None:
    assert widths([1000, 1, 0]) == [100, 0.5, 0]
    assert widths([]) == []


def test_footers_do_not_wait_for_the_garbage_collector(made: Made) -> None:
    paths = fates_of(made)
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(one, pq.FileMetaData) for one in gc.get_objects())
        measure([paths])
        assert sum(isinstance(one, pq.FileMetaData) for one in gc.get_objects()) == before
    finally:
        gc.enable()
