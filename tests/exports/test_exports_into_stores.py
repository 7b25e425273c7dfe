"""Exports into a store: the files that a folder would hold, and no more of them on this machine than a shard's."""

import importlib.util

import pytest
from made_shards import caption, conversation
from row_sets import export, made

from gristmill import exports
from gristmill.exports import Medium
from gristmill.exports._drain import Drain
from gristmill.exports._folder import MADE_OF
from gristmill.exports._media_folder import MediaFolder
from gristmill.spec.errors import DamagedOutput, MachineError, UsageError
from gristmill.testing.memory_store import MemoryStore

CHAT = [[conversation(n + s, ["What?", f"A {n}"], n % 2) for n in range(4)] for s in (0, 10, 20)]
CAPTIONS = [[caption(n + s, f"a cat {n}") for n in range(3)] for s in (0, 10, 20)]
MADE = {
    **{
        to: (CHAT, {"root": "/data/x"} if issubclass(type(exports.find(to)), exports.Dialect) else {})
        for to in exports.names()
        if exports.find(to).to_stores and to != "webdataset-index"
    },
    "interleaved-parquet": (CAPTIONS, {}),
    "vila": (CAPTIONS, {}),
}
BY_SHARD = ("hf", "interleaved-parquet", "llava", "trl", "vila")
RANDOM = ("lance",)
"""Formats whose library gives its files names by chance."""


class Killed(BaseException):
    """Stands for the end of the process."""


