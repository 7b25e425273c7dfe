"""Workers that are stopped, hang, or die of an item: noticed, replaced, and the item alone is lost."""

import dataclasses
import os
import re
import signal
import threading
from functools import partial
from pathlib import Path

import poison
import psutil
import pytest
from small_world import ROWS, Watcher, job, run_here, tree_of, url, wait_for, write_list

from gristmill.ledger.fates import read_fates
from gristmill.run import driver as drive
from gristmill.run.executors import WorkerStood, _liveness
from gristmill.run.stages._quarantine import BELIEVED, PORTION, Suspects
from gristmill.run.workers import launch
from gristmill.spec.sample import Origin, Sample


def poisoned_run(place, folder, how: str, **more):
    plain = job(place, folder, **more)
    loader = partial(poison.load, how, *plain.load.args)
    watcher = Watcher()
    return drive.run(dataclasses.replace(plain, load=loader), watcher), watcher


@pytest.fixture
def workers_find_helpers(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    original = launch.subprocess.Popen

    def popen(*arguments, env, **more):
        return original(*arguments, env={**env, "GRISTMILL_TEST_WORKER": "1"}, **more)

    monkeypatch.setattr(launch.subprocess, "Popen", popen)


def reasons(folder) -> dict[int, str | None]:
    return {
        row["row"]: row["reason"]
        for batch in read_fates(folder / "fates", ["row", "reason"])
        for row in batch.to_pylist()
    }


def tars(folder) -> dict[str, str]:
    """Those files among the shards that do not hold reasons."""
    return {name: digest for name, digest in tree_of(folder).items() if name.endswith(".tar")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "items", "reason"), [("SIGSEGV", [5], "internal_error"), ("SIGKILL", [5, 77], "killed")]
)
def test_an_item_that_kills_its_worker_is_found_and_left_out(
    web, tmp_path, workers_find_helpers, how, items, reason
):
    web.put("/poison", poison.POISON)
    urls = [url(web, n) for n in range(ROWS)]
    for item in items:
        urls[item] = web.url(f"/poison?{item}")
    place = write_list(tmp_path / "list.parquet", urls)
    run_here(place, tmp_path / "harmless")  # where it is merely no picture
    settings = {"rows.part_rows": "110"}
    ended, watcher = poisoned_run(place, tmp_path / "out", how, workers=1, settings=settings)
    assert ended.complete
    deaths = [said for said in watcher.said if f"was killed by {how}; it is tried again" in said]
    assert 4 * len(items) <= len(deaths) <= 16  # of a task that was aboard with it, too
    found = reasons(tmp_path / "out")
    assert {found.pop(item) for item in items} == {reason}
    expected = reasons(tmp_path / "harmless")
    assert {expected.pop(item) for item in items} == {"not_an_image"}
    assert found == expected
    assert tars(tmp_path / "out") == tars(tmp_path / "harmless")
    assert not list((tmp_path / "out").rglob("*.suspects"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("hang", "gave no sign of life for 6 s and was killed; it stood at .*poisoned"),
        # its signs of life go on, as other threads run
        ("loop", "computed for 4 s without progress and was killed; it stood at .*poisoned"),
    ],
    ids=["in native code", "in a loop"],
)
def test_a_worker_that_is_lost_is_killed_and_its_item_left_out(
    web, tmp_path, workers_find_helpers, monkeypatch, how, said
):
    monkeypatch.setattr(_liveness, "_SILENCE_S", 6.0)
    monkeypatch.setenv("GRISTMILL_STANDSTILL_S", "4")
    web.put("/poison", poison.POISON)
    place = write_list(tmp_path / "list.parquet", [*(url(web, n) for n in range(12)), web.url("/poison")])
    ended, watcher = poisoned_run(place, tmp_path / "out", how, workers=1)
    assert ended.complete
    assert any(re.search(f"{said}.*; it is tried again", line) for line in watcher.said)
    assert reasons(tmp_path / "out")[12] == "internal_error"
    assert sum(reason is None for reason in reasons(tmp_path / "out").values()) == 10


