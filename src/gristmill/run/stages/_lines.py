"""Rows of a part: the values themselves, or lines or long texts of the annotation file that it only points to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from gristmill.ledger.run_config import InputFile
from gristmill.run.stages._rows import fetch_input
from gristmill.run.state.context import Context
from gristmill.shards.far_texts import FAR_COLUMN, BeyondFolder, filled
from gristmill.shards.json_row import json_row
from gristmill.shards.rows import readable_rows
from gristmill.spec.errors import SourceError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, Json
from gristmill.spec.step import LINE_BYTES, LINE_NUMBER, LINE_OFFSET

__all__ = ["rows_in"]


def rows_in(
    table: Any, source: InputFile, context: Context, folder: Path | None = None
) -> Iterator[dict[str, Json] | Drop]:
    """The rows of a part's table, in order; of a line that is no row, why not.

    Args:
        table: The part.
        source: The annotation file.
        context: Where that is.
        folder: In which files may lie that rows point at.

    Raises:
        SourceError: The annotation file cannot be had any more, or is shorter than it was.
    """
    if FAR_COLUMN in table.column_names:
        yield from _with_far_texts(table, source, context, folder)
        return
    if LINE_OFFSET not in table.column_names:
        for row in readable_rows(table):
            yield Drop(reason=Reason.BAD_ROW, detail=row) if isinstance(row, str) else row
        return
    with closing(_Lines(source, context)) as lines:
        for place in table.to_pylist():
            text = lines.read(place[LINE_OFFSET], place[LINE_BYTES])
            try:
                row = json_row(text)
            except ValueError as err:
                yield Drop(reason=Reason.BAD_ROW, detail=f"line {place[LINE_NUMBER]}: {err}"[:200])
            else:
                yield row


def _with_far_texts(
    table: Any, source: InputFile, context: Context, folder: Path | None
) -> Iterator[dict[str, Json] | Drop]:
    """Rows whose long texts are read from where they lie, one row at a time."""
    path = fetch_input(source, context)
    with path.open("rb") as stream:
        for row in readable_rows(table):
            if isinstance(row, str):
                yield Drop(reason=Reason.BAD_ROW, detail=row)
                continue
            try:
                yield filled(row, row.pop(FAR_COLUMN), stream.fileno(), path, folder)
            except BeyondFolder as err:
                yield Drop(reason=Reason.NO_FILE, detail=str(err)[:200])


class _Lines:
    """An annotation file, read by places."""

    def __init__(self, source: InputFile, context: Context) -> None:
        self._path, self._fetched = fetch_input(source, context), source.path is None
        self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, offset: int, size: int) -> bytes:
        """One line.

        Raises:
            SourceError: The file ends before.
        """
        text = os.pread(self._fd, size, offset)
        if len(text) != size:
            raise SourceError(
                f"{self._path} is shorter than when its lines were counted: somebody has changed it. "
                + (
                    "Give the same command again: it is fetched anew."
                    if self._fetched
                    else "Put it back as it was, then give the same command again; or begin anew in another folder "
                    "with --out."
                )
            )
        return text

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
