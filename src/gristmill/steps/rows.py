"""Taking the rows of a list as they come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.shards.rows import column_names, guess_format, read_rows
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.step import TableBox, TableStep

__all__ = ["TakeRows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeRows(TableStep):
    """Every row of a list, in its order; lines that cannot be read are counted drops.

    Attributes:
        columns: Columns that must be there, checked before anything is asked.
        format: Of the file, or None to tell by its name.
    """

    columns: tuple[str, ...] = ()
    format: str | None = None
    part_rows: int = 2500

    name = "rows"
    revision = 1
    drops = frozenset({Reason.BAD_ROW, Reason.ROW_TOO_LONG, Reason.NOT_CHOSEN})

    def apply(self, table: Path, box: TableBox) -> None:
        """See :class:`TableStep`.

        Raises:
            SourceError: Not readable as its format.
            UsageError: A named column is missing.
        """
        file_format = self.format or guess_format(table)
        check_columns(table, file_format, self.columns)
        if file_format == "parquet" and box.only is None:
            box.expect(pq.read_metadata(table).num_rows)
        taken = 0
        for batch in read_rows(table, format=file_format):
            for bad in batch.bad:
                box.drop(pa.array([bad.row], pa.int64()), bad.reason, bad.detail)
            some, rows = batch.table, batch.rows
            if box.only is not None and taken + some.num_rows > box.only:
                rest = box.only - taken
                box.drop(rows.slice(rest), Reason.NOT_CHOSEN)
                some, rows = some.slice(0, rest), rows.slice(0, rest)
            taken += some.num_rows
            if some.num_rows:
                box.keep(some, rows)
            box.progress(taken, None)


def check_columns(path: Path, file_format: str, wanted: tuple[str, ...]) -> None:
    """Say what is missing before anything is asked of anyone.

    Raises:
        UsageError: A wanted column is not in the list.
    """
    have = column_names(path, file_format)
    missing = [column for column in wanted if column not in have]
    if missing:
        raise UsageError(
            f"{path} has no column {', '.join(repr(c) for c in missing)}; its columns are: {', '.join(have)}. "
            "Name the right ones with --url-column and --caption-column."
        )
