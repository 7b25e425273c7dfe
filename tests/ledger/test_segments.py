"""Records where a store cannot append: merged into segments and bundles, whatever is killed in between."""

import pytest
from lagging_store import Lagging

from gristmill.ledger import seal
from gristmill.ledger.ledger import RECORDS, STATE, Ledger
from gristmill.spec.errors import MachineError
from gristmill.spec.task import ShardInfo, TaskRecord
from gristmill.storage import segments
from gristmill.testing.memory_store import MemoryStore

MANY = 10


class Killed(BaseException):
    """The process is gone: nothing catches it."""


@pytest.fixture
def few(monkeypatch):
    """Segments of three lines."""
    monkeypatch.setattr(segments, "SEGMENT_LINES", 3)


def record(number: int, finished_at: float = 1.7e9) -> TaskRecord:
    path = f"{STATE}/crawled/{number}.spool"
    spool = ShardInfo(path=path, role="spool", samples=4, size_bytes=77, digest="0" * 64)
    return TaskRecord(
        task_id=f"{number:016x}",
        stage="samples",
        number=(0, 0, number),
        outputs=(spool,),
        samples_in=7,
        kept=4,
        dropped={"http_404": 3},
        finished_at=finished_at + number,
    )


def names(store: MemoryStore) -> list[str]:
    return [one.name for one in store.list(RECORDS)]


def work(store: MemoryStore) -> set[str]:
    """Do what is left as a run does: in a ledger opened anew; gives what is done and was told."""
    ledger = Ledger(store)
    ledger.merge_left(fewest=2)
    taken_back = bool(ledger.records) and f"{0:016x}" not in ledger.records
    for number in range(MANY):
        if f"{number:016x}" not in ledger.records:
            ledger.commit(record(number, 1.8e9 if taken_back and number == 0 else 1.7e9))
    if f"{0:016x}" in ledger.records and ledger.records[f"{0:016x}"].finished_at < 1.8e9:
        ledger.void(f"{0:016x}")
        ledger.commit(record(0, 1.8e9))
    ledger.release([f"{STATE}/crawled/1.spool"])
    ledger.close()
    ledger.merge_left(fewest=2)
    return set(ledger.records)


def work_shortly(store: MemoryStore, *numbers: int) -> None:
    """Do some tasks as a process that does no more, and merges nothing that others left."""
    ledger = Ledger(store)
    for number in numbers:
        ledger.commit(record(number))
    ledger.close()


def test_lines_are_merged_and_read_in_few_requests(few, tmp_path):
    store = MemoryStore(tmp_path)
    work(store)
    assert len(names(store)) == 5  # 10 records, void, record, release: 13 lines
    store.calls.clear()
    ledger = Ledger(store)
    assert len(ledger.records) == MANY
    assert store.calls == {"list": 1, "read": 5}
    assert ledger.records[f"{0:016x}"].finished_at == 1.8e9
    first = ledger.records[f"{1:016x}"]
    assert ledger.is_released(first, first.outputs[0])


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_kill_at_any_instant_loses_nothing_and_doubles_nothing(monkeypatch, tmp_path, fault):
    """Each call of the store in turn is the last of its process; the next one continues, and all is as without."""
    monkeypatch.setattr(segments, "SEGMENT_LINES", 5)
    plain = MemoryStore(tmp_path / "plain")
    work(plain)
    wanted, left, commit = Ledger(plain), 0, Ledger.commit
    for instant in range(1, 200):
        store, calls = MemoryStore(tmp_path / str(instant)), 0
        for some in ([0], [1, 2], [3]):
            work_shortly(store, *some)
        acknowledged: set[str] = set()

        def die(verb: str, name: str, instant: int = instant) -> None:
            nonlocal calls
            calls += 1
            if calls == instant:
                raise Killed

        def told(self, one: TaskRecord, acknowledged: set[str] = acknowledged) -> None:
            commit(self, one)
            acknowledged.add(one.task_id)

        setattr(store, fault, die)
        Ledger.commit = told
        try:
            work(store)
            break
        except Killed:
            pass
        finally:
            Ledger.commit = commit
            setattr(store, fault, lambda verb, name: None)
        found = Ledger(store)
        # A record is taken back and done anew in two lines: between them it is not done.
        assert acknowledged - {f"{0:016x}"} <= set(found.records), instant
        work(store)
        again = Ledger(store)
        assert again.records == wanted.records, instant
        seal.seal(again, {})
        again.merge_left(fewest=2)
        left = max(left, len(names(store)))
        assert Ledger(store).records == wanted.records, instant
        assert list(seal.broken(store, ())) == [], instant
    else:
        pytest.fail("it never came through")
    assert instant > 30
    assert left < 8


