"""A group of recipes by its one name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typed import gristmill

from gristmill import recipes
from gristmill.ledger.words import size_text

GOLDEN = Path(__file__).parent.parent / "recipes"


def copy_of_all(folder: Path) -> Path:
    """The golden rows of all fourteen, where the repository has its files."""
    for name in recipes.members("m3it"):
        recipe = recipes.find(name)
        place = folder / recipe.source("annotations").patterns[0]
        place.parent.mkdir(parents=True)
        shutil.copy(GOLDEN / recipe.name / "rows.jsonl", place)
        for side in (GOLDEN / recipe.name).glob("instruction*.json"):
            shutil.copy(side, place.parent)
    return folder


def test_fourteen_recipes_with_keys_of_their_own():
    names = recipes.members("m3it")
    assert len(names) == 14
    assert len({recipes.find(name).key for name in names}) == 14
    assert len({recipes.find(name).published_as for name in names}) == 14


def test_show_and_plan_take_the_group():
    shown = gristmill("show", "m3it").stdout
    assert "data/vqa/vqav2/train.jsonl" in shown
    assert len(json.loads(gristmill("show", "m3it", "--json").stdout)) == 14
    planned = json.loads(gristmill("plan", "m3it", "--offline", "--json").stdout)
    assert [one["name"] for one in planned] == list(recipes.members("m3it"))
    assert sum(one["result"]["fetch_bytes"] for one in planned) > 90e9
    last = gristmill("plan", "m3it", "--offline").stdout.splitlines()[-1]
    assert last.startswith("== all 14: 95."), last


def test_show_says_what_steps_do_without_marks_of_the_code():
    shown = gristmill("show", "scienceqa").stdout
    assert "as TakeCells has it" in shown
    assert ":class:" not in shown


def test_what_several_recipes_of_a_group_share_is_planned_once():
    last = gristmill("plan", "llava-next", "--offline").stdout.splitlines()[-1]
    planned = json.loads(gristmill("plan", "llava-next", "--offline", "--json").stdout)
    media = [one for member in planned for one in member["result"]["media"]]
    once = {one["key"]: one["fetch_bytes"] for one in media}
    assert len(once) < len(media)
    assert f"fetch, {size_text(sum(once.values()))} of media beside" in last


def test_one_file_is_refused(tmp_path):
    (tmp_path / "train.jsonl").write_text("{}\n")
    told = gristmill(
        "run", "m3it", "--out", tmp_path / "out", "--source", f"annotations={tmp_path}/train.jsonl", code=2
    )
    assert "m3it stands for 14 recipes" in told.stderr


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_one_that_is_missing_does_not_stop_the_others(tmp_path):
    copy = copy_of_all(tmp_path / "copy")
    shutil.rmtree(copy / "data" / "vqa" / "gqa")
    words = (
        "run",
        "m3it",
        "--out",
        tmp_path / "out",
        "--source",
        f"annotations={copy}",
        "--only",
        3,
        "--workers",
        1,
    )
    done = gristmill(*words, "--json", code=2)
    assert "1 of 14 did not end as they should" in done.stderr
    results = {one["name"]: one for one in json.loads(done.stdout)}
    assert results["m3it-gqa"]["exit_code"] == 2
    assert [one["exit_code"] for one in results.values()].count(0) == 13
    for name in results.keys() - {"m3it-gqa"}:
        assert (tmp_path / "out" / name / "shards" / "00000.tar").exists()


def test_an_annotation_file_that_stays_until_its_pictures_are_read_counts_as_disk():
    planned = json.loads(gristmill("plan", "m3it-docvqa", "--offline", "--json").stdout)
    assert planned["disk_bytes"] == 2 * planned["shard_bytes"] + planned["fetch_bytes"] > 90e9
