"""A row that the recipe's own code stumbles over, or makes nonsense of, costs itself, and is said."""

from __future__ import annotations

import json
from functools import partial

import pytest
from small_world import Watcher

from gristmill import recipes
from gristmill.cli.metadata_files import write_metadata_files
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.totals import total
from gristmill.run.begin import Job
from gristmill.run.driver import run
from gristmill.run.maintenance.reopen import add_round, open_dataset, planner_of
from gristmill.spec.errors import RecipeError

HEAD = """
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.reasons import Reason
from gristmill.spec.locator import Url
from gristmill.spec.sample import Drop, MediaRef, Sample, Show, Text, Turn
from gristmill.steps.crawl import Crawl
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows

"""
TAIL = """

RECIPE = Recipe(
    name="odd", version="2026.1.1", title="", description="", homepage="", license="cc0-1.0",
    sources=(Source(key="rows", by_hand="make it", patterns=("*.jsonl",), format="jsonl"),),
    parse=parse, steps=(TakeRows(), {step}Pack()),
)
"""
DIVIDES = """
def parse(row):
    turns = (Turn(role="user", parts=(Text(text=row["q"].strip()),)),)
    return Sample(key=f"k{row['n'] // row['d']}", turns=turns)
"""
BY_ROW = """
def parse(row):
    turns = (Turn(role="caption", parts=(Show(media="image"), Text(text="a \\ud800 b"))),)
    good = Sample(key=f"k{row['n']}", media={"image": MediaRef(at=Url(row["url"]))}, turns=turns)
    return {
        0: good,
        1: None,
        2: Sample(key=7),
        3: Sample(key="k3", media={"a/b": MediaRef(at=Url(row["url"]))}),
        4: Sample(key="k4", turns=(Turn(role="caption", parts=(Text(text=None),)),)),
        5: Sample(key="k5", media={"image": MediaRef(at=Url(5))}),
        6: Drop(reason="because"),
        7: Drop(reason=Reason.EMPTY_TEXT, detail="half a \\ud83d pair"),
        8: Sample(key="k8", media={"image": MediaRef(at=Url(row["url"] + "\\udc00"))}),
        9: Sample(key="k9", turns=(Turn(role="caption", parts=(Show(media="none"),)),)),
        10: good,
    }[row["n"]]
"""


def made(base, parse, lines, step=""):
    recipe, rows = base / "odd.py", base / "rows.jsonl"
    recipe.write_text(HEAD + parse + TAIL.replace("{step}", step))
    rows.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return Job(
        load=partial(recipes.load, str(recipe), None, {}),
        reference=str(recipe),
        folder=base / "out",
        replaced={"rows": str(rows)},
    )


def samples_of(folder):
    return [(record.kept, record.dropped) for record in Ledger(folder).stage("samples")]


def test_an_odd_row_costs_itself_and_the_first_is_noted(tmp_path):
    good = [{"n": n, "d": 1, "q": "a"} for n in range(4)]
    odd = [{"n": 9, "d": 0, "q": "a"}, {"n": 9, "d": 1}, {"n": 9, "d": 1, "q": None}]
    job = made(tmp_path, DIVIDES, [*good[:2], *odd, *good[2:]])
    assert run(job, Watcher()).complete
    assert total(Ledger(tmp_path / "out").records.values()).notes == [
        "rows.jsonl: the recipe failed on 3 rows, the first 2: parse raised ZeroDivisionError: integer division or "
        "modulo by zero. Once it is mended, under the same version, `gristmill retry DIR --reason bad_row` reads "
        "what was lost so again."
    ]
    assert samples_of(tmp_path / "out") == [(4, {"bad_row": 3})]

    # which is what it does
    job = made(tmp_path, DIVIDES.replace("// row['d']", ""), [*good[:2], *odd, *good[2:]])
    opened = open_dataset(job.folder)
    assert add_round(opened, planner_of(opened, job.load()), ("bad_row",))
    assert run(job, Watcher()).complete
    assert samples_of(tmp_path / "out")[-1] == (1, {"bad_row": 2})


def test_whatever_python_raises_over_a_row_costs_the_row(tmp_path):
    parse = """
import re, struct, zlib
def parse(row):
    def deep(value): return deep([value])
    odd = {
        1: lambda: deep(row),
        2: lambda: next(iter(())),
        3: lambda: struct.unpack("<q", b"short"),
        4: lambda: zlib.decompress(b"none"),
        5: lambda: re.compile("("),
    }
    assert row["n"] != 6
    odd.get(row["n"], dict)()
    return Drop(reason=Reason.EMPTY_TEXT)
"""
    job = made(tmp_path, parse, [{"n": n} for n in range(8)])
    assert run(job, Watcher()).complete
    assert samples_of(tmp_path / "out") == [(0, {"bad_row": 6, "empty_text": 2})]


def test_nothing_that_parse_returns_ends_a_crawl_or_its_packing(web, tmp_path):
    lines = [{"n": n, "url": web.url(f"/photo/{n}.jpg?w=64", n)} for n in range(11)]
    step = "Crawl(allow_private_addresses=True, tries=1), "
    job = made(tmp_path, BY_ROW, lines, step)
    ended = run(job, Watcher())
    assert ended.complete
    assert samples_of(tmp_path / "out") == [(2, {"bad_row": 7, "bad_url": 1, "empty_text": 1})]
    assert web.hits.total() == 2
    write_metadata_files(ended.folder, ended.recipe)


def test_a_recipe_that_reads_no_row_is_told_before_anything_is_asked(web, tmp_path):
    lines = [{"n": n, "url": web.url(f"/photo/{n}.jpg?w=64", n)} for n in range(30)]
    bad = BY_ROW.partition("    return {")[0] + "    return [good]\n"
    step = "Crawl(allow_private_addresses=True, tries=1), "
    with pytest.raises(
        RecipeError, match=r"none of the first 20 .* Row 0 of rows\.jsonl: parse: what it returned is"
    ):
        run(made(tmp_path, bad, lines, step), Watcher())
    assert not web.hits

    # a mended one goes on in the same folder
    job = made(tmp_path, bad.replace("[good]", "good"), lines, step)
    assert run(job, Watcher()).complete
    assert samples_of(tmp_path / "out") == [(30, {})]


STEP = """
from dataclasses import dataclass, replace
from gristmill.spec.step import SampleStep

@dataclass(frozen=True, slots=True)
class Odd(SampleStep):
    name = "odd"
    revision = 1

    def apply(self, sample):
        number = int(sample.key[1:])
        return {0: sample, 1: None, 2: replace(sample, key=number)}[number]
"""


def test_a_step_of_ones_own_costs_its_rows(tmp_path):
    lines = [{"n": n, "d": 1, "q": "a"} for n in range(4)]
    assert run(made(tmp_path, STEP + DIVIDES, lines, "Odd(), "), Watcher()).complete
    assert samples_of(tmp_path / "out") == [(1, {"bad_row": 3})]
