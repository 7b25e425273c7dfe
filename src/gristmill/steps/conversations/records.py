"""The records of a JSON file of conversations, in whatever form it holds them, one after another in constant memory.

=========  ===========================================================================================
array      one array of any size, on one line or indented
lines      JSON Lines, with blank lines, with or without a last line feed; a line may be a list of records (Qwen's
           packed data)
keyed      one object, the records by their ids
within     one array, or one object of records, in an object (``database``, ``annotations``)
one        one record alone
=========  ===========================================================================================

All may be gzipped or lie in a zip, and begin with a byte order mark.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import orjson

from gristmill.shards.json_array import Elements, JsonMember, members
from gristmill.shards.json_forms import skip
from gristmill.shards.json_row import json_object
from gristmill.shards.textlines import MAX_ROW_BYTES, Piece, lines, open_text
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.sample import Json
from gristmill.steps.conversations.shapes import TURNS_KEYS, conversation_of

__all__ = ["RawRecord", "RecordFile", "line_of"]

_BOM = b"\xef\xbb\xbf"
_PAIR = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:\s*', re.DOTALL)
_LOOKED_AT = 64
"""Members of an object by which it is decided what it is."""
_DEEPEST = 4
"""Objects within each other that are looked into."""


@dataclass(slots=True)
class RawRecord:
    """One record, not yet looked into.

    Attributes:
        text: Its JSON; None where it cannot be read.
        key: Under which it stands in an object.
        code, fault: What is wrong where it cannot be read: the check, and what was seen.
    """

    text: bytes | None
    key: str | None = None
    code: str = ""
    fault: str = ""


@dataclass(slots=True)
class RecordFile:
    """A file of records.

    Args:
        path: Where it lies.
        rows: Where in it the records are, if it is an object of several arrays: names joined by dots.

    Attributes:
        form: As the table above has it; empty for an empty file.
        notes: What is odd about the file itself: the check's code and what was seen. Complete once all was read.

    Raises:
        SourceError: There are no records in it, or it is not certain where.
    """

    path: Path
    rows: str = ""
    form: str = field(init=False, default="")
    notes: list[tuple[str, str]] = field(init=False, default_factory=list)
    _offset: int = field(init=False, default=0)
    _line: int = field(init=False, default=1)
    _pair: bytes = field(init=False, default=b"[]")
    _bom: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        packed = self.path.suffix.lower() in {".gz", ".zip"}
        with open_text(self.path) as stream:
            self._bom = not packed and stream.tell() == len(_BOM)
            first = _first(stream)
        if self._bom:
            self.notes.append(("byte_order_mark", "EF BB BF"))
        if self.rows:
            self._go_to(first)
        elif first == b"[":
            self.form = "lines" if self._holds_packed_lines() else "array"
        elif first == b"{":
            self._decide()
        elif first:
            raise SourceError(
                f"{self.path} is no JSON: it begins with {first.decode('latin-1')!r}. Give a file of JSON Lines, or "
                "one JSON array or object of records."
            )
        name = self.path.name.lower().removesuffix(".gz").removesuffix(".zip")
        if self.form and name.endswith("jsonl") is not (self.form == "lines"):
            self.notes.append(("file_name", f"{self.path.name} holds {_FORMS[self.form]}"))

    def __iter__(self) -> Iterator[RawRecord]:
        if not self.form:
            return
        with open_text(self.path) as stream:
            if self.form == "lines":
                yield from self._lines(stream)
            elif self.form == "one":
                yield self._alone(stream)
            else:
                skip(stream, self._offset)
                yield from self._elements(stream)

    def _decide(self) -> None:
        """An object: a line of many, one record, records by their ids, or what holds them."""
        if self._holds_lines():
            self.form = "lines"
            return
        outer, offset, line = (0, 1), 0, 1
        for _ in range(_DEEPEST):
            found = self._members(offset, line)
            if any(member.key in TURNS_KEYS and member.head.startswith(b"[") for member in found):
                # the object is a record: the only one, or the first of those by their ids around it
                self.form, self._pair = "keyed" if offset else "one", b"{}"
                self._offset, self._line = outer
                return
            arrays = [member for member in found if re.match(rb"\[\s*\{", member.head)]
            objects = [member for member in found if member.head.startswith(b"{")]
            if len(arrays) > 1:
                names = ", ".join(repr(member.key) for member in arrays[:8])
                raise SourceError(
                    f"{self.path} is one JSON object with several arrays: {names}. Say where the records are: "
                    f"--rows {arrays[0].key}"
                )
            if arrays:
                self.form, self._offset, self._line = "array", arrays[0].offset, arrays[0].line
                return
            if len(objects) != 1 or not (len(found) > 1 or _is_holder(objects[0])):
                break
            outer, offset, line = (offset, line), objects[0].offset, objects[0].line
        if not found or len(objects) < len(found):
            raise SourceError(
                f"{self.path} is one JSON object, and holds neither records by their ids nor an array of them. Say "
                "where they are: --rows NAME, names joined by dots."
            )
        self.form, self._offset, self._line, self._pair = "keyed", offset, line, b"{}"

    def _go_to(self, first: bytes) -> None:
        """Where ``rows`` leads."""
        offset, line, head = 0, 1, first
        for name in self.rows.split("."):
            found = self._members(offset, line, all_of_it=True) if head.startswith(b"{") else []
            member = next((one for one in found if one.key == name), None)
            if member is None:
                there = ", ".join(repr(one.key) for one in found[:8]) or "nothing"
                raise UsageError(f"{self.path}: there is no {name!r} where --rows leads; there is {there}.")
            offset, line, head = member.offset, member.line, member.head
        if head[:1] not in (b"[", b"{"):
            raise UsageError(f"{self.path}: --rows leads to no array and no object.")
        self.form = "array" if head.startswith(b"[") else "keyed"
        self._offset, self._line, self._pair = offset, line, b"[]" if self.form == "array" else b"{}"

    def _members(self, offset: int, line: int, *, all_of_it: bool = False) -> list[JsonMember]:
        """The first members of the object at ``offset``; of a file that is cut those that are there."""
        found: list[JsonMember] = []
        with open_text(self.path) as stream:
            skip(stream, offset)
            try:
                found += islice(members(stream, offset, line, alone=False), None if all_of_it else _LOOKED_AT)
            except ValueError as err:
                if not found:
                    raise SourceError(f"{self.path} is damaged: {err}. Fetch it again.") from err
                # what is cut or damaged is found where the records are read
        return found

    def _holds_lines(self) -> bool:
        """Of the first lines one is an object by itself, and either there are more or it is a record."""
        with open_text(self.path) as stream:
            some = list(islice(lines(stream), 5))
        for piece in some:
            try:
                row = json_object(piece.text or b"")
            except ValueError:
                continue
            return len(some) > 1 or not isinstance(conversation_of(row), str)
        return False

    def _alone(self, stream: BinaryIO) -> RawRecord:
        text = stream.read(MAX_ROW_BYTES + 1).strip()
        if len(text) > MAX_ROW_BYTES:
            return RawRecord(None, code="record_too_long", fault=f"more than {MAX_ROW_BYTES:,} bytes")
        fault = _fault(text)
        if not fault:
            return RawRecord(text)
        if text.endswith(b"}"):
            return RawRecord(None, code="bad_json", fault=fault)
        return RawRecord(
            None, code="file_cut", fault=f"the only record ends at byte {len(text):,}, and is not whole"
        )

    def _holds_packed_lines(self) -> bool:
        """Each of the first lines is a list of records by itself, and there are several."""
        with open_text(self.path) as stream:
            some = list(islice(lines(stream), 2))
        return len(some) == 2 and all(_packed(piece.text or b"") for piece in some)

    def _lines(self, stream: BinaryIO) -> Iterator[RawRecord]:
        offset = stream.tell()
        blank: list[int] = []
        packed = 0
        for piece in lines(stream, verbatim=True):
            if piece.text is None:
                offset += piece.size_bytes
                yield RawRecord(
                    None, code="record_too_long", fault=f"line {piece.line}: {piece.size_bytes:,} bytes"
                )
                continue
            at, offset = offset, offset + len(piece.text)
            text = piece.text.strip()
            if not text:
                blank.append(piece.line)
                continue
            if text[:1] == b"[" and (rows := _packed(text)):
                packed += 1
                yield from (RawRecord(line_of(row)) for row in rows)
                continue
            fault = _fault(text)
            if fault and not piece.text.endswith(b"\n") and text[:1] == b"{" and not text.endswith(b"}"):
                said = f"ends within line {piece.line}, which begins at byte {at:,}"
                yield RawRecord(None, code="file_cut", fault=said)
            elif fault:
                yield RawRecord(None, code="bad_json", fault=f"line {piece.line}: {fault}")
            else:
                yield RawRecord(text)
        if packed:
            self.notes.append(("lines_packed", f"{packed:,} lines"))
        if blank:
            self.notes.append(("blank_line", f"{len(blank):,} blank, the first is line {blank[0]}"))

    def _elements(self, stream: BinaryIO) -> Iterator[RawRecord]:
        """Elements of an array or members of an object; what a damaged one took along is read again."""
        start = stream.tell() if stream.seekable() else self._offset
        elements = Elements(stream, line=self._line, pair=self._pair, alone=not self._offset)
        number = 0
        try:
            for piece in elements:
                yield self._record(piece, elements)
                number += 1
        except SourceError as err:
            if "in the middle" not in str(err):
                yield RawRecord(None, code="bad_json", fault=str(err))
                return
            said = f"record {number:,} is not whole: it begins behind byte {start + elements.end:,}"
            yield RawRecord(None, code="file_cut", fault=said)

    def _record(self, piece: Piece, elements: Elements) -> RawRecord:
        text, key = piece.text, None
        if text is None:
            return RawRecord(
                None, code="record_too_long", fault=f"line {piece.line}: {piece.size_bytes:,} bytes"
            )
        if self._pair == b"{}" and (pair := _PAIR.match(text)):
            key, text = str(orjson.loads(pair.group(1))), text[pair.end() :]
        fault = _fault(text)
        if not fault:
            return RawRecord(text, key)
        again = elements.go_back()
        said = f"line {piece.line}: {fault[:120]}"
        return RawRecord(
            None, key, "bad_json", f"{said}; {again:,} bytes behind it read again" if again else said
        )


_FORMS = {
    "array": "one JSON array",
    "lines": "JSON lines",
    "keyed": "one JSON object",
    "one": "one JSON object",
}


def _is_holder(member: JsonMember) -> bool:
    """An object within an object whose own members are objects, as ``{"database": {"a": {...}}}``."""
    return re.match(rb'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\{', member.head) is not None


def _first(stream: BinaryIO) -> bytes:
    while (first := stream.read(1)).isspace():
        pass
    return first


def _packed(text: bytes) -> list[dict[str, Json]]:
    """The records of a line that is a list of them; empty where it is none."""
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else []


def line_of(row: dict[str, Json]) -> bytes:
    """A record as a line of ASCII: some trainers open their files in the encoding of the moment."""
    return json.dumps(row).encode()


def _fault(text: bytes) -> str:
    """Why a text is no JSON object; empty where it is one."""
    try:
        if type(orjson.loads(text)) is dict:
            return ""
    except orjson.JSONDecodeError:
        pass
    try:
        json_object(text)
    except ValueError as err:
        return str(err) or "no JSON"
    return ""
