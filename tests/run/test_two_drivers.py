"""Two commands on one prefix of an object store, from two machines."""

from __future__ import annotations

from io import BytesIO
from threading import Event, Thread

import pyarrow.parquet as pq
import pytest
from small_world import NO_MANIFEST, Watcher, job, url, write_list

from gristmill.ledger import at_work as signs
from gristmill.ledger import claim as claims
from gristmill.ledger.at_work import AT_WORK, at_work
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.run.driver import run
from gristmill.run.maintenance.verify import verify
from gristmill.spec.errors import Busy, DamagedOutput, MachineError
from gristmill.testing.memory_store import MemoryStore

SMALL_PARTS = {"rows.part_rows": "4"}


@pytest.fixture
def place(web, tmp_path):
    return write_list(tmp_path / "list.parquet", [url(web, n) for n in range(40)])


@pytest.fixture
def store(tmp_path):
    return MemoryStore(tmp_path / "one")


@pytest.fixture
def other(store, tmp_path):
    return store.from_machine(tmp_path / "other")


def shards(store):
    return {one.name: store.read(one.name) for one in store.list("shards") if "_stats" not in one.name}


def problems(store):
    result = verify(Ledger(store), threads=1, decode=True, complete=True, tell=lambda so_far: None)
    return [*result.problems, *result.remarks]


class Meanwhile(Watcher):
    """Does something once, in a thread of its own, when the first pictures are there."""

    def __init__(self, do) -> None:
        super().__init__()
        self._thread, self._over = Thread(target=do), Event()

    def committed(self, record) -> None:
        if record.stage == "samples" and not self._thread.ident:
            self._thread.start()
            self._thread.join()


def test_the_second_leaves_with_a_sentence_before_it_has_changed_anything(
    store, other, place, tmp_path, monkeypatch
):
    monkeypatch.setattr(signs, "RENEWED_S", 0.02)
    monkeypatch.setattr(claims, "_POLL_S", 0.01)
    whole, left = MemoryStore(tmp_path / "whole"), []
    run(job(place, whole, settings=SMALL_PARTS), Watcher())

    def begin_too():
        config = RunConfig.read(store)
        for more in ({}, {"share": (1, 2)}, {"settings": {"rows.part_rows": "3"}}):
            with pytest.raises(Busy, match="another command works on it"):
                run(job(place, other, **{"settings": SMALL_PARTS, **more}), Watcher())
            left.append(RunConfig.read(store) == config)

    assert run(job(place, store, settings=SMALL_PARTS), Meanwhile(begin_too)).complete
    assert left == [True] * 3
    assert not list(store.list(AT_WORK))
    assert shards(store) == shards(whole)
    assert run(job(place, other, settings=SMALL_PARTS), Watcher()).complete


def test_what_a_machine_left_that_is_lost_another_takes_up_after_the_silence(
    store, other, place, web, monkeypatch
):
    class Lost(BaseException):
        pass

    def lose(verb, name):
        if verb == "delete" and name.startswith(AT_WORK):
            raise MachineError("the machine is lost: nothing is removed")

    class Dies(Watcher):
        def committed(self, record) -> None:
            if record.stage == "samples":
                raise Lost

    store.before = lose
    with pytest.raises(Lost):
        run(job(place, store, settings=SMALL_PARTS), Dies())
    store.before = lambda verb, name: None
    assert len(at_work(store)) == 1
    web.forget()
    monkeypatch.setattr(claims, "WATCHED_S", 0.05)
    monkeypatch.setattr(claims, "_POLL_S", 0.01)
    watcher = Watcher()
    assert run(job(place, other, settings=SMALL_PARTS), watcher).complete
    assert any("whether it gives a sign is seen within" in text for text in watcher.said)
    assert not list(store.list(AT_WORK))
    assert problems(store) == NO_MANIFEST


@pytest.mark.parametrize("noticed", [False, True])
def test_one_that_was_taken_for_gone_and_is_back_leaves_once_it_notices_and_harms_nothing(
    store, other, place, web, tmp_path, monkeypatch, noticed
):
    monkeypatch.setattr(claims, "WATCHED_S", 0.05)
    monkeypatch.setattr(claims, "_POLL_S", 0.01)
    if noticed:
        monkeypatch.setattr(signs, "WATCHED_S", 0.05)
    whole, ended = MemoryStore(tmp_path / "whole"), []
    run(job(place, whole, settings=SMALL_PARTS), Watcher())
    web.forget()
    # only a part, so that there is something left to commit
    span = {"last": "samples", "settings": SMALL_PARTS}
    meanwhile = Meanwhile(lambda: ended.append(run(job(place, other, **span), Watcher())))
    if noticed:
        with pytest.raises(Busy, match="another has taken up its work"):
            run(job(place, store, settings=SMALL_PARTS), meanwhile)
        run(job(place, other, settings=SMALL_PARTS), Watcher())
    else:
        assert run(job(place, store, settings=SMALL_PARTS), meanwhile).complete
    assert len(ended) == 1
    assert max(web.hits.values()) <= 3  # once more where its outputs had been put over the other's
    assert shards(store) == shards(whole)
    assert problems(store) == NO_MANIFEST
    assert not list(store.list(AT_WORK))


def test_where_both_worked_and_got_other_answers_none_of_it_is_called_complete(
    store, other, web, tmp_path, monkeypatch
):
    """The first does not notice that it was taken for gone, and the web has changed meanwhile."""
    monkeypatch.setattr(claims, "WATCHED_S", 0.05)
    monkeypatch.setattr(claims, "_POLL_S", 0.01)
    picture, ended = web.pictures.get(0, "jpg", 160).data, []
    web.put("/both/a.jpg", picture)
    place = write_list(tmp_path / "both.parquet", [web.url(f"/both/a.jpg?{n}", n) for n in range(24)])

    def takes_over():
        ended.append(run(job(place, other, settings=SMALL_PARTS), Watcher()).complete)
        web.put("/both/a.jpg", b"gone", status=404)

    with pytest.raises(
        Busy, match=r"another command did \d+ tasks at .* other answers.*Give the same command again"
    ):
        run(job(place, store, settings=SMALL_PARTS), Meanwhile(takes_over))
    assert ended == [True]
    assert run(job(place, other, settings=SMALL_PARTS), Watcher()).complete
    assert problems(store) == NO_MANIFEST
    assert Ledger(store).differing == {}


def test_an_index_that_another_has_put_over_ones_own_is_not_packed(store, other, place):
    """Its record says what it must hold; the command says which object to remove."""
    run(job(place, store, last="samples", settings=SMALL_PARTS), Watcher())
    index = Ledger(store).stage("samples")[2].output("index")

    class Overwritten(Watcher):
        def config(self, *_) -> None:
            table = pq.read_table(BytesIO(store.read(index.path)))
            rows = table.to_pylist()
            rows[0]["row"] = 999
            with other.writing(index.path) as stream:
                pq.write_table(table.from_pylist(rows, table.schema), stream)

    with pytest.raises(DamagedOutput, match=f"{index.path} is not what its record says.*Remove that object"):
        run(job(place, store, settings=SMALL_PARTS), Overwritten())
    store.delete(index.path)
    assert run(job(place, store, settings=SMALL_PARTS), Watcher()).complete
    assert problems(store) == NO_MANIFEST
