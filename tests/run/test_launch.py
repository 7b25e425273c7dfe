import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest
from small_world import Watcher, job, url, write_list

from gristmill.ledger.ledger import Ledger
from gristmill.run.driver import run
from gristmill.run.stages.pack import PackStage
from gristmill.run.stages.rows import Rows
from gristmill.run.stages.samples import Samples
from gristmill.run.workers.launch import launch, launched
from gristmill.run.workers.messages import Beat, Hello, WorkerStart
from gristmill.storage.store import store_at


def ignores(number: int, pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigIgn:")[2].split()[0], 16) >> (number - 1) & 1)


def running() -> list[psutil.Process]:
    """Workers of this process."""
    return [
        child
        for child in psutil.Process().children()
        if "gristmill.run.workers.worker" in " ".join(child.cmdline())
    ]


def test_those_that_are_not_taken_are_gone():
    with launched(2, arrow_pool="system") as ready:
        assert len(running()) == 2
        taken = ready.pop()
    assert [child.pid for child in running()] == [taken.process.pid]
    taken.dismiss()
    assert running() == []


def test_all_are_gone_where_the_command_fails():
    def fail() -> None:
        with launched(2, arrow_pool="system"):
            raise ValueError("there is no such column")

    with pytest.raises(ValueError, match="no such column"):
        fail()
    assert running() == []


def test_a_worker_says_hello_once_it_is_told_what_to_do_and_ends_when_told_so(tmp_path):
    worker = launch(arrow_pool="system", ahead=("gristmill.shards.webdataset",))
    deadline = time.monotonic() + 30
    while not ignores(signal.SIGINT, worker.process.pid) and time.monotonic() < deadline:
        time.sleep(0.001)
    worker.process.send_signal(
        signal.SIGINT
    )  # Ctrl-C goes to all processes of a terminal: ours alone answers
    connection = Connection(worker.ours.detach())
    connection.send(WorkerStart(load=dict, store=store_at(tmp_path), inputs=(), remotes={}, only=None))
    while isinstance(message := connection.recv(), Beat):
        pass
    assert isinstance(message, Hello)
    connection.send(None)
    assert worker.process.wait(30) == 0
    connection.close()
    worker.stacks.close()


def test_one_that_is_told_nothing_ends_without_a_word():
    code = (
        "from gristmill.run.workers.launch import launch; worker = launch(arrow_pool='system'); "
        "worker.ours.close(); raise SystemExit(worker.process.wait(30))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("workers", [0, 1])
def test_it_is_told_once_that_only_shards_are_left_to_be_made(web, tmp_path, workers):
    place = write_list(tmp_path / "list.parquet", [url(web, n) for n in range(12)])
    folder, told = tmp_path / "out", []

    def note() -> None:
        ledger = Ledger(folder)
        told.append([len(ledger.stage(stage)) for stage in (Rows.name, Samples.name, PackStage.name)])

    wanted = job(place, folder, workers=workers)
    assert run(wanted, Watcher(), when_settled=note).complete
    made = [len(Ledger(folder).stage(stage)) for stage in (Rows.name, Samples.name, PackStage.name)]
    assert told == [[*made[:2], told[0][2]]]
    assert told[0][2] < made[2]
    assert run(wanted, Watcher(), when_settled=note).complete  # nothing is left
    assert len(told) == 1
