"""Lists of annotations, read as batches of rows in constant memory.

===========  =========================================================================================
txt          one URL a line, column ``url``; the line is taken as it is, commas included
csv          RFC 4180, the first line names the columns, every value is text
tsv          as csv with tabs; where the file's beginning contradicts that, quotes stand for themselves
jsonl        one object a line; each row is carried as its JSON text, see :data:`JSON_ROW`
json         one array of objects or texts, one object of columns or of rows, or in truth JSON lines
parquet      of any types, see :mod:`gristmill.shards.arrow_values`; pieces of bounded bytes
===========  =========================================================================================

All but parquet may be gzipped (``.gz``) or lie in a zip (``.zip``, its first file); a UTF-8 byte order mark and
CRLF are understood; blank lines are no rows. What else there is, its user says: see :class:`Framing`.

A JSON row is carried as text instead of in columns because that is
the one schema that fits every row: nothing is lost where a type changes from row to row, a name is missing, or a
number is large.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from gristmill.shards.arrow_values import exact_values
from gristmill.shards.delimited import ADDRESS, Record, delimited_records
from gristmill.shards.dialects import dialect_of, open_rows
from gristmill.shards.framing import Dialect, Framing
from gristmill.shards.json_array import Elements
from gristmill.shards.json_forms import JsonForm, check_lines, column_pieces, form_of, keyed_piece, skip
from gristmill.shards.json_row import json_object, json_row
from gristmill.shards.parquet_rows import parquet_columns, parquet_pieces
from gristmill.shards.textlines import MAX_ROW_BYTES, Piece, lines
from gristmill.spec.errors import SourceError, UnknownName
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Json
from gristmill.spec.step import reserved

__all__ = [
    "JSON_ROW",
    "BadRow",
    "RowBatch",
    "check_names",
    "column_names",
    "held_in",
    "notes_of",
    "read_rows",
    "readable_rows",
    "rows_of",
    "too_long_detail",
    "without_names",
]

JSON_ROW = "__json_row__"
"""The one column of a JSON list's table: the text of each row, binary. :func:`rows_of` opens it."""

MOST_COLUMNS = 4096
"""Of a list: each takes room and time in every part, however short its values."""

_JSON = frozenset({"json", "jsonl"})
_BATCH_BYTES = 4 << 20
_SAMPLED_ROWS = 100


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read, by its position in the file."""

    row: int
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some rows of one file, in its order. All batches of a file have the same schema.

    Attributes:
        table: ``pyarrow.Table`` of the good rows.
        rows: ``pyarrow.Array`` of int64: their positions in the file, from 0; bad rows count too.
        bad: The bad ones among them.
    """

    table: Any
    rows: Any
    bad: list[BadRow] = field(default_factory=list)


def column_names(path: Path, framing: Framing = Framing()) -> list[str]:  # noqa: B008  # it is frozen
    """The columns of a list, from its beginning or its footer alone.

    For JSON: the names found in the first hundred rows, in order of appearance; later rows may have more.

    Raises:
        SourceError: Not readable as this format.
    """
    file_format = framing.format_of(path)
    if file_format == "parquet":
        return _parquet_names(path)
    dialect = dialect_of(path, framing)
    if file_format not in _JSON:
        with open_rows(path, dialect) as stream:
            return _delimited(path, dialect, framing, stream).names
    names: dict[str, None] = {}
    for piece, fault in islice(_json_rows(path, dialect), _SAMPLED_ROWS):
        if piece.text and not fault:
            names.update(dict.fromkeys(json_object(piece.text)))
    return list(names)


def check_names(path: Path, names: Sequence[str]) -> None:
    """See that a table's columns are not too many, each with a name of its own, and none that Gristmill gives.

    Raises:
        SourceError: One has not.
    """
    if len(names) > MOST_COLUMNS:
        raise SourceError(
            f"{path}: {len(names):,} columns, and a list may have {MOST_COLUMNS:,}. Write one with fewer of them."
        )
    if len(set(names)) != len(names):
        raise SourceError(f"{path}: two columns have the same name: {', '.join(names)[:200]}.")
    if taken := reserved(names):
        raise SourceError(
            f"{path}: no column may be called {', '.join(taken)[:200]}: Gristmill itself uses that name. Rename it."
        )


