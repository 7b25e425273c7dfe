"""Golden files: what becomes of a few invented rows of a recipe's upstream, and what became of them before.

    python -m gristmill.testing.check_recipe [NAME ...]            compare
    python -m gristmill.testing.check_recipe --write [NAME ...]    write expected.jsonl anew

``tests/recipes/NAME/rows.jsonl`` holds up to ten rows in the upstream's exact schema (``NaN`` may stand for a
number), ``expected.jsonl`` first the recipe's version, then a line for each row: what its table step decided and
what ``parse`` makes of the row, and the steps over samples right behind it. Nothing is fetched. The files of aux
sources lie beside them, under their own names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill import recipes
from gristmill.shards.lossless import dumps, loads
from gristmill.shards.rows import read_rows, rows_of
from gristmill.shards.samples import encode_sample
from gristmill.spec.errors import GristmillError, RecipeError
from gristmill.spec.locator import Embedded
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.sample import Drop, Json, Origin, Outcome
from gristmill.spec.step import LINE_OFFSET, SampleStep, Step, TableStep

__all__ = ["GOLDEN", "check_recipe", "difference", "golden_rows", "write_expected"]

GOLDEN = Path("tests/recipes")
"""Where golden files lie, seen from the repository's root."""


class _Decisions:
    """A :class:`gristmill.spec.step.TableContext` that remembers what became of each row."""

    only: int | None = None

    def __init__(self) -> None:
        self.stop = Event()
        self.kept: list[int] = []
        self.given: dict[int, Json] = {}
        self.dropped: dict[int, Reason] = {}
        self.notes: list[str] = []

    def expect(self, rows: int, part_rows: int | None = None, last_rows: int | None = None) -> None:
        """Parts are not cut here."""

    def keep(self, table: Any, rows: Any, groups: Any = None) -> None:
        """Rows in the order in which they leave, and as ``parse`` will see them."""
        self.kept += rows.to_pylist()
        if LINE_OFFSET not in table.column_names:  # else it only says where they stand
            self.given.update(zip(rows.to_pylist(), rows_of(table), strict=True))

    def cut(self) -> None:
        """Likewise."""

    def drop(self, rows: Any, reason: Reason, detail: str = "") -> None:
        """Rows that do not."""
        self.dropped.update(dict.fromkeys(rows.to_pylist(), reason))

    def note(self, text: str) -> None:
        """Say what the user would be told."""
        self.notes.append(text)

    def progress(self, done: int, total: int | None) -> None:
        """Nobody watches."""

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for as long as it is needed."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    def first_media(self, table: Any) -> Sequence[None]:
        """No media are at hand, and rows stay where they stand."""
        return [None] * int(table.num_rows)

    def source(self, key: str) -> Any:
        """There is none.

        Raises:
            RecipeError: Always.
        """
        raise RecipeError(f"no media source is at hand here, not {key!r} either")

    def of(self, row: int) -> Json:
        """The place of a row that was kept, counted from 0, or why it was not."""
        return str(self.dropped[row]) if row in self.dropped else self.kept.index(row)


def check_recipe(
    recipe: Recipe, rows: Sequence[Mapping[str, Json]], folder: Path | None = None
) -> list[dict[str, Json]]:
    """Say what becomes of some rows, offline.

    Args:
        recipe: Its first step is run, its ``parse``, and the steps over samples that follow it directly.
        rows: In the upstream's schema.
        folder: Where the files of its aux sources lie, under their own names.

    Returns:
        First the recipe's name, version and what its table step had to say; then for each row ``table``, its
        place among those kept or the reason why it was not, and ``drop`` or ``sample``, which is what ``parse``
        and those steps make of the row whether it was kept or not.

    Raises:
        GristmillError: As in a run.
        RecipeError: The recipe does not begin with a step over the table, or a step drops for a reason that it
            does not declare.
    """
    step = recipe.steps[0]
    if not isinstance(step, TableStep):
        raise RecipeError(f"{recipe.name}: its first step, {step.name}, is not one over the table")
    with tempfile.TemporaryDirectory() as scratch:
        table = _table_file(Path(scratch), recipe.sources[0], rows)
        decisions = _Decisions()
        step.apply(table, decisions)
        _check_declared(step, decisions.dropped.values())
        upstream = [row for batch in read_rows(table) for row in rows_of(batch.table)]
        outcomes = [recipe.parse(decisions.given.get(n, row)) for n, row in enumerate(upstream)]
    head = {"recipe": recipe.public_name, "version": recipe.version, "notes": decisions.notes}
    steps = [step.with_aux(_aux_files(recipe, folder)) for step in _leading(recipe)]
    made = [
        _through(steps, _named(*one, recipe, n)) for n, one in enumerate(zip(outcomes, upstream, strict=True))
    ]
    return [head, *({"row": n, "table": decisions.of(n), **_plain(o)} for n, o in enumerate(made))]


def _leading(recipe: Recipe) -> list[SampleStep]:
    """The steps over samples that need neither a network nor a decoder, as far as the first that does."""
    leading = []
    for step in recipe.steps[1:]:
        if not isinstance(step, SampleStep):
            break
        leading.append(step)
    return leading


def _aux_files(recipe: Recipe, folder: Path | None) -> dict[str, tuple[Path, ...]]:
    found: dict[str, tuple[Path, ...]] = {}
    for source in recipe.sources:
        if source.role == "aux" and folder is not None:
            paths = (folder / pattern.rpartition("/")[2] for pattern in source.patterns)
            found[source.key] = tuple(path for path in paths if path.is_file())
    return found


