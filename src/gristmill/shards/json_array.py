"""The elements of a large JSON array, or members of an object, in constant memory; and the way on behind damage."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from gristmill.shards.textlines import MAX_ROW_BYTES, Piece
from gristmill.spec.errors import SourceError

__all__ = ["Elements", "JsonMember", "members"]

_CHUNK_BYTES = 1 << 20
_LOOKED_AT_BYTES = 256 << 10
"""An element that is longer is looked at every time it has doubled: if it is broken, it takes others along."""
_CUT_SHORT_BYTES = 16
"""So near the end, what is no JSON may only lack what comes next."""
_HEAD_BYTES = 64 << 10

# what cannot be a mark: one match passes over many whole strings, whose number bounds what it keeps in mind of them.
# Not possessive: before Python 3.11.5 such expressions match what they should not (python/cpython#106052)
_WITHIN_STRING = re.compile(rb'[^"\\]*')
_OUTERMOST = re.compile(rb'[^"\[\]{},]*(?:"[^"\\]*"[^"\[\]{},]*){0,1000}')
_NESTED = re.compile(rb'[^"\[\]{}]*(?:"[^"\\]*"[^"\[\]{}]*){0,1000}')
_NESTING = {b"[": 1, b"{": 1, b",": 0, b"]": -1, b"}": -1}

_KEY = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:\s*', re.DOTALL)
_FIRST_KEY = re.compile(rb'\{\s*("(?:[^"\\]|\\.)*")\s*:', re.DOTALL)
_ANY_OBJECT = re.compile(rb'\}\s*,\s*(\{\s*")')
_ANY_STRING = re.compile(rb'"\s*,\s*(")')


class _Source:
    """Chunks of a stream, some of which may be given out again."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._again: deque[tuple[bytes, int]] = deque()
        self.chunk = b""
        self.at = 0

    def next(self) -> tuple[bytes, int]:
        """The next chunk and where in it to begin; an empty one at the end."""
        self.chunk, self.at = self._again.popleft() if self._again else (self._stream.read(_CHUNK_BYTES), 0)
        return self.chunk, self.at

    def give_back(self, text: bytes) -> None:
        """Have ``text`` next, then what was not taken of the present chunk, then the others."""
        if self.at < len(self.chunk):
            self._again.appendleft((self.chunk, self.at))
        if text:
            self._again.appendleft((text, 0))
        self.chunk, self.at = b"", 0


def _marks(source: _Source, depth: int = 0, pair: bytes = b"[]") -> Iterator[tuple[bytes, bytes]]:
    """Text up to each opening, comma, closing of the outermost ``pair``, and that mark; or to a chunk's end."""
    opening, closing = pair[:1], pair[1:]
    in_string = escaped = False
    while True:
        chunk, at = source.next()
        begin = at
        if not chunk:
            return
        if escaped:
            at, escaped = at + 1, False
        while True:
            plain = _WITHIN_STRING if in_string else _NESTED if depth > 1 else _OUTERMOST
            at = plain.match(chunk, at).end() + 1  # type: ignore[union-attr]  # it matches anything
            mark = chunk[at - 1 : at]
            if not mark:
                break
            if mark == b"\\":
                at, escaped = at + 1, at == len(chunk)
            elif mark == b'"':
                in_string = not in_string
            else:
                outermost = mark == opening if depth == 0 else depth == 1 and mark in (b",", closing)
                depth += _NESTING[mark]
                if outermost:
                    source.at = at
                    yield chunk[begin : at - 1], mark
                    begin = at
                elif depth < 1:
                    depth = min(1, depth - _NESTING[mark])  # it closes what was not opened
        source.at = len(chunk)
        yield chunk[begin:], b""


