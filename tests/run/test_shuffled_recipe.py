"""The same step in a recipe, where shards are packed otherwise: crawled samples, shuffled and cut."""

from functools import partial

import pytest
from small_parts import keys_of, samples_of
from small_world import NO_MANIFEST, SETTINGS, Watcher, run_here, tree_of, url, write_list

from gristmill import recipes
from gristmill.ledger.ledger import Ledger
from gristmill.run.begin import Job
from gristmill.run.driver import run
from gristmill.run.maintenance.clean import clean
from gristmill.run.maintenance.reopen import add_round, open_dataset, planner_of
from gristmill.run.maintenance.verify import verify

FOUR = "seed=5, shards=4"
RECIPE = """
from dataclasses import replace

from gristmill import recipes
from gristmill.steps.shuffle import Shuffle

plain = recipes.load("crawl", {arguments}, {settings})
RECIPE = replace(plain, name="shuffled", steps=(*plain.steps[:-1], Shuffle({shuffle})))
"""


def run_shuffled(place, folder, shuffle, workers=0, resolved=None, share=None):
    """``gristmill crawl``'s recipe with another last step, as a file that workers find too."""
    path = folder.with_name(f"{folder.name}_recipe.py")
    settings = {key: value for key, value in SETTINGS.items() if not key.startswith("pack.")}
    arguments = {"path": str(place), "url_column": "url", "caption_column": "text"}
    path.write_text(RECIPE.format(arguments=arguments, settings=settings, shuffle=shuffle))
    load = partial(recipes.load, str(path))
    job = Job(load=load, reference=str(path), folder=folder, workers=workers, resolved=resolved, share=share)
    return run(job, Watcher()), load()


@pytest.mark.parametrize("order", ["seeded", "published"])
def test_the_samples_that_packing_would_pack_in_another_order(small, web, tmp_path, order):
    ended, _ = run_shuffled(small.place, tmp_path / "out", f"seed=5, shards=7, order={order!r}")
    assert ended.complete
    plain = {one.key: one.parts for shard in samples_of(small.folder) for one in shard}
    shards = samples_of(tmp_path / "out")
    found = {one.key: one.parts for shard in shards for one in shard}
    assert len(shards) == 7
    assert all(plain[key] == parts for key, parts in found.items())
    if order == "seeded":
        assert found.keys() == plain.keys()
        assert {len(shard) for shard in shards} <= {len(plain) // 7, len(plain) // 7 + 1}
    else:
        assert {len(shard) for shard in shards} == {len(plain) // 7}
    assert list(found) != [key for key in plain if key in found]
    result = verify(Ledger(tmp_path / "out"), threads=1, tell=lambda so_far: None)
    assert (result.problems, result.remarks) == ([], NO_MANIFEST)


def test_shares_divide_the_crawl_and_the_last_shuffles(small, web, tmp_path):
    run_shuffled(small.place, tmp_path / "a", FOUR)
    web.forget()
    for number in (2, 3, 1):
        ended, _ = run_shuffled(small.place, tmp_path / "b", FOUR, share=(number, 3))
    assert ended.complete
    assert tree_of(tmp_path / "b") == tree_of(tmp_path / "a")
    assert set(web.hits.values()) == {1}


@pytest.mark.slow
def test_the_same_bytes_in_workers_and_after_cleaning(small, web, tmp_path):
    run_shuffled(small.place, tmp_path / "a", FOUR)
    run_shuffled(small.place, tmp_path / "b", FOUR, workers=2)
    before = tree_of(tmp_path / "a")
    assert tree_of(tmp_path / "b") == before
    opened = open_dataset(tmp_path / "a")
    files, _ = clean(tmp_path / "a", opened.config, opened.ledger, dry_run=False)
    opened.ledger.close()
    assert files
    assert not list((tmp_path / "a" / ".gristmill").rglob("*.spool"))
    assert not list((tmp_path / "a" / ".gristmill" / "scattered").iterdir())
    web.forget()
    run_shuffled(small.place, tmp_path / "a", FOUR)
    assert not web.hits  # nothing is left to do
    (tmp_path / "a" / "shards" / "00002.tar").unlink()
    ended, _ = run_shuffled(small.place, tmp_path / "a", FOUR)
    assert ended.complete
    assert web.hits  # the media are asked for again
    assert tree_of(tmp_path / "a") == before


def test_late_samples_are_shuffled_into_few_shards(web, tmp_path):
    retry_advice = [web.url(f"/fault/5xx-heals/{n}", n) if n % 5 == 0 else url(web, n) for n in range(60)]
    place, folder = write_list(tmp_path / "list.parquet", retry_advice), tmp_path / "out"
    _, recipe = run_shuffled(place, folder, FOUR)
    before = tree_of(folder)
    for _ in range(2):  # they heal at the third time of asking
        opened = open_dataset(folder)
        assert add_round(opened, planner_of(opened, recipe), ("http_5xx",))
        opened.ledger.close()
        ended, _ = run_shuffled(place, folder, FOUR, resolved=opened.resolved())
        assert ended.complete
    assert {name: tree_of(folder)[name] for name in before} == before
    late = keys_of(folder)[4:]
    assert [len(shard) for shard in late] == [6, 6]  # no larger than the four of the first round
    found = [key for shard in late for key in shard]
    assert found != sorted(found)


def test_packing_is_as_it_was(small, web, tmp_path):
    run_here(small.place, tmp_path / "out")
    assert tree_of(tmp_path / "out") == small.shards
