"""The first stage: one annotation file, its rows given a fate or cut into parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.ledger.fates import not_kept_table, write_fates
from gristmill.ledger.run_config import InputFile
from gristmill.run.stages._row_states import ROW_FAULTS
from gristmill.run.stages._tables import InputTable, aux_files, fetch_input
from gristmill.run.state import layout
from gristmill.run.state.context import Context, Work
from gristmill.shards.arrow_values import row_bytes
from gristmill.shards.column_kinds import check_columns
from gristmill.shards.far_texts import FAR_COLUMN
from gristmill.shards.rows import readable_rows
from gristmill.spec.errors import SourceError
from gristmill.spec.locator import Locator
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Parse, Recipe
from gristmill.spec.sample import Json, Sample
from gristmill.spec.step import LINE_OFFSET, PrescanStep, TableStep
from gristmill.spec.task import ShardInfo, Task

__all__ = ["ROW_COLUMN", "PartWriter", "fetch_input", "run_rows", "tapering_sizes"]

_WRITERS = 4
_PART_BYTES = 8 << 20
"""Bytes of a part's rows, decoded, at most, unless one row has more: a task's memory is some times that."""
_LEFT_PER_PART = 8
_GROUP_COLUMN = "__group"

ROW_COLUMN = "__row"
"""Position in the upstream file, in the parts."""


def run_rows(step: TableStep, recipe: Recipe, task: Task, prescan: Any, context: Context, work: Work) -> None:
    """Let the step decide on the rows of one annotation file, fetching of it what the step needs."""
    step = step.with_aux(aux_files(context)) if step.takes_aux else step
    source = context.inputs[task.number[1]]
    upstream = recipe.source(source.source)
    file = InputTable(source, task, context, work)
    box = PartWriter(step, recipe.parse, task, context, work, source)
    if source.note:
        box.note(source.note)
    try:
        with file.read_by_a_step(prescanned=isinstance(step, PrescanStep)):
            if isinstance(step, PrescanStep):
                step.choose(file, prescan, box)
            else:
                path = file.fetch()
                if upstream.columns and "parquet" in (upstream.format, path.suffix[1:].lower()):
                    check_columns(path, upstream.columns)
                step.apply(path, box)
        box.finish()
    finally:
        box.close()
        file.close()


class PartWriter:
    """Cuts kept rows into Parquet parts and collects fates: a :class:`gristmill.spec.step.TableContext`."""

    def __init__(
        self, step: TableStep, parse: Parse, task: Task, context: Context, work: Work, source: InputFile
    ) -> None:
        self._parse = parse
        self.only = context.only
        self.stop: Event = context.stop
        self._task, self._context, self._work, self._source = task, context, work, source
        self._limit = step.part_rows
        self._points = step.keeps_source
        self._waiting: list[pa.Table] = []
        self._sizes: list[npt.NDArray[np.int64]] = []
        self._rows = self._bytes = 0
        self._fates: list[pa.Table] = []
        self._cuts: list[int] = []
        self._parts = 0
        self._writers = ThreadPoolExecutor(_WRITERS)  # most of a small file's time is waiting for the disk
        self._written: deque[Future[ShardInfo]] = deque()

    def expect(self, rows: int, part_rows: int | None = None, last_rows: int | None = None) -> None:
        """See :class:`gristmill.spec.step.TableContext`: equal parts instead of full ones and a rest."""
        self._limit = min(self._limit, part_rows or self._limit)
        if last_rows is not None:
            self._cuts = tapering_sizes(rows, self._limit, last_rows)
            return
        parts = max(1, -(-rows // self._limit))
        self._cuts = [(i + 1) * rows // parts - i * rows // parts for i in range(parts)]

    def keep(self, table: Any, rows: Any, groups: Any = None) -> None:
        """See :class:`gristmill.spec.step.TableContext`."""
        if not table.num_rows:
            return
        if not self._points and {FAR_COLUMN, LINE_OFFSET} & set(table.column_names):
            raise SourceError(
                f"{self._source.name}: it has columns that only Gristmill may write. Rename them."
            )
        self._work.kept += table.num_rows
        rows = _int64(rows)
        table = table.append_column(ROW_COLUMN, rows)
        if LINE_OFFSET in table.column_names:  # the part's digest must speak of what the lines hold
            table = table.replace_schema_metadata({"source": self._source.digest})
        sizes = row_bytes(table)
        self._sizes.append(sizes)
        self._rows, self._bytes = self._rows + table.num_rows, self._bytes + int(sizes.sum())
        self._waiting.append(table.append_column(_GROUP_COLUMN, rows if groups is None else groups))
        while (
            self._rows > self._next_size() or self._bytes > _PART_BYTES
        ):  # one more shows where a group ends
            if not self._write_part(self._next_size()):
                break

    def _next_size(self) -> int:
        return self._cuts[self._parts] if self._parts < len(self._cuts) else self._limit

    def cut(self) -> None:
        """See :class:`gristmill.spec.step.TableContext`."""
        while self._waiting:
            self._write_part(self._rows, last=True)

    def drop(self, rows: Any, reason: Reason, detail: str = "") -> None:
        """See :class:`gristmill.spec.step.TableContext`."""
        if len(rows):
            self._work.dropped[str(reason)] += len(rows)
            name = self._source.name
            self._fates.append(
                not_kept_table(_int64(rows), reason, detail, source=self._source.source, file=name)
            )

    def note(self, text: str) -> None:
        """See :class:`gristmill.spec.step.TableContext`."""
        self._work.notes.append(f"{self._source.name}: {text}")

    def progress(self, done: int, total: int | None) -> None:
        """See :class:`gristmill.spec.step.TableContext`."""
        self._context.check_stop()
        self._context.report(self._task, done, total, {}, 0)

    def scratch(self) -> AbstractContextManager[Path]:
        """See :class:`gristmill.spec.step.TableContext`."""
        return self._context.scratch(self._task)

    def first_media(self, table: Any) -> list[Locator | None]:
        """See :class:`gristmill.spec.step.TableContext`."""
        self._context.check_stop()
        return [None if isinstance(row, str) else self._first_medium(row) for row in readable_rows(table)]

    def _first_medium(self, row: Mapping[str, Json]) -> Locator | None:
        try:
            outcome = self._parse(row)
        except ROW_FAULTS:  # it is told when the row is made a sample
            return None
        return (
            next(iter(outcome.media.values())).at if isinstance(outcome, Sample) and outcome.media else None
        )

    def source(self, key: str) -> Any:
        """See :class:`gristmill.spec.step.TableContext`."""
        return self._context.media_source(key)

    def finish(self) -> None:
        """Write what is left, and the fates."""
        while self._waiting:
            self._write_part(self._next_size(), last=True)
        fates = (
            self._writers.submit(self._write_fates) if self._fates else None
        )  # the disk syncs both at once
        self._collect(0)
        if fates is not None:
            self._work.outputs.append(fates.result())
        self._work.samples_in = self._work.kept + sum(self._work.dropped.values())

    def _write_fates(self) -> ShardInfo:
        rows = sum(table.num_rows for table in self._fates)
        with self._context.output("fates", layout.fates_of(self._task), samples=rows) as out:
            write_fates(out.stream, self._fates)
        return out.info

    def close(self) -> None:
        """Let go of the writers."""
        self._writers.shutdown(cancel_futures=True)

    def _write_part(self, rows: int, *, last: bool = False) -> bool:
        """Write so many rows, or fewer if they are long; or none yet, if it takes more to see where a group ends."""
        whole = pa.concat_tables(self._waiting)
        sizes = np.concatenate(self._sizes)
        size = _cut(np.cumsum(sizes), whole[_GROUP_COLUMN].to_numpy(), rows, rows + self._limit)
        if size is None and not last:
            self._waiting, self._sizes = [whole], [sizes]
            return False
        size = size or whole.num_rows
        part, rest = whole.slice(0, size).drop_columns([_GROUP_COLUMN]), whole.slice(size)
        self._waiting, self._sizes = ([rest], [sizes[size:]]) if rest.num_rows else ([], [])
        self._rows, self._bytes = rest.num_rows, int(sizes[size:].sum())
        name = layout.part(self._task, self._parts)
        self._parts += 1
        self._written.append(self._writers.submit(_write_part, self._context, name, part))
        self._collect(2 * _WRITERS if part.nbytes < _PART_BYTES // _WRITERS else 1)
        return True

    def _collect(self, left: int) -> None:
        """Take note of parts written, in order, until at most ``left`` are under way."""
        while len(self._written) > left:
            self._work.outputs.append(self._written.popleft().result())


def tapering_sizes(rows: int, most: int, least: int) -> list[int]:
    """Sizes of parts, each an eighth of what is left, but for ``most`` and ``least``.

    Whoever takes the next part whenever it is done then ends at most about ``least`` rows after the others.
    """
    sizes = []
    while rows:
        size = min(rows, most, max(least, rows // _LEFT_PER_PART))
        sizes.append((rows + 1) // 2 if size < rows < 2 * size else size)  # rather two halves than a crumb
        rows -= sizes[-1]
    return sizes


def _cut(ends: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], rows: int, most_rows: int) -> int | None:
    """How many of the rows that wait make a part: no group is parted that is not more than a part may hold.

    Args:
        ends: Bytes of the rows up to and with each.
        groups: Of each row.
        rows: Of a part, if they are short.
        most_rows: Of one that ends with a whole group.

    Returns:
        None where more rows may come of the last one's group.
    """
    fits = max(1, int(np.searchsorted(ends, _PART_BYTES, side="right")))
    size = min(rows, fits)
    if size >= len(ends):
        return None if len(ends) < min(most_rows, fits + 1) else len(ends)
    others = np.flatnonzero(groups[size - 1 :] != groups[size - 1])
    end = size - 1 + int(others[0]) if len(others) else len(ends)
    most = min(most_rows, max(1, int(np.searchsorted(ends, 2 * _PART_BYTES, side="right"))))
    if end <= most:
        return end if len(others) else None
    return size


def _int64(rows: Any) -> Any:
    """Rows as 64-bit numbers; as they mostly come, without loading what converts them."""
    return rows if rows.type == pa.int64() else rows.cast(pa.int64())


def _write_part(context: Context, name: str, part: pa.Table) -> ShardInfo:
    # read once, soon, and in full: neither statistics nor dictionaries are worth their time
    # and in memory first: Arrow writes piece by piece, each time waiting for Python
    sink = pa.BufferOutputStream()
    pq.write_table(part, sink, compression="lz4", use_dictionary=False, write_statistics=False)
    with context.output("part", name, samples=part.num_rows) as out:
        out.stream.write(sink.getvalue())
    return out.info
