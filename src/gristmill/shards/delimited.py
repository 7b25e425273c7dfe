"""Rows of txt, csv and tsv lists, one after another, each whole or with the reason why not.

Damage stays where it is. A quote that opens and does not end properly would take all rows behind it along: such a row
costs the one line on which it begins, and reading goes on at the line behind that.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from gristmill.shards.framing import Dialect
from gristmill.shards.textlines import MAX_ROW_BYTES, Piece, lines
from gristmill.spec.reasons import Reason

__all__ = ["ADDRESS", "NOT_UTF8", "Record", "delimited_records", "quoting_seen"]

MOST_LINES = 1000
"""A row of more lines is none: its quote was never meant to open."""
_LINES_EARNED = 4
"""Lines that may be read again for each that is read: however a file is damaged, its reading ends."""
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""How an address begins."""
NOT_UTF8 = "not UTF-8"
"""What is wrong with a line whose bytes are no text."""
_AT_THE_END = "up to the end of the list"
_CR = "a carriage return within a line"


@dataclass(slots=True)
class Record:
    """One row.

    Attributes:
        line: On which it begins, from 1.
        lines: On how many it stands.
        fields: None if it cannot be read; then ``reason`` and ``detail`` say why.
    """

    line: int
    size_bytes: int = 0
    fields: list[str] | None = None
    reason: Reason = Reason.BAD_ROW
    detail: str = ""
    lines: int = 1


def delimited_records(dialect: Dialect, stream: BinaryIO, width: int | None = None) -> Iterator[Record]:
    """The rows of a csv, tsv or txt stream, a header among them.

    Args:
        dialect: Of the whole file.
        stream: UTF-8.
        width: Fields of a row; that of the first row if None.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    if dialect.format == "txt":
        return (_read_line(piece) for piece in lines(stream))
    if dialect.quoted:
        return _Quoted(dialect, stream, width).records()
    records = (_read_line(piece, dialect.delimiter) for piece in _some(lines(stream, verbatim=True)))
    return _whole(records, width) if dialect.guessed else records


def _some(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Lines that are not blank; a line of delimiters is a row of empty fields."""
    return (piece for piece in pieces if piece.text is None or piece.text.strip(b" \r\n"))


def _read_line(piece: Piece, delimiter: str | None = None) -> Record:
    """A line that is a row, whatever quotes are in it."""
    if piece.text is None:
        return _too_long(piece)
    try:
        text = piece.text.decode()
    except UnicodeDecodeError as err:
        return _not_utf8(piece, err)
    fields = [text] if delimiter is None else text.rstrip("\r\n").split(delimiter)
    return Record(piece.line, len(piece.text), fields)


def _too_long(piece: Piece) -> Record:
    detail = f"more than {MAX_ROW_BYTES >> 20} MiB: {piece.size_bytes:,} bytes passed over"
    return Record(piece.line, reason=Reason.ROW_TOO_LONG, detail=detail)


def _not_utf8(piece: Piece, err: UnicodeDecodeError) -> Record:
    return Record(piece.line, detail=f"{NOT_UTF8}: {err.reason} at byte {err.start}")


def _whole(records: Iterator[Record], width: int | None) -> Iterator[Record]:
    """Rows but those that may be the first half of one: a quote opens in the last field, and no row follows."""
    held: Record | None = None
    for record in records:
        if width is None and record.fields is not None:
            width = len(record.fields)
        is_row = record.fields is not None and len(record.fields) == width
        if held is not None:
            if not is_row:
                held.fields, held.detail = (
                    None,
                    "a quote opens that does not close, and the line behind is no row",
                )
            yield held
            held = None
        if is_row and record.fields is not None and _opens(record.fields[-1]):
            held = record
        else:
            yield record
    if held is not None:
        yield held


def _opens(field: str) -> bool:
    return field.startswith('"') and field.count('"') % 2 == 1


