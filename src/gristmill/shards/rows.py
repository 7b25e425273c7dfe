"""Lists of annotations, read as batches of rows in constant memory.

===========  =========================================================================================
txt          one URL a line, column ``url``; the line is taken as it is, commas included
csv          RFC 4180, the first line names the columns, every value is text
tsv          as csv with tabs, but a row is one line, and quotes that do not balance stand for themselves
jsonl        one object a line; each row is carried as its JSON text, see :data:`JSON_ROW`
json         one array of objects, or in truth JSON lines; rows are carried likewise
parquet      read by row groups; times in nanoseconds, which Python's types cannot hold, become text
===========  =========================================================================================

All but parquet may be gzipped (``.gz``) or lie in a zip (``.zip``, its first file); a UTF-8 byte order mark and
CRLF are understood; blank lines are no rows. A JSON row is carried as text instead of in columns because that is
the one schema that fits every row: nothing is lost where a type changes from row to row, a name is missing, or a
number is large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.shards.delimited import Record, delimited_records
from gristmill.shards.json_row import json_object, json_row
from gristmill.shards.textlines import MAX_ROW_BYTES, Piece, array_elements, lines, open_text
from gristmill.spec.errors import SourceError, UnknownName, UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Json
from gristmill.spec.step import reserved
from gristmill.storage.files import machine_error

__all__ = [
    "FORMATS",
    "JSON_ROW",
    "BadRow",
    "RowBatch",
    "check_names",
    "column_names",
    "guess_format",
    "plain_types",
    "read_rows",
    "readable_rows",
    "rows_of",
]

FORMATS = ("csv", "json", "jsonl", "parquet", "tsv", "txt")

JSON_ROW = "__json_row__"
"""The one column of a JSON list's table: the text of each row, binary. :func:`rows_of` opens it."""

_BATCH_BYTES = 32 << 20
_NO_VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
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


def guess_format(path: str | Path) -> str:
    """The format that a file's name promises.

    Raises:
        UsageError: None of :data:`FORMATS`.
    """
    extension = Path(path).name.lower().removesuffix(".gz").removesuffix(".zip").rpartition(".")[2]
    format = "jsonl" if extension == "ndjson" else extension
    if format in FORMATS:
        return format
    raise UsageError(
        f"{path}: the name does not tell the format. Give it one of these endings: "
        f"{', '.join('.' + known for known in FORMATS)}; all but .parquet may be followed by .gz or .zip. A list "
        "named otherwise needs --set rows.format=csv or the like."
    )


def column_names(path: Path, format: str | None = None) -> list[str]:
    """The columns of a list, from its beginning or its footer alone.

    For JSON: the names found in the first hundred rows, in order of appearance; later rows may have more.

    Raises:
        SourceError: Not readable as this format.
    """
    format = _known(format or guess_format(path))
    if format == "parquet":
        with _parquet(path) as file:
            return list(file.schema_arrow.names)
    if format in {"csv", "tsv", "txt"}:
        with open_text(path) as stream:
            return _header(path, format, delimited_records(format, stream))
    names: dict[str, None] = {}
    for piece in islice(_json_pieces(path, format), _SAMPLED_ROWS):
        with suppress(ValueError):
            names.update(dict.fromkeys(json_object(piece.text or b"")))
    return list(names)


def check_names(path: Path, names: Sequence[str]) -> None:
    """See that each of a table's columns has a name of its own, and none a name that Gristmill gives.

    Raises:
        SourceError: One has not.
    """
    if len(set(names)) != len(names):
        raise SourceError(f"{path}: two columns have the same name: {', '.join(names)[:200]}.")
    if taken := reserved(names):
        raise SourceError(
            f"{path}: no column may be called {', '.join(taken)[:200]}: Gristmill itself uses that name. Rename it."
        )


def read_rows(
    path: Path,
    *,
    format: str | None = None,
    columns: Sequence[str] | None = None,
    batch_rows: int = 4096,
) -> Iterator[RowBatch]:
    """A list's rows, in order.

    Args:
        path: The list.
        format: One of :data:`FORMATS`; by its name if None.
        columns: Only these, in this order; JSON rows stay whole.
        batch_rows: At most so many rows a batch; fewer where rows are long.

    Raises:
        SourceError: Not readable as this format; batches before the fault were given out.
        UnknownName: No such format, or a column that txt, csv, tsv or parquet does not have.
        GristmillError: What the operating system refuses, as a sentence.
    """
    format = _known(format or guess_format(path))
    if format == "parquet":
        return _parquet_batches(path, columns, batch_rows)
    if format in {"json", "jsonl"}:
        return _json_batches(path, format, batch_rows)
    return _text_batches(path, format, columns, batch_rows)