class Elements:
    """The texts of the elements of one JSON array, which need not be valid JSON themselves.

    Whoever finds that one is not calls :meth:`go_back`: it may have taken others along.

    Args:
        stream: Holds the array, from its first byte on.
        line: On which that stands.
        pair: ``{}`` for the members of an object.
        alone: Text behind it is a fault.

    Attributes:
        end: Bytes of the stream up to the latest element's end, the mark behind it included.

    Raises:
        SourceError: While it is read: the stream does not hold one array from beginning to end; elements before the
            fault were given out.
    """

    def __init__(self, stream: BinaryIO, *, line: int = 1, pair: bytes = b"[]", alone: bool = True) -> None:
        self._source = _Source(stream)
        self._marks = _marks(self._source, pair=pair)
        self._line, self._pair, self._alone = line, pair, alone
        self.end = self._read = self._elements = 0
        self._state = "before"
        self._last: tuple[int, bytes, bytes] | None = None
        self._row: re.Pattern[bytes] | None = None

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        if self._row is None and self._last is not None:
            self._row = _row_like(self._last[1])
        kept = bytearray()
        begins_on = self._line
        size, looked_at, too_long = 0, _LOOKED_AT_BYTES, False
        for text, mark in self._marks:
            if not kept and not too_long:
                body = text.lstrip()
                begins_on = self._line + text[: len(text) - len(body)].count(b"\n")
                kept += body
            elif not too_long:
                kept += text
            self._line += text.count(b"\n")
            self._read += len(text) + len(mark)
            size += len(text)
            if not mark and looked_at < len(kept):
                looked_at = 2 * len(kept)
                if self._goes_on_at(bytes(kept), cut_short=_CUT_SHORT_BYTES) is not None:
                    return self._given(begins_on, bytes(kept), b"")
            if len(kept) > MAX_ROW_BYTES:
                too_long = True
                kept.clear()
            if not mark:
                continue
            if self._state != ("before" if mark == self._pair[:1] else "within") or (
                self._state == "before" and kept
            ):
                raise SourceError(f"line {self._line}: text before a JSON array, or behind it")
            found = self._state == "within" and (kept or too_long or mark == b",")
            self._state = "after" if mark == self._pair[1:] else "within"
            if found:
                return self._given(begins_on, None if too_long else bytes(kept), mark, size)
            if self._state == "after" and not self._alone:
                self._marks = iter(())
                raise StopIteration
            kept.clear()
            size, looked_at, too_long = 0, _LOOKED_AT_BYTES, False
            begins_on = self._line
        if self._state == "within" and kept and self._breaks_at_the_end(bytes(kept)):
            self._state = "after"
            return self._given(begins_on, bytes(kept), b"")
        if self._state == "before":
            what = f"begins with {kept[:40].decode(errors='replace')!a}" if kept else "is empty"
            raise SourceError(f"line {begins_on}: holds no JSON array, but {what}")
        if self._state != "after" or kept or too_long:
            place = f", at byte {self.end:,}" if self._alone else ""
            raise SourceError(
                f"line {self._line}: ends in the middle of a JSON array, or has text behind it, after "
                f"{self._elements:,} elements{place}"
            )
        raise StopIteration

    def _given(self, line: int, text: bytes | None, mark: bytes, size: int = 0) -> Piece:
        self._last = None if text is None else (line, text, mark)
        self.end = self._read
        self._elements += 1
        if self._state == "after" and not self._alone:
            self._marks = iter(())
        return Piece(line, None if text is None else text.rstrip(), size)

    def go_back(self) -> int | None:
        """Read again what the latest element took along; says how many bytes, or None if it is just that element."""
        if self._last is None:
            return None
        line, text, mark = self._last
        self._last = None
        place = self._goes_on_at(text)
        if place is None:
            return None
        self._source.give_back(text[place:] + mark)
        self._read -= len(text) - place + len(mark)
        self.end = self._read
        self._marks = _marks(self._source, 1, self._pair)
        self._line, self._state = line + text[:place].count(b"\n"), "within"
        return len(text) - place

    def _goes_on_at(self, text: bytes, *, cut_short: int | None = None) -> int | None:
        """Where in a broken element's text the next row begins; None if it is not broken, or holds no further one."""
        start = _breaks_at(text, cut_short=cut_short)
        row = self._row or _row_like(text) or (_ANY_STRING if text.startswith(b'"') else _ANY_OBJECT)
        found = None if start is None else row.search(text, start)
        return found.start(1) if found else None

    def _breaks_at_the_end(self, text: bytes) -> bool:
        """Whether the rest of the file is a broken element and what followed it, and not one that is cut off."""
        text = text.rstrip()
        at = _breaks_at(text, cut_short=0 if text.endswith(self._pair[1:]) else _CUT_SHORT_BYTES)
        return at is not None and (text.endswith(self._pair[1:]) or self._goes_on_at(text) is not None)