@pytest.mark.slow
def test_a_worker_that_waits_for_good_is_said_and_given_up(web, tmp_path, workers_find_helpers, monkeypatch):
    monkeypatch.setenv("GRISTMILL_STANDSTILL_S", "4")
    web.put("/poison", poison.POISON)
    place = write_list(tmp_path / "list.parquet", [*(url(web, n) for n in range(12)), web.url("/poison")])
    with pytest.raises(
        WorkerStood, match=r"samples task \w+: its worker process \(\d+\) waited for 4 s .*poisoned"
    ):
        poisoned_run(place, tmp_path / "out", "wait", workers=1)
    monkeypatch.setenv("GRISTMILL_STANDSTILL_S", "60")  # once the file system is there again
    ended, _ = run_here(place, tmp_path / "out", workers=1)
    assert ended.complete
    assert sum(reason is None for reason in reasons(tmp_path / "out").values()) == 10


@pytest.mark.slow
def test_a_slow_answer_is_no_standstill(web, tmp_path, monkeypatch):
    monkeypatch.setenv("GRISTMILL_STANDSTILL_S", "3")
    monkeypatch.setattr(web, "latency_s", 8.0)
    place = write_list(tmp_path / "list.parquet", [url(web, 1)])
    ended, watcher = run_here(place, tmp_path / "out", workers=1, settings={"crawl.stall_s": "20"})
    assert ended.complete
    assert reasons(tmp_path / "out") == {0: None}
    assert not any("without progress" in said for said in watcher.said)


@pytest.mark.slow
def test_a_stopped_worker_is_replaced(small, web, tmp_path, monkeypatch):
    monkeypatch.setattr(_liveness, "_SILENCE_S", 6.0)
    web.latency_s = 0.02
    stopped = []

    def stop() -> None:
        wait_for(lambda: web.hits.total() >= 20)
        for child in psutil.Process().children():
            if "gristmill.run.workers.worker" in " ".join(child.cmdline()) and not stopped:
                os.kill(child.pid, signal.SIGSTOP)
                stopped.append(child)

    stopper = threading.Thread(target=stop)
    stopper.start()
    ended, watcher = run_here(small.place, tmp_path / "out", workers=2)
    stopper.join()
    assert len(stopped) == 1
    assert not stopped[0].is_running()
    assert ended.complete
    assert any("gave no sign of life" in said for said in watcher.said)
    assert tree_of(tmp_path / "out") == small.shards


def samples(rows) -> list[Sample]:
    return [Sample(key=str(row), origin=Origin(source="s", file="f", row=row)) for row in rows]


def test_what_kills_workers_is_found_by_a_few_deaths(tmp_path):
    path = tmp_path / "suspects"
    poisonous, deaths, done, lost = {17, 300, 301}, 1, set(), set()
    while deaths < 30:
        suspects = Suspects(path)
        if suspects.culprit is not None:
            lost.add(suspects.culprit)
        todo = samples(row for row in range(1000) if row not in done | lost)
        for portion in suspects.portions(todo):
            assert len(portion) <= PORTION
            rows = {sample.origin.row for sample in portion}
            if rows & poisonous:
                deaths += 1
                break
            done |= rows
        else:
            break
    assert lost == poisonous
    assert done == set(range(1000)) - poisonous
    assert deaths <= 10 + len(poisonous) * (BELIEVED - 1)
    assert not path.exists()


def test_one_death_over_a_single_row_convicts_nobody(tmp_path):
    """Whoever is killed by others, as short memory does, is killed over whatever it happens to be at."""
    path, at, deaths, done = tmp_path / "suspects", 0, 0, set()
    while len(done) < 300 and deaths < 200:
        suspects = Suspects(path)
        assert suspects.culprit is None
        for portion in suspects.portions(samples(row for row in range(300) if row not in done)):
            at += 1
            if at % 3 == 0:
                deaths += 1
                break
            done |= {sample.origin.row for sample in portion}
    assert len(done) == 300