def test_a_reader_that_is_overtaken_by_a_merge_reads_the_segment(few, tmp_path):
    store = MemoryStore(tmp_path)
    writer, reader = Ledger(store), Ledger(store)
    for number in range(2):
        writer.commit(record(number))
    store.before = lambda verb, name: overtake() if verb == "read" else None

    def overtake() -> None:
        store.before = lambda verb, name: None
        writer.commit(record(2))

    assert [one.number[2] for one in reader.refresh(now=True)] == [0, 1, 2]
    assert reader.refresh(now=True) == []
    assert list(reader.read_to) == names(store)


def test_what_was_read_apart_is_not_new_when_it_is_merged(few, tmp_path):
    store = MemoryStore(tmp_path)
    writer, reader = Ledger(store), Ledger(store)
    writer.commit(record(0))
    writer.commit(record(1))
    assert len(reader.refresh(now=True)) == 2
    writer.commit(record(2))
    assert [one.number[2] for one in reader.refresh(now=True)] == [2]


def test_a_store_that_takes_no_segment_keeps_each_line(few, tmp_path):
    def refuse(verb: str, name: str) -> None:
        if segments.segment_of(name) is not None or verb == "delete":
            raise MachineError("no")

    store = MemoryStore(tmp_path)
    store.before = refuse
    ledger = Ledger(store)
    for number in range(MANY):
        ledger.commit(record(number))
    ledger.close()
    assert len(names(store)) == MANY
    assert len(Ledger(store).records) == MANY


def test_the_seal_outlives_a_merge_and_tells_an_altered_line(few, tmp_path):
    store = MemoryStore(tmp_path)
    ledger = Ledger(store)
    ledger.commit(record(0))
    ledger.commit(record(1))
    seal.seal(ledger, {})
    ledger.commit(record(2))
    assert len(names(store)) == 1
    assert list(seal.broken(store, ())) == []
    body = store.read(names(store)[0])
    store.put(names(store)[0], body.replace(b'"kept":4', b'"kept":5', 1))
    assert ["altered" in what for _, what in seal.broken(store, ())].count(True) == 1


def test_where_listings_lag_lines_that_were_merged_are_waited_for(tmp_path, monkeypatch):
    for place in ("ledger", "seal"):
        monkeypatch.setattr(f"gristmill.ledger.{place}.LAGS_S", (0.0,) * 6)
    store = Lagging(tmp_path, lag=5)
    writer = Ledger(store)
    for number in range(4):
        writer.commit(record(number))
    for _ in range(5):
        list(store.list())  # the lines are listed by now
    reader = Ledger(store)
    assert set(reader.records) == set(writer.records)
    writer.close()
    assert set(Ledger(store).records) == set(writer.records)
    for _ in range(2):
        seal.seal(reader, {})
        assert list(seal.broken(store, ())) == []
    store.delete(next(one.name for one in MemoryStore.list(store, RECORDS)))
    assert len(list(seal.broken(store, ()))) == 4


