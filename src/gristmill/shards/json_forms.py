"""Find the rows of a ``.json`` file: an array, lines, an object of columns or of rows, or an array in an object."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from gristmill.shards.dialects import open_rows
from gristmill.shards.framing import Dialect
from gristmill.shards.json_array import Elements, JsonMember, members
from gristmill.shards.json_row import json_object, json_row
from gristmill.shards.textlines import MAX_ROW_BYTES, Piece, lines
from gristmill.spec.errors import SourceError

__all__ = ["ROW_KEY", "JsonForm", "check_lines", "column_pieces", "form_of", "keyed_piece", "skip"]

ROW_KEY = "__key__"
"""The column that holds the name of a row which is a member of an object."""
MOST_COLUMNS = 64
"""Of an object of columns: each is read by itself, beside the others."""

_SKIP_BYTES = 1 << 20
_SHOWN = 20
_ADDRESS = re.compile(rb'"[A-Za-z][A-Za-z0-9+.-]*:(?:/|\\/){2}')
_FIRST_NAME = re.compile(rb'\{\s*("(?:[^"\\]|\\.)*")\s*:', re.DOTALL)
_PAIR = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:\s*', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonForm:
    """Says how a ``.json`` file holds its rows.

    Attributes:
        kind: ``lines``, ``array``, ``columns``: one array, or one object, of values for each column; or ``keyed``: an
            object of rows by their names.
        offset, line: Where the array, or the object of rows, begins.
        strings: The array's elements are strings, each a row of its own.
        columns: Those of an object of columns.
        note: What was recognised, if that is not plain.
    """

    kind: str
    offset: int = 0
    line: int = 1
    strings: bool = False
    columns: tuple[JsonMember, ...] = ()
    note: str = ""


def form_of(path: Path, dialect: Dialect) -> JsonForm:
    """Look where the rows are; of an object, the whole file is looked through.

    Raises:
        SourceError: It is an object of which it is not certain where its rows are, or the named way leads nowhere.
    """
    with open_rows(path, dialect) as stream:
        first = _first(stream)
    if dialect.array:
        return _below(path, dialect, dialect.array.split("."), first)
    if first != b"{":
        return _array(path, dialect, 0, 1)
    if _holds_lines(path, dialect):
        return JsonForm(kind="lines")
    found: list[JsonMember] = []
    try:
        _members(path, dialect, into=found)
    except ValueError as err:
        if _keyed(found):
            last = found[-1]
            raise SourceError(
                f"{path} is one JSON object of rows, and damaged or cut off: {err}, after the row {last.key!r} that "
                f"begins at byte {last.offset:,}, line {last.line:,}. Fetch it again."
            ) from err
        with open_rows(path, dialect) as stream:
            if next(lines(stream), Piece(1, b"")).text is None:
                raise SourceError(f"{path} is one JSON object, and damaged: {err}. Fetch it again.") from err
        return JsonForm(kind="lines")
    if form := _columns(path, found) or _keyed(found):
        return form
    rows = [m.key for m in found if re.match(rb"\[\s*\{", m.head)]
    if rows and not any(_ADDRESS.match(m.head) for m in found):
        raise SourceError(
            f"{path} is one JSON object with {_named(found)}. If its rows are in {' or '.join(rows[:_SHOWN])}, say "
            f"so: --rows {rows[0]}"
        )
    return JsonForm(kind="lines")


def check_lines(path: Path, dialect: Dialect) -> None:
    """See that JSON lines are lines, and not one array, or one object, that goes on over them.

    Raises:
        SourceError: They are not.
    """
    with open_rows(path, dialect) as stream:
        some = lines(stream)
        text = (((first := next(some, None)) and first.text) or b"").strip()
        alone = next(some, None) is None
    if (text[:1] == b"[" and (alone or not _is_json(text))) or text == b"{":
        what = "one JSON array" if text[:1] == b"[" else "JSON written over several lines"
        raise SourceError(
            f"{path} seems to be {what}, and not JSON lines. Name it .json, or give --set rows.format=json; "
            "or make lines of it: jq -c ."
        )


def _is_json(text: bytes) -> bool:
    try:
        json_object(text)
    except ValueError as err:
        return str(err).startswith("not an object")
    return True


def _first(stream: BinaryIO) -> bytes:
    while (first := stream.read(1)).isspace():
        pass
    return first


def _holds_lines(path: Path, dialect: Dialect) -> bool:
    """Whether the first line is an object and something follows it."""
    with open_rows(path, dialect) as stream:
        some = lines(stream)
        first = next(some, None)
        try:
            json_object((first and first.text) or b"")
        except ValueError:
            return False
        return next(some, None) is not None


def _members(
    path: Path, dialect: Dialect, offset: int = 0, line: int = 1, into: list[JsonMember] | None = None
) -> list[JsonMember]:
    """Those of the one object at ``offset``; of an object that is the whole file, nothing may follow.

    Args:
        path, dialect: The file.
        offset, line: Where the object begins.
        into: Where they go one by one, so that those before a fault are there.

    Raises:
        ValueError: It is not one object.
    """
    with open_rows(path, dialect) as stream:
        skip(stream, offset)
        found = [] if into is None else into
        found.extend(members(stream, offset, line, alone=not offset))
        return found


def skip(stream: BinaryIO, size: int) -> None:
    """Pass over so many bytes."""
    if stream.seekable():
        stream.seek(size, 1)
        return
    while size and (chunk := stream.read(min(size, _SKIP_BYTES))):
        size -= len(chunk)


def _array(path: Path, dialect: Dialect, offset: int, line: int) -> JsonForm:
    with open_rows(path, dialect) as stream:
        skip(stream, offset)
        opens = _first(stream) == b"["
        strings = opens and _first(stream) == b'"'
    note = "a list of texts is read as a list of addresses, column url" if strings else ""
    return JsonForm(kind="array", offset=offset, line=line, strings=strings, note=note)


def _below(path: Path, dialect: Dialect, keys: Sequence[str], first: bytes) -> JsonForm:
    """The rows at the end of a way into an object."""
    if first != b"{":
        raise SourceError(
            f"{path} is no JSON object, so nothing in it is called {keys[0]!r}. Leave --rows out."
        )
    offset, line, head = 0, 1, b"{"
    for key in keys:
        member, others = _member(path, dialect, offset, line, key) if head.startswith(b"{") else (None, [])
        if member is None:
            raise SourceError(f"{path}: there is no {key!r} where --rows leads; there is {_named(others)}.")
        offset, line, head = member.offset, member.line, member.head
    if head.startswith(b"["):
        return _array(path, dialect, offset, line)
    inner = _members(path, dialect, offset, line) if head.startswith(b"{") else []
    if form := _columns(path, inner) or _keyed(inner, offset, line):
        return form
    raise SourceError(
        f"{path}: --rows leads to no array, and to no object of columns or rows"
        + (f", but to {_named(inner)}." if inner else ".")
    )


def _member(
    path: Path, dialect: Dialect, offset: int, line: int, key: str
) -> tuple[JsonMember | None, list[JsonMember]]:
    """The member of this name of the object at ``offset``, and those before it; what is behind is not looked at."""
    before: list[JsonMember] = []
    with open_rows(path, dialect) as stream:
        skip(stream, offset)
        try:
            for member in members(stream, offset, line, alone=False):
                if member.key == key:
                    return member, before
                before.append(member)
        except ValueError as err:
            raise SourceError(f"{path}: {err}. Fetch it again.") from err
    return None, before


def _columns(path: Path, found: Sequence[JsonMember]) -> JsonForm | None:
    """An object whose members are columns, each an array of values, or one object of them by row as pandas writes."""
    arrays = all(re.match(rb"\[(?!\s*\{)", m.head) for m in found)
    index = [re.match(rb'\{\s*"(\d+)"\s*:', m.head) for m in found]
    by_row = all(index) and len({match.group(1) for match in index if match}) == 1
    if not found or not (arrays or by_row):
        return None
    names = [m.key for m in found]
    if len(found) > MOST_COLUMNS or len(set(names)) < len(names):
        raise SourceError(
            f"{path} is one JSON object of {len(found):,} columns, and at most {MOST_COLUMNS} are read, of different "
            "names. Make lines of it: python -c \"import pandas; pandas.read_json('"
            f"{path.name}').to_json('{path.name}l', orient='records', lines=True)\""
        )
    return JsonForm(kind="columns", columns=tuple(found), note=f"one object of columns: {_named(found)}")


def _keyed(found: Sequence[JsonMember], offset: int = 0, line: int = 1) -> JsonForm | None:
    """An object of rows: its members are objects, and most of them begin with the same name, as one row's do not."""
    first = Counter(match.group(1) for m in found if (match := _FIRST_NAME.match(m.head)))
    if not all(m.head.startswith(b"{") for m in found) or max(first.values(), default=0) < max(
        2, len(found) // 2
    ):
        return None
    note = f"one object of {len(found):,} rows, their names as column {ROW_KEY}"
    return JsonForm(kind="keyed", offset=offset, line=line, note=note)