def _through(steps: Sequence[SampleStep], outcome: Outcome) -> Outcome:
    for step in steps:
        if isinstance(outcome, Drop):
            break
        outcome = step.apply(outcome)
        if isinstance(outcome, Drop):
            _check_declared(step, [outcome.reason])
    return outcome


def _check_declared(step: Step, reasons: Iterable[Reason]) -> None:
    """Refuse drops for reasons that the step does not declare."""
    if undeclared := sorted(set(reasons) - step.drops):
        raise RecipeError(
            f"the step {step.name} drops for {', '.join(undeclared)}, which it does not declare: add it to "
            f"{type(step).__name__}.drops"
        )


def _named(outcome: Outcome, row: Mapping[str, Json], recipe: Recipe, number: int) -> Outcome:
    """As in a run: the sample knows its row and its place, and is named after that if ``parse`` gives no key."""
    if isinstance(outcome, Drop):
        return outcome
    return replace(
        outcome,
        key=outcome.key or recipe.key.format(file=0, row=number),
        origin=Origin(source=recipe.sources[0].key, file="rows.jsonl", row=number),
        upstream=row,
    )


def _table_file(folder: Path, source: Source, rows: Sequence[Mapping[str, Json]]) -> Path:
    met = [pattern for variant in source.variants.values() for pattern in variant.patterns]
    if source.format in {"json", "jsonl"} or any(pattern.endswith("json") for pattern in met):
        path = folder / "rows.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return path
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    return path


def _plain(outcome: Outcome) -> dict[str, Json]:
    if isinstance(outcome, Drop):
        return {"drop": {"reason": str(outcome.reason), "detail": outcome.detail}}
    sample = loads(encode_sample(outcome))
    for name, ref in outcome.media.items():
        if isinstance(ref.at, Embedded):  # the text itself would be most of the file
            digest = hashlib.sha256(ref.at.text.encode()).hexdigest()
            sample["media"][name]["embedded"] = f"{len(ref.at.text)} characters, sha256 {digest[:16]}"
    return {"sample": {name: sample[name] for name in ("key", "media", "turns", "columns")}}


def golden_rows(folder: Path) -> list[dict[str, Json]]:
    """The rows of ``rows.jsonl`` in a recipe's golden folder.

    Raises:
        OSError, ValueError: It is not there, or not JSON.
    """
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text("utf-8").splitlines() if line]


def difference(recipe: Recipe, folder: Path) -> str | None:
    """Say what differs from ``expected.jsonl``, in a sentence; None if nothing does."""
    found = [dumps(line) for line in check_recipe(recipe, golden_rows(folder), folder)]
    path = folder / "expected.jsonl"
    if not path.exists():
        return f"{path} is missing. Write it: make golden"
    expected = path.read_bytes().splitlines()
    if found == expected:
        return None
    if found[0] != expected[0] and loads(expected[0])["version"] != recipe.version:
        return f"{path} is of version {loads(expected[0])['version']}, the recipe of {recipe.version}: make golden"
    lines = "\n".join(_differing(expected, found))
    return f"{recipe.name} makes something else now. Raise its version, then: make golden\n{lines}"


def _differing(expected: Sequence[bytes], found: Sequence[bytes]) -> Iterator[str]:
    for n in range(max(len(expected), len(found))):
        was, now = (lines[n].decode() if n < len(lines) else "nothing" for lines in (expected, found))
        if was != now:
            yield f"  was {was}\n  is  {now}"


def write_expected(recipe: Recipe, folder: Path, *, anyway: bool = False) -> bool:
    """Write ``expected.jsonl`` anew; True if it has changed.

    Args:
        recipe: Whose rows these are.
        folder: Its golden folder.
        anyway: Also where the outcome differs and the version is the same: nobody has built it yet.

    Raises:
        RecipeError: The outcome differs and the version is the same.
    """
    path = folder / "expected.jsonl"
    told = difference(recipe, folder)
    if told is None:
        return False
    if "Raise its version" in told and not anyway:
        raise RecipeError(f"{told}\n(--anyway keeps the version, for a recipe that nobody has built yet.)")
    lines = check_recipe(recipe, golden_rows(folder), folder)
    path.write_bytes(b"".join(dumps(line) + b"\n" for line in lines))
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare or write the golden files of some recipes, or of all; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gristmill.testing.check_recipe")
    parser.add_argument("names", nargs="*", metavar="NAME", help="recipes; all, if none is named")
    parser.add_argument("--write", action="store_true", help="write expected.jsonl anew")
    parser.add_argument("--anyway", action="store_true", help="also where the version was not raised")
    parser.add_argument("--golden", type=Path, default=GOLDEN, help="folder of golden files")
    given = parser.parse_args(arguments)
    failed = 0
    for name in given.names or recipes.names():
        try:
            failed += not _one(recipes.find(name), given.golden, write=given.write, anyway=given.anyway)
        except (GristmillError, OSError, ValueError) as err:
            sys.stderr.write(f"{name}: {err}\n")
            failed += 1
    return 1 if failed else 0


def _one(recipe: Recipe, golden: Path, *, write: bool, anyway: bool) -> bool:
    folder = golden / recipe.name
    if write:
        changed = write_expected(recipe, folder, anyway=anyway)
        sys.stdout.write(f"{recipe.public_name}: {'written anew' if changed else 'as before'}\n")
        return True
    told = difference(recipe, folder)
    sys.stdout.write(f"{recipe.public_name}: {told or 'as expected'}\n")
    return told is None


if __name__ == "__main__":
    sys.exit(main())
