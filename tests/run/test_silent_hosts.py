"""Hosts that never answer cost a run about one time-out, and hold up nobody meanwhile."""

from functools import partial

import pytest
from small_world import Watcher, job, write_list

from gristmill.ledger.fates import read_fates
from gristmill.run import drive, local
from gristmill.run.worker import WorkerStart

ROWS = 200
SETTINGS = {
    "crawl.in_flight": "16",
    "crawl.stall_s": "8",
    "crawl.host_patience_s": "1",
    "crawl.tries": "3",
    "rows.part_rows": "20",
}
SILENT = {1, 4, 7}
"""Of ten URLs, those whose hosts accept connections and never answer."""


def make_list(web, path):
    urls = [web.url(f"/photo/{n % 12}.jpg?w=160&n={n}", n % 2) for n in range(ROWS)]
    for n in range(ROWS):
        if n % 10 in SILENT:
            urls[n] = web.url(f"/fault/stall/{n}", 2 + n % 10 // 3)
    return write_list(path, urls)


@pytest.mark.slow
def test_others_are_asked_while_silent_hosts_are_waited_for(web, tmp_path, monkeypatch):
    monkeypatch.setattr(drive, "WorkerStart", partial(WorkerStart, beat_s=0.1))
    monkeypatch.setattr(local, "_LOW_WATER", 10)  # two tasks' silent URLs are more than that
    monkeypatch.setattr(local, "_BEATS", 1_000_000)
    asked = []

    class Watching(Watcher):
        def committed(self, record) -> None:
            super().committed(record)
            if record.stage == "samples":
                asked.append(sum(request.path.startswith("/photo/") for request in list(web.log)))

    place, folder = make_list(web, tmp_path / "list.parquet"), tmp_path / "out"
    assert drive.run(job(place, folder, settings=SETTINGS, workers=1), Watching()).complete
    assert asked[0] == ROWS * 7 // 10  # before the first task was done, all of whose tasks wait for silent hosts
    silent = [request for request in list(web.log) if request.path.startswith("/fault/")]
    assert len(silent) <= 3 * 6
    fates = [row for batch in read_fates(folder / "fates", ["row", "reason"]) for row in batch.to_pylist()]
    assert sorted(row["row"] for row in fates) == list(range(ROWS))
    assert {row["row"] for row in fates if row["reason"]} == {n for n in range(ROWS) if n % 10 in SILENT}
    assert {row["reason"] for row in fates} == {None, "stalled"}