def keyed_piece(member: Piece) -> Piece:
    """A row of an object of rows: what stands under a name, and the name."""
    text = member.text
    pair = None if text is None else _PAIR.match(text)
    if text is None or pair is None:
        return member
    value = text[pair.end() :]
    rest = value[1:].lstrip() if value[:1] == b"{" else b"!"
    comma = b"" if rest[:1] == b"}" else b", "
    row = b"{" + orjson.dumps(ROW_KEY) + b": " + pair.group(1) + comma + rest
    return Piece(member.line, row if rest != b"!" else value, member.size_bytes)


def _named(found: Sequence[JsonMember]) -> str:
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return (", ".join(repr(m.key) for m in found[:_SHOWN]) or "nothing") + more


def column_pieces(path: Path, dialect: Dialect, form: JsonForm) -> Iterator[Piece]:
    """Rows of an object of columns, as JSON texts: all columns are read beside each other.

    Raises:
        SourceError: They are not of one length, or not of the same rows.
    """
    with ExitStack() as stack:
        streams = []
        for member in form.columns:
            stream = stack.enter_context(open_rows(path, dialect))
            skip(stream, member.offset)
            pair = b"[]" if member.head.startswith(b"[") else b"{}"
            streams.append(Elements(stream, line=member.line, pair=pair, alone=False))
        keys = [orjson.dumps(member.key) for member in form.columns]
        by_row = form.columns[0].head.startswith(b"{")
        for row, first in enumerate(streams[0]):
            pieces = [first, *(next(others, None) for others in streams[1:])]
            if None in pieces:
                raise _uneven(path, form, pieces.index(None), row)
            yield _joined(path, keys, [piece for piece in pieces if piece], by_row=by_row)
        for number, others in enumerate(streams[1:], 1):
            if next(others, None) is not None:
                raise _uneven(path, form, 0, row + 1, number)


