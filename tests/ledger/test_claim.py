"""Two commands on one object store, from two machines or one: which of them begins."""

import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from threading import Barrier, Event, Thread

import msgspec
import pytest

from gristmill.ledger import at_work as signs
from gristmill.ledger import claim as module
from gristmill.ledger.at_work import AT_WORK, LEASES, Announced, AtWork, at_work
from gristmill.ledger.claim import claim
from gristmill.spec.errors import Busy
from gristmill.testing.memory_store import MemoryStore

HOLDS = """
import sys
from pathlib import Path
from gristmill.storage.leases import Leases
with Leases(Path(sys.argv[1])) as leases:
    leases.take(sys.argv[2])
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Signs come often; nothing is taken for gone for want of time."""
    monkeypatch.setattr(signs, "RENEWED_S", 0.02)
    monkeypatch.setattr(module, "_POLL_S", 0.01)
    monkeypatch.setattr(module, "WATCHED_S", 60)


@pytest.fixture
def store(tmp_path):
    return MemoryStore(tmp_path / "one")


def nothing():
    pass


@contextmanager
def command(store, *, share=None, span=None):
    """A command that has begun; gives what it found to be gone, and what it was told."""
    told = []
    with (
        store.leases(LEASES) as leases,
        Announced(store, leases, share=share, span=span) as own,
    ):
        yield claim(own, told.append, nothing), told


class Waits(Exception):
    pass


def waits(store, after_checks=3):
    """Whether a command is still watching others' signs when it has looked so often; it is then interrupted."""
    checks = []

    def check():
        checks.append(1)
        if len(checks) == after_checks:
            raise Waits

    with store.leases(LEASES) as leases, Announced(store, leases, share=None, span=None) as own:
        try:
            claim(own, lambda text: None, check)
        except Waits:
            return True
    return False


def left_by(store, machine, **more):
    """The sign of a command that was killed on a machine."""
    with machine.leases(LEASES) as leases:
        sign = Announced(machine, leases, share=None, span=None).sign
    sign = msgspec.structs.replace(sign, seen=sign.since, begun=True, **more)
    store.put(sign.name, msgspec.json.encode(sign))
    return sign


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"share": (3, 16)}, {"share": (3, 16)}),
        ({"share": (3, 16)}, {"share": (3, 8)}),
        ({}, {"share": (3, 16)}),
        ({"share": (3, 16)}, {}),
        ({"span": (0, 3)}, {"span": (2, 4)}),
    ],
)
def test_of_two_machines_on_the_same_work_the_second_leaves(store, tmp_path, first, second):
    other = store.from_machine(tmp_path / "other")
    with command(store, **first):
        with pytest.raises(Busy, match=r"another command works on it: process \d+ on .*since 20.*--share"):
            command(other, **second).__enter__()
        (one,) = at_work(store)
        assert one.begun
    assert at_work(store) == []
    with command(other, **second) as (gone, told):
        assert (gone, told) == ([], [])


def test_shares_and_tasks_that_have_nothing_in_common_are_not_even_read(store, tmp_path):
    with ExitStack() as stack:
        for number in range(1, 5):
            machine = store.from_machine(tmp_path / str(number))
            stack.enter_context(command(machine, share=(number, 4)))
            assert machine.calls["read"] == 0
    with (
        command(store, span=(0, 3)),
        command(store.from_machine(tmp_path / "other"), span=(3, 4)) as (gone, told),
    ):
        assert (gone, told) == ([], [])


def test_one_that_is_silent_is_taken_for_gone_after_a_while(store, tmp_path, monkeypatch):
    sign = left_by(store, store.from_machine(tmp_path / "dead"), host="node03")
    monkeypatch.setattr(module, "WATCHED_S", 0.1)
    with command(store) as (gone, (said,)):
        assert [one.name for one in gone] == [sign.name]
        assert f"process {sign.pid} on node03, since 20" in said


def test_whoever_waits_can_be_interrupted(store, tmp_path):
    left_by(store, store.from_machine(tmp_path / "dead"))
    assert waits(store)
    assert len(at_work(store)) == 1