def read_rows(
    path: Path,
    *,
    framing: Framing = Framing(),  # noqa: B008  # it is frozen
    columns: Sequence[str] | None = None,
    batch_rows: int = 4096,
    without: Sequence[str] = (),
) -> Iterator[RowBatch]:
    """A list's rows, in order.

    Args:
        path: The list.
        framing: What is said of the file.
        columns: Only these, in this order; JSON rows stay whole.
        batch_rows: At most so many rows a batch; fewer where rows are long.
        without: Fields of Parquet columns, as ``image.bytes``, that are left where they are.

    Raises:
        SourceError: Not readable as this format; batches before the fault were given out.
        UnknownName: No such format, or a column that txt, csv, tsv or parquet does not have.
        GristmillError: What the operating system refuses, as a sentence.
    """
    if framing.format_of(path) == "parquet":
        return _parquet_batches(path, columns, batch_rows, without)
    dialect = dialect_of(path, framing)
    if dialect.format in _JSON:
        return _json_batches(path, dialect, batch_rows)
    return _text_batches(path, dialect, framing, columns, batch_rows)


def notes_of(path: Path, framing: Framing = Framing()) -> Sequence[str]:  # noqa: B008  # it is frozen
    """Say what was decided about a list from its beginning and is not plain from its format, in sentences.

    Raises:
        SourceError, UsageError: As :func:`read_rows`.
    """
    if framing.format_of(path) == "parquet":
        return ()
    dialect = dialect_of(path, framing)
    if dialect.format in _JSON:
        note = form_of(path, dialect).note if dialect.format == "json" else ""
        return (*dialect.notes, note) if note else dialect.notes
    with open_rows(path, dialect) as stream:
        nameless = _delimited(path, dialect, framing, stream).nameless
    if not nameless:
        return dialect.notes
    said = (
        f"without a name, {'columns are' if len(nameless) > 1 else 'a column is'} called {_shown(nameless)}"
    )
    return (*dialect.notes, said)


def rows_of(table: Any) -> list[dict[str, Json]]:
    """The rows of a batch's table as mappings, JSON rows opened; further columns added to them win."""
    columns = [exact_values(column, of) for column, of in zip(table.columns, table.schema, strict=True)]
    names = table.column_names
    plain: list[dict[str, Json]]
    plain = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if JSON_ROW not in table.column_names:
        return plain
    return [{**json_object(row.pop(JSON_ROW)), **row} for row in plain]


def without_names(table: Any, names: Collection[str]) -> Any:
    """A batch's table of JSON rows without what stands in them under some names; any other table as it is."""
    if JSON_ROW not in table.column_names:
        return table
    rows = (json_object(text) for text in table[JSON_ROW].to_pylist())
    texts = [json.dumps({n: v for n, v in row.items() if n not in names}).encode() for row in rows]
    return table.set_column(table.column_names.index(JSON_ROW), JSON_ROW, pa.array(texts, pa.binary()))


def held_in(table: Any, column: str) -> Any | None:
    """Say what the rows of a table hold in a column, as texts, null where a row has none; None if no row has it."""
    if JSON_ROW in table.column_names:
        values = [row.get(column) for row in rows_of(table)]
        return pa.array([value if value is None else str(value) for value in values], pa.string())
    if column not in table.column_names:
        return None
    return pc.cast(table[column], pa.string()).combine_chunks()


def readable_rows(table: Any) -> Iterator[dict[str, Json] | str]:
    """As :func:`rows_of`; of a row with a text that is not UTF-8, which Parquet may hold, what is wrong with it."""
    try:
        rows = rows_of(table)
    except UnicodeDecodeError:
        for place in range(table.num_rows):
            yield _readable_row(table.slice(place, 1))
    else:
        yield from rows


def _readable_row(row: Any) -> dict[str, Json] | str:
    for name in row.column_names:
        try:
            exact_values(row[name])
        except UnicodeDecodeError as err:
            return f"{name} is not UTF-8: {err.reason} at byte {err.start}"[:200]
    return rows_of(row)[0]


