"""Taking the rows of a list as they come."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.shards.delimited import NOT_UTF8
from gristmill.shards.framing import DELIMITERS, Framing
from gristmill.shards.rows import BadRow, RowBatch, column_names, held_in, notes_of, read_rows, without_names
from gristmill.shards.textlines import passed_over
from gristmill.spec.columns import column_of
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.step import TableContext, TableStep
from gristmill.steps.alike import Alike
from gristmill.steps.by_place import ByPlace
from gristmill.steps.repeats import Repeats
from gristmill.steps.spread import spread

__all__ = ["TakeRows"]

LEAST_PART_ROWS = 500
LAST_PART_ROWS = 50
_NAMED = 40
_MOST_DETAILS = 1000
"""Bad rows of a file that are told one by one; a file may hold millions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeRows(TableStep):
    """Every row of a list, in its order; lines that cannot be read are counted drops.

    Attributes:
        columns: Columns that must be there, checked before anything is asked.
        unique: Column whose repeated values are worked on once: rows that repeat an earlier row's value leave
            right behind it and go to the same task, or, where a part does not hold them, to the next ones too. None
            leaves all rows where they stand.
        unique_part: A regular expression with one group, which is the part of such a value that repeats: of names of
            clips that of their video, ``(.{11})_[0-9]+_[0-9]+``. Values that it does not match count whole.
        by_place: Rows are handed on in the order in which their first media lie in media sources, see
            :mod:`gristmill.steps.by_place`, and those of one medium together: a tar.gz is then unpacked about once.
        format: Of the file, or None to tell by its name.
        each: Column of lists of which every element makes a row of its own, see :mod:`gristmill.steps.spread`; of
            several, as ``COLUMN|COLUMN``, the elements in turn.
        alike: Column by which rows are counted as alike, for ``most_alike``.
        most_alike: Of rows with one value of ``alike`` so many are taken, the first ones; further ones are left out.
            0 takes all.
        where: Which rows are meant, as ``COLUMN=VALUE`` or ``COLUMN=VALUE|VALUE``: those of which one column holds
            something else are left out. A row without that column stays.
        drop_columns: Columns that are not carried: they go into no sample, and of Parquet they are not even read.
        header: Whether the first line of csv and tsv names the columns. None: it does, and one with an address in it
            is refused.
        names: Of the columns, where ``header`` is false; numbered if empty.
        delimiter: Between fields of csv and tsv: one character, or comma, semicolon, tab or pipe.
        quoting: Of csv and tsv. ``csv``: fields in double quotes hold delimiters, line breaks and doubled quotes.
            ``none``: quotes stand for themselves, and a row is a line. ``auto``: as csv, but a tsv whose beginning
            contradicts it, as none.
        encoding: Of a text list, such as cp1252 or utf-16; None is UTF-8.
        array: Keys to the rows within a JSON object, joined by dots, such as images in COCO's files.
        parts: Into how many parts a list is cut at least, none smaller than ``LEAST_PART_ROWS`` for it, but towards
            the end, down to ``LAST_PART_ROWS``: workers that end far apart idle for the difference. Where the number
            of rows is only known after the last one, parts have ``part_rows``. 1 leaves ``part_rows`` as they are.
        part_rows: Rows of a part at most.
    """

    columns: tuple[str, ...] = ()
    unique: str | None = None
    unique_part: str | None = None
    by_place: bool = False
    format: str | None = None
    each: str | None = None
    alike: str | None = None
    most_alike: int = 0
    where: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()
    header: bool | None = None
    names: tuple[str, ...] = ()
    delimiter: str | None = None
    quoting: str = "auto"
    encoding: str | None = None
    array: str | None = None
    parts: int = 1
    part_rows: int = 2500

    name = "rows"
    revision = 2
    drops = frozenset({Reason.BAD_ROW, Reason.ROW_TOO_LONG, Reason.NOT_CHOSEN, Reason.LEFT_OUT})

    def __post_init__(self) -> None:
        if min(self.parts, self.part_rows) < 1:
            raise UsageError("rows: parts and part_rows must be at least 1")
        if self.most_alike < 0 or (self.most_alike and self.alike is None):
            raise UsageError("rows.most_alike: expected 0 or more, and a column in alike")
        needed = {*self._needed}
        if both := sorted(needed & {*self.drop_columns}):
            raise UsageError(f"rows.drop_columns: {', '.join(both)} is needed. Drop others.")
        if (self.where or self.most_alike) and self.unique:
            raise UsageError(f"rows: {'where' if self.where else 'most_alike'} and unique do not go together")
        self._unique_part()
        if self.by_place and self.unique:
            raise UsageError(
                "rows: by_place and unique do not go together: by_place brings rows together itself"
            )
        for condition in self.where:
            if not all(condition.partition("=")):
                raise UsageError(f"rows.where={condition}: expected COLUMN=VALUE or COLUMN=VALUE|VALUE")
        _ = self.framing  # refuses what cannot be

    @property
    def takes_media(self) -> bool:
        """See :class:`TableStep`."""
        return self.by_place

    @property
    def _lists(self) -> tuple[str, ...]:
        return tuple(self.each.split("|")) if self.each else ()

    @property
    def _needed(self) -> tuple[str, ...]:
        alike = [self.alike] if self.most_alike else []
        return (*self.columns, *filter(None, [self.unique, *self._lists, *alike]))

    @property
    def left_beside(self) -> tuple[str, ...]:
        """Fields of Parquet columns that are not handed on: see :class:`gristmill.steps.cells.TakeCells`."""
        return ()

    @property
    def framing(self) -> Framing:
        """Say what is said of each file.

        Raises:
            UsageError, UnknownName: Of none, for it contradicts itself.
        """
        return Framing(
            format=self.format,
            header=self.header,
            names=self.names,
            delimiter=self.delimiter,
            quoting=self.quoting,
            encoding=self.encoding,
            array=self.array,
        )

    def apply(self, table: Path, box: TableContext) -> None:
        """See :class:`TableStep`.

        Raises:
            SourceError: Not readable as its format.
            UsageError: A named column is missing.
        """
        framing = self.framing
        check_columns(table, framing, self._needed)
        if framing.format_of(table) not in {"json", "jsonl"}:  # whose rows may each have others
            check_columns(table, framing, self.drop_columns)
        if more := passed_over(table):
            box.note(f"only the first file in this zip was read, and not {', '.join(map(repr, more[:3]))}")
        for note in notes_of(table, framing):
            box.note(note)
        if box.only is not None or not (self.unique or self.by_place):  # a small run takes the first rows
            self._keep(table, framing, box, None)
            return
        with box.scratch() as scratch:
            if self.by_place:
                self._keep(table, framing, box, ByPlace(self._read(table, framing), box, scratch))
            else:
                self._keep(table, framing, box, self._repeats(table, framing, scratch))

    def _repeats(self, table: Path, framing: Framing, scratch: Path) -> Repeats:
        assert self.unique is not None
        alone = framing.format_of(table) == "parquet" and not self.each
        column = [column_of(self.unique, column_names(table, framing))] if alone else None
        return Repeats(
            lambda only: self._read(table, framing, column if only else None),
            self.unique,
            scratch,
            self._unique_part(),
        )

    def _unique_part(self) -> re.Pattern[str] | None:
        """The pattern of the part that repeats.

        Raises:
            UsageError: It is none, or has not one group.
        """
        if self.unique_part is None:
            return None
        try:
            found = re.compile(self.unique_part, re.DOTALL)
        except re.error as err:
            raise UsageError(f"rows.unique_part={self.unique_part}: {err}") from err
        if found.groups != 1 or self.unique is None:
            raise UsageError(
                f"rows.unique_part={self.unique_part}: expected one group in parentheses, and rows.unique"
            )
        return found

    def _keep(
        self, table: Path, framing: Framing, box: TableContext, arranged: Repeats | ByPlace | None
    ) -> None:
        total = arranged.rows if arranged else box.only
        if framing.format_of(table) == "parquet" and not self.each:
            in_file = pq.read_metadata(table).num_rows
            total = in_file if total is None else min(total, in_file)
        if total is not None:
            tapers = self.parts > 1
            box.expect(
                total,
                max(LEAST_PART_ROWS, total // self.parts) if tapers else None,
                LAST_PART_ROWS if tapers else None,
            )
        taken = 0
        for some, rows in self._chosen(table, framing, box):
            taken += some.num_rows
            if isinstance(arranged, ByPlace):
                arranged.add(some, rows)
            elif arranged:
                arranged.keep(some, rows, box)
            else:
                box.keep(some, rows)
            box.progress(taken, None)
        if isinstance(arranged, ByPlace):
            arranged.hand_on(box.keep)

    def _read(
        self, table: Path, framing: Framing, columns: Sequence[str] | None = None
    ) -> Iterator[RowBatch]:
        if self.drop_columns and framing.format_of(table) not in {"json", "jsonl"}:
            columns = columns or [
                name for name in column_names(table, framing) if name not in self.drop_columns
            ]
        batches = read_rows(table, framing=framing, columns=columns, without=self.left_beside)
        if self.drop_columns:
            batches = (
                replace(batch, table=without_names(batch.table, self.drop_columns)) for batch in batches
            )
        return spread(batches, self._lists) if self._lists else batches

    def _chosen(self, table: Path, framing: Framing, box: TableContext) -> Iterator[tuple[Any, Any]]:
        """Good rows with their positions, as many as are wanted; the others get their fate."""
        left, told, foreign = box.only, 0, 0
        alike = self._alike(table, framing)
        for batch in self._read(table, framing):
            _drop_bad(batch.bad, box, alike=told >= _MOST_DETAILS)
            told += len(batch.bad)
            foreign += sum(NOT_UTF8 in bad.detail for bad in batch.bad)
            some, rows = self._meant(batch, box)
            if alike and (there := alike.late(rows.to_numpy())).any():
                late = pa.array(there)
                box.drop(
                    rows.filter(late), Reason.LEFT_OUT, f"behind {self.most_alike} with its {self.alike}"
                )
                some, rows = some.filter(pc.invert(late)), rows.filter(pc.invert(late))
            if left is not None:
                box.drop(rows.slice(left), Reason.NOT_CHOSEN)
                some, rows = some.slice(0, left), rows.slice(0, left)
                left -= some.num_rows
            yield some, rows
        if foreign:
            lines = "line is" if foreign == 1 else "lines are"
            box.note(
                f"{foreign:,} {lines} not UTF-8; a file in another encoding is read with --encoding cp1252, say"
            )

    def _meant(self, batch: RowBatch, box: TableContext | None = None) -> tuple[Any, Any]:
        """The rows that ``where`` means, with their positions; ``box`` is told of the others."""
        some, rows = batch.table, batch.rows
        for condition in self.where:
            column, _, values = condition.partition("=")
            held = held_in(some, column)
            if held is None:
                continue
            meant = pc.or_kleene(pc.is_null(held), pc.is_in(held, pa.array(values.split("|"))))
            for value in pc.unique(held.filter(pc.invert(meant))).to_pylist():
                if box is None:
                    break
                there = pc.fill_null(pc.equal(held, value), fill_value=False)
                box.drop(rows.filter(there), Reason.LEFT_OUT, f"{column} is {value}"[:200])
            some, rows = some.filter(meant), rows.filter(meant)
        return some, rows

    def _alike(self, table: Path, framing: Framing) -> Alike | None:
        """Which rows come after so many that are like them; None where all are taken."""
        if self.alike is None or not self.most_alike:
            return None
        meant = (RowBatch(*self._meant(batch), []) for batch in self._read(table, framing))
        return Alike(meant, self.alike, self.most_alike)


def _drop_bad(bad: Sequence[BadRow], box: TableContext, *, alike: bool) -> None:
    """Rows that cannot be read, each with what is wrong with it; ``alike`` ones with what is wrong with the first."""
    groups: dict[object, list[BadRow]] = {}
    for row in bad:
        groups.setdefault(row.reason if alike else row.row, []).append(row)
    for rows in groups.values():
        more = f" (and {len(rows) - 1:,} near it)" if len(rows) > 1 else ""
        box.drop(pa.array([row.row for row in rows], pa.int64()), rows[0].reason, rows[0].detail + more)


def missing_columns(path: Path, framing: Framing, wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """The wanted columns that are not in a list, and those that are."""
    have = column_names(path, framing)
    missing = [column for column in dict.fromkeys(wanted) if column_of(column, have) not in have]
    if missing and not have and next(read_rows(path, framing=framing), None) is None:
        return [], have  # JSON without a row, where nothing names columns
    return missing, have


def has_columns(have: Sequence[str]) -> str:
    """Say which columns a list has, in words; and what it seems to be if these look like others joined together."""
    names = [repr(name) if name != name.strip() else name for name in have[:_NAMED]]
    said = f"it has {', '.join(names) or 'none'}{f' and {len(have) - _NAMED:,} more' if len(have) > _NAMED else ''}"
    if len(have) != 1:
        return said
    within = {name: have[0].count(mark) for name, mark in DELIMITERS.items()}
    name = max(within, key=lambda name: within[name])
    return f"{said}, and seems to be separated by {name}s: --delimiter {name}" if within[name] else said


def check_columns(path: Path, framing: Framing, wanted: Sequence[str]) -> None:
    """Say what is missing before anything is asked of anyone.

    Raises:
        UsageError: A wanted column is not in the list.
    """
    missing, have = missing_columns(path, framing, wanted)
    if missing:
        raise UsageError(
            f"{path} has no column {', '.join(repr(c) for c in missing)}; {has_columns(have)}. "
            "Is it a file of this dataset? Of a list of your own, gristmill crawl is told the columns with "
            "--url-column and --caption-column. Or put a list that has them in its place; then give the same command."
        )
