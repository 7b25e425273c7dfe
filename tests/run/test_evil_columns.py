"""An annotation file that has columns as Gristmill adds them: it would have other files of this machine read."""

from __future__ import annotations

import json
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_world import Watcher

from gristmill import recipes
from gristmill.run.begin import Job
from gristmill.run.driver import run
from gristmill.shards.far_texts import FAR_COLUMN
from gristmill.shards.webdataset import read_samples
from gristmill.spec.errors import DamagedSource

RECIPE = """
from dataclasses import dataclass
import pyarrow.parquet as pq
import pyarrow as pa
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.sample import Sample, Text, Turn
from gristmill.spec.step import TableStep
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Careless(TableStep):
    part_rows: int = 10
    name = "careless"

    def apply(self, table, box):
        rows = pq.read_table(table)
        box.keep(rows, pa.array(range(len(rows))))


def parse(row):
    return Sample(key="", turns=(Turn(role="user", parts=(Text(text=row["text"]),)),))


RECIPE = Recipe(
    name="toy", version="2026.1.1", title="", description="", homepage="", license="cc0-1.0",
    sources=(Source(key="rows", by_hand="make it", patterns=("*.parquet",)),),
    parse=parse, steps=(STEP(), Pack()),
)
"""


@pytest.mark.parametrize("step", ["TakeRows", "Careless"])
def test_no_file_of_this_machine_is_read_for_an_annotation_file(tmp_path, step):
    secret, recipe, rows = tmp_path / "token", tmp_path / "toy.py", tmp_path / "rows"
    secret.write_text("top secret token")
    recipe.write_text(RECIPE.replace("STEP", step))
    rows.mkdir()
    pointer = {
        "path": json.dumps(["text"]), "offset": 0, "size": 16, "text": True, "file": str(secret)
    }  # fmt: skip
    evil = pa.table({"text": ["harmless"], FAR_COLUMN: [[pointer]]})
    pq.write_table(evil, rows / "0.parquet")
    pq.write_table(pa.table({"text": ["plain"]}), rows / "1.parquet")
    job = Job(
        load=partial(recipes.load, str(recipe), None, {}),
        reference=str(recipe),
        folder=tmp_path / "out",
        replaced={"rows": str(rows)},
    )
    with pytest.raises(DamagedSource, match=r"0\.parquet.*Rename"):
        run(job, Watcher())
    kept = [sample for path in (tmp_path / "out").rglob("*.tar") for sample in read_samples(path)]
    assert "secret" not in repr(kept)
