"""Runs from a list to shards: the same bytes however, everything accounted for, and what is refused."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_world import ROWS, check_final_names, job, run_here, totals, tree_of, url, write_list

from gristmill.ledger.fates import read_fates
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.run.maintenance.clean import clean
from gristmill.run.maintenance.reopen import add_round, open_dataset, planner_of
from gristmill.shards.webdataset import read_samples
from gristmill.spec.errors import DriftError, MachineError, SourceError, TaskFailed, UsageError


def fates(folder) -> list[dict]:
    return [
        row for batch in read_fates(folder / "fates") for row in pa.Table.from_batches([batch]).to_pylist()
    ]


def test_shards_hold_the_kept_rows_in_order_and_every_row_has_a_fate(small):
    gone = {n for n in range(ROWS) if n % 10 == 4}
    pages = {n for n in range(ROWS) if n % 25 == 7} - gone
    kept = [n for n in range(ROWS) if n not in gone | pages]
    tars = sorted((small.folder / "shards").glob("*.tar"))
    shards = [list(read_samples(path)) for path in tars]
    assert [len(shard) for shard in shards] == [15] * (len(kept) // 15) + [len(kept) % 15]
    samples = [sample for shard in shards for sample in shard]
    assert [sample.key for sample in samples] == [f"{0:05d}{n:010d}" for n in kept]
    for n, sample in zip(kept, samples, strict=True):
        facts = json.loads(sample.parts["json"])
        assert sample.parts["txt"].decode() == facts["caption"] == f"caption {n} – é"
        assert facts["origin"] == {"source": "list", "file": "list.parquet", "row": n}
        assert facts["width"] == 160
    by_row = {fate["row"]: fate["reason"] for fate in fates(small.folder)}
    expected = dict.fromkeys(kept) | dict.fromkeys(gone, "http_404") | dict.fromkeys(pages, "not_an_image")
    assert by_row == expected
    sums = totals(small.folder)
    assert (sums.stage("rows").samples_in, sums.stage("rows").kept) == (ROWS, ROWS)
    assert sums.stage("samples").samples_in == ROWS
    assert sums.stage("samples").dropped == {"http_404": len(gone), "not_an_image": len(pages)}
    assert sums.stage("samples").kept == sums.stage("pack").kept == len(kept)
    attempted = [
        row
        for path in sorted((small.folder / "shards").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    assert len(attempted) == ROWS
    check_final_names(small.folder)


def test_two_workers_make_the_same_bytes(small, web, tmp_path):
    ended, watcher = run_here(small.place, tmp_path / "out", workers=2)
    assert ended.complete
    assert tree_of(tmp_path / "out") == small.shards
    assert len({record.host for record in watcher.committed_tasks}) == 2
    assert set(Ledger(tmp_path / "out").records) == set(Ledger(small.folder).records)
    assert set(web.hits.values()) == {1}


def test_running_again_does_nothing(small, web):
    before = {path: path.stat().st_mtime_ns for path in small.folder.rglob("*") if path.is_file()}
    ended, watcher = run_here(small.place, small.folder)
    assert ended.complete
    assert watcher.committed_tasks == []
    assert web.hits.total() == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_stage_to_stop_after(small, web, tmp_path):
    for last, tasks in (("rows", {"rows"}), ("samples", {"samples"}), ("pack", {"pack", "statistics"})):
        ended, watcher = run_here(small.place, tmp_path / "out", last=last)
        assert {record.stage for record in watcher.committed_tasks} == tasks
        assert ended.complete == (last == "pack")
    assert tree_of(tmp_path / "out") == small.shards


def test_lost_and_cut_files_are_made_anew(small, web, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(small.folder, folder)
    (folder / "shards" / "00001.tar").unlink()
    tar = folder / "shards" / "00002.tar"
    tar.write_bytes(tar.read_bytes()[:5000])
    (folder / "shards" / "00003.parquet").unlink()
    next((folder / ".gristmill" / "crawled").glob("*.index.parquet")).unlink()
    next((folder / ".gristmill" / "parts").glob("00000-00002-*.parquet")).unlink()
    ended, watcher = run_here(small.place, folder)
    assert ended.complete
    assert tree_of(folder) == small.shards
    assert len(watcher.committed_tasks) == 5
    assert any("00001.tar is gone" in said for said in watcher.said)
    assert web.hits.total() == 0
    assert run_here(small.place, folder)[1].committed_tasks == []


def test_lost_media_of_an_unfinished_shard_are_fetched_again(small, web, tmp_path):
    folder = tmp_path / "out"
    run_here(small.place, folder, last="samples")
    web.forget()
    lost = next((folder / ".gristmill" / "crawled").glob("00000-00001-*.spool"))
    record = next(r for r in Ledger(folder).stage("samples") if r.number == (0, 0, 1))
    lost.unlink()
    assert run_here(small.place, folder)[0].complete
    assert web.hits.total() == record.samples_in
    assert tree_of(folder) == small.shards


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"settings": {"crawl.size_px": "100"}}, "crawl.size_px"),
        ({"settings": {"pack.shard_samples": "16"}}, "pack.shard_samples"),
        ({"only": 5}, "only"),
    ],
)
def test_a_changed_recipe_does_not_continue_a_folder(small, changed, field):
    with pytest.raises(DriftError) as caught:
        run_here(small.place, small.folder, **changed)
    assert [difference[0] for difference in caught.value.differences] == [field]
    assert tree_of(small.folder) == small.shards


def test_a_changed_list_does_not_continue_a_folder(small, tmp_path):
    other = write_list(tmp_path / "list.parquet", ["http://127.0.0.1:1/a.jpg"] * ROWS)
    with pytest.raises(DriftError, match=r"input\.list/list\.parquet"):
        run_here(other, small.folder)


def test_another_place_of_the_same_list_does(small, tmp_path):
    moved = tmp_path / "list.parquet"
    moved.write_bytes(small.place.read_bytes())
    assert run_here(moved, small.folder)[0].complete


@pytest.mark.parametrize("span", [(0, 2), (1, 1), (-1, 1), (1, 0)])
def test_a_span_that_does_not_fit(small, tmp_path, span):
    with pytest.raises(UsageError, match=rf"--tasks {span[0]}:{span[1]}.*1 list"):
        run_here(small.place, tmp_path / "out", span=span)


def test_only_so_many_rows_of_each_file(web, tmp_path):
    for n in range(2):
        write_list(tmp_path / "lists" / f"{n}.parquet", [url(web, 10 * n + i) for i in range(10)])
    ended, _ = run_here(tmp_path / "lists", tmp_path / "out", only=3)
    assert ended.complete
    assert web.hits.total() == 6
    rows = totals(tmp_path / "out").stage("rows")
    assert (rows.samples_in, rows.kept, rows.dropped) == (20, 6, {"not_chosen": 14})
    assert len(fates(tmp_path / "out")) == 20


def test_a_damaged_annotation_file_does_not_stop_the_others(web, tmp_path):
    for n in range(3):
        write_list(tmp_path / "lists" / f"{n}.parquet", [url(web, 20 * n + i) for i in range(20)])
    good = (tmp_path / "lists" / "1.parquet").read_bytes()
    (tmp_path / "lists" / "1.parquet").write_bytes(good[: len(good) // 2])
    with pytest.raises(SourceError, match=r"1\.parquet"):
        run_here(tmp_path / "lists", tmp_path / "out")
    assert web.hits.total() == 40
    sums = totals(tmp_path / "out")
    assert sums.stage("samples").samples_in == 40
    assert sums.stage("pack").kept == 15  # of the first file: what does not wait for the second
    check_final_names(tmp_path / "out")


def test_several_damaged_files_are_counted(web, tmp_path):
    for n in range(3):
        (tmp_path / "lists").mkdir(exist_ok=True)
        (tmp_path / "lists" / f"{n}.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(TaskFailed, match="3 tasks failed"):
        run_here(tmp_path / "lists", tmp_path / "out")


def test_a_folder_that_cannot_be_written(small, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((MachineError, UsageError), match="file"):
        run_here(small.place, tmp_path / "file" / "out")


def retry(folder, place, *reasons):
    opened = open_dataset(folder)
    schedule = planner_of(opened, job(place, folder).load())
    added = add_round(opened, schedule, reasons)
    return (added, *run_here(place, folder)) if added else (False, None, None)


def test_a_retry_asks_for_what_failed_alone_and_adds_shards(web, tmp_path):
    urls = [url(web, n) for n in range(40)]
    ill = [3, 5, 21, 22, 23, 39]
    for n in ill:
        urls[n] = web.url(f"/fault/5xx-heals/{n}", n)  # 502, then 500, then a picture: one try a round
    urls[30] = web.url("/fault/reset/30")
    place, folder = write_list(tmp_path / "list.parquet", urls), tmp_path / "out"
    assert run_here(place, folder)[0].complete
    first, dropped = tree_of(folder), totals(folder).stage("samples").dropped
    assert dropped["http_5xx"] == len(ill)
    kept = totals(folder).stage("samples").kept

    web.hits.clear()  # the counters only: what heals goes on healing by request number
    for n in ill:
        web.hits[f"/fault/5xx-heals/{n}"] = 1
    added, ended, _ = retry(folder, place, "http_5xx")
    assert added
    assert ended.complete
    assert tree_of(folder) == first  # still ill: no new sample, no new shard
    assert {path for path, hits in web.hits.items()} == {f"/fault/5xx-heals/{n}" for n in ill}
    assert totals(folder).stage("samples").dropped == dropped

    added, ended, _ = retry(folder, place, "http_5xx", "reset")
    assert added
    assert ended.complete
    after = tree_of(folder)
    late = sorted(set(after) - set(first))
    assert {name: after[name] for name in first} == first
    assert [name for name in late if name.endswith(".tar")] == [f"{len(first) // 3:05d}.tar"]
    samples = list(read_samples(folder / "shards" / late[1]))
    assert [int(sample.key[5:]) for sample in samples] == ill
    sums = totals(folder).stage("samples")
    assert sums.samples_in == 40 == sums.kept + sums.dropped.total()
    assert sums.kept == kept + len(ill) == totals(folder).stage("pack").kept
    assert "http_5xx" not in sums.dropped
    assert sums.dropped["reset"] == 1
    assert retry(folder, place, "http_5xx")[0] is False
    assert RunConfig.read(folder).rounds == (("http_5xx",), ("http_5xx", "reset"))
    check_final_names(folder)


@pytest.mark.slow
def test_the_same_list_and_retries_elsewhere_give_the_same_bytes(web, tmp_path):
    urls = [web.url(f"/photo/{n}.jpg?w=64&r") for n in range(12)] + [
        web.url(f"/fault/503-after-past/{n}") for n in range(3)
    ]
    place = write_list(tmp_path / "list.parquet", urls)
    trees = []
    for name, workers in (("a", 0), ("b", 1)):
        web.forget()
        run_here(place, tmp_path / name, workers=workers)
        assert retry(tmp_path / name, place, "http_5xx")[1].complete
        trees.append(tree_of(tmp_path / name))
    assert trees[0] == trees[1]
    assert len(trees[0]) == 6


def test_a_shard_lost_after_cleaning_is_fetched_again(small, web, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(small.folder, folder)
    opened = open_dataset(folder)
    files, size_bytes = clean(folder, opened.config, opened.ledger, dry_run=False)
    assert files == 6
    assert size_bytes > 10_000
    assert list((folder / ".gristmill" / "crawled").glob("*.spool")) == []
    assert run_here(small.place, folder)[1].committed_tasks == []
    assert web.hits.total() == 0

    (folder / "shards" / "00003.tar").unlink()
    ended, watcher = run_here(small.place, folder)
    assert ended.complete
    assert tree_of(folder) == small.shards
    assert 15 <= web.hits.total() < 60
    assert any("made anew first" in said for said in watcher.said)
    assert run_here(small.place, folder)[1].committed_tasks == []


def test_a_url_repeated_across_the_list_is_asked_for_once(web, tmp_path):
    urls = [url(web, n) for n in range(50)]
    urls[45] = urls[40] = urls[1]
    urls[49] = urls[2]
    ended, _ = run_here(write_list(tmp_path / "list.parquet", urls), tmp_path / "out")
    assert ended.complete
    assert set(web.hits.values()) == {1}
    assert web.hits.total() == 47
    kept = [
        sample.key
        for path in sorted((tmp_path / "out" / "shards").glob("*.tar"))
        for sample in read_samples(path)
    ]
    assert {f"{0:05d}{n:010d}" for n in (1, 2, 40, 45, 49)} <= set(kept)
    assert len(fates(tmp_path / "out")) == 50