def names_and_bytes(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def held(store):
    return {one.name: store.read(one.name) for one in store.list()}


def here(tmp_path):
    return sum(path.stat().st_size for path in (tmp_path / "own").rglob("*") if path.is_file())


@pytest.mark.parametrize("to", MADE)
def test_a_store_holds_what_a_folder_would(to, tmp_path):
    if to == "lance" and not importlib.util.find_spec("lance"):
        pytest.skip("needs the extra lance")
    shards, options = MADE[to]
    dataset, store = made(tmp_path / "set", shards), MemoryStore(tmp_path / "own")
    done = export(to, dataset, tmp_path / "out", **options)
    assert export(to, dataset, store, **options).samples == done.samples > 0
    folder = names_and_bytes(tmp_path / "out")
    if to in RANDOM:
        assert len(held(store)) == len(folder)
    else:
        assert held(store) == folder
    assert here(tmp_path) == 0
    puts = store.calls["put"]
    again = export(to, dataset, store, **options)
    assert (again.samples, store.calls["put"]) == (done.samples, puts)


@pytest.mark.parametrize("to", BY_SHARD)
def test_one_that_is_killed_goes_on_to_the_same_files(to, tmp_path):
    shards, options = MADE[to]
    dataset, store = made(tmp_path / "set", shards), MemoryStore(tmp_path / "own")
    export(to, dataset, tmp_path / "out", **options)
    wanted = names_and_bytes(tmp_path / "out")
    for most in range(1, 40, 3):
        puts = 0

        def die(verb, name, most=most):
            nonlocal puts
            puts += verb == "put"
            if puts > most:
                raise Killed

        store.before = die
        try:
            export(to, dataset, store, **options)
        except Killed:
            assert MADE_OF not in held_without_faults(store)
            assert held_without_faults(store).items() <= wanted.items()
        else:
            break
    store.before = lambda verb, name: None
    export(to, dataset, store, **options)
    assert held(store) == wanted
    assert here(tmp_path) == 0


def held_without_faults(store):
    store.before = lambda verb, name: None
    return {name: body for name, body in held(store).items() if "coming" not in name}


@pytest.mark.parametrize("to", BY_SHARD)
def test_no_more_lies_here_than_the_files_of_a_shard(to, tmp_path):
    shards, options = MADE[to]
    dataset, store = made(tmp_path / "set", shards), MemoryStore(tmp_path / "own")
    most = max(shard.size_bytes for shard in dataset.shards)
    for _ in exports.find(to).__class__(**options).export(dataset, store):
        assert here(tmp_path) < most / 2


def test_another_machine_begins_anew_and_leaves_nothing_of_the_first(tmp_path):
    dataset, store = made(tmp_path / "set", CHAT), MemoryStore(tmp_path / "own")
    export("llava", dataset, tmp_path / "out", root="/x")

    def die(verb, name):
        if "train" in name or "README" in name:
            raise Killed

    store.before = die
    with pytest.raises(Killed):
        export("llava", dataset, store, root="/x")
    store.before = lambda verb, name: None
    store.put("media/left.jpg", b"of a first attempt")
    export("llava", dataset, store.from_machine(tmp_path / "other"), root="/x")
    assert held(store) == names_and_bytes(tmp_path / "out")


def killed_after(most, of, to, dataset, store, **options):
    """An export that ends with one call more than so many of a kind."""
    calls = 0

    def die(verb, name):
        nonlocal calls
        calls += verb == of
        if calls > most:
            raise Killed

    store.before = die
    with pytest.raises(Killed):
        export(to, dataset, store, **options)
    store.before = lambda verb, name: None


@pytest.mark.parametrize("emptied", ["all", "all but what is coming"])
def test_one_that_is_killed_does_not_count_on_what_a_person_removed(emptied, tmp_path):
    dataset, store = made(tmp_path / "set", CHAT), MemoryStore(tmp_path / "own")
    export("mds", dataset, tmp_path / "out")
    killed_after(3, "put", "mds", dataset, store)
    for name in held(store):
        if emptied == "all" or "coming" not in name:
            store.delete(name)
    if emptied != "all":
        with pytest.raises(MachineError, match="gone again"):
            export("mds", dataset, store)
    export("mds", dataset, store)
    assert held(store) == names_and_bytes(tmp_path / "out")


def test_a_clean_up_that_is_cut_off_does_not_lock_the_place(tmp_path):
    dataset, store = made(tmp_path / "set", CHAT), MemoryStore(tmp_path / "own")
    (tmp_path / "set" / dataset.shards[2].path).write_bytes(b"damaged")
    killed_after(1, "delete", "llava", dataset, store, root="/x")
    assert held(store)
    with pytest.raises(DamagedOutput):
        export("llava", dataset, store, root="/x")
    assert held(store) == {}


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    dataset, store = made(tmp_path / "set", CHAT), MemoryStore(tmp_path / "own")
    (tmp_path / "set" / dataset.shards[2].path).write_bytes(b"damaged")
    with pytest.raises(DamagedOutput):
        export("hf", dataset, store)
    assert held(store) == {}
    assert here(tmp_path) == 0


def test_names_that_a_folder_cannot_have_beside_each_other_are_told_apart_there_too(tmp_path):
    def medium(name, body):
        return Medium(kind="image", part="000.jpg", body=body, original=name, as_upstream=True)

    media = [
        medium("a.jpg", b"1"),
        medium("a.jpg/b.jpg", b"2"),
        medium("c.jpg/d.jpg", b"3"),
        medium("c.jpg", b"4"),
    ]
    put = []
    for folder, drain in ((tmp_path / "here", None), (tmp_path / "there", MemoryStore(tmp_path / "own"))):
        names = MediaFolder(folder, folder / ".new", "original", marks=folder / ".put")
        put.append([])
        for n, one in enumerate((*media, *media)):
            put[-1].append(names.put(f"k{n % 4}", 0, one))
            if drain is not None:
                Drain(folder, drain).put()
    assert put[0] == put[1]
    assert len({*put[0]}) == 4


def test_what_lies_there_is_not_written_over(tmp_path):
    dataset, store = made(tmp_path / "set", CHAT), MemoryStore(tmp_path / "own")
    store.put("a", b"somebody's")
    for to in ("hf", "interleaved-parquet"):
        with pytest.raises(UsageError, match="Name an empty folder"):
            export(to, dataset, store)
    store.delete("a")
    export("hf", dataset, store)
    with pytest.raises(UsageError, match="was made of another dataset"):
        export("mds", dataset, store)


def test_who_reads_folders_is_told_where_one_will_lie(tmp_path):
    dataset = made(tmp_path / "set", CHAT)
    with pytest.raises(UsageError, match="--root /data/NAME"):
        export("llava", dataset, MemoryStore(tmp_path / "own"))


def test_streaming_is_told_of_a_place_far_away(tmp_path):
    done = export("mds", made(tmp_path / "set", CHAT), MemoryStore(tmp_path / "own"))
    assert "remote='memory://', local='mds-cache'" in done.start
    here = export("mds", made(tmp_path / "same", CHAT), tmp_path / "out").start
    assert f"local={str(tmp_path / 'out')!r}" in here
