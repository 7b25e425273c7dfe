"""Statistics over a whole dataset: counted or dropped, in whatever order and however often interrupted."""

import shutil
import urllib.request
from collections import Counter
from functools import partial
from urllib.parse import urlsplit

import pytest
from document_world import document, last_fates, samples, write
from document_world import retry as retry_documents
from document_world import run_here as run_documents
from small_world import (
    SETTINGS,
    Process,
    Watcher,
    check_final_names,
    job,
    run_here,
    temporaries,
    totals,
    tree_of,
    wait_for,
    write_list,
)
from test_end_to_end import fates

from gristmill import recipes
from gristmill.ledger.documents import documents
from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.run.begin import Job
from gristmill.run.driver import run
from gristmill.run.maintenance.clean import clean
from gristmill.run.maintenance.reopen import add_round, open_dataset, planner_of, under_way
from gristmill.run.maintenance.verify import verify

GONE = {n for n in range(60) if n % 4 == 1}  # answered with the placeholder
LOST = {n for n in range(60) if n % 10 == 4}  # not found
DROP = {"same_picture.drop": "true", "same_picture.min_urls": "10"}


def urls(web, gone=GONE):
    made = [web.url(f"/photo/{n}.jpg?w=64", n) for n in range(60)]
    for n in gone:
        made[n] = web.url(f"/fault/placeholder/{n}", 3 + n % 3)
    for n in LOST - gone:
        made[n] = web.url(f"/fault/404/{n}", n)
    return made


@pytest.fixture(scope="module")
def place(shared_web, tmp_path_factory):
    return write_list(tmp_path_factory.mktemp("placeholders") / "list.parquet", urls(shared_web))