def _uneven(path: Path, form: JsonForm, short: int, rows: int, other: int = 0) -> SourceError:
    names = [member.key for member in form.columns]
    return SourceError(
        f"{path} is one JSON object of columns, but {names[short]!r} has {rows:,} values and {names[other]!r} more. "
        "Mend it, or fetch it again."
    )


def _joined(path: Path, keys: Sequence[bytes], pieces: Sequence[Piece], *, by_row: bool) -> Piece:
    """One row of the values of its columns."""
    line = pieces[0].line
    texts = [piece.text or b"" for piece in pieces]
    if by_row:
        pairs = [_PAIR.match(text) for text in texts]
        if len({pair.group(1) for pair in pairs if pair}) > 1:
            raise SourceError(
                f"{path}: line {line}: columns of this JSON object are not of the same rows in the same order. Write "
                "it as lines: pandas' to_json(orient='records', lines=True)."
            )
        texts = [text[pair.end() :] if pair else b"" for text, pair in zip(texts, pairs, strict=True)]
    size = sum(len(text) for text in texts) + sum(piece.size_bytes for piece in pieces if piece.text is None)
    if size > MAX_ROW_BYTES or any(piece.text is None for piece in pieces):
        return Piece(line, None, size)
    row = b"{" + b", ".join(key + b": " + text for key, text in zip(keys, texts, strict=True)) + b"}"
    try:
        json_row(row)
    except ValueError as err:
        raise SourceError(
            f"{path}: line {line}: a broken value in a JSON object of columns ({err}): which values behind it belong "
            "together cannot be known. Mend it, or fetch it again."
        ) from err
    return Piece(line, row)
