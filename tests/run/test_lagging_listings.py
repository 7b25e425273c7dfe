"""A store that lists what was put or removed some time later, as caches may: nothing is lost or double."""

from __future__ import annotations

from collections import deque

import pytest
from lagging_store import LAG, Lagging
from small_world import Watcher, job, url, write_list

from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import RECORDS, Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import total
from gristmill.run.driver import run
from gristmill.run.maintenance.verify import verify
from gristmill.spec.errors import MachineError
from gristmill.storage.local import LocalStore
from gristmill.storage.store import Store

ROWS = 40
SMALL_PARTS = {"rows.part_rows": "4"}


@pytest.fixture
def place(web, tmp_path):
    return write_list(tmp_path / "src" / "list.parquet", [url(web, n) for n in range(ROWS)])


@pytest.fixture
def whole(place, tmp_path, web) -> LocalStore:
    run(job(place, tmp_path / "whole", settings=SMALL_PARTS), Watcher())
    web.forget()
    return LocalStore(tmp_path / "whole")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A listing catches up with each look at it, not with time."""
    monkeypatch.setattr("gristmill.ledger.ledger.LAGS_S", (0.0,) * 2 * LAG)
    monkeypatch.setattr("gristmill.ledger.seal.LAGS_S", (0.0,) * 2 * LAG)


def run_in(store: Store, place, **more):
    watcher = Watcher()
    return run(job(place, store, settings=SMALL_PARTS, **more), watcher), watcher


def check_whole(store: Lagging, whole: LocalStore) -> None:
    store.lag = 0
    made = [one.name for one in whole.list("shards") if "_stats" not in one.name]
    assert [store.read(name) for name in made] == [whole.read(name) for name in made] != []
    ledger = Ledger(store)
    levels = funnel(total(ledger.records.values()), RunConfig.read(store))
    assert (levels.adds_up, levels.complete, levels.count("annotated")) == (True, True, ROWS)
    assert verify(ledger, threads=1, decode=True, complete=True, tell=lambda so_far: None).problems == []


def test_a_run_that_breaks_off_again_and_again_goes_on(place, whole, web, tmp_path):
    store, failures, left = Lagging(tmp_path / "node"), 0, 0

    def fail(verb: str, name: str) -> None:
        nonlocal left
        left -= verb.startswith("put")
        if left == 0:
            raise MachineError(f"{store}/{name}: the store did not answer.")

    store.after = fail
    for failures in range(40):
        left = 3 + 4 * failures
        try:
            ended, _ = run_in(store, place)
        except MachineError:
            continue
        break
    store.after = lambda verb, name: None
    assert ended.complete
    assert failures > 3
    check_whole(store, whole)


def test_what_was_put_a_moment_ago_is_not_taken_for_lost(place, whole, web, tmp_path):
    """The records are listed, their outputs not yet: nothing is asked for twice."""
    store = Lagging(tmp_path / "node", lag=0)
    run_in(store, place)
    listed = store._listed[0]
    hidden = [one for one in listed if not one.name.startswith(RECORDS)]
    assert len(hidden) > 10
    store._listed = deque([[one for one in listed if one.name.startswith(RECORDS)]] * (LAG + 1))
    store.lag = LAG
    web.forget()
    ended, watcher = run_in(store, place)
    assert ended.complete
    assert watcher.said == []
    assert web.hits == {}
    check_whole(store, whole)


def test_shares_that_see_each_other_late_lose_nothing(place, whole, tmp_path):
    store = Lagging(tmp_path / "node")
    for number in (1, 2):
        run_in(store, place, share=(number, 2))
    assert run_in(store, place)[0].complete
    check_whole(store, whole)