@pytest.fixture(scope="module")
def dropped(shared_web, place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dropped") / "out"
    assert run_here(place, folder, settings=DROP)[0].complete
    return folder


def keys(folder):
    return sorted(int(key[5:]) for key in samples(folder))


def global_filter(folder):
    return totals(folder).global_filter


def test_by_default_they_are_counted_and_kept(web, place, tmp_path):
    assert run_here(place, tmp_path / "out", settings={"same_picture.min_urls": "10"})[0].complete
    assert keys(tmp_path / "out") == sorted(set(range(60)) - LOST)
    found = global_filter(tmp_path / "out")
    assert (found["pictures"], found["media"], found["urls"]) == (1, len(GONE), len(GONE))
    by_host = {entry["host"]: entry["media"] for entry in found["hosts"]}
    assert by_host == Counter(urlsplit(url).hostname for url in urls(web) if "placeholder" in url)
    assert not Ledger(tmp_path / "out").stage("screen")


def test_dropped_samples_leave_the_shards_and_the_account_adds_up(dropped):
    assert keys(dropped) == sorted(set(range(60)) - GONE - LOST)
    levels = funnel(totals(dropped), RunConfig.read(dropped))
    assert levels.adds_up
    assert levels.complete
    assert levels.dropped() == {"same_picture": len(GONE), "http_404": len(LOST - GONE)}
    assert levels.count("kept") == levels.count("packed") == 60 - len(GONE | LOST)
    said = [fate for fate in fates(dropped) if fate["reason"] == "same_picture"]
    assert {fate["row"] for fate in said} == GONE
    assert all(fate["url"] and fate["sha256"] and fate["file"] == "list.parquet" for fate in said)
    check_final_names(dropped)
    result = verify(Ledger(dropped), threads=1, tell=lambda _: None)
    assert not result.problems


@pytest.mark.parametrize(
    "workers", [0, *(pytest.param(workers, marks=pytest.mark.slow) for workers in (1, 2))]
)
def test_workers_and_sizes_of_parts_change_no_byte_of_the_shards(web, place, dropped, tmp_path, workers):
    more = {**DROP, "rows.part_rows": "7"}
    assert run_here(place, tmp_path / "out", settings=more, workers=workers)[0].complete
    assert tree_of(tmp_path / "out") == tree_of(dropped)


def test_nothing_is_packed_before_the_verdict(web, place, dropped, tmp_path):
    folder = tmp_path / "out"
    ended, _ = run_here(place, folder, settings=DROP, last="samples")
    assert not ended.complete
    assert tree_of(folder) == {}
    assert not Ledger(folder).stage("statistics")
    ended, watcher = run_here(place, folder, settings=DROP)
    stages = [record.stage for record in watcher.committed_tasks]
    assert stages[0] == "statistics"
    assert stages[1] == "screen"
    assert stages.count("screen") == 3
    assert stages.index("pack") > 1
    assert tree_of(folder) == tree_of(dropped)
    assert run_here(place, folder, settings=DROP)[1].committed_tasks == []


def test_lost_files_of_it_are_made_anew(web, place, dropped, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(dropped, folder)
    state = folder / ".gristmill"
    for path in [*state.glob("decisions/*"), sorted(state.glob("crawled/*.*.index.parquet"))[0]]:
        path.unlink()
    for path in (folder / "fates").glob("screen-*"):
        path.write_bytes(b"cut")
    (folder / "shards/00000.tar").unlink()
    web.forget()
    assert run_here(place, folder, settings=DROP)[0].complete
    assert tree_of(folder) == tree_of(dropped)
    assert web.hits.total() == 0


@pytest.mark.slow
def test_killed_while_it_counts_and_screens(web, place, dropped, tmp_path):
    folder = tmp_path / "out"
    for stage in ("samples", "statistics", "screen"):
        with Process(place, folder, settings=DROP, workers=1) as process:
            wait_for(lambda stage=stage: len(Ledger(folder).stage(stage)) > 0)
            process.kill_all()
        check_final_names(folder)
    assert run_here(place, folder, settings=DROP)[0].complete
    assert tree_of(folder) == tree_of(dropped)
    assert temporaries(folder) == []
    assert not list((folder / ".gristmill/scratch").glob("*"))


def test_workers_on_parts_of_the_input_wait_for_each_other(web, tmp_path):
    made = urls(web)
    for n in range(3):
        write_list(tmp_path / "lists" / f"{n}.parquet", made[20 * n : 20 * n + 20])
    for number, span in enumerate([(0, 1), (2, 3), (1, 2)]):
        ended, _ = run_here(tmp_path / "lists", tmp_path / "out", settings=DROP, span=span)
        assert ended.complete == (number == 2)
    ended, _ = run_here(tmp_path / "lists", tmp_path / "whole", settings=DROP)
    assert tree_of(tmp_path / "out") == tree_of(tmp_path / "whole")
    assert len(samples(tmp_path / "out")) == 60 - len(GONE | LOST)


def test_a_retry_counts_over_all_rounds_and_leaves_old_shards_alone(web, tmp_path):
    made = urls(web)
    placeholder = urllib.request.urlopen(web.url("/fault/placeholder/1")).read()
    for n in (0, 2, 6, 10):
        made[n] = web.url(f"/late/{n}", n)
        web.put(f"/late/{n}", b"sorry", status=503)
    place, folder = write_list(tmp_path / "list.parquet", made), tmp_path / "out"
    assert run_here(place, folder, settings=DROP)[0].complete
    first = tree_of(folder)
    assert keys(folder) == sorted(set(range(60)) - GONE - LOST - {0, 2, 6, 10})
    for n in (0, 2, 6, 10):
        photo = urllib.request.urlopen(web.url(f"/photo/{n + 90}.jpg?w=64")).read()
        web.put(f"/late/{n}", photo if n < 5 else placeholder, content_type="image/jpeg")
    opened = open_dataset(folder)
    assert add_round(opened, planner_of(opened, job(place, folder, settings=DROP).load()), ("http_5xx",))
    assert run_here(place, folder, settings=DROP)[0].complete
    assert {name: digest for name, digest in tree_of(folder).items() if name in first} == first
    assert keys(folder) == sorted(set(range(60)) - GONE - LOST - {6, 10})
    levels = funnel(totals(folder), RunConfig.read(folder))
    assert levels.adds_up
    assert levels.dropped() == {"same_picture": len(GONE) + 2, "http_404": len(LOST - GONE)}
    assert global_filter(folder)["urls"] == len(GONE) + 2


def test_cleaning_knows_what_was_screened(web, place, dropped, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(dropped, folder)
    opened = open_dataset(folder)
    files, size_bytes = clean(folder, opened.config, opened.ledger, dry_run=False)
    assert files == 3
    assert size_bytes > 0
    assert not list((folder / ".gristmill/crawled").glob("*.spool"))
    assert under_way(open_dataset(folder)) == (0, 0)
    web.forget()
    assert run_here(place, folder, settings=DROP)[1].committed_tasks == []
    assert web.hits.total() == 0


def pages(web):
    """Twelve documents: of the first six one image each is a placeholder, of the seventh all are."""
    made = []
    for n in range(12):
        paths = [f"/photo/{n}.jpg?w=64", f"/photo/{n + 40}.jpg?w=64"]
        if n < 6:
            paths[n % 2] = f"/fault/placeholder/{n}"
        if n == 6:
            paths = ["/fault/placeholder/60", "/fault/placeholder/61"]
        made.append(document([web.url(path, n) for path in paths], n))
    return made


@pytest.mark.parametrize(
    ("rule", "left"), [("drop_document", range(7, 12)), ("drop_image", [*range(6), *range(7, 12)])]
)
def test_a_document_follows_the_rule_for_missing_images(web, tmp_path, rule, left):
    place = write(tmp_path / "in", {1: pages(web)})
    settings = {"same_picture.drop": "true", "same_picture.min_urls": "5", "crawl.on_missing_image": rule}
    folder = tmp_path / "out"
    assert run_documents(place, folder, settings=settings)[0].complete
    found = samples(folder)
    assert [int(key[5:]) for key in sorted(found)] == list(left)
    pictures = {key: sorted(part for part in parts if part.endswith(".jpg")) for key, parts in found.items()}
    for key, parts in pictures.items():
        n = int(key[5:])
        assert parts == ([f"00{1 - n % 2}.jpg"] if n < 6 else ["000.jpg", "001.jpg"])
    reasons = last_fates(folder)
    assert sum(reason == "same_picture" for reason in reasons.values()) == 8
    sums = totals(folder)
    levels = funnel(sums, RunConfig.read(folder))
    assert levels.adds_up
    assert levels.dropped() == {"same_picture": 12 - len(left)}
    told = documents(sums, levels)
    lost = {"document_lost": 6} if rule == "drop_document" else {}
    assert told.images == {"kept": 16 - lost.get("document_lost", 0), "same_picture": 8, **lost}
    assert (told.complete, told.kept) == (5, len(left))
    assert not verify(Ledger(folder), threads=1, tell=lambda _: None).problems


def test_a_shard_lost_after_cleaning_comes_back_without_them(web, place, dropped, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(dropped, folder)
    opened = open_dataset(folder)
    clean(folder, opened.config, opened.ledger, dry_run=False)
    opened.ledger.close()
    (folder / "shards/00001.tar").unlink()
    web.forget()
    assert run_here(place, folder, settings=DROP)[0].complete
    assert tree_of(folder) == tree_of(dropped)
    assert web.hits.total() > 0


SHUFFLED = """
from dataclasses import replace

from gristmill import recipes
from gristmill.steps.shuffle import Shuffle

plain = recipes.load("crawl", {arguments}, {settings})
RECIPE = replace(plain, name="shuffled", steps=(*plain.steps[:-1], Shuffle(seed=5, shards=3)))
"""


@pytest.mark.slow
def test_a_shuffle_takes_what_the_blocklist_left(web, place, dropped, tmp_path):
    settings = {key: value for key, value in {**SETTINGS, **DROP}.items() if not key.startswith("pack.")}
    arguments = {"path": str(place), "url_column": "url", "caption_column": "text"}
    path = tmp_path / "shuffled.py"
    path.write_text(SHUFFLED.format(arguments=arguments, settings=settings))
    trees = []
    for workers in (0, 2):
        folder = tmp_path / f"out-{workers}"
        load = partial(recipes.load, str(path))
        made = run(Job(load=load, reference=str(path), folder=folder, workers=workers), Watcher())
        assert made.complete
        assert keys(folder) == keys(dropped)
        trees.append(tree_of(folder))
        levels = funnel(totals(folder), RunConfig.read(folder))
        assert levels.adds_up
        assert levels.dropped()["same_picture"] == len(GONE)
    assert trees[0] == trees[1]
    opened = open_dataset(folder)
    clean(folder, opened.config, opened.ledger, dry_run=False)
    assert not list((folder / ".gristmill/crawled").glob("*.spool"))


def test_a_document_that_a_retry_completes_is_screened_with_all_its_images(web, tmp_path):
    """Its placeholder came in the first round, when the document was lost for another reason."""
    made = pages(web)
    made.append(document([web.url("/fault/placeholder/99", 3), web.url("/late/document", 2)], 12))
    web.put("/late/document", b"sorry", status=503)
    place, folder = write(tmp_path / "in", {1: made}), tmp_path / "out"
    settings = {"same_picture.drop": "true", "same_picture.min_urls": "5"}
    assert run_documents(place, folder, settings=settings)[0].complete
    first = tree_of(folder)
    photo = urllib.request.urlopen(web.url("/photo/99.jpg?w=64")).read()
    web.put("/late/document", photo, content_type="image/jpeg")
    assert retry_documents(place, folder, "http_5xx", settings=settings)
    assert tree_of(folder) == first
    levels = funnel(totals(folder), RunConfig.read(folder))
    assert levels.adds_up
    assert levels.dropped() == {"same_picture": 8}
    told = documents(totals(folder), levels)
    assert told.images == {"kept": 10, "same_picture": 9, "document_lost": 7}
    assert last_fates(folder)["docs_no_face_shard_1_v3.jsonl", 12, "000.jpg"] == "same_picture"
