"""Evenly spaced rows over all annotation files of a dataset, of which only what is needed is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.shards.footers import column_ranges, read_footer
from gristmill.shards.parquet_rows import chosen_rows
from gristmill.shards.rows import too_long_detail
from gristmill.shards.textlines import MAX_ROW_BYTES
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Json
from gristmill.spec.step import ADDED, PrescanStep, TableContext, TableFile
from gristmill.steps.spacing import Int64s, Spaced

__all__ = ["POSITION", "FilePlace", "SampleRows"]

POSITION = f"{ADDED}position"
"""Column that is added to the chosen rows: their position in the sample, from 0."""

_BATCH_ROWS = (
    2048  # small enough that the text of a batch is still in the cache when rows are taken out of it
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlace:
    """Says where a file's rows stand among those of all files: how many, how many before them, and of how many."""

    rows: int
    before: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRows(PrescanStep):
    """Take ``size`` rows, evenly spaced over all files in their order; the first and the last row among them.

    The files are Parquet. Their row counts come from their footers; then only row groups that hold chosen rows
    are decoded, and only ``columns``. A file that holds none is not touched again.

    Attributes:
        columns: The columns to read.
        size: Rows to take; all, if there are fewer.
        spacing: ``exact`` or ``published``, see :mod:`gristmill.steps.spacing`.
    """

    columns: tuple[str, ...]
    size: int = 1_000_000
    spacing: str = "exact"
    part_rows: int = 5000

    name = "sample"
    revision = 2
    drops = frozenset({Reason.NOT_SAMPLED, Reason.NOT_CHOSEN, Reason.BAD_ROW, Reason.ROW_TOO_LONG})

    def __post_init__(self) -> None:
        Spaced(rows=0, size=self.size, spacing=self.spacing)  # raises UsageError
        if self.part_rows < 1:
            raise UsageError("sample.part_rows: expected at least 1")

    def expected_rows(self, rows: int) -> int:
        """See :class:`TableStep`."""
        return Spaced(rows=rows, size=self.size, spacing=self.spacing).count

    def prescan(self, file: TableFile) -> Json:
        """See :class:`PrescanStep`: the number of rows.

        Raises:
            SourceError: Not Parquet.
        """
        return {"rows": read_footer(file.name, file.size_bytes, file.read).num_rows}

    def decide(self, prescans: Sequence[Json]) -> list[FilePlace]:
        """See :class:`PrescanStep`: each file's rows, those of the files before it, and of all."""
        rows = [prescan["rows"] for prescan in prescans]
        before = [0, *accumulate(rows)]
        return [
            FilePlace(rows=own, before=earlier, of=before[-1])
            for own, earlier in zip(rows, before, strict=False)
        ]

    def choose(self, file: TableFile, decision: Any, box: TableContext) -> None:
        """See :class:`PrescanStep`.

        Raises:
            SourceError: The file is not what was prescanned, or damaged.
            UsageError: A column is missing.
        """
        place: FilePlace = decision
        before, rows = place.before, place.rows
        spaced = Spaced(rows=place.of, size=self.size, spacing=self.spacing)
        positions = spaced.positions_within(before, before + rows)
        chosen = spaced.rows_at(positions) - before
        self._tell(spaced, place, box)
        repeated = int(np.count_nonzero(np.diff(chosen) == 0))
        if repeated:
            box.note(
                f"sample: published spacing names rows here more than once: {repeated:,} more than there are"
            )
        mask = np.ones(rows, dtype=bool)
        mask[chosen] = False
        box.drop(pa.array(np.flatnonzero(mask)), Reason.NOT_SAMPLED)
        if box.only is not None:
            box.drop(pa.array(chosen[box.only :]), Reason.NOT_CHOSEN)
            positions, chosen = positions[: box.only], chosen[: box.only]
        box.expect(len(chosen))
        if len(chosen):
            for table, found in self._read(file, rows, chosen, box):
                some = table.append_column(POSITION, pa.array(positions[found]))
                good = _readable(table)
                if not good.all():
                    box.drop(pa.array(chosen[found][~good]), Reason.BAD_ROW, "text that is not UTF-8")
                    some = some.filter(pa.array(good))
                box.keep(some, pa.array(chosen[found][good]))
        box.progress(rows, rows)

    def _tell(self, spaced: Spaced, place: FilePlace, box: TableContext) -> None:
        """What a person must see of the whole sample, said once: with the first file, or the last."""
        if place.before == 0 and place.rows and spaced.count < self.size:
            box.note(f"sample: there are only {spaced.rows:,} rows, fewer than {self.size:,}: all are taken")
        is_last = place.rows and place.before + place.rows == spaced.rows
        if is_last and spaced.beyond:
            box.note("sample: published spacing ends one past the last row; the last row is taken instead")

    def _read(
        self, file: TableFile, rows: int, chosen: Int64s, box: TableContext
    ) -> Iterator[tuple[Any, slice]]:
        """The chosen rows in order, some at a time, and which of ``chosen`` they are."""
        footer = read_footer(file.name, file.size_bytes, file.read)
        if footer.num_rows != rows:
            raise SourceError(
                f"{file.name} had {rows:,} rows and has {footer.num_rows:,} now: it was changed."
            )
        edges = np.cumsum([0, *(footer.row_group(i).num_rows for i in range(footer.num_row_groups))])
        bounds = np.searchsorted(chosen, edges)
        groups = [i for i in range(footer.num_row_groups) if bounds[i] < bounds[i + 1]]
        path = file.hold(column_ranges(file.name, footer, groups, self.columns))
        try:
            yield from self._decode(path, footer, groups, edges, chosen, box)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as err:
            if isinstance(err, OSError) and err.errno is not None:  # the machine's word, not Arrow's
                raise
            raise SourceError(f"{file.name} is not a readable Parquet file: {err}") from err

    def _decode(
        self,
        path: Path,
        footer: pq.FileMetaData,
        groups: Sequence[int],
        edges: Any,
        chosen: Int64s,
        box: TableContext,
    ) -> Iterator[tuple[Any, slice]]:
        for group in groups:
            at, end = (int(edge) for edge in edges[group : group + 2])
            first, last = (int(place) for place in np.searchsorted(chosen, [at, end]))
            for piece in chosen_rows(
                path,
                footer,
                group,
                chosen[first:last] - at,
                self.columns,
                batch_rows=_BATCH_ROWS,
                max_row_bytes=MAX_ROW_BYTES,
            ):
                for row, size in piece.too_long:
                    box.drop(pa.array([row + at], pa.int64()), Reason.ROW_TOO_LONG, too_long_detail(size))
                count = len(piece.rows) + len(piece.too_long)
                if len(piece.rows):
                    yield piece.table, slice(first, first + count)
                first += count
                box.progress(int(chosen[first - 1]) + 1, int(edges[-1]))


def _readable(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Rows whose text is UTF-8, as Parquet promises and readers do not check; shape (rows,)."""
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        return np.array([_is_valid(table.slice(row, 1).combine_chunks()) for row in range(table.num_rows)])
    return np.ones(table.num_rows, dtype=bool)


def _is_valid(row: pa.Table) -> bool:
    try:
        pa.concat_tables([row.take([0])]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
