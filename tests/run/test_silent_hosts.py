"""Hosts that never answer cost a run about one time-out, and hold up nobody meanwhile."""

import os
from collections import Counter
from types import SimpleNamespace

import pytest
from small_world import run_here, write_list

from gristmill.ledger.fates import read_fates
from gristmill.run.executors import launch, local
from gristmill.run.executors.worker import Beat, WorkerStart
from gristmill.run.stages.pack import Pack
from gristmill.run.stages.samples import Samples
from gristmill.run.state.context import Progress
from gristmill.spec.task import ShardInfo, Task

MANY = 100
SETTINGS = {
    "crawl.in_flight": "16",
    "crawl.per_host": "3",
    "crawl.stall_s": "1",
    "crawl.host_patience_s": "0.5",
    "crawl.tries": "3",
    "rows.part_rows": "50",
}
SILENT = {1, 4, 7}
"""Of ten URLs, those whose hosts accept connections and never answer."""


def make_list(web, path):
    urls = [web.url(f"/photo/{n % 12}.jpg?w=160&n={n}", n % 2) for n in range(MANY)]
    for n in range(MANY):
        if n % 10 in SILENT:
            urls[n] = web.url(f"/fault/stall/{n}", 2 + n % 10 // 3)
    return write_list(path, urls)


def test_what_a_silent_host_is_not_asked_for_has_its_fate(web, tmp_path):
    place, folder = make_list(web, tmp_path / "list.parquet"), tmp_path / "out"
    ended, _ = run_here(place, folder, settings=SETTINGS, workers=1)
    assert ended.complete
    asked = Counter(request.address for request in list(web.log) if request.path.startswith("/fault/"))
    assert set(asked.values()) == {3}  # side by side
    columns = ["row", "reason", "detail"]
    fates = [row for batch in read_fates(folder / "fates", columns) for row in batch.to_pylist()]
    assert sorted(row["row"] for row in fates) == list(range(MANY))
    assert {row["row"] for row in fates if row["reason"]} == {n for n in range(MANY) if n % 10 in SILENT}
    assert {row["reason"] for row in fates} == {None, "stalled"}
    unasked = [
        row for row in fates if (row["detail"] or "").startswith("not asked: the host has answered nothing")
    ]
    assert len(unasked) == 3 * MANY // 10 - 9


def task(stage: str, number: int = 0, rows: int = 1000) -> Task:
    part = ShardInfo(
        path=f"parts/{number}", role="part", samples=rows, size_bytes=1, digest=f"sha256:{number}"
    )
    return Task(stage=stage, number=(0, 0, number), inputs=(part,), identity="i")


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """One with a crawl of which 600 media are left; its process is played."""
    monkeypatch.setattr(launch.subprocess, "Popen", lambda *_, **__: SimpleNamespace(pid=os.getpid()))
    launched = launch.launch(arrow_pool="system")
    worker = local._Worker(
        launched, WorkerStart(load=dict, folder=tmp_path, inputs=(), remotes={}, only=None), 60
    )
    worker.give(task(Samples.name), {})
    only = task(Samples.name)
    worker.heard(Progress(task_id=only.id, stage=Samples.name, done=400, total=1000, reasons={}, bytes_in=0))
    yield worker
    worker.connection.close()
    worker.stacks.close()


@pytest.mark.parametrize(("silent", "more"), [(0, False), (50, False), (300, True), (700, True)])
def test_media_of_silent_hosts_do_not_count_as_work_that_is_left(worker, silent, more):
    worker.heard(Beat(1.0, True, silent))
    assert worker.room(task(Samples.name, 1), {}) is more
    assert worker.room(task(Pack.name, 2), {}) is more
