"""Index-only mixtures: the same samples in the same order as the shuffled one has, read where they lie."""

import json
import shutil
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_parts import PARTS, bytes_of, mix_here, samples_of, write_mixture, write_part, write_parts
from small_world import NO_MANIFEST

from gristmill import recipes
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.manifest import shards_of
from gristmill.ledger.reading import samples_in, whole_parts
from gristmill.ledger.run_config import RunConfig
from gristmill.run.maintenance.verify import verify
from gristmill.run.planning.pipeline import Pipeline
from gristmill.spec.errors import DamagedOutput, DamagedPart, DriftError, RecipeError, UsageError
from gristmill.steps.shuffle import Shuffle

ONLY = {"shuffle.index_only": "true"}
WEIGHED = {"a-pictures": "weight=0.5", "b-text": "weight=2.25, prefix='b-'", "c-one": ""}


@pytest.fixture
def out(tmp_path):
    return write_parts(tmp_path / "out")


@pytest.fixture
def mixture(tmp_path):
    return write_mixture(tmp_path / "small.py", WEIGHED)


def referred(folder):
    """Key and parts of each sample of an index, a list for each file."""
    return [
        [(one.key, one.parts) for one in samples_in(folder, shard)] for shard in shards_of(Ledger(folder))
    ]


def shuffled(folder):
    return [[(one.key, one.parts) for one in shard] for shard in samples_of(folder)]


@pytest.mark.parametrize("order", ["seeded", "published", "none"])
def test_it_holds_what_the_shuffled_mixture_holds_and_no_media(out, mixture, tmp_path, order):
    mix_here(mixture, tmp_path / "copied", parts_in=out, settings={"shuffle.order": order})
    ended, _ = mix_here(mixture, out, settings={**ONLY, "shuffle.order": order})
    assert ended.complete
    folder = out / "small"
    assert referred(folder) == shuffled(tmp_path / "copied" / "small")
    assert not (folder / "shards").exists()
    table = pq.read_table(folder / "references")
    assert {"part", "shard", "sample", "offset", "size", "crc32", "prefix", "suffix"} <= set(
        table.column_names
    )
    assert set(table["part"].to_pylist()) == set(PARTS)
    assert set(table["suffix"].to_pylist()) <= {"", "-2", "-3"}


def test_the_bytes_depend_on_nobody(out, mixture, tmp_path):
    mix_here(mixture, tmp_path / "alone", parts_in=out, settings=ONLY)
    for span, workers in (((4, 6), 2), ((0, 2), None), ((2, 4), None)):
        mix_here(mixture, tmp_path / "many", parts_in=out, settings=ONLY, span=span, workers=workers)
    assert bytes_of(tmp_path / "many" / "small") == bytes_of(tmp_path / "alone" / "small")


def test_it_reads_back_without_a_remark(out, mixture):
    mix_here(mixture, out, settings=ONLY)
    with pytest.raises(UsageError, match="does not take part a-pictures whole"):
        list(whole_parts(out / "small"))
    result = verify(Ledger(out / "small"), threads=1, decode=False, tell=lambda so_far: None)
    assert (result.problems, result.remarks) == ([], NO_MANIFEST)
    assert result.samples == sum(shard.samples for shard in shards_of(Ledger(out / "small"))) > 200


def test_a_mixture_of_mixtures(out, tmp_path):
    """The inner one is a part like any other, whether its samples were shuffled or are only referred to."""
    inner = write_mixture(tmp_path / "small.py", WEIGHED)
    outer = tmp_path / "outer.py"
    write_mixture(outer, {"small": "weight=1.5, prefix='x-'", "d-text": ""}, "seed=5, shards=3")
    outer.write_text(outer.read_text().replace('name="small"', 'name="outer"'))
    found = []
    for settings in ({}, ONLY):
        base = tmp_path / ("index" if settings else "whole")
        shutil.copytree(out, base)
        write_part(base / "d-text")
        mix_here(inner, base, settings=settings)
        for own in ({}, {"shuffle.copy": "true"}, ONLY):
            place = base / f"outer{len(found)}"
            mix_here(outer, place, parts_in=base, settings=own)
            folder = place / "small"
            found.append(referred(folder) if own is ONLY else shuffled(folder))
    assert all(one == found[0] for one in found)
    assert any(key.startswith("x-b-") and key.endswith("-2-2") for shard in found[0] for key, _ in shard)


def test_parts_that_moved_with_the_mixture_are_found_and_others_refused(out, mixture, tmp_path):
    mix_here(mixture, out, settings=ONLY)
    before = referred(out / "small")
    moved = out.rename(tmp_path / "moved")
    assert referred(moved / "small") == before
    (moved / "c-one").rename(tmp_path / "elsewhere")
    with pytest.raises(DamagedOutput, match="Put part c-one back"):
        referred(moved / "small")


@pytest.mark.parametrize("how", ["same size", "shorter"])
def test_a_part_that_changed_is_told_and_never_read_as_something_else(out, mixture, how):
    mix_here(mixture, out, settings=ONLY)
    path = out / "b-text" / "shards" / "00000.tar"
    body = bytearray(path.read_bytes())
    if how == "same size":
        body[700] ^= 1
    else:
        del body[-10240:]
    path.write_bytes(body)
    with pytest.raises(DamagedPart, match=r"verify .*/b-text --repair"):
        referred(out / "small")
    found = verify(Ledger(out / "small"), threads=1, decode=False, tell=lambda _: None)
    assert found.problems
    assert not found.damaged  # the mixture is whole: a repair of it would mend nothing
    with pytest.raises(DamagedOutput, match="b-text"):
        mix_here(write_mixture(out / "another.py", WEIGHED), out / "more", parts_in=out, settings=ONLY)


def test_references_of_a_stranger_lead_nowhere_else(out, mixture, tmp_path):
    mix_here(mixture, out, settings=ONLY)
    folder = out / "small"
    path = next((folder / "references").iterdir())
    table = pq.read_table(path)
    for column, value in (("shard", "../../etc/passwd"), ("part", "d"), ("part", "a-pictures/b")):
        at = table.column_names.index(column)
        other = table.set_column(at, column, pa.array([value] * table.num_rows))
        pq.write_table(other, path)
        with pytest.raises((DamagedOutput, UsageError)):
            referred(folder)
    path.write_bytes(b"PAR1 no such thing")
    with pytest.raises(DamagedOutput, match="no list of references"):
        referred(folder)


def test_an_index_is_not_continued_as_a_shuffle(out, mixture):
    mix_here(mixture, out, settings=ONLY)
    with pytest.raises(DriftError, match="index_only"):
        mix_here(mixture, out)
    said = json.dumps(RunConfig.read(out / "small").identity)
    assert '"index_only": true' in said


def test_a_recipe_cannot_leave_its_samples_where_they_are():
    recipe = recipes.find("gsm8k-screl")
    with pytest.raises(RecipeError, match="only a mixture's lie in shards"):
        Pipeline(replace(recipe, steps=(*recipe.steps[:-1], Shuffle(index_only=True))))