def rows_of(table: Any) -> list[dict[str, Json]]:
    """The rows of a batch's table as mappings, JSON rows opened; further columns added to them win."""
    plain: list[dict[str, Json]] = table.to_pylist()
    if JSON_ROW not in table.column_names:
        return plain
    return [{**json_object(row.pop(JSON_ROW)), **row} for row in plain]


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
            row[name].to_pylist()
        except UnicodeDecodeError as err:
            return f"{name} is not UTF-8: {err.reason} at byte {err.start}"[:200]
    return rows_of(row)[0]


def _known(format: str) -> str:
    if format not in FORMATS:
        raise UnknownName("file format", format, FORMATS)
    return format


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
    path: Path, format: str, columns: Sequence[str] | None, batch_rows: int
) -> Iterator[RowBatch]:
    with open_text(path) as stream:
        records = delimited_records(format, stream)
        names = _header(path, format, records) if format != "txt" else ["url"]
        wanted = _wanted(names, columns)
        picks = [names.index(name) for name in wanted]
        batcher = _Batcher(pa.schema([(name, pa.string()) for name in wanted]), batch_rows)
        for record in records:
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


def _header(path: Path, format: str, records: Iterator[Record]) -> list[str]:
    if format == "txt":
        return ["url"]
    record = next(records, Record(1, detail="it is empty"))
    names = record.fields
    if names is None:
        raise SourceError(f"{path}: the first line does not name the columns: {record.detail}.")
    check_names(path, names)
    return names


def _json_batches(path: Path, format: str, batch_rows: int) -> Iterator[RowBatch]:
    batcher = _Batcher(pa.schema([(JSON_ROW, pa.binary())]), batch_rows)
    for piece in _json_pieces(path, format):
        if piece.text is None:
            fault = f"more than {MAX_ROW_BYTES >> 20} MiB"
            batcher.bad(piece.line, Reason.ROW_TOO_LONG, fault)
        else:
            try:
                json_row(piece.text)
            except ValueError as err:
                batcher.bad(piece.line, Reason.BAD_ROW, str(err))
            else:
                batcher.good((piece.text,), len(piece.text))
        yield from batcher.batches()
    yield from batcher.batches(last=True)


def _json_pieces(path: Path, format: str) -> Iterator[Piece]:
    """The texts of the rows; ``.json`` files that begin with an object are JSON lines by a wrong name."""
    if format == "json":
        with open_text(path) as stream:
            while (first := stream.read(1)).isspace():
                pass
        format = "jsonl" if first == b"{" else "json"
    with open_text(path) as stream:
        try:
            yield from lines(stream) if format == "jsonl" else array_elements(stream)
        except SourceError as err:
            raise SourceError(
                f"{path}: {err}. Fetch it again, or name it .jsonl if it is JSON lines."
            ) from err


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            check_names(path, file.schema_arrow.names)
            yield file
    except OSError as err:
        if err.errno is not None:
            raise machine_error(err, path) from err
        raise SourceError(f"{path}: damaged Parquet ({_first_line(err)}). Fetch it again.") from err
    except pa.ArrowException as err:
        raise SourceError(f"{path}: damaged Parquet ({_first_line(err)}). Fetch it again.") from err


def _first_line(err: BaseException) -> str:
    return str(err).partition("\n")[0][:200]


def _parquet_batches(path: Path, columns: Sequence[str] | None, batch_rows: int) -> Iterator[RowBatch]:
    with _parquet(path) as file:
        wanted = _wanted(file.schema_arrow.names, columns)
        first = 0
        for batch in file.iter_batches(batch_size=batch_rows, columns=list(wanted)):
            table = plain_types(pa.Table.from_batches([batch]).select(list(wanted)))
            yield RowBatch(table, pa.array(range(first, first + len(table)), pa.int64()))
            first += len(table)


def plain_types(table: Any) -> Any:
    """A table whose values Python's own types hold exactly: nanosecond times as text, durations as integers.

    Views of texts become texts, because Arrow neither takes nor filters rows of them.
    """
    schema = pa.schema([f.with_type(_plain_type(f.type)) for f in table.schema], table.schema.metadata)
    return table if schema.equals(table.schema) else table.cast(schema)


def _plain_type(kind: Any) -> Any:
    if pa.types.is_timestamp(kind) or pa.types.is_time64(kind):
        return pa.string() if kind.unit == "ns" else kind
    if pa.types.is_duration(kind):
        return pa.int64() if kind.unit == "ns" else kind
    if pa.types.is_struct(kind):
        return pa.struct([f.with_type(_plain_type(f.type)) for f in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_plain_type(kind.value_type)))
    return _NO_VIEWS.get(kind, kind)
