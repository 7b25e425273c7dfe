"""``gristmill status``: which commands work on a dataset, and which are gone."""

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress

import msgspec
import pytest
from typed import GRISTMILL, gristmill

from gristmill.cli.who_works import who_works, who_works_json
from gristmill.ledger import at_work as module
from gristmill.ledger.at_work import AT_WORK, Announced, AtWork, WorkerAt, at_work, processes_here
from gristmill.spec.errors import Busy, Interrupted, MachineError
from gristmill.spec.task import Task
from gristmill.storage.files import whole_file
from gristmill.storage.local import LocalStore
from gristmill.testing.memory_store import MemoryStore
from gristmill.testing.web import FakeWeb

ARRAY = {"ID": 2, "MIN": 1, "MAX": 3, "COUNT": 3}
SLURM = {"SLURM_ARRAY_JOB_ID": "77", **{f"SLURM_ARRAY_TASK_{name}": str(n) for name, n in ARRAY.items()}}


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def commands(folder):
    return json.loads(gristmill("status", folder, "--json").stdout)["commands"]


def test_a_command_is_named_while_it_works_and_when_it_is_gone(tmp_path):
    folder = tmp_path / "out"
    with FakeWeb(latency_s=0.1) as web:
        (tmp_path / "urls.txt").write_text(
            "\n".join(web.url(f"/photo/{n % 7}.jpg?w=64&n={n}") for n in range(60))
        )
        typed = (
            "crawl",
            tmp_path / "urls.txt",
            "--out",
            folder,
            "--allow-private-addresses",
            "--workers",
            "0",
        )
        typed += ("--set", "rows.part_rows=4")
        process = subprocess.Popen(
            [GRISTMILL, *map(str, typed), "--share", "slurm"],
            env={**os.environ, **SLURM},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_for(web.hits.total)
            process.send_signal(signal.SIGSTOP)
            (one,) = commands(folder)
            said = gristmill("status", folder).stdout
        finally:
            process.kill()
            process.wait()
        assert (one["pid"], one["host"], one["job"]) == (process.pid, socket.gethostname(), "77_2")
        assert (one["share"], one["lives"], one["gone"]) == ([2, 3], True, False)
        assert 0 <= time.time() - one["since"] < 60
        named = f"process {process.pid} on {socket.gethostname()}, job 77_2, --share 2/3, since 20"
        assert f"at work: {named}" in said
        assert "gone" not in said
        said = gristmill("status", folder).stdout
        assert f"gone: {named}" in said
        assert (
            "Nobody works on it now. What it had finished is kept; the same command with --share 2/3 does"
            in said
        )
        web.latency_s = 0
        gristmill(*typed, "--share", "1/3")
        assert [one["share"] for one in commands(folder)] == [[2, 3]]  # still missing
        gristmill(*typed, "--share", "2/3")
        assert commands(folder) == []
        gristmill(*typed)
    assert list((folder / AT_WORK).iterdir()) == []


@pytest.fixture
def announced(tmp_path):
    """In a store where no lease is seen by all."""
    store = MemoryStore(tmp_path)
    with store.leases("leases") as leases:
        yield store, lambda: Announced(store, leases, share=None, span=None)


def test_in_an_object_store_silence_tells(announced, monkeypatch):
    store, announce = announced
    with announce():
        now = time.time()
        monkeypatch.setattr(module.time, "time", lambda: now + 40)
        (one,) = at_work(store)
        assert (one.lives, one.gone) == (None, False)
        monkeypatch.setattr(module.time, "time", lambda: now + 90)
        assert at_work(store)[0].gone
    assert at_work(store) == []


def test_a_sign_is_renewed_whatever_the_command_is_at_and_goes_on_when_the_store_is_back(
    announced, monkeypatch
):
    store, announce = announced
    monkeypatch.setattr(module, "RENEWED_S", 0.01)
    refused = []

    def refuse(verb: str, name: str) -> None:
        refused.append(verb)
        raise MachineError("the store does not answer")

    with announce() as own:
        own.in_hand = {"1": Task(stage="samples", number=(0, 0, 0), inputs=(), identity="")}
        wait_for(lambda: at_work(store)[0].tasks == {"samples": 1})
        store.before = refuse
        wait_for(lambda: len(refused) > 2)
        store.before = lambda verb, name: None
        known = at_work(store)[0].beats
        wait_for(lambda: at_work(store)[0].beats > known)
    assert at_work(store) == []


def test_in_an_object_store_a_process_that_ended_on_this_machine_is_gone_at_once(announced):
    store, announce = announced
    with subprocess.Popen(["true"]) as process:
        pass
    now = time.time()
    here, processes = socket.gethostname(), processes_here()
    for place, (host, of) in enumerate(
        ((here, processes), ("elsewhere", processes), (here, "another container"))
    ):
        sign = AtWork(name="x", host=host, pid=process.pid, processes=of, since=now, seen=now)
        store.put(f"{AT_WORK}/{place}.json", msgspec.json.encode(sign))
    assert [one.gone for one in at_work(store)] == [True, False, False]
    store.delete(f"{AT_WORK}/2.json")
    with announce():
        assert {one.host: one.pid for one in at_work(store)} == {
            socket.gethostname(): os.getpid(),
            "elsewhere": process.pid,
        }


def test_what_is_first_in_hand_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LOOKED_S", 0.01)
    store = LocalStore(tmp_path)
    with store.leases("leases") as leases, Announced(store, leases, share=None, span=None) as own:
        tasks = [Task(stage="samples", number=(0, 0, n), inputs=(), identity="") for n in range(18)]
        own.in_hand = {str(n): task for n, task in enumerate(tasks)}
        wait_for(lambda: at_work(store)[0].tasks)
        (said,) = who_works(at_work(store, leases))
        assert said.endswith("ago it had 18 crawl tasks in hand")
        assert at_work(store)[0].beats == 2


@pytest.mark.parametrize("kind", [LocalStore, MemoryStore])
def test_one_that_ended_with_an_error_is_told_with_its_exit_code_until_its_work_is_taken_up(kind, tmp_path):
    store = kind(tmp_path)

    def fails(err: BaseException, *, begun: bool = True) -> None:
        with (
            suppress(type(err)),
            store.leases("leases") as leases,
            Announced(store, leases, share=(3, 4), span=None) as own,
        ):
            if begun:
                own.take_up(at_work(store, leases, of=lambda name: name != own.sign.name))
            raise err

    fails(Interrupted(signal.SIGTERM))
    fails(MachineError("refused before it had begun"), begun=False)
    (said, then) = who_works(at_work(store))
    assert said.startswith(
        f"ended with exit code 143: process {os.getpid()} on {socket.gethostname()}, --share 3/4"
    )
    assert said.endswith("ago it said: Stopped. Everything finished is kept; the same command continues.")
    assert then.endswith("What it had finished is kept; the same command with --share 3/4 does the rest.")
    fails(MachineError("no space left\n" + "x" * 9999))
    (one,) = at_work(store)
    assert (one.exit_code, one.said, one.gone) == (1, "no space left", True)
    with store.leases("leases") as leases, Announced(store, leases, share=(3, 4), span=None) as own:
        assert [one.gone for one in at_work(store, leases) if one.name != own.sign.name] == [True]
        own.take_up([one])
    assert at_work(store) == []
    fails(Busy("others have all that is left"))
    assert at_work(store) == []


def test_a_failed_command_is_told_by_status_and_forgotten_once_all_is_done(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    with FakeWeb() as web:
        (tmp_path / "urls.txt").write_text(web.url("/photo/1.jpg?w=64"))
        typed = (
            "crawl",
            tmp_path / "urls.txt",
            "--out",
            folder,
            "--allow-private-addresses",
            "--workers",
            "0",
        )
        with monkeypatch.context() as patched:
            patched.setattr("gristmill.run.driver._loop", _without_disk)
            gristmill(*typed, "--share", "1/1", code=1)
        assert "ended with exit code 1: process" in gristmill("status", folder).stdout
        (one,) = commands(folder)
        assert (one["exit_code"], one["said"], one["gone"]) == (1, "no space left on the disk", True)
        gristmill(*typed)
    assert commands(folder) == []


def _without_disk(*_: object) -> None:
    raise MachineError("no space left on the disk")


def test_workers_on_other_machines_are_told_by_machine(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    monkeypatch.setattr(module, "_RENEWED_IN_FOLDER_S", 0.01)
    since = time.time() - 125
    workers = [
        WorkerAt(host=host, pid=pid, since=since + pid, tasks=tasks)
        for host, pid, tasks in (("b", 1, {"samples": 3, "pack": 1}), ("a", 2, {}), ("b", 3, {"samples": 2}))
    ]
    with store.leases("leases") as leases, Announced(store, leases, share=None, span=None) as own:
        own.workers = lambda: workers
        wait_for(lambda: at_work(store, leases)[0].workers)
        (one,) = at_work(store, leases)
    assert list(who_works([one]))[1:] == [
        "  on a: 1 worker, for 2 min 3 s, with nothing in hand",
        "  on b: 2 workers, for 2 min 4 s, with 1 pack task, 5 crawl tasks in hand",
    ]
    assert who_works_json([one])[0]["workers"][1] == {"host": "a", "pid": 2, "since": since + 2, "tasks": {}}
    many = AtWork(
        name="x", host="h", pid=1, workers=tuple(WorkerAt(host=f"{n:03}", pid=n) for n in range(300))
    )
    said = list(who_works([many]))
    assert len(said) < 30
    assert "  and on 280 more; --json tells of all" in said


def test_a_sign_that_is_being_written_is_not_taken_from_whoever_does(tmp_path):
    store = LocalStore(tmp_path)
    with store.leases("leases") as leases, Announced(store, leases, share=None, span=None) as own:
        with whole_file(
            tmp_path / AT_WORK / "other-1-ab.json"
        ) as stream:  # of a command that begins just now
            stream.write(msgspec.json.encode(AtWork(name="x", host="here", pid=1, since=1.0, seen=2.0)))
            stream.flush()
            own.complete()
        assert {one.pid for one in at_work(store, leases)} == {1, os.getpid()}


def test_what_a_stranger_put_there_is_passed_over_or_shown_without_what_a_terminal_obeys(tmp_path):
    folder = tmp_path / "out"
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:9/1.jpg\n")
    gristmill("crawl", tmp_path / "urls.txt", "--out", folder, "--workers", "0", code=None)
    for number, body in enumerate((b"{", b"[" * 100_000, b'{"name":"x","host":"x","pid":1,"since":1e300}')):
        (folder / AT_WORK / f"{number}.json").write_bytes(body)
    strange = AtWork(name="../../x", host="\x1b[2J", pid=1, job="\x1b]0;x\x07", since=1.0, seen=2.0)
    (folder / AT_WORK / "z.json").write_bytes(msgspec.json.encode(strange))
    (one,) = at_work(LocalStore(folder))
    assert one.name == f"{AT_WORK}/z.json"
    said = "\n".join(who_works([one]))
    assert "gone: process 1 on \\x1b[2J" in said
    assert "\x1b" not in said


def test_what_a_killed_command_left_of_its_sign_goes_with_the_next(tmp_path):
    """It is named as this machine names what it writes, and nobody holds it."""
    folder = tmp_path / "out"
    (tmp_path / "urls.txt").write_text("nothing://127.0.0.1/1.jpg\n")
    gristmill("crawl", tmp_path / "urls.txt", "--out", folder, code=None)
    with whole_file(folder / AT_WORK / "vm-1-2.json") as stream:
        stream.write(b"{")
        (half,) = (folder / AT_WORK).glob(".vm-1-2.json.tmp-*")
        name = half.name
    left = folder / AT_WORK / name
    left.write_bytes(b"{")
    gristmill("crawl", tmp_path / "urls.txt", "--out", folder, code=None)
    assert not left.exists()