def test_on_the_same_machine_a_lease_tells_at_once(store):
    sign = left_by(store, store)
    with command(store) as (gone, told):
        assert ([one.name for one in gone], told) == ([sign.name], [])
    words = (sys.executable, "-c", HOLDS, store.work(LEASES), sign.name)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with command(store) as (gone, told):  # by leases they divide their tasks
            assert (gone, told) == ([], [])


def test_a_cache_that_two_machines_see_without_its_locks_tells_nothing(store):
    sign = left_by(store, store, host="node03")
    assert waits(store)
    assert [one.name for one in at_work(store)] == [sign.name]


def test_of_many_that_begin_at_once_one_stays(store, tmp_path):
    ready, done, fates = Barrier(4), Barrier(4), []

    def begin(number):
        machine = store.from_machine(tmp_path / str(number))
        ready.wait()
        with ExitStack() as stack:
            try:
                stack.enter_context(command(machine))
            except Busy:
                fates.append("left")
            else:
                fates.append("stayed")
            done.wait()

    for _ in range(5):
        fates.clear()
        threads = [Thread(target=begin, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(fates) == ["left"] * 3 + ["stayed"]
        assert not list(store.list(AT_WORK))


def test_signs_of_earlier_versions_are_of_commands_that_have_begun():
    assert msgspec.json.decode(b'{"name":"x","host":"y","pid":1}', type=AtWork).begun


def test_however_many_signs_there_are_the_last_is_read(store):
    for number in range(10_001):
        store.put(f"{AT_WORK}/share-1-2.{number:05d}.json", b"")
    sign = AtWork(name="x", host="node03", pid=1, since=1.0, seen=2.0)
    store.put(f"{AT_WORK}/share-2-2.last.json", msgspec.json.encode(sign))
    assert [one.host for one in at_work(store, of=lambda name: "share-2-2" in name)] == ["node03"]


class Late(MemoryStore):
    """Lists no signs until it is told to."""

    listed = True

    def list(self, folder=""):
        yield from () if folder == AT_WORK and not Late.listed else super().list(folder)


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def leaves(own):
    try:
        own.check()
    except Busy as err:
        return str(err)
    return ""


@contextmanager
def at_it(store):
    """A command that has begun, and what it is known by."""
    with store.leases(LEASES) as leases, Announced(store, leases, share=None, span=None) as own:
        own.take_up(claim(own, lambda text: None, nothing))
        yield own


def test_of_two_that_could_not_see_each_other_the_second_leaves_once_it_can(tmp_path, monkeypatch):
    monkeypatch.setattr(signs, "_LOOKS", 1000)
    monkeypatch.setattr(Late, "listed", False)
    store = Late(tmp_path / "one")
    with at_it(store) as one, at_it(store.from_machine(tmp_path / "two")) as other:
        first, second = sorted((one, other), key=lambda own: own.sign.name)
        assert (leaves(first), leaves(second)) == ("", "")
        monkeypatch.setattr(Late, "listed", True)
        wait_for(lambda: leaves(second))
        assert f"at the same time, and works on it: {first.sign.title}" in leaves(second)
        assert leaves(first) == ""


def test_one_whose_sign_comes_back_after_it_was_removed_leaves_all_the_same(store, tmp_path, monkeypatch):
    """Its put took longer than others wait: what they removed is there again."""
    monkeypatch.setattr(module, "WATCHED_S", 0.1)
    monkeypatch.setattr(signs, "WATCHED_S", 0.1)
    stuck, goes_on = Event(), Event()

    def hold(verb, name):
        if verb == "put":
            stuck.set()
            assert goes_on.wait(20)

    with at_it(store) as own:
        store.before = hold
        assert stuck.wait(20)
        with at_it(store.from_machine(tmp_path / "other")) as other:
            assert store.size(own.sign.name) is None
            goes_on.set()
            wait_for(lambda: store.size(own.sign.name) is not None)
            wait_for(lambda: leaves(own))
            assert "another has taken up its work" in leaves(own)
            assert leaves(other) == ""
