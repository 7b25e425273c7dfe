"""A list sorted by host: those that come after a host with very many URLs do not wait for its end."""

import asyncio
import os
import signal
import threading
from functools import partial

import psutil
import pytest
from small_world import run_here, tree_of, wait_for, write_list

from gristmill.run import driver as drive
from gristmill.run.executors import _placement
from gristmill.run.workers.messages import WorkerStart

MANY = 240
OTHERS = 60
ANSWERED = 60
"""So many the first host answers before the last of the others is asked."""
SETTINGS = {
    "crawl.per_host": "2",
    "crawl.in_flight": "16",
    "rows.part_rows": "30",
    "crawl.stall_s": "60",
    "crawl.total_s": "60",
}


def make_list(web, path):
    """First all of one host, then some of seven others."""
    urls = [web.url(f"/photo/{n % 12}.jpg?w=160&n={n}") for n in range(MANY)]
    urls += [web.url(f"/photo/{n % 12}.jpg?w=160&n={n}", 1 + n % 7) for n in range(OTHERS)]
    return write_list(path, urls)


@pytest.fixture
def slow_web(web, monkeypatch):
    """One host gives a worker 40 pictures a second."""
    web.latency_s = 0.05
    monkeypatch.setattr(drive, "WorkerStart", partial(WorkerStart, beat_s=0.1))
    monkeypatch.setattr(_placement, "_LOW_WATER", 10)
    return web


@pytest.fixture
def held_web(slow_web, monkeypatch):
    """One host stops answering until all the others were asked: no crawl task of its own ends before."""
    answer = slow_web.answer

    async def held(exchange) -> None:
        while (
            exchange.request.address == "127.0.0.1"
            and slow_web.hits.total() > ANSWERED
            and "127.0.0.8" not in asked(slow_web)
        ):
            await asyncio.sleep(0.01)
        await answer(exchange)

    monkeypatch.setattr(slow_web, "answer", held)
    return slow_web


@pytest.fixture
def undisturbed(web, tmp_path):
    ended, _ = run_here(make_list(web, tmp_path / "list.parquet"), tmp_path / "whole", settings=SETTINGS)
    assert ended.complete
    web.forget()
    return tree_of(tmp_path / "whole")


def asked(web) -> list[str]:
    """The hosts that were asked, in that order."""
    return [request.address for request in list(web.log)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_other_hosts_are_asked_long_before_the_long_one_ends(undisturbed, held_web, tmp_path, workers):
    ended, _ = run_here(tmp_path / "list.parquet", tmp_path / "out", settings=SETTINGS, workers=workers)
    assert ended.complete
    order = asked(held_web)
    assert len(order) == MANY + OTHERS
    before = next(n for n, address in enumerate(order) if address != "127.0.0.1")
    assert before <= ANSWERED + 2 * workers
    assert held_web.peak_connections["127.0.0.1"] <= 2 * workers
    assert tree_of(tmp_path / "out") == undisturbed


@pytest.mark.slow
def test_a_worker_that_dies_with_many_crawls_aboard_costs_none_of_them(undisturbed, held_web, tmp_path):
    killed = []

    def kill() -> None:
        wait_for(lambda: set(asked(held_web)) - {"127.0.0.1"})
        for child in psutil.Process().children():
            if "gristmill.run.workers.worker" in " ".join(child.cmdline()):
                os.kill(child.pid, signal.SIGKILL)
                killed.append(child)

    killer = threading.Thread(target=kill)
    killer.start()
    ended, watcher = run_here(tmp_path / "list.parquet", tmp_path / "out", settings=SETTINGS, workers=1)
    killer.join()
    assert len(killed) == 1
    assert ended.complete
    assert sum("was killed by SIGKILL; it is tried again" in said for said in watcher.said) >= 4
    assert tree_of(tmp_path / "out") == undisturbed


@pytest.mark.slow
def test_no_worker_has_more_crawls_than_its_bound(undisturbed, slow_web, tmp_path, monkeypatch):
    aboard = []
    put = _placement.Place.put

    def counted(place, *given, **more):
        put(place, *given, **more)
        aboard.append(len(place))

    monkeypatch.setattr(_placement, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(_placement.Place, "put", counted)
    ended, _ = run_here(tmp_path / "list.parquet", tmp_path / "out", settings=SETTINGS, workers=1)
    assert ended.complete
    assert max(aboard) == 3
