"""Kills, signals, dead workers, several runs at once: nothing is lost, and the same bytes come out."""

import os
import signal
import threading
import time

import psutil
import pytest
from small_world import (
    ONE_BY_ONE,
    UNFINISHED,
    Process,
    check_final_names,
    run_here,
    temporaries,
    totals,
    tree_of,
    url,
    wait_for,
    write_list,
)

from gristmill.storage.files import whole_file


@pytest.mark.slow
def test_killed_at_three_instants_with_other_worker_counts_after_each(small, web, tmp_path):
    """The whole tree twice, and once the parent alone: then nobody survives it either."""
    web.latency_s = 0.01
    folder, most_twice = tmp_path / "out", 0
    for hits, workers, whole_tree in ((3, 2, True), (40, 1, False), (75, 2, True)):
        with Process(small.place, folder, workers=workers, settings=ONE_BY_ONE) as process:
            wait_for(lambda hits=hits: web.hits.total() >= hits)
            tree = process.tree()
            if whole_tree:
                process.kill_all()
            else:
                process.popen.kill()
            gone, alive = psutil.wait_procs(tree, 5)
            assert gone
            assert not alive
        most_twice += workers * UNFINISHED
        check_final_names(folder)
    ended, _ = run_here(small.place, folder, settings=ONE_BY_ONE)
    assert ended.complete
    assert tree_of(folder) == small.shards
    assert temporaries(folder) == []
    assert sum(hits - 1 for hits in web.hits.values()) <= most_twice
    assert totals(folder).stage("samples").samples_in == 110


@pytest.mark.slow
def test_workers_on_parts_of_the_input_and_whole_runs_may_share_a_folder(web, tmp_path):
    for n in range(4):
        write_list(tmp_path / "lists" / f"{n}.parquet", [url(web, 25 * n + i) for i in range(25)])
    for name, spans in (("parts", ([0, 2], [2, 4])), ("whole", (None, None))):
        web.forget()
        more = [{"span": span} if span else {} for span in spans]
        with (
            Process(tmp_path / "lists", tmp_path / name, **more[0]) as one,
            Process(tmp_path / "lists", tmp_path / name, **more[1]) as two,
        ):
            ends = [one.end(), two.end()]
        codes = sorted(code for code, _ in ends)
        assert codes in ([0, 0], [0, 75] if name == "whole" else []), ends
        assert any(said.endswith("\ncomplete") or said == "complete" for _, said in ends)
        assert all("Busy" in said for code, said in ends if code == 75)
        assert set(web.hits.values()) == {1}
        assert len(web.hits) == 100
        check_final_names(tmp_path / name)
    assert tree_of(tmp_path / "parts") == tree_of(tmp_path / "whole")
    assert len(tree_of(tmp_path / "parts")) == 3 * 6


def test_control_c_is_tidy_and_goes_on(small, web, tmp_path):
    web.latency_s = 0.05
    folder = tmp_path / "out"
    with Process(small.place, folder, workers=1, settings=ONE_BY_ONE) as process:
        wait_for(lambda: web.hits.total() >= 25)
        tree = process.tree()
        started = time.monotonic()
        os.killpg(process.popen.pid, signal.SIGINT)  # as a terminal does: to all of them
        code, said = process.end(40)
        assert time.monotonic() - started < 20
        assert not psutil.wait_procs(tree, 10)[1]
    assert code == 130
    assert "stopping: what is under way has up to 10 s" in said
    assert "Interrupted: Stopped. Everything finished is kept; the same command continues." in said
    assert "WorkerDied" not in said
    assert temporaries(folder) == []
    check_final_names(folder)
    web.latency_s = 0.0
    assert run_here(small.place, folder, settings=ONE_BY_ONE)[0].complete
    assert tree_of(folder) == small.shards
    assert set(web.hits.values()) <= {1, 2}
    assert sum(hits - 1 for hits in web.hits.values()) <= UNFINISHED


