"""Shares of a dataset: each of several commands does its own, whichever comes first or last."""

from collections import Counter

import pytest
from small_world import (
    Process,
    Watcher,
    check_final_names,
    job,
    run_here,
    totals,
    tree_of,
    url,
    wait_for,
    write_list,
)

from gristmill.ledger.ledger import Ledger
from gristmill.run.driver import run
from gristmill.spec.errors import Busy

PARTS = 28
SMALL_PARTS = {"rows.part_rows": "4"}
"""Ids, and so shares, depend on the web's port: of many tasks each share has some."""


@pytest.fixture(scope="module")
def shards(small, tmp_path_factory) -> dict[str, str]:
    """What one command makes of it all."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert run_here(small.place, folder, settings=SMALL_PARTS)[0].complete
    return tree_of(folder)


def done(folder, stage: str) -> set[str]:
    ledger = Ledger(folder)
    found = {record.task_id for record in ledger.stage(stage)}
    ledger.close()
    return found


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_one_after_another_each_does_its_own_and_the_last_packs(small, shards, web, tmp_path, order):
    folder = tmp_path / "out"
    known: set[str] = set()
    for number in order:
        ended, _ = run_here(small.place, folder, share=(number, 3), settings=SMALL_PARTS)
        new = done(folder, "samples") - known
        assert {int(task, 16) % 3 for task in new} <= {number - 1}
        known |= new
        assert ended.complete is (number == order[-1])
        assert len(done(folder, "rows")) == 1
    assert len(known) == PARTS
    assert tree_of(folder) == shards
    assert set(web.hits.values()) == {1}


@pytest.mark.slow
def test_at_once_they_divide_a_single_file_and_the_last_to_end_is_complete(small, shards, web, tmp_path):
    web.latency_s = 0.02
    folder = tmp_path / "out"
    with (
        Process(small.place, folder, share=[1, 2], settings=SMALL_PARTS) as one,
        Process(small.place, folder, share=[2, 2], settings=SMALL_PARTS) as two,
    ):
        ends = [one.end(), two.end()]
    assert [code for code, _ in ends] == [0, 0], ends
    assert sum(said.endswith("\ncomplete") or said == "complete" for _, said in ends) >= 1
    assert tree_of(folder) == shards
    assert set(web.hits.values()) == {1}
    ledger = Ledger(folder)
    by_share: dict[int, Counter[str]] = {0: Counter(), 1: Counter()}
    for record in ledger.stage("samples"):
        by_share[int(record.task_id, 16) % 2][record.host] += 1
    ledger.close()
    assert [len(hosts) for hosts in by_share.values()] == [1, 1]
    assert by_share[0].keys() != by_share[1].keys()


@pytest.mark.slow
def test_a_share_that_is_killed_is_gone_on_with_and_a_missing_one_done_by_a_command_for_all(
    small, shards, web, tmp_path
):
    web.latency_s = 0.02
    folder = tmp_path / "out"
    with Process(
        small.place, folder, share=[1, 2], settings={**SMALL_PARTS, "crawl.in_flight": "1"}
    ) as process:
        wait_for(lambda: web.hits.total() >= 10)
        process.kill_all()
    check_final_names(folder)
    web.latency_s = 0
    assert not run_here(small.place, folder, share=(1, 2), settings=SMALL_PARTS)[0].complete
    assert {int(task, 16) % 2 for task in done(folder, "samples")} == {0}
    assert run_here(small.place, folder, settings=SMALL_PARTS)[0].complete
    assert tree_of(folder) == shards
    assert totals(folder).stage("samples").samples_in == 110


def test_many_files_are_each_read_once_and_by_whoever_is_first(web, tmp_path):
    for n in range(3):
        write_list(tmp_path / "lists" / f"{n}.parquet", [url(web, 30 * n + i) for i in range(30)])
    assert run_here(tmp_path / "lists", tmp_path / "whole", settings=SMALL_PARTS)[0].complete
    web.forget()
    folder, shares = tmp_path / "out", [{"share": [number, 2], "settings": SMALL_PARTS} for number in (1, 2)]
    with (
        Process(tmp_path / "lists", folder, **shares[0]) as one,
        Process(tmp_path / "lists", folder, **shares[1]) as two,
    ):
        ends = [one.end(), two.end()]
    assert [code for code, _ in ends] == [0, 0], ends
    assert tree_of(folder) == tree_of(tmp_path / "whole")
    assert set(web.hits.values()) == {1}
    assert len(done(folder, "rows")) == 3


@pytest.fixture
def held(monkeypatch):
    """Tasks by stage that another process seems to hold, until they are taken from the set."""
    stages: set[str] = set()
    from gristmill.run import driver

    take = driver.Leases.take
    tasks: dict[str, str] = {}
    push = driver.Planner.push

    def known(planner, task):
        tasks[task.id] = task.stage
        push(planner, task)

    monkeypatch.setattr(driver.Planner, "push", known)
    monkeypatch.setattr(
        driver.Leases,
        "take",
        lambda leases, name, **more: tasks.get(name) not in stages and take(leases, name, **more),
    )
    monkeypatch.setattr(driver, "_POLL_S", 0.01)
    return stages


@pytest.mark.parametrize("share", [(1, 1), None])
def test_what_another_command_reads_is_waited_for(share, small, web, tmp_path, held, monkeypatch):
    held.add("rows")
    watcher = Watcher()

    def say(text: str) -> None:
        watcher.said.append(text)
        held.clear()  # it is gone

    monkeypatch.setattr(watcher, "say", say)
    ended = run(job(small.place, tmp_path / "out", share=share), watcher)
    assert ended.complete
    assert [said for said in watcher.said if said.startswith("waiting for other runs")]


def test_one_that_never_ends_is_told(small, web, tmp_path, held, monkeypatch):
    held.add("rows")
    monkeypatch.setattr("gristmill.run.driver._WAIT_S", 0.1)
    with pytest.raises(Busy, match="holds 1 task still to be done; all that is left follows from that"):
        run_here(small.place, tmp_path / "out", share=(1, 2))


def test_a_run_is_told_of_what_others_did(small, web, tmp_path):
    """The other begins and ends while this one is at its first task."""
    folder = tmp_path / "out"

    class Told(Watcher):
        def committed(self, record) -> None:
            if not self.committed_tasks:
                run_here(small.place, folder, share=(2, 2), settings=SMALL_PARTS)
            super().committed(record)

        def noted(self, record) -> None:
            noted.append(record.stage)

    noted: list[str] = []
    assert run(job(small.place, folder, share=(1, 2), settings=SMALL_PARTS), Told()).complete
    others = {task for task in done(folder, "samples") if int(task, 16) % 2 == 1}
    assert noted.count("samples") == len(others)


def test_one_for_all_does_not_wait_for_what_others_crawl(small, web, tmp_path, held):
    held.add("samples")
    with pytest.raises(Busy, match="tasks still to be done; all that can be done beside that is done"):
        run_here(small.place, tmp_path / "out")


def test_what_another_command_packs_is_not_waited_for(small, web, tmp_path, held):
    held.add("pack")
    ended, watcher = run_here(small.place, tmp_path / "out", share=(1, 1))
    assert not ended.complete
    assert not watcher.said
    held.clear()
    assert run_here(small.place, tmp_path / "out", share=(1, 1))[0].complete
    assert tree_of(tmp_path / "out") == small.shards
