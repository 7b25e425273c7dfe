"""Rows of one key: the first of the dataset stays, the others are counted drops."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_world import NO_MANIFEST, Watcher, totals, tree_of

from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import Ledger
from gristmill.run.begin import Job
from gristmill.run.driver import run
from gristmill.run.maintenance.clean import clean
from gristmill.run.maintenance.reopen import add_round, open_dataset, planner_of
from gristmill.run.maintenance.verify import verify
from gristmill.run.stages import unique
from gristmill.run.stages._samples import RowState, drop_repeated_keys
from gristmill.shards.webdataset import read_samples
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.sample import Drop, Sample, Text, Turn
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows
from gristmill.steps.shuffle import Shuffle


def test_the_first_of_a_key_stays() -> None:
    gone = Drop(reason=Reason.BAD_ROW)
    states = [
        RowState(0, 0, Sample(key="a"), gone),  # was dropped before, so its key is free
        RowState(1, 1, Sample(key="a")),
        RowState(2, 2, Sample(key="b")),
        RowState(3, 3, Sample(key="a")),
    ]
    drop_repeated_keys(states)
    assert [one.drop.reason if one.drop else None for one in states] == [
        Reason.BAD_ROW,
        None,
        None,
        Reason.DUPLICATE_KEY,
    ]


def parse(row, *, odd=frozenset()):
    if row["text"] in odd:
        raise ValueError("odd")
    return Sample(key=row["id"], turns=(Turn(role="caption", parts=(Text(text=row["text"]),)),))


def recipe(place, last, odd=frozenset()):
    return Recipe(
        name="lines",
        version="2026.11.1",
        title="Lines",
        description="Lines for tests.",
        homepage="https://example.org",
        license="cc0-1.0",
        redistribution="everything",
        sources=(Source(key="lines", path=str(place), patterns=("*.parquet",), format="parquet"),),
        parse=partial(parse, odd=odd),
        writes=frozenset(),
        steps=(TakeRows(part_rows=5), last),
    )


def written(folder, files):
    folder.mkdir()
    for n, ids in enumerate(files):
        texts = [f"{key} of file {n} at {row}" for row, key in enumerate(ids)]
        pq.write_table(pa.table({"id": pa.array(ids, pa.string()), "text": texts}), folder / f"{n}.parquet")
    return folder


def run_here(place, folder, last, **more):
    odd = more.pop("odd", frozenset())
    job = Job(load=lambda: recipe(place, last, odd), reference="lines", folder=folder, arguments={}, **more)
    assert run(job, Watcher()).complete


def texts(folder):
    return {
        sample.key: sample.parts["txt"].decode()
        for path in sorted((folder / "shards").glob("*.tar"))
        for sample in read_samples(path)
    }


def first_texts(files, odd=frozenset()):
    found: dict[str, str] = {}
    for n, ids in enumerate(files):
        for row, key in enumerate(ids):
            if (text := f"{key} of file {n} at {row}") not in odd:
                found.setdefault(key, text)
    return found


def fits(folder, rows):
    seen = verify(Ledger(folder), threads=1, complete=True, tell=lambda result: None)
    assert (seen.problems, seen.remarks) == ([], NO_MANIFEST)
    opened = open_dataset(folder)
    levels = funnel(totals(folder), opened.config)
    assert (levels.complete, levels.adds_up, levels.count("annotated")) == (True, True, rows)
    return levels.dropped()


def drawn(seed, files=3, rows=20, ids=40):
    rng = random.Random(seed)
    return [[f"k{rng.randrange(ids)}" for _ in range(rows)] for _ in range(files)]


@pytest.mark.parametrize("last", [Pack(shard_samples=11), Shuffle(shard_samples=11)], ids=["pack", "shuffle"])
def test_of_equal_keys_in_two_files_the_first_stays(last, tmp_path, monkeypatch):
    monkeypatch.setattr(unique, "_RUNS_OF_A_LENGTH", 2)  # so that runs are merged, and merged again
    files = drawn(7)
    folder = tmp_path / "out"
    run_here(written(tmp_path / "lists", files), folder, last)
    assert texts(folder) == first_texts(files)
    repeats = sum(map(len, files)) - len(first_texts(files))
    assert fits(folder, 60)["duplicate_key"] == repeats
    told = Counter(
        reason
        for path in (folder / "fates").glob("*.parquet")
        for reason in pq.read_table(path)["reason"].to_pylist()
    )
    assert told["duplicate_key"] == repeats


def test_keys_that_are_places_are_not_compared(tmp_path):
    files = [[""] * 12, [""] * 12]
    run_here(written(tmp_path / "lists", files), tmp_path / "out", Pack(shard_samples=10))
    assert len(texts(tmp_path / "out")) == 24
    assert not Ledger(tmp_path / "out").stage("unique")


def test_a_row_that_heals_repeats_no_key(tmp_path):
    """It came first, and by then its key is another's."""
    files = [["a", "b", "c", "d", "e", "f"], ["a", "x", "y"]]
    odd = {"a of file 0 at 0", "e of file 0 at 4", "x of file 1 at 1"}
    place, folder, last = written(tmp_path / "lists", files), tmp_path / "out", Pack(shard_samples=4)
    run_here(place, folder, last, odd=odd)
    assert texts(folder) == first_texts(files, odd)
    opened = open_dataset(folder)
    clean(folder, opened.config, opened.ledger, dry_run=False)
    assert add_round(opened, planner_of(opened, recipe(place, last)), ("bad_row",))
    run_here(place, folder, last)
    assert texts(folder) == first_texts(files, odd) | {"e": "e of file 0 at 4", "x": "x of file 1 at 1"}
    assert fits(folder, 9) == {"duplicate_key": 1}


def test_a_run_that_is_cut_off_anywhere_ends_with_the_same(tmp_path):
    files = drawn(3, files=2, rows=10, ids=12)
    place, last = written(tmp_path / "lists", files), Pack(shard_samples=4)
    run_here(place, tmp_path / "whole", last)

    class Cut(Watcher):
        def committed(self, record):
            super().committed(record)
            if len(self.committed_tasks) == at:
                raise KeyboardInterrupt

    tasks = len(Ledger(tmp_path / "whole").records)
    for at in range(1, tasks, 3):
        folder = tmp_path / f"cut{at}"
        job = Job(load=lambda: recipe(place, last), reference="lines", folder=folder, arguments={})
        with pytest.raises(KeyboardInterrupt):
            run(job, Cut())
        run_here(place, folder, last)
        assert tree_of(folder) == tree_of(tmp_path / "whole")
