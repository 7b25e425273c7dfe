"""Selecting rows of an annotation file by its columns, before there are samples."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.shards.parquet_rows import ParquetPiece, chosen_rows
from gristmill.shards.rows import check_names, too_long_detail
from gristmill.shards.textlines import MAX_ROW_BYTES
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.step import ADDED, TableContext, TableStep
from gristmill.steps.ordered import OrderedTables

__all__ = ["SCORE", "SelectTop"]

SCORE = f"{ADDED}score"
"""Column with the score that a row was selected by, exactly."""

_RANK, _ROW = f"{ADDED}rank", f"{ADDED}row"
_BATCH_ROWS = 1 << 14
_READERS = 2  # row groups decoded at once: the columns of one are too unequal to keep two cores busy


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectTop(TableStep):
    """Keep the best ``share`` of a file's rows among those whose score passes ``floor``.

    The score is the sum of the columns ``score``, computed in their own type; ``parse`` finds it as :data:`SCORE`.
    Rows leave by descending score, ties in file order. Where fewer rows pass the floor than the share asks for, those
    that pass are kept, and a note says so.

    Attributes:
        score: Columns whose sum is the score.
        floor: Rows with a score not above it are dropped.
        share: Part of *all* rows of the file, 0 to 1; ``int(share * rows)`` are kept.
    """

    score: tuple[str, ...]
    floor: float = 0.6
    share: float = 0.2
    part_rows: int = 5000

    name = "select"
    revision = 2
    drops = frozenset(
        {Reason.NO_SCORE, Reason.BELOW_FLOOR, Reason.BEYOND_SHARE, Reason.NOT_CHOSEN, Reason.ROW_TOO_LONG}
    )

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(f"select.share={self.share}: expected a share above 0 and at most 1")
        if not self.score:
            raise UsageError("select.score: expected the names of one or more columns")
        if self.part_rows < 1:
            raise UsageError("select.part_rows: expected at least 1")

    def apply(self, table: Path, box: TableContext) -> None:
        """See :class:`TableStep`; the file is Parquet.

        Raises:
            SourceError: Not Parquet.
            UsageError: A score column is missing, or holds no numbers.
        """
        try:
            with pq.ParquetFile(table) as file:
                check_names(table, file.schema_arrow.names)
                self._apply(table, file, box)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, OSError) as err:
            if isinstance(err, OSError) and err.errno is not None:  # the machine's word, not Arrow's
                raise
            raise SourceError(f"{table} is not a readable Parquet file: {err}") from err

    def _apply(self, table: Path, file: pq.ParquetFile, box: TableContext) -> None:
        scores = self._scores(table, file)
        order = self._decide(scores, box)
        rank = np.full(len(scores), -1, dtype=np.int64)
        rank[order] = np.arange(len(order))
        too_long: list[tuple[int, int]] = []
        with box.scratch() as scratch:
            chosen = OrderedTables(scratch, _RANK, len(order))

            def take(piece: ParquetPiece) -> None:
                too_long.extend(piece.too_long)
                if len(piece.rows):
                    score = pa.array(scores[piece.rows].astype(np.float64))
                    some = piece.table.append_column(SCORE, score).append_column(_ROW, pa.array(piece.rows))
                    chosen.add(some.append_column(_RANK, pa.array(rank[piece.rows])))

            _read_chosen(table, file, rank, take, box)
            for row, size in sorted(too_long):
                box.drop(pa.array([row], pa.int64()), Reason.ROW_TOO_LONG, too_long_detail(size))
            box.expect(len(order) - len(too_long))
            for some in chosen.tables():
                box.keep(some.drop_columns([_ROW, _RANK]), some[_ROW].combine_chunks())

    def _scores(self, table: Path, file: pq.ParquetFile) -> npt.NDArray[np.floating]:
        """The score of each row, NaN where there is none; shape (rows,)."""
        missing = [column for column in self.score if column not in file.schema_arrow.names]
        if missing:
            raise UsageError(
                f"{table.name} has no column {', '.join(missing)}; it has "
                f"{', '.join(file.schema_arrow.names)}. Name others with --set select.score=COLUMN,COLUMN"
            )
        words = [c for c in self.score if not _is_number(file.schema_arrow.field(c).type)]
        if words:
            kinds = ", ".join(f"{column} is {file.schema_arrow.field(column).type}" for column in words)
            raise UsageError(
                f"{table.name}: a score is a number, and {kinds}. Name others with --set select.score=COLUMN,COLUMN"
            )
        scores = file.read(columns=list(self.score))
        columns = []
        for name in self.score:
            column = scores[name]
            if not pa.types.is_floating(column.type):
                column = pc.cast(column, pa.float64())
            columns.append(column.to_numpy())
        return np.asarray(sum(columns[1:], start=columns[0]))

    def _decide(self, scores: npt.NDArray[np.floating], box: TableContext) -> npt.NDArray[np.int64]:
        """Rows to keep, by descending score; the others get their fate."""
        rows = len(scores)
        wanted = int(self.share * rows)
        absent = np.isnan(scores)
        passing = np.flatnonzero(scores > np.asarray(self.floor, dtype=scores.dtype))
        order = passing[np.argsort(-scores[passing], kind="stable")]
        kept, beyond = order[:wanted], order[wanted:]
        if len(kept) < wanted:
            box.note(
                f"select: only {len(passing):,} of {rows:,} rows pass the floor of {self.floor}, fewer than "
                f"the share of {self.share:.0%}: all that pass were kept"
            )
        if box.only is not None:
            kept, rest = kept[: box.only], kept[box.only :]
            box.drop(pa.array(np.sort(rest)), Reason.NOT_CHOSEN)
        below = np.ones(rows, dtype=bool)
        below[passing] = False
        below[absent] = False
        box.drop(pa.array(np.flatnonzero(absent)), Reason.NO_SCORE)
        box.drop(pa.array(np.flatnonzero(below)), Reason.BELOW_FLOOR)
        box.drop(pa.array(np.sort(beyond)), Reason.BEYOND_SHARE)
        return kept


def _is_number(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal, pa.types.is_null)
    )


def _read_chosen(
    table: Path,
    file: pq.ParquetFile,
    rank: npt.NDArray[np.int64],
    take: Callable[[ParquetPiece], None],
    box: TableContext,
) -> None:
    """Give out the chosen rows in pieces of bounded bytes, in no order, one at a time; positions are the file's."""
    footer, names = file.metadata, list(file.schema_arrow.names)
    starts = np.cumsum([0, *(footer.row_group(group).num_rows for group in range(footer.num_row_groups))])
    one_at_a_time = threading.Lock()

    def read(group: int) -> None:
        start, stop = (int(edge) for edge in starts[group : group + 2])
        wanted = np.flatnonzero(rank[start:stop] >= 0)
        for piece in chosen_rows(
            table, footer, group, wanted, names, batch_rows=_BATCH_ROWS, max_row_bytes=MAX_ROW_BYTES
        ):
            too_long = [(row + start, size) for row, size in piece.too_long]
            with one_at_a_time:
                take(ParquetPiece(piece.table, piece.rows + start, too_long))
                box.progress(start, len(rank))

    with ThreadPoolExecutor(_READERS) as readers:
        pending: deque[Future[None]] = deque()
        try:
            for group in range(footer.num_row_groups):
                pending.append(readers.submit(read, group))
                if len(pending) > _READERS:
                    pending.popleft().result()
            while pending:
                pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
    box.progress(len(rank), len(rank))
