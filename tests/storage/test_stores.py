"""What every store must do: these tests run over each of them."""

import threading

import pytest

from gristmill.spec.errors import UsageError
from gristmill.storage.local import LocalStore
from gristmill.storage.object import ObjectStore
from gristmill.storage.store import Store, Stored, store_at
from gristmill.testing.memory_store import MemoryStore

BODY = bytes(range(256)) * 4096


@pytest.fixture(
    params=["local", "memory", "s3", "gs", pytest.param("az", marks=pytest.mark.slow, id="azure")]
)
def store(request, tmp_path, monkeypatch) -> Store:
    if server := {"s3": "bucket", "gs": "google", "az": "azure"}.get(request.param):
        monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
        return ObjectStore(f"{request.param}://bucket/{tmp_path.name}", request.getfixturevalue(server))
    return LocalStore(tmp_path / "data") if request.param == "local" else MemoryStore(tmp_path / "work")


def names(store: Store, folder: str = "") -> list[str]:
    return [one.name for one in store.list(folder)]


def break_off(store: Store) -> None:
    with store.writing("shards/0.tar") as stream:
        stream.write(b"half")
        raise ZeroDivisionError


def test_what_is_put_is_read_fetched_listed_and_deleted(store, tmp_path):
    own = tmp_path / "own.bin"
    own.write_bytes(BODY)
    store.put("shards/00001.tar", own)
    store.put("shards/00000.tar", b"first")
    store.put("README.md", b"old")
    store.put("README.md", b"card")
    assert store.read("README.md") == b"card"
    assert store.fetch("shards/00001.tar").read_bytes() == BODY
    assert store.fetch("shards/00001.tar").name == "00001.tar"
    assert store.read("shards/00001.tar", 255, 3) == BODY[255:258]
    assert store.read("shards/00000.tar", 3, 100) == b"st"
    with store.open("shards/00001.tar", 256) as stream:
        assert stream.read(2) == b"\0\1"
    ranges = [(70_000, 70_003), (5, 6), (0, 2), (len(BODY) - 1, len(BODY))]
    assert list(store.pieces("shards/00001.tar", ranges)) == [BODY[a:b] for a, b in ranges]
    assert BODY[-2:] not in store.pieces("shards/00001.tar", [(len(BODY) + 1, len(BODY) + 3)])
    assert list(store.list("shards")) == [
        Stored("shards/00000.tar", 5),
        Stored("shards/00001.tar", len(BODY)),
    ]
    assert names(store) == ["README.md", "shards/00000.tar", "shards/00001.tar"]
    assert names(store, "shard") == names(store, "nothing/at/all") == []
    assert (store.size("README.md"), store.size("shards/00002.tar"), store.size("README.md/x")) == (
        4,
        None,
        None,
    )
    for _ in range(2):
        store.delete("shards/00000.tar")
    assert names(store, "shards") == ["shards/00001.tar"]


def test_what_is_not_there_is_said_so(store):
    for ask in (store.read, store.open, lambda name: store.fetch(name).read_bytes()):
        with pytest.raises(FileNotFoundError):
            ask("shards/00000.tar")


def test_a_file_is_fetched_anew_when_another_took_its_place(store):
    store.put("run.json", b"old")
    assert store.fetch("run.json").read_bytes() == b"old"
    store.put("run.json", b"new")
    assert store.fetch("run.json").read_bytes() == b"new"


def test_of_many_that_put_if_absent_one_is_first_and_its_bytes_stay(store):
    won = []
    start = threading.Barrier(8)

    def claim(n: int) -> None:
        start.wait()
        if store.put_if_absent("records/0.jsonl", b"%d" % n):
            won.append(n)

    threads = [threading.Thread(target=claim, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("records/0.jsonl") == b"%d" % won[0]
    assert names(store) == ["records/0.jsonl"]


def test_a_stream_is_there_whole_or_not_at_all(store):
    with store.writing("shards/0.tar") as stream:
        stream.write(BODY)
        assert store.size("shards/0.tar") is None
    with pytest.raises(ZeroDivisionError):
        break_off(store)
    assert store.read("shards/0.tar") == BODY
    assert names(store) == ["shards/0.tar"]


def test_a_file_made_over_time_is_put_where_it_belongs(store):
    path = store.work("crawled/0.spool")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one")
    with store.work("crawled/0.spool").open("ab") as stream:  # a second try goes on
        stream.write(b"two")
    store.put("crawled/0.spool", path)
    assert store.read("crawled/0.spool") == b"onetwo"


def test_journals_hold_whole_lines_of_each_writer(store):
    mine, other = store.journal("records"), store.journal("records")
    assert names(store, "records") == []
    ends = [mine.append(b"1\n"), other.append(b"2\n"), mine.append(b"3\n")]
    assert {store.size(name) for name, _ in ends} <= {2, 4}
    assert store.size(ends[2][0]) == ends[2][1]
    mine.close()
    other.close()
    assert len(names(store, "records")) == 2  # what lay apart is one file by now
    lines = b"".join(store.read(name) for name in names(store, "records"))
    assert sorted(lines.split()) == [b"1", b"2", b"3"]


def test_leases_are_had_once_by_whoever_is_alone(store):
    with store.leases("leases") as leases:
        assert leases.take("run", shared=True)
        assert leases.take("task")
        leases.release("task")


def test_a_large_file_is_put_whole(store, tmp_path, monkeypatch):
    monkeypatch.setattr("gristmill.storage.object._PART_BYTES", 5 << 20)  # S3's least
    path = tmp_path / "large"
    path.write_bytes(BODY * 6)
    store.put("large", path)
    assert store.read("large") == BODY * 6
    border = 5 << 20
    assert store.read("large", border - 3, 7) == (BODY * 6)[border - 3 : border + 4]
    assert store.read("large", (6 << 20) - 2, 7) == BODY[-2:]
    assert store.size("large") == 6 << 20


def test_the_first_of_two_is_kept_and_folders_are_found(store):
    assert store.keeps_what_is_first()
    assert names(store) == []
    store.put("one/.gristmill/run.json", b"1")
    store.put("two/README.md", b"2")
    assert store.below(".gristmill/run.json") == ("one",)


def test_a_name_that_leaves_the_store_is_told(store):
    assert store.irregularity("../elsewhere") is not None
    assert store.irregularity("shards/00000.tar") is None
    assert list(store.irregular("shards")) == []


def test_a_place_is_a_store_a_folder_or_refused(tmp_path):
    store = MemoryStore(tmp_path)
    assert store_at(store) is store
    assert store_at(tmp_path) == LocalStore(tmp_path)
    with pytest.raises(UsageError, match="no store for ftp:"):
        store_at(type(tmp_path)("ftp://host/prefix"))


def test_what_a_store_plays_comes_before_or_after_the_call_took_effect(tmp_path):
    store = MemoryStore(tmp_path)

    def lost(verb: str, name: str) -> None:
        if verb == "put":
            raise ConnectionResetError

    store.before = lost
    with pytest.raises(ConnectionResetError):
        store.put("a", b"1")
    store.before, store.after = (lambda verb, name: None), lost
    with pytest.raises(ConnectionResetError):
        store.put("b", b"2")
    assert (names(store), store.calls["put"]) == (["b"], 2)


def test_where_no_file_has_two_names_the_first_stays_too(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refused)
    store = LocalStore(tmp_path)
    assert [store.put_if_absent("run.json", body) for body in (b"1", b"2")] == [True, False]
    assert (store.read("run.json"), names(store)) == (b"1", ["run.json"])
