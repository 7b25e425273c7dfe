"""Annotation files with numbers: their order, a file twice, and gaps."""

import time
from dataclasses import replace

import pytest

from gristmill import recipes
from gristmill.ledger.run_config import InputFile
from gristmill.run.inputs.numbering import arranged
from gristmill.spec.errors import UnknownName, UsageError
from gristmill.spec.recipe import Source

SOURCE = Source(
    key="a", path="x", number=r"shard_(\d+)_v3\.jsonl(?:\.zip)?$", order="numeric", files=10, gaps=(4,)
)


def files(*names: str) -> list[InputFile]:
    return [InputFile(source="a", name=name, size_bytes=1, digest="ab") for name in sorted(names)]


def shards(*numbers: int, end: str = ".zip") -> list[InputFile]:
    return files(*(f"shard_{number}_v3.jsonl{end}" for number in numbers))


def test_by_number_or_as_text():
    found = arranged(SOURCE, shards(10, 2, 1, 100))
    assert [file.number for file in found] == [1, 2, 10, 100]
    published = arranged(replace(SOURCE, order="published"), shards(10, 2, 1, 100))
    assert [file.number for file in published] == [100, 10, 1, 2]  # "_" sorts behind digits


def test_a_file_packed_and_unpacked_is_taken_once():
    found = arranged(SOURCE, files("shard_1_v3.jsonl", "shard_1_v3.jsonl.zip", "shard_2_v3.jsonl.zip"))
    assert [file.name for file in found] == ["shard_1_v3.jsonl", "shard_2_v3.jsonl.zip"]


def test_two_files_of_one_number_are_refused():
    with pytest.raises(UsageError, match="both number 1"):
        arranged(SOURCE, files("a/shard_1_v3.jsonl", "b/shard_1_v3.jsonl"))
    with pytest.raises(UsageError, match="has no number"):
        arranged(SOURCE, files("shard_x_v3.jsonl"))


def test_unknown_gaps_of_a_set_that_looks_complete_are_noted():
    notes = {f.number: f.note for f in arranged(SOURCE, shards(0, 1, 2, 3, 5, 6, 7, 9, 10)) if f.note}
    assert list(notes) == [9]
    assert notes[9].endswith(": 8")
    assert not any(f.note for f in arranged(SOURCE, shards(3, 7, 9)))
    notes = {f.number: f.note for f in arranged(SOURCE, shards(0, 1, 2, 3, 5, 6, 7, 8, 9)) if f.note}
    assert notes == {9: "behind it are missing, and upstream has them: 10"}


def test_many_files_are_arranged_at_once():
    began_s = time.monotonic()
    assert len(arranged(replace(SOURCE, files=23_000), shards(*range(23_000)))) == 23_000
    assert time.monotonic() - began_s < 5  # 0.2 s alone; with a set of names made for each file 12 s


def test_files_without_numbers_stay_as_they_are():
    assert [f.name for f in arranged(Source(key="a", path="x"), files("b", "a"))] == ["a", "b"]


def test_the_order_is_a_setting_of_the_source_and_part_of_the_identity():
    recipe = recipes.find("mmc4-core")
    other = recipe.with_settings({"annotations.order": "published"})
    assert (recipe.sources[0].order, other.sources[0].order) == ("numeric", "published")
    assert recipe.identity() != other.identity()
    with pytest.raises(UsageError, match="expected published or numeric"):
        recipe.with_settings({"annotations.order": "random"})
    with pytest.raises(UsageError, match="have no number"):
        recipes.find("coyo-700m").with_settings({"annotations.order": "numeric"})
    with pytest.raises(UnknownName):
        recipe.with_settings({"annotations.revision": "x"})
