"""A row that the recipe's own ``parse`` stumbles over costs itself, and is said."""

from __future__ import annotations

import json
from functools import partial

from small_world import Watcher

from gristmill import recipes
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.totals import total
from gristmill.run.begin import Job
from gristmill.run.drive import run

RECIPE = """
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.sample import Sample, Text, Turn
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows


def parse(row):
    turns = (Turn(role="user", parts=(Text(text=row["q"].strip()),)),)
    return Sample(key=f"k{row['n'] // row['d']}", turns=turns)


RECIPE = Recipe(
    name="odd", version="2026.1.1", title="", description="", homepage="", license="cc0-1.0",
    sources=(Source(key="rows", by_hand="make it", patterns=("*.jsonl",), format="jsonl"),),
    parse=parse, steps=(TakeRows(), Pack()),
)
"""


def test_an_odd_row_costs_itself_and_the_first_is_noted(tmp_path):
    recipe, rows = tmp_path / "odd.py", tmp_path / "rows.jsonl"
    recipe.write_text(RECIPE)
    good = [{"n": n, "d": 1, "q": "a"} for n in range(4)]
    odd = [{"n": 9, "d": 0, "q": "a"}, {"n": 9, "d": 1}, {"n": 9, "d": 1, "q": None}]
    lines = [*good[:2], *odd, *good[2:]]
    rows.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    ended = run(
        Job(
            load=partial(recipes.load, str(recipe), None, {}),
            reference=str(recipe),
            folder=tmp_path / "out",
            replaced={"rows": str(rows)},
        ),
        Watcher(),
    )
    records = Ledger(tmp_path / "out").records.values()
    assert ended.complete
    assert total(records).notes == [
        "rows.jsonl: parse failed on 3 rows, the first 2: parse raised ZeroDivisionError: integer division or "
        "modulo by zero"
    ]
    assert [(record.kept, record.dropped) for record in records if record.stage == "samples"] == [
        (4, {"bad_row": 3})
    ]
