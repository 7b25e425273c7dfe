"""Rows of txt, csv and tsv lists, one after another, each whole or with the reason why not."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from gristmill.shards.textlines import MAX_ROW_BYTES, Piece, lines
from gristmill.spec.reasons import Reason

__all__ = ["Record", "delimited_records"]


@dataclass(slots=True)
class Record:
    """One row.

    Attributes:
        line: On which it begins, from 1.
        fields: None if it cannot be read; then ``reason`` and ``detail`` say why.
    """

    line: int
    size_bytes: int = 0
    fields: list[str] | None = None
    reason: Reason = Reason.BAD_ROW
    detail: str = ""


class _TooLong(Exception):
    """A row is beyond the cap."""


def delimited_records(format: str, stream: BinaryIO) -> Iterator[Record]:
    """The rows of a ``csv``, ``tsv`` or ``txt`` stream; the first of csv and tsv is the header."""
    if format == "csv":
        return _csv_records(lines(stream, verbatim=True))
    split = _tsv_fields if format == "tsv" else _one_field
    return (_line_record(piece, split) for piece in lines(stream))


def _line_record(piece: Piece, split: Callable[[str], list[str]]) -> Record:
    if piece.text is None:
        return _too_long(piece.line)
    try:
        return Record(piece.line, len(piece.text), split(piece.text.decode()))
    except UnicodeDecodeError as err:
        return Record(piece.line, detail=f"not UTF-8: {err.reason} at byte {err.start}")


def _too_long(line: int) -> Record:
    return Record(line, reason=Reason.ROW_TOO_LONG, detail=f"more than {MAX_ROW_BYTES >> 20} MiB")


def _one_field(text: str) -> list[str]:
    return [text]


def _tsv_fields(text: str) -> list[str]:
    """Most tsv lists do not quote, and hold stray quotes; some are written as csv is."""
    if '"' in text:
        with suppress(csv.Error):
            return next(csv.reader([text], delimiter="\t", strict=True))
    return text.split("\t")


class _Feeder:
    """Hands lines to a csv reader and knows how much the present row has taken."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self.begin_row()

    def begin_row(self) -> None:
        self.first_line = 0
        self.taken_bytes = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = next(self._pieces)
        self.first_line = self.first_line or piece.line
        self.taken_bytes += len(piece.text or b"")
        if piece.text is None or self.taken_bytes > MAX_ROW_BYTES:
            raise _TooLong
        return piece.text.decode()


def _csv_records(pieces: Iterator[Piece]) -> Iterator[Record]:
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    feeder = _Feeder(pieces)
    reader = csv.reader(feeder, strict=True)
    while True:
        feeder.begin_row()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except _TooLong:
            yield _too_long(feeder.first_line)
        except UnicodeDecodeError as err:
            yield Record(feeder.first_line, detail=f"not UTF-8: {err.reason} at byte {err.start}")
        except csv.Error as err:
            yield Record(feeder.first_line, detail=str(err))
        else:
            if fields:
                yield Record(feeder.first_line, feeder.taken_bytes, fields)
            continue
        reader = csv.reader(feeder, strict=True)  # the old one is in the middle of a row