class _Quoted:
    """Reads rows whose fields may stand in quotes, and with them on several lines."""

    def __init__(self, dialect: Dialect, stream: BinaryIO, width: int | None) -> None:
        self._dialect, self._width = dialect, width
        self._pieces = lines(stream, verbatim=True)
        self._again: deque[Piece] = deque()
        self._credit = 10 * MOST_LINES

    def records(self) -> Iterator[Record]:
        """See :func:`delimited_records`."""
        for piece in _some(self._next_pieces()):
            record = self._one(piece)
            if self._width is None and record.fields is not None:
                self._width = len(record.fields)
            yield record

    def _next_pieces(self) -> Iterator[Piece]:
        while piece := self._next():
            yield piece

    def _next(self) -> Piece | None:
        if self._again:
            return self._again.popleft()
        self._credit += _LINES_EARNED
        return next(self._pieces, None)

    def _one(self, piece: Piece) -> Record:
        if piece.text is None:
            return _too_long(piece)
        try:
            text = piece.text.decode()
        except UnicodeDecodeError as err:
            return _not_utf8(piece, err)
        if '"' not in text and ("\r" not in (bare := text.rstrip("\r\n")) or self._dialect.format == "tsv"):
            return Record(piece.line, len(piece.text), bare.split(self._dialect.delimiter))
        taken = _Taken(piece, text, self._next, min(MOST_LINES, self._credit))
        try:
            fields = next(csv.reader(taken, delimiter=self._dialect.delimiter, strict=True), [])
        except csv.Error as err:
            return self._broken(taken, _why(err, taken))
        if len(taken.pieces) > 1 and (fault := self._unlikely(fields, taken)):
            return self._broken(taken, fault)
        return Record(piece.line, taken.size_bytes, fields, lines=len(taken.pieces))

    def _broken(self, taken: _Taken, why: str) -> Record:
        """One line is lost; those behind it that were read as part of its row are read again."""
        first, *others = taken.pieces
        self._again.extendleft(reversed(others))
        self._credit = max(0, self._credit - len(others))
        if others:
            why += f"; {_count(len(others), 'line')} behind it, {taken.size_bytes:,} bytes, read again"
        return Record(first.line, detail=why)

    def _unlikely(self, fields: Sequence[str], taken: _Taken) -> str | None:
        """Why several lines that csv takes for one row are not one, if they are not."""
        if self._width is not None and len(fields) != self._width:
            return f"a quote opens, and with it the row has {len(fields)} fields, not {self._width}"
        addresses = [place for place, field in enumerate(fields) if ADDRESS.match(field)]
        if self._width is not None and self._width > 1 and addresses:
            behind = [text for text in taken.texts[1:] if text.strip()]
            rows = sum(self._is_row(text, addresses) for text in behind)
            if 2 * rows > len(behind):
                return "a quote opens, and the lines up to where it closes are rows themselves"
        return None

    def _is_row(self, text: str, addresses: Sequence[int]) -> bool:
        """Whether a line by itself has the fields of a row, with an address in the same place."""
        if "://" not in text:
            return False
        fields = next(csv.reader([text], delimiter=self._dialect.delimiter), [])
        return len(fields) == self._width and any(ADDRESS.match(fields[place]) for place in addresses)


class _Taken:
    """Hands lines to a csv reader and keeps them, up to as many, and as many bytes, as one row may have."""

    def __init__(self, piece: Piece, text: str, more: Callable[[], Piece | None], most: int) -> None:
        self.pieces, self.texts = [piece], [text]
        self.size_bytes = len(piece.text or b"")
        self.stopped = ""
        self._more, self._most = more, most
        self._given = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._given == len(self.texts):
            self._take()
        self._given += 1
        return self.texts[self._given - 1]

    def _take(self) -> None:
        """One more line; none where no row goes on."""
        if len(self.pieces) >= self._most:
            self.stopped = f"within {self._most:,} lines"
        elif self.size_bytes > MAX_ROW_BYTES:
            self.stopped = f"within {MAX_ROW_BYTES >> 20} MiB"
        elif (piece := self._more()) is None:
            self.stopped = _AT_THE_END
        else:
            self.pieces.append(piece)
            self.size_bytes += len(piece.text or b"")
            try:
                if piece.text is None:
                    self.stopped = f"up to line {piece.line}, which is too long"
                else:
                    self.texts.append(piece.text.decode())
            except UnicodeDecodeError:
                self.stopped = f"up to line {piece.line}, which is not UTF-8"
        if self.stopped:
            raise StopIteration


def _why(err: csv.Error, taken: _Taken) -> str:
    """What is wrong, in words for whoever looks at the line."""
    if "field larger" in str(err):
        taken.stopped = f"within {MAX_ROW_BYTES >> 20} MiB"
    if taken.stopped:
        return f"a quote opens that does not close {taken.stopped}"
    if "new-line" in str(err):
        return _CR
    return "text behind the quote that closes a field"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def quoting_seen(head: bytes, delimiter: str, *, cut: bool) -> tuple[int, int]:
    """Of the rows at a list's beginning: how many can only be read as csv does, and how many cannot be.

    Args:
        head: The list's first bytes.
        delimiter: Between fields.
        cut: The list goes on behind them.
    """
    if cut:
        head = head[: head.rfind(b"\n") + 1]
    texts = head.split(b"\n")
    as_csv = against = 0
    for record in delimited_records(Dialect(format="tsv", delimiter=delimiter), io.BytesIO(head)):
        if record.fields is None:
            against += "quote" in record.detail and not (cut and _AT_THE_END in record.detail)
        elif record.lines > 1 or any(delimiter in field for field in record.fields):
            as_csv += 1
        else:
            as_csv += any(_doubled(field).encode() in texts[record.line - 1] for field in record.fields)
    return as_csv, against


def _doubled(field: str) -> str:
    """A field as csv writes it if quotes are in it; else what no line holds."""
    return '"' + field.replace('"', '""') + '"' if '"' in field else "\n"