def test_what_many_short_processes_left_is_read_in_few_requests(monkeypatch, tmp_path):
    """Bundles of few lines are put into others; the seal finds in them what it knows by older names."""
    monkeypatch.setattr(segments, "SEGMENT_LINES", 20)
    store, sealed = MemoryStore(tmp_path), []
    for number in range(0, 60, 2):
        work_shortly(store, *([number] if number % 4 else [number, number + 1]))
        ledger = Ledger(store)
        if number % 12 == 0:
            seal.seal(ledger, {})
            sealed.append(store.read(seal.SEAL))
        ledger.merge_left(fewest=4)
    wanted = Ledger(store)
    assert len(wanted.records) == 45
    wanted.merge_left(fewest=2)
    assert len(names(store)) <= 5
    assert all(name.startswith(f"{RECORDS}/bundle-") for name in names(store))
    store.calls.clear()
    found = Ledger(store)
    assert store.calls == {"list": 1, "read": len(found.read_to)}
    assert found.records == wanted.records
    assert list(found.read_to) == names(store)
    for one in sealed:
        store.put(seal.SEAL, one)
        assert list(seal.broken(store, ())) == []
    some = next(name for name in names(store) if b'"number":[0,0,40]' in store.read(name))
    store.put(some, store.read(some).replace(b'"kept":4', b'"kept":5'))
    assert any("altered" in what for _, what in seal.broken(store, ()))


@pytest.mark.parametrize(
    "first_line",
    [b"", b"{}\n", b"[1]\n", b'{"bundle":1}\n', b'{"bundle":{"x":"1"}}\n', b'{"bundle":{"x":-1}}\n'],
)
def test_a_bundle_whose_first_line_was_altered_is_told(tmp_path, first_line):
    store = MemoryStore(tmp_path)
    for number in range(5):
        work_shortly(store, number)
    ledger = Ledger(store)
    seal.seal(ledger, {})
    apart = {name: store.read(name) for name in names(store)}
    segments.bundle(store, list(store.list(RECORDS)))
    (bundle,) = {*names(store)} - apart.keys()
    assert list(seal.broken(store, ())) == []
    store.put(bundle, first_line + store.read(bundle).partition(b"\n")[2])
    told = [what for _, what in seal.broken(store, ())]
    assert told
    assert all(f"the first line of {bundle} was altered" in what for what in told)


def test_lines_of_commands_at_work_are_theirs_to_merge(few, tmp_path):
    store = MemoryStore(tmp_path)
    working = Ledger(store)
    working.commit(record(0))
    working.commit(record(1))
    (stem,) = {name.rpartition("-")[0] for name in names(store)}
    Ledger(store).merge_left(lambda: [stem.rpartition("-")[0] + "-"], fewest=2)
    assert len(names(store)) == 2
    Ledger(store).merge_left(fewest=2)  # whoever takes it for gone does no harm
    working.commit(record(2))
    assert len(Ledger(store).records) == 3
    assert len(names(store)) == 2


def test_two_that_merge_the_same_at_once_double_nothing(tmp_path):
    store = MemoryStore(tmp_path)
    for number in range(6):
        work_shortly(store, number)
    first, second = Ledger(store), Ledger(store)

    def overtake(verb: str, name: str) -> None:
        if verb == "put_if_absent":
            store.before = lambda verb, name: None
            second.merge_left(fewest=2)

    store.before = overtake
    first.merge_left(fewest=2)
    assert len(names(store)) == 1
    assert len(Ledger(store).records) == 6
    assert first.refresh(now=True) == []
    assert list(first.read_to) == names(store)


@pytest.mark.parametrize("at", range(3))
def test_the_seal_of_one_that_is_overtaken_by_two_merges_is_that_of_all_lines(tmp_path, at):
    """The bundle that it has just seen listed is in another by then; at whichever reading it is overtaken."""
    store = MemoryStore(tmp_path)
    for number in range(4):
        work_shortly(store, number)
    sealing = Ledger(store)
    Ledger(store).merge_left(fewest=2)
    reads = []

    def overtake(verb: str, name: str) -> None:
        reads.append(name) if verb in ("read", "fetch") and "bundle-" in name else None
        if len(reads) > at:
            store.before = lambda verb, name: None
            work_shortly(store, 4)
            Ledger(store).merge_left(fewest=2)

    store.before = overtake
    seal.seal(sealing, {})
    assert len(reads) > at
    assert list(seal.broken(store, ())) == []
