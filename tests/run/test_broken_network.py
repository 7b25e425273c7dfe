"""Our own network goes down under a run: it stops, says so, and the same command goes on as if nothing had been."""

import threading

import pytest
from small_world import ROWS, run_here, totals, tree_of, url, wait_for, write_list

from gristmill.spec.errors import OursNotTheirs
from gristmill.testing.web import FakeWeb

SETTINGS = {"crawl.breaker_hosts": "5", "crawl.breaker_patience_s": "0.5", "crawl.in_flight": "4"}


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_without_network_stops_records_nothing_of_it_and_goes_on(tmp_path, workers):
    with FakeWeb(hosts=8, latency_s=0.02) as web:
        port = web.port
        place = write_list(tmp_path / "list.parquet", [url(web, n) for n in range(ROWS)])
        run_here(place, tmp_path / "undisturbed")

        def unplug() -> None:
            wait_for(lambda: web.hits.total() >= 25)
            web.close()

        web.forget()
        unplugger = threading.Thread(target=unplug)
        unplugger.start()
        with pytest.raises(OursNotTheirs, match="the same command again") as caught:
            run_here(place, tmp_path / "out", workers=workers, settings=SETTINGS)
        unplugger.join()
        assert caught.value.exit_code == 3
    assert "connect_failed" not in totals(tmp_path / "out").stage("samples").dropped
    with FakeWeb(hosts=8, port=port) as web:
        ended, _ = run_here(place, tmp_path / "out", workers=workers, settings=SETTINGS)
        assert ended.complete
        assert web.hits.total() <= ROWS
    assert (
        totals(tmp_path / "out").stage("samples").dropped
        == totals(tmp_path / "undisturbed").stage("samples").dropped
    )
    assert tree_of(tmp_path / "out") == tree_of(tmp_path / "undisturbed")
