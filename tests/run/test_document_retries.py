"""Retrying documents: only the media that failed, and the set of samples that one run would have made."""

import shutil

import pytest
from document_world import document, fates, last_fates, retry, run_here, samples, write
from small_world import check_final_names, totals, tree_of

from gristmill.ledger.documents import documents
from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import Ledger
from gristmill.run.maintenance.clean import clean
from gristmill.run.maintenance.reopen import open_dataset


class Heal:
    """Addresses that are ill with some status until they are healed."""

    def __init__(self, web):
        self.web, self.body = web, web.pictures.get(3, "jpg", 200).data

    def url(self, name, status=500):
        self.web.put(f"/ill/{name}", b"ill", status=status)
        return self.web.url(f"/ill/{name}")

    def heal(self, *names):
        for name in names:
            self.web.put(f"/ill/{name}", self.body, content_type="image/jpeg")


@pytest.fixture
def heal(web):
    return Heal(web)


FIRST = {"kept": 3, "document_lost": 2, "http_5xx": 4, "not_needed": 4, "http_404": 1}
"""Images of ``world`` by fate, before anything heals."""


@pytest.fixture
def world(web, heal, tmp_path):
    def photo(n):
        return web.url(f"/photo/{n}.jpg?w=64&of=retry")

    gone = web.url("/fault/404/9")
    first = [
        document([photo(1), photo(2)], 0),
        document([photo(3), heal.url("a"), photo(4)], 1),  # whole once a is healed
        document([heal.url("b"), gone], 2),  # b heals, but another is gone
        document([gone, heal.url("c")], 3),  # c is not the reason
        document([heal.url("d")], 4),
    ]
    second = [document([photo(5), heal.url("a"), heal.url("e")], 0), document([photo(6)], 1)]
    return write(tmp_path / "src", {1: first, 2: second})


def account(folder):
    return documents(totals(folder), funnel(totals(folder), open_dataset(folder).config))


def test_only_what_failed_is_asked_for_again_and_late_documents_join(web, heal, world, tmp_path):
    folder = tmp_path / "out"
    run_here(world, folder)
    before, first = samples(folder), tree_of(folder)
    assert set(before) == {"000010000000000", "000020000000001"}
    assert account(folder).images == FIRST
    heal.heal("a", "b")
    web.hits.clear()
    assert retry(world, folder, "http_5xx")
    assert web.hits == {
        "/ill/a": 2,  # once a file
        "/photo/4.jpg?w=64&of=retry": 1,  # not asked for in the run
        "/ill/b": 1,
        "/fault/404/9": 1,
        "/ill/d": 2,
        "/ill/e": 2,
    }
    found = samples(folder)
    assert set(found) - set(before) == {"000010000000001"}
    after = tree_of(folder)
    assert {name: after[name] for name in first} == first
    said = last_fates(folder)
    name = "docs_no_face_shard_1_v3.jsonl"
    assert [said[name, 1, f"{n:03d}.jpg"] for n in range(3)] == [None] * 3
    assert [said[name, 2, f"{n:03d}.jpg"] for n in range(2)] == [None, "http_404"]
    images = account(folder)
    assert images.images == {"kept": 6, "document_lost": 3, "http_404": 2, "http_5xx": 2, "not_needed": 1}
    assert images.images["kept"] == sum(len(parts) - 1 for parts in found.values())
    assert (images.complete, images.kept) == (3, 3)
    check_final_names(folder)

    heal.heal("e", "d")
    web.hits.clear()
    assert retry(world, folder, "http_5xx")
    assert web.hits == {"/ill/e": 1, "/ill/d": 1}  # a, of the same document, was had in the round before
    assert set(samples(folder)) - set(found) == {"000010000000004", "000020000000000"}

    web.hits.clear()
    run_here(world, tmp_path / "at-once")
    assert samples(tmp_path / "at-once") == samples(folder)
    assert account(tmp_path / "at-once").images == account(folder).images
    assert totals(tmp_path / "at-once").hosts == totals(folder).hosts
    levels = funnel(totals(folder), open_dataset(folder).config)
    assert levels.adds_up
    assert levels.complete


def test_a_failure_that_the_retry_does_not_ask_about_is_not_asked_again(web, heal, tmp_path):
    folder, settings = tmp_path / "out", {"crawl.on_missing_image": "drop_image"}
    ill = [heal.url("x", 500), heal.url("y", 403)]
    place = write(tmp_path / "src", {1: [document(ill)]})
    run_here(place, folder, settings=settings)
    assert samples(folder) == {}
    web.hits.clear()
    heal.heal("x", "y")
    assert retry(place, folder, "http_5xx", settings=settings)
    assert web.hits == {"/ill/x": 1}
    assert list(samples(folder)["000010000000000"]) == ["000.jpg", "json"]
    assert last_fates(folder)["docs_no_face_shard_1_v3.jsonl", 0, "001.jpg"] == "http_403"
    assert account(folder).images == {"kept": 1, "http_403": 1}
    assert account(folder).complete == 0


def test_media_that_were_cleaned_away_are_asked_for_again_and_it_is_said(web, heal, world, tmp_path):
    folder, other = tmp_path / "out", tmp_path / "other"
    run_here(world, folder)
    assert account(folder).images == FIRST
    shutil.copytree(folder, other)
    opened = open_dataset(folder)
    assert clean(folder, opened.config, opened.ledger, dry_run=False)[0] == 2
    heal.heal("a", "e")
    web.hits.clear()
    assert retry(world, folder, "http_5xx")
    assert web.hits["/photo/3.jpg?w=64&of=retry"] == web.hits["/photo/5.jpg?w=64&of=retry"] == 1
    assert retry(world, other, "http_5xx")
    assert samples(folder) == samples(other)
    assert tree_of(folder) == tree_of(other)
    assert account(folder).images == account(other).images
    notes = totals(folder).notes
    assert [note for note in notes if "1 pictures that an earlier round had are cleaned away" in note]
    assert totals(other).notes == []


def _recipe(place, folder):
    from document_world import job

    return job(place, folder).load()


def test_an_interrupted_retry_goes_on(web, heal, world, tmp_path):
    folder, whole = tmp_path / "out", tmp_path / "whole"
    run_here(world, folder)
    shutil.copytree(folder, whole)
    heal.heal("a", "b", "d", "e")
    assert retry(world, whole, "http_5xx")
    assert retry(world, folder, "http_5xx")
    for record in [r for r in Ledger(folder).records.values() if r.number[0] == 1 or r.stage == "pack"]:
        if record.number[0] == 1:
            Ledger(folder).void(record.task_id)
    web.hits.clear()
    assert run_here(world, folder)[0].complete
    assert web.hits == {}  # the spool of the round had it all, what was taken over included
    assert tree_of(folder) == tree_of(whole)
    assert account(folder).images == account(whole).images


def test_what_was_taken_over_has_no_second_fate(web, heal, world, tmp_path):
    folder = tmp_path / "out"
    run_here(world, folder)
    heal.heal("a")
    retry(world, folder, "http_5xx")
    of = [f for f in fates(folder) if f["file"].endswith("shard_1_v3.jsonl") and f["row"] == 1]
    assert sorted((f["medium"], f["attempt"], f["reason"]) for f in of if f["medium"] == "000.jpg") == [
        ("000.jpg", 0, None)
    ]
    assert {(f["medium"], f["attempt"]) for f in of if f["attempt"]} == {("001.jpg", 1), ("002.jpg", 1)}
