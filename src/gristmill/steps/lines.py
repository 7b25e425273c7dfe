"""Taking the lines of a JSON Lines file by their place: what they hold is not copied into parts, nor held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from gristmill.shards.framing import guess_format
from gristmill.shards.textlines import LineExtent, line_extents
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.step import LINE_BYTES, LINE_NUMBER, LINE_OFFSET, TableContext, TableStep

__all__ = ["TakeLines"]

_BATCH_ROWS = 4096
_SCHEMA = pa.schema([(LINE_OFFSET, pa.int64()), (LINE_BYTES, pa.int64()), (LINE_NUMBER, pa.int64())])


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeLines(TableStep):
    """Every line of a JSON Lines file, in its order, as a reference into the file; what it holds is read later.

    Attributes:
        max_line_bytes: A longer line is passed over, counted under ``row_too_long``.
        part_bytes: Most bytes of lines that one task is given, so that memory is bounded however long they are. A
            longer line is a task of its own.
    """

    max_line_bytes: int = 256 << 20
    part_rows: int = 2500
    part_bytes: int = 16 << 20

    name = "lines"
    revision = 1
    keeps_source = True
    drops = frozenset({Reason.BAD_ROW, Reason.ROW_TOO_LONG, Reason.NOT_CHOSEN})

    def __post_init__(self) -> None:
        if min(self.max_line_bytes, self.part_rows, self.part_bytes) < 1:
            raise UsageError("lines: max_line_bytes, part_rows and part_bytes must be at least 1")

    def apply(self, table: Path, box: TableContext) -> None:
        """See :class:`TableStep`.

        Raises:
            SourceError: Packed, or another format: places in it mean nothing.
        """
        if guess_format(table) not in {"jsonl", "json"} or table.suffix == ".gz":
            raise SourceError(f"{table}: this recipe reads plain JSON Lines. Unpack it: gzip -d {table.name}")
        left = box.only
        row = 0
        for part in self._parts(table):
            taken = part if left is None else part[:left]
            for start in range(0, len(taken), _BATCH_ROWS):
                self._keep(taken[start : start + _BATCH_ROWS], row + start, box)
            if left is not None:
                left -= len(taken)
                rest = range(row + len(taken), row + len(part))
                box.drop(pa.array(rest, pa.int64()), Reason.NOT_CHOSEN)
            row += len(part)
            box.cut()
            box.progress(row, None)

    def _parts(self, table: Path) -> Iterator[list[LineExtent]]:
        """Lines as one task shall have them."""
        part: list[LineExtent] = []
        size = 0
        for extent in line_extents(table):
            own = extent.size if extent.size <= self.max_line_bytes else 0
            if part and (size + own > self.part_bytes or len(part) == self.part_rows):
                yield part
                part, size = [], 0
            part.append(extent)
            size += own
        if part:
            yield part

    def _keep(self, extents: list[LineExtent], first_row: int, box: TableContext) -> None:
        lines, rows = [], []
        for row, extent in enumerate(extents, first_row):
            if extent.size > self.max_line_bytes:
                detail = f"line {extent.line}: {extent.size:,} bytes; lines.max_line_bytes raises the limit"
                box.drop(pa.array([row], pa.int64()), Reason.ROW_TOO_LONG, detail)
            else:
                lines.append((extent.offset, extent.size, extent.line))
                rows.append(row)
        columns = zip(*lines, strict=True) if lines else [()] * len(_SCHEMA)
        arrays = [pa.array(values, pa.int64()) for values in columns]
        box.keep(pa.Table.from_arrays(arrays, schema=_SCHEMA), pa.array(rows, pa.int64()))
