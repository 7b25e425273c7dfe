"""A dataset in a store that can neither rename, append nor lock: the same bytes as in a folder."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from small_parts import job as mix_job
from small_parts import mix_here, write_mixture, write_parts
from small_world import NO_MANIFEST, Watcher, job, url, write_list

from gristmill.cli.metadata_files import write_metadata_files
from gristmill.exports import find, finished_shards
from gristmill.ledger.ledger import RECORDS, Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.run.driver import run
from gristmill.run.maintenance.clean import clean, lies_here
from gristmill.run.maintenance.reopen import add_round, open_dataset, planner_of
from gristmill.run.maintenance.verify import verify
from gristmill.run.planning.planner import Planner
from gristmill.run.workers.messages import WorkerStart
from gristmill.spec.errors import MachineError, UsageError
from gristmill.storage.files import write_whole
from gristmill.storage.local import LocalStore
from gristmill.storage.segments import BUNDLE
from gristmill.storage.store import Store
from gristmill.testing.memory_store import MemoryStore
from gristmill.viewer.report import report_bytes

ROWS = 50
SMALL_PARTS = {"rows.part_rows": "4"}


@pytest.fixture
def place(web, tmp_path):
    return write_list(tmp_path / "src" / "list.parquet", [url(web, n) for n in range(ROWS)])


def made(store: Store, folder: str) -> dict[str, str]:
    """Names and digests of what lies in a folder of a store, but for what differs from run to run."""
    return {
        one.name: hashlib.sha256(store.read(one.name)).hexdigest()
        for one in store.list(folder)
        if not one.name.endswith("_stats.json")
    }


def run_in(store: Store, place, **more):
    watcher = Watcher()
    return run(job(place, store, **more), watcher), watcher


def problems(store: Store, *, decode: bool = True) -> list[tuple[str, str]]:
    result = verify(Ledger(store), threads=1, decode=decode, complete=True, tell=lambda so_far: None)
    assert result.shards > 1
    return [*result.problems, *result.remarks]


def test_select_crawl_pack_verify_and_export_are_the_same_in_any_store(place, tmp_path):
    local, memory = LocalStore(tmp_path / "local"), MemoryStore(tmp_path / "node")
    for store in (local, memory):
        ended, _ = run_in(store, place)
        assert ended.complete
        write_metadata_files(store, ended.recipe)
        assert problems(store) == []
    assert made(memory, "shards") == made(local, "shards")
    assert set(made(memory, "fates")) == set(made(local, "fates"))
    metadata = {one.name for one in memory.list() if "/" not in one.name}
    assert metadata == {"README.md", "croissant.json", "dataset.json", "report.html"}
    exported = []
    for number, store in enumerate((local, memory)):
        opened, out = open_dataset(store), tmp_path / f"export-{number}"
        shards = finished_shards(store, opened.config, opened.ledger)
        *_, done = find("interleaved-parquet").export(shards, out)
        exported.append({path.name: path.read_bytes() for path in out.iterdir()})
        assert done.samples == shards.samples
    assert exported[0] == exported[1]
    lines = sum(len(memory.read(one.name).splitlines()) for one in memory.list(RECORDS))
    assert lines == len(Ledger(memory).records)
    assert not list(memory.work(".gristmill/crawled").glob("*.spool"))


def test_a_run_goes_on_after_any_call_of_the_store_failed(place, tmp_path):
    """Also where the call had taken effect: the answer is lost, and nothing is done twice or left out."""
    whole, broken = MemoryStore(tmp_path / "whole"), MemoryStore(tmp_path / "broken")
    run_in(whole, place)
    puts = whole.calls["put"] + whole.calls["put_if_absent"]
    seen: set[int] = set()

    def fail(when: str):
        def now(verb: str, name: str) -> None:
            if verb in ("put", "put_if_absent"):
                number = broken.calls["put"] + broken.calls["put_if_absent"]
                if number % 11 == 3 and number not in seen:
                    seen.add(number)
                    raise MachineError(f"{broken}/{name}: the store did not answer ({when}).")

        return now

    broken.before, broken.after = fail("before"), fail("after")
    failures = 0
    while True:
        try:
            ended, _ = run_in(broken, place)
        except MachineError:
            failures += 1
            assert failures < puts
            continue
        break
    assert ended.complete
    assert failures > 3
    broken.before = broken.after = lambda verb, name: None
    assert made(broken, "shards") == made(whole, "shards")
    assert problems(broken) == NO_MANIFEST


class Forgetful(MemoryStore):
    """Puts in spite of what is there, as some object stores do."""

    def put_if_absent(self, name: str, body: bytes) -> bool:
        self.put(name, body)
        return True


def test_a_store_that_keeps_not_what_is_first_is_for_one_command(place, tmp_path):
    store = Forgetful(tmp_path / "node")
    with pytest.raises(UsageError, match="without --share"):
        run_in(store, place, share=(1, 2))
    assert list(store.list()) == []
    ended, watcher = run_in(store, place)
    assert ended.complete
    assert any("no second command" in text for text in watcher.said)


def test_shares_divide_a_dataset_where_nothing_can_be_locked(place, web, tmp_path):
    whole, shared = MemoryStore(tmp_path / "whole"), MemoryStore(tmp_path / "shared")
    settings = {"rows.part_rows": "4"}
    run_in(whole, place, settings=settings)
    web.forget()
    ended = [run_in(shared, place, settings=settings, share=(number, 2))[0] for number in (1, 2)]
    assert [one.complete for one in ended] == [False, True]
    assert made(shared, "shards") == made(whole, "shards")
    assert set(web.hits.values()) == {1}


def test_a_task_asks_the_store_a_few_times(place, tmp_path):
    store = MemoryStore(tmp_path / "node")
    run_in(store, place)
    asked = sum(count for verb, count in store.calls.items() if verb != "list")
    ledger = Ledger(store)
    assert asked <= 10 * len(ledger.records) + 3 * len(ledger.shards())
    assert store.calls["list"] < asked


def test_the_report_fetches_no_more_fates_than_it_reads_and_passes_over_those_that_are_gone(
    place, tmp_path, monkeypatch
):
    store, fetched = MemoryStore(tmp_path / "node"), []
    run_in(store, place, settings=SMALL_PARTS)
    fates = [one.name for one in store.list("fates") if "/samples-" in one.name]
    assert len(fates) > 9
    monkeypatch.setattr("gristmill.viewer.measures.FILES_READ", 3)
    store.before = lambda verb, name: fetched.append(name) if verb == "fetch" else None
    report = report_bytes(RunConfig.read(store), Ledger(store)).decode()
    assert len({*fetched} & {*fates}) == 3
    assert f"From 3 of {len(fates)} fates files" in report
    store.delete(fates[0])
    report = report_bytes(RunConfig.read(store), Ledger(store)).decode()
    assert f"From 2 of {len(fates)} fates files" in report


def test_what_was_lost_is_asked_for_again_and_what_is_spent_is_cleaned(place, web, tmp_path):
    local, memory = LocalStore(tmp_path / "local"), MemoryStore(tmp_path / "node")
    for store in (local, memory):
        ended, _ = run_in(store, place)
        opened = open_dataset(store)
        assert add_round(opened, planner_of(opened, ended.recipe), ("http_404",))
        ended, _ = run_in(store, place)
        assert ended.complete
        files, size_bytes = clean(store, RunConfig.read(store), Ledger(store), dry_run=False)
        assert files
        assert size_bytes
        assert not [one.name for one in store.list(".gristmill/crawled") if one.name.endswith(".spool")]
        web.forget()
        assert run_in(store, place)[0].complete
        assert web.hits == {}
    assert made(memory, "shards") == made(local, "shards")


def test_a_lost_shard_is_made_anew(place, tmp_path):
    store = MemoryStore(tmp_path / "node")
    run_in(store, place)
    shards = made(store, "shards")
    store.delete("shards/00001.tar")
    assert problems(store)[0] == ("shards/00001.tar", "is missing")
    ended, watcher = run_in(store, place)
    assert ended.complete
    assert any("shards/00001.tar is gone" in text for text in watcher.said)
    assert made(store, "shards") == shards


@pytest.mark.parametrize(
    ("folder", "settings"), [("shards", {}), ("references", {"shuffle.index_only": "true"})]
)
def test_a_mixture_of_finished_parts_is_the_same_in_any_store(tmp_path, folder, settings):
    out, mixture = write_parts(tmp_path / "out"), write_mixture(tmp_path / "small.py")
    mix_here(mixture, out, settings=settings)
    local, memory = LocalStore(out / "small"), MemoryStore(tmp_path / "node")
    ended = run(replace(mix_job(mixture, out, settings=settings), folder=memory), Watcher())
    assert ended.complete
    assert made(memory, folder) == made(local, folder) != {}
    assert problems(memory, decode=False) == NO_MANIFEST


def test_the_share_that_ends_last_packs_though_it_saw_the_others_end_a_moment_ago(place, tmp_path):
    whole, store, other = MemoryStore(tmp_path / "whole"), MemoryStore(tmp_path / "node"), []
    run_in(whole, place, settings=SMALL_PARTS)

    class First(Watcher):
        def committed(self, record) -> None:
            if record.stage == "samples" and not other:
                other.append(run_in(store, place, share=(2, 2), settings=SMALL_PARTS)[0].complete)

    assert run(job(place, store, share=(1, 2), settings=SMALL_PARTS), First()).complete
    assert other == [False]
    assert made(store, "shards") == made(whole, "shards")
    lines = [line for one in store.list(RECORDS) for line in store.read(one.name).splitlines()]
    assert sum(not line.startswith(BUNDLE) for line in lines) == len(
        Ledger(store).records
    )  # nothing was done twice


def test_what_any_share_may_do_is_divided_too_where_no_lease_is_seen_by_all(place, tmp_path):
    store = MemoryStore(tmp_path / "node")
    recipe = run_in(store, place, settings=SMALL_PARTS | {"pack.shard_samples": "3"})[0].recipe
    ledger = Ledger(store)
    for record in ledger.shards():
        ledger.void(record.task_id)
    planner = Planner(recipe, RunConfig.read(store), ledger, share=(2, 3))
    ours = [int(task.id, 16) % 3 == 1 for task in iter(planner.pop, None)]
    assert {*ours} == {True, False}
    assert ours == sorted(ours, reverse=True)


def test_what_lies_on_this_machine_of_a_store_is_counted_and_cleaned(place, tmp_path):
    store = MemoryStore(tmp_path / "node")
    assert lies_here(store) == (store.work(""), 0)
    run_in(store, place, last="samples", settings=SMALL_PARTS)
    done = next(record for record in Ledger(store).stage("samples"))
    spools = [
        next(one.path for one in done.outputs if one.role == "spool"),
        ".gristmill/crawled/0-unfinished.spool",
    ]
    for (
        name
    ) in spools:  # a kill between a record and the removal of its copy, and one in the middle of a task
        write_whole(store.work(name), b"12345")
    assert lies_here(store)[1] == 10
    clean(store, RunConfig.read(store), Ledger(store), dry_run=True)
    assert lies_here(store)[1] == 10
    clean(store, RunConfig.read(store), Ledger(store), dry_run=False)
    assert [store.work(name).exists() for name in spools] == [False, True]
    assert lies_here(store)[1] == 5
    assert run_in(store, place, settings=SMALL_PARTS)[0].complete
    clean(store, RunConfig.read(store), Ledger(store), dry_run=False)
    write_whole(store.work(".gristmill/lists/list.csv"), b"the list, which is not cleaned away")
    assert lies_here(store)[1] == 0
    assert problems(store) == NO_MANIFEST


def test_what_is_made_on_another_machine_is_let_go_of_there(place, tmp_path, monkeypatch):
    store = MemoryStore(tmp_path / "command")
    node, context = store.from_machine(tmp_path / "node"), WorkerStart.context
    monkeypatch.setattr(
        WorkerStart, "context", lambda start, *given: context(replace(start, store=node), *given)
    )
    run_in(store, place, last="samples")
    assert node.calls["put"] > 0
    assert [path for path in tmp_path.rglob("work/**/*.spool") if path.is_file()] == []