def _row_like(text: bytes) -> re.Pattern[bytes] | None:
    """What rows begin with, after the first of them."""
    found = _FIRST_KEY.search(text[:_HEAD_BYTES])
    return re.compile(rb",\s*(\{\s*" + re.escape(found.group(1)) + rb"\s*:)") if found else None


def _breaks_at(text: bytes, *, cut_short: int | None) -> int | None:
    """Where what is broken in an element begins; None if it is not broken.

    Args:
        text: The element.
        cut_short: What comes behind is not known, so it counts as whole if something is missing this near its end.
    """
    try:
        json.loads(text.decode("latin-1"))  # places in bytes, whatever they are
    except RecursionError:
        return None
    except json.JSONDecodeError as err:
        unterminated = err.msg.startswith("Unterminated string")
        if cut_short is not None and (unterminated or err.pos + cut_short >= len(text.rstrip())):
            return None
        if unterminated:
            return err.pos
        before = text[: err.pos].rstrip()
        if before.endswith(b'"'):  # where a string has ended that was not to end there
            return _string_start(before)
        return max(0, text.rfind(b",", 0, err.pos + 1))
    return None


def _string_start(text: bytes) -> int:
    """Of the string that ends where ``text`` ends."""
    at = len(text) - 1
    while (at := text.rfind(b'"', 0, at)) > 0:
        if (at - len(text[:at].rstrip(b"\\"))) % 2 == 0:
            return at
    return max(0, at)


@dataclass(frozen=True, slots=True)
class JsonMember:
    """A member of a JSON object.

    Attributes:
        key: Its name.
        offset: Of its value's first byte in the stream.
        line: On which that stands.
        head: The beginning of the value.
    """

    key: str
    offset: int
    line: int
    head: bytes


def members(stream: BinaryIO, offset: int, line: int, *, alone: bool) -> Iterator[JsonMember]:
    """The members of the one object that begins at the stream's present place, each before it is read to its end.

    Args:
        stream: Holds the object.
        offset: Of the present place.
        line: On which that is.
        alone: Nothing but blanks may stand behind the object.

    Raises:
        ValueError: There is no object, or it does not end.
    """
    head = bytearray()
    begin, begins_on = offset, line
    opened = closed = given = False
    for text, mark in chain(_marks(_Source(stream), pair=b"{}"), [(b"", b"")]):
        if closed:
            if text.strip() or mark:
                raise ValueError("text behind the object")
            continue
        head += text[: _HEAD_BYTES - len(head)] if len(head) < _HEAD_BYTES else b""
        offset += len(text) + len(mark)
        line += text.count(b"\n")
        if opened and not given and (mark or not text or len(head) == _HEAD_BYTES):
            if found := _KEY.match(head):
                given, skipped = True, found.end()
                line_of = begins_on + head[:skipped].count(b"\n")
                yield JsonMember(json.loads(found.group(1)), begin + skipped, line_of, bytes(head[skipped:]))
            elif head.strip():
                raise ValueError("a member without a key")
        if not mark:
            continue
        opened, closed, given = True, mark == b"}", False
        if closed and not alone:
            return
        head.clear()
        begin, begins_on = offset, line
    if not closed:
        raise ValueError("no object from beginning to end")