def test_termination_within_one_process(small, web, tmp_path):
    """Also while a task is under way that would take much longer."""
    web.latency_s = 0.2
    settings = {"rows.part_rows": "1000"}
    with Process(small.place, tmp_path / "out", workers=0, settings=settings) as process:
        wait_for(lambda: web.hits.total() >= 10)
        process.popen.send_signal(signal.SIGTERM)
        code, _ = process.end(40)
    assert code == 143
    assert web.hits.total() < 60
    check_final_names(tmp_path / "out")


@pytest.mark.parametrize("workers", [0, 1])
def test_requests_under_way_have_the_grace_to_end_in(web, tmp_path, workers):
    """The hosts answer when the signal has come: none of what was asked for is asked for again."""
    place = write_list(tmp_path / "list.parquet", [url(web, n) for n in range(60)])
    web.latency_s = 6
    with Process(place, tmp_path / "out", workers=workers, grace_s=60.0) as process:
        wait_for(lambda: web.hits.total() >= 8)
        process.popen.send_signal(signal.SIGTERM)
        assert process.end()[0] == 143
    asked = web.hits.total()
    assert asked < 40
    web.latency_s = 0
    assert run_here(place, tmp_path / "out")[0].complete
    assert set(web.hits.values()) == {1}


def test_after_the_grace_it_ends_whatever_it_is_at(small, web, tmp_path):
    """Where tasks run in the same process only a clock can: this one hangs."""
    hanging = tmp_path / "hanging"
    with Process(small.place, tmp_path / "out", workers=0, grace_s=0.0, hangs=str(hanging)) as process:
        wait_for(hanging.exists)
        process.popen.send_signal(signal.SIGTERM)
        code, said = process.end()
    assert code == 143
    assert said.startswith("Ended at once. Everything finished is kept")


def test_the_second_control_c_ends_it_at_once(web, tmp_path):
    place = write_list(tmp_path / "list.parquet", [web.url(f"/fault/stall/{n}") for n in range(8)])
    with Process(place, tmp_path / "out", workers=1) as process:
        wait_for(lambda: web.hits.total() >= 4)
        tree = process.tree()
        process.popen.send_signal(signal.SIGINT)
        time.sleep(1)  # a third of what it waits for what is under way
        assert process.popen.poll() is None
        process.popen.send_signal(signal.SIGINT)
        code, said = process.end()
        assert not psutil.wait_procs(tree, 10)[1]
    assert code == 130
    assert said.startswith("Ended at once. Everything finished is kept")
    assert "Stopped" not in said  # the last words of one that waited


def test_a_worker_that_is_killed_costs_its_task_only(small, web, tmp_path):
    web.latency_s = 0.01
    killed = []

    def kill() -> None:
        wait_for(lambda: web.hits.total() >= 30)
        web.latency_s = 600  # nor does it end meanwhile, however long it takes to find it
        for child in psutil.Process().children():
            if "gristmill.run.workers.worker" in " ".join(child.cmdline()):
                child.kill()
                killed.append(child.pid)
        web.latency_s = 0

    killer = threading.Thread(target=kill)
    killer.start()
    ended, watcher = run_here(small.place, tmp_path / "out", workers=1, settings=ONE_BY_ONE)
    killer.join()
    assert len(killed) == 1
    assert [said for said in watcher.said if "was killed by SIGKILL; it is tried again" in said]
    assert ended.complete
    assert tree_of(tmp_path / "out") == small.shards
    assert sum(hits - 1 for hits in web.hits.values()) <= UNFINISHED


def test_what_a_dead_process_left_is_gone_wherever_a_run_writes(web, tmp_path):
    folder = tmp_path / "out"
    write_list(tmp_path / "list.parquet", [url(web, n) for n in range(3)])
    assert run_here(tmp_path / "list.parquet", folder)[0].complete
    for place in (folder, folder / "shards", folder / "fates", folder / ".gristmill"):
        with whole_file(place / "half") as stream:
            (mine,) = (name for name in os.listdir(place) if ".tmp-" in name)
            stream.write(b"x")
            (place / f"{mine}0").write_bytes(b"half")
        (place / "half").unlink()
    assert len(temporaries(folder)) == 4
    assert run_here(tmp_path / "list.parquet", folder)[0].complete
    assert temporaries(folder) == []
