"""Tasks on a Ray cluster of several raylets on this machine: the same bytes, whoever dies."""

import os
import signal
import warnings
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from small_world import Process, tree_of, url, wait_for, write_list

from gristmill.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("ray")]

SLOWLY = {"crawl.in_flight": "4", "rows.part_rows": "10"}
NODE = {"object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def head():
    """A head without processors: what is lost with a node is never the head."""
    # not with the module: only these, which are seldom run, need a quarter of a second's imports
    pytest.importorskip("ray", reason="needs Ray: pip install -e '.[ray]'", exc_type=ImportError)
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")
        # Ray's processes speak to each other by the machine's own address, which is not the loopback's
        paths = os.environ["PYTHONPATH"].split(os.pathsep)
        patch.setenv("PYTHONPATH", os.pathsep.join(p for p in paths if Path(p).name != "loopback_only"))
        made = Cluster()
        made.add_node(num_cpus=0, include_dashboard=False, **NODE)
        patch.setenv("RAY_ADDRESS", made.address)
        yield made
        made.shutdown()


@pytest.fixture
def add(head):
    """Adds nodes of one processor; they are gone when the test ends."""
    added = []

    def add_node(memory: int = 2 << 30):
        added.append(head.add_node(num_cpus=1, memory=memory, wait=True, **NODE))
        return added[-1]

    yield add_node
    for node in added:
        if node in head.worker_nodes:
            head.remove_node(node)  # one that is killed counts as alive for a while


@pytest.fixture
def world(web, tmp_path):
    """A list, and what a local run makes of it."""
    place = write_list(tmp_path / "list.parquet", [url(web, n) for n in range(110)])
    with Process(place, tmp_path / "here", workers=0) as process:
        assert process.end()[0] == 0
    return place, tree_of(tmp_path / "here")


def workers_alive() -> list[psutil.Process]:
    """Those of this cluster: its nodes are children of this process."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any("gristmill.run.workers.worker" in word for word in process.cmdline()):
                found.append(process)
    return found


def test_the_same_bytes_though_a_node_dies(head, add, world, web, tmp_path):
    place, expected = world
    nodes = [add() for _ in range(3)]
    web.latency_s = 0.2
    with Process(place, tmp_path / "out", workers=0, on="ray", settings=SLOWLY) as process:
        before = web.hits.total()
        wait_for(lambda: web.hits.total() > before + 25, 90)
        head.remove_node(nodes[0], allow_graceful=False)
        code, said = process.end(200)
    assert code == 0, said
    assert "complete" in said
    assert "was lost with its actor" in said
    assert tree_of(tmp_path / "out") == expected


def test_a_killed_driver_takes_its_workers_with_it_and_the_same_command_goes_on(add, world, web, tmp_path):
    place, expected = world
    add(), add()
    web.latency_s = 0.2
    with Process(place, tmp_path / "out", workers=2, on="ray", settings=SLOWLY) as process:
        before = web.hits.total()
        wait_for(lambda: web.hits.total() > before + 25, 90)
        there = workers_alive()
        assert len(there) >= 2
        os.kill(process.popen.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(there, 15)
        assert not alive
    web.latency_s = 0
    with Process(place, tmp_path / "out", workers=2, on="ray", settings=SLOWLY) as process:
        code, said = process.end(120)
    assert code == 0, said
    assert tree_of(tmp_path / "out") == expected


def test_a_worker_that_is_killed_is_replaced_and_a_node_too_small_is_told(add, world, web, tmp_path):
    place, expected = world
    add(memory=100 << 20)
    with Process(place, tmp_path / "none", on="ray", workers=0) as process:
        code, said = process.end(60)
    assert code == 1
    assert "a worker needs 1 CPU and 1 GiB of memory on one node" in said
    add()
    web.latency_s = 0.2
    with Process(place, tmp_path / "out", workers=1, on="ray", settings=SLOWLY) as process:
        before = web.hits.total()
        wait_for(lambda: web.hits.total() > before + 10, 90)
        for worker in workers_alive():
            worker.kill()
        web.latency_s = 0
        code, said = process.end(120)
    assert code == 0, said
    assert "was killed by SIGKILL; it is tried again" in said
    assert tree_of(tmp_path / "out") == expected


def test_a_node_that_comes_late_gets_work_and_what_sigterm_stops_goes_on(add, world, web, tmp_path):
    place, expected = world
    add()
    web.latency_s = 1  # half a minute for one worker: a node takes some seconds to begin
    port = urlsplit(web.url("/")).port

    def asking() -> int:
        each = (worker.net_connections() for worker in workers_alive())
        return sum(any(one.raddr and one.raddr.port == port for one in opened) for opened in each)

    with Process(place, tmp_path / "out", workers=2, on="ray", settings=SLOWLY) as process:
        wait_for(lambda: asking() == 1, 90)
        add()
        wait_for(lambda: asking() == 2, 90)
        there = workers_alive()
        process.popen.terminate()
        code, said = process.end(30)
        assert code == 128 + signal.SIGTERM, said
        assert "stopping: what is under way has up to 10 s to end" in said
        assert not psutil.wait_procs(there, 15)[1]
    web.latency_s = 0
    kept = len(Ledger(tmp_path / "out").records)
    with Process(place, tmp_path / "out", workers=2, on="ray", settings=SLOWLY) as process:
        code, said = process.end(120)
    assert code == 0, said
    assert kept
    assert tree_of(tmp_path / "out") == expected