class _Batcher:
    """Collects good and bad rows until they make a batch."""

    def __init__(self, schema: Any, batch_rows: int) -> None:
        self._schema = schema
        self._batch_rows = batch_rows
        self._next_row = 0
        self._clear()

    def _clear(self) -> None:
        self._values: list[Sequence[Any]] = []
        self._rows: list[int] = []
        self._bad: list[BadRow] = []
        self._bytes = 0

    def good(self, values: Sequence[Any], size_bytes: int) -> None:
        self._values.append(values)
        self._rows.append(self._next_row)
        self._next_row += 1
        self._bytes += size_bytes

    def bad(self, line: int, reason: Reason, detail: str) -> None:
        self._bad.append(BadRow(self._next_row, reason, f"line {line}: {detail}"[:200]))
        self._next_row += 1

    def batches(self, *, last: bool = False) -> Iterator[RowBatch]:
        """The batch, if it is full, or holds anything and is the last."""
        count = len(self._rows) + len(self._bad)
        if count < (1 if last else self._batch_rows) and self._bytes < _BATCH_BYTES:
            return
        columns = zip(*self._values, strict=True) if self._values else [()] * len(self._schema)
        arrays = [pa.array(values, f.type) for values, f in zip(columns, self._schema, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        yield RowBatch(table, pa.array(self._rows, pa.int64()), self._bad)
        self._clear()


def _text_batches(
    path: Path, dialect: Dialect, framing: Framing, columns: Sequence[str] | None, batch_rows: int
) -> Iterator[RowBatch]:
    with open_rows(path, dialect) as stream:
        found = _delimited(path, dialect, framing, stream)
        names = found.names
        wanted = _wanted(names, columns)
        place_of = {name: place for place, name in enumerate(names)}
        picks = [place_of[name] for name in wanted]
        batcher = _Batcher(pa.schema([(name, pa.string()) for name in wanted]), batch_rows)
        for record in found.records:
            if record.fields is None:
                batcher.bad(record.line, record.reason, record.detail)
            elif len(record.fields) != len(names):
                fault = f"{len(record.fields)} fields, the header has {len(names)}"
                batcher.bad(record.line, Reason.BAD_ROW, fault)
            else:
                batcher.good([record.fields[i] for i in picks], record.size_bytes)
            yield from batcher.batches()
        yield from batcher.batches(last=True)


def _wanted(names: Sequence[str], columns: Sequence[str] | None) -> Sequence[str]:
    for name in columns or ():
        if name not in names:
            raise UnknownName("column", name, tuple(names))
    return names if columns is None else columns


@dataclass(slots=True)
class _Delimited:
    """A csv, tsv or txt list whose columns have names.

    Attributes:
        nameless: Names that were made up, for the list has none there.
    """

    names: list[str]
    records: Iterator[Record]
    nameless: list[str] = field(default_factory=list)


def _delimited(path: Path, dialect: Dialect, framing: Framing, stream: BinaryIO) -> _Delimited:
    records = delimited_records(dialect, stream, len(framing.names) or None)
    if dialect.format == "txt":
        return _Delimited(["url"], records)
    first = next(records, None)
    if framing.header is False:
        named = list(framing.names) or [""] * len((first and first.fields) or ())
        if first and first.fields and len(first.fields) != len(named):
            raise SourceError(
                f"{path}: --columns names {len(named)} columns, and the first row has {len(first.fields)}: "
                f"{_shown(first.fields)}. Name as many."
            )
        records = chain([first] if first else [], records)
        fault = "" if named else "the first row cannot be read, so name the columns with --columns"
    else:
        named = (first and first.fields) or []
        fault = f"the first line does not name the columns: {first.detail if first else 'it is empty'}"
    if not named:
        raise SourceError(f"{path}: {fault}.")
    if framing.header is None:
        _check_header(path, named)
    names = [name or f"column_{number}" for number, name in enumerate(named, 1)]
    check_names(path, names)
    given = framing.header is False
    return _Delimited(
        names, records, [] if given else [n for n, old in zip(names, named, strict=True) if not old]
    )


def _check_header(path: Path, names: Sequence[str]) -> None:
    """Refuse a first line that is a row: it would be lost, and nobody would know."""
    found = next((place for place, name in enumerate(names) if ADDRESS.match(name)), None)
    if found is None:
        return
    others = (
        ["caption"]
        if len(names) == 2
        else [f"column_{n}" for n in range(1, len(names) + 1) if n != found + 1]
    )
    others.insert(found, "url")
    raise SourceError(
        f"{path}: this list seems to have no header line, for its first line holds an address: {_shown(names)}. Give "
        f"--no-header --columns {','.join(others[:20])}{',...' if len(others) > 20 else ''} (names of your choice); "
        "or --header, if these are names."
    )


def _shown(texts: Sequence[str]) -> str:
    """Some texts as they can be typed, and not too much of them."""
    return ", ".join(repr(text[:60]) for text in texts[:10]) + (", ..." if len(texts) > 10 else "")


def _json_batches(path: Path, dialect: Dialect, batch_rows: int) -> Iterator[RowBatch]:
    batcher = _Batcher(pa.schema([(JSON_ROW, pa.binary())]), batch_rows)
    for piece, fault in _json_rows(path, dialect):
        if piece.text is None:
            batcher.bad(piece.line, Reason.ROW_TOO_LONG, fault)
        elif fault:
            batcher.bad(piece.line, Reason.BAD_ROW, fault)
        else:
            batcher.good((piece.text,), len(piece.text))
        yield from batcher.batches()
    yield from batcher.batches(last=True)


def _json_rows(path: Path, dialect: Dialect) -> Iterator[tuple[Piece, str]]:
    """The texts of the rows, and for each what is wrong with it, if anything is."""
    if dialect.format == "json":
        form = form_of(path, dialect)
    else:
        check_lines(path, dialect)
        form = JsonForm(kind="lines")
    if form.kind == "columns":
        for piece in column_pieces(path, dialect, form):
            yield piece, _fault(piece)
        return
    with open_rows(path, dialect) as stream:
        if form.kind == "lines":
            for piece in lines(stream):
                yield piece, _fault(piece)
            return
        skip(stream, form.offset)
        keyed = form.kind == "keyed"
        pair = b"{}" if keyed else b"[]"
        elements = Elements(stream, line=form.line, pair=pair, alone=not form.offset)
        try:
            for element in elements:
                piece = keyed_piece(element) if keyed else _as_row(element) if form.strings else element
                fault = _fault(piece)
                if fault and not keyed and (again := elements.go_back()):
                    fault = f"{fault[:120]}; {again:,} bytes behind it read again"
                yield piece, fault
        except SourceError as err:
            raise SourceError(
                f"{path}: {err}. Fetch it again, or name it .jsonl if it is JSON lines."
            ) from err


def _as_row(piece: Piece) -> Piece:
    """An element that is a text as a row with a column ``url``."""
    text = piece.text
    return (
        piece if text is None else Piece(piece.line, b'{"url": ' + text + b"}" if text[:1] == b'"' else text)
    )


def _fault(piece: Piece) -> str:
    if piece.text is None:
        return f"more than {MAX_ROW_BYTES >> 20} MiB: {piece.size_bytes:,} bytes passed over"
    try:
        json_row(piece.text)
    except ValueError as err:
        return str(err) or "no JSON"
    return ""


def _parquet_names(path: Path) -> list[str]:
    names = parquet_columns(path)
    check_names(path, names)
    return names


def _parquet_batches(
    path: Path, columns: Sequence[str] | None, batch_rows: int, without: Sequence[str]
) -> Iterator[RowBatch]:
    wanted = _wanted(_parquet_names(path), columns)
    for piece in parquet_pieces(
        path, wanted, batch_rows=batch_rows, max_row_bytes=MAX_ROW_BYTES, without=without
    ):
        bad = [BadRow(row, Reason.ROW_TOO_LONG, too_long_detail(size)) for row, size in piece.too_long]
        yield RowBatch(piece.table, pa.array(piece.rows, pa.int64()), bad)


def too_long_detail(size: int) -> str:
    """Say what is said of a row that takes so many bytes."""
    return f"{size:,} bytes, more than {MAX_ROW_BYTES >> 20} MiB"
